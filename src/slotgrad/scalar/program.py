"""What computes some slots of a tape, and carries gradients from them to the leaves.

A program is a list of steps: native code for the operations up to a slot that Python computes,
that slot, native code again.  Mostly there is one step.

May import the floor, autodiff, kernel.scalars, scalar.lifted, scalar.tape and scalar.tiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autodiff.backward import backward as tensor_backward
from ..config import no_grad
from ..errors import ShapeError, UsageError
from ..kernel.scalars import FIRST_OPERATION, NUMBER, code_of
from ..ops.declare import as_tensor
from ..tensor import tensor
from .lifted import Lifting
from .native import Tape
from .tape import Custom
from .tiers import STRAIGHT, Tier, tier


class Program:
    """Runs the part of a tape that the outputs depend on.

    outputs   slots; of these, the ones that operations, Python or references compute
    changes   how often the storage had been changed when forward ran; -1: never
    """

    def __init__(self, tape: Tape, outputs: Sequence[int]) -> None:
        self.outputs = tuple(dict.fromkeys(s for s in outputs if _is_made(tape, s)))
        self.steps, self._inside = _planned(tape, self.outputs)
        self.changes = -1
        self._late = [step for step in self.steps if isinstance(step, Lifting)]

    def forward(self, values: np.ndarray) -> None:
        """Compute the outputs from the values of leaves, numbers and chosen references.

        They are in their slots after finish or backward.
        """
        if self._inside is None:
            step = self.steps[0]
            if (successor := step.successor) is not None:
                step = self.steps[0] = successor
            step.forward(values)
        else:
            for step in self.steps:
                step.forward(values)
                step.settle(values, None)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Add to the gradients of leaves what follows from the gradients of the outputs."""
        if self._inside is None:
            self.steps[0].backward(values, gradients)
            return
        outputs = np.array(self.outputs, np.int64)
        seeds = gradients[outputs]
        gradients[self._inside] = 0.0
        gradients[outputs] = seeds
        for step in reversed(self.steps):
            step.backward(values, gradients)
            step.settle(values, gradients)

    def finish(self, values: np.ndarray) -> None:
        """Compute the outputs that forward left for later."""
        for step in self._late:
            step.finish(values)

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._inside is None and self.steps[0].hidden  # of several, each is settled

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring all that the last runs computed to its slots; without gradients, the values."""
        for step in self.steps:
            step.settle(values, gradients)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        for step in self.steps:
            step.forget()


class OneSlot:
    """A step that computes one slot, in Python."""

    def __init__(self, tape: Tape, slot: int) -> None:
        self.tape = tape
        self.slot = slot

    hidden, successor = False, None

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """All results are where they belong."""

    def forget(self) -> None:
        """All gradients are where they belong."""


class Reference(OneSlot):
    """The step of a slot that shows another one."""

    def _target(self) -> int:
        target = self.tape.references[self.slot]
        if target is None:
            name = self.tape.names.get(self.slot, f"v[{self.slot}]")
            raise UsageError(
                f"forward: the reference {name} has no target; choose one first:"
                " reference.target = variable"
            )
        return target

    def forward(self, values: np.ndarray) -> None:
        """Show the target's value."""
        values[self.slot] = values[self._target()]

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Hand the gradient to the target."""
        gradients[self._target()] += gradients[self.slot]


class Call(OneSlot):
    """The step of a slot that a Python function on tensors computes."""

    @property
    def _custom(self) -> Custom:
        return self.tape.customs[self.slot]

    def _operands(self, values: np.ndarray, tracked: bool) -> list[Any]:
        given = self._custom.operands
        return [tensor(np.array(values[slot]), requires_grad=tracked) for slot in given]

    def _result(self, operands: list[Any]) -> Any:
        custom = self._custom
        result = as_tensor(custom.function(*operands))
        if result.size != 1:
            raise ShapeError(
                f"{custom.name}: returned shape {result.shape} for scalars; expected one element"
            )
        return result

    def forward(self, values: np.ndarray) -> None:
        """Call the function."""
        with no_grad():
            values[self.slot] = self._result(self._operands(values, False)).item()

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Differentiate the function as it is differentiated on tensors."""
        operands = self._operands(values, True)
        result = self._result(operands)
        tensor_backward(result, np.full(result.shape, gradients[self.slot]))
        for slot, x in zip(self._custom.operands, operands):
            if x.grad is not None:
                gradients[slot] += x.grad.item()


# -- which slots, in which steps -------------------------------------------------------------------


