"""Layers, containers and activations as modules.  Names follow PyTorch.

May import the floor, ops, and functional, init and module.

>>> from slotgrad import nn
>>> nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
Sequential(
  (0): Linear(in_features=64, out_features=32, bias=True)
  (1): ReLU()
  (2): Dropout(p=0.1)
  (3): Linear(in_features=32, out_features=10, bias=True)
)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from ..dtypes import as_dtype, default_float, floating
from ..errors import BoundsError, DTypeError, OptionError
from ..ops.arrange import flatten
from ..ops.creation import empty
from ..ops.reduce import Axis
from ..tensor import Tensor
from . import functional as F, init
from .module import Module, Parameter


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features).

    weight   (out_features, in_features) and bias (out_features,) start uniformly distributed in
             +-1/sqrt(in_features), drawn from `sg.random`
    bias     False: none, the attribute is None
    dtype    of the parameters; default float32

    Raises OptionError unless the sizes are ints above 0, DTypeError for a dtype that is not
    floating-point.

    >>> import slotgrad as sg
    >>> sg.nn.Linear(3, 2)(sg.ones((5, 3))).shape
    (5, 2)
    """

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise OptionError(f"Linear: got {name}={size!r}; expected an int above 0")
        kind = default_float if dtype is None else as_dtype(dtype)
        if kind not in floating:
            raise DTypeError(f"Linear: got dtype {kind}; expected a floating-point dtype")
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty((out_features, in_features), dtype=kind))
        self.bias = Parameter(empty((out_features,), dtype=kind)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


# -- containers ----------------------------------------------------------------------------------


class _Numbered(Module):
    """What the containers share: modules by position, named "0", "1", ... unless told."""

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if not isinstance(index, slice):
            return getattr(self, self._name(index))
        part = type(self)()
        part.training = self.training
        for name, module in list(self.named_children())[index]:
            part.add_module(name if not name.isdecimal() else str(len(part)), module)
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def _name(self, index: int) -> str:
        names = [name for name, _ in self.named_children()]
        if not -len(names) <= index < len(names):
            raise BoundsError(
                f"{type(self).__name__}: got index {index}; it holds {len(names)} modules"
            )
        return names[index]

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the container."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Numbered):
    """Modules applied one after the other.

    modules   the modules, or one dict name -> module; indexed, sliced, iterated over and
              appended to like a list

    >>> import slotgrad as sg
    >>> model = sg.nn.Sequential(sg.nn.Flatten(), sg.nn.ReLU())
    >>> model(sg.tensor([[[-1.0], [2.0]]]))
    tensor([[0., 2.]])
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        named: Iterable[tuple[str, Any]] = ((str(i), m) for i, m in enumerate(modules))
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0].items()
        for name, module in named:
            self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters are found; what to do with them is up to you.

    >>> from slotgrad import nn
    >>> [name for name, _ in nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]).named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)


# -- layers without parameters -------------------------------------------------------------------


class Identity(Module):
    """The input as it is; takes any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        return x


class Flatten(Module):
    """The axes from start_axis to end_axis made one; by default all but the first.

    >>> import slotgrad as sg
    >>> sg.nn.Flatten()(sg.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Any) -> Tensor:
        return flatten(x, self.start_axis, self.end_axis)

    def extra_repr(self) -> str:
        return f"start_axis={self.start_axis}, end_axis={self.end_axis}"


class Dropout(Module):
    """Zeroes elements with probability p while training; see `functional.dropout`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = F.check_probability(p, "Dropout")

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return F.relu(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Tensor:
        return F.sigmoid(x)


class SiLU(Module):
    """x * sigmoid(x)."""

    def forward(self, x: Any) -> Tensor:
        return F.silu(x)


class GELU(Module):
    """`functional.gelu`; approximate is "none" or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise OptionError(f"GELU: got approximate={approximate!r}; expected 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, x: Any) -> Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class LeakyReLU(Module):
    """`functional.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """`functional.elu`."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Tensor:
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softplus(Module):
    """`functional.softplus`."""

    def __init__(self, beta: float = 1.0) -> None:
        if not 0 < beta < math.inf:
            raise OptionError(f"Softplus: got beta={beta}; expected a finite number > 0")
        self.beta = beta

    def forward(self, x: Any) -> Tensor:
        return F.softplus(x, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _AlongAxis(Module):
    """What the softmaxes share."""

    def __init__(self, axis: Axis = -1) -> None:
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class Softmax(_AlongAxis):
    """exp(x) / sum(exp(x)) along an axis."""

    def forward(self, x: Any) -> Tensor:
        return F.softmax(x, self.axis)


class LogSoftmax(_AlongAxis):
    """The logarithm of softmax along an axis."""

    def forward(self, x: Any) -> Tensor:
        return F.log_softmax(x, self.axis)
