"""Indexing: x[...], x.at[...], take and what is like it.

An index is split into a basic part (slices, integers, None, ...), which is a strided cut, and
an advanced part (integer or boolean arrays), which is a gather.  The rules are NumPy's.

May import the floor, declare, arithmetic, movement, gather and order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..config import modes
from ..dtypes import bool_, inexact, integral
from ..errors import (
    BoundsError,
    DTypeError,
    GradientError,
    ShapeError,
    UsageError,
    describe_site,
    user_site,
)
from ..graph.apply import apply
from ..tensor import Tensor
from .arithmetic import maximum, minimum, mul, where
from .declare import as_tensor, broadcast_shapes, constant, normalize_axis
from .gather import gather, refused_index, scatter
from .movement import as_int, as_shape, broadcast_to, concat, cut, reshape
from .order import argsort

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
        advanced = any(isinstance(e, (Tensor, Places)) for e in entries)
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


def getitem(x: Tensor, index: Any, /) -> Tensor:
    """x[index] by NumPy's rules; basic indices share memory with x, arrays copy."""
    return Index(index, x.shape).read(x)


def setitem(x: Tensor, index: Any, values: Any, /) -> None:
    """x[index] = values, in place; on the tape the tensor moves on to a new value."""
    incoming = values.requires_grad if isinstance(values, Tensor) else False
    on_tape = modes.grad and (incoming or (x.requires_grad and not x.is_leaf))
    if modes.capture is None and not on_tape:
        entries = index if isinstance(index, tuple) else (index,)
        plain = tuple(e.numpy() if isinstance(e, Tensor) else e for e in entries)
        try:
            x.write("x[...] = values", plain, values)
        except (IndexError, TypeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise refused_index(error, Index(index, x.shape).arrays) from None
    else:
        move_on(x, At(x, Index(index, x.shape)).set(values), "x[...] = values")


def move_on(x: Tensor, new: Tensor, action: str) -> None:
    """Let `x` stand for a new value on the tape, and so what it is a view of."""
    if modes.grad and x.requires_grad and x.is_leaf:
        raise GradientError(
            f"{action} at {describe_site(user_site())} changes a leaf that requires gradients, or a"
            " view of one, in place; do it inside `with sg.no_grad():`"
        )
    if modes.capture is not None:
        modes.capture.write(x, action, ..., new)
    elif x.base is None or x.node.op is None:
        x.node = new.astype(x.dtype, copy=False).node
    else:
        node = x.node
        move_on(x.base, through_view(x, new), action)
        x.node = apply(node.op, (x.base,), node.attrs).node


def through_view(x: Tensor, new: Tensor) -> Tensor:
    """What the tensor that `x` is a view of becomes when `x` becomes `new`."""
    base, node = x.base, x.node
    assert base is not None and node.op is not None
    numbers = constant(np.arange(base.size).reshape(base.shape))
    places = apply(node.op, (numbers,), node.attrs)
    flat = scatter(reshape(base, (-1,)), new.astype(x.dtype, copy=False), (places,), (0,), "set")
    return reshape(flat, base.shape)


class At:
    """`x.at[index]`: copies of `x` with some elements changed, `x` itself staying as it is.

    As in JAX: for an element named several times every value counts, except that `set` takes the
    last one.  Values broadcast to the shape of x[index]; all have derivatives.

    >>> import slotgrad as sg
    >>> x = sg.ones(3)
    >>> x.at[[0, 0, 2]].add(1.0), x.at[1:].set(5.0), x.at[[0, 0]].multiply([3.0, 4.0])
    (tensor([3., 1., 2.]), tensor([1., 5., 5.]), tensor([12.,  1.,  1.]))
    """

    def __init__(self, x: Tensor, index: Index) -> None:
        self.x, self.index = x, index

    def set(self, values: Any) -> Tensor:
        """The copy with the elements replaced."""
        return self._scatter(values, "set")

    def add(self, values: Any) -> Tensor:
        """The copy with the values added; an element named twice gets both."""
        return self._scatter(values, "add")

    def multiply(self, values: Any) -> Tensor:
        """The copy with the elements multiplied by the values."""
        return self._combine(values, mul, "multiply")

    def divide(self, values: Any) -> Tensor:
        """The copy with the elements divided by the values, for floating-point tensors."""
        return self.x / self._powers(values, "divide")

    def power(self, values: Any) -> Tensor:
        """The copy with the elements raised to the power of the values."""
        return self.x ** self._powers(values, "power")

    def min(self, values: Any) -> Tensor:
        """The copy with the smaller ones of the elements and the values."""
        return self._combine(values, minimum, "min")

    def max(self, values: Any) -> Tensor:
        """The copy with the larger ones of the elements and the values."""
        return self._combine(values, maximum, "max")

    def get(self) -> Tensor:
        """x[index]."""
        return self.index.read(self.x)

    def apply(self, f: Callable[[Tensor], Any]) -> Tensor:
        """The copy with f(x[index]) for the elements; f is applied once however often one is named.

        >>> import slotgrad as sg
        >>> sg.tensor([1.0, 4.0, 9.0]).at[1:].apply(sg.sqrt)
        tensor([1., 2., 3.])
        """
        return self._scatter(f(self.get()), "set", "apply")

    def _scatter(self, values: Any, mode: str, action: str = "") -> Tensor:
        v, places = self._values(values, action or mode)
        return self._written(v, places, mode)

    def _combine(self, values: Any, f: Callable[..., Tensor], action: str) -> Tensor:
        v, places = self._values(values, action)
        if self.index.arrays:  # they may name an element twice
            v, places = _merged(v, places, f)
        return self._written(f(gather(reshape(self.x, (-1,)), (places,), (0,)), v), places, "set")

    def _powers(self, values: Any, action: str) -> Tensor:
        """The products of the values for each element; 1 where there are none."""
        if action == "divide" and self.x.dtype not in inexact:
            raise DTypeError(
                f"x.at[...].divide: got a tensor of dtype {self.x.dtype}, which has no place for"
                " quotients; convert with astype"
            )
        ones = constant(np.ones(self.x.shape, self.x.dtype))
        return At(ones, self.index)._combine(values, mul, action)

    def _values(self, values: Any, action: str) -> tuple[Tensor, Tensor]:
        """The values, and for each one its place in the flattened tensor."""
        x = self.x
        v = _fitted(as_tensor(values, x.dtype), x, f"x.at[...].{action}")
        places = self.index.numbers(x.shape)
        if broadcast_shapes("x.at", v.shape, places.shape) != places.shape:
            raise ShapeError(
                f"x.at[...].{action}: cannot write values of shape {v.shape} to a place of shape"
                f" {places.shape}; the shapes must match or broadcast"
            )
        return broadcast_to(v, places.shape), places

    def _written(self, v: Tensor, places: Tensor, mode: str) -> Tensor:
        x = self.x
        return reshape(scatter(reshape(x, (-1,)), v, (places,), (0,), mode), x.shape)


def _merged(v: Tensor, places: Tensor, f: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    """The values in the order of their places, the last one for each put together of all.

    By doubling distances, as `cumprod`.
    """
    v, places = reshape(v, (-1,)), reshape(places, (-1,))
    order = argsort(places)
    v, places = take(v, order), take(places, order)
    distance = 1
    while distance < places.size:
        same = places[distance:] == places[:-distance]
        rest = where(same, f(v[:-distance], v[distance:]), v[distance:])
        v = concat([v[:distance], rest])
        distance *= 2
    return v, places


def _fitted(v: Tensor, x: Tensor, op: str) -> Tensor:
    """`v` in the dtype of `x`, unless that has no place for numbers of its kind."""
    if v.size and v.dtype != x.dtype and _kind(v.dtype) > _kind(x.dtype):
        raise DTypeError(
            f"{op}: cannot write {v.dtype} into a tensor of dtype {x.dtype}; convert with astype"
        )
    return v.astype(x.dtype, copy=False)


def _kind(dtype: np.dtype) -> int:
    """0 for bool, 1 for integers, 2 for floating-point and 3 for complex numbers."""
    if dtype in inexact:
        return 3 if dtype.kind == "c" else 2
    return int(dtype in integral)


class AtFactory:
    """What `x.at` is: waits for the index in brackets."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> At:
        return At(self.x, Index(index, self.x.shape))


# -- functions -------------------------------------------------------------------------------------


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


def scatter_add(x: Any, index: Any, values: Any, /) -> Tensor:
    """A copy of `x` with `values` added at x[index]; repeated places add up.

    >>> import slotgrad as sg
    >>> sg.scatter_add(sg.zeros(3), [0, 2, 2], sg.ones(3))
    tensor([1., 0., 2.])
    """
    return as_tensor(x).at[index].add(values)


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
