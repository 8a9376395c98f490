"""Comparisons, logic and bits; none of them has a derivative.

May import the floor and declare.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import bool_, inexact
from ..tensor import Tensor
from .declare import as_tensor, elementwise, number, uniform

equal = elementwise(
    "equal",
    value=np.equal,
    kernel=lambda k, x, y: x == y,
    accepts="any",
    result="bool",
    doc="x == y, element by element.",
)

less = elementwise(
    "less",
    value=np.less,
    kernel=lambda k, x, y: x < y,
    accepts="ordered",
    result="bool",
    doc="x < y, element by element.",
)

less_equal = elementwise(
    "less_equal",
    value=np.less_equal,
    kernel=lambda k, x, y: x <= y,
    accepts="ordered",
    result="bool",
    doc="x <= y, element by element.",
)


def greater(x: Any, y: Any, /) -> Tensor:
    """x > y, element by element."""
    return less(y, x)


def greater_equal(x: Any, y: Any, /) -> Tensor:
    """x >= y, element by element."""
    return less_equal(y, x)


def not_equal(x: Any, y: Any, /) -> Tensor:
    """x != y, element by element; true for nan."""
    return bitwise_invert(equal(x, y))


def isnan(x: Any, /) -> Tensor:
    """Where x is nan."""
    return not_equal(x, x)


def isinf(x: Any, /) -> Tensor:
    """Where x is inf or -inf."""
    x = as_tensor(x)
    return abs(x) == np.inf if x.dtype in inexact else not_equal(x, x)


def isfinite(x: Any, /) -> Tensor:
    """Where x is neither nan nor infinite."""
    x = as_tensor(x)
    return abs(x) < np.inf if x.dtype in inexact else equal(x, x)


# -- bits ----------------------------------------------------------------------------------------

_bits = {"accepts": "bitwise", "samples": uniform(0, 8, 1, 5)}

bitwise_and = elementwise(
    "bitwise_and",
    value=np.bitwise_and,
    kernel=lambda k, x, y: x & y,
    doc="The bits set in both x and y.",
    **_bits,
)

bitwise_or = elementwise(
    "bitwise_or",
    value=np.bitwise_or,
    kernel=lambda k, x, y: x | y,
    doc="The bits set in x or y.",
    **_bits,
)

bitwise_xor = elementwise(
    "bitwise_xor",
    value=np.bitwise_xor,
    kernel=lambda k, x, y: x ^ y,
    doc="The bits set in exactly one of x and y.",
    **_bits,
)

bitwise_invert = elementwise(
    "bitwise_invert",
    value=np.invert,
    kernel=lambda k, x: ~x,
    doc="Every bit of x turned over; for booleans: not.",
    **_bits,
)

bitwise_left_shift = elementwise(
    "bitwise_left_shift",
    value=np.left_shift,
    kernel=lambda k, x, y: x << y,
    doc="x * 2**y by shifting.",
    **_bits | {"accepts": "integral"},
)

bitwise_right_shift = elementwise(
    "bitwise_right_shift",
    value=np.right_shift,
    kernel=lambda k, x, y: x >> y,
    doc="x / 2**y by shifting; the sign is kept.",
    **_bits | {"accepts": "integral"},
)

# -- logic ---------------------------------------------------------------------------------------


def truth(x: Any) -> Tensor:
    """x as booleans: where it is not zero."""
    x = as_tensor(x)
    return x if x.dtype == bool_ else not_equal(x, number(0, x.dtype))


def logical_not(x: Any, /) -> Tensor:
    """Where x is zero."""
    return bitwise_invert(truth(x))


def logical_and(x: Any, y: Any, /) -> Tensor:
    """Where neither x nor y is zero."""
    return bitwise_and(truth(x), truth(y))


def logical_or(x: Any, y: Any, /) -> Tensor:
    """Where x or y is not zero."""
    return bitwise_or(truth(x), truth(y))


def logical_xor(x: Any, y: Any, /) -> Tensor:
    """Where exactly one of x and y is not zero."""
    return bitwise_xor(truth(x), truth(y))
