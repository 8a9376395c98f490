"""Neural networks: `sg.nn`.  Modules, layers, losses, initial values, and `functional`.

May import the floor and ops, neither optim nor io.

>>> import slotgrad as sg
>>> model = sg.nn.Sequential(sg.nn.Linear(2, 8), sg.nn.Tanh(), sg.nn.Linear(8, 1))
>>> sum(p.size for p in model.parameters())
33
"""

from . import functional as functional, init as init
from .layers import (
    ELU as ELU,
    GELU as GELU,
    Dropout as Dropout,
    Flatten as Flatten,
    Identity as Identity,
    LeakyReLU as LeakyReLU,
    Linear as Linear,
    LogSoftmax as LogSoftmax,
    ModuleList as ModuleList,
    ReLU as ReLU,
    Sequential as Sequential,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Softmax as Softmax,
    Softplus as Softplus,
    Tanh as Tanh,
)
from .losses import (
    BCEWithLogitsLoss as BCEWithLogitsLoss,
    CrossEntropyLoss as CrossEntropyLoss,
    HuberLoss as HuberLoss,
    L1Loss as L1Loss,
    MSELoss as MSELoss,
    NLLLoss as NLLLoss,
)
from .module import (
    Module as Module,
    Parameter as Parameter,
)
