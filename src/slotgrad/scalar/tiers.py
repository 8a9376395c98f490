"""What runs a scalar graph, chosen by its size; the caller does not notice.

    Straight        up to SHORT operations: native code of its own, an instruction a node
    Straightening   up to STRAIGHT operations: the same, and by the interpreter until it is there
    Lifting         any size: as array code where that pays, and until it is there and where it
                    does not by the interpreter

All have `forward(values)` and `backward(values, gradients)` over arrays by slot.  `forward` reads
leaves and numbers and writes the outputs, which Lifting leaves to `finish` or `backward`;
`backward` reads the gradients of the outputs and adds to those of leaves.  What both compute beyond
that is in the arrays once `settle` was called.

Loads LLVM.  May import the floor, the back end and scalar.columns.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .columns import Columns
from .lifted import Lifting
from .straight import Straight
from .straightened import Straightening

SHORT = 64  # operations that are compiled about as fast as the interpreter gets ready
STRAIGHT = 2000  # operations, at most


class Tier(Protocol):
    """See the module.

    told    slots of operations whose gradients backward sets at once
    """

    told: np.ndarray

    @property
    def successor(self) -> Tier | None:
        """What shall run from the next forward on."""

    @property
    def hidden(self) -> bool:
        """Whether gradients of the last backward are not in their slots yet."""

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of operations."""

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring what the last runs computed to its slots; without gradients, the values alone."""

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""


def tier(columns: Columns) -> Tier:
    """What runs these columns."""
    operations = columns.operations
    if operations <= SHORT:
        return Straight(columns)
    if operations <= STRAIGHT:
        return Straightening(columns)
    return Lifting(columns)
