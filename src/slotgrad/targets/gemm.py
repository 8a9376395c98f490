"""The matrix product as LLVM text, specialised to one shape: C = A B, or C += A B.

A tile of C stays in registers while k runs, in batches and with either operand transposed.  One
fixed rule chooses everything (`plan`); nothing is searched.  Before a vector of C is stored it
passes an `epilogue`, so bias, activation, mask and optimiser update cost no pass over memory:

    problem = Gemm(64, 256, 784, np.float32)
    text = gemm_function("dense", problem, host(), relu_of_sum, extra=("bias",))
    # void dense(a, b, c, scratch, first, last, bias): computes the units first..last - 1

Sources: K. Goto and R. van de Geijn, Anatomy of high-performance matrix multiplication, ACM
TOMS 34 (2008); F. Van Zee and R. van de Geijn, BLIS, ACM TOMS 41 (2015).  Unlike there, A is
never packed and B only where it must be: with static strides a broadcast from A is the operand
of the multiplication itself.  May import `gemm_tile` and, for its types, `runtime.host`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .gemm_tile import ZERO, Emit, Index, Start, Strided, multiply, pack_function

if TYPE_CHECKING:
    from ..runtime.host import Host

# (emit, vector, row, column, mask) -> the vector to store, or None for none.  See `gemm_function`.
Epilogue = Callable[[Emit, str, Index, Index, str | None], str | None]

# Rows of the register tile for a matrix of 1, 2, 3, 4 and more vectors in a row, by the bytes of
# a vector.  Accumulators, a row of B and one element of A fit 32, 16 and 16 registers; 32
# accumulators would spill and halve the speed.
TILES = {
    64: {1: 14, 2: 14, 3: 8, 4: 6},
    32: {1: 12, 2: 6, 3: 4},
    16: {1: 8, 2: 4},
}
DIRECT_BYTES = 3 << 19  # a B up to here is read where it lies: it stays in the second-level cache
PACK_ROWS = 32  # a copy of B pays if at least so many rows use it
DEPTH = 384  # rows of a packed panel
PREFETCH_BYTES = 1 << 18  # a C from here on is fetched ahead


@dataclass(frozen=True)
class Gemm:
    """C = op(A) op(B), or C += op(A) op(B) if `accumulate`, for each matrix of a batch.

    op(A) is (m, k), op(B) (k, n), C (m, n), row by row in memory, `lda`, `ldb` and `ldc` elements
    from row to row; A is stored (k, m) if `transpose_a`, B (n, k) if `transpose_b`.  `batch` holds
    (count, stride of a, of b, of c) for each axis, outermost first; a stride of 0 broadcasts.  A
    batch over which C does not move needs `accumulate` and may not be shared by threads.
    """

    m: int
    n: int
    k: int
    dtype: np.dtype | type = np.float32
    transpose_a: bool = False
    transpose_b: bool = False
    lda: int = 0  # 0: contiguous
    ldb: int = 0
    ldc: int = 0
    batch: tuple[tuple[int, int, int, int], ...] = ()
    accumulate: bool = False

    def __post_init__(self) -> None:
        defaults = {
            "lda": self.m if self.transpose_a else self.k,
            "ldb": self.k if self.transpose_b else self.n,
            "ldc": self.n,
        }
        for name, stride in defaults.items():
            object.__setattr__(self, name, getattr(self, name) or stride)
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def count(self) -> int:
        """Matrices in the batch."""
        return math.prod(count for count, *_ in self.batch)

    @property
    def flops(self) -> int:
        return 2 * self.count * self.m * self.n * self.k


@dataclass(frozen=True)
class Run:
    """Parts first..last - 1 of a split: each `size` long, part t beginning at t * size + shift."""

    first: int
    last: int
    size: int
    shift: int = 0
    ragged: int = 0  # elements in the last vector of the part, if it is not full


def split(size: int, limit: int) -> list[Run]:
    """0..size - 1 in as few parts of at most `limit` as there can be, as equal as they can be.

    >>> split(64, 6)  # 9 parts of 6 and 2 of 5: no small rest that would run slowly
    [Run(first=0, last=9, size=6, shift=0, ragged=0), Run(first=9, last=11, size=5, shift=9, ragged=0)]
    """
    parts = -(-size // limit)
    short, longer = divmod(size, parts) if parts else (0, 0)
    runs = [Run(0, longer, short + 1), Run(longer, parts, short, longer)]
    return [run for run in runs if run.first < run.last]


def split_columns(n: int, lanes: int, limit: int) -> list[Run]:
    """The split of a row's vectors into panels; the last panel is a run of its own if ragged."""
    runs, ragged = split(-(-n // lanes), limit), n % lanes
    if ragged:
        *runs, end = runs
        runs += [Run(end.first, end.last - 1, end.size, end.shift)] * (end.last - end.first > 1)
        runs += [Run(end.last - 1, end.last, end.size, end.shift, ragged)]
    return runs


@dataclass(frozen=True)
class Plan:
    """How a product is computed: the parts of rows and columns, whether B is copied, and so on.

    The unit of work, of which threads take shares, is a tile of rows, or a panel of columns if B
    is packed (each panel is then copied by one thread only) or panels outnumber the row tiles.
    """

    lanes: int
    rows: list[Run]
    panels: list[Run]  # sizes and shifts in vectors
    packed: bool
    depth: int  # k in blocks of so many
    by_panels: bool

    @property
    def units_per_matrix(self) -> int:
        runs = self.panels if self.by_panels else self.rows
        return runs[-1].last if self.rows and self.panels else 0

    @property
    def width(self) -> int:
        """Elements in a row of a packed panel."""
        return self.lanes * max(run.size for run in self.panels)


def plan(problem: Gemm, host: Host) -> Plan:
    """The rule: register tile by the width of C, packing by the bytes of B."""
    size = np.dtype(problem.dtype).itemsize
    tiles = TILES[min(64, host.vector_bytes)]
    lanes = min(64, host.vector_bytes) // size
    vectors = -(-problem.n // lanes)
    wide = vectors if vectors in tiles else (2 if host.vector_bytes == 32 else max(tiles))
    rows = split(problem.m, tiles[wide]) if wide else []
    panels = split_columns(problem.n, lanes, wide) if wide else []
    large = problem.k * problem.n * size > DIRECT_BYTES and problem.m >= PACK_ROWS
    packed = bool(problem.k and (problem.transpose_b and problem.ldb > 1 or large))
    blocks = max(1, -(-problem.k // DEPTH)) if large and packed else 1
    depth = problem.k if blocks == 1 else -(-problem.k // blocks // lanes) * lanes
    by_panels = bool(rows and panels) and (packed or panels[-1].last > rows[-1].last)
    return Plan(lanes, rows, panels, packed, depth, by_panels)


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
    """LLVM text of the product: `void @name(a, b, c, scratch, i64 first, i64 last, *extra)`.

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
    prefetch   those of them which have C's shape and stride and are fetched ahead, and "c"
    """
    body = _Product(name, problem, plan(problem, host), host.has_fma, epilogue, prefetch)
    parameters = ", ".join(
        [*(f"ptr noalias %{p}" for p in ("a", "b", "c", "scratch")), "i64 %first", "i64 %last"]
        + [f"ptr %{p}" for p in extra]
    )
    return body.text(f"define void @{name}({parameters}) nounwind")


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
        self.blocked = chosen.depth < problem.k
        large = problem.m * problem.n * dtype.itemsize >= PREFETCH_BYTES
        self.prefetch = dict.fromkeys([*prefetch, *["c"] * large])
        lda, ldb = problem.lda, problem.ldb
        self.a = Strided("%a", *((1, lda) if problem.transpose_a else (lda, 1)))
        self.b = Strided("%b", *((ldb, 1) if problem.transpose_b else (1, ldb)))

    def text(self, header: str) -> str:
        functions = []
        if self.plan.units_per_matrix and self.problem.count:
            self.nest()
            if self.plan.packed:
                functions.append(self.pack_text())
        self.emit.line("ret void")
        return "\n".join([*functions, self.emit.text(header)])

    def nest(self) -> None:
        for a, b, c, matrix, units in self.matrices():
            panels, rows = (units, None) if self.plan.by_panels else (None, units)
            for run, column in self.parts(self.plan.panels, panels, self.plan.lanes):
                for k, trips in self.blocks():
                    panel = self.panel(b, run, column, k, trips)
                    for part, row in self.parts(self.plan.rows, rows):
                        tile = self.place(part.size, run, a, panel, c, matrix, row, column, k)
                        self.finish(tile, self.sums(tile, k, trips), k, trips)

    def matrices(self) -> Iterator[tuple[str, str, str, Index, tuple[Index, Index]]]:
        """The matrices of the range: A, B, C, the matrix's number, and its range of units."""
        emit, each = self.emit, self.plan.units_per_matrix
        if self.problem.count == 1:
            yield "%a", "%b", "%c", 0, ("%first", "%last")
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
            yield a, b, c, matrix, (first, last)

    def parts(
        self, runs: list[Run], limits: tuple[Index, Index] | None, unit: int = 1
    ) -> Iterator[tuple[Run, Index]]:
        """The parts between two limits, by runs of equal size, with the beginning of each."""
        emit = self.emit
        for run in runs:
            first, last = limits or (run.first, run.last)
            for part in emit.loop(emit.larger(first, run.first), emit.smaller(last, run.last)):
                yield run, emit.add(emit.mul(part, run.size * unit), run.shift * unit)

    def blocks(self) -> Iterator[tuple[Index, Index]]:
        """Blocks of k: the first k and how many."""
        emit, depth = self.emit, max(1, self.plan.depth)
        for k in emit.loop(0, max(1, self.problem.k), depth):
            yield k, emit.smaller(emit.sub(self.problem.k, k), self.plan.depth)

    def panel(self, b: str, run: Run, column: Index, k: Index, trips: Index) -> Strided:
        """The panel of B as the tiles read it: where it lies, or copied into the scratch."""
        emit = self.emit
        row = emit.mul(k, self.b.depth)
        pointer = emit.at(b, emit.add(emit.mul(column, self.b.outer), row))
        if not self.plan.packed:
            return Strided(pointer, 1, self.b.depth)
        rest = int(run.ragged > 0)
        counts = f"i64 {run.size - rest}, i64 {rest}, i64 {trips}"
        emit.line(f"call void @{self.name}.pack(ptr {pointer}, ptr %scratch, {counts})")
        return Strided("%scratch", 1, self.plan.width)

    def pack_text(self) -> str:
        ragged, tail = self.problem.n % self.plan.lanes, self.problem.k % self.plan.lanes
        name, width = f"{self.name}.pack", self.plan.width
        return pack_function(name, self.new_emit(), self.b, ragged, tail, width)

    def place(
        self, rows: int, run: Run, a: str, panel: Strided, c: str,
        matrix: Index, row: Index, column: Index, k: Index,
    ) -> _Tile:  # fmt: skip
        emit, p, width = self.emit, self.problem, self.plan.width
        begin = emit.add(emit.mul(row, self.a.outer), emit.mul(k, self.a.depth))
        masks = [None] * (run.size - 1) + [emit.mask(run.ragged or self.plan.lanes)]
        behind_panel = emit.add(emit.mul(row, width), self.plan.depth * width)
        return _Tile(
            rows,
            masks,
            Strided(emit.at(a, begin), self.a.outer, self.a.depth),
            panel,
            emit.element(c, row, p.ldc, column),
            emit.at("%scratch", behind_panel) if self.blocked else "",
            emit.add(emit.mul(matrix, p.m), row),
            column,
        )

    # -- one tile ------------------------------------------------------------------------

    def sums(self, tile: _Tile, k: Index, trips: Index) -> list[str]:
        """The accumulators after a block of k."""
        emit = self.emit
        self.fetch(tile)
        if not self.problem.k:
            return self.old(tile)
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

    def fetch(self, tile: _Tile) -> None:
        emit, ldc = self.emit, self.problem.ldc
        for name in self.prefetch:
            base = tile.c if name == "c" else emit.element(f"%{name}", tile.row, ldc, tile.column)
            for offset in tile.offsets(ldc, emit.lanes):
                emit.prefetch(emit.at(base, offset))

    def old(self, tile: _Tile) -> list[str]:
        """What the sums start from: C or zero."""
        emit, offsets = self.emit, tile.offsets(self.problem.ldc, self.emit.lanes)
        if not self.problem.accumulate:
            return [ZERO] * len(offsets)
        masks = tile.masks * tile.rows
        return [emit.load(emit.at(tile.c, o), mask) for o, mask in zip(offsets, masks)]

    def finish(self, tile: _Tile, values: list[str], k: Index, trips: Index) -> None:
        """Put the sums aside, or, after the last block of k, store C."""
        emit = self.emit
        if not self.blocked:
            self.store(tile, values)
            return
        more, done, leave = emit.label(), emit.label(), emit.label()
        emit.branch(emit.value(f"icmp slt i64 {emit.add(k, trips)}, {self.problem.k}"), more, done)
        emit.begin(more)
        for value, offset in zip(values, tile.offsets(self.plan.width, emit.lanes)):
            emit.store(value, emit.at(tile.aside, offset))
        emit.jump(leave)
        emit.begin(done)
        self.store(tile, values)
        emit.jump(leave)
        emit.begin(leave)

    def store(self, tile: _Tile, values: list[str]) -> None:
        emit, ldc, vectors = self.emit, self.problem.ldc, len(tile.masks)
        columns = [emit.add(tile.column, v * emit.lanes) for v in range(vectors)]
        for r in range(tile.rows):
            row = emit.add(tile.row, r) if self.epilogue else 0
            for v, mask in enumerate(tile.masks):
                value: str | None = values[r * vectors + v]
                if self.epilogue:
                    value = self.epilogue(emit, value, row, columns[v], mask)
                if value is not None:
                    emit.store(value, emit.at(tile.c, r * ldc + v * emit.lanes), mask)
