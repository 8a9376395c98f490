"""The LLVM target: the kernels of a program become native functions of their operands.

Strides and sizes are constants in their code, addresses are not; what calls them is in table.py.
May import the floor, kernel, runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..config import MAX_THREADS
from ..kernel.form import Call, Operands
from ..kernel.group import CHEAP
from ..kernel.indexed import Check, Indexed
from ..kernel.ir import HostCall, Loop, Product, View
from ..memory import ALIGNMENT
from ..runtime.host import Host
from . import indexed
from .epilogue import Epilogue
from .gemm import Gemm, gemm_function, scratch_bytes, units
from .gemm_plan import plan
from .lanes import stored
from .loops import LoopWriter
from .module import Module
from .nest import pointers
from .table import HOST, NUMBER, OPERANDS, RUN, SCRATCH, TABLE

WORTH_SHARING = 4e5  # operations: a few microseconds
SHARES = 4  # portions for each thread: few, since what a thread has written is in its cache
HEAVY = 20  # operations in what is not a plain instruction
MEMORY = 2  # operations in the time of a load or store
FUNCTION = 'nounwind "prefer-vector-width"="512"'
PART = 20_000  # characters that are worth a thread: LLVM takes 5 ms for them
LARGE_RESULT = 1 << 18  # bytes; tiles of a larger one are fetched while their sums are computed


class Writer:
    """Writes the kernels of a program, each as a function `i32 @kernel0(ptr call)`.

    What it looks at beyond the forms of the statements, `Program.facts` must tell.
    """

    def __init__(self, calls: Sequence[Call], host: Host, threads: int) -> None:
        self.host = host
        self.threads = threads
        self.scratch = 0  # bytes that kernels need while they run
        self.calls: dict[int, Call] = {}  # the first one of each kernel
        for call in calls:
            self.calls.setdefault(call.kernel, call)

    def program(self, parts: int) -> list[str]:
        """The text of all kernels, in at most so many parts of about the same length.

        And of what calls them, and of `i64 scratch()`, so that who finds the object need not ask
        the writer.
        """
        kernels: list[Module] = []
        for number, call in self.calls.items():
            kernels.append(Module(self.host))
            self.kernel(f"kernel{number}", call, kernels[-1])
        length = sum(kernel.length for kernel in kernels)
        made = [Module(self.host) for _ in range(max(1, min(parts, length // PART)))]
        for kernel in kernels if len(made) == 1 else sorted(kernels, key=lambda m: -m.length):
            min(made, key=lambda m: m.length).add(kernel)
        made[0].take(RUN)
        define(made[0], "scratch", "i64 @scratch()", [f"  ret i64 {self.scratch}"])
        return [module.text for module in made]

    def kernel(self, name: str, call: Call, module: Module) -> None:
        """Write the kernel of a call."""
        statement, given = call.statement, call.operands
        if isinstance(statement, HostCall):
            define(module, name, f"i32 @{name}(ptr %call)", _HOST_CALL)
        elif isinstance(statement, Indexed):
            self.indexed(name, statement, given, module)
        elif isinstance(statement, Product):
            self.product(name, statement, given, module)
        else:
            assert isinstance(statement, Loop)
            self.loop(name, statement, given, module)

    def indexed(self, name: str, statement: Indexed, given: Operands, module: Module) -> None:
        inner, at = f"{name}.statement", pointers(given)
        module.take(indexed.write(statement, inner, module, at))
        arguments = ", ".join(f"ptr {pointer.name}" for pointer in at.values())
        lines, status = [*_addresses(given), f"  call void @{inner}({arguments})"], "0"
        if isinstance(statement, Check):
            lines[-1], status = f"  %status = call i32 @{inner}({arguments})", "%status"
        define(module, name, f"i32 @{name}(ptr %call)", [*lines, f"  ret i32 {status}"])

    def loop(self, name: str, loop: Loop, given: Operands, module: Module) -> None:
        writer = LoopWriter(loop, module, pointers(given))
        weights = [1 if n.op and n.op.name in CHEAP else HEAVY for n in loop.nodes]
        streams = len(loop.inputs) + len(loop.outputs)
        cost = math.prod(loop.shape) * (MEMORY * streams + sum(weights))
        shared = _is_shared(writer.units, cost)
        self.shared(name, [*_addresses(given), *writer.text(shared)], shared, writer.units, module)

    def product(self, name: str, p: Product, given: Operands, module: Module) -> None:
        inner = f"{name}.product"
        plain = not p.then.nodes and len(p.then.outputs) == 1
        problem, (a, b) = _problem(p)
        c = p.then.outputs[0][1] if plain else None
        flip = plain and problem.n == 1 and problem.ldc == 1  # a column is computed as a row
        if flip:
            problem, a, b = problem.flipped(), b, a
        count = units(problem, self.host)
        shared = _is_shared(count, problem.flops / 2)
        views: list[View | None] = [a, b, c]
        if plain:
            module.take(gemm_function(inner, problem, self.host))
        else:
            rest = Epilogue(p, module, plan(problem, self.host).lanes)
            large = math.prod(p.node.type.shape) * p.node.type.dtype.itemsize > LARGE_RESULT
            fetched = [x for x, v in zip(rest.extra, rest.views) if large and v.contiguous]
            text = gemm_function(inner, problem, self.host, rest, rest.extra, fetched)
            module.take(text)
            views += rest.views
        lines, arguments = _beginnings(given, views)
        scratch = -(-scratch_bytes(problem, self.host) // ALIGNMENT) * ALIGNMENT
        self.scratch = max(self.scratch, scratch * (MAX_THREADS if shared else 1))
        if scratch:
            lines += _scratch("%thread" if shared else "0", scratch)
        arguments.append("ptr %scratch" if scratch else "ptr null")
        arguments += ["i64 %first", "i64 %last"] if shared else ["i64 0", f"i64 {count}"]
        lines.append(f"  call void @{inner}({', '.join(arguments)})")
        self.shared(name, lines, shared, count, module)

    def shared(self, name: str, lines: list[str], shared: bool, units: int, module: Module) -> None:
        """Write a kernel that does all its units, or has threads do those from %first to %last."""
        header = f"i32 @{name}(ptr %call) {FUNCTION}"
        if not shared:
            define(module, name, header, [*lines, "  ret i32 0"])
            return
        parameters = "ptr %call, i64 %thread, i64 %first, i64 %last"
        part = f"internal void @{name}.part({parameters}) {FUNCTION}"
        define(module, f"{name}.part", part, [*lines, "  ret void"])
        module.declare("void @slotgrad_parallel(ptr, ptr, i64, i64)")
        grain = max(1, units // (SHARES * self.threads))  # parts that a thread takes at once
        arguments = f"ptr @{name}.part, ptr %call, i64 {units}, i64 {grain}"
        call = f"  call void @slotgrad_parallel({arguments})"
        define(module, name, header, [call, "  ret i32 0"])


def _is_shared(units: int, cost: float) -> bool:
    """Whether it pays to call other threads to help, in operations on elements."""
    return units > 1 and cost >= WORTH_SHARING


def define(module: Module, name: str, header: str, lines: list[str]) -> None:
    """Add a function of these lines to a module."""
    module.define(name, lambda: "\n".join([f"define {header} {{", "entry:", *lines, "}\n"]))


# -- operands --------------------------------------------------------------------------------------

_TABLE = [
    f"  %table.at = getelementptr ptr, ptr %call, i64 {TABLE}",
    "  %table = load ptr, ptr %table.at",
]
# Python computes the statement.
_HOST_CALL = [
    *_TABLE,
    f"  %number.at = getelementptr i64, ptr %call, i64 {NUMBER}",
    "  %number = load i64, ptr %number.at",
    f"  %host.at = getelementptr ptr, ptr %table, i64 {HOST}",
    "  %host = load ptr, ptr %host.at",
    "  %status = call i32 %host(i64 %number)",
    "  ret i32 %status",
]


def _addresses(given: Operands) -> list[str]:
    """The lines that find the operands."""
    lines = []
    for i, (name, _) in enumerate(pointers(given).values()):
        lines += [
            f"  {name}.at = getelementptr ptr, ptr %call, i64 {OPERANDS + 2 * i}",
            f"  {name}.entry = load ptr, ptr {name}.at",
            f"  {name}.buffer = load ptr, ptr {name}.entry",
            f"  {name}.bytes.at = getelementptr i64, ptr %call, i64 {OPERANDS + 2 * i + 1}",
            f"  {name}.bytes = load i64, ptr {name}.bytes.at",
            f"  {name} = getelementptr i8, ptr {name}.buffer, i64 {name}.bytes",
        ]
    return lines


def _beginnings(given: Operands, views: list[View | None]) -> tuple[list[str], list[str]]:
    """The lines that find where views begin, and pointers there as arguments."""
    lines, arguments, at = _addresses(given), [], pointers(given)
    for i, v in enumerate(views):
        if v is None:
            arguments.append("ptr null")
            continue
        name, first = at[v.buffer]
        if v.offset > first:
            kind, further = stored(v.dtype), v.offset - first
            lines.append(f"  %v{i} = getelementptr {kind}, ptr {name}, i64 {further}")
            name = f"%v{i}"
        arguments.append(f"ptr {name}")
    return lines, arguments


def _scratch(thread: str, bytes: int) -> list[str]:
    """The lines that find the scratch of a thread, when each needs so many bytes."""
    return [
        *_TABLE,
        f"  %all.at = getelementptr ptr, ptr %table, i64 {SCRATCH}",
        "  %all = load ptr, ptr %all.at",
        f"  %own = mul i64 {thread}, {bytes}",
        "  %scratch = getelementptr i8, ptr %all, i64 %own",
    ]


# -- products --------------------------------------------------------------------------------------


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
