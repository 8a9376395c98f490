"""Reductions: sums, extrema, moments and norms over axes.

May import the floor, declare, movement and the elementwise files.

axis is None (all axes), an axis or a tuple of axes; keepdims=True leaves the reduced axes in
place with size 1.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from ..dtypes import as_dtype, default_float, default_int, floating, inexact, uint64
from ..errors import ShapeError
from ..graph.apply import apply
from ..tensor import Tensor
from .arithmetic import where
from .compare import isfinite, truth
from .declare import (
    TensorType,
    as_tensor,
    check_dtype,
    normalize_axes,
    normalize_axis,
    number,
    promote,
    quiet,
    structured,
)
from .movement import as_number

Axis = int | tuple[int, ...] | None


def _reduced(shape: tuple[int, ...], axis: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple([1 if i in axis else n for i, n in enumerate(shape)])
    return tuple([n for i, n in enumerate(shape) if i not in axis])


def _like(reduced: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """A reduced tensor that broadcasts against `x`: its axes back in place, but those in front."""
    if axis == tuple(range(len(axis))):
        return reduced
    return reduced.reshape(_reduced(x.shape, axis, keepdims=True))


def _shifted(axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i + 1 for i in axis)  # behind the batch axis


_REDUCTIONS = [
    ([(3, 2)], {"axis": (0,), "keepdims": False}),
    ([(2, 3, 2)], {"axis": (0, 2), "keepdims": True}),
    ([(2, 3)], {"axis": (0, 1), "keepdims": False}),
]


@structured("sum", accepts="any")
class _sum:
    def type(x: TensorType, axis: tuple, keepdims: bool) -> TensorType:
        return TensorType(_reduced(x.shape, axis, keepdims), sum_dtype(x.dtype))

    @quiet
    def value(x: np.ndarray, axis: tuple, keepdims: bool) -> Any:
        # with out=... the sum of all elements is an array too
        if x.dtype.itemsize == 2 and x.dtype in floating:  # half precision adds up in single
            wide = np.add.reduce(x, axis, np.float32, out=..., keepdims=keepdims)
            return wide.astype(x.dtype)
        return np.add.reduce(x, axis, out=..., keepdims=keepdims)

    linear = True
    samples = _REDUCTIONS

    def vjp(g: Tensor, out: Tensor, x: Tensor, axis: tuple, keepdims: bool) -> tuple:
        return (lambda: _like(g, x, axis).broadcast_to(x.shape),)

    def batch(batched: tuple, x: Tensor, axis: tuple, keepdims: bool) -> Tensor:
        return apply(_sum, (x,), {"axis": _shifted(axis), "keepdims": keepdims})

    def kernel(k: Any, x: Any, axis: tuple, keepdims: bool) -> Any:
        return k.reduce("add", x, axis, keepdims)


def sum_dtype(dtype: np.dtype) -> np.dtype:
    if dtype in inexact:
        return dtype
    return uint64 if dtype.kind == "u" else default_int


class _Extremum:
    """What max and min share; equal elements share the gradient."""

    samples = _REDUCTIONS

    def type(x: TensorType, axis: tuple, keepdims: bool) -> TensorType:
        check_dtype("max", x.dtype, "ordered")
        if 0 in [x.shape[i] for i in axis]:
            raise ShapeError(
                f"max, min: got shape {x.shape} with no element along axis {axis}; expected at"
                " least one"
            )
        return TensorType(_reduced(x.shape, axis, keepdims), x.dtype)

    def vjp(g: Tensor, out: Tensor, x: Tensor, axis: tuple, keepdims: bool) -> tuple:
        best = (x == _like(out, x, axis)).astype(x.dtype)
        return (lambda: best * _like(g, x, axis) / best.sum(axis=axis, keepdims=True),)


@structured("max", accepts="ordered")
class _max(_Extremum):
    def value(x: np.ndarray, axis: tuple, keepdims: bool) -> Any:
        return np.maximum.reduce(x, axis, out=..., keepdims=keepdims)

    def batch(batched: tuple, x: Tensor, axis: tuple, keepdims: bool) -> Tensor:
        return apply(_max, (x,), {"axis": _shifted(axis), "keepdims": keepdims})

    def kernel(k: Any, x: Any, axis: tuple, keepdims: bool) -> Any:
        return k.reduce("max", x, axis, keepdims)


@structured("min", accepts="ordered")
class _min(_Extremum):
    def value(x: np.ndarray, axis: tuple, keepdims: bool) -> Any:
        return np.minimum.reduce(x, axis, out=..., keepdims=keepdims)

    def batch(batched: tuple, x: Tensor, axis: tuple, keepdims: bool) -> Tensor:
        return apply(_min, (x,), {"axis": _shifted(axis), "keepdims": keepdims})

    def kernel(k: Any, x: Any, axis: tuple, keepdims: bool) -> Any:
        return k.reduce("min", x, axis, keepdims)


class _ArgExtremum:
    """What argmax and argmin share; of equal elements the first one counts."""

    samples = [
        ([(3, 4)], {"axis": 1, "keepdims": False}),
        ([(3, 4)], {"axis": 0, "keepdims": True}),
    ]

    def type(x: TensorType, axis: int, keepdims: bool) -> TensorType:
        check_dtype("argmax", x.dtype, "ordered")
        if x.shape[axis] == 0:
            raise ShapeError(
                f"argmax, argmin: got shape {x.shape} with no element along axis {axis}; expected"
                " at least one"
            )
        return TensorType(_reduced(x.shape, (axis,), keepdims), default_int)


@structured("argmax", accepts="ordered")
class _argmax(_ArgExtremum):
    def value(x: np.ndarray, axis: int, keepdims: bool) -> Any:
        return np.argmax(x, axis=axis, keepdims=keepdims)

    def batch(batched: tuple, x: Tensor, axis: int, keepdims: bool) -> Tensor:
        return apply(_argmax, (x,), {"axis": axis + 1, "keepdims": keepdims})

    def kernel(k: Any, x: Any, axis: int, keepdims: bool) -> Any:
        return k.arg_reduce("max", x, axis, keepdims)


@structured("argmin", accepts="ordered")
class _argmin(_ArgExtremum):
    def value(x: np.ndarray, axis: int, keepdims: bool) -> Any:
        return np.argmin(x, axis=axis, keepdims=keepdims)

    def batch(batched: tuple, x: Tensor, axis: int, keepdims: bool) -> Tensor:
        return apply(_argmin, (x,), {"axis": axis + 1, "keepdims": keepdims})

    def kernel(k: Any, x: Any, axis: int, keepdims: bool) -> Any:
        return k.arg_reduce("min", x, axis, keepdims)


# -- public functions --------------------------------------------------------------------------


def sum(x: Any, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes.  Integers and booleans add up in 64 bits, unless dtype says otherwise.

    >>> import slotgrad as sg
    >>> sg.sum(sg.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    x = as_tensor(x)
    if dtype is not None:
        x = x.astype(dtype, copy=False)
    axes = normalize_axes(axis, x.ndim, "sum")
    total = apply(_sum, (x,), {"axis": axes, "keepdims": bool(keepdims)})
    return total if dtype is None else total.astype(dtype, copy=False)


def max(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element; nan if there is one.  Equal elements share the gradient."""
    x = as_tensor(x)
    check_dtype("max", x.dtype, "ordered")
    axes = normalize_axes(axis, x.ndim, "max")
    return apply(_max, (x,), {"axis": axes, "keepdims": bool(keepdims)})


