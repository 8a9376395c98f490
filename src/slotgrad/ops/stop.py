"""Markers on the graph: identity, detach, and one result of an operation with several.

May import the floor and declare.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import modes
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import TensorType, as_tensor, structured


class _Same:
    def type(x: TensorType) -> TensorType:
        return x

    def value(x: np.ndarray) -> np.ndarray:
        return x

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return x  # the mark has done its work on the graph of one example

    def kernel(k: Any, x: Any) -> Any:
        return x

    samples = [([(2, 3)], {})]


@structured("identity", accepts="any", view=True)
class _identity(_Same):
    """The input under another node, which a transformation can call its own."""

    linear = True

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        return (g,)


@structured("detach", accepts="any", view=True)
class _detach(_Same):
    """The value alone: no gradient flows through."""

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return detach(x)


@structured("clone", accepts="any")
class _clone(_Same):
    """The input in memory of its own."""

    linear = True

    def value(x: np.ndarray) -> np.ndarray:
        return x.copy()

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        return (g,)


@structured("item", accepts="any", view=True)
class _item:
    """Result number `index` of an operation with several."""

    def type(x: tuple[TensorType, ...], index: int) -> TensorType:
        return x[index]

    def value(x: tuple[np.ndarray, ...], index: int) -> np.ndarray:
        return x[index]

    def vjp(g: Tensor, out: Tensor, x: Any, index: int) -> tuple:
        return (Part(index, g),)

    def kernel(k: Any, x: Any, index: int) -> Any:
        return x[index]


class Part:
    """The cotangent of one result of several; `reverse` puts them together."""

    __slots__ = ("index", "g")

    def __init__(self, index: int, g: Tensor) -> None:
        self.index, self.g = index, g


def identity(x: Tensor) -> Tensor:
    """`x` under a new node."""
    return apply(_identity, (x,))


def detach(x: Any, /) -> Tensor:
    """The value of `x`, to the tape a constant; shares memory with `x`."""
    return apply(_detach, (as_tensor(x),))


def asking(x: Tensor, on: bool = True) -> Tensor:
    """The same value in a node of its own, which asks for gradients, or does not."""
    mine = identity(x)
    mine.node.requires_grad = on
    if on and modes.capture is not None:
        modes.capture.starts.add(mine.node)
    return mine


def items(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """The results of an operation that has `count` of them."""
    return tuple(apply(_item, (x,), {"index": i}) for i in range(count))


def clone(x: Any, /) -> Tensor:
    """A copy with memory of its own; gradients flow through to `x`."""
    return apply(_clone, (as_tensor(x),))
