"""Optimizers: `sg.optim`.  May import the floor and ops, neither nn nor io.

>>> import slotgrad as sg
>>> w = sg.tensor(1.0, requires_grad=True)
>>> opt = sg.optim.SGD([w], lr=0.1)
>>> opt.lr = 0.25
>>> (w * w).backward()
>>> opt.step()
>>> w
tensor(0.5, requires_grad=True)
"""

from .adam import (
    Adam as Adam,
    AdamW as AdamW,
)
from .base import Optimizer as Optimizer
from .clip import (
    clip_grad_norm as clip_grad_norm,
    clip_grad_value as clip_grad_value,
)
from .groups import ParamGroup as ParamGroup
from .sgd import SGD as SGD
