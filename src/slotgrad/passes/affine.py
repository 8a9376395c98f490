"""affine: index arrays that count in even steps, and how tensors are read at them.

    >>> form = affine(np.array([3, 4, 5, 20, 21, 22]))
    >>> form
    Affine(offset=3, sizes=(2, 3), strides=(17, 1))
    >>> import slotgrad as sg
    >>> view(sg.arange(40), form)
    tensor([[ 3,  4,  5],
            [20, 21, 22]])

A view is made of cuts, reshapes and permutations, which cost nothing in a kernel and whose
derivatives add to the same places.  May import the floor and ops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..ops.movement import concat, cut, permute_dims, reshape
from ..tensor import Tensor

MOST_WINDOWS = 32  # shifted views that stand for windows which overlap


@dataclass(frozen=True)
class Affine:
    """Index (i, j, ...) of an array over `sizes` is offset + i * strides[0] + j * strides[1] ..."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of indices."""
        return math.prod(self.sizes)

    @property
    def cuts(self) -> tuple[int, ...]:
        """After how many elements each axis, from the last one on, begins anew."""
        return cuts_of(self.sizes)

    def over(self, sizes: tuple[int, ...]) -> Affine:
        """The same indices over finer axes, which have all of `cuts` among theirs.

        >>> Affine(0, (4,), (5,)).over((2, 2))
        Affine(offset=0, sizes=(2, 2), strides=(10, 5))
        """
        strides: list[int] = []
        axis, done = len(self.sizes) - 1, 1
        for n in reversed(sizes):
            if axis >= 0 and done == self.sizes[axis]:
                axis, done = axis - 1, 1
            strides.append(done * self.strides[axis] if axis >= 0 else 0)
            done *= n
        return Affine(self.offset, sizes, tuple(reversed(strides)))

    def at(self, axis: int, number: int) -> Affine:
        """The indices that are number `number` along an axis, over the other axes.

        >>> Affine(0, (2, 3), (10, 1)).at(0, 1)
        Affine(offset=10, sizes=(3,), strides=(1,))
        """
        sizes, strides = list(self.sizes), list(self.strides)
        del sizes[axis]
        offset = self.offset + number * strides.pop(axis)
        return Affine(offset, tuple(sizes), tuple(strides))

    def array(self) -> np.ndarray:
        """The indices; axes along which they do not change have size 1."""
        grid = np.array(self.offset, np.int64)
        for axis, (n, stride) in enumerate(zip(self.sizes, self.strides)):
            shape = [1] * len(self.sizes)
            shape[axis] = n if stride else 1
            grid = grid + (np.arange(shape[axis]) * stride).reshape(shape)
        return grid


def row_major(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array that is stored without gaps.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))


def affine(index: np.ndarray) -> Affine | None:
    """An index array with one axis in affine form, with as few axes as can be; else None.

    The first run of equal steps is the last axis; if all rows of that length repeat it, their
    first elements are looked at in the same way.
    """
    rest, sizes, strides = index, [], []
    while rest.size > 1:
        step = int(rest[1]) - int(rest[0])
        changes = rest[1:] - rest[:-1] != step
        change = int(changes.argmax())
        size = change + 1 if changes[change] else rest.size
        if size == 1 or rest.size % size:
            return None
        rows = rest.reshape(-1, size)
        rest = rows[:, 0]
        if changes.reshape(-1)[: (rest.size - 1) * size].reshape(-1, size)[:, :-1].any():
            return None
        if changes[(rest.size - 1) * size :].any():
            return None
        sizes.append(size)
        strides.append(step)
    return Affine(int(rest[0]), tuple(reversed(sizes)), tuple(reversed(strides)))


# -- axes that several index arrays agree on -------------------------------------------------------


