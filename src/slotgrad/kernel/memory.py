"""memory: every arena buffer gets a place, and buffers that are never alive together share one.

May import the floor and kernel.ir.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from ..memory import ALIGNMENT
from .ir import Buffer, Kernels, accesses

_END = 1 << 62  # of memory


def plan_memory(kernels: Kernels) -> Kernels:
    """Set the offsets of the arena's buffers and the size of the arena.

    In the order in which they are first used, each goes to the lowest place that is free as long
    as it is alive.
    """
    uses: dict[Buffer, list[int]] = {}  # the first and the last statement that uses it
    for number, statement in enumerate(kernels.statements):
        for buffer in accesses(statement):
            if buffer.role == "arena" and buffer.alias is None:
                uses.setdefault(buffer, [number, number])[1] = number
    holes = [(0, _END)]
    alive = deque(sorted(uses, key=lambda b: uses[b][1]))
    for buffer in sorted(uses, key=lambda b: (uses[b][0], -b.bytes)):
        while uses[alive[0]][1] < uses[buffer][0]:
            _free(holes, alive.popleft())
        buffer.offset = _take(holes, _rounded(buffer.bytes))
    kernels.arena_bytes = max((b.offset + _rounded(b.bytes) for b in uses), default=0)
    return kernels


def _rounded(bytes: int) -> int:
    return -(-bytes // ALIGNMENT) * ALIGNMENT


def _take(holes: list[tuple[int, int]], bytes: int) -> int:
    """The beginning of the lowest hole (begin, end) that is large enough, made smaller by that."""
    number = next(i for i, (begin, end) in enumerate(holes) if end - begin >= bytes)
    begin, end = holes[number]
    holes[number : number + 1] = [(begin + bytes, end)] if begin + bytes < end else []
    return begin


def _free(holes: list[tuple[int, int]], buffer: Buffer) -> None:
    """Add the memory of a buffer to the holes, one with those that it touches."""
    begin, end = buffer.offset, buffer.offset + _rounded(buffer.bytes)
    first = last = bisect_left(holes, (begin, end))
    if first and holes[first - 1][1] == begin:
        first, begin = first - 1, holes[first - 1][0]
    if holes[last][0] == end:
        last, end = last + 1, holes[last][1]
    holes[first:last] = [(begin, end)] if begin < end else []
