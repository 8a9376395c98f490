"""What `map` needs beside programs: results stacked row by row, and how many rows to do at once.

May import the floor and variant.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..tensor import Tensor
from ..tree import Structure, flatten, unflatten
from .variant import made, tapeless

_PAUSE = 0.05  # seconds after which Python may look after signals


class Stack:
    """The results of `done` of `count` calls, each leaf in one array with an axis of rows in front.

    Leaves that are no tensors are those of the last call that went through Python.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.done = 0
        self._structure: Structure | None = None
        self._columns: list[np.ndarray] = []
        self._is_tensor: list[bool] = []

    def put(self, result: Any) -> None:
        """Take in the result of the call for the next row."""
        leaves, structure = flatten(result)
        values = [y.numpy() if isinstance(y, Tensor) else np.asarray(y) for y in leaves]
        if self._structure is None:
            self._structure = structure
            self._columns = [np.empty((self.count, *y.shape), y.dtype) for y in values]
            self._is_tensor = [isinstance(y, Tensor) for y in leaves]
            self._tracked = [tapeless(y) for y in leaves]
        expected = [(c.shape[1:], c.dtype) for c in self._columns]
        got = [(y.shape, y.dtype) for y in values]
        if structure != self._structure or got != expected:
            raise ShapeError(
                f"map: the call for row {self.done} returned {got} in {structure}; expected, as"
                f" before, {expected} in {self._structure}"
            )
        for column, y in zip(self._columns, values):
            column[self.done] = y
        self.done += 1

    def tensors(self) -> list[np.ndarray]:
        """Arrays for those leaves of the rows to come that are tensors."""
        pairs = zip(self._columns, self._is_tensor)
        return [column[self.done :] for column, is_tensor in pairs if is_tensor]

    def filled(self, rows: int) -> None:
        """The arrays have been filled for so many rows."""
        for column, is_tensor in zip(self._columns, self._is_tensor):
            if not is_tensor:
                column[self.done : self.done + rows] = column[self.done - 1]
        self.done += rows

    def result(self) -> Any:
        """The tree of the stacked leaves."""
        assert self._structure is not None
        return unflatten(self._structure, list(map(made, self._columns, self._tracked)))


class Chunk:
    """How many rows may be done at once: as many as take the time of a pause."""

    def __init__(self) -> None:
        self.rows = 8
        self._start = 0.0

    def begin(self) -> None:
        """Rows are about to be done."""
        self._start = time.perf_counter()

    def end(self, rows: int) -> None:
        """So many have been done."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        self.rows = max(1, min(int(rows * _PAUSE / seconds), 8 * rows))
