"""The tier that needs no compiling: the interpreter of `runtime/tape.py` sorts and starts.

Loads LLVM.  May import the floor, the back end and scalar.columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernel.scalars import LEAF
from ..runtime.tape import Interpreter
from .columns import Columns


class Interpreted:
    """Runs columns of any length."""

    def __init__(self, columns: Columns) -> None:
        machine = self._machine = Interpreter(*columns[:3], columns.outputs)
        place = self._place = machine.place
        given = np.flatnonzero(place < machine.leaves)
        made = np.flatnonzero(place >= machine.leaves)
        leaves = given[columns.code[given] == LEAF]
        self._given, self._made = columns.at(given), columns.at(made)
        self._leaves, self._outputs = columns.at(leaves), columns.at(columns.outputs)
        self._made_places, self._leaf_places = place[made], place[leaves]
        self._output_places = place[columns.outputs]
        self._values, self._gradients = np.zeros(machine.count), np.empty(machine.count)
        self._unsettled = [False, False]  # values, gradients

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._unsettled[1]

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""
        self._compute(values)
        values[self._outputs] = self._values[self._output_places]
        self._unsettled[0] = True

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        self._carry(gradients[self._outputs])
        gradients[self._leaves] += self._gradients[self._leaf_places]
        self._unsettled[1] = True

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots."""
        if self._unsettled[0]:
            values[self._made] = self._values[self._made_places]
            self._unsettled[0] = False
        if self._unsettled[1] and gradients is not None:
            gradients[self._made] = self._gradients[self._made_places]
            self._unsettled[1] = False

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where the numbers of rows are kept."""
        return self._place[rows]

    def values_for(self, values: np.ndarray, places: np.ndarray, numbers: np.ndarray) -> None:
        """Bring to their slots the values that follow from numbers in some leaves."""
        self._compute(values, places, numbers)
        values[self._made] = self._values[self._made_places]

    def gradients_for(
        self,
        values: np.ndarray,
        gradients: np.ndarray,
        places: np.ndarray,
        numbers: np.ndarray,
        seeds: np.ndarray,
    ) -> None:
        """Bring to their slots the gradients that follow from such numbers and seeds of outputs."""
        self._compute(values, places, numbers)
        self._carry(seeds)
        gradients[self._made] = self._gradients[self._made_places]

    def _compute(
        self, values: np.ndarray, places: np.ndarray | None = None, numbers: Any = None
    ) -> None:
        own = self._values
        own[: len(self._given)] = values[self._given]
        if places is not None:
            own[places] = numbers
        self._machine.forward(own)
        self._unsettled[0] = False

    def _carry(self, seeds: np.ndarray) -> None:
        own = self._gradients
        own.fill(0.0)
        own[self._output_places] = seeds
        self._machine.backward(self._values, own)
        self._unsettled[1] = False

    def forget_values(self) -> None:
        """Drop the values that were not brought to their slots."""
        self._unsettled[0] = False

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self._unsettled[1] = False
