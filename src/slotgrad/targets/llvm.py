"""The LLVM target: a program becomes one native function over a table of addresses.

Strides and sizes are constants in its code, addresses are not.  May import the floor, kernel,
runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import bool_
from ..graph.node import Node
from ..kernel.ir import Buffer, HostCall, Kernels, Loop, Product, Reduce, Statement, View
from ..runtime.host import Host
from .gemm import Gemm, gemm_function, scratch_bytes, units
from .lanes import Module, Value, computed, stored
from .nest import Nest
from .vector import Vector

# What the table holds: the scratch, the function for host calls, the buffers.
SCRATCH, HOST, BUFFERS = 0, 1, 2


class Writer:
    """Writes the kernels of a program and `run`, which calls them, into one module."""

    def __init__(self, kernels: Kernels, host: Host) -> None:
        self.kernels = kernels
        self.host = host
        self.module = Module(host)
        self.number = {b: i for i, b in enumerate(kernels.buffers)}
        self.scratch = 0

    def program(self) -> str:
        """The text of `i32 run(ptr table)`, which is 0, or else what a host call returned."""
        lines = []
        for number, statement in enumerate(self.kernels.statements):
            kernel = f"kernel{number}"
            if isinstance(statement, HostCall):
                lines += self.host_call(kernel, number)
                continue
            buffers = _buffers(statement)
            if isinstance(statement, Product):
                lines += self.product(kernel, statement)
                continue
            write = self.loop if isinstance(statement, Loop) else self.reduce
            self.module.define(kernel, lambda k=kernel, s=statement, w=write: w(k, s))  # type: ignore[misc]
            lines += self._pointers(kernel, buffers)
            arguments = ", ".join(f"ptr %{kernel}.b{self.number[b]}" for b in buffers)
            lines.append(f"call void @{kernel}({arguments})")
        body = "\n".join(f"  {line}" if line[-1] != ":" else line for line in [*lines, "ret i32 0"])
        self.module.define("run", lambda: f"define i32 @run(ptr %table) {{\n{body}\n}}\n")
        return self.module.text

    def host_call(self, name: str, number: int) -> list[str]:
        """Python computes statement `number`; a status that is not 0 ends the program."""
        return [
            f"%{name}.at = getelementptr ptr, ptr %table, i64 {HOST}",
            f"%{name}.host = load ptr, ptr %{name}.at",
            f"%{name}.status = call i32 %{name}.host(i64 {number})",
            f"%{name}.ok = icmp eq i32 %{name}.status, 0",
            f"br i1 %{name}.ok, label %{name}.next, label %{name}.failed",
            f"{name}.failed:",
            f"ret i32 %{name}.status",
            f"{name}.next:",
        ]

    def _pointers(self, prefix: str, buffers: list[Buffer]) -> list[str]:
        """Loads of the addresses of some buffers from the table."""
        lines = []
        for b in buffers:
            at, name = f"%{prefix}.t{self.number[b]}", f"%{prefix}.b{self.number[b]}"
            lines.append(f"{at} = getelementptr ptr, ptr %table, i64 {self.number[b] + BUFFERS}")
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
