"""Gather and scatter: the primitives that read and write at arrays of indices.

For axes (i, j, ...) and integer arrays of one broadcast shape, gather is x[a, b, ...] with the
arrays at these axes, and scatter writes or adds at the same places; where the index axes stand
in the result is NumPy's rule.  Each one's derivative is made of the other.

May import the floor, declare and movement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import BoundsError, UsageError
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import TensorType, broadcast_shapes, constant, structured, zeros_of
from .movement import broadcast_to, moveaxis, reshape


def _position(axes: tuple[int, ...]) -> int:
    """Where the index axes stand in the result: in place if adjacent, otherwise in front."""
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    return axes[0] if adjacent else 0


def gathered_shape(x: tuple, indices: Sequence[tuple], axes: tuple) -> tuple[int, ...]:
    """The shape of x[...] at indices of these shapes for `axes`."""
    rest = [n for i, n in enumerate(x) if i not in axes]
    at = _position(axes)
    return (*rest[:at], *broadcast_shapes("index", *indices), *rest[at:])


def _at(ndim: int, indices: Sequence[Any], axes: tuple) -> tuple:
    index: list[Any] = [slice(None)] * ndim
    for axis, i in zip(axes, indices):
        index[axis] = i
    return tuple(index)


def refused_index(error: Exception, indices: Sequence[Any]) -> UsageError:
    """The specific error for integer arrays that NumPy did not take."""
    broadcast_shapes("index", *[np.shape(i) for i in indices])  # raises if that is the reason
    return BoundsError(f"index: {error}; expected indices from -size to size - 1")


def _batched_indices(size: int, indices: Sequence[Tensor], flags: tuple) -> list[Tensor]:
    """Indices that all carry the batch axis, with the example's own number in front."""
    rank = max(i.ndim - b for i, b in zip(indices, flags))
    numbers = constant(np.arange(size).reshape((size,) + (1,) * rank))
    full = [
        reshape(i, (size, *(1,) * (rank - i.ndim + 1), *i.shape[1:])) if b else i
        for i, b in zip(indices, flags)
    ]
    return [numbers, *full]


@structured("gather", accepts="any")
class _gather:
    """x at integer arrays for some axes."""

    def type(x: TensorType, *indices: TensorType, axes: tuple) -> TensorType:
        return TensorType(gathered_shape(x.shape, [i.shape for i in indices], axes), x.dtype)

    def value(x: np.ndarray, *indices: np.ndarray, axes: tuple) -> Any:
        try:
            return x[_at(x.ndim, indices, axes)]
        except IndexError as error:
            raise refused_index(error, indices) from None

    def vjp(g: Tensor, out: Tensor, x: Tensor, *indices: Tensor, axes: tuple) -> tuple:
        added = lambda: scatter(zeros_of(x), g, indices, axes, "add")  # noqa: E731
        return (added, *[None] * len(indices))

    def jvp(tangents: tuple, out: Tensor, x: Tensor, *indices: Tensor, axes: tuple) -> Any:
        return None if tangents[0] is None else gather(tangents[0], indices, axes)

    def batch(batched: tuple, x: Tensor, *indices: Tensor, axes: tuple) -> Tensor:
        inner = tuple(a + 1 for a in axes)
        at = _position(axes)
        if not any(batched[1:]):
            out = gather(x, indices, inner)
            count = out.ndim - (x.ndim - len(axes))
            return out if _position(inner) else moveaxis(out, count, 0)
        if batched[0]:
            size = x.shape[0]
            out = gather(x, _batched_indices(size, indices, batched[1:]), (0, *inner))
            count = out.ndim - (x.ndim - len(axes) - 1) - 1  # index axes behind the batch axis
            sources = tuple(range(1, 1 + count))
            return moveaxis(out, sources, tuple(range(1 + at, 1 + at + count)))
        full = _batched_indices(
            next(i.shape[0] for i, b in zip(indices, batched[1:]) if b), indices, batched[1:]
        )
        return moveaxis(gather(x, full[1:], axes), at, 0)

    def kernel(k: Any, x: Any, *indices: Any, axes: tuple) -> Any:
        return k.gather(x, indices, axes)


@structured("scatter", accepts="any")
class _scatter:
    """A copy of x with v written (mode "set", the last wins) or added ("add") at indices."""

    def type(
        x: TensorType, v: TensorType, *indices: TensorType, axes: tuple, mode: str
    ) -> TensorType:
        return TensorType(x.shape, x.dtype)

    def value(x: np.ndarray, v: np.ndarray, *indices: np.ndarray, axes: tuple, mode: str) -> Any:
        out = x.copy()
        where = _at(x.ndim, indices, axes)
        try:
            if mode == "add":
                np.add.at(out, where, v)
            else:
                out[where] = v
        except IndexError as error:
            raise refused_index(error, indices) from None
        return out

    def vjp(
        g: Tensor, out: Tensor, x: Tensor, v: Tensor, *indices: Tensor, axes: tuple, mode: str
    ) -> tuple:
        none = [None] * len(indices)
        if mode == "add":
            return (g, lambda: gather(g, indices, axes), *none)

        def written() -> Tensor:  # of several values for one place only the last counts
            numbers = constant(np.arange(v.size).reshape(v.shape))
            blank = constant(np.zeros(x.shape, np.int64))
            last = gather(scatter(blank, numbers, indices, axes, "set"), indices, axes)
            return gather(g, indices, axes) * (last == numbers).astype(g.dtype)

        return (lambda: scatter(g, zeros_of(v), indices, axes, "set"), written, *none)

    def jvp(
        tangents: tuple, out: Tensor, x: Tensor, v: Tensor, *indices: Tensor, axes: tuple, mode: str
    ) -> Any:
        if tangents[0] is None and tangents[1] is None:
            return None
        tx, tv = (zeros_of(p) if t is None else t for t, p in zip(tangents, (x, v)))
        return scatter(tx, tv, indices, axes, mode)

    def batch(
        batched: tuple, x: Tensor, v: Tensor, *indices: Tensor, axes: tuple, mode: str
    ) -> Tensor:
        size = next(t.shape[0] for t, b in zip((x, v, *indices), batched) if b)
        x = x if batched[0] else broadcast_to(x, (size, *x.shape))
        v = v if batched[1] else broadcast_to(v, (size, *v.shape))
        at = _position(axes)
        count = v.ndim - 1 - (x.ndim - 1 - len(axes))  # index axes, which go behind the batch
        v = moveaxis(v, tuple(range(1 + at, 1 + at + count)), tuple(range(1, 1 + count)))
        full = _batched_indices(size, indices, batched[2:])
        return scatter(x, v, full, (0, *(a + 1 for a in axes)), mode)

    def kernel(k: Any, x: Any, v: Any, *indices: Any, axes: tuple, mode: str) -> Any:
        return k.scatter(x, v, indices, axes, mode)


def gather(x: Tensor, indices: Sequence[Tensor], axes: tuple[int, ...]) -> Tensor:
    """x at integer tensors for `axes`, which ascend; the result's axes are NumPy's."""
    return apply(_gather, (x, *indices), {"axes": axes})


def scatter(x: Tensor, v: Tensor, indices: Sequence[Tensor], axes: tuple, mode: str) -> Tensor:
    """The opposite of gather: v, of gather's shape, written to or added at those places."""
    return apply(_scatter, (x, v, *indices), {"axes": axes, "mode": mode})
