"""Cutting data into batches and parts.  May import the floor and the mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import OptionError, ShapeError
from ..ops import random
from ..ops.declare import as_tensor
from ..tensor import Tensor


def _rows(xs: tuple[Any, ...], name: str) -> tuple[list[Tensor], int]:
    tensors = [as_tensor(x) for x in xs]
    if not tensors or any(t.ndim == 0 for t in tensors) or len({len(t) for t in tensors}) > 1:
        got = ", ".join(str(t.shape) for t in tensors) or "nothing"
        raise ShapeError(f"{name}: got {got}; expected tensors with equally many rows")
    return tensors, len(tensors[0])


def batches(
    *xs: Any, batch_size: int, shuffle: bool = False, drop_last: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """The rows of some tensors in batches, as tuples of tensors.

    shuffle    rows in an order drawn from sg.random; default: as they stand
    drop_last  leave out a last batch that is smaller than batch_size
    """
    if batch_size < 1:
        raise OptionError(f"batches: got batch_size={batch_size}; expected an int >= 1")
    tensors, count = _rows(xs, "batches")
    order = random.permutation(count) if shuffle else None
    end = count - count % batch_size if drop_last else count
    for start in range(0, end, batch_size):
        part = slice(start, min(start + batch_size, count))
        if order is None:
            yield tuple(t[part] for t in tensors)
        else:
            yield tuple(t.take(order[part], axis=0) for t in tensors)


def split(*xs: Any, fraction: float, shuffle: bool = True) -> tuple[Any, ...]:
    """The rows of some tensors in two parts, the first with `fraction` of them.

    Returns the first part of each tensor, then the second part of each.

    >>> import slotgrad as sg
    >>> sg.data.split(sg.arange(4), fraction=0.75, shuffle=False)
    (tensor([0, 1, 2]), tensor([3]))
    """
    if not 0 <= fraction <= 1:
        raise OptionError(f"split: got fraction={fraction}; expected 0 to 1")
    tensors, count = _rows(xs, "split")
    if shuffle:
        order = random.permutation(count)
        tensors = [t.take(order, axis=0) for t in tensors]
    cut = round(count * fraction)
    return (*(t[:cut] for t in tensors), *(t[cut:] for t in tensors))
