"""The LLVM text of the statements of kernel.indexed: one function for each.

Pointers are named as in the other loops: `%b3` for the buffer that `number` calls 3, in the
order of `buffers`.  Sizes and strides are constants in the code.  May import the floor, kernel
and the writers of LLVM text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtypes import bool_, int32, int64, uint32, uint64
from ..kernel.indexed import (
    ArgReduce,
    Check,
    Gather,
    Index,
    RandomBits,
    Scan,
    Scatter,
    Sort,
    places,
)
from ..kernel.ir import Buffer, View
from .lanes import Module, Value, computed, stored
from .nest import Nest
from .vector import Vector

Number = dict[Buffer, int]
Carried = list[Value]
Vectors = list[tuple[str, Value | None]]  # where vectors start, and their masks


def write(statement: Any, name: str, module: Module, number: Number) -> str:
    """The text of the function `name`; of a `Check` it returns i32, not 0 for a failure."""
    return _WRITERS[type(statement)](statement, name, module, number)


def buffers(statement: Any) -> list[Buffer]:
    """The buffers of a statement, each once, in the order of the function's pointers."""
    return list(dict.fromkeys(v.buffer for v in (*statement.reads, *statement.writes)))


def merged(shape: tuple[int, ...], views: list[View]) -> tuple[tuple[int, ...], list[View]]:
    """The loop with axes of size 1 left out, and neighbours that all views walk as one joined."""
    sizes: list[int] = []
    columns: list[list[int]] = []
    for i, n in enumerate(shape):
        strides = [v.strides[i] for v in views]
        if n == 1:
            continue
        if columns and all(a == s * n for a, s in zip(columns[-1], strides)):
            sizes[-1] *= n
            columns[-1] = strides
        else:
            sizes.append(n)
            columns.append(strides)
    joined = (tuple(c[j] for c in columns) for j in range(len(views)))
    return tuple(sizes), [
        View(v.buffer, tuple(sizes), strides, v.offset) for v, strides in zip(views, joined)
    ]


