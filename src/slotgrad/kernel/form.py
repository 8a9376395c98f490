"""form: a statement as numbers and words, which tell what its code depends on.

Statements of one form are computed by the same code, given other addresses: buffers and nodes are
numbered in the order in which the statement names them, and places in a buffer are counted from the
first one that the statement touches.  What runs in Python has no code.  May import the floor and
the rest of kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..graph.node import Node, TensorType
from .indexed import Gather, Scatter
from .ir import Buffer, HostCall, Loop, Product, Statement, View

PACKAGE = __name__.partition(".")[0]
_PLAIN = (bool, float, type(None))


class Unknown(Exception):
    """Nothing tells what the code depends on."""


# Buffers, and the first element of each that a statement may begin with.
Operands = dict[Buffer, int]


class Call(NamedTuple):
    """A statement, and what computes it.

    kernel    number of the kernel
    operands  what the kernel is given
    """

    statement: Statement
    kernel: int
    operands: Operands


def calls(statements: Iterable[Statement]) -> tuple[list[Call], list[Any] | None]:
    """The calls of a program, and the forms of its kernels, of which no two are equal.

    None where a statement has no form, and a kernel of its own.
    """
    made: list[Call] = []
    numbers: dict[Any, int] = {}
    known = True
    for statement in statements:
        told: Any
        try:
            told, given = form(statement)
        except Unknown:
            told, given, known = id(statement), operands(statement), False
        made.append(Call(statement, numbers.setdefault(told, len(numbers)), given))
    return made, list(numbers) if known else None


def operands(statement: Statement) -> Operands:
    """The operands of a statement.

    Buffers that are the same memory begin with the same element.
    """
    first: dict[Buffer, int] = {}
    views = (*statement.reads, *statement.writes)
    for v in views:
        place = v.buffer.place
        first[place] = min(first.get(place, v.offset), v.offset)
    return {v.buffer: first[v.buffer.place] for v in views}


def form(statement: Statement) -> tuple[Any, Operands]:
    """The form of a statement, and its operands; raises Unknown where there is none."""
    given = operands(statement)
    return _Form(given).of(statement), given


class _Form:
    """Makes nested tuples of numbers and words of what a statement is made of."""

    def __init__(self, given: Operands) -> None:
        self.given = given
        self.buffers: dict[Buffer, int] = {}
        self.nodes: dict[Node, int] = {}

    def of(self, x: Any) -> Any:
        kind: Any = type(x)
        if kind is int or kind is str:
            return x
        if kind in _PLAIN:
            return kind.__name__, repr(x)  # 1.0 is not 1, nor True
        if kind is View:
            return self.buffer(x.buffer), x.shape, x.strides, x.offset - self.given[x.buffer]
        if kind is tuple or kind is list:
            return tuple([self.of(i) for i in x])
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
        return loop.shape, tuple(inputs), tuple(nodes), tuple(outputs)

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
        return rule, tuple(inputs), tuple(attrs), self.leaf(node)

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
