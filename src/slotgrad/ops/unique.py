"""Distinct elements, in ascending order.

How many there are depends on the values, so captured functions cannot ask.  Each nan counts as
an element of its own, 0.0 and -0.0 as one.  Gradients of the values flow to the first occurrences.

>>> import slotgrad as sg
>>> sg.unique_counts([3, 1, 3])
UniqueCountsResult(values=tensor([1, 3]), counts=tensor([1, 2]))

May import the floor, declare and index.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import bfloat16
from ..tensor import Tensor
from .declare import as_tensor, constant
from .index import take


class UniqueAllResult(NamedTuple):
    """x.flatten()[indices] = values; values[inverse_indices] = x"""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """How often each value occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """values[inverse_indices] = x"""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any, /) -> UniqueAllResult:
    """The distinct elements, where each is found first, which one each element of `x` is, counts.

    values, indices and counts have one axis, inverse_indices has the shape of `x`.
    """
    return _unique(x, "unique_all")


def unique_counts(x: Any, /) -> UniqueCountsResult:
    """The distinct elements and how often each occurs."""
    found = _unique(x, "unique_counts")
    return UniqueCountsResult(found.values, found.counts)


def unique_inverse(x: Any, /) -> UniqueInverseResult:
    """The distinct elements, and which of them each element of `x` is."""
    found = _unique(x, "unique_inverse")
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_values(x: Any, /) -> Tensor:
    """The distinct elements.

    >>> import slotgrad as sg
    >>> sg.unique_values([[3.0, 1.0], [3.0, 2.0]])
    tensor([1., 2., 3.])
    """
    return _unique(x, "unique_values").values


def _unique(x: Any, op: str) -> UniqueAllResult:
    x = as_tensor(x)
    value = x._value(f"{op}(), whose result has no shape yet,")
    if value.dtype == bfloat16:  # NumPy does not know where its nan goes
        value = value.astype(np.float32)
    _, first, inverse, counts = np.unique(
        value, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    indices = constant(first)
    rest = constant(inverse.reshape(x.shape)), constant(counts)
    return UniqueAllResult(take(x, indices), indices, *rest)
