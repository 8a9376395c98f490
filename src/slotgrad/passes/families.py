"""families: which operations of a tape may run as one array operation.

Columns say what made slot i: `code[i]`, and the slots in row i of the columns `operands`, which
come before it (-1: none).  Three sweeps, each a few operations on whole columns:

    sums      a + (b + c) + ... becomes one operation with many operands
    waves     operations whose operands are all known, again and again
    families  of each wave, from the last to the first: operations of equal kind whose results go
              to the same place

May import the floor and kernel.scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..kernel.scalars import FIRST_OPERATION, code_of

ADD = code_of["add"]
MOST_LOOKS = 32  # at each operation, on average, while it waits for its operands
LOOKS = 1 << 21  # at all of them that take no time to speak of
OUTSIDE, MANY = -1, -2  # where results go that no single family uses
ANY = 0  # arity of sums of many lengths
FEW_LENGTHS = 8
_LONGEST_SUM = 1 << 24


@dataclass
class Operations:
    """Operations with any number of operands.

    slots     where their results go, ascending
    code      by slot
    begin     number of the first operand, by operation
    arity     number of operands, by operation
    operands  slots
    uses      how often each slot is an operand or an output
    """

    slots: np.ndarray
    code: np.ndarray
    begin: np.ndarray
    arity: np.ndarray
    operands: np.ndarray
    uses: np.ndarray


def sums(code: np.ndarray, operands: Sequence[np.ndarray], outputs: np.ndarray) -> Operations:
    """The operations of columns, additions that only feed one another made one."""
    made = np.flatnonzero(code >= FIRST_OPERATION)
    uses = np.bincount(operands[0][made], minlength=code.size)
    for column in operands[1:]:
        mine = column[made]
        uses += np.bincount(_chosen(mine, mine >= 0), minlength=code.size)
    adds = _chosen(made, code[made] == ADD)
    within = np.zeros(code.size, bool)  # sums that another addition goes on with, and nothing else
    within[adds] = uses[adds] == 1
    within[outputs] = False
    uses[outputs] += 1
    columns = [column.astype(np.intp) for column in operands]
    whole = np.arange(code.size)  # the last addition of a sum
    for side in columns[:2]:
        whole[side[adds]] = np.where(within[side[adds]], adds, side[adds])
    within &= whole != np.arange(code.size)
    links = np.flatnonzero(within)
    while links.size:
        further = whole[whole[links]]
        moved = further != whole[links]
        whole[links] = further
        links = _chosen(links, moved)
    made = made[np.argsort(whole[made], kind="stable")]
    rows = np.empty((made.size, len(columns)), np.intp)
    for position, column in enumerate(columns):
        rows[:, position] = column[made]
    given = (rows >= 0) & ~within[rows]
    ends = np.cumsum(sum(given[:, i].astype(np.int8) for i in range(len(columns))))
    last = np.flatnonzero(~within[made])
    found = _chosen(rows.reshape(-1), given.reshape(-1))
    arity = np.diff(ends[last], prepend=0)
    return Operations(made[last], code, ends[last] - arity, arity, found, uses)


def _chosen(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    return x[np.flatnonzero(where)]  # several times faster than x[where]


def waves(ops: Operations, most: int) -> list[np.ndarray] | None:
    """Numbers of operations, ascending, in sets each of which needs the sets before it only.

    None if there are more than `most`, or if the tape is deep: each set takes a look at all that
    wait.
    """
    left = LOOKS + MOST_LOOKS * ops.slots.size
    known = ops.code < FIRST_OPERATION
    waiting, operands, arity = np.arange(ops.slots.size), ops.operands, ops.arity
    found: list[np.ndarray] = []
    while waiting.size:
        left -= waiting.size
        if len(found) == most or left < 0:
            return None
        missing = np.cumsum(~known[operands], dtype=np.int32)[np.cumsum(arity) - 1]
        late = np.diff(missing, prepend=0) != 0
        found.append(_chosen(waiting, ~late))
        known[ops.slots[found[-1]]] = True
        operands = _chosen(operands, np.repeat(late, arity))
        left_over = np.flatnonzero(late)
        waiting, arity = waiting[left_over], arity[left_over]
    return found


@dataclass(eq=False)
class Family:
    """Operations of one kind that can run at once, in the order in which they were recorded.

    slots     where their results go
    operands  slots, a row for each operation
    consumer  the family that alone uses the results, each once; or None
    sums      for sums of different lengths, whose operands are one column: the number of the
              operation that each belongs to
    """

    code: int
    slots: np.ndarray
    operands: np.ndarray
    consumer: Family | None
    sums: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """How many operations on two operands, or one, they are."""
        if self.sums is not None:
            return self.sums.size - self.slots.size
        return self.slots.size * max(1, self.operands.shape[1] - 1)

    def turn(self) -> None:
        """Take the operations in the opposite order."""
        self.slots, self.operands = self.slots[::-1], self.operands[::-1]
        if self.sums is not None:
            self.sums = self.slots.size - 1 - self.sums[::-1]


def families(ops: Operations, outputs: np.ndarray, most: int) -> list[Family] | None:
    """What the outputs need, in an order to run it; None if that is more than `most` families."""
    order = waves(ops, most)
    if order is None or (ops.arity.size and int(ops.arity.max()) >= _LONGEST_SUM):
        return None
    needed = np.zeros(ops.code.size, bool)
    needed[outputs] = True
    consumer = np.full(ops.code.size, OUTSIDE, np.int64)
    found: list[Family] = []
    for wave in reversed(order):
        wave = _chosen(wave, needed[ops.slots[wave]])
        if not wave.size:
            continue
        slots = ops.slots[wave]
        goal = np.where(ops.uses[slots] == 1, consumer[slots], MANY)
        arity = _common_arity(ops.arity[wave], goal, ops.code[slots] == ADD)
        kind = (goal - MANY) << 32 | arity << 8 | ops.code[slots]
        parts = _parts(kind)
        if len(found) + len(parts) > most:
            return None
        for part in reversed(parts):
            one, to = wave[part], int(goal[part][0])
            operands, sums = _operands(ops, one, arity[part[0]] == ANY)
            needed[operands] = True
            consumer[operands] = len(found)
            mine, goes_to = ops.slots[one], found[to] if to >= 0 else None
            found.append(Family(int(ops.code[mine[0]]), mine, operands, goes_to, sums))
    return found[::-1]


def _common_arity(arity: np.ndarray, goal: np.ndarray, adds: np.ndarray) -> np.ndarray:
    """The arity of operations, but ANY for sums that would fall into many families by it."""
    arity = arity.copy()
    pairs = np.unique(goal[adds] << 32 | arity[adds])
    goals, lengths = np.unique(pairs >> 32, return_counts=True)
    many = goals[lengths > FEW_LENGTHS]
    if many.size:
        arity[adds & np.isin(goal, many)] = ANY
    return arity


def _operands(
    ops: Operations, one: np.ndarray, ragged: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The operands of operations, a row for each; of sums of any length in one column."""
    begin, arity = ops.begin[one], ops.arity[one]
    if not ragged:
        return ops.operands[begin[:, None] + np.arange(arity[0])], None
    within = np.arange(arity.sum()) - np.repeat(np.cumsum(arity) - arity, arity)
    operands = ops.operands[np.repeat(begin, arity) + within]
    return operands[:, None], np.repeat(np.arange(one.size), arity)


def _parts(kind: np.ndarray) -> list[np.ndarray]:
    """The places of each kind, ascending, kinds in the order of their first places."""
    if (kind == kind[0]).all():
        return [np.arange(kind.size)]
    order = np.argsort(kind, kind="stable")
    changes = np.flatnonzero(np.diff(kind[order])) + 1
    return sorted(np.split(order, changes), key=lambda part: part[0])