def _is_made(tape: Tape, slot: int) -> bool:
    """Whether a slot is computed."""
    made = tape.code[slot] >= FIRST_OPERATION
    return bool(made) or slot in tape.customs or slot in tape.references


def ancestors(tape: Tape, outputs: Iterable[int]) -> list[int]:
    """The slots that the outputs depend on, ascending."""
    found = _nearby(tape, outputs)
    return _swept(tape, outputs) if found is None else found


def _operands(tape: Tape, slot: int) -> Iterable[int]:
    """The slots that a slot is computed from.

    A reference depends on everything before it, since that may become its target.
    """
    if slot in tape.customs:
        return tape.customs[slot].operands
    if slot in tape.references:
        target = tape.references[slot]
        later = [target] if target is not None and target > slot else []
        return [*later, *range(slot)]
    return [s for s in (tape.first.item(slot), tape.second.item(slot)) if s >= 0]


def _nearby(tape: Tape, outputs: Iterable[int]) -> list[int] | None:
    """The ancestors, found from the outputs on; None if they are too many for straight code."""
    by_python = tape.customs.keys() | tape.references.keys()
    first, second = memoryview(tape.first.data), memoryview(tape.second.data)
    seen: set[int] = set()
    stack = list(outputs)
    most = len(stack) + 2 * STRAIGHT
    while stack:
        slot = stack.pop()
        if slot in seen:
            continue
        seen.add(slot)
        if len(seen) + len(stack) > most:
            return None
        if slot in by_python:
            stack += _operands(tape, slot)
        elif first[slot] >= 0:
            stack.append(first[slot])
            if second[slot] >= 0:
                stack.append(second[slot])
    return sorted(seen)


def _swept(tape: Tape, outputs: Iterable[int]) -> list[int]:
    """The ancestors, found by one look at each slot: operands come before their users."""
    needed = bytearray(tape.count)
    for slot in outputs:
        needed[slot] = 1
    by_python = tape.customs.keys() | tape.references.keys()
    first, second = memoryview(tape.first.data), memoryview(tape.second.data)
    for slot in range(max(outputs, default=-1), -1, -1):
        if not needed[slot]:
            continue
        if slot in by_python:
            for s in _operands(tape, slot):
                needed[s] = 1
        elif first[slot] >= 0:
            needed[first[slot]] = 1
            if second[slot] >= 0:
                needed[second[slot]] = 1
    return np.flatnonzero(np.frombuffer(needed, np.uint8)).tolist()


def _planned(tape: Tape, outputs: tuple[int, ...]) -> tuple[list[Tier], np.ndarray | None]:
    """The steps, and the slots that they compute; None for what one native step computes."""
    if not outputs:
        return [], np.empty(0, np.int64)
    n = max(outputs) + 1
    by_python = {s for s in (*tape.customs, *tape.references) if s < n}
    recorded, first, second = _with_squares(tape, n)
    needed = _nearby(tape, outputs)
    if needed is None and not by_python:  # the interpreter finds out itself
        return [tier(recorded, first, second, tape.values[:n], outputs)], None
    if needed is None:
        needed = _swept(tape, outputs)
    code = np.zeros(n, np.uint8)
    inside = np.array([s for s in needed if s < n])
    code[inside] = recorded[inside]
    steps: list[Tier] = []
    begin = 0
    breaks = [s for s in needed if s in by_python]
    for end in [*breaks, n]:
        part = np.zeros(n, np.uint8)
        part[begin:end] = code[begin:end]
        made = np.flatnonzero(part >= FIRST_OPERATION)
        if made.size:  # of several steps, each result may be read by a later one
            ends = made.tolist() if breaks else outputs
            # numbers stay what they are, wherever they were recorded
            part[code == NUMBER] = NUMBER
            steps.append(tier(part, first, second, tape.values[:n], ends))
        if end < n:
            step = Call if end in tape.customs else Reference
            steps.append(step(tape, end))
        begin = end + 1
    if not breaks:
        return steps, None
    return steps, np.array([*np.flatnonzero(code >= FIRST_OPERATION), *breaks], np.int64)


def _with_squares(tape: Tape, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first n rows of the columns, x ** 2 being x * x, which takes a tenth of the time."""
    code, first, second = tape.code[:n], tape.first[:n], tape.second[:n]
    powers = np.flatnonzero(code == code_of["pow"])
    exponents = second[powers]
    squares = powers[(code[exponents] == NUMBER) & (tape.values[exponents] == 2)]
    if squares.size:
        code, second = code.copy(), second.copy()
        code[squares], second[squares] = code_of["mul"], first[squares]
    return code, first, second
