"""What a program computes, as columns of rows, wherever in the storage their slots lie.

Row i of `Columns` is slot `slots[i]`; operands are rows.  Rows that no operation of the program
makes are leaves or numbers.

    few_ancestors, ancestors   the slots that some slots depend on
    rows_of                    the columns of some operations
    whole                      the columns of all that outputs depend on, however much it is

May import kernel.scalars, runtime.tape and scalar.tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..kernel.scalars import FIRST_OPERATION, NUMBER, code_of
from ..runtime.tape import needed_of
from .native import Tape

_FEW = 500  # slots, besides outputs, that are found one by one before native code has seen all
_SOME = 4000  # the same, before Python has seen all


class Columns(NamedTuple):
    """Rows in which operands come before their users.

    code, first, second   as on a tape, operands being rows
    values                what those rows hold that are numbers
    outputs               rows
    slots                 of the rows, ascending; None: row i is slot i
    """

    code: np.ndarray
    first: np.ndarray
    second: np.ndarray
    values: np.ndarray
    outputs: np.ndarray
    slots: np.ndarray | None = None

    @property
    def operations(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.code >= FIRST_OPERATION))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The slots of rows."""
        return rows if self.slots is None else self.slots[rows]

    def copy(self) -> Columns:
        """Columns that stay what they are while recording goes on."""
        code, first, second, values, outputs = [x.copy() for x in self[:5]]
        slots = None if self.slots is None else self.slots.copy()
        return Columns(code, first, second, values, outputs, slots)


def rows_of(tape: Tape, made: np.ndarray, outputs: Sequence[int] | np.ndarray) -> Columns:
    """The columns of operations, given by slots, ascending, and of what they read."""
    operands = tape.first[made], tape.second[made]
    slots = np.unique(np.concatenate([made, *operands]))
    slots = slots[slots >= 0].astype(np.int64)
    code = tape.code[slots]
    code[code >= FIRST_OPERATION] = 0  # what another step makes is a leaf here
    at = np.searchsorted(slots, made)
    code[at] = tape.code[made]
    columns = []
    for given in operands:
        column = np.full(len(slots), -1, np.int32)
        column[at] = np.where(given < 0, -1, np.searchsorted(slots, given))
        columns.append(column)
    first, second = columns
    found = np.searchsorted(slots, outputs)
    return _with_squares(Columns(code, first, second, tape.values[slots], found, slots))


def whole(tape: Tape, outputs: Sequence[int]) -> Columns:
    """The columns of all that outputs depend on."""
    n = max(outputs) + 1
    columns = tape.code[:n], tape.first[:n], tape.second[:n]
    needed = needed_of(*columns, outputs)
    if 2 * needed.size < n:
        return rows_of(tape, needed[columns[0][needed] >= FIRST_OPERATION], outputs)
    return _with_squares(Columns(*columns, tape.values[:n], np.array(outputs, np.int64)))


def _with_squares(columns: Columns) -> Columns:
    """x ** 2 being x * x, which takes a tenth of the time."""
    code, first, second, values, *_ = columns
    powers = np.flatnonzero(code == code_of["pow"])
    exponents = second[powers]
    squares = powers[(code[exponents] == NUMBER) & (values[exponents] == 2)]
    if squares.size:
        code, second = code.copy(), second.copy()
        code[squares], second[squares] = code_of["mul"], first[squares]
    return columns._replace(code=code, second=second)


# -- what depends on what --------------------------------------------------------------------------


def is_made(tape: Tape, slot: int) -> bool:
    """Whether a slot is computed."""
    made = tape.code[slot] >= FIRST_OPERATION
    return bool(made) or slot in tape.customs or slot in tape.references


def operations_of(tape: Tape, slots: Sequence[int]) -> np.ndarray:
    """Those of the slots that operations make."""
    found = np.array(slots, np.int64)
    return found[tape.code[found] >= FIRST_OPERATION]


def by_python(tape: Tape) -> set[int]:
    """The slots that Python computes."""
    return tape.customs.keys() | tape.references.keys()


def _operands(tape: Tape, slot: int) -> Iterable[int]:
    """The slots that a slot is computed from.

    A reference depends on everything before it, since that may become its target.
    """
    if slot in tape.customs:
        return tape.customs[slot].operands
    if slot in tape.references:
        target = tape.references[slot]
        later = [target] if target is not None and target > slot else []
        return [*later, *range(slot)]
    return [s for s in (tape.first.item(slot), tape.second.item(slot)) if s >= 0]


def few_ancestors(tape: Tape, outputs: Sequence[int], few: int = _FEW) -> list[int] | None:
    """The ancestors, ascending, found from the outputs on; None if they are many."""
    python = by_python(tape)
    first, second = memoryview(tape.first.data), memoryview(tape.second.data)
    seen: set[int] = set()
    stack = list(outputs)
    most = len(stack) + few
    while stack:
        slot = stack.pop()
        if slot in seen:
            continue
        seen.add(slot)
        if len(seen) + len(stack) > most:
            return None
        if slot in python:
            stack += _operands(tape, slot)
        elif first[slot] >= 0:
            stack.append(first[slot])
            if second[slot] >= 0:
                stack.append(second[slot])
    return sorted(seen)


def ancestors(tape: Tape, outputs: Sequence[int]) -> list[int]:
    """The slots that the outputs depend on, ascending."""
    some = few_ancestors(tape, outputs, _SOME)
    return _swept(tape, outputs) if some is None else some


def _swept(tape: Tape, outputs: Iterable[int]) -> list[int]:
    """The ancestors, found by one look at each slot: operands come before their users."""
    needed = bytearray(tape.count)
    for slot in outputs:
        needed[slot] = 1
    python = by_python(tape)
    first, second = memoryview(tape.first.data), memoryview(tape.second.data)
    for slot in range(max(outputs, default=-1), -1, -1):
        if not needed[slot]:
            continue
        if slot in python:
            for s in _operands(tape, slot):
                needed[s] = 1
        elif first[slot] >= 0:
            needed[first[slot]] = 1
            if second[slot] >= 0:
                needed[second[slot]] = 1
    return np.flatnonzero(np.frombuffer(needed, np.uint8)).tolist()
