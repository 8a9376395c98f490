"""What product is asked for, and the one fixed rule by which it is computed.

>>> from slotgrad.runtime.host import Host
>>> chosen = plan(Gemm(62, 256, 784), Host("znver5", vector_bytes=64, has_fma=True))
>>> chosen.rows  # 6 tiles of 8 rows, then 2 of 7
[Run(first=0, last=6, size=8, shift=0, ragged=0), Run(first=6, last=8, size=7, shift=6, ragged=0)]
>>> chosen.panels  # 4 panels of 3 vectors, then 2 of 2
[Run(first=0, last=4, size=3, shift=0, ragged=0), Run(first=4, last=6, size=2, shift=4, ragged=0)]

May import errors and, for its types, runtime.host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InternalError

if TYPE_CHECKING:
    from ..runtime.host import Host

# {bytes of a vector: {vectors in a row of C: rows of the register tile}}; the last entry is for
# wider rows too.  Accumulators, a row of B and one element of A fill 32, 16 and 16 registers; a
# tile of 8 x 4 in 32 registers would spill and halve the speed.  Of two tiles with as many
# accumulators the higher one reads B less often from the second-level cache.
TILES = {
    64: {1: 16, 2: 14, 4: 6, 3: 8},
    32: {1: 12, 3: 4, 2: 6},
    16: {1: 8, 2: 4},
}
DOT_ROWS = 12  # so few rows of A are multiplied by rows of a transposed B along k
DOT_TILE = 4  # rows of A at a time
DIRECT_BYTES = 3 << 19  # a B up to here is read where it lies: it stays in the second-level cache
PACK_ROWS = 32  # a copy of B pays if at least so many rows use it
DEPTH = 1024  # the most rows of a packed panel; sums then wait in the scratch
ROWS_OUTSIDE_BYTES = 1 << 19  # a B up to here is read whole for each tile of rows, C row by row


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

    def flipped(self) -> Gemm:
        """The same product as C' = B' A', for a C of one contiguous column.

        A call exchanges the pointers a and b.  C is then one row, which runs in vectors.
        """
        if self.n != 1 or self.ldc != 1:
            raise InternalError(f"gemm: only one contiguous column can be flipped, not {self}")
        batch = tuple((count, b, a, c) for count, a, b, c in self.batch)
        sides = not self.transpose_b, not self.transpose_a, self.ldb, self.lda, self.m
        return Gemm(1, self.m, self.k, self.dtype, *sides, batch, self.accumulate)

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

    >>> [(run.last - run.first, run.size) for run in split(64, 6)]  # no small rest
    [(9, 6), (2, 5)]
    """
    parts = -(-size // limit)
    short, longer = divmod(size, parts) if parts else (0, 0)
    runs = [Run(0, longer, short + 1), Run(longer, parts, short, longer)]
    return [run for run in runs if run.first < run.last]


def even(size: int, limit: int) -> int:
    """The largest part, at most a quarter below the limit, that divides `size`; else the limit.

    Parts of one size need one piece of code.

    >>> even(64, 8), even(60, 14), even(64, 6)
    (8, 12, 6)
    """
    return next((n for n in range(limit, limit * 3 // 4, -1) if size % n == 0), limit)


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
    rows_outside: bool  # of the loops over rows and panels
    along_k: bool  # vectors along k, a sum for each element of C

    @property
    def units_per_matrix(self) -> int:
        runs = self.panels if self.by_panels else self.rows
        return runs[-1].last if self.rows and self.panels else 0

    @property
    def width(self) -> int:
        """Elements in a row of a packed panel."""
        return self.lanes * max(run.size for run in self.panels)


def plan(problem: Gemm, host: Host) -> Plan:
    """The rule: register tile by the width of C, packing by the bytes of B.

    Measured in float32 with AVX-512, as a share of the peak of one core: 96 % for 32..512, 94 %
    for 1024 and 2048, 95 % for A'B and 86 % for AB' with 64 rows, 91 % for 128 x 1024 x 1024.
    """
    size = np.dtype(problem.dtype).itemsize
    tiles = TILES[min(64, host.vector_bytes)]
    lanes = min(64, host.vector_bytes) // size
    vectors = -(-problem.n // lanes)
    transposed = problem.transpose_b and problem.ldb != 1 and problem.k > 0
    if transposed and problem.m <= DOT_ROWS and (problem.lda == 1 or not problem.transpose_a):
        rows = split(problem.m, min(DOT_TILE, lanes))
        panels = split_columns(problem.n, lanes, 1)
        return Plan(lanes, rows, panels, False, problem.k, True, False, True)
    wide = min(vectors, next(reversed(tiles))) if vectors not in tiles else vectors
    rows = split(problem.m, even(problem.m, tiles[wide])) if wide else []
    panels = split_columns(problem.n, lanes, wide) if wide else []
    b_bytes = problem.k * problem.n * size
    large = b_bytes > DIRECT_BYTES and problem.m >= PACK_ROWS
    packed = transposed or large
    depth = -(-problem.k // -(-problem.k // DEPTH)) if packed else problem.k
    while 0 < problem.k % max(1, depth) < lanes <= depth:  # each block holds a square
        depth += 1
    by_panels = bool(rows and panels) and (packed or panels[-1].last > rows[-1].last)
    rows_outside = not packed and b_bytes <= ROWS_OUTSIDE_BYTES
    return Plan(lanes, rows, panels, packed, depth, by_panels, rows_outside, False)