def min(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element; nan if there is one.  Equal elements share the gradient."""
    x = as_tensor(x)
    check_dtype("min", x.dtype, "ordered")
    axes = normalize_axes(axis, x.ndim, "min")
    return apply(_min, (x,), {"axis": axes, "keepdims": bool(keepdims)})


def _arg(op: Any, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    check_dtype(op.name, x.dtype, "ordered")
    if axis is None:
        best = apply(op, (x.reshape((-1,)),), {"axis": 0, "keepdims": False})
        return best.reshape((1,) * x.ndim) if keepdims else best
    axis = normalize_axis(axis, x.ndim, op.name)
    return apply(op, (x,), {"axis": axis, "keepdims": bool(keepdims)})


def argmax(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element, into the flattened tensor if axis is None."""
    return _arg(_argmax, x, axis, keepdims)


def argmin(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element, into the flattened tensor if axis is None."""
    return _arg(_argmin, x, axis, keepdims)


def any(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether an element is not zero; False where there is none."""
    return sum(truth(x), axis=axis, keepdims=keepdims) > 0


def all(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether no element is zero; True where there is none."""
    return sum(~truth(x), axis=axis, keepdims=keepdims) == 0


def _count(x: Tensor, axis: Axis, op: str) -> int:
    return math.prod(x.shape[i] for i in normalize_axes(axis, x.ndim, op))


def mean(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes divided by the number of elements; integers become float32."""
    (x,) = promote(x, accepts="inexact", op="mean")
    if x.dtype.itemsize == 2:  # the sum of half precision numbers may not fit one
        return mean(x.astype(default_float), axis=axis, keepdims=keepdims).astype(x.dtype)
    return sum(x, axis=axis, keepdims=keepdims) / _count(x, axis, "mean")


def var(x: Any, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance: sum of (x - mean)**2 divided by (n - correction).

    correction = 0 is the population's variance, 1 the unbiased estimate from a sample.
    """
    (x,) = promote(x, accepts="floating", op="var")
    correction = as_number(correction, "correction", "var")
    if x.dtype.itemsize == 2:
        wide = x.astype(default_float)
        return var(wide, axis=axis, correction=correction, keepdims=keepdims).astype(x.dtype)
    centred = x - mean(x, axis=axis, keepdims=True)
    squares = sum(centred * centred, axis=axis, keepdims=keepdims)
    return squares / builtins.max(_count(x, axis, "var") - correction, 0)


def std(x: Any, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The square root of `var`; the derivative where it is 0 is taken as 0."""
    return _root(var(x, axis=axis, correction=correction, keepdims=keepdims), 2)


def prod(x: Any, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes, by halves: its derivatives are right where elements are zero."""
    x = as_tensor(x)
    x = x.astype(sum_dtype(x.dtype) if dtype is None else as_dtype(dtype), copy=False)
    for i in normalize_axes(axis, x.ndim, "prod"):
        x = _halved_product(x.moveaxis(i, 0))[None].moveaxis(0, i)
    return x if keepdims else x.squeeze(normalize_axes(axis, x.ndim, "prod"))


def _halved_product(x: Tensor) -> Tensor:
    """The product over the first axis."""
    if x.shape[0] == 0:
        return number(1, x.dtype).broadcast_to(x.shape[1:])
    while (n := x.shape[0]) > 1:
        half = n // 2
        pairs = x[:half] * x[half : 2 * half]
        x = pairs if n % 2 == 0 else pairs.concat([pairs[1:], pairs[:1] * x[-1:]])
    return x[0]


def logsumexp(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) without overflow.

    >>> import slotgrad as sg
    >>> sg.logsumexp(sg.tensor([1000.0, 1000.0])).item()
    1000.6931762695312
    """
    (x,) = promote(x, accepts="floating", op="logsumexp")
    axes = normalize_axes(axis, x.ndim, "logsumexp")
    top = max(x, axis=axes, keepdims=True).detach()
    top = where(isfinite(top), top, 0.0)
    total = sum((x - top).exp(), axis=axes, keepdims=True).log() + top
    return total if keepdims else total.squeeze(axes)


def norm(x: Any, /, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The vector norm sum(|x|**ord)**(1/ord) over axes; ord may be 0, inf or -inf.

    The derivative of the Euclidean norm at 0 is taken as 0.
    """
    (x,) = promote(x, accepts="inexact", op="norm")
    axes = normalize_axes(axis, x.ndim, "norm")
    ord = as_number(ord, "ord", "norm")
    x = x.abs() if x.dtype.kind == "c" else x
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(x.abs(), axis=axes, keepdims=keepdims)
    if ord == 0:
        return sum((x != 0).astype(x.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return sum(x.abs(), axis=axes, keepdims=keepdims)
    powers = sum(x * x if ord == 2 else x.abs() ** ord, axis=axes, keepdims=keepdims)
    return _root(powers, ord)


def _root(x: Tensor, ord: float) -> Tensor:
    """x**(1 / ord) with all derivatives 0 at 0."""
    inside = where(x == 0, 1, x)
    return where(x == 0, 0, inside.sqrt() if ord == 2 else inside ** (1 / ord))


__all__ = [
    "all", "any", "argmax", "argmin", "logsumexp", "max", "mean", "min", "norm", "prod", "std",
    "sum", "var",
]  # fmt: skip
