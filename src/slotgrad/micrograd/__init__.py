"""micrograd's interface: programs written for it run with the import line changed, and fast.

>>> from slotgrad.micrograd import Value
>>> x, y = Value(-4.0), Value(2.0)
>>> z = (x * y + y**3).relu() + x.tanh()
>>> z.backward()
>>> f"{z.data:.4f} {x.grad:.4f} {y.grad:.4f}"
'-0.9993 0.0013 0.0000'

    engine   Value
    nn       Module, Neuron, Layer, MLP

Source of the interface: github.com/karpathy/micrograd.  May import the floor, kernel.scalars and
scalar.
"""

from . import nn as nn
from .engine import Value as Value
