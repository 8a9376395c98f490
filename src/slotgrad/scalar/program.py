"""What computes some slots of a tape, and carries gradients from them to the leaves.

A program is a list of steps: native code for the operations up to a slot that Python computes,
that slot, native code again.  Mostly there is one step.

May import the floor, autodiff, scalar.columns, scalar.lifted, scalar.tape and scalar.tiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autodiff.backward import backward as tensor_backward
from ..config import no_grad
from ..errors import ShapeError, UsageError
from ..ops.declare import as_tensor
from ..tensor import tensor
from .columns import ancestors, by_python, few_ancestors, is_made, operations_of, rows_of, whole
from .lifted import Lifting
from .native import Tape
from .tape import Custom
from .tiers import Tier, tier


class Program:
    """Runs the part of a tape that the outputs depend on.

    outputs   slots; of these, the ones that operations, Python or references compute
    written   slots of which backward sets the gradients, besides leaves
    changes   how often the storage had been changed when forward ran; -1: never
    """

    def __init__(self, tape: Tape, outputs: Sequence[int]) -> None:
        self.outputs = tuple(dict.fromkeys(s for s in outputs if is_made(tape, s)))
        self.steps, self._inside = _planned(tape, self.outputs)
        self.written = self.steps[0].told if self._inside is None else self._inside
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

    hidden, successor, told = False, None, np.empty(0, np.int64)

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


# -- which steps -----------------------------------------------------------------------------------


def _planned(tape: Tape, outputs: tuple[int, ...]) -> tuple[list[Tier], np.ndarray | None]:
    """The steps, and the slots that they compute; None for what one native step computes."""
    if not outputs:
        return [], np.empty(0, np.int64)
    needed = few_ancestors(tape, outputs)
    python = by_python(tape)
    if needed is None and not any(s <= max(outputs) for s in python):
        return [tier(whole(tape, outputs))], None
    if needed is None:
        needed = ancestors(tape, outputs)
    made = operations_of(tape, needed)
    breaks = [s for s in needed if s in python]
    if not breaks:
        return [tier(rows_of(tape, made, outputs))], None
    steps: list[Tier] = []
    parts = np.split(made, np.searchsorted(made, breaks))
    for part, end in zip(parts, [*breaks, None]):
        if part.size:  # each result may be read by a later step
            steps.append(tier(rows_of(tape, part, part)))
        if end is not None:
            step = Call if end in tape.customs else Reference
            steps.append(step(tape, end))
    return steps, np.array([*made, *breaks], np.int64)
