"""Rearrangements made of the operations of movement: no primitives, no derivatives of their own.

>>> import slotgrad as sg
>>> sg.flip(sg.arange(4)), sg.pad(sg.arange(2), 1)
(tensor([3, 2, 1, 0]), tensor([0, 0, 1, 0]))

May import the floor, declare, arithmetic and movement.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import BoundsError, OptionError, ShapeError
from ..tensor import Tensor
from .arithmetic import where
from .declare import as_tensor, broadcast_shapes, constant, normalize_axes, normalize_axis
from .movement import (
    MOST_ELEMENTS,
    Shape,
    as_int,
    as_list,
    as_shape,
    broadcast_to,
    concat,
    cut,
    expand_dims,
    moveaxis,
    narrow,
    place,
    reshape,
    slices,
    squeeze,
)


def flatten(x: Any, /, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis, both included, made one."""
    x = as_tensor(x)
    if x.ndim == 0:
        return reshape(x, (1,))
    first = normalize_axis(start_axis, x.ndim, "flatten")
    last = normalize_axis(end_axis, x.ndim, "flatten")
    if last < first:
        raise BoundsError(
            f"flatten: got axes {first} to {last}; expected an end not before the start"
        )
    size = math.prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], size, *x.shape[last + 1 :]))


def broadcast_arrays(*xs: Any) -> tuple[Tensor, ...]:
    """The tensors broadcast to their common shape."""
    tensors = [as_tensor(x) for x in xs]
    shape = broadcast_shapes("broadcast_arrays", *[x.shape for x in tensors])
    return tuple(broadcast_to(x, shape) for x in tensors)


# -- made of slices, places and joins ------------------------------------------------------------


def flip(x: Any, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements in reverse order along axes; None: along all."""
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim, "flip")
    turned = [i in axes and n > 0 for i, n in enumerate(x.shape)]
    starts = tuple(n - 1 if t else 0 for t, n in zip(turned, x.shape))
    return cut(x, starts, x.shape, tuple(-1 if t else 1 for t in turned))


def roll(x: Any, /, shift: int | tuple[int, ...], axis: Any = None) -> Tensor:
    """The elements moved on by `shift` places along axes, those at the end to the front."""
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, 0), x.shape)
    shifts = list(shift) if isinstance(shift, (tuple, list)) else [shift]
    axes = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ShapeError(f"roll: got shift {shift} for axis {axis}; expected one for each axis")
    shifts = shifts * (len(axes) if len(shifts) == 1 else 1)
    for s, a in zip(shifts, itertools.cycle(axes)):
        s, a = as_int(s, "shift", "roll"), normalize_axis(a, x.ndim, "roll")
        n = x.shape[a]
        if n and s % n:
            s = s % n
            x = concat([narrow(x, a, n - s, s), narrow(x, a, 0, n - s)], axis=a)
    return x


def stack(xs: Sequence[Any], /, axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    tensors = [as_tensor(x) for x in as_list(xs, "stack")]
    if len({x.shape for x in tensors}) != 1:
        got = ", ".join(str(x.shape) for x in tensors) or "no tensors"
        raise ShapeError(f"stack: cannot stack {got}: expected at least one, all of one shape")
    return concat([expand_dims(x, axis) for x in tensors], axis=axis)


def unstack(x: Any, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The tensors that `stack` would put together."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim, "unstack")
    return tuple(squeeze(narrow(x, axis, i, 1), axis) for i in range(x.shape[axis]))


def split(x: Any, sections: int | Sequence[int], /, axis: int = 0) -> list[Tensor]:
    """`x` cut along an axis into equal parts (an int) or parts of the given sizes.

    >>> import slotgrad as sg
    >>> sg.split(sg.arange(6), 3), sg.split(sg.arange(4), [1, 3])
    ([tensor([0, 1]), tensor([2, 3]), tensor([4, 5])], [tensor([0]), tensor([1, 2, 3])])
    """
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim, "split")
    size = x.shape[axis]
    if isinstance(sections, (list, tuple)):
        sizes = [as_int(n, "size", "split") for n in sections]
    else:
        count = as_int(sections, "sections", "split")
        sizes = [size // count] * count if count > 0 and size % count == 0 else [-1]
    if sum(sizes) != size or any(n < 0 for n in sizes):
        raise ShapeError(
            f"split: cannot cut {size} elements of axis {axis} into {sections}; expected a divisor"
            " or sizes that add up"
        )
    ends = np.cumsum(sizes)
    return [narrow(x, axis, int(end) - n, n) for end, n in zip(ends, sizes)]


def tile(x: Any, repetitions: Shape, /) -> Tensor:
    """`x` repeated as a whole along each axis."""
    x = as_tensor(x)
    counts = as_shape(repetitions, "tile")
    rank = max(x.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    sizes = (1,) * (rank - x.ndim) + x.shape
    inner = reshape(x, tuple(n for size in sizes for n in (1, size)))
    grown = broadcast_to(inner, tuple(n for pair in zip(counts, sizes) for n in pair))
    return reshape(grown, tuple(c * n for c, n in zip(counts, sizes)))


def repeat(x: Any, repeats: Any, /, axis: int | None = None) -> Tensor:
    """Each element `repeats` times along an axis; None: of the flattened tensor.

    repeats    an int, or one for each element of the axis; these cannot be looked at while a
               function is captured, since the result has no shape before

    >>> import slotgrad as sg
    >>> sg.repeat(sg.arange(3), 2), sg.repeat(sg.arange(3), [0, 1, 2])
    (tensor([0, 0, 1, 1, 2, 2]), tensor([1, 2, 2]))
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = normalize_axis(axis, x.ndim, "repeat")
    if isinstance(repeats, (list, tuple)) or getattr(repeats, "ndim", 0):
        return x.take(_repeated(repeats, x.shape[axis]), axis=axis)
    repeats = as_int(repeats, "repeats", "repeat", lowest=0)
    inner = expand_dims(x, axis + 1)
    grown = broadcast_to(inner, (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]))
    return reshape(grown, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))


