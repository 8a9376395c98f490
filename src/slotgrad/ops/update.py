"""Changed elements: x[...] = values in place, x.at[...] for changed copies.

May import the floor, declare, arithmetic, movement, gather, order and index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import modes
from ..dtypes import bool_, inexact, integral
from ..errors import DTypeError, GradientError, ShapeError, UsageError, describe_site, user_site
from ..graph.apply import apply
from ..tensor import Tensor
from .arithmetic import add, maximum, minimum, mul, where
from .declare import as_tensor, broadcast_shapes, constant
from .gather import gather, gathered_shape, refused_index, scatter
from .index import Index, take
from .movement import broadcast_to, concat, reshape
from .order import argsort


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
        move_on(x, AtFactory(x)[index].set(values), "x[...] = values")


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
        x, index = self.x, self.index
        if not index.is_gather(x.shape):
            return self._written(*self._values(values, action or mode), mode)
        axes = tuple(index.axes)
        shape = gathered_shape(x.shape, [i.shape for i in index.arrays], axes)
        v = self._spread(values, shape, action or mode)
        return scatter(x, v, index.arrays, axes, mode)

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
        return self._of(ones)._combine(values, mul, action)

    def _of(self, x: Tensor) -> At:
        """The same places of another tensor."""
        return At(x, self.index)

    def _values(self, values: Any, action: str) -> tuple[Tensor, Tensor]:
        """The values, and for each one its place in the flattened tensor."""
        places = self.index.numbers(self.x.shape)
        return self._spread(values, places.shape, action), places

    def _spread(self, values: Any, shape: tuple[int, ...], action: str) -> Tensor:
        """The values as a tensor of x's dtype and the shape of x[index]."""
        v = _fitted(as_tensor(values, self.x.dtype), self.x, f"x.at[...].{action}")
        if broadcast_shapes("x.at", v.shape, shape) != shape:
            raise ShapeError(
                f"x.at[...].{action}: cannot write values of shape {v.shape} to a place of shape"
                f" {shape}; the shapes must match or broadcast"
            )
        return broadcast_to(v, shape)

    def _written(self, v: Tensor, places: Tensor, mode: str) -> Tensor:
        x = self.x
        return reshape(scatter(reshape(x, (-1,)), v, (places,), (0,), mode), x.shape)


class AtMask(At):
    """`x.at[mask]` where the values of the mask are not known, nor how many elements it names.

    So all places of the mask get the same values.
    """

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        self.x, self.mask = x, mask

    def get(self) -> Tensor:
        """Raises, since x[mask] has no shape yet."""
        return Index(self.mask, self.x.shape).read(self.x)

    def _scatter(self, values: Any, mode: str, action: str = "") -> Tensor:
        return self._combine(values, add if mode == "add" else lambda x, v: v, action or mode)

    def _combine(self, values: Any, f: Callable[..., Tensor], action: str) -> Tensor:
        x, mask = self.x, self.mask
        v = _fitted(as_tensor(values, x.dtype), x, f"x.at[...].{action}")
        rest = x.shape[mask.ndim :]
        if v.ndim > len(rest):
            self.get()
        chosen = reshape(mask, (*mask.shape, *[1] * len(rest)))
        return where(chosen, f(x, broadcast_to(v, rest)), x)

    def _of(self, x: Tensor) -> At:
        return AtMask(x, self.mask)


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
        x = self.x
        recorded = modes.capture is not None and isinstance(index, Tensor)
        if recorded and index.dtype == bool_ and index.shape == x.shape[: index.ndim] != ():
            return AtMask(x, index)
        return At(x, Index(index, x.shape))


def scatter_add(x: Any, index: Any, values: Any, /) -> Tensor:
    """A copy of `x` with `values` added at x[index]; repeated places add up.

    >>> import slotgrad as sg
    >>> sg.scatter_add(sg.zeros(3), [0, 2, 2], sg.ones(3))
    tensor([1., 0., 2.])
    """
    return as_tensor(x).at[index].add(values)
