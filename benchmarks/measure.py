"""The parent: one worker process for each peer; they take turns, and medians count.

    with Crew() as crew:
        for row in crew.rows(steps.CASES):
            print(row)

A worker with one thread is bound to one core, with two to two, so that nobody can use more.  It
answers when its threads have come to rest; only then has the next one its turn.  A turn begins
with calls that are not timed, since caches are cold and threads sleep.

May import NumPy, case and simplegrad.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from . import simplegrad
from .case import OURS, PEERS, Case, Row

ROOT = Path(__file__).parents[1]
STATISTICS = Path("/proc/stat")
# what slows peers down, and what keeps Python from storing the modules it has compiled
UNSET = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE"}
THREADS = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "SLOTGRAD")]
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
TOLERANCE = 1e-3  # of float32 sums in another order


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a process that shall use so many threads."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    kept |= dict.fromkeys(THREADS, str(threads)) | {"JAX_ENABLE_X64": "1"}
    if threads == 1:
        kept["XLA_FLAGS"] = ONE_THREAD
    return {**kept, **(more or {})}


@contextlib.contextmanager
def bound(threads: int) -> Iterator[None]:
    """Bind this thread, and processes that it starts, to as many cores as they have threads."""
    if not hasattr(os, "sched_setaffinity"):  # macOS and Windows
        yield
        return
    allowed = cores()
    os.sched_setaffinity(0, allowed[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def start(
    arguments: list[str], threads: int, more: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """A Python process bound to as many cores as it has threads."""
    variables = environment(threads, more)
    with bound(threads):
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=variables, text=True, **options)


class Disturbance:
    """How much of the machine others have used since this was made.

    A worker that shares its core with another process looks slow, whoever it serves.
    """

    def __init__(self) -> None:
        self._begin = self._now()

    def share(self) -> float:
        """Of all cores' time, from 0 to 1; call it when the workers have ended."""
        elapsed, busy, ours = (b - a for a, b in zip(self._begin, self._now()))
        return max(0.0, (busy - ours) / (elapsed * (os.cpu_count() or 1)))

    def _now(self) -> tuple[float, float, float]:
        """Seconds: the time, that the cores have worked, that we and our children have."""
        times = os.times()
        ours = times.user + times.system + times.children_user + times.children_system
        return time.monotonic(), cores_worked(), ours


def cores_worked() -> float:
    """Seconds that all cores have worked, or another machine in their place; 0 if unknown."""
    if not STATISTICS.exists():  # not Linux
        return 0.0
    user, nice, system, _, _, *interrupts_and_stolen = map(
        int, STATISTICS.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")


class Worker:
    """The parent's end of a worker process."""

    def __init__(self, peer: str, threads: int, more: Mapping[str, str] | None = None) -> None:
        self.peer = peer
        arguments = ["-m", "benchmarks.worker", peer, str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = start(arguments, threads, more, **pipes)

    def ask(self, command: str, argument: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; then there is no answer
            print(json.dumps({command: argument}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RuntimeError(f"the worker for {self.peer} ended with code {code} at {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.peer} failed at {command} {argument}:\n{answer['error']}")
        return answer

    def prepare(self, case: Case) -> dict[str, Any]:
        """Let it make what it shall time: seconds of the first call, a sample of the result."""
        return self.ask("prepare", case.description())

    def run(self, seconds: float) -> float:
        """Seconds of one call, measured for about so long."""
        return self.ask("run", seconds)["seconds"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def installed(peer: str) -> bool:
    """Whether a peer can run here."""
    if peer == "simplegrad":
        return simplegrad.present()
    return importlib.util.find_spec(PEERS[peer]) is not None


class Crew:
    """The workers, each started when it is first needed.

    peers    those to measure, of which the installed ones are
    rounds   turns of each worker for a row
    seconds  length of a turn
    """

    def __init__(
        self, peers: Iterable[str] = PEERS, rounds: int = 9, seconds: float = 0.02
    ) -> None:
        self.peers = [peer for peer in peers if installed(peer)]
        self.rounds, self.seconds = rounds, seconds
        self._workers: dict[tuple[str, int], Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.__exit__()

    def present(self, case: Case) -> list[str]:
        """The peers that can do the work and are installed."""
        return [peer for peer in case.peers() if peer in self.peers]

    def alternate(self, case: Case, threads: int) -> dict[str, float]:
        """Median seconds of one call for each peer, measured in turns."""
        workers = [self._worker(peer, threads) for peer in self.present(case)]
        agree(case.name, {w.peer: w.prepare(case)["sample"] for w in workers})
        turns = [[w.run(self.seconds) for w in workers] for _ in range(self.rounds)]
        medians = [statistics.median(column) for column in zip(*turns)]
        return {w.peer: seconds for w, seconds in zip(workers, medians)}

    def rows(self, cases: Iterable[Case]) -> Iterator[Row]:
        """The lines of the table, for as many threads as there are cores."""
        for case in cases:
            for threads in case.threads:
                if threads <= len(cores()):
                    seconds = case.measure(self, threads)
                    yield Row(case.name, threads, seconds.pop(OURS), seconds, case.bar)

    def _worker(self, peer: str, threads: int) -> Worker:
        key = peer, threads
        if key not in self._workers:
            self._workers[key] = Worker(peer, threads)
        return self._workers[key]


def agree(work: str, samples: Mapping[str, list[float]]) -> None:
    """Raise unless all peers that return numbers return the same ones."""
    ours = samples[OURS]
    for peer, theirs in samples.items():
        same = len(theirs) == len(ours) and np.allclose(theirs, ours, TOLERANCE, TOLERANCE)
        if theirs and not same:
            raise RuntimeError(
                f"{work}: {peer} computes {theirs}, slotgrad {ours}; expected the same"
            )
