"""The LLVM target: the statements between two host calls become one native function.

A function receives a table with the address of every buffer; strides and sizes are constants in
its code.  May import the floor, kernel, runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..dtypes import bool_
from ..graph.node import Node
from ..kernel.ir import Buffer, Kernels, Loop, Product, Reduce, Statement, View
from ..runtime.host import Host
from .gemm import Gemm, gemm_function, scratch_bytes, units
from .lanes import Module, Value, computed, element, stored
from .vector import Vector

Native = Loop | Reduce | Product


class Writer:
    """Writes native functions into one module."""

    def __init__(self, kernels: Kernels, host: Host) -> None:
        self.host = host
        self.module = Module(host)
        self.number = {b: i for i, b in enumerate(kernels.buffers)}
        self.scratch = 0
        self._kernels = 0

    def segment(self, name: str, statements: list[Native]) -> None:
        """`void name(ptr table)`: the statements one after the other."""
        lines = []
        for statement in statements:
            kernel = f"{name}.{self._kernels}"
            self._kernels += 1
            buffers = _buffers(statement)
            if isinstance(statement, Product):
                lines += self.product(kernel, statement)
                continue
            write = self.loop if isinstance(statement, Loop) else self.reduce
            self.module.define(kernel, lambda k=kernel, s=statement, w=write: w(k, s))  # type: ignore[misc]
            lines += self._pointers(kernel, buffers)
            arguments = ", ".join(f"ptr %{kernel}.b{self.number[b]}" for b in buffers)
            lines.append(f"call void @{kernel}({arguments})")
        body = "\n  ".join([*lines, "ret void"])
        self.module.define(name, lambda: f"define void @{name}(ptr %table) {{\n  {body}\n}}\n")

    def _pointers(self, prefix: str, buffers: list[Buffer]) -> list[str]:
        """Loads of the addresses of some buffers from the table."""
        lines = []
        for b in buffers:
            at, name = f"%{prefix}.t{self.number[b]}", f"%{prefix}.b{self.number[b]}"
            lines.append(f"{at} = getelementptr ptr, ptr %table, i64 {self.number[b] + 1}")
            lines.append(f"{name} = load ptr, ptr {at}")
        return lines

    def _header(self, name: str, buffers: list[Buffer]) -> str:
        arguments = ", ".join(f"ptr %b{self.number[b]}" for b in buffers)
        return f'define internal void @{name}({arguments}) nounwind "prefer-vector-width"="512" {{'

    # -- products ------------------------------------------------------------------------------

    def product(self, name: str, p: Product) -> list[str]:
        """A function for the product, and the lines that call it."""
        a, ta, lda = _matrix(p.a)
        b, tb, ldb = _matrix(p.b)
        (m, k), n = p.a.shape[-2:], p.b.shape[-1]
        lead = range(len(p.c.shape) - 2)
        batch = tuple((p.c.shape[i], a.strides[i], b.strides[i], p.c.strides[i]) for i in lead)
        problem = Gemm(m, n, k, p.c.dtype, ta, tb, lda, ldb, p.c.strides[-2] or n, batch)
        flip = n == 1 and problem.ldc == 1  # a column is computed as a row
        if flip:
            problem = problem.flipped()
        self.scratch = max(self.scratch, scratch_bytes(problem, self.host))
        self._add(gemm_function(name, problem, self.host))
        lines = self._pointers(name, _buffers(p))
        pointers = []
        operands = (p.b, p.a, p.c) if flip else (p.a, p.b, p.c)
        for role, view in zip("abc", operands):
            base = f"%{name}.b{self.number[view.buffer]}"
            lines.append(
                f"%{name}.{role} = getelementptr {stored(view.dtype)}, ptr {base},"
                f" i64 {view.offset}"
            )
            pointers.append(f"ptr %{name}.{role}")
        lines.append(f"%{name}.s = load ptr, ptr %table")
        work = units(problem, self.host)
        lines.append(f"call void @{name}({', '.join(pointers)}, ptr %{name}.s, i64 0, i64 {work})")
        return lines

    def _add(self, text: str) -> None:
        """Functions written elsewhere; a declaration may stand in a module once only."""
        lines = text.splitlines()
        for line in lines:
            if line.startswith("declare "):
                self.module.declare(line.removeprefix("declare "))
        rest = "\n".join(line for line in lines if not line.startswith("declare "))
        name = rest.partition("@")[2].partition("(")[0]
        self.module.define(name, lambda: rest + "\n")

    # -- loops ---------------------------------------------------------------------------------

    def loop(self, name: str, loop: Loop) -> str:
        """Elementwise expressions, vectors along the last axis."""
        views = [*loop.inputs.values(), *(v for _, v in loop.outputs)]
        shape, views = _merged(loop.shape, views)
        inputs = dict(zip(loop.inputs, views))
        outputs = [(node, v) for (node, _), v in zip(loop.outputs, views[len(inputs) :])]
        dtypes = [computed(n.type.dtype) for n in (*inputs, *loop.nodes)]
        k = Vector(self.module, self.host.vector_bytes // max(d.itemsize for d in dtypes))
        nest = Nest(k, self.number)
        *outer, inner = shape or (1,)
        with nest.loops(outer) as indices:
            bases = {v: nest.base(v, indices) for v in views}

            def body(i: str, mask: Value | None) -> None:
                values = {n: nest.load(v, bases[v], i, mask) for n, v in inputs.items()}
                for node in loop.nodes:
                    assert node.op is not None and node.op.kernel is not None
                    result = node.op.kernel(k, *[values[x] for x in node.inputs], **node.attrs)
                    values[node] = _typed(k, result, node)
                for node, v in outputs:
                    nest.store(values[node], v, bases[v], i, mask)

            nest.vectors(inner, body)
        return "\n".join([self._header(name, _buffers(loop)), *nest.text(), "}\n"])

    # -- reductions ----------------------------------------------------------------------------

    def reduce(self, name: str, r: Reduce) -> str:
        """One axis combined: along vectors if it is the last, else vectors beside each other."""
        dtype = computed(r.out.dtype)
        size = max(computed(r.x.dtype).itemsize, dtype.itemsize)
        k = Vector(self.module, self.host.vector_bytes // size)
        nest = Nest(k, self.number)
        if r.axis == len(r.x.shape) - 1:
            self._along(nest, r, dtype)
        else:
            self._across(nest, r, dtype)
        return "\n".join([self._header(name, _buffers(r)), *nest.text(), "}\n"])

    def _along(self, nest: Nest, r: Reduce, dtype: np.dtype) -> None:
        k, n = nest.k, r.x.shape[-1]
        x = View(r.x.buffer, r.x.shape, r.x.strides, r.x.offset)
        slot = nest.slot(dtype)
        with nest.loops(list(r.out.shape)) as indices:
            base, out = nest.base(x, [*indices, "0"]), nest.base(r.out, indices)
            nest.write(slot, k.constant(_neutral(r.combine, dtype), dtype))

            def body(i: str, mask: Value | None) -> None:
                value = k.cast(nest.load(x, base, i, mask), dtype)
                if mask is not None:
                    value = k.select(mask, value, _neutral(r.combine, dtype))
                nest.write(slot, _combined(k, r.combine, nest.read(slot, dtype), value))

            nest.vectors(n, body)
            total = nest.horizontal(r.combine, nest.read(slot, dtype))
            nest.store_one(total, r.out, out)

    def _across(self, nest: Nest, r: Reduce, dtype: np.dtype) -> None:
        k, axis = nest.k, r.axis
        *outer, inner = r.out.shape
        slot = nest.slot(dtype)
        with nest.loops(outer) as indices:
            out = nest.base(r.out, [*indices, "0"])

            def body(i: str, mask: Value | None) -> None:
                nest.write(slot, k.constant(_neutral(r.combine, dtype), dtype))
                with nest.loops([r.x.shape[axis]]) as (row,):
                    place = [*indices[:axis], row, *indices[axis:], "0"]
                    base = nest.base(r.x, place)
                    value = k.cast(nest.load(r.x, base, i, mask), dtype)
                    nest.write(slot, _combined(k, r.combine, nest.read(slot, dtype), value))
                nest.store(nest.read(slot, dtype), r.out, out, i, mask)

            nest.vectors(inner, body)


class Nest:
    """Loops around vectors, in the text of one function."""

    def __init__(self, k: Vector, number: dict[Buffer, int]) -> None:
        self.k = k
        self.number = number
        self.slots: list[str] = []

    def text(self) -> list[str]:
        return ["entry:", *self.slots, *self.k.lines, "  ret void"]

    @contextmanager
    def loops(self, sizes: list[int]) -> Iterator[list[str]]:
        """Nested loops; gives the names of the indices."""
        k, open_loops, indices = self.k, [], []
        for size in sizes:
            if size == 1:
                indices.append("0")
                continue
            i, label = k.fresh(), k.fresh()[1:]
            before = k.block
            k.line(f"br label %{label}.head")
            k.start_block(f"{label}.head")
            # the phi's second source is known when the loop ends
            k.lines.append("")
            open_loops.append((len(k.lines) - 1, i, label, before, size))
            indices.append(i)
        k.forget()
        yield indices
        for place, i, label, before, size in reversed(open_loops):
            k.line(f"{i}.next = add nuw nsw i64 {i}, 1")
            k.line(f"{i}.more = icmp ult i64 {i}.next, {size}")
            k.lines[place] = f"  {i} = phi i64 [0, %{before}], [{i}.next, %{k.block}]"
            k.line(f"br i1 {i}.more, label %{label}.head, label %{label}.end")
            k.start_block(f"{label}.end")
        k.forget()

    def vectors(self, n: int, body: Callable[[str, Value | None], None]) -> None:
        """`body` for 0, lanes, 2 lanes ... below n; the last one under a mask if it is not full."""
        k = self.k
        full, rest = n // k.lanes, n % k.lanes
        if full:
            with self.loops([full]) as (trip,):
                i = trip
                if trip != "0":
                    i = k.fresh()
                    k.line(f"{i} = mul nuw nsw i64 {trip}, {k.lanes}")
                body(i, None)
        if rest:
            k.forget()
            lanes = ", ".join(f"i1 {str(lane < rest).lower()}" for lane in range(k.lanes))
            body(str(full * k.lanes), Value(f"<{lanes}>", bool_, k))
            k.forget()

    # -- memory --------------------------------------------------------------------------------

    def base(self, view: View, indices: list[str]) -> str:
        """The address of the element at these indices; missing ones are 0."""
        k = self.k
        place = str(view.offset)
        for i, stride in zip(indices, view.strides):
            if i == "0" or stride == 0:
                continue
            step, total = k.fresh(), k.fresh()
            k.line(f"{step} = mul i64 {i}, {stride}")
            k.line(f"{total} = add i64 {place}, {step}")
            place = total
        name, pointer = k.fresh(), f"%b{self.number[view.buffer]}"
        k.line(f"{name} = getelementptr {stored(view.dtype)}, ptr {pointer}, i64 {place}")
        return name

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
        if stride == 1 or not view.shape or view.shape[-1] == 1:
            self.k.store(x, view.dtype, base, i, mask)
        else:
            self._scatter(x, view.dtype, base, i, stride, mask)

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

    # -- accumulators --------------------------------------------------------------------------

    def slot(self, dtype: np.dtype) -> str:
        """Room on the stack for one vector."""
        name = f"%acc{len(self.slots)}"
        self.slots.append(f"  {name} = alloca {self.k.type(dtype)}, align 64")
        return name

    def write(self, slot: str, x: Value) -> None:
        self.k.line(f"store {x}, ptr {slot}, align 64")

    def read(self, slot: str, dtype: np.dtype) -> Value:
        return self.k.emit(dtype, f"load {self.k.type(dtype)}, ptr {slot}, align 64", pure=False)

    def horizontal(self, combine: str, x: Value) -> str:
        """The lanes of a vector combined to a number."""
        k, scalar = self.k, element(x.dtype)
        suffix = f"v{k.lanes}{'f' if x.dtype.kind == 'f' else 'i'}{_bits(x.dtype)}"
        start = ""
        if x.dtype.kind == "f":
            name = {"add": "fadd", "max": "fmaximum", "min": "fminimum"}[combine]
            start = f"{scalar} -0.0, " if combine == "add" else ""
        elif x.dtype == bool_:
            name = "or" if combine == "max" else "and"
        else:
            sign = "s" if x.dtype.kind == "i" else "u"
            name = "add" if combine == "add" else f"{sign}{combine}"
        function = f"@llvm.vector.reduce.{name}.{suffix}"
        types = f"{scalar}, {k.type(x.dtype)}" if start else k.type(x.dtype)
        k.module.declare(f"{scalar} {function}({types})")
        total = k.fresh()
        free = "reassoc " if start else ""  # the lanes may be added in any order
        k.line(f"{total} = call {free}{scalar} {function}({start}{x})")
        return total

    def store_one(self, scalar: str, view: View, base: str) -> None:
        k, dtype = self.k, view.dtype
        if dtype == bool_:
            byte = k.fresh()
            k.line(f"{byte} = zext i1 {scalar} to i8")
            scalar = byte
        k.line(f"store {stored(dtype)} {scalar}, ptr {base}, align {dtype.itemsize}")


def _bits(dtype: np.dtype) -> int:
    return 1 if dtype == bool_ else 8 * dtype.itemsize


def _neutral(combine: str, dtype: np.dtype) -> float | int | bool:
    """What changes nothing when it is combined with."""
    if combine == "add":
        return False if dtype == bool_ else 0
    if dtype.kind == "f":
        return -math.inf if combine == "max" else math.inf
    if dtype == bool_:
        return combine == "min"
    limits = np.iinfo(dtype)
    return int(limits.min if combine == "max" else limits.max)


def _combined(k: Vector, combine: str, x: Value, y: Value) -> Value:
    return x + y if combine == "add" else k.max(x, y) if combine == "max" else k.min(x, y)


def _typed(k: Vector, result: object, node: Node) -> Value:
    """A kernel expression that came out as a number, as a vector."""
    dtype = computed(node.type.dtype)
    return result if isinstance(result, Value) else k.constant(result, dtype)


def _buffers(statement: Statement) -> list[Buffer]:
    return list(dict.fromkeys(v.buffer for v in (*statement.reads, *statement.writes)))


def _merged(shape: tuple[int, ...], views: list[View]) -> tuple[tuple[int, ...], list[View]]:
    """The loop with axes of size 1 left out, and neighbours that all views walk as one joined."""
    axes = [i for i, n in enumerate(shape) if n != 1]
    sizes: list[int] = []
    columns: list[list[int]] = []
    for i in axes:
        strides = [v.strides[i] for v in views]
        if columns and all(a == s * shape[i] for a, s in zip(columns[-1], strides)):
            sizes[-1] *= shape[i]
            columns[-1] = strides
        else:
            sizes.append(shape[i])
            columns.append(strides)
    merged = [
        View(v.buffer, tuple(sizes), tuple(c[number] for c in columns), v.offset)
        for number, v in enumerate(views)
    ]
    return tuple(sizes), merged


def _matrix(view: View) -> tuple[View, bool, int]:
    """How a product reads an operand: the view, whether it is transposed, its leading stride."""
    rows, columns = view.shape[-2:]
    down, right = view.strides[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return view, False, max(down, columns) if rows > 1 else columns
    return view, True, max(right, rows) if columns > 1 else rows
