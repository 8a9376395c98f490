"""Indexing: x[...], take and what is like it.

An index is split into a basic part (slices, integers, None, ...), which is a strided cut, and
an advanced part (integer or boolean arrays), which is a gather.  The rules are NumPy's.

May import the floor, declare, movement and gather.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import bool_, integral
from ..errors import BoundsError, DTypeError, ShapeError
from ..tensor import Tensor
from .declare import as_tensor, broadcast_shapes, constant, normalize_axis
from .gather import gather
from .movement import as_int, as_shape, cut, reshape

# -- what an index means ---------------------------------------------------------------------------


class Places(NamedTuple):
    """Where a mask is true along one of its axes.

    size is that of the mask there; None for a mask without axes, which uses up no axis of the
    tensor and makes one of size 1 (true) or 0 (false) in the result.
    """

    indices: Tensor
    size: int | None


class Index:
    """An index expression read for one shape: a cut, new axes, and a gather, in this order."""

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.steps: list[int] = []
        self.between: list[int] = []  # the shape between cut and gather
        self.arrays: list[Tensor] = []
        self.axes: list[int] = []
        self.separator: int | None = None  # a place in between that the gather shall pass over
        entries = _expand(index, shape)
        advanced = _has_array(entries)
        for entry in entries:
            self._read(entry, shape, advanced)
        broadcast_shapes("index", *[i.shape for i in self.arrays])

    def _read(self, entry: Any, shape: tuple[int, ...], advanced: bool) -> None:
        if entry is None or entry is Ellipsis:
            self.separator = len(self.between) if entry is Ellipsis else self.separator
            self.between.append(1)
            return
        if isinstance(entry, Places) and entry.size is None:
            self._gather(entry.indices)
            self.between.append(1)
            return
        axis = len(self.starts)
        size = shape[axis]
        if isinstance(entry, Places):
            if entry.size != size:
                raise BoundsError(
                    f"index: got a mask with {entry.size} elements for axis {axis} of size {size}"
                    f" of shape {shape}; expected equal sizes"
                )
            entry = entry.indices
        if isinstance(entry, Tensor) or (advanced and not isinstance(entry, slice)):
            self._gather(as_tensor(entry))
            self._keep(0, size, 1)
        elif isinstance(entry, slice):
            start, stop, step = entry.indices(size)
            self._keep(start, len(range(start, stop, step)), step)
        else:
            if not -size <= entry < size:
                raise BoundsError(
                    f"index: got {entry} for axis {axis} of size {size}; expected {-size} to"
                    f" {size - 1}"
                )
            self._cut(entry % size, 1, 1)

    def _gather(self, indices: Tensor) -> None:
        self.arrays.append(indices)
        self.axes.append(len(self.between))

    def _cut(self, start: int, size: int, step: int) -> None:
        self.starts.append(start)
        self.sizes.append(size)
        self.steps.append(step)

    def _keep(self, start: int, size: int, step: int) -> None:
        self._cut(start if size else 0, size, step)
        self.between.append(size)

    def read(self, x: Tensor) -> Tensor:
        """The elements that the index names."""
        x = cut(x, tuple(self.starts), tuple(self.sizes), tuple(self.steps))
        x = reshape(x, tuple(self.between))
        if not self.arrays:
            return x
        x = gather(x, self.arrays, tuple(self.axes))
        if self.separator is None:
            return x
        rest = [i for i in range(len(self.between)) if i not in self.axes]
        at = x.ndim - len(rest) + rest.index(self.separator)
        return reshape(x, (*x.shape[:at], *x.shape[at + 1 :]))

    def is_gather(self, shape: tuple[int, ...]) -> bool:
        """Whether all that it does to a tensor of this shape is to gather."""
        whole = all(n == 0 for n in self.starts) and all(n == 1 for n in self.steps)
        return bool(self.arrays) and whole and tuple(self.between) == tuple(self.sizes) == shape

    def numbers(self, shape: tuple[int, ...]) -> Tensor:
        """For each element of the result, its place in the flattened tensor of `shape`."""
        places = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
        return self.read(constant(places))


def _expand(index: Any, shape: tuple[int, ...]) -> list[Any]:
    """The entries of an index: None, slice, int, integer Tensor or Places, for each axis."""
    entries: list[Any] = []
    for entry in index if isinstance(index, tuple) else (index,):
        entries.extend(_entry(entry))
    free = [e is None or e is Ellipsis or (type(e) is Places and e.size is None) for e in entries]
    used = free.count(False)
    if used > len(shape):
        raise BoundsError(
            f"index: got {used} indices for shape {shape}; expected at most {len(shape)}"
        )
    dots = [i for i, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        raise BoundsError("index: got several `...`; expected one")
    at = dots[0] if dots else len(entries)
    before, after = entries[:at], entries[at + 1 :]
    if (
        dots
        and used == len(shape)
        and _has_array(before + after)
        and all(map(_picks, (before, after)))
    ):
        return [*before, Ellipsis, *after]  # for NumPy, `...` parts arrays even if it is no axis
    return before + [slice(None)] * (len(shape) - used) + after


def _has_array(entries: list[Any]) -> bool:
    return any(isinstance(e, (Tensor, Places)) for e in entries)


def _picks(entries: list[Any]) -> bool:
    """Whether an entry takes part in a gather, beside an array somewhere."""
    return any(not isinstance(e, slice) and e is not None for e in entries)


def _entry(entry: Any) -> list[Any]:
    """One entry as it is written, arrays made integer Tensors; a mask becomes several."""
    if entry is None or entry is Ellipsis:
        return [entry]
    if isinstance(entry, slice):
        if entry.step is not None and as_int(entry.step, "step", "index") == 0:
            raise BoundsError("index: got a slice with step 0; expected another step")
        bounds = {"start": entry.start, "stop": entry.stop, "step": entry.step}
        return [slice(*[b if b is None else as_int(b, n, "index") for n, b in bounds.items()])]
    if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
        return [int(entry)]
    array = as_tensor(entry)
    if array.size == 0 and not isinstance(entry, (Tensor, np.ndarray)):
        array = constant(np.zeros(array.shape, np.int64))  # x[[]]
    if array.dtype == bool_:
        mask = array._value("an index with a mask, whose result has no shape yet,")
        if mask.ndim == 0:
            return [Places(constant(np.zeros(int(mask), np.int64)), None)]
        return [Places(constant(i), n) for i, n in zip(mask.nonzero(), mask.shape)]
    if array.dtype not in integral:
        raise DTypeError(
            f"index: got an index of dtype {array.dtype}; expected integers, booleans, slices,"
            " None or ..."
        )
    return [array]


# -- functions -------------------------------------------------------------------------------------


def getitem(x: Tensor, index: Any, /) -> Tensor:
    """x[index] by NumPy's rules; basic indices share memory with x, arrays copy."""
    return Index(index, x.shape).read(x)


