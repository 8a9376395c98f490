"""Tensors out of nothing.  May import the floor, declare and movement.

Floating-point results are float32 unless dtype says otherwise; `arange` of ints is int64.  The
argument device is the Array API standard's: None or "cpu".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import as_dtype, default_float, default_int
from ..errors import OptionError, UsageError
from ..namespace import check_device
from ..tensor import Tensor, tensor
from .declare import as_tensor, broadcast_shapes, check_dtype, constant
from .movement import as_int, as_number, as_shape, broadcast_to, reshape
from .stop import clone


def _kind(dtype: Any) -> np.dtype:
    return default_float if dtype is None else as_dtype(dtype)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """`obj` as a tensor: a Tensor stays on the tape, all else is read as by `tensor`.

    copy    True: always a copy; False: raise where one would be needed; default: where needed

    >>> import slotgrad as sg
    >>> x = sg.tensor([1.0, 2.0])
    >>> sg.asarray(x) is x, sg.asarray([1, 2])
    (True, tensor([1, 2]))
    """
    check_device(device, "asarray")
    if not isinstance(obj, Tensor):
        return tensor(obj, dtype, copy=copy)
    if copy is False and dtype is not None and as_dtype(dtype) != obj.dtype:
        raise UsageError(
            f"asarray: copy=False, but a tensor of dtype {obj.dtype} cannot be shared as"
            f" {as_dtype(dtype)}; leave copy out"
        )
    x = obj if dtype is None else obj.astype(dtype, copy=False)
    return clone(x) if copy and x is obj else x


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """The values of another library's array, exchanged by DLPack; shared unless copy=True.

    >>> import slotgrad as sg
    >>> sg.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    check_device(device, "from_dlpack")
    if isinstance(x, Tensor):
        return asarray(x, copy=copy)
    if not hasattr(x, "__dlpack__"):
        raise UsageError(
            f"from_dlpack: got a {type(x).__name__}; expected an array with __dlpack__, or use"
            " sg.asarray"
        )
    return tensor(np.from_dlpack(x, copy=copy))


def full(
    shape: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with one value everywhere; the dtype is that of the value.

    The value may be a tensor that broadcasts to the shape; gradients flow back to it.
    """
    check_device(device, "full")
    sizes = as_shape(shape, "full")
    if isinstance(fill_value, Tensor):
        value = as_tensor(fill_value) if dtype is None else fill_value.astype(dtype, copy=False)
        filled = clone(broadcast_to(value, sizes))
    else:
        value = tensor(fill_value, dtype).numpy()
        broadcast_shapes("full", value.shape, sizes)
        filled = constant(np.broadcast_to(value, sizes).copy())
    return filled.requires_grad_() if requires_grad else filled


def _new(make: Any, shape: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """The array that a function of NumPy of the same name makes."""
    check_device(device, make.__name__)
    array = make(as_shape(shape, make.__name__), _kind(dtype))
    return tensor(array, requires_grad=requires_grad)


def zeros(
    shape: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros."""
    return _new(np.zeros, shape, dtype, device, requires_grad)


def ones(
    shape: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    return _new(np.ones, shape, dtype, device, requires_grad)


def empty(
    shape: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor whose elements are whatever the memory held."""
    return _new(np.empty, shape, dtype, device, requires_grad)


def _of(x: Any, dtype: Any, device: Any, op: str) -> tuple[tuple[int, ...], np.dtype]:
    check_device(device, op)
    x = as_tensor(x)
    return x.shape, x.dtype if dtype is None else as_dtype(dtype)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of the shape and dtype of `x`."""
    return constant(np.zeros(*_of(x, dtype, device, "zeros_like")))


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of the shape and dtype of `x`."""
    return constant(np.ones(*_of(x, dtype, device, "ones_like")))


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of the shape and dtype of `x` with arbitrary elements."""
    return constant(np.empty(*_of(x, dtype, device, "empty_like")))


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`fill_value` everywhere, in the shape and dtype of `x`."""
    shape, kind = _of(x, dtype, device, "full_like")
    return full(shape, fill_value, dtype=kind)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """start, start + step, ... below stop; with one argument from 0 to below it.

    int64 if all arguments are ints, otherwise float32.
    """
    check_device(device, "arange")
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
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced numbers from start to stop, stop included unless endpoint=False."""
    check_device(device, "linspace")
    as_shape(as_int(num, "num", "linspace", lowest=0), "linspace")
    start, stop = as_number(start, "start", "linspace"), as_number(stop, "stop", "linspace")
    if not math.isfinite(start) or not math.isfinite(stop):
        raise OptionError(f"linspace: got {start} to {stop}; expected finite numbers")
    start, stop = float(start), float(stop)
    kind = _kind(dtype)
    return constant(np.linspace(start, stop, num, endpoint=endpoint).astype(kind))


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Ones on diagonal k of a matrix of zeros."""
    check_device(device, "eye")
    kind = _kind(dtype)
    rows = as_int(n_rows, "n_rows", "eye", lowest=0)
    columns = rows if n_cols is None else as_int(n_cols, "n_cols", "eye", lowest=0)
    as_shape((rows, columns), "eye")
    return constant(np.eye(rows, columns, max(-rows, min(as_int(k, "k", "eye"), columns)), kind))


def meshgrid(*xs: Any, indexing: str = "xy") -> tuple[Tensor, ...]:
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
    return tuple(grids)
