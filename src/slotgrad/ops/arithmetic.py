"""Sums, products, powers, and what else two numbers can be combined to, element by element.

May import the floor and declare.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import as_dtype, bool_, floating, inexact, integral
from ..errors import DTypeError, OptionError
from ..graph.apply import apply
from ..namespace import check_device
from ..tensor import Tensor
from .declare import TensorType, as_tensor, elementwise, promote, quiet, structured, uniform

add = elementwise(
    "add",
    value=np.add,
    partials=lambda x, y: (1, 1),
    kernel=lambda k, x, y: x + y,
    accepts="any",
    doc="x + y, element by element; for booleans: or.",
)

sub = elementwise(
    "sub",
    value=np.subtract,
    partials=lambda x, y: (1, -1),
    kernel=lambda k, x, y: x - y,
    doc="x - y, element by element.",
)

mul = elementwise(
    "mul",
    value=np.multiply,
    partials=lambda x, y: (y, x),
    kernel=lambda k, x, y: x * y,
    accepts="any",
    doc="x * y, element by element; for booleans: and.",
)

div = elementwise(
    "div",
    value=quiet(np.true_divide),
    partials=lambda x, y, *, out: (lambda g: g / y, lambda g: -(g / y) * out),  # one division
    kernel=lambda k, x, y: x / y,
    samples=uniform(-2, 2, 0.5, 2),
    accepts="inexact",
    doc="x / y, element by element; integers become float32.",
)

neg = elementwise(
    "neg",
    value=np.negative,
    partials=lambda x: (-1,),
    kernel=lambda k, x: -x,
    doc="-x, element by element.",
)


def _pow_partials(x: Tensor, y: Tensor, *, out: Tensor) -> tuple:
    def by_base(g: Tensor) -> Tensor:  # at x = y = 0 that would be 0 * inf
        base = where(y == 0, where(x == 0, 1.0, x), x)
        return g * (y * pow(base, y - 1))

    def by_exponent(g: Tensor) -> Tensor:  # 0 ** y is constant for y > 0
        return g * where((x == 0) & (y < 0), -np.inf, out * where(x == 0, 1.0, x).log())

    return by_base, by_exponent


@quiet
def _power(x: np.ndarray, y: np.ndarray) -> Any:
    if y.dtype.kind == "i" and np.any(y < 0):
        raise OptionError(
            f"pow: got the exponent {y.min()} for {x.dtype} numbers; expected >= 0, or convert with"
            " x.astype(sg.float32)"
        )
    if y.size == 1 and y.dtype.kind == "f" and y.item() == 0.5:  # NumPy takes the square root,
        x = np.where(x == -np.inf, np.inf, x + 0.0)  # which differs for -inf and -0.0
    return np.power(x, y)


pow = elementwise(
    "pow",
    value=_power,
    partials=_pow_partials,
    kernel=lambda k, x, y: k.pow(x, y),
    samples=uniform(0.5, 2, -2, 2),
    doc="""x ** y, element by element.

    The derivative by y is x**y * log(x), and 0 where x = 0 and y >= 0.  Integer powers of
    integers need exponents >= 0; compiled code, which does not look at values, gives 0 for
    others, but for the bases 1 and -1.

    >>> import slotgrad as sg
    >>> sg.pow(sg.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """,
)


def _share(wins: Tensor, loses: Tensor) -> Any:
    """Of equal inputs each gets half of the gradient."""
    return lambda g: where(wins, g, where(loses, 0.0, g * 0.5))


maximum = elementwise(
    "maximum",
    value=np.maximum,
    partials=lambda x, y: (_share(x > y, x < y), _share(y > x, y < x)),
    kernel=lambda k, x, y: k.max(x, y),
    accepts="ordered",
    doc="The larger of x and y, element by element; nan if one is nan.",
)

minimum = elementwise(
    "minimum",
    value=np.minimum,
    partials=lambda x, y: (_share(x < y, x > y), _share(y < x, y > x)),
    kernel=lambda k, x, y: k.min(x, y),
    accepts="ordered",
    doc="The smaller of x and y, element by element; nan if one is nan.",
)

atan2 = elementwise(
    "atan2",
    value=quiet(np.arctan2),
    partials=lambda y, x: (lambda g: g * x / (x * x + y * y), lambda g: -g * y / (x * x + y * y)),
    kernel=lambda k, y, x: k.atan2(y, x),
    samples=uniform(0.5, 2),
    accepts="floating",
    doc="The angle of the point (x, y) in (-pi, pi]: atan2(y, x).",
)

hypot = elementwise(
    "hypot",
    value=quiet(np.hypot),
    partials=lambda x, y, *, out: (lambda g: g * unit(x, out), lambda g: g * unit(y, out)),
    kernel=lambda k, x, y: k.hypot(x, y),
    samples=uniform(0.5, 2),
    accepts="floating",
    doc="""sqrt(x**2 + y**2) without overflow of the squares.

    The derivative at (0, 0) is taken as 0, as that of a norm.
    """,
)


def unit(x: Tensor, size: Tensor) -> Tensor:
    """x / size, and 0 where the size is 0, with all derivatives."""
    return where(size == 0, 0, x / where(size == 0, 1, size))


logaddexp = elementwise(
    "logaddexp",
    value=quiet(np.logaddexp),
    partials=lambda x, y, *, out: (
        lambda g: g * (x - y).sigmoid(),
        lambda g: g * (y - x).sigmoid(),
    ),
    kernel=lambda k, x, y: k.select(
        x == y,
        x + 0.6931471805599453,  # also right for infinities of one sign
        k.max(x, y) + k.log1p(k.exp(-k.abs(x - y))),
    ),
    accepts="floating",
    doc="log(exp(x) + exp(y)) without overflow.",
)

remainder = elementwise(
    "remainder",
    value=quiet(np.remainder),
    partials=lambda x, y: (1, lambda g: -g * floor_divide(x, y)),
    kernel=lambda k, x, y: k.remainder(x, y),
    samples=uniform(0.2, 0.9, 1.1, 2),
    accepts="real",
    doc="x - y * floor(x / y): the remainder with the sign of y, as % in Python.",
)

floor_divide = elementwise(
    "floor_divide",
    value=quiet(np.floor_divide),
    partials=lambda x, y: (0, 0),
    kernel=lambda k, x, y: k.floor_divide(x, y),
    samples=uniform(0.2, 0.9, 1.1, 2),
    accepts="real",
    doc="floor(x / y), as // in Python.",
)

copysign = elementwise(
    "copysign",
    value=np.copysign,
    partials=lambda x, y, *, out: (lambda g: where((x == 0) | (x == out), g, -g), 0),
    kernel=lambda k, x, y: k.copysign(x, y),
    samples=uniform(0.5, 2, -2, -0.5),
    accepts="floating",
    doc="The magnitude of x with the sign of y.",
)


def _nextafter(k: Any, x: Any, y: Any) -> Any:
    """By counting bits: floats of one sign lie in the order of theirs."""
    bits = k.bits(x)
    from_zero = (x < y) == (x > 0)
    near = k.from_bits(k.select(from_zero, bits + 1, bits - 1))
    smallest = 2.0**-149 if x.dtype.itemsize == 4 else 2.0**-1074
    near = k.select(x == 0, k.copysign(smallest, y), near)
    return k.select((x == x) & (y == y), k.select(x == y, y, near), x + y)


nextafter = elementwise(
    "nextafter",
    value=np.nextafter,
    partials=lambda x, y: (1, 0),
    kernel=_nextafter,
    samples=uniform(0.5, 1, 2, 3),
    accepts="wide",
    doc="""The next float after x on the way to y; nan if one is nan.

    For float32 and float64.  The derivative by x is 1, by y 0.
    """,
)

# -- choosing --------------------------------------------------------------------------------


_where = elementwise(
    "where",
    value=np.where,
    partials=lambda c, a, b: (None, lambda g: where(c, g, 0), lambda g: where(c, 0, g)),
    kernel=lambda k, c, a, b: k.select(c, a, b),
    accepts="any",
)


def where(condition: Any, a: Any, b: Any, /) -> Tensor:
    """`a` where the condition holds and `b` elsewhere; all three broadcast.

    The gradient of the one not chosen is 0, even where its value is inf or nan.

    >>> import slotgrad as sg
    >>> x = sg.tensor([-1.0, 2.0])
    >>> sg.where(x > 0, x, 0.1 * x)
    tensor([-0.1,  2. ])
    """
    condition = as_tensor(condition)
    if condition.dtype != bool_:
        raise DTypeError(
            f"where: got a condition of dtype {condition.dtype}; expected bool, compare first:"
            " x != 0"
        )
    return apply(_where.op, (condition, *promote(a, b, op="where")))


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """`x` limited to [min, max]; None: no limit.  The derivative by x is 1 on the limits.

    >>> import slotgrad as sg
    >>> sg.clip(sg.tensor([-2.0, 0.5, 9.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    x = as_tensor(x)
    for limit in (min, max):
        if isinstance(limit, float) and limit != limit:
            raise OptionError("clip: got nan as a limit; expected a number or None")
    min, max = (limit if limit is None else as_tensor(limit, x.dtype) for limit in (min, max))
    if min is not None:
        x = where(x < min, min, x)
    return x if max is None else where(x > max, max, x)


# -- dtypes ----------------------------------------------------------------------------------


class _Cast:
    """What the two casts share."""

    def type(x: TensorType, dtype: np.dtype) -> TensorType:
        return TensorType(x.shape, dtype)

    @quiet
    def value(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        if x.dtype.kind == "c" and dtype in floating:
            x = x.real
        return x.astype(dtype)

    def batch(batched: tuple, x: Tensor, dtype: np.dtype) -> Tensor:
        return _converted(x, dtype)

    def kernel(k: Any, x: Any, dtype: np.dtype) -> Any:
        return k.cast(x, dtype)


@structured("cast", accepts="any", family="elementwise")
class _cast(_Cast):
    """Between floating-point dtypes, and from integers: derivative 1."""

    linear = True
    samples = [([(3, 2)], {"dtype": np.dtype("float64")})]

    def vjp(g: Tensor, out: Tensor, x: Tensor, dtype: np.dtype) -> tuple:
        return (lambda: _converted(g, x.dtype),)


@structured("cast_discrete", accepts="any", family="elementwise")
class _cast_discrete(_Cast):
    """To integers and booleans: no derivative."""

    samples = [([(3, 2)], {"dtype": np.dtype("int32")})]


def _converted(x: Tensor, dtype: np.dtype) -> Tensor:
    return apply(_cast if dtype in inexact else _cast_discrete, (x,), {"dtype": dtype})


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """A copy of `x` with another dtype; with copy=False `x` itself if it has that already.

    Floats are truncated towards zero on the way to integers.  Complex numbers become complex or
    booleans only.
    """
    check_device(device, "astype")
    x = x if isinstance(x, Tensor) else as_tensor(x)
    dtype = as_dtype(dtype)
    if x.dtype == dtype and x.node.weak is None:  # captured numbers do not keep their dtype
        return x.clone() if copy else x
    if x.dtype.kind == "c" and dtype in floating | integral:
        raise DTypeError(
            f"astype: cannot convert {x.dtype} to {dtype}; take a part first, with sg.real, sg.imag"
            " or sg.abs"
        )
    return _converted(x, dtype)