def cuts_of(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The products of the last 1, 2, ... sizes.

    >>> cuts_of((2, 3, 4))
    (4, 12, 24)
    """
    return tuple(math.prod(sizes[i:]) for i in reversed(range(len(sizes))))


def sizes_of(cuts: Iterable[int]) -> tuple[int, ...] | None:
    """The axes that begin anew at these cuts, or None where they do not fit in each other.

    >>> sizes_of({24, 4, 12}), sizes_of({2, 3})
    ((2, 3, 4), None)
    """
    sizes, done = [], 1
    for c in sorted(cuts):
        if c % done:
            return None
        if c != done:
            sizes.append(c // done)
        done = c
    return tuple(reversed(sizes))


# -- reading ---------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """Of the last axis: cut `size` elements from `start` on, `step` apart, then fold them into
    rows of `row`."""

    start: int
    size: int
    step: int
    row: int | None


def _walked(form: Affine) -> list[int]:
    """The axes along which the index changes, the longest steps first."""
    axes = [i for i, (n, s) in enumerate(zip(form.sizes, form.strides)) if s and n > 1]
    return sorted(axes, key=lambda i: -form.strides[i])


def _steps(form: Affine, length: int) -> list[_Step] | None:
    """How to read an array of `length` elements, strides all positive; None where axes overlap."""
    axes = _walked(form)
    start, found = form.offset, []
    for position, axis in enumerate(axes[:-1]):
        size, stride = form.sizes[axis], form.strides[axis]
        inner = sum((form.sizes[i] - 1) * form.strides[i] for i in axes[position + 1 :])
        begin = min(start, length - size * stride)
        if begin < 0 or start - begin + inner >= stride:
            return None
        found.append(_Step(begin, size * stride, 1, stride))
        start, length = start - begin, stride
    size, stride = (form.sizes[axes[-1]], form.strides[axes[-1]]) if axes else (1, 1)
    found.append(_Step(start, size, stride, None))
    return found


def _upwards(form: Affine) -> tuple[Affine, tuple[int, ...]]:
    """The form with negative strides turned round, and the axes that are."""
    turned = tuple(i for i, s in enumerate(form.strides) if s < 0)
    offset = form.offset + sum(form.strides[i] * (form.sizes[i] - 1) for i in turned)
    return Affine(offset, form.sizes, tuple(map(abs, form.strides))), turned


def _readable(form: Affine, length: int) -> Affine | None:
    """The form, or the same with fewer axes, if it can be read without windows."""
    if _steps(form, length) is not None:
        return form
    fewer = _merged(form)
    return None if _steps(fewer, length) is None else fewer


def _merged(form: Affine) -> Affine:
    """The same indices with an axis less wherever two count on evenly."""
    sizes: list[int] = []
    strides: list[int] = []
    for n, s in zip(form.sizes, form.strides):
        if n == 1:
            continue
        if sizes and strides[-1] == n * s:
            sizes[-1], strides[-1] = sizes[-1] * n, s
        else:
            sizes.append(n)
            strides.append(s)
    return Affine(form.offset, tuple(sizes), tuple(strides))


def fits(form: Affine, length: int) -> bool:
    """Whether `view` can read an array of this length so."""
    form, _ = _upwards(form)
    return _readable(form, length) is not None or _windows(form, length) is not None


def overlap(form: Affine, length: int) -> int | None:
    """The axis along which windows move that overlap; None if an array can be read without."""
    form, _ = _upwards(form)
    found = None if _readable(form, length) else _windows(form, length)
    return None if found is None else found[0]


def _windows(
    form: Affine, length: int, most: int = MOST_WINDOWS
) -> tuple[int, list[Affine]] | None:
    """A short axis that changes, and what remains for each index of it, all of which can be read.

    Where windows move along two axes, so that what remains overlaps too, in windows in its turn.
    """
    for axis in sorted(_walked(form), key=lambda i: form.sizes[i]):
        size, stride = form.sizes[axis], form.strides[axis]
        if size > most:
            break
        sizes = (*form.sizes[:axis], 1, *form.sizes[axis + 1 :])
        rest = [Affine(form.offset + i * stride, sizes, form.strides) for i in range(size)]
        if all(_readable(w, length) or _windows(w, length, most // size) for w in rest):
            return axis, rest
    return None


def view(x: Tensor, form: Affine) -> Tensor:
    """The elements of a tensor with one axis, over the axes of the form.

    Axes along which the index does not change have size 1.
    """
    form, turned = _upwards(form)
    readable = _readable(form, x.size)
    if readable is None:
        windows = _windows(form, x.size)
        assert windows is not None, f"{form} does not fit {x.size} elements"
        out = concat([view(x, w) for w in windows[1]], axis=windows[0])
    else:
        out = _read(x, readable)
        out = reshape(out, tuple(n if s else 1 for n, s in zip(form.sizes, form.strides)))
    if not turned:
        return out
    starts = tuple(n - 1 if i in turned else 0 for i, n in enumerate(out.shape))
    return cut(out, starts, out.shape, tuple(-1 if i in turned else 1 for i in range(out.ndim)))


def _read(x: Tensor, form: Affine) -> Tensor:
    """The elements over the axes of the form."""
    axes = _walked(form)
    still = [i for i in range(len(form.sizes)) if i not in axes]
    steps = _steps(form, x.size) or []
    x = reshape(x, (*[1] * len(still), x.size))  # here at the latest: a cut can not be reshaped
    for start, size, step, row in steps:
        lead = x.shape[:-1]
        ones = (1,) * len(lead)
        x = cut(x, (*[0] * len(lead), start), (*lead, size), (*ones, step))
        if row is not None:
            x = reshape(x, (*lead, size // row, row))
    if not axes:
        return reshape(x, (1,) * len(still))
    order = [*still, *axes]
    places = [order.index(i) for i in range(len(order))]
    return x if places == sorted(places) else permute_dims(x, places)
