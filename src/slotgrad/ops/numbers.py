"""Numbers: what stands for Python numbers among the arguments of a captured function.

Operators on numbers alone do what Python does: they compute in int64, float64 or complex128, and
the result is a number again, which takes the dtype of the tensor that it meets.  May import the
floor, arithmetic, functions and methods.

    def step(x, dt):
        return x + dt / 2 * slope(x)  # dt / 2 is a number
"""

from __future__ import annotations

from typing import Any

from ..dtypes import complex128, default_int, float64
from ..graph.node import Node
from ..tensor import Tensor
from . import arithmetic, functions
from .declare import as_tensor
from .methods import COMPARISONS, OPERATORS

_WIDE = {int: default_int, float: float64, complex: complex128}
_KINDS = {dtype: kind for kind, dtype in _WIDE.items()}
_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")


class Number(Tensor):
    """A Python number that is only being recorded; its node is weak."""

    __slots__ = ()

    def __init__(self, node: Node, kind: type) -> None:
        super().__init__(node)
        node.weak = kind

    def __neg__(self) -> Tensor:
        return _result(arithmetic.neg(_wide(self, _kind_of(int, self))))

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _result(functions.abs(_wide(self, _kind_of(int, self))))


def _kind_of(least: type, *xs: Any) -> Any:
    """The type that Python computes with, at least the one given; None beside what is no number."""
    kinds = [least]
    for x in xs:
        kind = x.node.weak if isinstance(x, Number) else type(x)
        if kind is not bool and kind not in _WIDE:
            return None
        kinds.append(int if kind is bool else kind)
    return max(kinds, key=list(_WIDE).index)


def _wide(x: Any, kind: type) -> Tensor:
    """A number as a tensor that keeps its dtype, whatever it meets."""
    if isinstance(x, Number):
        return x.astype(_WIDE[kind])
    return as_tensor(kind(x), _WIDE[kind])


def _result(x: Tensor) -> Tensor:
    return Number(x.node, _KINDS[x.dtype]) if x.dtype in _KINDS else x  # comparisons give bool


def _operator(name: str, f: Any, reflected: bool = False) -> Any:
    """An operator on numbers, which leaves other operands to that of tensors."""
    method = f"__{'r' * reflected}{name}__"
    least = float if name == "truediv" else int

    def operator(self: Number, other: Any) -> Any:
        kind = _kind_of(least, self, other)
        if kind is None:
            return getattr(Tensor, method)(self, other)
        a, b = _wide(self, kind), _wide(other, kind)
        return _result(f(b, a) if reflected else f(a, b))

    return operator


for _name in _ARITHMETIC:
    _plain = _operator(_name, OPERATORS[_name])
    setattr(Number, f"__{_name}__", _plain)
    setattr(Number, f"__i{_name}__", _plain)  # x += y gives x another number
    setattr(Number, f"__r{_name}__", _operator(_name, OPERATORS[_name], reflected=True))
for _name, _f in COMPARISONS.items():
    setattr(Number, f"__{_name}__", _operator(_name, _f))