class Walk(Nest):
    """A nest with single numbers, and with loops that carry vectors from turn to turn."""

    def __init__(self, module: Module, number: Number, itemsize: int = 0) -> None:
        """Vectors of elements of this size; 0 is for single elements."""
        lanes = module.host.vector_bytes // itemsize if itemsize else 1
        super().__init__(Vector(module, lanes), number)
        self.module = module

    def function(self, name: str, used: list[Buffer], status: str = "") -> str:
        """All that was written, as a function that returns the i32 `status`, if it has one."""
        arguments = ", ".join(f"ptr %b{self.number[b]}" for b in used)
        header = f"define internal {'i32' if status else 'void'} @{name}({arguments}) nounwind"
        lines = [*self.text()[:-1], f"  ret i32 {status}" if status else "  ret void"]
        return "\n".join([f'{header} "prefer-vector-width"="512" {{', *lines, "}\n"])

    def value(self, instruction: str) -> str:
        name = self.k.fresh()
        self.k.line(f"{name} = {instruction}")
        return name

    def iota(self, dtype: np.dtype) -> Value:
        """0, 1, 2 ... in the lanes."""
        kind = f"i{8 * dtype.itemsize}"
        numbers = ", ".join(f"{kind} {lane}" for lane in range(self.k.lanes))
        return Value(f"<{numbers}>", dtype, self.k)

    def counted(self, i: str, dtype: np.dtype) -> Value:
        """The index i in all lanes."""
        if i.isdigit():
            return self.k.constant(int(i), dtype)
        if dtype.itemsize < 8:
            i = self.value(f"trunc i64 {i} to i{8 * dtype.itemsize}")
        return self.k.splat(i, dtype)

    # -- loops -------------------------------------------------------------------------------------

    def each(self, n: int, body: Callable[[str, Value | None], None]) -> None:
        """`body` for every vector of n elements, the last one under a mask."""

        def step(i: str, mask: Value | None, state: Carried) -> Carried:
            body(i, mask)
            return state

        self.vectors(n, [], step)

    def mask(self, count: int) -> Value | None:
        """The first lanes; None is all of them."""
        if count >= self.k.lanes:
            return None
        lanes = ", ".join(f"i1 {str(lane < count).lower()}" for lane in range(self.k.lanes))
        return Value(f"<{lanes}>", bool_, self.k)

    def blocks(self, n: int, width: int, body: Callable[[Vectors], None]) -> None:
        """`body` for the starts and masks of `width` vectors at a time, and of the rest."""
        lanes = self.k.lanes
        many = n // (lanes * width)
        if many:
            with self.loops([many]) as (trip,):
                i = self.index(trip, lanes * width, 0)
                body([(self.index(i, 1, v * lanes), None) for v in range(width)])
        starts = range(many * lanes * width, n, lanes)
        if starts:
            with self.k.scope():
                body([(str(i), self.mask(n - i)) for i in starts])

    # -- memory ------------------------------------------------------------------------------------

    def store(self, x: Value, view: View, base: str, i: str, mask: Value | None) -> None:
        """As any nest does, but a lone first lane is stored as an element.

        LLVM 22 turns a masked store of one constant lane into a store of four bytes, if the
        elements were truncated to fewer (llvm-project issue 179489).
        """
        if mask is None or mask.name.count("true") > 1:
            super().store(x, view, base, i, mask)
            return
        k, kind = self.k, stored(view.dtype)
        packed = k.pack(x, view.dtype)
        lane = self.value(f"extractelement <{k.lanes} x {kind}> {packed.name}, i32 0")
        at = self.value(f"mul i64 {i}, {view.strides[-1] if view.strides else 1}")
        at = self.value(f"getelementptr {kind}, ptr {base}, i64 {at}")
        k.line(f"store {kind} {lane}, ptr {at}, align {view.dtype.itemsize}")

    def at(self, x: View, found: Sequence[Index], indices: list[str]) -> str:
        """The address of an element of x, moved by arrays of indices."""
        pointer = self.base(x, indices)
        for index in found:
            dtype = index.view.dtype
            kind = stored(dtype)
            i = self.value(f"load {kind}, ptr {self.base(index.view, indices)}")
            if dtype.itemsize < 8:
                i = self.value(f"{'sext' if dtype.kind == 'i' else 'zext'} {kind} {i} to i64")
            before = self.value(f"icmp slt i64 {i}, 0")
            from_end = self.value(f"add i64 {i}, {index.size}")
            i = self.value(f"select i1 {before}, i64 {from_end}, i64 {i}")
            step = self.value(f"mul i64 {i}, {index.stride}")
            pointer = self.value(f"getelementptr {stored(x.dtype)}, ptr {pointer}, i64 {step}")
        return pointer

    def raw(self, view: View) -> View:
        """The same memory as unsigned integers, which are moved as they are."""
        dtype = np.dtype(f"u{view.dtype.itemsize}")
        if view.dtype == dtype:
            return view
        same = replace(view.buffer, dtype=dtype)
        self.number = {**self.number, same: self.number[view.buffer]}
        return replace(view, buffer=same)

    def move(self, x: View, out: View) -> None:
        """out = x."""
        shape, (x, out) = merged(out.shape, [self.raw(x), self.raw(out)])
        *outer, inner = shape or (1,)
        with self.loops(outer) as indices:
            start, to = self.base(x, indices), self.base(out, indices)
            self.each(
                inner, lambda i, mask: self.store(self.load(x, start, i, mask), out, to, i, mask)
            )


# -- indices ---------------------------------------------------------------------------------------


def _check(s: Check, name: str, module: Module, number: Number) -> str:
    """The largest index + size, unsigned, tells of indices on either side."""
    walk = Walk(module, number, 8)
    k = walk.k
    shape, (index,) = merged(s.index.shape, [s.index])

    def over(sizes: Sequence[int], indices: list[str], state: Carried) -> Carried:
        n, *inner = sizes
        if inner:
            return walk.carried(n, state, lambda i, x: over(inner, [*indices, i], x))
        base = walk.base(index, indices)

        def step(i: str, mask: Value | None, state: Carried) -> Carried:
            moved = k.cast(walk.load(index, base, i, mask), int64) + s.size
            moved = k.cast(moved, uint64)
            if mask is not None:
                moved = k.select(mask, moved, 0)
            return [k.max(state[0], moved)]

        return walk.vectors(n, state, step)

    found = over(shape or (1,), [], [k.constant(0, uint64)])[0]
    largest = walk.first_lane(walk.horizontal("max", found))
    failed = walk.value(f"icmp uge i64 {largest}, {2 * s.size}")
    return walk.function(name, buffers(s), walk.value(f"zext i1 {failed} to i32"))


