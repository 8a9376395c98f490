"""memory: every arena buffer gets a place, and buffers that are never alive together share one.

May import the floor and kernel.ir.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict

from ..memory import ALIGNMENT
from .ir import Buffer, Kernels


def plan_memory(kernels: Kernels) -> Kernels:
    """Set the offsets of the arena's buffers and the size of the arena.

    In the order in which they are first used, the largest first, each goes to the lowest place
    that is free as long as it is alive.
    """
    dies: dict[Buffer, int] = {}
    born: dict[int, list[Buffer]] = defaultdict(list)  # by the number of the statement
    for number, statement in enumerate(kernels.statements):
        for view in (*statement.reads, *statement.writes):
            buffer = view.buffer
            if buffer.role == "arena" and buffer.alias is None:
                if buffer not in dies:
                    born[number].append(buffer)
                dies[buffer] = number
    arena = _Arena()
    ends: dict[int, list[Buffer]] = defaultdict(list)
    for number in range(len(kernels.statements)):
        for buffer in sorted(born[number], key=lambda b: -b.bytes):
            buffer.offset = arena.take(buffer.bytes)
            ends[dies[buffer]].append(buffer)
        for buffer in ends[number]:
            arena.give(buffer.offset, buffer.bytes)
    kernels.arena_bytes = arena.bytes
    return kernels


class _Arena:
    """The gaps between what is taken, from the lowest to the one that has no end.

    bytes  the end of what was ever taken
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._begins: list[int] = [0]
        self._ends: list[float] = [math.inf]

    def take(self, bytes: int) -> int:
        """The offset of so many bytes, from now on taken."""
        size = _rounded(bytes)
        gaps = zip(self._begins, self._ends)
        i = next(i for i, (begin, end) in enumerate(gaps) if end - begin >= size)
        offset = self._begins[i]
        self._begins[i] += size
        if self._begins[i] == self._ends[i]:
            del self._begins[i], self._ends[i]
        self.bytes = max(self.bytes, offset + size)
        return offset

    def give(self, offset: int, bytes: int) -> None:
        """Let others have these bytes again: a gap, joined with its neighbours."""
        end: float = offset + _rounded(bytes)
        if end == offset:
            return
        i = bisect(self._begins, offset)
        if self._begins[i] == end:
            end = self._ends[i]
            del self._begins[i], self._ends[i]
        if i and self._ends[i - 1] == offset:
            self._ends[i - 1] = end
        else:
            self._begins.insert(i, offset)
            self._ends.insert(i, end)


def _rounded(bytes: int) -> int:
    return -(-bytes // ALIGNMENT) * ALIGNMENT
