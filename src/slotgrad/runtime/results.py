"""Memory for the results of a compiled function, used again when nobody else has it any more.

What the system gives a process anew comes in pages that are cleared one by one, which takes longer
than most programs; and it takes memory back soon.  Imports nothing from here.
"""

from __future__ import annotations

from sys import getrefcount

import numpy as np

LARGE = 1 << 16  # bytes from which on it pays
HUGE = 1 << 24  # bytes that are not held back
MOST = 3  # what the caller has, what it gets next, and what is to be filled after that


class Memory:
    """Arrays of one type: views of as many arrays as are in use at once, up to MOST."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        self.kept: list[np.ndarray] = []

    def __call__(self) -> np.ndarray:
        """An array whose memory nobody else has, with any values in it."""
        x = _unused(self.kept)
        if x is None:
            x = np.empty(self.shape, self.dtype)
            if x.nbytes > HUGE:
                return x
            self.kept.append(x)
            del self.kept[:-MOST]
        return x.view()


def _unused(kept: list[np.ndarray]) -> np.ndarray | None:
    """One of these arrays that has no view, and that no other thread looks at."""
    for x in kept:
        if getrefcount(x) == _ALONE:
            return x
    return None


def _owners(kept: list[np.ndarray]) -> int:
    """What is counted for an array that only a list has, when a loop looks at it."""
    for x in kept:
        return getrefcount(x)
    return 0


_ALONE = _owners([np.empty(0)])