def _gather(s: Gather, name: str, module: Module, number: Number) -> str:
    """Rows where the last axis is one of x's own, single elements where it is of the indices."""
    x, found = places(s.x, s.indices, s.axes)
    shape, (x, out, *arrays) = merged(x.shape, [x, s.out, *(i.view for i in found)])
    found = [replace(i, view=v) for i, v in zip(found, arrays)]
    *outer, inner = shape or (1,)
    single = _varies(found)
    walk = Walk(module, number, 0 if single else x.dtype.itemsize)
    x, out = walk.raw(x), walk.raw(out)
    with walk.loops(list(shape) if single else outer) as indices:
        start, to = walk.at(x, found, indices), walk.base(out, indices)
        if single:
            walk.k.store(walk.k.load(x.dtype, start, "0"), x.dtype, to, "0")
        else:
            walk.each(
                inner, lambda i, mask: walk.store(walk.load(x, start, i, mask), out, to, i, mask)
            )
    return walk.function(name, buffers(s))


def _varies(found: Sequence[Index]) -> bool:
    """Whether the last axis of a loop is one of the indices."""
    return any(i.view.strides and i.view.strides[-1] for i in found)


def _scatter(s: Scatter, name: str, module: Module, number: Number) -> str:
    """A copy of x unless out is x, then the elements or rows of v one after the other."""
    used, before = buffers(s), ""
    out, found = places(s.out, s.indices, s.axes)
    shape, (out, v, *arrays) = merged(out.shape, [out, s.v, *(i.view for i in found)])
    found = [replace(i, view=a) for i, a in zip(found, arrays)]
    single = _varies(found) or bool(shape and out.strides[-1] == 0)  # one place for many values
    adds = s.mode == "add"
    dtype = out.dtype
    walk = Walk(module, number, 0 if single else (computed(dtype) if adds else dtype).itemsize)
    if not s.in_place:
        copy = Walk(module, number, dtype.itemsize)
        copy.move(s.x, s.out)
        before = copy.function(f"{name}.copy", used)
        pointers = ", ".join(f"ptr %b{number[b]}" for b in used)
        walk.k.line(f"call void @{name}.copy({pointers})")
    if 0 in shape:
        return before + walk.function(name, used)
    if not adds:
        v, out = walk.raw(v), walk.raw(out)
    *outer, inner = shape or (1,)
    with walk.loops(list(shape) if single else outer) as indices:
        start, to = walk.base(v, indices), walk.at(out, found, indices)

        def body(i: str, mask: Value | None) -> None:
            new = walk.load(v, start, i, mask)
            if adds:
                new = walk.load(out, to, i, mask) + new
            walk.store(new, out, to, i, mask)

        if single:
            new = walk.k.load(v.dtype, start, "0")
            if adds:
                new = walk.k.load(v.dtype, to, "0") + new
            walk.k.store(new, v.dtype, to, "0")
        else:
            walk.each(inner, body)
    return before + walk.function(name, used)


# -- along an axis ---------------------------------------------------------------------------------

_FEW = 8  # elements of a line that are found faster beside other lines than along it


def _beside(x: View, axis: int, out: View) -> tuple[tuple[int, ...], View, View]:
    """The lines along an axis: the shape of what remains, x with the axis in front, out."""
    lines = x.permuted((axis, *(i for i in range(len(x.shape)) if i != axis)))
    rest = View(x.buffer, lines.shape[1:], lines.strides[1:], x.offset)
    shape, (rest, out) = merged(rest.shape, [rest, out])
    n, stride = lines.shape[0], lines.strides[0]
    return shape, View(x.buffer, (n, *shape), (stride, *rest.strides), x.offset), out


def _arg_reduce(s: ArgReduce, name: str, module: Module, number: Number) -> str:
    """Best elements and their places in vectors: along the axis, or lines beside each other."""
    shape, x, out = _beside(s.x, s.axis, s.out)
    n = x.shape[0]
    place = int32 if n < 2**31 else int64
    walk = Walk(module, number, max(computed(x.dtype).itemsize, place.itemsize))
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
    keys = [_sortable(k, x) for x in state[::2]]
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


def _sortable(k: Vector, x: Value) -> Value:
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


