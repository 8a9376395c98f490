"""What a matrix product is made of: an emitter of LLVM text, the register tile, packed panels.

`Emit` appends the lines of one function.  `multiply` is the loop over k that keeps a tile of
the result in vector registers, `dots` the one with vectors along k; `copy` and the function of
`transpose_function` lay out a panel of B row behind row.  Widths, strides and masks are static;
loops are Python `for` statements over a generator:

    for i in emit.loop(0, "%n"):
        emit.store(emit.load(emit.at("%x", i)), emit.at("%y", i))

Intrinsics need no declaration (LLVM 19 and later).  May import nothing of the package.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Index = int | str  # a number known now, or the SSA name of an i64
Start = tuple[str, list[str]]  # a block that jumps to a loop, and the values it brings
Step = Callable[[list[str]], list[str]]
ZERO = "zeroinitializer"


class Emit:
    """The text of one LLVM function, line by line, with vectors of `lanes` floats of `dtype`.

    `scalar` and `vector` are the names of the types, `block` the label of the current block.
    Index arithmetic on numbers known now is done now.
    """

    def __init__(self, dtype: np.dtype, lanes: int, fused: bool):
        self.lanes, self.size, self.fused = lanes, dtype.itemsize, fused
        self.scalar = {4: "float", 8: "double"}[dtype.itemsize]
        self.vector = f"<{lanes} x {self.scalar}>"
        self.block = "entry"
        self._suffix = f"v{lanes}f{8 * dtype.itemsize}"
        self.lines: list[str] = []
        self._entry: dict[str, str] = {}
        self._names = 0

    def text(self, header: str) -> str:
        """The function with its header, `define ... (...)`."""
        entry = [f"  {name} = {text}" for text, name in self._entry.items()]
        return "\n".join([f"{header} {{", "entry:", *entry, *self.lines, "}", ""])

    # -- lines and blocks ----------------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def name(self) -> str:
        self._names += 1
        return f"%v{self._names}"

    def value(self, text: str) -> str:
        """Append `name = text` with a new name and return the name."""
        name = self.name()
        self.line(f"{name} = {text}")
        return name

    def once(self, text: str) -> str:
        """The value of an instruction on arguments of the function, computed at its entry."""
        return self._entry.setdefault(text, f"%e{len(self._entry)}")

    def label(self) -> str:
        self._names += 1
        return f"b{self._names}"

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: str, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")

    def reserve(self) -> int:
        """Room for lines that name values defined further down: a loop's phis.  See `fill`."""
        self.lines.append("")
        return len(self.lines) - 1

    def fill(self, place: int, lines: Sequence[str]) -> None:
        self.lines[place] = "\n".join(f"  {text}" for text in lines)

    def loop(self, first: Index, last: Index, step: int = 1) -> Iterator[Index]:
        """The statement's body is emitted once, and runs for first, first + step, ... < last."""
        if isinstance(first, int) and isinstance(last, int) and last - first <= step:
            yield from [first] * (first < last)
            return
        before, head, leave = self.block, self.label(), self.label()
        if isinstance(first, int) and isinstance(last, int):
            self.jump(head)
        else:
            self.branch(self.value(f"icmp slt i64 {first}, {last}"), head, leave)
        self.begin(head)
        i, phi = self.name(), self.reserve()
        yield i
        following = self.value(f"add nsw i64 {i}, {step}")
        self.fill(phi, [f"{i} = phi i64 [{first}, %{before}], [{following}, %{self.block}]"])
        self.branch(self.value(f"icmp slt i64 {following}, {last}"), head, leave)
        self.begin(leave)

    def repeat(
        self, trips: Index, kinds: Sequence[str], head: str, starts: Sequence[Start], step: Step
    ) -> list[str]:
        """step(... step(state)), `trips` >= 1 times, for a state of values of these types.

        The loop begins with label `head`, to which every block of `starts` has jumped.
        """
        self.begin(head)
        count, state, phis = self.name(), [self.name() for _ in kinds], self.reserve()
        following = step(state)
        done = self.value(f"add nsw i64 {count}, 1")
        blocks = [f"%{block}" for block in (*(block for block, _ in starts), self.block)]
        changes = [(count, "i64", ["0"] * len(starts), done)]
        for j, kind in enumerate(kinds):
            changes.append((state[j], kind, [values[j] for _, values in starts], following[j]))
        lines = []
        for name, kind, entering, again in changes:
            pairs = [f"[{x}, {block}]" for x, block in zip([*entering, again], blocks)]
            lines.append(f"{name} = phi {kind} {', '.join(pairs)}")
        self.fill(phis, lines)
        leave = self.label()
        self.branch(self.value(f"icmp slt i64 {done}, {trips}"), head, leave)
        self.begin(leave)
        return following

    # -- indices and addresses -----------------------------------------------------------

    def add(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return a if b == 0 else b if a == 0 else self.value(f"add nsw i64 {a}, {b}")

    def sub(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.value(f"sub nsw i64 {a}, {b}")

    def mul(self, a: Index, b: int) -> Index:
        if isinstance(a, int):
            return a * b
        if b == 0:
            return 0
        return a if b == 1 else self.value(f"mul nsw i64 {a}, {b}")

    def divide(self, a: Index, b: int) -> tuple[Index, Index]:
        """Quotient and remainder of an index that is not negative."""
        if isinstance(a, int):
            return divmod(a, b)
        return self.value(f"udiv i64 {a}, {b}"), self.value(f"urem i64 {a}, {b}")

    def smaller(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.value(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def larger(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.value(f"call i64 @llvm.smax.i64(i64 {a}, i64 {b})")

    def at(self, pointer: str, offset: Index) -> str:
        """The address of element number `offset` behind a pointer."""
        if offset == 0:
            return pointer
        return self.value(f"getelementptr {self.scalar}, ptr {pointer}, i64 {offset}")

    def element(self, pointer: str, row: Index, stride: int, column: Index) -> str:
        """The address of pointer[row * stride + column]."""
        return self.at(pointer, self.add(self.mul(row, stride), column))

    # -- vectors -------------------------------------------------------------------------

    def mask(self, count: int) -> str | None:
        """The first `count` lanes; None stands for all."""
        if count >= self.lanes:
            return None
        return f"<{', '.join(f'i1 {int(i < count)}' for i in range(self.lanes))}>"

    def splat(self, number: float) -> str:
        """A constant in all lanes."""
        number = float(np.float32(number)) if self.size == 4 else number
        bits = struct.pack(">d", number).hex().upper()  # LLVM writes float in the double's digits
        return f"splat ({self.scalar} 0x{bits})"

    def load(self, pointer: str, mask: str | None = None) -> str:
        """A vector from memory; lanes outside the mask are not read, and 0."""
        if mask is None:
            return self.value(f"load {self.vector}, ptr {pointer}, align {self.size}")
        lanes = f"<{self.lanes} x i1> {mask}, {self.vector} {ZERO}"
        function = f"@llvm.masked.load.{self._suffix}.p0"
        return self.value(f"call {self.vector} {function}(ptr {pointer}, i32 {self.size}, {lanes})")

    def store(self, value: str, pointer: str, mask: str | None = None) -> None:
        """A vector to memory; lanes outside the mask are not written."""
        if mask is None:
            self.line(f"store {self.vector} {value}, ptr {pointer}, align {self.size}")
            return
        lanes = f"i32 {self.size}, <{self.lanes} x i1> {mask}"
        function = f"@llvm.masked.store.{self._suffix}.p0"
        self.line(f"call void {function}({self.vector} {value}, ptr {pointer}, {lanes})")

    def broadcast(self, pointer: str) -> str:
        """One element in all lanes: folds into the operand of the multiplication on AVX-512."""
        number = self.value(f"load {self.scalar}, ptr {pointer}, align {self.size}")
        first = self.value(f"insertelement {self.vector} poison, {self.scalar} {number}, i64 0")
        return self.shuffle(first, "poison", [0] * self.lanes)

    def shuffle(self, a: str, b: str, lanes: Sequence[int]) -> str:
        """Lanes of a, numbered from 0, and of b, numbered behind those of a."""
        order = f"<{len(lanes)} x i32> <{', '.join(f'i32 {i}' for i in lanes)}>"
        return self.value(f"shufflevector {self.vector} {a}, {self.vector} {b}, {order}")

    def plus(self, a: str, b: str) -> str:
        return self.value(f"fadd {self.vector} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        """a * b + c; in two roundings where the host has no such instruction (not a call)."""
        if not self.fused:
            return self.plus(self.value(f"fmul {self.vector} {a}, {b}"), c)
        v = self.vector
        return self.value(f"call {v} @llvm.fma.{self._suffix}({v} {a}, {v} {b}, {v} {c})")

    def prefetch(self, pointer: str) -> None:
        """Ask for a cache line that will be written."""
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 1, i32 3, i32 1)")


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


def transpose_function(name: str, emit: Emit, stride: int, k: int, ragged: int, width: int) -> str:
    """The text of `void @name(ptr b, ptr to, i64 whole, i64 rest, i64 depth)`, which copies

        to[k * width + j] = b[j * stride + k]    for k < depth, j < whole * lanes + rest * ragged

    in squares of lanes x lanes, transposed in registers.  rest is 0 or 1; the lanes behind the
    ragged ones become 0.  The last square of a row begins where it still fits, and so overlaps
    the one before it; if all of k is shorter than a square, it is masked.
    """
    lanes, size = emit.lanes, min(k, emit.lanes)
    mask = emit.mask(size)

    def squares(count: int, vector: Index) -> None:
        column = emit.mul(vector, lanes)
        first, out = emit.at("%b", emit.mul(column, stride)), emit.at("%to", column)
        for position in emit.loop(0, "%depth", lanes):
            i = emit.smaller(position, "%last")
            corner, to = emit.at(first, i), emit.at(out, emit.mul(i, width))
            rows = [emit.load(emit.at(corner, j * stride), mask) for j in range(count)]
            columns = transpose(emit, rows + [ZERO] * (lanes - count))
            for j, vector in enumerate(columns[:size]):
                emit.store(vector, emit.at(to, j * width))

    emit.line(f"%last = sub nsw i64 %depth, {size}")
    for vector in emit.loop(0, "%whole"):
        squares(lanes, vector)
    for _ in emit.loop(0, "%rest") if ragged else ():
        squares(ragged, "%whole")
    emit.line("ret void")
    parameters = "ptr noalias %b, ptr noalias %to, i64 %whole, i64 %rest, i64 %depth"
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
