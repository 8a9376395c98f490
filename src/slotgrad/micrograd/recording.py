"""What `Value`s are recorded on: tapes that come and go with the formulas.

A recording is open while its formula grows, and closed once a value of it was asked for; then the
next formula begins another one.  It is computed as a whole, by the interpreter, which remembers the
last few tapes: a training loop records the same one in every step, and it is sorted once.

May import the floor, kernel.scalars, runtime.tape and scalar.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from ..kernel.scalars import FIRST_OPERATION, record_of
from ..runtime.tape import Interpreter
from ..scalar.native import Tape

_FEW = 32  # slots that are computed in Python, one by one
_REMEMBERED = 8  # tapes


class Leaf:
    """What a `Value` that no operation made holds: a number and its gradient."""

    __slots__ = ("data", "grad", "handle")

    def __init__(self, data: Any, handle: Any) -> None:
        self.data = data
        self.grad: Any = 0
        self.handle = handle  # a weak reference to the Value


class Recording(Tape):
    """A tape, its leaves, and what was computed of it.

    leaves, places   what holds the number of a leaf, and its slot
    computed         slots before this one have their values
    gradients        by slot, of the last backward
    host, offset     the recording that took this one in, and what its slots became
    """

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind
        self._kind = kind
        self.leaves: list[Leaf] = []
        self.places: list[int] = []
        self.computed = 0
        self.gradients: np.ndarray | None = None
        self.host: Recording | None = None
        self.offset = 0
        self.handles: WeakValueDictionary[int, Any] = WeakValueDictionary()

    @property
    def open(self) -> bool:
        """Whether operators may go on recording here without asking."""
        return self.kind is not None

    def reopen(self) -> None:
        """Go on recording."""
        self.kind = self._kind

    def enter(self, leaf: Leaf) -> int:
        """The slot of a leaf with the number that it has now."""
        slot = self.leaf(float(leaf.data))
        self.leaves.append(leaf)
        self.places.append(slot)
        return slot

    def absorb(self, other: Recording) -> None:
        """Take in another recording, whose slots come behind the own ones."""
        n, more = self.count, other.count
        if n + more > self.capacity:
            self._reserve(2 * (n + more))
        end = n + more
        self.code[n:end] = other.code[:more]
        self.values[n:end] = other.values[:more]
        for mine, theirs in ((self.first, other.first), (self.second, other.second)):
            mine[n:end] = np.where(theirs[:more] < 0, -1, theirs[:more] + n)
        if self.computed == n:
            self.computed += other.computed
        self.count = end
        self.leaves += other.leaves
        self.places += [slot + n for slot in other.places]
        other.host, other.offset, other.kind = self, n, None
        other.leaves, other.places = [], []

    # -- computing -----------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Compute all values, and close."""
        n = self.count
        self.kind = None
        if n - self.computed <= _FEW:
            self._one_by_one()
        else:
            machine = _machine(self, None)
            values = machine.placed(self.values[:n])
            machine.forward(values)
            self.values[:n] = machine.restored(values)
        self.computed = n

    def _one_by_one(self) -> None:
        values = self.values
        with np.errstate(all="ignore"):
            for slot in range(self.computed, self.count):
                code = self.code.item(slot)
                if code >= FIRST_OPERATION:
                    operands = (self.first.item(slot), self.second.item(slot))
                    given = [values[i] for i in operands if i >= 0]
                    values[slot] = record_of(code).value(*given)

    def backward(self, slot: int) -> None:
        """Add the derivative of a slot to the gradients of leaves."""
        if self.computed < self.count:
            self.evaluate()
        n = self.count
        machine = _machine(self, slot)
        gradients = np.zeros(n)
        gradients[slot] = 1.0
        by_place = machine.placed(gradients)
        machine.backward(machine.placed(self.values[:n]), by_place)
        self.gradients = machine.restored(by_place)
        reached = self.gradients[self.places]
        for i in np.flatnonzero(reached).tolist():
            self.leaves[i].grad += reached.item(i)


# -- tapes that were seen before -------------------------------------------------------------------


class _Seen:
    """The columns of a tape and what runs them."""

    def __init__(self, tape: Tape) -> None:
        n = tape.count
        self.columns = tape.code[:n], tape.first[:n], tape.second[:n]
        self.machines: dict[int | None, Interpreter] = {}

    def same(self, tape: Tape) -> bool:
        """Whether the tape has the same columns."""
        n = tape.count
        code, first, second = self.columns
        return (
            np.array_equal(code, tape.code[:n])
            and np.array_equal(first, tape.first[:n])
            and np.array_equal(second, tape.second[:n])
        )


class _Local(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self.seen: OrderedDict[int, list[_Seen]] = OrderedDict()  # by length


_local = _Local()


def current(kind: type) -> Recording:
    """The recording of a formula that begins now."""
    found = _local.recording
    if found is None or not found.open:
        found = _local.recording = Recording(kind)
    return found


def _machine(tape: Recording, output: int | None) -> Interpreter:
    """What runs a tape for an output, or for all of them."""
    seen = _local.seen
    known = seen.setdefault(tape.count, [])
    found = next((s for s in known if s.same(tape)), None)
    if found is None:
        found = _Seen(tape)
        known.insert(0, found)
        del known[2:]
    seen.move_to_end(tape.count)
    while len(seen) > _REMEMBERED:
        seen.popitem(last=False)
    machine = found.machines.get(output)
    if machine is None:
        outputs = None if output is None else [output]
        machine = found.machines[output] = Interpreter(*found.columns, outputs)
    return machine
