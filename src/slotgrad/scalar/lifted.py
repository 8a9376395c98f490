"""The tier of regular giants: array code, once a thread has made it.

Until then, and for what array code does not tell (the values and gradients of slots that are no
outputs), the interpreter runs.  May import the back end, autodiff, compile,
scalar.columns and scalar.interpreted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autodiff.transforms import vjp
from ..compile import compile as compiled
from ..passes.lift_tape import lift_tape
from ..runtime.background import later, wait, while_wanted
from ..tensor import Tensor
from .columns import Columns
from .interpreted import Interpreted

WORTH_LIFTING = 1000  # operations

Given = tuple[np.ndarray, ...]  # values of variables, and of what else array code reads


class Lifting:
    """Runs columns on the interpreter, and as array code once that is there."""

    def __init__(self, columns: Columns) -> None:
        self._plain = Interpreted(columns)
        self._outputs = self.told = columns.at(columns.outputs)
        self._arrays: Arrays | None = None
        self._given: Given | None = None  # to the last forward, if array code did it
        self._late = False  # its outputs are not computed yet
        self._untold = False  # its values inside are not in their slots
        self._carried: tuple[Given, np.ndarray] | None = None  # by the last backward, likewise
        self._columns: Columns | None = None  # until array code is made of them
        if columns.operations >= WORTH_LIFTING:
            self._columns = columns.copy()
            later(while_wanted(self._make))

    def _make(self) -> None:
        columns, self._columns = self._columns, None
        assert columns is not None
        lifted = lift_tape(*columns[:5])
        if lifted is not None:
            arrays = Arrays(lifted, columns, self._plain)
            given = columns.values[lifted.variables], columns.values[lifted.data]
            arrays.value(given)  # compiles
            arrays.value_and_gradient(given, np.zeros(len(self._outputs)))
            self._arrays = arrays

    successor = None

    def wait(self) -> bool:
        """Wait for the best code; returns whether it is array code."""
        wait()
        return self._arrays is not None

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._carried is not None or self._plain.hidden

    def forward(self, values: np.ndarray) -> None:
        """Read the leaves.  Array code computes the outputs along with gradients, or when asked."""
        arrays = self._arrays
        self._late = self._untold = arrays is not None
        if arrays is None:
            self._given = None
            self._plain.forward(values)
        else:
            self._given = arrays.read(values, None if self._carried is None else self._carried[0])

    def finish(self, values: np.ndarray) -> None:
        """Compute the outputs, if forward left that for later."""
        if self._late and self._arrays is not None and self._given is not None:
            values[self._outputs] = self._arrays.value(self._given)
            self._late = False

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        arrays, given = self._arrays, self._given
        if arrays is None or given is None:
            self._carried = None
            self._plain.backward(values, gradients)
            return
        seeds = gradients[self._outputs]
        self._carried = given, seeds
        values[self._outputs], more = arrays.value_and_gradient(given, seeds)
        gradients[arrays.variables] += more
        self._late = False

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots: array code does not tell, run again."""
        plain, arrays = self._plain, self._arrays
        if self._carried is not None and gradients is not None and arrays is not None:
            given, seeds = self._carried
            numbers = np.concatenate(given)
            plain.gradients_for(values, gradients, arrays.places, numbers, seeds)
            self._carried = None
        if self._untold and arrays is not None and self._given is not None:
            plain.values_for(values, arrays.places, np.concatenate(self._given))
            self._untold = self._late = False
        plain.settle(values, gradients)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self._carried = None
        self._plain.forget()


class Arrays:
    """Lifted columns as two compiled functions of the leaves and of what else they read.

    variables   slots of the leaves
    places      where the interpreter keeps the numbers of both
    """

    def __init__(self, lifted: Any, columns: Columns, plain: Interpreted) -> None:
        self.variables = columns.at(lifted.variables)
        self._data = columns.at(lifted.data)
        self.places = plain.places(np.concatenate([lifted.variables, lifted.data]))
        sizes = self.variables.size, self._data.size
        self._memory: list[Given] = [tuple(map(np.empty, sizes)) for _ in range(2)]

        def pulled(variables: Tensor, data: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
            value, pull = vjp(lambda v: lifted(v, data), variables)
            return value, pull(seeds)[0]

        self._value: Callable[..., Tensor] = compiled(lifted.__call__)
        self._pulled: Callable[..., tuple[Tensor, Tensor]] = compiled(pulled)

    def read(self, values: np.ndarray, kept: Given | None = None) -> Given:
        """What the functions read, in memory that a later call uses again.

        kept   what an earlier call returned, which is not overwritten
        """
        variables, data = given = self._memory[self._memory[0] is kept]
        values.take(self.variables, out=variables)
        values.take(self._data, out=data)
        return given

    def value(self, given: Given) -> np.ndarray:
        """The outputs."""
        return self._value(*given).numpy()

    def value_and_gradient(self, given: Given, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The outputs, and what their gradients give for the variables."""
        value, gradient = self._pulled(*given, seeds)
        return value.numpy(), gradient.numpy()
