"""The tier of middling graphs: straight code, once a thread has made it; before, the interpreter.

May import the back end, scalar.interpreted and scalar.straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..runtime.background import later, wait
from .interpreted import Interpreted
from .straight import Straight


class Straightening:
    """Runs columns on the interpreter, and as straight code once that is there.

    straight    that code; None: not yet
    """

    def __init__(
        self, code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Sequence[int]
    ) -> None:
        self.straight: Straight | None = None
        self._running: Straight | None = None  # what the last forward ran, if it was that
        self._plain = Interpreted(code, first, second, outputs)
        # recording may go on, hence copies
        later(partial(self._make, code.copy(), first.copy(), second.copy(), outputs))

    def _make(
        self, code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Sequence[int]
    ) -> None:
        self.straight = Straight(code, first, second, outputs)

    def wait(self) -> None:
        """Wait for the best code."""
        wait()

    @property
    def successor(self) -> Straight | None:
        """The straight code, once it is there and the interpreter has no gradients left to tell."""
        return None if self.hidden else self.straight

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return self._plain.hidden

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""
        self._running = self.straight
        if self._running is None:
            self._plain.forward(values)
        else:
            self._plain.forget_values()
            self._running.forward(values)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        if self._running is None:
            self._plain.backward(values, gradients)
        else:
            self._plain.forget()
            self._running.backward(values, gradients)

    def settle(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Bring what the interpreter computed to its slots; straight code has it there."""
        self._plain.settle(values, gradients)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self._plain.forget()
