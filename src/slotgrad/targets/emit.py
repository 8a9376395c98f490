"""An emitter of LLVM text: the lines of one function, with loops, indices and vectors.

Widths, strides and masks are static; loops are Python `for` statements over a generator:

    for i in emit.loop(0, "%n"):
        emit.store(emit.load(emit.at("%x", i)), emit.at("%y", i))

Intrinsics need no declaration (LLVM 19 and later).  May import nothing of the package.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Index = int | str  # a number known now, or the SSA name of an i64
Start = tuple[str, list[str]]  # a block that jumps to a loop, and the values it brings
Step = Callable[[list[str]], list[str]]
ZERO = "zeroinitializer"


class Emit:
    """The text of one LLVM function, line by line, with vectors of `lanes` floats of `dtype`.

    `scalar` and `vector` are the names of the types, `suffix` that of the vector in the names of
    functions, `block` the label of the current block.
    Index arithmetic on numbers known now is done now.
    """

    def __init__(self, dtype: np.dtype, lanes: int, fused: bool):
        self.lanes, self.size, self.fused = lanes, dtype.itemsize, fused
        self.scalar = {4: "float", 8: "double"}[dtype.itemsize]
        self.vector = f"<{lanes} x {self.scalar}>"
        self.block = "entry"
        self.suffix = f"v{lanes}f{8 * dtype.itemsize}"
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
        function = f"@llvm.masked.load.{self.suffix}.p0"
        return self.value(f"call {self.vector} {function}(ptr {pointer}, i32 {self.size}, {lanes})")

    def store(self, value: str, pointer: str, mask: str | None = None) -> None:
        """A vector to memory; lanes outside the mask are not written."""
        if mask is None:
            self.line(f"store {self.vector} {value}, ptr {pointer}, align {self.size}")
            return
        lanes = f"i32 {self.size}, <{self.lanes} x i1> {mask}"
        function = f"@llvm.masked.store.{self.suffix}.p0"
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
        return self.value(f"call {v} @llvm.fma.{self.suffix}({v} {a}, {v} {b}, {v} {c})")

    def prefetch(self, pointer: str) -> None:
        """Ask for a cache line that will be written."""
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 1, i32 3, i32 1)")
