"""What a matrix product is made of: the register tile, tiles along k, packed panels.

`multiply` is the loop over k that keeps a tile of the result in vector registers, `dots` the one
with vectors along k; `copy` and the function of `transpose_function` lay out a panel of B row
behind row.  May import targets.emit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from .emit import ZERO, Emit, Index, Start


@dataclass(frozen=True)
class Strided:
    """Elements pointer[i * outer + k * depth]: i a row of A or a lane of B, k summed over."""

    pointer: str
    outer: int
    depth: int


def multiply(
    emit: Emit, rows: int, masks: Sequence[str | None], a: Strided, b: Strided,
    trips: Index, head: str, starts: Sequence[Start],
) -> list[str]:  # fmt: skip
    """acc[i][v] += sum over k of a[i, k] * b[k, v * lanes ...] for a tile of registers.

    `starts` are the blocks that jump to `head`, with the accumulators they bring; trips >= 1.
    No unrolling over k: with 20 and more independent chains it gains nothing.
    """
    vectors = len(masks)

    def step(state: list[str]) -> list[str]:
        at_a, at_b, *acc = state
        row = [emit.load(emit.at(at_b, v * emit.lanes), mask) for v, mask in enumerate(masks)]
        total = []
        for i in range(rows):
            x = emit.broadcast(emit.at(at_a, i * a.outer))
            total += [emit.fma(x, y, acc[i * vectors + v]) for v, y in enumerate(row)]
        return [emit.at(at_a, a.depth), emit.at(at_b, b.depth), *total]

    kinds = ["ptr", "ptr"] + [emit.vector] * (rows * vectors)
    entering = [(block, [a.pointer, b.pointer, *acc]) for block, acc in starts]
    return emit.repeat(trips, kinds, head, entering, step)[2:]


def dots(emit: Emit, rows: int, count: int, a: Strided, b: Strided, k: int) -> list[str]:
    """Rows of A times `count` rows of B, vectors running along k: a vector for each row of A.

    Both are read where they lie, which is best for few rows of A.  A few rows of B at a time make
    as many sums as there are lanes, of which one vector comes.
    """
    high = 1 << (rows - 1).bit_length()
    wide = emit.lanes // high
    parts = []
    for first in range(0, emit.lanes, wide):
        columns = min(wide, count - first)
        if columns <= 0:
            parts.append(ZERO)
            continue
        at_b = Strided(emit.at(b.pointer, first * b.outer), b.outer, 1)
        sums = iter(_dots(emit, rows, columns, a, at_b, k))
        places = product(range(high), range(wide))
        square = [next(sums) if i < rows and j < columns else ZERO for i, j in places]
        parts.append(fold(emit, square))
    return transpose_blocks(emit, parts, wide, emit.lanes)[:rows]


def _dots(emit: Emit, rows: int, columns: int, a: Strided, b: Strided, k: int) -> list[str]:
    """Vectors whose elements make the products of each row of A with each row of B."""
    lanes = emit.lanes

    def step(state: list[str], mask: str | None = None) -> list[str]:
        at_a, at_b, *acc = state
        x = [emit.load(emit.at(at_a, i * a.outer), mask) for i in range(rows)]
        y = [emit.load(emit.at(at_b, j * b.outer), mask) for j in range(columns)]
        total = [emit.fma(p, q, z) for (p, q), z in zip(product(x, y), acc)]
        return [emit.at(at_a, lanes), emit.at(at_b, lanes), *total]

    state = [a.pointer, b.pointer] + [ZERO] * (rows * columns)
    if k >= lanes:
        head, before = emit.label(), emit.block
        emit.jump(head)
        kinds = ["ptr", "ptr"] + [emit.vector] * (rows * columns)
        state = emit.repeat(k // lanes, kinds, head, [(before, state)], step)
    if k % lanes:
        state = step(state, emit.mask(k % lanes))
    return state[2:]


def fold(emit: Emit, vectors: Sequence[str]) -> str:
    """The sums of the elements of as many vectors as there are lanes, in their order.

    Two vectors become one with half as many partial sums of each, by two shuffles and an addition:
    at first inside 128-bit parts, then with the parts as elements.
    """

    def halved(x: str, y: str, size: int, span: int) -> str:
        if x == y == ZERO:
            return ZERO
        halves = (
            [
                source + sums + half + i
                for start in range(0, emit.lanes, span)
                for source in (0, emit.lanes)
                for sums in range(start, start + span, size)
                for i in range(size // 2)
            ]
            for half in (0, size // 2)
        )
        return emit.plus(*(emit.shuffle(x, y, lanes) for lanes in halves))

    def folded(vectors: Sequence[str], span: int) -> str:
        size = span
        while len(vectors) > 1:
            vectors = [halved(x, y, size, span) for x, y in zip(vectors[::2], vectors[1::2])]
            size //= 2
        return vectors[0]

    part = min(16 // emit.size, emit.lanes)
    parts = [folded(vectors[i : i + part], part) for i in range(0, len(vectors), part)]
    return folded(parts, emit.lanes)


def copy(emit: Emit, b: Strided, masks: Sequence[str | None], depth: Index, width: int) -> None:
    """scratch[k * width + j] = b[j, k] for a panel that lies with j along its rows."""
    for k in emit.loop(0, depth):
        row, to = emit.at(b.pointer, emit.mul(k, b.depth)), emit.at("%scratch", emit.mul(k, width))
        for v, mask in enumerate(masks):
            emit.store(emit.load(emit.at(row, v * emit.lanes), mask), emit.at(to, v * emit.lanes))


def transpose_function(name: str, emit: Emit, count: int, size: int, width: int) -> str:
    """The text of `void @name(ptr b, ptr to, i64 vectors, i64 stride, i64 depth)`, which copies

        to[k * width + v * lanes + j] = b[(v * lanes + j) * stride + k]

    for k < depth, v < vectors, j < count, in squares of lanes x lanes, transposed in registers;
    lanes behind the first `count` become 0.  size is the smaller one of lanes and the number of
    columns of b: the last square of a row begins where it still fits, and so overlaps the one
    before it; if all columns are fewer than a square has, it is masked.
    """
    lanes, mask = emit.lanes, emit.mask(size)
    rows: list[Index] = [0, "%stride"]
    rows += [emit.once(f"mul nsw i64 %stride, {j}") for j in range(2, count)]
    step = emit.once(f"mul nsw i64 %stride, {lanes}")
    emit.line(f"%last = sub nsw i64 %depth, {size}")
    for vector in emit.loop(0, "%vectors"):
        first = emit.at("%b", emit.value(f"mul nsw i64 {vector}, {step}"))
        out = emit.at("%to", emit.mul(vector, lanes))
        for position in emit.loop(0, "%depth", lanes):
            k = emit.smaller(position, "%last")
            corner, to = emit.at(first, k), emit.at(out, emit.mul(k, width))
            square = [emit.load(emit.at(corner, row), mask) for row in rows[:count]]
            columns = transpose(emit, square + [ZERO] * (lanes - count))
            for j, column in enumerate(columns[:size]):
                emit.store(column, emit.at(to, j * width))
    emit.line("ret void")
    parameters = "ptr noalias %b, ptr noalias %to, i64 %vectors, i64 %stride, i64 %depth"
    return emit.text(f"define internal void @{name}({parameters}) nounwind")


def transpose(emit: Emit, rows: list[str]) -> list[str]:
    """The columns of a square of vectors, each step one shuffle within or of 128-bit parts.

    First the small squares inside each 128-bit part, then the parts as elements: on x86 these
    shuffles cost half of those that cross parts one element at a time.
    """
    part = min(16 // emit.size, emit.lanes)  # elements in 128 bits
    squares = [rows[g : g + part] for g in range(0, len(rows), part)]
    inside = [transpose_blocks(emit, square, 1, part) for square in squares]
    across = [transpose_blocks(emit, list(c), part, emit.lanes) for c in zip(*inside)]
    return [column for group in zip(*across) for column in group]


def transpose_blocks(emit: Emit, rows: list[str], block: int, span: int) -> list[str]:
    """Transpose blocks of `block` lanes inside every `span` lanes: even and odd ones apart."""
    if len(rows) == 1:
        return rows
    pairs = list(zip(rows[::2], rows[1::2]))
    halves = []
    for odd in (0, block):
        lanes = [
            source + start + i
            for start in range(0, emit.lanes, span)
            for source in (0, emit.lanes)
            for i in range(span)
            if i & block == odd
        ]
        half = [emit.shuffle(x, y, lanes) for x, y in pairs]
        halves.append(transpose_blocks(emit, half, block, span))
    return [column for pair in zip(*halves) for column in pair]
