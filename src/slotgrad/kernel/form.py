"""form: a statement as plain text, which tells what its code depends on.

Statements of one form are computed by the same code, given other addresses: buffers and nodes are
numbered in the order in which the statement names them.  What runs in Python has no code.  May
import the floor and the rest of kernel.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np

from ..graph.node import Node, TensorType
from .indexed import Gather, Scatter
from .ir import Buffer, HostCall, Loop, Product, Statement, View

PACKAGE = __name__.partition(".")[0]
_PLAIN = (int, str, bool, float, type(None))


class Unknown(Exception):
    """Nothing tells what the code depends on."""


def form(statement: Statement) -> tuple[str, list[Buffer]]:
    """The form of a statement, and the buffers by number; raises Unknown where there is none."""
    made = _Form()
    return repr(made.of(statement)), list(made.buffers)


class _Form:
    """Makes nested lists of numbers and words of what a statement is made of."""

    def __init__(self) -> None:
        self.buffers: dict[Buffer, int] = {}
        self.nodes: dict[Node, int] = {}

    def of(self, x: Any) -> Any:
        kind: Any = type(x)
        if kind in _PLAIN:
            return x
        if kind is View:
            return self.buffer(x.buffer), x.shape, x.strides, x.offset
        if kind is tuple or kind is list:
            return [self.of(i) for i in x]
        if kind is HostCall:
            return "HostCall"
        if kind is Product:
            return "Product", self.leaf(x.node), self.of(x.a), self.of(x.b), self.loop(x.then)
        if kind is Loop:
            return self.loop(x)
        if isinstance(x, np.dtype):
            return _name(x)
        if is_dataclass(x):
            parts = [self.of(getattr(x, name)) for name in _fields(kind)]
            if isinstance(x, (Gather, Scatter)):  # that constant indices are in a line
                parts.append(self.of(x.walked))
            return kind.__name__, *parts
        raise Unknown(f"{kind.__name__} in a statement")

    def buffer(self, buffer: Buffer) -> Any:
        """The number of a buffer; when it is new, what it is."""
        if buffer in self.buffers:
            return self.buffers[buffer]
        number = self.buffers[buffer] = len(self.buffers)
        alias = None if buffer.alias is None else self.buffer(buffer.alias)
        return number, _name(buffer.dtype), buffer.size, alias

    # -- loops -------------------------------------------------------------------------------------

    def loop(self, loop: Loop) -> Any:
        inputs = [(self.leaf(node), self.of(view)) for node, view in loop.inputs.items()]
        nodes = [self.node(node, loop) for node in loop.nodes]
        outputs = [(self.operand(node, loop), self.of(view)) for node, view in loop.outputs]
        return loop.shape, inputs, nodes, outputs

    def leaf(self, node: Node) -> Any:
        """A node whose value is there."""
        self.nodes[node] = len(self.nodes)
        return _type(node.type)

    def node(self, node: Node, loop: Loop) -> Any:
        """A node that a loop computes."""
        op, fold = node.op, loop.folds.get(node)
        assert op is not None
        if fold is None and (op.kernel is None or op.kernel.__module__.split(".")[0] != PACKAGE):
            raise Unknown(f"{op.name} is not the package's own")
        inputs = [self.operand(i, loop) for i in node.inputs]
        attrs = [(name, self.of(value)) for name, value in node.attrs.items()]
        rule = op.name if fold is None else (fold.combine, self.operand(fold.x, loop), fold.axes)
        return rule, inputs, attrs, self.leaf(node)

    def operand(self, node: Node, loop: Loop) -> Any:
        """The number of a node; of one that is another's, moved, its type too."""
        base = loop.same.get(node)
        if base is None:
            return self.nodes[node]
        return self.nodes[base], _type(node.type)


def _type(type: TensorType) -> Any:
    return type.shape, _name(type.dtype)


@cache
def _name(dtype: np.dtype) -> str:
    return dtype.name


@cache
def _fields(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]
