"""layout: where the value of each node would lie if it were stored.

A node that computes has a buffer of its own, contiguous; one that only moves elements (permuting,
broadcasting, slicing, most reshaping) is a view of another node's buffer and costs nothing.  May
import the floor and kernel.ir.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.node import Node, TensorType
from ..graph.region import Region
from .ir import Buffer, View, whole


class Layout:
    """The views of the nodes of a region, and whose elements they show.

    views    for each node but those with several results
    several  for those with several results
    base     for each node with a view, the node whose elements these are
    """

    def __init__(self, region: Region) -> None:
        self.views: dict[Node, View] = {}
        self.several: dict[Node, list[View]] = {}
        self.base: dict[Node, Node] = {}
        for number, node in enumerate(region.inputs):
            self._own(node, "input", index=number)
        for node in region.nodes:
            if node not in self.views:
                self._place(node)

    def moves(self, node: Node) -> bool:
        """Whether the node shows elements of another one."""
        return self.base.get(node, node) is not node

    def _place(self, node: Node) -> None:
        if node.op is None:
            self._own(node, "constant", value=np.ascontiguousarray(node.value))
        elif node.several:
            self.several[node] = [_new(t, "arena") for t in node.type]
        else:
            rule = _MOVEMENTS.get(node.op.name)
            view = self._moved(node, rule) if rule is not None else None
            if view is None:
                self._own(node, "arena")
            else:
                self.views[node] = view
                self.base[node] = self.base.get(node.inputs[0], node.inputs[0])

    def _moved(self, node: Node, rule: Callable[[Node, View], View | None]) -> View | None:
        source = node.inputs[0]
        if source in self.several:
            return self.several[source][node.attrs["index"]]
        return rule(node, self.views[source])

    def _own(self, node: Node, role: str, **options: Any) -> None:
        self.views[node] = _new(node.type, role, **options)
        self.base[node] = node


def _new(type: TensorType, role: str, **options: Any) -> View:
    return whole(Buffer(type.dtype, math.prod(type.shape), role, **options), type.shape)


def _reshaped(node: Node, x: View) -> View | None:
    return x.reshaped(node.type.shape) if x.contiguous else None  # else it is copied


def _cut(node: Node, x: View) -> View:
    return x.cut(node.attrs["starts"], node.attrs["sizes"], node.attrs["steps"])


_MOVEMENTS: dict[str, Callable[[Node, View], View | None]] = {
    "item": lambda node, x: x,
    "reshape": _reshaped,
    "permute_dims": lambda node, x: x.permuted(node.attrs["axes"]),
    "broadcast_to": lambda node, x: x.broadcast(node.type.shape),
    "slice": _cut,
}
