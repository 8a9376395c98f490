"""inline: an operation of the user's own whose body was recorded becomes its body.

The node of such an operation, of family "inlined", has the results of the body as its last inputs.
It stood for them as long as derivatives were made, by the user's rule.  May import the floor.
"""

from __future__ import annotations

from ..graph.node import Node
from ..graph.region import Region, rewrite


def inline(region: Region) -> Region:
    """The region with the results themselves in the place of such nodes."""
    return rewrite(region, _rule) if any(map(_is_inlined, region.nodes)) else region


def _rule(node: Node, before: Node) -> Node | None:
    if _is_inlined(node):
        return None if node.several else node.inputs[-1]
    if node.op is not None and node.op.name == "item" and _is_inlined(node.inputs[0]):
        [call] = node.inputs
        return call.inputs[node.attrs["index"] - len(call.type)]
    return None


def _is_inlined(node: Node) -> bool:
    return node.op is not None and node.op.family == "inlined"
