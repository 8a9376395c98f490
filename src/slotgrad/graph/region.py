"""A region: a graph with inputs and outputs, such as a captured function.

Passes map regions to regions; targets make programs of them.  May import graph.node and op.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ..errors import InternalError
from .node import NO_ATTRS, Node, ancestors


@dataclass(frozen=True)
class Region:
    """A graph between nodes.

    inputs   nodes whose values a caller supplies, in order: what is before them is left out
    outputs  nodes, some maybe repeated
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    @cached_property
    def nodes(self) -> list[Node]:
        """What the outputs depend on, inputs before their users."""
        return ancestors(self.outputs, is_end=set(self.inputs).__contains__)

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def operations(self) -> list[Node]:
        """The nodes that are computed."""
        given = set(self.inputs)
        return [n for n in self.nodes if n.op is not None and n not in given]


def verify(region: Region) -> None:
    """Raise InternalError unless the region is well formed.

    Leaves are inputs or constants; an operation's type is what its rule says; inputs come before
    their users.
    """
    given = set(region.inputs)
    for node in region.nodes:
        if node.op is None:
            if node not in given and node.value is None:
                raise InternalError(f"{node} is neither an input nor a constant")
            continue
        if any(i.id >= node.id for i in node.inputs):
            raise InternalError(f"{node} is older than one of its inputs")
        if node.op.again is None:
            expected = node.op.type(*[i.type for i in node.inputs], **node.attrs)
            if expected != node.type:
                raise InternalError(f"{node} should have type {expected}")


def rewrite(region: Region, rule: Callable[[Node, Node], Node | None]) -> Region:
    """The region with each node replaced by what `rule` says, from the inputs to the outputs.

    rule  receives a node whose inputs have been rewritten, and the node as it was; returns another
          node to stand for it, or None to keep it

    Nodes stay in the order of the program: those behind one that is copied are copied, too.
    """
    new: dict[Node, Node] = {node: node for node in region.inputs}
    changed = False
    for node in region.nodes:
        if node in new:
            continue
        inputs = tuple([new[i] for i in node.inputs])
        changed = changed or inputs != node.inputs
        kept = copied(node, inputs) if changed and node.op is not None else node
        new[node] = rule(kept, node) or kept
    if all(node is found for node, found in new.items()):
        return region
    return Region(region.inputs, tuple(new[n] for n in region.outputs))


def copied(node: Node, inputs: tuple[Node, ...]) -> Node:
    """A node like `node` with other inputs."""
    made = Node(node.op, inputs, node.attrs, None, node.requires_grad, node.site)
    made.type, made.name = node.type, node.name
    return made


def constant_node(value: object) -> Node:
    """A leaf with a value that is known when the program is made."""
    return Node(None, (), NO_ATTRS, value, False)
