"""The NumPy target: operation by operation, slow and obvious, the oracle of the others.

The program is a list of steps over numbered slots; a slot is emptied after its last use.  May
import the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import capturing
from ..graph.apply import reapply
from ..graph.node import Node, leaf
from ..graph.op import Op
from ..graph.region import Region
from ..tensor import Tensor


@dataclass(frozen=True)
class Step:
    """v[out] = op(*[v[i] for i in inputs]), then the slots `done` are empty."""

    op: Op
    inputs: tuple[int, ...]
    attrs: dict[str, Any]
    out: int
    done: tuple[int, ...]
    type: Any

    def __str__(self) -> str:
        args = ", ".join(f"v[{i}]" for i in self.inputs)
        options = "".join(f", {k}={v}" for k, v in self.attrs.items())
        return f"v[{self.out}] = {self.op.name}({args}{options})  # {self.type}"


class Program:
    """Computes the outputs of a region from arrays for its inputs."""

    def __init__(self, region: Region) -> None:
        nodes = region.nodes
        self.inputs = len(region.inputs)
        self.constants: list[tuple[int, np.ndarray]] = []
        slot: dict[Node, int] = {n: i for i, n in enumerate(region.inputs)}
        for node in sorted(nodes, key=lambda n: n.op is not None):  # inputs, constants, results
            if node not in slot:
                slot[node] = len(slot)
                if node.op is None:
                    self.constants.append((slot[node], node.value))
        self.slots = len(slot)
        self.outputs = tuple(slot[n] for n in region.outputs)
        self.steps = _steps(nodes, slot, set(self.outputs))

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs; none of them shares memory with an input or with another one."""
        v: list[Any] = [*arrays, *[None] * (self.slots - self.inputs)]
        for slot, value in self.constants:
            v[slot] = value
        with np.errstate(all="ignore"):
            for step in self.steps:
                v[step.out] = _computed(step, [v[i] for i in step.inputs])
                for i in step.done:
                    v[i] = None
        return [np.array(v[i]) for i in self.outputs]

    def __str__(self) -> str:
        known = [f"v[{i}] = constant  # {x.dtype}{list(x.shape)}" for i, x in self.constants]
        given = [f"v[{i}] = input" for i in range(self.inputs)]
        returned = f"return {', '.join(f'v[{i}]' for i in self.outputs)}"
        return "\n".join([*given, *known, *map(str, self.steps), returned])


def _steps(nodes: list[Node], slot: dict[Node, int], kept: set[int]) -> list[Step]:
    last_use = {slot[i]: number for number, node in enumerate(nodes) for i in node.inputs}
    steps = []
    for number, node in enumerate(nodes):
        if node.op is not None:
            inputs = tuple(slot[i] for i in node.inputs)
            done = tuple({i for i in inputs if last_use[i] == number and i not in kept})
            steps.append(Step(node.op, inputs, node.attrs, slot[node], done, node.type))
    return steps


def _computed(step: Step, values: list[Any]) -> Any:
    if step.op.again is None:
        return step.op.value(*values, **step.attrs)
    with capturing(None):  # a user's function: it runs as in eager mode
        result = reapply(step.op, tuple(Tensor(leaf(v)) for v in values), step.attrs)
    return tuple(y.numpy() for y in result) if isinstance(result, tuple) else result.numpy()
