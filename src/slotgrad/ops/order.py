"""Running sums and products, and sorting: what depends on the order along an axis.

May import the floor, declare, movement and reduce.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import bfloat16, default_int
from ..errors import OptionError
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import (
    TensorType,
    as_tensor,
    check_dtype,
    normalize_axis,
    quiet,
    structured,
)
from .movement import as_int
from .reduce import sum_dtype


@structured("cumsum", accepts="any")
class _cumsum:
    def type(x: TensorType, axis: int) -> TensorType:
        return TensorType(x.shape, sum_dtype(x.dtype))

    @quiet
    def value(x: np.ndarray, axis: int) -> np.ndarray:
        return np.cumsum(x, axis=axis, dtype=sum_dtype(x.dtype))

    linear = True
    samples = [([(4,)], {"axis": 0}), ([(2, 3)], {"axis": 1}), ([(3, 2)], {"axis": 0})]

    def vjp(g: Tensor, out: Tensor, x: Tensor, axis: int) -> tuple:
        return (lambda: cumsum(g.flip(axis), axis).flip(axis),)

    def batch(batched: tuple, x: Tensor, axis: int) -> Tensor:
        return apply(_cumsum, (x,), {"axis": axis + 1})

    def kernel(k: Any, x: Any, axis: int) -> Any:
        return k.scan("add", x, axis)


@structured("argsort", accepts="ordered")
class _argsort:
    """Stable: equal elements keep their order; nan counts as the largest."""

    def type(x: TensorType, axis: int, descending: bool) -> TensorType:
        check_dtype("argsort", x.dtype, "ordered")
        return TensorType(x.shape, default_int)

    def value(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
        if x.dtype == bfloat16:  # NumPy does not know where its nan goes
            x = x.astype(np.float32)
        if not descending:
            return np.argsort(x, axis=axis, kind="stable")
        flipped = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        return x.shape[axis] - 1 - np.flip(flipped, axis)

    samples = [
        ([(5,)], {"axis": 0, "descending": False}),
        ([(3, 4)], {"axis": 1, "descending": True}),
    ]

    def batch(batched: tuple, x: Tensor, axis: int, descending: bool) -> Tensor:
        return apply(_argsort, (x,), {"axis": axis + 1, "descending": descending})

    def kernel(k: Any, x: Any, axis: int, descending: bool) -> Any:
        return k.argsort(x, axis, descending)


# -- public functions --------------------------------------------------------------------------


def cumsum(x: Any, /, axis: int | None = None) -> Tensor:
    """The running sum along an axis; None: of the flattened tensor."""
    x = as_tensor(x)
    if axis is None:
        x, axis = x.reshape((-1,)), 0
    return apply(_cumsum, (x,), {"axis": normalize_axis(axis, x.ndim, "cumsum")})


def cumprod(x: Any, /, axis: int | None = None) -> Tensor:
    """The running product along an axis; None: of the flattened tensor.

    Made by doubling distances (Hillis and Steele 1986), so that its derivatives are right
    where elements are zero.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = x.reshape((-1,)), 0
    axis = normalize_axis(axis, x.ndim, "cumprod")
    x = x.astype(sum_dtype(x.dtype), copy=False).moveaxis(axis, 0)
    distance = 1
    while distance < x.shape[0]:
        x = x.concat([x[:distance], x[distance:] * x[:-distance]])
        distance *= 2
    return x.moveaxis(0, axis)


def argsort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort `x` along an axis.  Always stable; nan counts as the largest."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim, "argsort")
    check_dtype("argsort", x.dtype, "ordered")
    return apply(_argsort, (x,), {"axis": axis, "descending": bool(descending)})


def sort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """`x` in order along an axis.  Always stable; nan counts as the largest."""
    x = as_tensor(x)
    return x.take_along_axis(argsort(x, axis, descending), axis)


def topk(x: Any, k: int, /, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along an axis in order, and their indices."""
    x = as_tensor(x)
    axis, k = normalize_axis(axis, x.ndim, "topk"), as_int(k, "k", "topk")
    if not 0 <= k <= x.shape[axis]:
        raise OptionError(f"topk: got k={k}; expected 0 to {x.shape[axis]}, the size of the axis")
    order = argsort(x, axis, descending=bool(largest))
    order = order[(slice(None),) * axis + (slice(0, k),)]
    return x.take_along_axis(order, axis), order
