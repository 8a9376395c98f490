"""The tier of middling graphs: straight code, once a thread has made it; before, the interpreter.

May import the back end, scalar.columns, scalar.interpreted and scalar.straight.
"""

from __future__ import annotations

import numpy as np

from ..runtime.background import later, wait, while_wanted
from .columns import Columns
from .interpreted import Interpreted
from .straight import Straight


class Straightening:
    """Runs columns on the interpreter, and as straight code once that is there.

    straight    that code; None: not yet
    """

    def __init__(self, columns: Columns) -> None:
        self.straight: Straight | None = None
        self._plain = Interpreted(columns)
        self.told = columns.at(columns.outputs)
        self._running: Interpreted | Straight = self._plain  # what the last forward ran
        self._columns = columns.copy()
        later(while_wanted(self._make))

    def _make(self) -> None:
        self.straight = Straight(self._columns)

    def wait(self) -> None:
        """Wait for the best code."""
        wait()

    @property
    def successor(self) -> Straight | None:
        """The straight code, once it is there and the interpreter has no gradients left to tell."""
        return None if self._plain.hidden else self.straight

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""
        return any(tier.hidden for tier in self._tiers())

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""
        if self.straight is not None:
            self._running = self.straight
            self._plain.forget_values()
        self._running.forward(values)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        if self._running is not self._plain:
            self._plain.forget()
        self._running.backward(values, gradients)

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots."""
        for tier in self._tiers():
            tier.settle(values, gradients)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        for tier in self._tiers():
            tier.forget()

    def _tiers(self) -> list[Interpreted | Straight]:
        """In the order in which they ran."""
        return [self._plain] if self.straight is None else [self._plain, self.straight]
