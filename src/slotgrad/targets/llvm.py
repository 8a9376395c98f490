"""The LLVM target: a program becomes one native function over a table of addresses.

Strides and sizes are constants in its code, addresses are not.  May import the floor, kernel,
runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..config import MAX_THREADS
from ..kernel.form import Unknown, form
from ..kernel.group import CHEAP
from ..kernel.indexed import Check, Indexed
from ..kernel.ir import Buffer, HostCall, Kernels, Loop, Product, Statement, View
from ..memory import ALIGNMENT
from ..runtime.host import Host
from . import indexed
from .epilogue import Epilogue
from .gemm import Gemm, gemm_function, scratch_bytes, units
from .gemm_plan import plan
from .lanes import Module, stored
from .loops import LoopWriter
from .table import BUFFERS, FAILED, HOST

WORTH_SHARING = 4e5  # operations: a few microseconds
SHARES = 4  # portions for each thread: few, since what a thread has written is in its cache
HEAVY = 20  # operations in what is not a plain instruction
MEMORY = 2  # operations in the time of a load or store
LARGE_RESULT = 1 << 18  # bytes; tiles of a larger one are fetched while their sums are computed
_SCRATCH_OF_A_THREAD = "SCRATCH"  # stands for its bytes until all kernels are written
_NAME = "KERNEL"  # stands for the name in a kernel's text, so that equal kernels are equal texts


@dataclass
class Kernel:
    """A native function `void name(ptr ..., ptr scratch, i64 first, i64 last)`.

    pointers  where each pointer points; None: nowhere
    units     parts of the work; a call does the parts first..last - 1
    cost      of all of it, in operations on elements
    """

    name: str
    pointers: list[View | None]
    units: int
    cost: float

    @property
    def parallel(self) -> bool:
        """Whether it pays to call other threads to help."""
        return self.units > 1 and self.cost >= WORTH_SHARING


class Writer:
    """Writes the kernels of a program and `run`, which calls them, into one module.

    What it looks at beyond the forms of the statements, `Program.facts` must tell.
    """

    def __init__(self, kernels: Kernels, host: Host, threads: int) -> None:
        self.kernels = kernels
        self.host = host
        self.threads = threads
        self.module = Module(host)
        self.number = {b: i for i, b in enumerate(kernels.buffers)}
        self._scratch_of_a_thread = 0
        self._jobs: dict[str, str] = {}
        self._names: dict[str, str] = {}  # of the kernels, by their text
        self._written: dict[str, Any] = {}  # what tells of a kernel, by its statement's form

    def program(self) -> str:
        """The text of `i32 run(ptr table)`, whose result is not 0 if a statement has failed.

        And of `i64 scratch()`, so that who finds the object need not ask the writer.
        """
        lines: list[str] = []
        for number, statement in enumerate(self.kernels.statements):
            lines += self.statement(number, statement)
        body = "\n".join(f"  {line}" if line[-1] != ":" else line for line in [*lines, "ret i32 0"])
        for job, text in self._jobs.items():
            self.module.define(job, partial(_job_text, job, text, self._scratch_of_a_thread))
        scratch = f"define i64 @scratch() {{\n  ret i64 {self.scratch}\n}}\n"
        self.module.define("scratch", lambda: scratch)
        self.module.define("run", lambda: f"define i32 @run(ptr %table) {{\n{body}\n}}\n")
        return self.module.text

    @property
    def scratch(self) -> int:
        """Bytes of scratch memory, known when the text is: a part for each thread."""
        return self._scratch_of_a_thread * (MAX_THREADS if self._jobs else 1)

    def statement(self, number: int, statement: Statement) -> list[str]:
        """The lines of `run` for a statement."""
        if isinstance(statement, HostCall):
            return self.host_call(number)
        if isinstance(statement, Indexed):
            return self.indexed(number, statement)
        return self.call(f"k{number}", self.kernel(statement))

    def kernel(self, statement: Statement) -> Kernel:
        if isinstance(statement, Product):
            return self.product(statement)
        assert isinstance(statement, Loop)
        return self.loop(statement)

    # -- calls -------------------------------------------------------------------------------------

    def host_call(self, number: int) -> list[str]:
        """Python computes statement `number`."""
        name = f"k{number}"
        return [
            f"%{name}.at = getelementptr ptr, ptr %table, i64 {HOST}",
            f"%{name}.host = load ptr, ptr %{name}.at",
            f"%{name}.status = call i32 %{name}.host(i64 {number})",
            *_unless_failed(number),
        ]

    def call(self, prefix: str, kernel: Kernel) -> list[str]:
        """The kernel, called for all its units."""
        if not kernel.parallel:
            scratch = f"%{prefix}.s = load ptr, ptr %table"
            return [scratch, *self._call(prefix, kernel, "0", str(kernel.units))]
        job = f"{prefix}.job"
        lines = [
            "%own = mul i64 %thread, " + _SCRATCH_OF_A_THREAD,
            "%all = load ptr, ptr %table",
            f"%{prefix}.s = getelementptr i8, ptr %all, i64 %own",
            *self._call(prefix, kernel, "%first", "%last"),
        ]
        self._jobs[job] = "\n  ".join([*lines, "ret void"])
        self.module.declare("void @slotgrad_parallel(ptr, ptr, i64, i64)")
        grain = max(1, kernel.units // (SHARES * self.threads))  # parts that a thread takes at once
        arguments = f"ptr @{job}, ptr %table, i64 {kernel.units}, i64 {grain}"
        return [f"call void @slotgrad_parallel({arguments})"]

    def _call(self, prefix: str, kernel: Kernel, first: str, last: str) -> list[str]:
        lines, arguments = [], []
        for i, view in enumerate(kernel.pointers):
            name = f"%{prefix}.p{i}"
            arguments.append(f"ptr {name}" if view is not None else "ptr null")
            if view is not None:
                lines += self._address(name, view)
        arguments += [f"ptr %{prefix}.s", f"i64 {first}", f"i64 {last}"]
        return [*lines, f"call void @{kernel.name}({', '.join(arguments)})"]

    def _address(self, name: str, view: View) -> list[str]:
        entry = self.number[view.buffer] + BUFFERS
        lines = [f"{name}.t = getelementptr ptr, ptr %table, i64 {entry}"]
        if not view.offset:
            return [*lines, f"{name} = load ptr, ptr {name}.t"]
        lines.append(f"{name}.b = load ptr, ptr {name}.t")
        kind = stored(view.dtype)
        return [*lines, f"{name} = getelementptr {kind}, ptr {name}.b, i64 {view.offset}"]

    def indexed(self, number: int, statement: Indexed) -> list[str]:
        """A call of the statement's function."""
        local = {b: i for i, b in enumerate(indexed.buffers(statement))}
        kernel = self.once(
            statement,
            lambda: self.named(indexed.write(statement, _NAME, self.module, local)),
        )
        name, lines = f"k{number}", []
        for b, i in local.items():
            lines += self._address(f"%{name}.p{i}", _beginning(b))
        arguments = ", ".join(f"ptr %{name}.p{i}" for i in local.values())
        if not isinstance(statement, Check):
            return [*lines, f"call void @{kernel}({arguments})"]
        status = f"%{name}.status = call i32 @{kernel}({arguments})"
        return [*lines, status, *_unless_failed(number)]

    def once(self, statement: Statement, write: Callable[[], Any]) -> Any:
        """What `write` has returned for a statement of this form."""
        try:
            key, _ = form(statement)
        except Unknown:
            return write()
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def named(self, text: str) -> str:
        """The name under which a kernel's text stands in the module, once."""
        if text not in self._names:
            name = self._names[text] = f"kernel{len(self._names)}"
            lines = text.replace(_NAME, name).splitlines()
            for line in lines:
                if line.startswith("declare "):
                    self.module.declare(line.removeprefix("declare "))
            body = "\n".join(line for line in lines if not line.startswith("declare "))
            self.module.define(name, lambda: body + "\n")
        return self._names[text]

    # -- loops -------------------------------------------------------------------------------------

    def loop(self, loop: Loop) -> Kernel:
        buffers = list(dict.fromkeys(v.buffer for v in (*loop.reads, *loop.writes)))
        local = {b: i for i, b in enumerate(buffers)}
        name, units = self.once(loop, lambda: self._write_loop(loop, local))
        weights = [1 if n.op and n.op.name in CHEAP else HEAVY for n in loop.nodes]
        streams = len(loop.inputs) + len(loop.outputs)
        cost = math.prod(loop.shape) * (MEMORY * streams + sum(weights))
        return Kernel(name, [_beginning(b) for b in buffers], units, cost)

    def _write_loop(self, loop: Loop, local: dict[Buffer, int]) -> tuple[str, int]:
        """The name of the loop's function, and its units."""
        writer = LoopWriter(loop, self.module, local)
        pointers = ", ".join(f"ptr %b{i}" for i in local.values())
        header = (
            f"define internal void @{_NAME}({pointers}, ptr %scratch, i64 %first, i64 %last)"
            ' nounwind "prefer-vector-width"="512" {'
        )
        return self.named("\n".join([header, *writer.text(), "}"])), writer.units

    # -- products ----------------------------------------------------------------------------------

    def product(self, p: Product) -> Kernel:
        plain = not p.then.nodes and len(p.then.outputs) == 1
        problem, (a, b) = _problem(p)
        c = p.then.outputs[0][1] if plain else None
        flip = plain and problem.n == 1 and problem.ldc == 1  # a column is computed as a row
        if flip:
            problem, a, b = problem.flipped(), b, a
        needed = -(-scratch_bytes(problem, self.host) // ALIGNMENT) * ALIGNMENT
        self._scratch_of_a_thread = max(self._scratch_of_a_thread, needed)
        count, cost = units(problem, self.host), problem.flops / 2
        if plain:
            name = self.once(p, lambda: self.named(gemm_function(_NAME, problem, self.host)))
            return Kernel(name, [a, b, c], count, cost)
        rest = Epilogue(p, self.module, plan(problem, self.host).lanes)
        large = math.prod(p.node.type.shape) * p.node.type.dtype.itemsize > LARGE_RESULT
        fetched = [x for x, v in zip(rest.extra, rest.views) if large and v.contiguous]

        def write() -> str:
            text = gemm_function(_NAME, problem, self.host, rest, rest.extra, fetched)
            return self.named(text)

        return Kernel(self.once(p, write), [a, b, c, *rest.views], count, cost)


def _unless_failed(number: int) -> list[str]:
    """End the program if the status of a statement is not 0."""
    name = f"k{number}"
    return [
        f"%{name}.ok = icmp eq i32 %{name}.status, 0",
        f"br i1 %{name}.ok, label %{name}.next, label %{name}.failed",
        f"{name}.failed:",
        f"%{name}.note = getelementptr i64, ptr %table, i64 {FAILED}",
        f"store i64 {number}, ptr %{name}.note",
        "ret i32 1",
        f"{name}.next:",
    ]


def _job_text(name: str, body: str, scratch: int) -> str:
    """The function that a thread calls for its part of a kernel."""
    body = body.replace(_SCRATCH_OF_A_THREAD, str(scratch))
    parameters = "ptr %table, i64 %thread, i64 %first, i64 %last"
    return f"define internal void @{name}({parameters}) {{\n  {body}\n}}\n"


def _beginning(buffer: Buffer) -> View:
    return View(buffer, (buffer.size,), (1,))


def _problem(p: Product) -> tuple[Gemm, tuple[View, View]]:
    """The product as it is computed, and its operands."""
    a, ta, lda = _matrix(p.a)
    b, tb, ldb = _matrix(p.b)
    shape = p.node.type.shape
    (m, k), n = p.a.shape[-2:], p.b.shape[-1]
    lead = range(len(shape) - 2)
    step = [math.prod(shape[i + 1 :]) for i in lead]
    batch = tuple((shape[i], a.strides[i], b.strides[i], step[i]) for i in lead)
    return Gemm(m, n, k, p.node.type.dtype, ta, tb, lda, ldb, n, batch), (a, b)


def _matrix(view: View) -> tuple[View, bool, int]:
    """How a product reads an operand: the view, whether it is transposed, its leading stride."""
    rows, columns = view.shape[-2:]
    down, right = view.strides[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return view, False, max(down, columns) if rows > 1 else columns
    return view, True, max(right, rows) if columns > 1 else rows
