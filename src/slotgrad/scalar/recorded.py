"""Scalars whose operations are recorded on a tape: what `Variable` and `Value` have in common.

A recorded scalar is a slot of a tape.  Operators and methods record one operation, or a few where
a function is made of several.  `native.py` makes a faster class of this one.  May import the floor,
ops, kernel.scalars and scalar.tape.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from ..errors import DTypeError, UsageError
from ..kernel.scalars import code_of
from .tape import PythonTape as Tape

Self = TypeVar("Self", bound="PythonRecorded")

_new = object.__new__


def as_number(x: Any) -> float | None:
    """A real number of any type, or one in an array without axes, as a float; None for others."""
    if isinstance(x, (float, int, Real, Decimal, np.bool_)):
        return float(x)
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return as_number(x.item())
    return None


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The methods for `self op other` and `other op self`."""
    code = code_of[name]

    def forward(self: Any, other: Any) -> Any:
        tape = self.tape
        if tape is not None:
            kind = tape.kind
            if type(other) is kind and other.tape is tape:
                made = _new(kind)
                made.tape = tape
                made.slot = tape.record(code, self.slot, other.slot)
                return made
        return self._with(code, other)

    def reflected(self: Any, other: Any) -> Any:
        return self._with_number(code, other, before=True)

    return forward, reflected


def _method(name: str, doc: str) -> Callable[[Any, Any], Any]:
    operator = _binary(name)[0]

    def method(self: Any, other: Any) -> Any:
        made = operator(self, other)
        if made is NotImplemented:
            raise TypeError(
                f"{name}: got {type(other).__name__}; expected a {type(self).__name__} or a number"
            )
        return made

    method.__name__, method.__doc__ = name, doc
    return method


def _unary(name: str, doc: str) -> Callable[[Any], Any]:
    code = code_of[name]

    def method(self: Any) -> Any:
        tape = self._entered()
        made = _new(tape.kind)
        made.tape = tape
        made.slot = tape.record(code, self.slot)
        return made

    method.__name__, method.__doc__ = name, doc
    return method


def _comparison(symbol: str) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        shown = self._shown
        raise DTypeError(
            f"{symbol}: a {type(self).__name__} has no order, since the formula is recorded for any"
            f" values; compare what it has now, x.{shown} {symbol} y.{shown}, sort by it, or record"
            " x.maximum(y) or x.minimum(y)"
        )

    return compare


def _made(tape: Tape, slot: int) -> Any:
    kind: Any = tape.kind
    made = _new(kind)
    made.tape, made.slot = tape, slot
    return made


class PythonRecorded:
    """A slot of a tape.

    A subclass says what to do with an operand that is on no tape yet (`_entered`), with two that
    are not simply on one (`_common`), and which attribute shows the number it has now (`_shown`).
    """

    __slots__ = ("tape", "slot")
    _shown = "value"
    __array_priority__ = -1.0  # NumPy's scalars leave operators to us, its arrays do not
    tape: Tape
    slot: int

    def _entered(self) -> Tape:
        """The tape to record on; this scalar has a slot there then."""
        return self.tape

    def _common(self, other: Any) -> Tape | None:
        """The tape to record on; both have a slot there then.  None: `other` is something else."""
        raise NotImplementedError

    def _with(self, code: int, other: Any) -> Any:
        """An operation whose second operand needs a closer look."""
        tape = self._common(other)
        if tape is None:
            return self._with_number(code, other)
        return _made(tape, tape.record(code, self.slot, other.slot))

    def _with_number(self, code: int, other: Any, before: bool = False) -> Any:
        x = as_number(other)
        if x is None:
            return NotImplemented
        tape = self._entered()
        slot = tape.with_number(code, self.slot, x, before)
        return self if slot == self.slot else _made(tape, slot)

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("sub")
    __mul__, __rmul__ = _binary("mul")
    __truediv__, __rtruediv__ = _binary("div")
    __pow__, __rpow__ = _binary("pow")

    add = _method("add", "self + other.")
    sub = _method("sub", "self - other.")
    mul = _method("mul", "self * other.")
    div = _method("div", "self / other.")
    pow = _method("pow", "self ** other.")
    maximum = _method("maximum", "The larger of self and other.")
    minimum = _method("minimum", "The smaller of self and other.")
    atan2 = _method("atan2", "The angle of the point (other, self).")
    hypot = _method("hypot", "sqrt(self**2 + other**2) without overflow of the squares.")

    neg = _unary("neg", "-self.")
    abs = _unary("abs", "|self|; the derivative at 0 is 0.")
    __neg__, __abs__ = neg, abs
    sign = _unary("sign", "-1, 0 or 1; the derivative is 0.")
    floor = _unary("floor", "The largest integer <= self; the derivative is 0.")
    sqrt = _unary("sqrt", "The square root.")
    exp = _unary("exp", "e**self.")
    expm1 = _unary("expm1", "exp(self) - 1, exact near 0.")
    log = _unary("log", "The natural logarithm.")
    log1p = _unary("log1p", "log(1 + self), exact near 0.")
    sin = _unary("sin", "The sine.")
    cos = _unary("cos", "The cosine.")
    tan = _unary("tan", "The tangent.")
    asin = _unary("asin", "The angle in [-pi/2, pi/2] whose sine is self.")
    acos = _unary("acos", "The angle in [0, pi] whose cosine is self.")
    atan = _unary("atan", "The angle in (-pi/2, pi/2) whose tangent is self.")
    sinh = _unary("sinh", "The hyperbolic sine.")
    cosh = _unary("cosh", "The hyperbolic cosine.")
    tanh = _unary("tanh", "The hyperbolic tangent.")
    sigmoid = _unary("sigmoid", "1 / (1 + exp(-self)).")
    erf = _unary("erf", "The error function.")

    __lt__, __le__ = _comparison("<"), _comparison("<=")
    __gt__, __ge__ = _comparison(">"), _comparison(">=")

    arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2  # called by functions of NumPy

    def __float__(self) -> float:
        raise UsageError(
            f"float: a {type(self).__name__} is no number, since the formula is recorded for any"
            " values; record functions by methods, as x.sin(), and read what it has now by"
            f" x.{self._shown}"
        )

    def __format__(self, spec: str) -> str:
        """A format is that of the number that it has now: f"{x:.3f}"."""
        return format(getattr(self, self._shown), spec) if spec else str(self)

    def relu(self: Self) -> Self:
        """max(self, 0); the derivative at 0 is 0: that of |max(self, 0)|, not of max alone."""
        return self.maximum(0).abs()

    def elu(self: Self) -> Self:
        """self above 0, exp(self) - 1 elsewhere; the derivative at 0 is 1."""
        return self.maximum(0) + self.minimum(0).expm1()

    def parametric_relu(self: Self, min: float = 0, scale: float = 1, shift: float = 0) -> Self:
        """max(min, scale * self + shift)."""
        return (self * scale + shift).maximum(min)
