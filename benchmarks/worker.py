"""A worker: one process that serves one peer, `python -m benchmarks.worker <peer> <threads>`.

It reads requests and writes answers, a line of JSON each, and waits in read() in between:

    {"prepare": {"module": ..., "kind": ..., "fields": ...}}
                        -> {"first": seconds of the first call, "sample": numbers of the result}
    {"run": seconds}    -> {"seconds": of one call, measured in bulk for about so long}
    anything that fails -> {"error": traceback}

May import, before its peer, the standard library and case.
"""

from __future__ import annotations

import json
import os
import sys
import time
import timeit
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from .case import PEERS, Loop

# What a peer loads no later than with the first array is loaded before its first call is timed.
LATE = {"slotgrad": ["slotgrad.runtime.program"], "jax": ["jax.numpy"]}
SAMPLE = 16  # numbers of each array
QUIET = 2.0  # seconds in which the peer's threads must have come to rest
SPREAD = 0.1  # seconds that the system takes to spread threads that have slept over the cores


class Bench:
    """One peer and the case that it is prepared for."""

    def __init__(self, peer: str, threads: int) -> None:
        package = PEERS[peer]
        self.peer, self.module = peer, import_module(package)
        for name in LATE.get(package, []):
            import_module(name)
        if hasattr(self.module, "set_num_threads"):
            self.module.set_num_threads(threads)
        self.call: Callable[[], object] = lambda: None
        self.once = 0.0  # seconds of one call, as far as known
        self.warm_up = SPREAD if threads > 1 else 0.0

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        kind = getattr(import_module(case["module"]), case["kind"])
        self.call = getattr(kind(**case["fields"]), self.peer)(self.module)
        first, _ = timed(self.call)
        # The second: what a training step changes shows in its loss.
        self.once, result = timed(self.call)
        return {"first": first, "sample": [x for leaf in leaves(result) for x in sample(leaf)]}

    def run(self, seconds: float) -> dict[str, Any]:
        self.bulk(self.warm_up)  # at least once: another peer has used the caches
        self.once = self.bulk(seconds)
        return {"seconds": self.once / (self.call.times if isinstance(self.call, Loop) else 1)}

    def bulk(self, seconds: float) -> float:
        """Seconds of one call, from as many as take about so long."""
        count = max(1, round(seconds / self.once))
        return timeit.timeit(self.call, number=count) / count


def timed(call: Callable[[], object]) -> tuple[float, object]:
    """Seconds of one call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def leaves(result: Any) -> Iterator[Any]:
    """The arrays and numbers in nested tuples and lists."""
    if isinstance(result, (tuple, list)):
        for part in result:
            yield from leaves(part)
    elif result is not None:
        yield result


def sample(array: Any) -> list[float]:
    """A few numbers from all over an array."""
    numpy = import_module("numpy")
    flat = numpy.asarray(array.detach() if hasattr(array, "detach") else array).ravel()
    places = numpy.linspace(0, flat.size - 1, min(flat.size, SAMPLE)).astype(int)
    return [float(x) for x in flat[places]]


def rest() -> None:
    """Wait until no thread here runs: those of OpenBLAS spin for 0.1 s before they sleep.

    Some systems count the time of a thread that runs only every 10 ms.
    """
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(0.015)
        if time.process_time() - before < 0.001:
            return
    raise RuntimeError(f"threads still run {QUIET} s after their work; expected them to sleep")


def main() -> None:
    """Serve until the requests end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the peer prints is no answer
    bench = Bench(sys.argv[1], int(sys.argv[2]))
    commands: dict[str, Callable[[Any], Any]] = {"prepare": bench.prepare, "run": bench.run}
    for line in sys.stdin:
        [(command, argument)] = json.loads(line).items()
        try:
            answer = commands[command](argument)
            rest()
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
