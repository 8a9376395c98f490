"""The text of what runs over a stretch of slots that one operation made.

    void forward(ptr first, ptr second, ptr values, ptr gradients, i64 begin, i64 middle, i64 end)

computes the values of the slots begin ... end - 1; `backward01`, which is called likewise, adds
what these owe to the gradients of their operands, `backward0` and `backward1` to those of one of
them, and `backward` to none, since they are numbers.  Up to `middle`, whole vectors behind `begin`,
the slots must not depend on each other; the others are taken one after the other, upwards for
values and downwards for gradients.

Operands are gathered and gradients added one by one, which is no slower than the processors' own
instructions for it.  So cheap operations gain nothing from vectors, and have none.

May import the floor, kernel, runtime.host, runtime.rules and the writers of LLVM text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..dtypes import float64
from ..kernel.scalars import arity_of, name_of
from ..runtime.host import Host
from ..runtime.rules import contributions, needs, value
from .lanes import Value
from .module import Module
from .vector import Vector

# A few instructions each way, less than it takes to make and unmake a vector.
CHEAP = frozenset({"add", "sub", "mul", "neg", "abs", "sign", "floor", "maximum", "minimum"})

_HEADER = (
    "define void @NAME(ptr %first, ptr %second, ptr %values, ptr %gradients,"
    ' i64 %begin, i64 %middle, i64 %end) nounwind "prefer-vector-width"="512" {'
)
_COLUMNS = ("%first", "%second")
_VALUES, _GRADIENTS = "%values", "%gradients"


def forward_text(code: int, host: Host) -> str:
    """The function for the values of an operation."""
    module = Module(host)

    def body(loop: _Vectors) -> None:
        slots = [loop.slots(column) for column in _COLUMNS[: arity_of(code)]]
        operands = [loop.gathered(_VALUES, s) for s in slots]
        loop.put(_VALUES, value(loop.k, code, *operands))

    _define(module, "forward", _loops(module, code, body, _VALUES, 1))
    return module.text


def backward_text(code: int, host: Host) -> str:
    """The functions for the gradients of the operands of an operation."""
    module = Module(host)
    for wanted in ((), (0,), (1,), (0, 1)):
        if max(wanted, default=0) < arity_of(code):
            _define(module, backward_name(wanted), _backward(module, code, wanted))
    return module.text


def backward_name(wanted: Iterable[int]) -> str:
    """The function for the gradients of these operands.

    >>> backward_name([0, 1])
    'backward01'
    """
    return "".join(["backward", *map(str, wanted)])


def _backward(module: Module, code: int, wanted: tuple[int, ...]) -> list[str]:
    if not wanted:
        return []
    read = needs(code, wanted)

    def body(loop: _Vectors) -> None:
        places = range(arity_of(code))
        used = [j in wanted or "xy"[j] in read for j in places]
        slots = [loop.slots(_COLUMNS[j]) if used[j] else [] for j in places]
        operands = [loop.gathered(_VALUES, slots[j]) if "xy"[j] in read else None for j in places]
        out = loop.own(_VALUES) if "out" in read else None
        g = loop.own(_GRADIENTS)
        for j, x in zip(wanted, contributions(loop.k, code, g, out, *operands, wanted=wanted)):
            loop.add(_GRADIENTS, slots[j], x)

    return _loops(module, code, body, _GRADIENTS, len(wanted))


def _define(module: Module, name: str, lines: list[str]) -> None:
    text = "\n".join([_HEADER.replace("NAME", name), "entry:", *lines, "  ret void", "}\n"])
    module.define(name, lambda: text)


def _loops(
    module: Module, code: int, body: Callable[[_Vectors], None], stored: str, stores: int
) -> list[str]:
    """`body` for vectors from begin to middle, and for the slots from there to end."""
    downwards = stored == _GRADIENTS
    lines: list[str] = []
    start, before, lanes = "%begin", "entry", 1
    if name_of(code) not in CHEAP:
        vectors = _Vectors(Vector(module, module.host.lanes(float64), "%v"), downwards)
        lines += vectors.text(before, start, "%middle", body)
        start, before, lanes = "%middle", "v.end", 2
    chain = _Chain(Vector(module, lanes, "%s"), downwards, stored, stores)
    return lines + chain.text(before, start, "%end", body)


# -- loops -----------------------------------------------------------------------------------------


class _Vectors:
    """A loop that takes as many slots at a time as a vector has lanes."""

    letter = "v"

    def __init__(self, k: Vector, downwards: bool) -> None:
        self.k = k
        self.downwards = downwards
        self.step = k.lanes
        self.i = f"%{self.letter}.i"  # the first slot of a turn
        self.before = ""
        self.phis: list[str] = []

    def text(
        self, before: str, start: str, stop: str, body: Callable[[_Vectors], None]
    ) -> list[str]:
        """The loop over start ... stop - 1, behind the block `before`."""
        k, p = self.k, self.letter
        self.before = before
        k.line(f"%{p}.any = icmp slt i64 {start}, {stop}")
        k.line(f"br i1 %{p}.any, label %{p}.loop, label %{p}.end")
        k.start_block(f"{p}.loop")
        place = len(k.lines)  # of the phis, which name a block that is not known yet
        if self.downwards:
            k.line(f"{self.i} = sub i64 %{p}.stop, {self.step}")
        body(self)
        self.hand_on()
        if self.downwards:
            k.line(f"%{p}.more = icmp sgt i64 {self.i}, {start}")
            self.carry("i64", f"%{p}.stop", stop, self.i)
        else:
            k.line(f"%{p}.next = add i64 {self.i}, {self.step}")
            k.line(f"%{p}.more = icmp slt i64 %{p}.next, {stop}")
            self.carry("i64", self.i, start, f"%{p}.next")
        k.line(f"br i1 %{p}.more, label %{p}.loop, label %{p}.end")
        k.lines[place:place] = self.phis
        return [*k.lines, f"{p}.end:"]

    def carry(self, kind: str, name: str, first: str, then: str) -> None:
        """A value that is `first` in the first turn, and `then` of the turn before in others."""
        sources = f"[{first}, %{self.before}], [{then}, %{self.k.block}]"
        self.phis.append(f"  {name} = phi {kind} {sources}")

    def hand_on(self) -> None:
        """Carry what the next turn may need."""

    # -- what a body does --------------------------------------------------------------------------

    def slots(self, column: str) -> list[str]:
        """The slots of an operand, by lane."""
        k, at = self.k, self.k.fresh()
        k.line(f"{at} = getelementptr i32, ptr {column}, i64 {self.i}")
        found = []
        for lane in range(self.step):
            slot = k.fresh()
            k.line(f"{slot}.p = getelementptr i32, ptr {at}, i64 {lane}")
            k.line(f"{slot}.w = load i32, ptr {slot}.p")
            k.line(f"{slot} = zext i32 {slot}.w to i64")
            found.append(slot)
        return found

    def gathered(self, array: str, slots: list[str]) -> Value:
        """The elements of an array at these slots."""
        k, x = self.k, "poison"
        for lane, slot in enumerate(slots):
            y = k.fresh()
            k.line(f"{y}.p = getelementptr double, ptr {array}, i64 {slot}")
            k.line(f"{y}.x = load double, ptr {y}.p")
            k.line(f"{y} = insertelement {k.type(float64)} {x}, double {y}.x, i32 {lane}")
            x = y
        return Value(x, float64, k)

    def own(self, array: str) -> Value:
        """The elements of an array at the slots of this turn."""
        return self.k.load(float64, array, self.i)

    def put(self, array: str, x: Value) -> None:
        """Store the elements of an array at the slots of this turn."""
        self.k.store(x, float64, array, self.i)

    def add(self, array: str, slots: list[str], x: Value) -> str:
        """Add to elements of an array, lane by lane, since several may go to one slot.

        Returns the name of the last sum.
        """
        k = self.k
        for lane, slot in enumerate(slots):
            y = k.fresh()
            k.line(f"{y}.x = extractelement {x}, i32 {lane}")
            k.line(f"{y}.p = getelementptr double, ptr {array}, i64 {slot}")
            k.line(f"{y}.b = load double, ptr {y}.p")
            k.line(f"{y} = fadd double {y}.b, {y}.x")
            k.line(f"store double {y}, ptr {y}.p")
        return y


class _Chain(_Vectors):
    """A loop that takes one slot after the other.

    What one turn stores the next one mostly needs, as in a long sum, so it is handed on: that is
    three times as fast as waiting for memory.  All lanes hold the same; there are two where the
    body may have rare cases, since LLVM cannot pass the mask of a single lane to a function.

    stored, stores    the array that is stored to, and how often in a turn
    """

    letter = "s"

    def __init__(self, k: Vector, downwards: bool, stored: str, stores: int) -> None:
        super().__init__(k, downwards)
        self.step = 1
        self.stored = stored
        self.stores = stores
        self.done: list[tuple[str, str]] = []  # slots and values that this turn has stored

    def hand_on(self) -> None:
        for number, (slot, x) in enumerate(self.done):
            self.carry("i64", f"%s.slot{number}", "-1", slot)
            self.carry("double", f"%s.x{number}", "0.0", x)

    def _element(self, array: str, slot: str) -> Value:
        """An element, from the turn before if that stored it.

        By branches, which are foretold: a select would wait for memory as well.
        """
        k, x = self.k, self.k.fresh()
        sources = []
        if array == self.stored:
            for number in reversed(range(self.stores)):  # the last one stands
                k.line(f"{x}.is{number} = icmp eq i64 {slot}, %s.slot{number}")
                k.line(f"br i1 {x}.is{number}, label {x}.known, label {x}.not{number}")
                sources.append(f"[%s.x{number}, %{k.block}]")
                k.start_block(f"{x[1:]}.not{number}")
        k.line(f"{x}.p = getelementptr double, ptr {array}, i64 {slot}")
        k.line(f"{x}.m = load double, ptr {x}.p")
        sources.append(f"[{x}.m, %{k.block}]")
        k.line(f"br label {x}.known")
        k.start_block(f"{x[1:]}.known")
        k.line(f"{x} = phi double {', '.join(sources)}")
        return k.splat(x, float64)

    def gathered(self, array: str, slots: list[str]) -> Value:
        return self._element(array, slots[0])

    def own(self, array: str) -> Value:
        return self._element(array, self.i)

    def put(self, array: str, x: Value) -> None:
        k, y = self.k, self.k.fresh()
        k.line(f"{y} = extractelement {x}, i32 0")
        k.line(f"{y}.p = getelementptr double, ptr {array}, i64 {self.i}")
        k.line(f"store double {y}, ptr {y}.p")
        self.done.append((self.i, y))

    def add(self, array: str, slots: list[str], x: Value) -> str:
        total = super().add(array, slots, x)
        self.done.append((slots[0], total))
        return total
