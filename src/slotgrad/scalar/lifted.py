"""The tier of regular giants: array code, once a thread has made it.

Until then, and for what array code does not tell (the values and gradients of slots that are no
outputs), the interpreter runs.  May import the back end, autodiff, compile and scalar.interpreted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autodiff.transforms import vjp
from ..compile import compile as compiled
from ..kernel.scalars import FIRST_OPERATION
from ..passes.lift_tape import lift_tape
from ..tensor import Tensor
from .interpreted import Interpreted

WORTH_LIFTING = 1000  # operations

Given = tuple[np.ndarray, ...]  # values of variables, and of what else array code reads


class Lifting:
    """Runs columns on the interpreter, and as array code once that is there.

    values   the column of values: what the numbers among them are decides what can be shared
    """

    def __init__(
        self,
        code: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        values: np.ndarray,
        outputs: Sequence[int],
    ) -> None:
        self._plain = Interpreted(code, first, second, outputs)
        self._outputs = np.array(outputs, np.int64)
        self._arrays: Arrays | None = None
        self._seeds: np.ndarray | None = None  # of the last backward, if array code did it
        self._forward_by_arrays = False  # the last one
        self._untold = False  # its values inside are not in their slots
        columns = tuple(x.copy() for x in (code, first, second, values))  # recording may go on
        self._maker = threading.Thread(target=self._make, args=columns, name="slotgrad-lift")
        self._started = np.count_nonzero(code >= FIRST_OPERATION) >= WORTH_LIFTING
        if self._started:
            self._maker.start()

    def _make(
        self, code: np.ndarray, first: np.ndarray, second: np.ndarray, values: np.ndarray
    ) -> None:
        lifted = lift_tape(code, first, second, values, self._outputs)
        if lifted is not None:
            arrays = Arrays(lifted)
            arrays.value(values)  # compiles
            arrays.gradient(values, np.zeros(len(self._outputs)))
            self._arrays = arrays

    def wait(self) -> bool:
        """Wait for the array code; returns whether there is any."""
        if self._started:
            self._maker.join()
        return self._arrays is not None

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._seeds is not None or self._plain.hidden

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""
        arrays = self._arrays
        self._forward_by_arrays = self._untold = arrays is not None
        if arrays is None:
            self._plain.forward(values)
        else:
            values[self._outputs] = arrays.value(values)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        arrays = self._arrays
        if arrays is None or not self._forward_by_arrays:
            self._seeds = None
            self._plain.backward(values, gradients)
            return
        self._seeds = gradients[self._outputs]
        gradients[arrays.variables] += arrays.gradient(values, self._seeds)

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots: array code does not tell, run again."""
        plain, arrays = self._plain, self._arrays
        if self._seeds is not None and gradients is not None and arrays is not None:
            given, own = arrays.read_by_gradient(values), np.zeros_like(gradients)
            own[self._outputs] = self._seeds
            plain.forward(given)
            plain.backward(given, own)
            plain.settle(given, gradients)
            self._seeds = None
        if self._untold and arrays is not None:
            plain.forward(arrays.read_by_value(values))
            self._untold = False
        plain.settle(values, gradients)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self._seeds = None
        self._plain.forget()


class Arrays:
    """A lifted tape as two compiled functions of the leaves and of what else it reads."""

    def __init__(self, lifted: Any) -> None:
        self.variables = lifted.variables
        self._data = lifted.data
        sizes = self.variables.size, self._data.size
        self._given: list[Given] = [tuple(map(np.empty, sizes)) for _ in range(2)]

        def pulled(variables: Tensor, data: Tensor, seeds: Tensor) -> Tensor:
            return vjp(lambda v: lifted(v, data), variables)[1](seeds)[0]

        self._value: Callable[..., Tensor] = compiled(lifted.__call__)
        self._pulled: Callable[..., Tensor] = compiled(pulled)

    def _inputs(self, values: np.ndarray, given: Given) -> Given:
        variables, data = given
        return values.take(self.variables, out=variables), values.take(self._data, out=data)

    def _read(self, values: np.ndarray, given: Given) -> np.ndarray:
        values = values.copy()
        values[self.variables], values[self._data] = given
        return values

    def value(self, values: np.ndarray) -> np.ndarray:
        """The outputs."""
        return self._value(*self._inputs(values, self._given[0])).numpy()

    def read_by_value(self, values: np.ndarray) -> np.ndarray:
        """The column of values, with the leaves as they were when `value` read them."""
        return self._read(values, self._given[0])

    def gradient(self, values: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """What the gradients of the outputs give for the variables."""
        return self._pulled(*self._inputs(values, self._given[1]), seeds).numpy()

    def read_by_gradient(self, values: np.ndarray) -> np.ndarray:
        """The column of values, with the leaves as they were when `gradient` read them."""
        return self._read(values, self._given[1])
