"""Tensors out of nothing.  May import the floor, declare and movement.

Floating-point results are float32 unless dtype says otherwise; `arange` of ints is int64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import as_dtype, default_float, default_int
from ..errors import OptionError
from ..tensor import Tensor, tensor
from .declare import as_tensor, broadcast_shapes, check_dtype, constant
from .movement import as_int, as_number, as_shape, broadcast_to, reshape
from .stop import clone


def _made(array: np.ndarray, requires_grad: bool, name: str | None = None) -> Tensor:
    return tensor(array, requires_grad=requires_grad, name=name)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with one value everywhere; the dtype is that of the value.

    The value may be a tensor that broadcasts to the shape; gradients flow back to it.
    """
    sizes = as_shape(shape, "full")
    if isinstance(fill_value, Tensor):
        value = fill_value if dtype is None else fill_value.astype(dtype)
        filled = clone(broadcast_to(value, sizes))
    else:
        value = tensor(fill_value, dtype).numpy()
        broadcast_shapes("full", value.shape, sizes)
        filled = constant(np.broadcast_to(value, sizes).copy())
    return filled.requires_grad_() if requires_grad else filled


def zeros(shape: Any, *, dtype: Any = default_float, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    return _made(np.zeros(as_shape(shape, "zeros"), as_dtype(dtype)), requires_grad)


def ones(shape: Any, *, dtype: Any = default_float, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _made(np.ones(as_shape(shape, "ones"), as_dtype(dtype)), requires_grad)


def empty(shape: Any, *, dtype: Any = default_float, requires_grad: bool = False) -> Tensor:
    """A tensor whose elements are whatever the memory held."""
    return _made(np.empty(as_shape(shape, "empty"), as_dtype(dtype)), requires_grad)


def _of(x: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype]:
    x = as_tensor(x)
    return x.shape, x.dtype if dtype is None else as_dtype(dtype)


def zeros_like(x: Any, /, *, dtype: Any = None) -> Tensor:
    """Zeros of the shape and dtype of `x`."""
    return constant(np.zeros(*_of(x, dtype)))


def ones_like(x: Any, /, *, dtype: Any = None) -> Tensor:
    """Ones of the shape and dtype of `x`."""
    return constant(np.ones(*_of(x, dtype)))


def empty_like(x: Any, /, *, dtype: Any = None) -> Tensor:
    """A tensor of the shape and dtype of `x` with arbitrary elements."""
    return constant(np.empty(*_of(x, dtype)))


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of `x`."""
    shape, kind = _of(x, dtype)
    return full(shape, fill_value, dtype=kind)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None
) -> Tensor:
    """start, start + step, ... below stop; with one argument from 0 to below it.

    int64 if all arguments are ints, otherwise float32.
    """
    if stop is None:
        start, stop = 0, start
    given = {"start": start, "stop": stop, "step": step}
    start, stop, step = (as_number(n, name, "arange") for name, n in given.items())
    whole = all(isinstance(n, int) for n in (start, stop, step))
    kind = as_dtype(dtype) if dtype is not None else default_int if whole else default_float
    check_dtype("arange", kind, "numeric")
    if step == 0 or not all(abs(n) < 2**63 for n in (start, stop, step)):
        raise OptionError(
            f"arange: got {start}, {stop}, step {step}; expected numbers below 2**63, step not 0"
        )
    as_shape(max(math.ceil((stop - start) / step), 0), "arange")
    return constant(np.arange(start, stop, step).astype(kind))  # counts in 64 bits


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None, endpoint: bool = True
) -> Tensor:
    """`num` evenly spaced numbers from start to stop, stop included unless endpoint=False."""
    as_shape(as_int(num, "num", "linspace", lowest=0), "linspace")
    start, stop = as_number(start, "start", "linspace"), as_number(stop, "stop", "linspace")
    if not math.isfinite(start) or not math.isfinite(stop):
        raise OptionError(f"linspace: got {start} to {stop}; expected finite numbers")
    start, stop = float(start), float(stop)
    kind = default_float if dtype is None else as_dtype(dtype)
    return constant(np.linspace(start, stop, num, endpoint=endpoint).astype(kind))


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on diagonal k of a matrix of zeros."""
    kind = default_float if dtype is None else as_dtype(dtype)
    rows = as_int(n_rows, "n_rows", "eye", lowest=0)
    columns = rows if n_cols is None else as_int(n_cols, "n_cols", "eye", lowest=0)
    as_shape((rows, columns), "eye")
    return constant(np.eye(rows, columns, max(-rows, min(as_int(k, "k", "eye"), columns)), kind))


def meshgrid(*xs: Any, indexing: str = "xy") -> list[Tensor]:
    """The coordinates of a grid, from vectors; indexing "xy" (first axis is y) or "ij"."""
    if indexing not in ("xy", "ij"):
        raise OptionError(f"meshgrid: got indexing {indexing!r}; expected 'xy' or 'ij'")
    vectors = [as_tensor(x).flatten() for x in xs]
    swap = indexing == "xy" and len(vectors) > 1
    order = [1, 0, *range(2, len(vectors))] if swap else list(range(len(vectors)))
    shape = tuple(vectors[i].size for i in order)
    grids = []
    for i, v in enumerate(vectors):
        sizes = [1] * len(vectors)
        sizes[order.index(i)] = v.size
        grids.append(broadcast_to(reshape(v, tuple(sizes)), shape))
    return grids
