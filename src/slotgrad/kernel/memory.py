"""memory: every arena buffer gets a place, and buffers that are never alive together share one.

May import the floor and kernel.ir.
"""

from __future__ import annotations

from ..memory import ALIGNMENT
from .ir import Buffer, Kernels, accesses


def plan_memory(kernels: Kernels) -> Kernels:
    """Set the offsets of the arena's buffers and the size of the arena.

    In the order in which they are first used, each goes to the lowest place that is free as long
    as it is alive.
    """
    born: dict[Buffer, int] = {}
    dies: dict[Buffer, int] = {}
    for number, statement in enumerate(kernels.statements):
        for buffer in accesses(statement):
            if buffer.role == "arena" and buffer.alias is None:
                born.setdefault(buffer, number)
                dies[buffer] = number
    placed: list[Buffer] = []
    for buffer in sorted(born, key=lambda b: (born[b], -b.bytes)):
        beside = [b for b in placed if born[b] <= dies[buffer] and born[buffer] <= dies[b]]
        buffer.offset = _lowest_gap(beside, buffer.bytes)
        placed.append(buffer)
    kernels.arena_bytes = max((b.offset + _rounded(b.bytes) for b in placed), default=0)
    return kernels


def _rounded(bytes: int) -> int:
    return -(-bytes // ALIGNMENT) * ALIGNMENT


def _lowest_gap(beside: list[Buffer], bytes: int) -> int:
    """The lowest offset where so many bytes fit between the buffers."""
    offset = 0
    for buffer in sorted(beside, key=lambda b: b.offset):
        if offset + bytes <= buffer.offset:
            break
        offset = max(offset, buffer.offset + _rounded(buffer.bytes))
    return offset
