"""simplegrad, a library in JavaScript: formulas go to a process of node as lists of operations.

It is measured where node is and `npm install --no-save simplegrad` was run in the project's
folder.  May import the standard library only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "node_modules" / "simplegrad"


def present() -> bool:
    """Whether it can run here."""
    return shutil.which("node") is not None and PACKAGE.is_dir()


class Traced:
    """A number whose operations are written to a list: name, slot, and a slot or a number.

    >>> a, b = variables([2.0, 3.0])
    >>> (2 * a + b).trace.operations
    [('mul', 0, None, 2), ('add', 2, 1, None)]
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.slot = trace.count
        trace.count += 1

    def _with(self, name: str, other: Any = None) -> Traced:
        slot, number = (other.slot, None) if isinstance(other, Traced) else (None, other)
        self.trace.operations.append((name, self.slot, slot, number))
        return Traced(self.trace)

    def __add__(self, other: Any) -> Traced:
        return self._with("add", other)

    def __sub__(self, other: Any) -> Traced:
        return self._with("sub", other)

    def __mul__(self, other: Any) -> Traced:
        return self._with("mul", other)

    def __truediv__(self, other: Any) -> Traced:
        return self._with("div", other)

    __radd__, __rmul__ = __add__, __mul__

    def relu(self) -> Traced:
        return self._with("ReLU")


class Trace:
    """What is computed, slot by slot; the first ones are leaves."""

    def __init__(self, leaves: Sequence[float]) -> None:
        self.leaves = leaves
        self.operations: list[tuple[str, int, int | None, float | None]] = []
        self.count = 0


def variables(leaves: Sequence[float]) -> list[Traced]:
    """The leaves of a formula."""
    trace = Trace(leaves)
    return [Traced(trace) for _ in leaves]


def evaluation(
    output: Traced, updated: int = 0, rate: float = 0.0, times: int = 1
) -> Callable[[], object]:
    """What computes all gradients, and returns the value.

    updated   so many leaves then take a step down their gradient
    times     of all that, in one call
    """
    trace = output.trace
    work = {"leaves": trace.leaves, "operations": trace.operations, "output": output.slot}
    work |= {"updated": updated, "rate": rate, "times": times}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = ["node", str(Path(__file__).with_suffix(".mjs"))]
    process = subprocess.Popen(command, text=True, bufsize=1, **pipes)

    def ask(line: str) -> Any:
        print(line, file=process.stdin)
        return json.loads(process.stdout.readline())

    ask(json.dumps(work))
    return lambda: ask("run")
