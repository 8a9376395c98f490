"""Forward mode: tangents carried up the graph by the rules that reverse mode uses.

An elementwise operation multiplies by its partials, a linear one is applied to the tangents,
and any other is the vjp of its vjp.  May import the floor, ops and backward.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..config import grad_mode
from ..dtypes import inexact
from ..errors import InternalError
from ..graph.node import Node, ancestors
from ..ops.declare import constant
from ..tensor import Tensor
from .backward import pulled_back, recalled, reverse


def forward(tangents: dict[Node, Any], order: Iterable[Node]) -> dict[Node, Any]:
    """Carry tangents from some nodes to all nodes of `order` that depend on them."""
    v_of = dict(tangents)
    for node in order:
        if node in v_of or node.op is None or node.op.pullback is None:
            continue
        incoming = tuple(v_of.get(i) for i in node.inputs)
        if any(v is not None for v in incoming):
            v = _pushed_forward(node, incoming)
            if v is not None:
                v_of[node] = v
    return v_of


def _pushed_forward(node: Node, tangents: tuple) -> Any:
    op = node.op
    if op is None:
        raise InternalError("a leaf has no rule")
    if op.name == "item":
        return tangents[0][node.attrs["index"]]
    if op.pushforward is None:
        return _vjp_of_vjp(node, tangents)
    inputs = [recalled(i, node) for i in node.inputs]
    return op.pushforward(tangents, recalled(node, node), *inputs, **node.attrs)


def _vjp_of_vjp(node: Node, tangents: tuple) -> Any:
    """The vjp u -> J'u is linear in u, so its own vjp at any u carries tangents: v -> Jv."""
    several = node.several
    types = node.type if several else (node.type,)
    with grad_mode(True):
        us = [
            Tensor(Node(None, (), {}, np.zeros(t.shape, t.dtype), t.dtype in inexact))
            for t in types
        ]
        rows = pulled_back(node, us if several else us[0])
        seeds: dict[Node, Any] = {}
        for v, row in zip(tangents, rows):
            if v is not None and row is not None:
                w = (row() if callable(row) else row).node
                if w.requires_grad:
                    seeds[w] = v if w not in seeds else seeds[w] + v
    order = ancestors(seeds, tracked_only=True)
    starts = {u.node for u in us}
    between = depending_on(starts, order)
    found = reverse(seeds, between, starts.__contains__)
    vs = tuple(found.get(u.node, constant(np.zeros(u.shape, u.dtype))) for u in us)
    return vs if several else vs[0]


def depending_on(starts: set[Node], order: Iterable[Node]) -> dict[Node, None]:
    """The nodes of `order` from which a start can be reached, in order."""
    reached: dict[Node, None] = {}
    for node in order:
        if node in starts or any(i in reached for i in node.inputs):
            reached[node] = None
    return reached