def _indices(index: Any, op: str) -> Tensor:
    found = as_tensor(index)
    if found.size == 0 and isinstance(index, (list, tuple)):
        return constant(np.zeros(found.shape, np.int64))  # an empty list has no dtype
    if found.dtype not in integral:
        raise DTypeError(f"{op}: got indices of dtype {found.dtype}; expected integers")
    return found


def take(x: Any, indices: Any, /, axis: int | None = None) -> Tensor:
    """The elements (slices, along an axis) with these indices; None: of the flattened tensor.

    >>> import slotgrad as sg
    >>> sg.take(sg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0, 1], axis=0)
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = normalize_axis(axis, x.ndim, "take")
    return gather(x, (_indices(indices, "take"),), (axis,))


def take_along_axis(x: Any, indices: Any, /, axis: int = -1) -> Tensor:
    """out[i, j] = x[indices[i, j], j] for axis 0, and so on; other axes broadcast."""
    x, found = as_tensor(x), _indices(indices, "take_along_axis")
    if x.ndim != found.ndim:
        raise ShapeError(
            f"take_along_axis: got shapes {x.shape} and {found.shape}; expected equal numbers of"
            " axes"
        )
    axis = normalize_axis(axis, x.ndim, "take_along_axis")
    others = [pair for i, pair in enumerate(zip(x.shape, found.shape)) if i != axis]
    if any(m != n and 1 not in (m, n) for m, n in others):
        raise ShapeError(
            f"take_along_axis: got shapes {x.shape} and {found.shape}; expected sizes that agree or"
            f" are 1 except along axis {axis}"
        )
    grid = []
    for i, n in enumerate(x.shape):
        shape = tuple(n if j == i else 1 for j in range(x.ndim))
        grid.append(found if i == axis else constant(np.arange(n).reshape(shape)))
    return gather(x, grid, tuple(range(x.ndim)))


def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, one tensor for each axis."""
    value = as_tensor(x)._value("nonzero()")
    if value.ndim == 0:
        raise ShapeError("nonzero: got a tensor without axes; expected at least one axis")
    return tuple(constant(i) for i in value.nonzero())


def one_hot(indices: Any, num_classes: int, /, dtype: Any = "float32") -> Tensor:
    """A last axis of num_classes with 1 at the index and 0 elsewhere.

    An index outside 0 ... num_classes - 1 gives zeros only.

    >>> import slotgrad as sg
    >>> sg.one_hot([2, 0], 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    found = _indices(indices, "one_hot")
    count = as_int(num_classes, "num_classes", "one_hot", lowest=0)
    classes = np.arange(*as_shape((count,), "one_hot"))
    return (found[..., None] == constant(classes)).astype(dtype)