def _repeated(repeats: Any, size: int) -> Tensor:
    """The number of each element as often as it is repeated."""
    counts = as_tensor(repeats)._value("repeat(), whose result has no shape yet,")
    if counts.shape != (size,) or (size and counts.dtype.kind not in "iu") or (counts < 0).any():
        raise ShapeError(
            f"repeat: got repeats={repeats!r} for {size} elements; expected an int >= 0, or one for"
            " each"
        )
    return constant(np.repeat(np.arange(size), counts.astype(np.int64)))


_PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: Any, /, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Tensor:
    """`x` with borders; arguments as in `numpy.pad`.

    pad_width        an int, (before, after), or one such pair per axis
    mode             "constant", "edge", "reflect", "symmetric" or "wrap"
    constant_values  the border's value in mode "constant", default 0
    """
    x = as_tensor(x)
    if mode not in _PAD_MODES:
        raise OptionError(f"pad: got mode {mode!r}; expected one of {', '.join(_PAD_MODES)}")
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    except ValueError:
        widths = [[-1, -1]]
    if any(type(n) is not int or not 0 <= n < MOST_ELEMENTS for pair in widths for n in pair):
        raise ShapeError(
            f"pad: got pad_width {pad_width!r} for shape {x.shape}; expected an int >= 0, a pair,"
            " or a pair for each axis"
        )
    if mode != "constant":
        for axis, pair in enumerate(widths):
            if x.shape[axis] == 0 and any(pair):
                raise ShapeError(
                    f"pad: got shape {x.shape}, which has no element along axis {axis} to fill a"
                    f" border with; expected mode 'constant'"
                )
            source = np.pad(np.arange(x.shape[axis]), pair, mode=mode)  # type: ignore[call-overload]
            x = x.take(constant(source), axis=axis)
        return x
    shape = as_shape([n + low + high for n, (low, high) in zip(x.shape, widths)], "pad")
    starts = tuple(low for low, _ in widths)
    placed = place(x, shape, starts, (1,) * x.ndim)
    if isinstance(constant_values, (int, float)) and constant_values == 0:
        return placed
    inside = np.zeros(shape, bool)
    inside[slices(starts, x.shape, (1,) * x.ndim)] = True
    return where(
        constant(inside), placed, as_tensor(constant_values, x.dtype).astype(x.dtype, copy=False)
    )


# -- triangles and diagonals ---------------------------------------------------------------------


def tril(x: Any, /, k: int = 0) -> Tensor:
    """The elements on and below diagonal k of each matrix; 0 above."""
    x = as_tensor(x)
    return where(constant(_triangle(x, k, "tril")), x, False)


def triu(x: Any, /, k: int = 0) -> Tensor:
    """The elements on and above diagonal k of each matrix; 0 below."""
    x = as_tensor(x)
    return where(constant(~_triangle(x, as_int(k, "k", "triu") - 1, "triu")), x, False)


def _triangle(x: Tensor, k: Any, op: str) -> np.ndarray:
    """Where an element of the matrices of `x` is on or below diagonal k."""
    if x.ndim < 2:
        raise ShapeError(f"{op}: got shape {x.shape}; expected at least two axes")
    rows, columns = (np.arange(n) for n in x.shape[-2:])
    # no diagonal of a matrix is further off than its size
    reach = max(-x.shape[-2], min(as_int(k, "k", op), x.shape[-1]))
    return columns <= rows[:, None] + reach


def diagonal(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonals of the matrices in axes axis1 and axis2, in the last axis."""
    x, offset = as_tensor(x), as_int(offset, "offset", "diagonal")
    axis1, axis2 = (normalize_axis(a, x.ndim, "diagonal") for a in (axis1, axis2))
    if axis1 == axis2:
        raise ShapeError(f"diagonal: got axis {axis1} twice; expected two axes")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    offset = max(-rows, min(offset, columns))
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    places = np.arange(count) + max(-offset, 0), np.arange(count) + max(offset, 0)
    return x[(..., constant(places[0]), constant(places[1]))]


def diag(x: Any, /, k: int = 0) -> Tensor:
    """The diagonal k of a matrix, or the matrix with a vector on its diagonal k."""
    x, k = as_tensor(x), as_int(k, "k", "diag")
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: got shape {x.shape}; expected a vector or a matrix")
    size = x.shape[0] + abs(k)
    as_shape((size, size), "diag")
    flat = place(x, (size * size,), (k if k >= 0 else -k * size,), (size + 1,))
    return reshape(flat, (size, size))
