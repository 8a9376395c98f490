"""The LLVM text of the statements of kernel.indexed: one function for each.

Parameters are named as `pointers` tells, in the order of `buffers`.  Sizes and strides are
constants in the code.  May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..dtypes import int64, uint64
from ..kernel.indexed import (
    ArgReduce,
    Check,
    Gather,
    Index,
    RandomBits,
    Scan,
    Scatter,
    Sort,
)
from .along import arg_reduce, scan
from .lanes import Value, computed
from .module import Module
from .nest import Pointers
from .order import sort
from .philox import random_bits
from .walk import Carried, Walk, buffers, merged


def write(statement: Any, name: str, module: Module, pointers: Pointers) -> str:
    """The text of the function `name`; of a `Check` it returns i32, not 0 for a failure."""
    return _WRITERS[type(statement)](statement, name, module, pointers)


# -- indices ---------------------------------------------------------------------------------------


def _check(s: Check, name: str, module: Module, pointers: Pointers) -> str:
    """The largest index + size, unsigned, tells of indices on either side."""
    walk = Walk(module, pointers, 8)
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


def _gather(s: Gather, name: str, module: Module, pointers: Pointers) -> str:
    """Rows where the last axis is one of x's own, single elements where it is of the indices."""
    x, found = s.walked
    shape, (x, out, *arrays) = merged(x.shape, [x, s.out, *(i.view for i in found)])
    found = [replace(i, view=v) for i, v in zip(found, arrays)]
    *outer, inner = shape or (1,)
    single = _varies(found)
    walk = Walk(module, pointers, 0 if single else x.dtype.itemsize)
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


def _scatter(s: Scatter, name: str, module: Module, pointers: Pointers) -> str:
    """A copy of x unless out is x, then the elements or rows of v one after the other."""
    used, before = buffers(s), ""
    out, found = s.walked
    shape, (out, v, *arrays) = merged(out.shape, [out, s.v, *(i.view for i in found)])
    found = [replace(i, view=a) for i, a in zip(found, arrays)]
    single = _varies(found) or bool(shape and out.strides[-1] == 0)  # one place for many values
    adds = s.mode == "add"
    dtype = out.dtype
    walk = Walk(module, pointers, 0 if single else (computed(dtype) if adds else dtype).itemsize)
    if not s.in_place:
        copy = Walk(module, pointers, dtype.itemsize)
        copy.move(s.x, s.out)
        before = copy.function(f"{name}.copy", used)
        arguments = ", ".join(f"ptr {pointers[b].name}" for b in used)
        walk.k.line(f"call void @{name}.copy({arguments})")
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


_WRITERS: dict[type, Callable[..., str]] = {
    Check: _check,
    Gather: _gather,
    Scatter: _scatter,
    ArgReduce: arg_reduce,
    Scan: scan,
    RandomBits: random_bits,
    Sort: sort,
}
