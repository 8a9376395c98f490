"""How things are timed here: alternating, in rounds, medians; peers only where they import."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Row:
    """One line of the table: what was measured, our time, the peers', and the bar to reach."""

    work: str
    ours: float
    unit: str
    peers: dict[str, float] = field(default_factory=dict)
    bar: str = ""
    holds: bool | None = None

    def cells(self) -> list[str]:
        peers = ", ".join(
            f"{name} {show(t, self.unit)} ({t / self.ours:.2f}x)" for name, t in self.peers.items()
        )
        verdict = "" if self.holds is None else "yes" if self.holds else "NO"
        return [self.work, show(self.ours, self.unit), peers or "-", self.bar or "-", verdict]


_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def show(seconds: float, unit: str) -> str:
    return f"{seconds * _UNITS[unit]:.3g} {unit}"


def available(package: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(package) is not None


def alternate(runs: dict[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Median seconds of one call of each function, measured in turns.

    Each turn repeats a function until 20 ms have gone by, so that short calls are timed in bulk.
    """
    counts = {}
    for name, run in runs.items():
        run()
        start = time.perf_counter()
        run()
        once = max(time.perf_counter() - start, 1e-8)
        counts[name] = max(1, int(0.02 / once))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            repeat = range(counts[name])
            start = time.perf_counter()
            for _ in repeat:
                run()
            times[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(ts) for name, ts in times.items()}


def processes(codes: dict[str, str], rounds: int = 9) -> dict[str, float]:
    """Median seconds of a Python process that runs each piece of code, in turns."""
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(ts) for name, ts in times.items()}


def split(times: dict[str, float], ours: str = "slotgrad") -> tuple[float, dict[str, float]]:
    """Our time and the peers'."""
    return times[ours], {name: t for name, t in times.items() if name != ours}
