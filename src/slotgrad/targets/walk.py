"""Nested loops over indices that are found while they run, and rows of raw elements.

May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtypes import bool_
from ..kernel.indexed import (
    Index,
)
from ..kernel.ir import Buffer, View
from .lanes import Value, stored
from .module import Module
from .nest import Nest, Pointers
from .vector import Vector

Carried = list[Value]
Vectors = list[tuple[str, Value | None]]  # where vectors start, and their masks


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

    def __init__(self, module: Module, pointers: Pointers, itemsize: int = 0) -> None:
        """Vectors of elements of this size; 0 is for single elements."""
        lanes = module.host.vector_bytes // itemsize if itemsize else 1
        super().__init__(Vector(module, lanes), pointers)
        self.module = module

    def function(self, name: str, used: list[Buffer], status: str = "") -> str:
        """All that was written, as a function that returns the i32 `status`, if it has one."""
        arguments = ", ".join(f"ptr {self.pointers[b].name}" for b in used)
        header = f"define internal {'i32' if status else 'void'} @{name}({arguments}) nounwind"
        lines = ["entry:", *self.text(), f"  ret i32 {status}" if status else "  ret void"]
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
        self.pointers = {**self.pointers, same: self.pointers[view.buffer]}
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
