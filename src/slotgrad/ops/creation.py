"""Tensors out of nothing.  May import the floor, declare and movement.

Floating-point results are float32 unless dtype says otherwise; `arange` of ints is int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import as_dtype, default_float, default_int
from ..errors import OptionError
from ..tensor import Tensor, tensor
from .declare import as_tensor, constant
from .movement import as_shape, broadcast_to, reshape


def _made(array: np.ndarray, requires_grad: bool, name: str | None = None) -> Tensor:
    return tensor(array, requires_grad=requires_grad, name=name)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with one value everywhere; the dtype is that of the value."""
    value = as_tensor(fill_value).numpy()
    kind = value.dtype if dtype is None else as_dtype(dtype)
    return _made(np.full(as_shape(shape, "full"), value, kind), requires_grad)


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
    return constant(np.full(shape, fill_value, kind))


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None
) -> Tensor:
    """start, start + step, ... below stop; with one argument from 0 to below it.

    int64 if all arguments are ints, otherwise float32.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0 or any(n != n for n in (start, stop, step)):
        raise OptionError(f"arange: got {start}, {stop}, step {step}; expected numbers, step not 0")
    whole = all(isinstance(n, (int, np.integer)) for n in (start, stop, step))
    kind = as_dtype(dtype) if dtype is not None else default_int if whole else default_float
    return constant(np.arange(start, stop, step, dtype=kind))


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None, endpoint: bool = True
) -> Tensor:
    """`num` evenly spaced numbers from start to stop, stop included unless endpoint=False."""
    if num < 0:
        raise OptionError(f"linspace: got num={num}; expected an int >= 0")
    kind = default_float if dtype is None else as_dtype(dtype)
    return constant(np.linspace(start, stop, num, endpoint=endpoint).astype(kind))


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on diagonal k of a matrix of zeros."""
    kind = default_float if dtype is None else as_dtype(dtype)
    return constant(np.eye(n_rows, n_cols, k, dtype=kind))


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
