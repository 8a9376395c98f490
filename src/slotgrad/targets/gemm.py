"""The matrix product as LLVM text, specialised to one shape: C = A B, or C += A B.

A tile of C stays in registers while k runs, in batches and with either operand transposed.  One
fixed rule chooses everything (`gemm_plan`); nothing is searched.  Before a vector of C is stored it
passes an `epilogue`, so bias, activation, mask and optimiser update cost no pass over memory:

    problem = Gemm(64, 256, 784, np.float32)
    text = gemm_function("dense", problem, host(), relu_of_sum, extra=("bias",))
    # void dense(a, b, c, bias, scratch, first, last): computes the units first..last - 1

Sources: K. Goto and R. van de Geijn, Anatomy of high-performance matrix multiplication, ACM
TOMS 34 (2008); F. Van Zee and R. van de Geijn, BLIS, ACM TOMS 41 (2015).  Unlike there, A is
never packed and B only where it must be: with static strides a broadcast from A is the operand
of the multiplication itself.

May import targets.emit, gemm_plan and gemm_tile and, for its types, runtime.host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .emit import ZERO, Emit, Index, Start
from .gemm_plan import Gemm, Plan, Run, plan
from .gemm_tile import Strided, copy, dots, multiply, transpose_function

if TYPE_CHECKING:
    from ..runtime.host import Host

# (emit, vector, row, column, mask) -> the vector to store, or None for none.  See `gemm_function`.
Epilogue = Callable[[Emit, str, Index, Index, str | None], str | None]


def units(problem: Gemm, host: Host) -> int:
    """How many units of work there are: the function computes any range of them."""
    return problem.count * plan(problem, host).units_per_matrix


def scratch_bytes(problem: Gemm, host: Host) -> int:
    """The memory, 64-byte aligned if it shall be fast, that each call running needs for itself."""
    p = plan(problem, host)
    if not p.packed or not p.units_per_matrix:
        return 0
    rows = p.depth + (problem.m if p.depth < problem.k else 0)
    return rows * p.width * np.dtype(problem.dtype).itemsize


def gemm_function(
    name: str,
    problem: Gemm,
    host: Host,
    epilogue: Epilogue | None = None,
    extra: Sequence[str] = (),
    prefetch: Sequence[str] = (),
) -> str:
    """LLVM text of the product: `void @name(a, b, c, *extra, scratch, i64 first, i64 last)`.

    And of functions that it shares with other products, by names that tell what they do.

    A call computes units first..last - 1 of `units(problem, host)`: batch by batch, tiles of
    rows or panels of columns as `plan` decides.  Calls for disjoint ranges write disjoint parts
    of C and may run at the same time, each with a scratch of its own (`scratch_bytes`).

    epilogue   called while the text is made, once for each accumulator vector, with the emitter,
               the name of the vector (C's new value), its row and first column (numbers or names
               of i64; rows count on through the batch: matrix * m + row), and the mask of valid
               lanes (a constant, or None for all).  It appends lines and returns the name of the
               vector to store in C, or None if it has stored what there is to store.  C still
               has its old value then, so a weight may be updated in place.
    extra      names of further parameters, all `ptr`, which the epilogue may use as %name
    prefetch   names of parameters with C's shape and stride, "c" among them, whose tile is
               fetched while its sums are computed: for matrices too large for the cache
    """
    chosen = plan(problem, host)
    body = _Product(name, problem, chosen, host.has_fma, epilogue, prefetch)
    parameters = ", ".join(
        [*(f"ptr noalias %{p}" for p in ("a", "b", "c")), *(f"ptr %{p}" for p in extra)]
        + ["ptr noalias %scratch", "i64 %first", "i64 %last"]
    )
    return body.text(f"define void @{name}({parameters}) nounwind")


Span = tuple[Index, Index]  # first and last, or first and how many
Part = tuple[Run, Index]  # the run that a part belongs to, and where the part begins


@dataclass(frozen=True)
class _Matrix:
    """Where the operands of one matrix of the batch begin, and its first row in the batch."""

    a: str
    b: str
    c: str
    row: Index


@dataclass(frozen=True)
class _Tile:
    """A register tile: its size, where its operands and C begin, and its place in the product."""

    rows: int
    masks: list[str | None]  # one for each vector of a row
    a: Strided
    b: Strided
    c: str
    aside: str  # where the sums wait between blocks of k
    row: Index
    column: Index

    def offsets(self, stride: int, lanes: int) -> list[int]:
        """Of each accumulator, in a matrix with that stride."""
        return [r * stride + v * lanes for r in range(self.rows) for v in range(len(self.masks))]


class _Product:
    """The loop nest: matrices, panels of columns, blocks of k, tiles of rows."""

    def __init__(
        self,
        name: str,
        problem: Gemm,
        chosen: Plan,
        fused: bool,
        epilogue: Epilogue | None,
        prefetch: Sequence[str],
    ):
        dtype = np.dtype(problem.dtype)
        self.name, self.problem, self.plan, self.epilogue = name, problem, chosen, epilogue
        self.new_emit = lambda: Emit(dtype, chosen.lanes, fused)
        self.emit = self.new_emit()
        self.copies: dict[str, str] = {}  # functions that copy panels
        self.blocked = chosen.depth < problem.k
        self.prefetch = prefetch
        lda, ldb = problem.lda, problem.ldb
        self.a = Strided("%a", *((1, lda) if problem.transpose_a else (lda, 1)))
        self.b = Strided("%b", *((ldb, 1) if problem.transpose_b else (1, ldb)))

    def text(self, header: str) -> str:
        if self.plan.units_per_matrix and self.problem.count:
            self.nest()
        self.emit.line("ret void")
        return "\n".join([*self.copies.values(), self.emit.text(header)])

    def nest(self) -> None:
        p = self.plan
        for matrix, units in self.matrices():
            columns_of, rows_of = (units, None) if p.by_panels else (None, units)
            if p.rows_outside:
                for rows in self.parts(p.rows, rows_of):
                    for columns in self.parts(p.panels, columns_of, p.lanes):
                        panel = self.panel(matrix, columns, (0, p.depth))
                        self.tile(matrix, panel, rows, columns, (0, p.depth))
                continue
            for columns in self.parts(p.panels, columns_of, p.lanes):
                for block in self.blocks():
                    panel = self.panel(matrix, columns, block)
                    for rows in self.parts(p.rows, rows_of):
                        self.tile(matrix, panel, rows, columns, block)

    def matrices(self) -> Iterator[tuple[_Matrix, Span]]:
        """The matrices of the range, each with its own range of units."""
        emit, each = self.emit, self.plan.units_per_matrix
        if self.problem.count == 1:
            yield _Matrix("%a", "%b", "%c", 0), ("%first", "%last")
            return
        begin, _ = emit.divide("%first", each)
        end, _ = emit.divide(emit.add("%last", each - 1), each)
        for matrix in emit.loop(begin, end):
            (a, b, c), number = ("%a", "%b", "%c"), matrix
            for count, *strides in reversed(self.problem.batch):
                number, i = emit.divide(number, count)
                a, b, c = (emit.at(p, emit.mul(i, s)) for p, s in zip((a, b, c), strides))
            before = emit.mul(matrix, -each)
            first = emit.larger(emit.add("%first", before), 0)
            last = emit.smaller(emit.add("%last", before), each)
            yield _Matrix(a, b, c, emit.mul(matrix, self.problem.m)), (first, last)

    def parts(self, runs: list[Run], limits: Span | None, unit: int = 1) -> Iterator[Part]:
        """The parts between two limits, by runs of equal size, with the beginning of each."""
        emit = self.emit
        for run in runs:
            first, last = limits or (run.first, run.last)
            for part in emit.loop(emit.larger(first, run.first), emit.smaller(last, run.last)):
                yield run, emit.add(emit.mul(part, run.size * unit), run.shift * unit)

    def blocks(self) -> Iterator[Span]:
        """Blocks of k: the first k and how many."""
        emit, depth = self.emit, max(1, self.plan.depth)
        for k in emit.loop(0, max(1, self.problem.k), depth):
            yield k, emit.smaller(emit.sub(self.problem.k, k), self.plan.depth)

    def panel(self, matrix: _Matrix, columns: Part, block: Span) -> Strided:
        """The panel of B as the tiles read it: where it lies, or copied into the scratch."""
        emit, outer, depth = self.emit, self.b.outer, self.b.depth
        (run, column), (k, trips) = columns, block
        pointer = emit.at(matrix.b, emit.add(emit.mul(column, outer), emit.mul(k, depth)))
        here = Strided(pointer, outer, depth)
        if not self.plan.packed:
            return here
        if outer == 1:
            copy(emit, here, self.masks(run), trips, self.plan.width)
        else:
            whole = run.size - int(run.ragged > 0)
            self.transpose(pointer, "%scratch", self.plan.lanes, whole, trips)
            column = whole * self.plan.lanes
            rest, to = emit.at(pointer, column * outer), emit.at("%scratch", column)
            self.transpose(rest, to, run.ragged, int(run.ragged > 0), trips)
        return Strided("%scratch", 1, self.plan.width)

    def transpose(self, b: str, to: str, count: int, vectors: int, depth: Index) -> None:
        """Copy columns of a panel, `count` of each vector, with a function for all products."""
        if not vectors:
            return
        emit, width = self.new_emit(), self.plan.width
        size = min(self.problem.k, emit.lanes)
        name = f"transpose.{emit.suffix}.{count}.{size}.{width}"
        if name not in self.copies:
            self.copies[name] = transpose_function(name, emit, count, size, width)
        arguments = f"i64 {vectors}, i64 {self.b.outer}, i64 {depth}"
        self.emit.line(f"call void @{name}(ptr {b}, ptr {to}, {arguments})")

    def masks(self, run: Run) -> list[str | None]:
        """Of the vectors in a row of a panel."""
        return [None] * (run.size - 1) + [self.emit.mask(run.ragged or self.plan.lanes)]

    # -- one tile ------------------------------------------------------------------------

    def tile(self, matrix: _Matrix, panel: Strided, rows: Part, columns: Part, block: Span) -> None:
        """Multiply one tile of C and store it, or put the sums aside for the next block of k."""
        emit, p, width = self.emit, self.problem, self.plan.width
        (part, row), (run, column), (k, _) = rows, columns, block
        begin = emit.add(emit.mul(row, self.a.outer), emit.mul(k, self.a.depth))
        aside = emit.at("%scratch", self.plan.depth * width) if self.blocked else ""
        tile = _Tile(
            part.size,
            self.masks(run),
            Strided(emit.at(matrix.a, begin), self.a.outer, self.a.depth),
            panel,
            emit.element(matrix.c, row, p.ldc, column),
            emit.element(aside, row, width, 0) if self.blocked else "",
            emit.add(matrix.row, row),
            column,
        )
        self.fetch(tile)
        sums = self.sums(tile, block)
        if self.blocked:
            self.finish(tile, sums, block)
        else:
            self.store(tile, sums)

    def fetch(self, tile: _Tile) -> None:
        emit, ldc = self.emit, self.problem.ldc
        for name in self.prefetch:
            base = tile.c if name == "c" else emit.element(f"%{name}", tile.row, ldc, tile.column)
            for offset in tile.offsets(ldc, emit.lanes):
                emit.prefetch(emit.at(base, offset))

    def sums(self, tile: _Tile, block: Span) -> list[str]:
        """The accumulators after a block of k."""
        emit, (k, trips) = self.emit, block
        if not self.problem.k:
            return self.old(tile)
        if self.plan.along_k:
            return self.dots(tile)
        head, starts = emit.label(), list[Start]()
        if self.blocked:
            fresh, resumed = emit.label(), emit.label()
            emit.branch(emit.value(f"icmp eq i64 {k}, 0"), fresh, resumed)
            emit.begin(resumed)
            offsets = tile.offsets(self.plan.width, emit.lanes)
            starts.append((resumed, [emit.load(emit.at(tile.aside, o)) for o in offsets]))
            emit.jump(head)
            emit.begin(fresh)
        starts.append((emit.block, self.old(tile)))
        emit.jump(head)
        masks = [None] * len(tile.masks) if self.plan.packed else tile.masks
        return multiply(emit, tile.rows, masks, tile.a, tile.b, trips, head, starts)

    def dots(self, tile: _Tile) -> list[str]:
        """The accumulators of a tile of one vector of columns."""
        emit, lanes = self.emit, self.plan.lanes
        count = lanes if tile.masks == [None] else self.problem.n % lanes
        totals = dots(emit, tile.rows, count, tile.a, tile.b, self.problem.k)
        if not self.problem.accumulate:
            return totals
        return [emit.plus(total, old) for total, old in zip(totals, self.old(tile))]

    def old(self, tile: _Tile) -> list[str]:
        """What the sums start from: C or zero."""
        emit, offsets = self.emit, tile.offsets(self.problem.ldc, self.emit.lanes)
        if not self.problem.accumulate:
            return [ZERO] * len(offsets)
        masks = tile.masks * tile.rows
        return [emit.load(emit.at(tile.c, o), mask) for o, mask in zip(offsets, masks)]

    def finish(self, tile: _Tile, sums: list[str], block: Span) -> None:
        """Put the sums aside, or, after the last block of k, store C."""
        emit = self.emit
        more, done, leave = emit.label(), emit.label(), emit.label()
        emit.branch(emit.value(f"icmp slt i64 {emit.add(*block)}, {self.problem.k}"), more, done)
        emit.begin(more)
        for value, offset in zip(sums, tile.offsets(self.plan.width, emit.lanes)):
            emit.store(value, emit.at(tile.aside, offset))
        emit.jump(leave)
        emit.begin(done)
        self.store(tile, sums)
        emit.jump(leave)
        emit.begin(leave)

    def store(self, tile: _Tile, sums: list[str]) -> None:
        """C through the epilogue."""
        emit, ldc, values = self.emit, self.problem.ldc, iter(sums)
        for r in range(tile.rows):
            row = emit.add(tile.row, r)
            for v, mask in enumerate(tile.masks):
                value, column = next(values), emit.add(tile.column, v * emit.lanes)
                last = self.epilogue(emit, value, row, column, mask) if self.epilogue else value
                if last is not None:
                    emit.store(last, emit.at(tile.c, r * ldc + v * emit.lanes), mask)
