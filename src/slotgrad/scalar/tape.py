"""The tape of scalar operations: three columns, and the values.

Slot i was made by `code[i]` from the slots `first[i]` and `second[i]`, which come before it (see
`kernel/scalars.py`); its value stands in `values[i]`.  A constant has a slot of its own, and what
does nothing is not recorded: x + 0 and x * 1 are x.

>>> tape = PythonTape()
>>> a, b = tape.leaf(2.0), tape.leaf(3.0)
>>> total = tape.record(code_of["add"], a, b)
>>> tape.with_number(code_of["mul"], total, 1), tape.with_number(code_of["mul"], total, 4)
(2, 4)
>>> tape.code[:5].tolist(), tape.first[:5].tolist(), tape.second[:5].tolist()
([0, 0, 2, 1, 4], [-1, -1, 0, -1, 2], [-1, -1, 1, -1, 3])

`native.py` makes a faster class of this one.  May import the floor, ops and kernel.scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import OptionError, UsageError
from ..kernel.scalars import LEAF, NUMBER, code_of

_SMALLEST = 64  # slots of a new tape
MOST_NUMBERS = 4096  # that are remembered, to be shared
_LONGEST = (1 << 31) - 1  # slots are 32-bit integers

# By code: the number that does nothing as second operand, and as first.
_DOES_NOTHING_BEHIND = {code_of[name]: x for name, x in (("add", 0), ("sub", 0), ("mul", 1))}
_DOES_NOTHING_BEHIND[code_of["div"]] = 1
_DOES_NOTHING_BEFORE = {code_of["add"]: 0, code_of["mul"]: 1}


class Custom(NamedTuple):
    """A slot that a Python function computes from other slots; its derivative is the function's."""

    function: Callable[..., Any]
    operands: tuple[int, ...]

    @property
    def name(self) -> str:
        """The function's; that of the class where it is the `apply` of a `Function`."""
        function = self.function
        while isinstance(function, partial):
            function = function.func
        owner = getattr(function, "__self__", None)
        named = owner if isinstance(owner, type) else function
        return str(getattr(named, "__name__", "function"))


class PythonTape:
    """Columns that grow by doubling; slots from `count` on are free.

    kind         the class of what operators return
    owner        what the tape belongs to
    names        of slots, where they have one
    customs      slots that Python computes
    references   slots that show another slot: its number, or None while it is not chosen

    A custom slot and a reference are leaves for those who read the columns only.
    """

    def __init__(self) -> None:
        self.kind: type | None = None
        self.owner: Any = None
        self.count = 0
        self.capacity = 0
        self.code = np.empty(0, np.uint8)
        self.first = self.second = np.empty(0, np.int32)
        self.values = np.empty(0)
        self.names: dict[int, str] = {}
        self.customs: dict[int, Custom] = {}
        self.references: dict[int, int | None] = {}
        self._numbers: dict[Any, int] = {}
        self._reserve(_SMALLEST)

    def _reserve(self, capacity: int) -> None:
        """Move the columns to arrays of this size."""
        if self.count >= _LONGEST:
            raise UsageError(
                f"scalar: got more than {_LONGEST} slots in one storage; split the formula over"
                " several storages, or write it with tensors"
            )
        n = self.count
        self.capacity = min(capacity, _LONGEST)

        def moved(old: np.ndarray) -> np.ndarray:
            new = np.empty(self.capacity, old.dtype)
            new[:n] = old[:n]
            return new

        self.code, self.values = moved(self.code), moved(self.values)
        self.first, self.second = moved(self.first), moved(self.second)
        self.values[n:] = math.nan
        # Writing one element through a memoryview takes half the time.
        self._code, self._first = memoryview(self.code.data), memoryview(self.first.data)
        self._second = memoryview(self.second.data)

    def record(self, code: int, first: int, second: int = -1) -> int:
        """The slot of an operation on slots."""
        slot = self.count
        if slot == self.capacity:
            self._reserve(2 * slot)
        self._code[slot] = code
        self._first[slot] = first
        self._second[slot] = second
        self.count = slot + 1
        return slot

    def leaf(self, value: float = math.nan) -> int:
        """The slot of a variable."""
        slot = self.record(LEAF, -1)
        self.values[slot] = value
        return slot

    def number(self, x: float) -> int:
        """The slot of a constant.  Equal constants share one, but 0.0 and -0.0 do not."""
        if x != x:
            raise OptionError(
                "scalar: got nan as a constant; expected a number, since whatever depends on it"
                " would be nan; make it a Variable if its value comes later"
            )
        key = x or str(x)
        slot = self._numbers.get(key)
        if slot is None:
            slot = self.record(NUMBER, -1)
            self.values[slot] = x
            if len(self._numbers) < MOST_NUMBERS:
                self._numbers[key] = slot
        return slot

    def with_number(self, code: int, slot: int, x: float, before: bool = False) -> int:
        """The slot of an operation with a number, which stands before or behind the other operand.

        That is the operand's own slot where the number does nothing.
        """
        if (_DOES_NOTHING_BEFORE if before else _DOES_NOTHING_BEHIND).get(code) == x:
            return slot
        constant = self.number(x)
        return self.record(code, constant, slot) if before else self.record(code, slot, constant)
