"""Loops around vectors, in the text of one function: indices, addresses, gathers, accumulators.

May import the floor, kernel, runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..dtypes import bool_
from ..kernel.ir import Buffer, View
from .lanes import Value, stored
from .vector import Vector


class Pointer(NamedTuple):
    """Where a function finds a buffer.

    name   of the pointer
    first  the element that it points to
    """

    name: str
    first: int


Pointers = dict[Buffer, Pointer]
Limits = tuple[str, str]
Step = Callable[[str, list[Value]], list[Value]]
Body = Callable[[str, Value | None, list[Value]], list[Value]]


def pointers(given: dict[Buffer, int]) -> Pointers:
    """Names for pointers to these elements of buffers."""
    return {b: Pointer(f"%b{i}", first) for i, (b, first) in enumerate(given.items())}


class Nest:
    """Loops around vectors, in the text of one function."""

    def __init__(self, k: Vector, pointers: Pointers) -> None:
        self.k = k
        self.pointers = pointers
        self.rows: list[str] = []

    def text(self) -> list[str]:
        """The lines of the function, in the block `entry` and those behind."""
        return [*self.rows, *self.k.lines]

    def row(self, dtype: np.dtype, n: int) -> str:
        """Room on the stack for a row of n elements, in whole vectors."""
        name, lanes = f"%row{len(self.rows)}", self.k.lanes
        size = -(-n // lanes) * lanes
        self.rows.append(f"  {name} = alloca [{size} x {stored(dtype)}], align 64")
        return name

    @contextmanager
    def loops(self, sizes: Sequence[int], limits: Limits | None = None) -> Iterator[list[str]]:
        """Nested loops; gives the names of the indices.

        limits  the first and the last index but one of the outermost, if it does not run over all
        """
        k, open_loops, indices = self.k, [], []
        for depth, size in enumerate(sizes):
            first, last = limits if limits and not depth else ("0", str(size))
            if (first, last) == ("0", "1"):
                indices.append("0")
                continue
            i, label = k.fresh(), k.fresh()[1:]
            before = k.block
            k.line(f"br label %{label}.head")
            k.start_block(f"{label}.head")
            # the phi's second source is known when the loop ends
            k.lines.append("")
            open_loops.append((len(k.lines) - 1, i, label, before, first, last))
            indices.append(i)
        with k.scope():
            yield indices
        for place, i, label, before, first, last in reversed(open_loops):
            k.line(f"{i}.next = add nuw nsw i64 {i}, 1")
            k.line(f"{i}.more = icmp ult i64 {i}.next, {last}")
            k.lines[place] = f"  {i} = phi i64 [{first}, %{before}], [{i}.next, %{k.block}]"
            k.line(f"br i1 {i}.more, label %{label}.head, label %{label}.end")
            k.start_block(f"{label}.end")

    def carried(self, count: int, state: list[Value], step: Step) -> list[Value]:
        """step(i, state) for i = 0 ... count - 1, each with what the one before returned."""
        k = self.k
        if count <= 1:
            with k.scope():
                return step("0", state) if count else state
        i, label, before = k.fresh(), k.fresh()[1:], k.block
        carried = [Value(k.fresh(), x.dtype, k) for x in state]
        k.line(f"br label %{label}.head")
        k.start_block(f"{label}.head")
        k.lines.append("")
        place = len(k.lines) - 1
        with k.scope():
            after = step(i, carried)
        k.line(f"{i}.next = add nuw nsw i64 {i}, 1")
        k.line(f"{i}.more = icmp ult i64 {i}.next, {count}")
        phis = [f"{i} = phi i64 [0, %{before}], [{i}.next, %{k.block}]"]
        for x, start, end in zip(carried, state, after):
            sources = f"[{start.name}, %{before}], [{end.name}, %{k.block}]"
            phis.append(f"{x.name} = phi {k.type(x.dtype)} {sources}")
        k.lines[place] = "\n".join(f"  {phi}" for phi in phis)
        k.line(f"br i1 {i}.more, label %{label}.head, label %{label}.end")
        k.start_block(f"{label}.end")
        return after

    def vectors(self, n: int, state: list[Value], body: Body, unroll: int = 1) -> list[Value]:
        """`body` for 0, lanes, 2 lanes ... below n; the last one under a mask if it is not full.

        Each of `unroll` chains has the state to itself; they are joined by the caller, who gives
        and gets unroll * len(state) values, chain by chain.
        """
        k = self.k
        full, rest = n // k.lanes, n % k.lanes
        size = len(state) // unroll

        def several(i: str, values: list[Value]) -> list[Value]:
            found: list[Value] = []
            for chain in range(unroll):
                at = self.index(i, k.lanes * unroll, chain * k.lanes)
                found += body(at, None, values[chain * size : (chain + 1) * size])
            return found

        state = self.carried(full // unroll, state, several)
        done = full // unroll * unroll
        first = state[:size]
        if full - done:
            first = self.carried(
                full - done,
                first,
                lambda i, values: body(self.index(i, k.lanes, done * k.lanes), None, values),
            )
        if rest:
            lanes = ", ".join(f"i1 {str(lane < rest).lower()}" for lane in range(k.lanes))
            with k.scope():
                first = body(str(full * k.lanes), Value(f"<{lanes}>", bool_, k), first)
        return [*first, *state[size:]]

    def index(self, i: str, factor: int, offset: int) -> str:
        """i * factor + offset."""
        k = self.k
        if i.lstrip("-").isdigit():
            return str(int(i) * factor + offset)
        if factor != 1:
            product = k.fresh()
            k.line(f"{product} = mul {'nuw ' * (factor > 0)}nsw i64 {i}, {factor}")
            i = product
        if offset:
            total = k.fresh()
            k.line(f"{total} = add nsw i64 {i}, {offset}")
            i = total
        return i

    # -- memory --------------------------------------------------------------------------------

    def base(self, view: View, indices: list[str]) -> str:
        """The address of the element at these indices; missing ones are 0."""
        k, place = self.k, "0"
        for i, stride in zip(indices, view.strides):
            if i == "0" or stride == 0:
                continue
            step = self.index(i, stride, 0)
            total = step if place == "0" else k.fresh()
            if total != step:
                k.line(f"{total} = add i64 {place}, {step}")
            place = total
        pointer = self.pointers[view.buffer]
        place = self.index(place, 1, view.offset - pointer.first)
        return k.element_pointer(view.dtype, pointer.name, place)

    def load(self, view: View, base: str, i: str, mask: Value | None) -> Value:
        """Elements i, i + 1, ... along the last axis."""
        k, stride = self.k, view.strides[-1] if view.strides else 0
        if stride == 0:
            return k.spread(view.dtype, base)
        if stride == 1:
            return k.load(view.dtype, base, i, mask)
        return self._gather(view.dtype, base, i, stride, mask)

    def store(self, x: Value, view: View, base: str, i: str, mask: Value | None) -> None:
        stride = view.strides[-1] if view.strides else 1
        if mask is not None and mask.name.count("true") == 1:
            # LLVM 22 makes four bytes of a masked store of one constant lane, if the elements were
            # truncated to fewer (llvm-project issue 179489).
            k, kind = self.k, stored(view.dtype)
            packed, at = k.pack(x, view.dtype), k.fresh()
            lane = self.first_lane(packed)
            place = self.index(i, stride, 0)
            k.line(f"{at} = getelementptr {kind}, ptr {base}, i64 {place}")
            k.line(f"store {kind} {lane}, ptr {at}, align {view.dtype.itemsize}")
        elif stride == 1 or not view.shape or view.shape[-1] == 1:
            self.k.store(x, view.dtype, base, i, mask)
        else:
            self._scatter(x, view.dtype, base, i, stride, mask)

    def fetch(self, view: View, base: str, i: str, to_store: bool = False) -> None:
        """Have element i brought near, which need not exist."""
        k = self.k
        k.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        at = k.element_pointer(view.dtype, base, i)
        k.line(f"call void @llvm.prefetch.p0(ptr {at}, i32 {int(to_store)}, i32 3, i32 1)")

    def _addresses(self, dtype: np.dtype, base: str, i: str, stride: int) -> str:
        """The addresses of the elements i, i + 1, ... that lie `stride` apart."""
        k = self.k
        index = np.dtype("i8")
        start, pointers = k.fresh(), k.fresh()
        k.line(f"{start} = mul i64 {i}, {stride}")
        steps = ", ".join(f"i64 {lane * stride}" for lane in range(k.lanes))
        first = k.splat(start, index)
        places = k.emit(index, f"add {first}, <{steps}>")
        k.line(f"{pointers} = getelementptr {stored(dtype)}, ptr {base}, {places}")
        return f"<{k.lanes} x ptr> {pointers}"

    def _gather(self, dtype: np.dtype, base: str, i: str, stride: int, mask: Value | None) -> Value:
        k = self.k
        memory, masks = f"<{k.lanes} x {stored(dtype)}>", k.type(bool_)
        addresses = self._addresses(dtype, base, i, stride)
        name = f"@llvm.masked.gather.{k.memory_suffix(dtype).replace('.p0', '')}.v{k.lanes}p0"
        k.module.declare(f"{memory} {name}(<{k.lanes} x ptr>, i32, {masks}, {memory})")
        lanes = repr(mask) if mask is not None else f"{masks} splat (i1 true)"
        arguments = f"{addresses}, i32 {dtype.itemsize}, {lanes}, {memory} zeroinitializer"
        raw = k.emit(k.in_memory(dtype), f"call {memory} {name}({arguments})", pure=False)
        return k.unpack(raw, dtype)

    def _scatter(
        self, x: Value, dtype: np.dtype, base: str, i: str, stride: int, mask: Value | None
    ) -> None:
        k = self.k
        memory, masks = f"<{k.lanes} x {stored(dtype)}>", k.type(bool_)
        packed = k.pack(x, dtype)
        addresses = self._addresses(dtype, base, i, stride)
        name = f"@llvm.masked.scatter.{k.memory_suffix(dtype).replace('.p0', '')}.v{k.lanes}p0"
        k.module.declare(f"void {name}({memory}, <{k.lanes} x ptr>, i32, {masks})")
        lanes = repr(mask) if mask is not None else f"{masks} splat (i1 true)"
        arguments = f"{memory} {packed.name}, {addresses}, i32 {dtype.itemsize}, {lanes}"
        k.line(f"call void {name}({arguments})")

    # -- single elements -----------------------------------------------------------------------

    def horizontal(self, combine: str, x: Value) -> Value:
        """The lanes of a vector combined, in every lane."""
        k, whole, step = self.k, x, self.k.lanes // 2
        while step:
            other = k.shuffled(whole, [lane ^ step for lane in range(k.lanes)])
            if combine == "add":
                whole = whole + other
            elif x.dtype.kind != "f":
                whole = k.max(whole, other) if combine == "max" else k.min(whole, other)
            else:
                first = whole > other if combine == "max" else whole < other
                whole = k.select(first, whole, other)
            step //= 2
        if combine == "add" or x.dtype.kind != "f":
            return whole
        word, some, either = f"i{k.lanes}", k.fresh(), k.fresh()  # one nan makes the result nan
        k.line(f"{some} = bitcast {x != x} to {word}")
        k.line(f"{either} = icmp ne {word} {some}, 0")
        nan = k.constant(math.nan, x.dtype)
        return k.emit(x.dtype, f"select i1 {either}, {nan}, {whole}", pure=False)

    def first_lane(self, x: Value) -> str:
        """The number in lane 0."""
        name = self.k.fresh()
        self.k.line(f"{name} = extractelement {x}, i32 0")
        return name

    def store_one(self, scalar: str, view: View, base: str) -> None:
        dtype = view.dtype
        self.k.line(f"store {stored(dtype)} {scalar}, ptr {base}, align {dtype.itemsize}")
