"""share: equal operations on equal inputs become one node.  May import the floor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.node import Node
from ..graph.region import Region, rewrite


def share(region: Region) -> Region:
    """Common subexpression elimination: of nodes that compute the same, the first one stays."""
    first: dict[Any, Node] = {}

    def rule(node: Node, before: Node) -> Node | None:
        key = _key(node)
        return None if key is None else first.setdefault(key, node)

    return rewrite(region, rule)


def _key(node: Node) -> Any:
    """Equal for nodes that compute the same value; None for those that never do."""
    if node.op is None:
        return _constant_key(node) if isinstance(node.value, np.ndarray) else None
    if node.op.again is not None:  # a user's function may have effects
        return None
    attrs = tuple(sorted(node.attrs.items()))
    return node.op.name, tuple(i.id for i in node.inputs), attrs


def _constant_key(node: Node) -> Any:
    value = node.value
    return (value.dtype, value.shape, value.tobytes()) if value.size <= 16 else None
