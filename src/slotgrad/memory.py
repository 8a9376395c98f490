"""Arrays that begin on a cache line, where vectors are loaded and stored in one piece.

May import nothing of the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialized array, row by row.

    >>> aligned_empty((3, 5), np.float32).ctypes.data % ALIGNMENT
    0
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_copy(x: np.ndarray) -> np.ndarray:
    """The same elements in memory of their own."""
    made = aligned_empty(x.shape, x.dtype)
    made[...] = x
    return made