def _scan(s: Scan, name: str, module: Module, number: Number) -> str:
    """Lines beside each other: a vector of them, or some single ones if they are contiguous."""
    rows = s.out.permuted((s.axis, *(i for i in range(len(s.out.shape)) if i != s.axis)))
    rest = View(rows.buffer, rows.shape[1:], rows.strides[1:], rows.offset)
    shape, x, rest = _beside(s.x, s.axis, rest)
    out = View(rows.buffer, x.shape, (rows.strides[0], *rest.strides), rows.offset)
    dtype = s.out.dtype
    size = max(computed(x.dtype).itemsize, computed(dtype).itemsize)
    across = shape and out.strides[-1] == 1
    walk = Walk(module, number, size if across else 0)
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


# -- random numbers --------------------------------------------------------------------------------

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def _random_bits(s: RandomBits, name: str, module: Module, number: Number) -> str:
    """Philox 4x32-10: one block of four words in each lane, words in the low halves of 64 bits."""
    walk = Walk(module, number, 8)
    k, total = walk.k, math.prod(s.out.shape)
    words = 4 * k.lanes
    state, out = s.state, replace(s.out, shape=(total,), strides=(1,))
    key = k.spread(uint64, walk.base(state, ["0"]))
    numbers = k.spread(uint64, walk.base(state, ["1"])) + walk.iota(uint64)
    keys = [(key & _LOW, key >> 32)]
    for _ in range(9):
        keys.append(((keys[-1][0] + _WEYL[0]) & _LOW, (keys[-1][1] + _WEYL[1]) & _LOW))

    def block(i: str, count: int) -> None:
        n = numbers + walk.counted(i, uint64)
        a, b, c, d = n, n >> 32, k.constant(0, uint64), k.constant(0, uint64)
        for k0, k1 in keys:  # high halves are of no meaning until the end
            p0, p1 = (a & _LOW) * _MULTIPLIERS[0], (c & _LOW) * _MULTIPLIERS[1]
            a, b, c, d = (p1 >> 32) ^ b ^ k0, p1, (p0 >> 32) ^ d ^ k1, p0
        first, second = (a & _LOW) | (b << 32), (c & _LOW) | (d << 32)
        start = walk.index(i, 4, 0)
        for half in range(2):
            left = min(count - 2 * half * k.lanes, 2 * k.lanes)
            if left > 0:
                lanes = range(half * k.lanes // 2, (half + 1) * k.lanes // 2)
                _store_words(walk, out, start, [x for i in lanes for x in (i, k.lanes + i)],
                             (first, second), 2 * half * k.lanes, left)  # fmt: skip

    full = total // words
    if full:
        with walk.loops([full]) as (trip,):
            block(walk.index(trip, k.lanes, 0), words)
    if total % words:
        block(str(full * k.lanes), total % words)
    return walk.function(name, buffers(s))


def _store_words(
    walk: Walk, out: View, start: str, order: list[int], pair: tuple[Value, Value],
    skipped: int, count: int,
) -> None:  # fmt: skip
    """Lanes of two vectors in an order, as twice as many words; the first `count` are stored."""
    k = walk.k
    lanes = f"<{k.lanes} x i32> <{', '.join(f'i32 {i}' for i in order)}>"
    mixed = k.emit(uint64, f"shufflevector {pair[0]}, {pair[1]}, {lanes}")
    wide = Vector(walk.module, 2 * k.lanes)
    text = wide.type(uint32)
    x = walk.value(f"bitcast {mixed} to {text}")
    at = walk.base(out, [walk.index(start, 1, skipped)])
    if count == wide.lanes:
        k.line(f"store {text} {x}, ptr {at}, align 4")
        return
    mask = ", ".join(f"i1 {str(lane < count).lower()}" for lane in range(wide.lanes))
    function = f"@llvm.masked.store.{wide.memory_suffix(uint32)}"
    walk.module.declare(f"void {function}({text}, ptr, i32, {wide.type(bool_)})")
    k.line(f"call void {function}({text} {x}, ptr {at}, i32 4, {wide.type(bool_)} <{mask}>)")


# -- order -----------------------------------------------------------------------------------------

_SHORT = 24  # lines of fewer elements for each byte of the keys are merged


def _sort(s: Sort, name: str, module: Module, number: Number) -> str:
    """Lines one after the other: keys and indices to words, which are sorted, and back."""
    n, parts = s.x.shape[s.axis], Sort.parts(s.x, s.axis)
    word, digits = f"i{64 * parts}", computed(s.x.dtype).itemsize
    text = _merge_sort if n < _SHORT * digits else _radix_sort
    sorter = f"slotgrad{text.__name__}.{word}"
    module.define(sorter, lambda: text(sorter, word))
    rows = s.out.permuted((*(i for i in range(len(s.out.shape)) if i != s.axis), s.axis))
    rest = View(rows.buffer, rows.shape[:-1], rows.strides[:-1], rows.offset)
    shape, x, rest = _beside(s.x, s.axis, rest)
    x = View(x.buffer, (*shape, n), (*x.strides[1:], x.strides[0]), x.offset)
    out = View(rows.buffer, (*shape, n), (*rest.strides, rows.strides[-1]), rows.offset)
    walk = Walk(module, number, 8)
    k = walk.k
    words = View(s.scratch.buffer, (n,), (parts,), s.scratch.offset)
    with walk.loops(list(shape)) as indices:
        start, to = walk.base(x, indices), walk.base(out, indices)
        low, high = walk.base(words, []), walk.base(replace(words, offset=words.offset + 1), [])

        def fill(i: str, mask: Value | None) -> None:
            key = _sortable(k, walk.load(x, start, i, mask))
            key = k.cast(~key if s.descending else key, uint64)
            here = walk.counted(i, uint64) + walk.iota(uint64)
            if parts == 1:
                walk.store((key << 32) | here, words, low, i, mask)
            else:
                walk.store(here, words, low, i, mask)
                walk.store(key, words, high, i, mask)

        walk.each(n, fill)
        spare = walk.value(f"getelementptr {word}, ptr {low}, i64 {n}")
        found = walk.value(f"call ptr @{sorter}(ptr {low}, ptr {spare}, i64 {n}, i64 {digits})")

        def read(i: str, mask: Value | None) -> None:
            place = walk.load(words, found, i, mask)
            place = place & _LOW if parts == 1 else place
            walk.store(k.cast(place, int64), out, to, i, mask)

        walk.each(n, read)
    return walk.function(name, buffers(s))


def _merge_sort(name: str, word: str) -> str:
    """The text of a function that sorts n words of which no two are equal.

    It returns the one of two arrays in which they are at last.  Runs of 1, 2, 4 ... words are
    merged in pairs from one array to the other, without a branch that depends on the words.
    """
    return f"""\
define internal ptr @{name}(ptr %first, ptr %second, i64 %n, i64 %digits) nounwind {{
entry:
  br label %pass
pass:
  %width = phi i64 [1, %entry], [%twice, %pass.end]
  %from = phi ptr [%first, %entry], [%to, %pass.end]
  %to = phi ptr [%second, %entry], [%from, %pass.end]
  %unsorted = icmp ult i64 %width, %n
  br i1 %unsorted, label %pair, label %end
pair:
  %start = phi i64 [0, %pass], [%stop, %pair.end]
  %middle.far = add nuw i64 %start, %width
  %middle = call i64 @llvm.umin.i64(i64 %middle.far, i64 %n)
  %stop.far = add nuw i64 %middle, %width
  %stop = call i64 @llvm.umin.i64(i64 %stop.far, i64 %n)
  br label %look
look:
  %i = phi i64 [%start, %pair], [%i.next, %take]
  %j = phi i64 [%middle, %pair], [%j.next, %take]
  %o = phi i64 [%start, %pair], [%o.next, %take]
  %left = icmp ult i64 %i, %middle
  %right = icmp ult i64 %j, %stop
  %both = and i1 %left, %right
  br i1 %both, label %take, label %rest
take:
  %i.at = getelementptr {word}, ptr %from, i64 %i
  %j.at = getelementptr {word}, ptr %from, i64 %j
  %x = load {word}, ptr %i.at, align 8
  %y = load {word}, ptr %j.at, align 8
  %later = icmp ult {word} %y, %x
  %smaller = select i1 %later, {word} %y, {word} %x
  %o.at = getelementptr {word}, ptr %to, i64 %o
  store {word} %smaller, ptr %o.at, align 8
  %step = zext i1 %later to i64
  %j.next = add nuw i64 %j, %step
  %o.next = add nuw i64 %o, 1
  %gone = sub i64 %o.next, %j.next
  %i.next = add i64 %gone, %middle
  br label %look
rest:
  %r = phi i64 [%o, %look], [%r.next, %copy]
  %r.more = icmp ult i64 %r, %stop
  br i1 %r.more, label %copy, label %pair.end
copy:
  %ahead = sub i64 %r, %o
  %base = select i1 %left, i64 %i, i64 %j
  %r.from = add i64 %base, %ahead
  %r.at = getelementptr {word}, ptr %from, i64 %r.from
  %z = load {word}, ptr %r.at, align 8
  %z.at = getelementptr {word}, ptr %to, i64 %r
  store {word} %z, ptr %z.at, align 8
  %r.next = add nuw i64 %r, 1
  br label %rest
pair.end:
  %again = icmp ult i64 %stop, %n
  br i1 %again, label %pair, label %pass.end
pass.end:
  %twice = shl i64 %width, 1
  br label %pass
end:
  ret ptr %from
}}
"""


def _radix_sort(name: str, word: str) -> str:
    """The text of a function that sorts n words by the lowest `digits` bytes of their upper half.

    It returns the one of two arrays in which they are at last.  Words of equal digits keep their
    order, so the lowest digit comes first; one that is the same everywhere is left out.
    """
    size = int(word[1:]) // 8
    return f"""\
define internal ptr @{name}(ptr %first, ptr %second, i64 %n, i64 %digits) nounwind {{
entry:
  %counts = alloca [256 x i64], align 64
  br label %digit
digit:
  %d = phi i64 [0, %entry], [%d.next, %moved], [%d.next.same, %counted]
  %from = phi ptr [%first, %entry], [%to, %moved], [%from, %counted]
  %to = phi ptr [%second, %entry], [%from, %moved], [%to, %counted]
  %unsorted = icmp ult i64 %d, %digits
  br i1 %unsorted, label %clear, label %end
clear:
  store <256 x i64> zeroinitializer, ptr %counts, align 64
  %byte = add i64 %d, {size // 2}
  %bytes = getelementptr i8, ptr %from, i64 %byte
  br label %count
count:
  %i = phi i64 [0, %clear], [%i.next, %count]
  %i.byte = mul nuw i64 %i, {size}
  %i.at = getelementptr i8, ptr %bytes, i64 %i.byte
  %i.digit = load i8, ptr %i.at, align 1
  %i.place = zext i8 %i.digit to i64
  %i.count = getelementptr i64, ptr %counts, i64 %i.place
  %before = load i64, ptr %i.count, align 8
  %after = add nuw i64 %before, 1
  store i64 %after, ptr %i.count, align 8
  %i.next = add nuw i64 %i, 1
  %i.more = icmp ult i64 %i.next, %n
  br i1 %i.more, label %count, label %counted
counted:
  %same = icmp eq i64 %after, %n
  %d.next.same = add nuw i64 %d, 1
  br i1 %same, label %digit, label %sum
sum:
  %b = phi i64 [0, %counted], [%b.next, %sum]
  %total = phi i64 [0, %counted], [%total.next, %sum]
  %b.at = getelementptr i64, ptr %counts, i64 %b
  %here = load i64, ptr %b.at, align 8
  store i64 %total, ptr %b.at, align 8
  %total.next = add nuw i64 %total, %here
  %b.next = add nuw i64 %b, 1
  %b.more = icmp ult i64 %b.next, 256
  br i1 %b.more, label %sum, label %move
move:
  %j = phi i64 [0, %sum], [%j.next, %move]
  %j.byte = mul nuw i64 %j, {size}
  %j.at = getelementptr i8, ptr %bytes, i64 %j.byte
  %j.digit = load i8, ptr %j.at, align 1
  %j.place = zext i8 %j.digit to i64
  %j.start = getelementptr i64, ptr %counts, i64 %j.place
  %place = load i64, ptr %j.start, align 8
  %place.next = add nuw i64 %place, 1
  store i64 %place.next, ptr %j.start, align 8
  %x.at = getelementptr {word}, ptr %from, i64 %j
  %x = load {word}, ptr %x.at, align 8
  %y.at = getelementptr {word}, ptr %to, i64 %place
  store {word} %x, ptr %y.at, align 8
  %j.next = add nuw i64 %j, 1
  %j.more = icmp ult i64 %j.next, %n
  br i1 %j.more, label %move, label %moved
moved:
  %d.next = add nuw i64 %d, 1
  br label %digit
end:
  ret ptr %from
}}
"""


_WRITERS: dict[type, Callable[..., str]] = {
    Check: _check,
    Gather: _gather,
    Scatter: _scatter,
    ArgReduce: _arg_reduce,
    Scan: _scan,
    RandomBits: _random_bits,
    Sort: _sort,
}
