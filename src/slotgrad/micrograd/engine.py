"""`Value`: a number that remembers what it was made from, with the interface of micrograd.engine.

Operators record and compute nothing; the first `data` that is asked for, or `backward`, computes
the whole formula at once, in native code.

>>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
>>> c = a * b + 10
>>> c.backward()
>>> c
Value(data=4.0, grad=1.0)
>>> a.grad, b.grad
(-3.0, 2.0)
>>> a.data -= 0.5 * a.grad
>>> (a * b).data
-10.5

Gradients of values that no operation made add up until they are set to 0; those of others are what
the last backward made them.  May import the floor, kernel.scalars, scalar and micrograd.recording.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from ..errors import UsageError
from ..kernel.scalars import FIRST_OPERATION, NUMBER, code_of, name_of
from ..scalar.native import Recorded, Tape
from ..scalar.recorded import as_number
from .recording import Leaf, Recording, current

_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


class Value(Recorded):
    """A number, or the result of operations on such.

    data      a number
    label     what it is called in pictures

    Operators + - * / ** with values and numbers; relu, tanh, exp, log and the other functions that
    `Variable` has.
    """

    __slots__ = ("_leaf", "_label", "__weakref__")
    _shown = "data"
    tape: Any  # a Recording, or None

    def __init__(
        self, data: Any = 0.0, _children: tuple = (), _op: str = "", label: str = ""
    ) -> None:
        if as_number(data) is None or _children or _op:
            raise UsageError(
                f"Value: got {data!r}{', made by ' + _op if _op else ''}; expected a number, made"
                " by nothing: operations of one's own are functions of those that there are"
            )
        self.tape, self.slot = None, -1
        self._leaf = Leaf(data, ref(self))
        if label:
            self._label = label

    # -- recording -----------------------------------------------------------------------------

    def _home(self) -> Any:
        """The recording that the value is on, which may have been taken in by another; or None."""
        tape = self.tape
        while tape is not None and tape.host is not None:
            self.slot += tape.offset
            tape = self.tape = tape.host
        return tape

    def _entered(self) -> Tape:
        tape = self._home()
        if self._is_leaf():
            if tape is None or not tape.open:
                tape = self.tape = current(Value)
                self.slot = tape.enter(self._leaf)
        elif not tape.open:
            tape.reopen()
        return tape

    def _common(self, other: Any) -> Tape | None:
        if not isinstance(other, Value):
            return None
        mine, theirs = self._home(), other._home()
        if mine is not theirs or mine is None or not mine.open:
            if self._is_leaf() and not other._is_leaf():
                mine = self._on(other._entered())
            elif other._is_leaf():
                mine = other._on(self._entered())
            elif mine is not theirs:
                mine = self._joined(other)
            else:
                mine.reopen()
        return mine

    def _on(self, tape: Any) -> Any:
        """The tape, with this leaf on it."""
        if self.tape is not tape:
            self.tape, self.slot = tape, tape.enter(self._leaf)
        return tape

    def _joined(self, other: Value) -> Tape:
        """The larger one of two recordings, which takes in the other one."""
        mine, theirs = self.tape, other.tape
        if mine.count < theirs.count:
            mine, theirs = theirs, mine
        mine.absorb(theirs)
        mine.reopen()
        self._home()
        other._home()
        return mine

    def _is_leaf(self) -> bool:
        return hasattr(self, "_leaf")

    # -- numbers -------------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The number; that of a value which no operation made can be set."""
        if self._is_leaf():
            return self._leaf.data
        tape = self._home()
        if tape.computed <= self.slot:
            tape.evaluate()
        return tape.values.item(self.slot)

    @data.setter
    def data(self, data: Any) -> None:
        if not self._is_leaf():
            raise UsageError(
                f"data: this value was made by {self._op}; expected one that no operation made,"
                " such as a parameter"
            )
        if as_number(data) is None:
            raise UsageError(f"data: got {data!r}; expected a number")
        self._leaf.data = data
        self.tape = None  # formulas from now on see the new number

    @property
    def grad(self) -> Any:
        """The derivative of what `backward` was called on."""
        if self._is_leaf():
            return self._leaf.grad
        tape = self._home()
        known = tape.gradients is not None and self.slot < len(tape.gradients)
        return tape.gradients.item(self.slot) if known else 0.0

    @grad.setter
    def grad(self, grad: Any) -> None:
        if self._is_leaf():
            self._leaf.grad = grad
        elif (tape := self._home()).gradients is not None and self.slot < len(tape.gradients):
            tape.gradients[self.slot] = grad

    def backward(self) -> None:
        """Add the derivative of this value to the gradients of all that it was made from."""
        if self._is_leaf():
            self._leaf.grad = 1.0
        else:
            self._home().backward(self.slot)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copies have the number, the gradient and the label, and are made by no operation."""
        return Value, (self.data, (), "", self.label), (None, {"grad": self.grad})

    # -- to be seen ----------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What it is called in pictures."""
        return getattr(self, "_label", "")

    @label.setter
    def label(self, label: str) -> None:
        self._label = label

    @property
    def _made_by(self) -> tuple[str, list[int]]:
        """The operation that made the value, and the slots it was applied to."""
        if self._is_leaf():
            return "", []
        tape = self._home()
        code, operands = _operation(tape, self.slot)
        if code < FIRST_OPERATION:
            return "", []
        name = name_of(code)
        if name == "abs":  # see `Recorded.relu`
            inner, given = _operation(tape, operands[0])
            if inner == code_of["maximum"] and _is_number(tape, given[1], 0.0):
                return "ReLU", given[:1]
        if name == "pow" and _is_number(tape, operands[1]):
            return f"**{tape.values.item(operands[1]):g}", operands[:1]
        return _SYMBOLS.get(name, name), operands

    @property
    def _op(self) -> str:
        """The operation that made the value; "" for none."""
        return self._made_by[0]

    @property
    def _prev(self) -> set[Value]:
        """The values that it was made from."""
        tape = self._home()
        if tape is None:
            return set()
        tape.handles.setdefault(self.slot, self)
        return {_handle(tape, slot) for slot in self._made_by[1]}

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"


def _operation(tape: Recording, slot: int) -> tuple[int, list[int]]:
    operands = [tape.first.item(slot), tape.second.item(slot)]
    return tape.code.item(slot), [s for s in operands if s >= 0]


def _is_number(tape: Recording, slot: int, number: float | None = None) -> bool:
    if tape.code[slot] != NUMBER:
        return False
    return number is None or tape.values.item(slot) == number


def _handle(tape: Recording, slot: int) -> Value:
    """The value of a slot, the same one as long as somebody has it."""
    found = tape.handles.get(slot)
    if found is None and slot in tape.places:
        leaf = tape.leaves[tape.places.index(slot)]
        found = leaf.handle()
        if found is None:
            found = _new_value(tape, slot)
            found._leaf = leaf
    if found is None:
        found = _new_value(tape, slot)
    tape.handles[slot] = found
    return found


def _new_value(tape: Recording, slot: int) -> Value:
    found = object.__new__(Value)
    found.tape, found.slot = tape, slot
    return found
