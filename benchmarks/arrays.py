"""The numbers that cases compute with: random, the same for every peer.

May import NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Zeros that begin at a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array: np.ndarray = memory[start : start + size].view(dtype).reshape(shape)
    return array


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Normally distributed numbers that begin at a cache line."""
    array = aligned(shape, dtype)
    array[...] = np.random.default_rng(seed).standard_normal(shape)
    return array
