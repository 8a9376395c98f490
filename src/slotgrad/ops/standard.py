"""Functions of the Array API standard that others are enough to make.

May import every file of ops but methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import as_dtype, default_int
from ..errors import OptionError, ShapeError
from ..tensor import Tensor
from .arithmetic import copysign
from .creation import ones, zeros
from .declare import as_tensor, broadcast_shapes as broadcast, normalize_axis
from .index import take
from .movement import Shape, as_int, as_shape, concat
from .order import cumprod, cumsum
from .reduce import any as any_of, sum as sum_of, truth


def broadcast_shapes(*shapes: Shape) -> tuple[int, ...]:
    """The shape that tensors of these shapes have together.

    >>> import slotgrad as sg
    >>> sg.broadcast_shapes((3, 1), (2,))
    (3, 2)
    """
    given = [as_shape(shape, "broadcast_shapes") for shape in shapes]
    return broadcast("broadcast_shapes", *given)


def positive(x: Any, /) -> Tensor:
    """`x` itself, for numbers."""
    return as_tensor(x)


def signbit(x: Any, /) -> Tensor:
    """Whether the sign is minus: also that of -0 and of a nan."""
    x = as_tensor(x)
    return copysign(ones(x.shape, dtype=x.dtype), x) < 0


def count_nonzero(
    x: Any, /, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Tensor:
    """The number of elements that are not zero, over axes; None: over all."""
    return sum_of(truth(x), axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The running sum along an axis, which may be left out for one axis.

    dtype            of the result and of adding up; default: as `sum`
    include_initial  whether the result begins with 0

    >>> import slotgrad as sg
    >>> sg.cumulative_sum([1.0, 2.0, 3.0], include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    return _running("cumulative_sum", cumsum, zeros, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The running product along an axis; as `cumulative_sum`, but may begin with 1."""
    return _running("cumulative_prod", cumprod, ones, x, axis, dtype, include_initial)


def _running(
    name: str,
    run: Callable[..., Tensor],
    first: Callable[..., Tensor],
    x: Any,
    axis: int | None,
    dtype: Any,
    include_initial: bool,
) -> Tensor:
    x = as_tensor(x)
    if axis is None and x.ndim != 1:
        raise ShapeError(f"{name}: got shape {x.shape} without an axis; expected axis=...")
    axis = normalize_axis(0 if axis is None else axis, x.ndim, name)
    result = run(x if dtype is None else x.astype(dtype, copy=False), axis)
    if dtype is not None:
        result = result.astype(as_dtype(dtype), copy=False)
    if include_initial:
        shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
        result = concat([first(shape, dtype=result.dtype), result], axis=axis)
    return result


def diff(
    x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Tensor:
    """The differences of neighbours along an axis, taken `n` times.

    prepend, append  tensors put before and behind `x` along the axis

    >>> import slotgrad as sg
    >>> sg.diff([1.0, 4.0, 9.0])
    tensor([3., 5.])
    """
    x = as_tensor(x)
    axis, count = normalize_axis(axis, x.ndim, "diff"), as_int(n, "n", "diff")
    if count < 0:
        raise OptionError(f"diff: got n={count}; expected at least 0")
    parts = [as_tensor(part) for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = concat(parts, axis=axis)
    x = x.moveaxis(axis, 0)
    for _ in range(count):
        x = x[1:] != x[:-1] if x.dtype.kind == "b" else x[1:] - x[:-1]
    return x.moveaxis(0, axis)


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Whether each element of `x1` is one of `x2` (or, inverted, none); nan is none.

    Compares all with all: takes memory for x1.size * x2.size truth values.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    found = any_of(x1[..., None] == x2.reshape((-1,)), axis=-1)
    return ~found if invert else found


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Tensor:
    """Where the elements of `x2` would have to go into the sorted `x1`, which has one axis.

    side    "left": before equal elements; "right": behind them
    sorter  indices that sort `x1`, if it is not sorted

    Halves the interval log2(len(x1)) times; nan counts as the largest, as in sort.

    >>> import slotgrad as sg
    >>> sg.searchsorted([1.0, 2.0, 2.0, 5.0], [2.0, 7.0], side="right")
    tensor([3, 4])
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: got x1 of shape {x1.shape}; expected one axis")
    if side not in ("left", "right"):
        raise OptionError(f"searchsorted: got side={side!r}; expected 'left' or 'right'")
    if sorter is not None:
        x1 = take(x1, sorter)
    place, size = zeros(x2.shape, dtype=default_int), x1.shape[0]
    for power in reversed(range(size.bit_length())):
        following = place + (1 << power)
        before = take(x1, (following - 1).clip(None, size - 1))
        passes = _less(before, x2) if side == "left" else ~_less(x2, before)
        place = place + (1 << power) * (passes & (following <= size)).astype(default_int)
    return place


def _less(a: Tensor, b: Tensor) -> Tensor:
    """Whether a comes before b in order; nan comes last."""
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return (a < b) | (b.isnan() & ~a.isnan())
    return a < b
