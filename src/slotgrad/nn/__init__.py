"""Neural networks: `sg.nn`.  Modules, layers, losses, initial values, and `functional`.

May import the floor and ops, neither optim nor io.

>>> import slotgrad as sg
>>> model = sg.nn.Sequential(sg.nn.Linear(2, 8), sg.nn.Tanh(), sg.nn.Linear(8, 1))
>>> sum(p.size for p in model.parameters())
33
"""

from . import functional as functional
from . import init as init
from .layers import (
    ELU as ELU,
)
from .layers import (
    GELU as GELU,
)
from .layers import (
    Dropout as Dropout,
)
from .layers import (
    Flatten as Flatten,
)
from .layers import (
    Identity as Identity,
)
from .layers import (
    LeakyReLU as LeakyReLU,
)
from .layers import (
    Linear as Linear,
)
from .layers import (
    LogSoftmax as LogSoftmax,
)
from .layers import (
    ModuleList as ModuleList,
)
from .layers import (
    ReLU as ReLU,
)
from .layers import (
    Sequential as Sequential,
)
from .layers import (
    Sigmoid as Sigmoid,
)
from .layers import (
    SiLU as SiLU,
)
from .layers import (
    Softmax as Softmax,
)
from .layers import (
    Softplus as Softplus,
)
from .layers import (
    Tanh as Tanh,
)
from .losses import (
    BCEWithLogitsLoss as BCEWithLogitsLoss,
)
from .losses import (
    CrossEntropyLoss as CrossEntropyLoss,
)
from .losses import (
    HuberLoss as HuberLoss,
)
from .losses import (
    L1Loss as L1Loss,
)
from .losses import (
    MSELoss as MSELoss,
)
from .losses import (
    NLLLoss as NLLLoss,
)
from .module import (
    Module as Module,
)
from .module import (
    Parameter as Parameter,
)
