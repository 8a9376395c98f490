"""Where the time of a program goes: the same program, which looks at the clock after each kernel.

May import the floor, capture, kernel, targets and the rest of runtime.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..capture import capture, placeholder
from ..graph.node import TensorType
from ..graph.region import Region
from ..kernel.ir import Loop, Product, Statement
from ..targets.table import CLOCK, timed_run
from .layout import address_of
from .llvm import compile_text
from .program import Program

_SECONDS = 0.2  # how long to repeat, unless told how often
_PEAK_SIZE = 256  # of the square matrices whose product sets the peak


class TimedProgram(Program):
    """A program that also tells how long each of its statements took."""

    def __init__(self, region: Region, written: dict[int, int] | None = None) -> None:
        super().__init__(region, written)
        self._stamps = np.zeros((len(self.kernels.statements), 3, 2), np.int64)
        self.table[CLOCK] = address_of(self._stamps)

    def runner(self) -> int:
        return compile_text(timed_run(time.CLOCK_MONOTONIC)).address("run")

    def times(self) -> np.ndarray:
        """Seconds for each statement of the last call."""
        begin, again, end = (self._stamps @ [1, 1e-9]).T
        return np.maximum((end - again) - (again - begin), 0)  # less what the clock itself takes


@dataclass(frozen=True)
class Row:
    """One kernel: what it does, and what it reaches.

    seconds, share      its median time, and its part of the whole
    operations          arithmetic operations a second; 0 for calls into Python
    bytes               bytes read and written a second
    of_peak             operations as a part of the peak, for products; None for others
    """

    kernel: str
    seconds: float
    share: float
    operations: float
    bytes: float
    of_peak: float | None


@dataclass(frozen=True)
class Profile:
    """Where the time of a call goes.

    peak  operations a second of a product of two 256x256 float32 matrices, on one thread or all,
          as the program's own products run
    """

    rows: list[Row] = field(repr=False)
    seconds: float
    repeat: int
    peak: float

    def __str__(self) -> str:
        head = f"{self.seconds * 1e6:.2f} us in {len(self.rows)} kernels, median of {self.repeat}"
        columns = f"{'us':>10} {'share':>6} {'Gop/s':>7} {'peak':>5} {'GB/s':>7}  kernel"
        lines = [f"{head}; peak {self.peak / 1e9:.4g} Gop/s", columns]
        for r in self.rows:
            peak = "" if r.of_peak is None else f"{r.of_peak:.0%}"
            operations = f"{r.operations / 1e9:.4g}" if r.operations else ""
            lines.append(
                f"{r.seconds * 1e6:>10.3f} {r.share:>6.1%} {operations:>7} {peak:>5}"
                f" {r.bytes / 1e9:>7.3g}  {r.kernel}"
            )
        return "\n".join(lines)


def profile_of(program: Program, arrays: Sequence[np.ndarray], repeat: int | None) -> Profile:
    """The profile of calls with copies of these arrays; None: as many as fit in 0.2 s."""
    timed = TimedProgram(program.region, program.written)
    copies = [np.array(a) for a in arrays]
    times: list[np.ndarray] = []
    timed(copies)
    end = time.perf_counter() + _SECONDS
    while len(times) < 3 if repeat is None else len(times) < repeat:
        times += _round(timed, copies, arrays)
    while repeat is None and time.perf_counter() < end:
        times += _round(timed, copies, arrays)
    seconds = np.median(times, axis=0)
    total = float(seconds.sum())
    peak = peak_operations()
    pairs = zip(timed.kernels.statements, seconds.tolist())
    rows = [_row(statement, taken, total, peak) for statement, taken in pairs]
    return Profile(rows, total, len(times), peak)


def _round(
    timed: TimedProgram, copies: list[np.ndarray], arrays: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The times of one call that finds the same values as every other."""
    for number in timed.written.values():
        copies[number][...] = arrays[number]
    timed(copies)
    return [timed.times()]


def _row(statement: Statement, seconds: float, total: float, peak: float) -> Row:
    views = (*statement.reads, *statement.writes)
    size = sum(math.prod(v.shape) * v.dtype.itemsize for v in views)
    rate = 1 / seconds if seconds else 0.0
    operations = _operations(statement) * rate
    return Row(
        str(statement),
        seconds,
        seconds / total if total else 0.0,
        operations,
        size * rate,
        operations / peak if isinstance(statement, Product) else None,
    )


def _operations(statement: Statement) -> int:
    if isinstance(statement, Product):
        return 2 * math.prod(statement.a.shape) * statement.b.shape[-1]
    if isinstance(statement, Loop):
        return math.prod(statement.shape) * len(statement.nodes)
    return 0


@cache
def peak_operations() -> float:
    """Operations a second of a product that fits the caches: what other products can reach."""
    kind = TensorType((_PEAK_SIZE, _PEAK_SIZE), np.dtype(np.float32))
    a, b = placeholder(kind), placeholder(kind)
    program = TimedProgram(capture(lambda: a @ b, [a, b], lambda y: [y]).region)
    arrays: list[Any] = [np.ones(kind.shape, kind.dtype)] * 2
    times = []
    for _ in range(30):
        program(arrays)
        times.append(program.times().sum())
    return 2 * _PEAK_SIZE**3 / max(float(np.min(times)), 1e-9)
