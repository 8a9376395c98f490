"""What a program keeps in memory: the slots of its arena, their lifetimes, and the rest.

    >>> import slotgrad as sg
    >>> f = sg.compile(lambda x: (x @ x).sum(axis=0).exp().sum())
    >>> _ = f(sg.ones((64, 64)))
    >>> f.memory.arena_bytes == max(s.offset + s.bytes for s in f.memory.slots)
    True

May import kernel.ir.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..kernel.ir import Buffer, Kernels, accesses


@dataclass(frozen=True)
class Slot:
    """A place in the arena for one value.

    offset, bytes   where it is, and how long
    first, last     the statements between which it holds the value
    type, maker     what it holds, and the statement that writes it first
    shares_with     numbers of other slots that have some of the same bytes, at other times
    """

    offset: int
    bytes: int
    first: int
    last: int
    type: str
    maker: str
    shares_with: tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """The memory of one program, in bytes.

    arena_bytes     what all slots take together
    unshared_bytes  what they would take side by side
    peak_bytes      the most that values alive at one time take
    state_bytes     of the tensors that the function reads or writes from outside
    input_bytes, output_bytes, constant_bytes
                    of arguments, of the results of one call, of what is built into the program
    """

    slots: list[Slot] = field(repr=False)
    arena_bytes: int
    unshared_bytes: int
    peak_bytes: int
    state_bytes: int
    input_bytes: int
    output_bytes: int
    constant_bytes: int

    def __str__(self) -> str:
        lines = [
            f"arena {_size(self.arena_bytes)} for {len(self.slots)} slots, which would take"
            f" {_size(self.unshared_bytes)} side by side; at most {_size(self.peak_bytes)} are"
            " alive at once",
            f"state {_size(self.state_bytes)}, arguments {_size(self.input_bytes)}, results"
            f" {_size(self.output_bytes)}, constants {_size(self.constant_bytes)}",
        ]
        if self.slots:
            lines.append(f"{'slot':>4} {'offset':>10} {'bytes':>10} {'alive':>9}  holds")
        for number, s in enumerate(self.slots):
            alive = f"{s.first}..{s.last}"
            text = f"{number:>4} {s.offset:>10} {s.bytes:>10} {alive:>9}  {s.type} of {s.maker}"
            if s.shares_with:
                text += f"  (shares with {', '.join(map(str, s.shares_with))})"
            lines.append(text)
        return "\n".join(lines)


def memory_of(kernels: Kernels, states: int) -> Memory:
    """The memory of planned kernels, of whose inputs the last `states` are state."""
    lives: dict[Buffer, list[int]] = {}
    makers: dict[Buffer, int] = {}
    for number, statement in enumerate(kernels.statements):
        for buffer in accesses(statement):
            if buffer.role == "arena" and buffer.alias is None:
                lives.setdefault(buffer, [number, number])[1] = number
        for view in statement.writes:
            makers.setdefault(view.buffer, number)
    buffers = sorted(lives, key=lambda b: (lives[b], b.offset))
    slots = [
        Slot(
            b.offset,
            b.bytes,
            lives[b][0],
            lives[b][1],
            f"{b.dtype}[{b.size}]",
            str(kernels.statements[makers.get(b, lives[b][0])]),
            tuple(i for i, other in enumerate(buffers) if other is not b and _overlap(b, other)),
        )
        for b in buffers
    ]
    alive = [
        sum(s.bytes for s in slots if s.first <= number <= s.last)
        for number in range(len(kernels.statements))
    ]
    inputs = [b.bytes for b in kernels.buffers if b.role == "input"]
    count = len(inputs) - states
    return Memory(
        slots,
        kernels.arena_bytes,
        sum(s.bytes for s in slots),
        max(alive, default=0),
        sum(inputs[count:]),
        sum(inputs[:count]),
        _bytes(kernels.buffers, "output"),
        _bytes(kernels.buffers, "constant"),
    )


def _bytes(buffers: Sequence[Buffer], role: str) -> int:
    return sum(b.bytes for b in buffers if b.role == role)


def _overlap(a: Buffer, b: Buffer) -> bool:
    return a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes


def _size(bytes: int) -> str:
    """`1.5 KiB`"""
    size = float(bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
