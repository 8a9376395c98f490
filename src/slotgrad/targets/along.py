"""What looks along an axis: where the largest element is, and running sums.

May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import bool_, int32, int64
from ..kernel.indexed import (
    ArgReduce,
    Scan,
)
from ..kernel.ir import View
from .lanes import Value, computed
from .module import Module
from .nest import Pointers
from .vector import Vector
from .walk import Carried, Vectors, Walk, buffers, merged

_FEW = 8  # elements of a line that are found faster beside other lines than along it


def beside(x: View, axis: int, out: View) -> tuple[tuple[int, ...], View, View]:
    """The lines along an axis: the shape of what remains, x with the axis in front, out."""
    lines = x.permuted((axis, *(i for i in range(len(x.shape)) if i != axis)))
    rest = View(x.buffer, lines.shape[1:], lines.strides[1:], x.offset)
    shape, (rest, out) = merged(rest.shape, [rest, out])
    n, stride = lines.shape[0], lines.strides[0]
    return shape, View(x.buffer, (n, *shape), (stride, *rest.strides), x.offset), out


def arg_reduce(s: ArgReduce, name: str, module: Module, pointers: Pointers) -> str:
    """Best elements and their places in vectors: along the axis, or lines beside each other."""
    shape, x, out = beside(s.x, s.axis, s.out)
    n = x.shape[0]
    place = int32 if n < 2**31 else int64
    walk = Walk(module, pointers, max(computed(x.dtype).itemsize, place.itemsize))
    x = walk.raw(x) if x.dtype == bool_ else x
    near = n > _FEW and abs(x.strides[0]) < abs(x.strides[-1])
    write = _arg_along if near or not shape else _arg_across
    write(walk, s.best, x, shape, out, place)
    return walk.function(name, buffers(s))


def _better(k: Vector, x: Value, best: Value) -> Value:
    """Where x comes before the best element yet: if it is larger, or the first nan."""
    if x.dtype.kind != "f":
        return x > best
    larger = k.emit(bool_, f"fcmp ugt {x}, {best.name}")
    return larger & (best == best)


def _oriented(k: Vector, x: Value, best: str) -> Value:
    """x, turned so that the best one is the largest."""
    return x if best == "max" else -x if x.dtype.kind == "f" else ~x


def _arg_across(
    walk: Walk, best: str, x: View, shape: tuple[int, ...], out: View, place: np.dtype
) -> None:
    k = walk.k
    *outer, inner = shape
    with walk.loops(outer) as indices:
        to = walk.base(out, indices)

        def body(vectors: Vectors) -> None:
            def row(r: str) -> list[Value]:
                base = walk.base(x, [r, *indices])
                return [_oriented(k, walk.load(x, base, i, mask), best) for i, mask in vectors]

            def step(trip: str, state: Carried) -> Carried:
                r = walk.index(trip, 1, 1)
                here, following = walk.counted(r, place), []
                for new, old, at in zip(row(r), state[::2], state[1::2]):
                    better = _better(k, new, old)
                    following += [k.select(better, new, old), k.select(better, here, at)]
                return following

            start = [y for new in row("0") for y in (new, k.constant(0, place))]
            found = walk.carried(x.shape[0] - 1, start, step)[1::2]
            for (i, mask), at in zip(vectors, found):
                walk.store(k.cast(at, int64), out, to, i, mask)

        walk.blocks(inner, 4, body)


def _arg_along(
    walk: Walk, best: str, x: View, shape: tuple[int, ...], out: View, place: np.dtype
) -> None:
    k, n, iota = walk.k, x.shape[0], walk.iota(place)
    line = View(x.buffer, (*shape, n), (*x.strides[1:], x.strides[0]), x.offset)
    chains = 4 if n >= 8 * k.lanes else 1  # vectors beside each other
    with walk.loops(list(shape)) as indices:
        base = walk.base(line, indices)

        def step(i: str, mask: Value | None, state: Carried) -> Carried:
            new = _oriented(k, walk.load(line, base, i, mask), best)
            better = _better(k, new, state[0])
            better = better if mask is None else better & mask
            here = walk.counted(i, place) + iota
            return [k.select(better, new, state[0]), k.select(better, here, state[1])]

        # Where nothing is better than nothing, the first place of each lane is right.
        nothing = _lowest(k, computed(line.dtype))
        start = [y for chain in range(chains) for y in (nothing, iota + chain * k.lanes)]
        found = _first(walk, walk.vectors(n, start, step, chains))
        k.line(f"store i64 {found}, ptr {walk.base(out, indices)}")


def _lowest(k: Vector, dtype: np.dtype) -> Value:
    """Nothing is smaller."""
    return k.constant(-math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min), dtype)


def _first(walk: Walk, state: Carried) -> str:
    """The smallest of the places where the largest of some vectors' elements are."""
    k = walk.k
    keys = [sortable(k, x) for x in state[::2]]
    largest = keys[0]
    for key in keys[1:]:
        largest = k.max(largest, key)
    top = walk.horizontal("max", largest)
    last = int(np.iinfo(state[1].dtype).max)
    where = [k.select(key == top, at, last) for key, at in zip(keys, state[1::2])]
    first = where[0]
    for at in where[1:]:
        first = k.min(first, at)
    found = walk.first_lane(walk.horizontal("min", first))
    return found if first.dtype == int64 else walk.value(f"sext i32 {found} to i64")


def sortable(k: Vector, x: Value) -> Value:
    """Unsigned integers in the order of x; the two zeros are one, and nan is the largest."""
    dtype = np.dtype(f"u{x.dtype.itemsize}")
    if x.dtype.kind in "bu":
        return k.cast(x, dtype)
    top = 8 * dtype.itemsize - 1
    sign = k.constant(-(2**top), np.dtype(f"i{dtype.itemsize}"))
    if x.dtype.kind == "i":
        return k.cast(x ^ sign, dtype)
    bits = k.bits(x + 0.0)
    key = k.cast(bits ^ ((bits >> top) | sign), dtype)
    return k.select(x == x, key, 2 ** (top + 1) - 1)


def scan(s: Scan, name: str, module: Module, pointers: Pointers) -> str:
    """Lines beside each other: a vector of them, or some single ones if they are contiguous."""
    rows = s.out.permuted((s.axis, *(i for i in range(len(s.out.shape)) if i != s.axis)))
    rest = View(rows.buffer, rows.shape[1:], rows.strides[1:], rows.offset)
    shape, x, rest = beside(s.x, s.axis, rest)
    out = View(rows.buffer, x.shape, (rows.strides[0], *rest.strides), rows.offset)
    dtype = s.out.dtype
    size = max(computed(x.dtype).itemsize, computed(dtype).itemsize)
    across = shape and out.strides[-1] == 1
    walk = Walk(module, pointers, size if across else 0)
    k = walk.k
    *outer, inner = shape or (1,)
    with walk.loops(outer) as indices:

        def body(vectors: Vectors) -> None:
            def row(r: str, state: Carried) -> Carried:
                base, to = walk.base(x, [r, *indices]), walk.base(out, [r, *indices])
                sums = [k.cast(walk.load(x, base, i, mask), dtype) for i, mask in vectors]
                if state:
                    sums = [k.cast(total + new, dtype) for total, new in zip(state, sums)]
                for total, (i, mask) in zip(sums, vectors):
                    walk.store(total, out, to, i, mask)
                return sums

            walk.carried(x.shape[0] - 1, row("0", []), lambda r, t: row(walk.index(r, 1, 1), t))

        walk.blocks(inner, 4, body)
    return walk.function(name, buffers(s))
