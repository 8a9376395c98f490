"""What is waited for before anything runs: imports and first calls, each in a fresh process.

May import the standard library, case, measure and steps.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .case import Case, Crew, Within
from .measure import Worker, start
from .steps import Training

ROUNDS = 3  # processes of each peer for a row of first calls
IMPORTS = 5


@dataclass(frozen=True)
class FirstCall(Training):
    """The first call of a training step; `cached`: a process before has compiled the same.

    Packages are imported and weights made before.  Each peer has a directory of its own for what
    it compiles, which is empty at first.  Eager peers do not compile and are left out.
    """

    cached: bool = False

    @property
    def name(self) -> str:
        layers = "-".join(map(str, self.sizes))
        return f"first call of MLP {layers}, {'from disk cache' if self.cached else 'cold'}"

    def peers(self) -> list[str]:
        return ["slotgrad", "jax"]

    def measure(self, crew: Crew, threads: int) -> dict[str, float]:
        peers = crew.present(self)
        with tempfile.TemporaryDirectory() as root:

            def seconds(peer: str, directory: str) -> float:
                with Worker(peer, threads, caches(Path(root, directory))) as worker:
                    return worker.prepare(self)["first"]

            if self.cached:
                for peer in peers:
                    seconds(peer, peer)
            found: dict[str, list[float]] = {peer: [] for peer in peers}
            for number in range(ROUNDS):
                for peer in peers:
                    directory = peer if self.cached else f"{peer} {number}"
                    found[peer].append(seconds(peer, directory))
        return {peer: statistics.median(times) for peer, times in found.items()}


def caches(directory: Path) -> dict[str, str]:
    """The variables that make a directory the cache of what peers compile, however small."""
    return {
        "SLOTGRAD_CACHE": str(directory),
        "JAX_COMPILATION_CACHE_DIR": str(directory),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


class Import(Case):
    """A whole process that imports the package and ends."""

    name = "import, whole process"
    threads = (1,)

    def peers(self) -> list[str]:
        return ["slotgrad", "jax", "torch", "numpy"]

    def measure(self, crew: Crew, threads: int) -> dict[str, float]:
        peers = crew.present(self)
        found: dict[str, list[float]] = {peer: [] for peer in peers}
        for _ in range(1 + IMPORTS):  # the first stores compiled modules and fills the disk cache
            for peer in peers:
                begin = time.perf_counter()
                process = start(["-c", f"import {peer}"], threads)
                if process.wait():
                    raise RuntimeError(f"import {peer} failed with code {process.returncode}")
                found[peer].append(time.perf_counter() - begin)
        return {peer: statistics.median(times[1:]) for peer, times in found.items()}


MLP = (784, 256, 256, 10), 64, "Adam"
CASES: list[Case] = [
    FirstCall(*MLP, bar=Within(0.3)),
    FirstCall(*MLP, cached=True, bar=Within(0.03)),
    Import(bar=Within(0.25)),
]
