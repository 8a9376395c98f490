"""`VariableGroup`: the values and gradients of some variables as arrays.

May import the floor, scalar.native and scalar.variable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DTypeError, ShapeError
from .variable import Variable, rate

if TYPE_CHECKING:
    from .storage import ValueStorage


class VariableGroup:
    """Some variables of a storage; `storage.group(variables)` makes one.

    Arrays have one element for each variable, in the order of the variables.  They are copies: set
    the attribute to write.  Formulas are not computed for this, however large they are.  Other
    shapes raise ShapeError, what is no real number DTypeError.

    >>> from slotgrad.scalar import ValueStorage
    >>> storage = ValueStorage()
    >>> variables = [Variable(storage) for _ in range(3)]
    >>> f = sum(x * x for x in variables)
    >>> f.compile()
    >>> x = storage.group(variables)
    >>> x.values = [1, 2, 3]  # or one number for all
    >>> f.forward()
    >>> f.gradient = 1
    >>> f.backward()
    >>> x.gradients
    array([2., 4., 6.])
    >>> x.gradient_step(0.25)
    >>> x.values
    array([0.5, 1. , 1.5])
    """

    def __init__(self, storage: ValueStorage, variables: Iterable[Variable]) -> None:
        members = list(variables)
        for x in members:
            storage._must_own(x, "group([x, y])")
            x._must_be_variable("group")
        self.storage = storage
        self._slots = np.array([x.slot for x in members], np.int64)

    def __len__(self) -> int:
        return len(self._slots)

    def __repr__(self) -> str:
        return f"VariableGroup({len(self)} variables)"

    @property
    def values(self) -> np.ndarray:
        """The values, float64; set it to an array of as many, or to one number for all."""
        return self.storage.tape.values.take(self._slots)

    @values.setter
    def values(self, values: np.ndarray | Iterable[float] | float) -> None:
        self.storage.tape.values[self._slots] = self._fitting(values, "values")
        self.storage._changes += 1

    @property
    def gradients(self) -> np.ndarray:
        """The gradients, float64; may be set as values are."""
        return self.storage._all_gradients().take(self._slots)

    @gradients.setter
    def gradients(self, gradients: np.ndarray | Iterable[float] | float) -> None:
        self.storage._all_gradients()[self._slots] = self._fitting(gradients, "gradients")

    def _fitting(self, given: object, what: str) -> np.ndarray:
        array = np.asarray(given)
        if array.dtype.kind not in "fiub":
            raise DTypeError(
                f"{what}: got an array of {array.dtype}; expected real numbers, one for each of"
                f" {len(self)} variables, or one for all"
            )
        if array.shape not in ((), self._slots.shape):
            raise ShapeError(
                f"{what}: got shape {array.shape} for a group of {len(self)} variables; expected"
                f" {self._slots.shape}, or a number"
            )
        return array

    def gradient_step(self, learning_rate: float) -> None:
        """values -= learning_rate * gradients."""
        step = rate(learning_rate)
        slots = self._slots
        self.storage.tape.values[slots] -= step * self.storage._all_gradients()[slots]
        self.storage._changes += 1
