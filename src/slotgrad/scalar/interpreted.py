"""The tier that needs no compiling: the interpreter of `runtime/tape.py` sorts and starts.

Loads LLVM.  May import the floor and the back end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernel.scalars import LEAF
from ..runtime.tape import Interpreter


class Interpreted:
    """Runs columns of any length."""

    def __init__(
        self, code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Sequence[int]
    ) -> None:
        self._outputs = np.array(outputs, np.int64)
        machine = self._machine = Interpreter(code, first, second, self._outputs)
        place = self._place = machine.place
        self._given = np.flatnonzero(place < machine.leaves)
        self._made = np.flatnonzero(place >= machine.leaves)
        self._leaves = self._given[code[self._given] == LEAF]
        self._leaf_places, self._output_places = place[self._leaves], place[self._outputs]
        self._values, self._gradients = np.zeros(machine.count), np.empty(machine.count)
        self._unsettled = [False, False]  # values, gradients

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._unsettled[1]

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""
        self._values[: len(self._given)] = values[self._given]
        self._machine.forward(self._values)
        values[self._outputs] = self._values[self._output_places]
        self._unsettled[0] = True

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        own = self._gradients
        own.fill(0.0)
        own[self._output_places] = gradients[self._outputs]
        self._machine.backward(self._values, own)
        gradients[self._leaves] += own[self._leaf_places]
        self._unsettled[1] = True

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots."""
        if self._unsettled[0]:
            values[self._made] = self._values[self._place[self._made]]
            self._unsettled[0] = False
        if self._unsettled[1] and gradients is not None:
            gradients[self._made] = self._gradients[self._place[self._made]]
            self._unsettled[1] = False

    def forget_values(self) -> None:
        """Drop the values that were not brought to their slots."""
        self._unsettled[0] = False

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self._unsettled[1] = False
