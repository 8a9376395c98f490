"""The kernel IR: buffers, strided views of them, and a closed set of statements.

    Loop       elementwise expressions and reductions over the indices of a shape
    Product    matrix products, batched, with a loop over the result
    HostCall   an operation that runs outside of native code, on arrays

Movement costs nothing: permuting, broadcasting, slicing and most reshaping only make another
view.  Statements run in order; targets walk them.  May import the floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ..graph.node import Node


@dataclass(eq=False)
class Buffer:
    """Memory of `size` elements.  role says whose it is:

    input     array number `index` of the call
    output    a new array, number `index` of the results
    constant  the array `value`
    arena     ours, at `offset` bytes once the memory is planned
    """

    dtype: np.dtype
    size: int
    role: str
    index: int = -1
    value: np.ndarray | None = None
    offset: int = -1
    alias: Buffer | None = None  # an arena buffer that is an input's memory after all

    @property
    def place(self) -> Buffer:
        """The buffer whose memory this is."""
        return self if self.alias is None else self.alias

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class View:
    """Elements of a buffer: element (i, j, ...) is number offset + i * strides[0] + ..."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def dtype(self) -> np.dtype:
        return self.buffer.dtype

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow each other in row-major order."""
        if 0 in self.shape:
            return True
        pairs = zip(self.shape, self.strides, row_major(self.shape))
        return all(n == 1 or s == expected for n, s, expected in pairs)

    def permuted(self, axes: tuple[int, ...]) -> View:
        return View(
            self.buffer,
            tuple(self.shape[i] for i in axes),
            tuple(self.strides[i] for i in axes),
            self.offset,
        )

    def broadcast(self, shape: tuple[int, ...]) -> View:
        if shape == self.shape:
            return self
        added = len(shape) - len(self.shape)
        pairs = zip(self.shape, self.strides, shape[added:])
        strides = tuple(0 if n == 1 and m != 1 else s for n, s, m in pairs)
        return View(self.buffer, shape, (0,) * added + strides, self.offset)

    def cut(self, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]) -> View:
        offset = self.offset + sum(a * s for a, s in zip(starts, self.strides))
        return View(self.buffer, sizes, tuple(s * d for s, d in zip(self.strides, steps)), offset)

    def reshaped(self, shape: tuple[int, ...]) -> View:
        """The same elements in another shape; the view must be contiguous."""
        return View(self.buffer, shape, row_major(shape), self.offset)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of contiguous elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def whole(buffer: Buffer, shape: tuple[int, ...]) -> View:
    """All of a buffer."""
    return View(buffer, shape, row_major(shape))


@dataclass(frozen=True)
class Fold:
    """A node that combines ("add", "max", "min") the values of `x` over some axes of a loop."""

    combine: str
    x: Node
    axes: tuple[int, ...]


@dataclass
class Loop:
    """For every index of `shape`: load the inputs, compute the nodes, store the outputs.

    inputs   nodes from outside, and where they lie over the loop's shape (stride 0: broadcast)
    nodes    elementwise nodes and folds, in order
    folds    which of the nodes are folds; one over the last axis alone may be used by later nodes
    same     nodes that are other names of nodes or inputs, moved
    outputs  nodes, or inputs to be copied, and where they go, over the loop's shape
    """

    fails: ClassVar[bool] = False

    shape: tuple[int, ...]
    inputs: dict[Node, View]
    nodes: list[Node]
    outputs: list[tuple[Node, View]] = field(default_factory=list)
    folds: dict[Node, Fold] = field(default_factory=dict)
    same: dict[Node, Node] = field(default_factory=dict)

    @property
    def reads(self) -> list[View]:
        return list(self.inputs.values())

    @property
    def writes(self) -> list[View]:
        return [view for _, view in self.outputs]

    @property
    def phased(self) -> bool:
        """Whether rows are walked more than once: a node needs what a fold found in the row."""
        return any(self.same.get(i, i) in self.folds for n in self.nodes for i in n.inputs)

    @property
    def names(self) -> str:
        """The operations, in order."""
        return " ".join(_name(n, self.folds.get(n)) for n in self.nodes) or "copy"

    def __str__(self) -> str:
        return f"loop {self.shape}: {self.names}"


def _name(node: Node, fold: Fold | None) -> str:
    name = node.op.name if node.op else ""
    return name if fold is None else f"{name}[{','.join(map(str, fold.axes))}]"


@dataclass
class Product:
    """a @ b over the last two axes, then a loop over the result, which is `node` there."""

    fails: ClassVar[bool] = False

    a: View
    b: View
    node: Node
    then: Loop

    @property
    def reads(self) -> list[View]:
        return [self.a, self.b, *self.then.reads]

    @property
    def writes(self) -> list[View]:
        return self.then.writes

    def __str__(self) -> str:
        rest = f": {self.then.names}" if self.then.nodes else ""
        return f"product {self.a.shape} @ {self.b.shape}{rest}"


@dataclass
class HostCall:
    """An operation applied to arrays by Python; its results are copied into `outs`."""

    fails: ClassVar[bool] = True

    node: Node
    inputs: list[View]
    outs: list[View]

    @property
    def reads(self) -> list[View]:
        return self.inputs

    @property
    def writes(self) -> list[View]:
        return self.outs

    def __str__(self) -> str:
        return f"call {self.node.op.name if self.node.op else ''}"


class Statement(Protocol):
    """What the builder, the memory plan and the targets ask of any statement."""

    fails: ClassVar[bool]  # whether it may end the program

    @property
    def reads(self) -> list[View]: ...

    @property
    def writes(self) -> list[View]: ...


@dataclass
class Kernels:
    """A region in kernels.

    outputs   where each output of the region ends up: a view, of an `output` buffer or, for
              results written back to an input, of that `input` buffer
    """

    statements: list[Statement]
    outputs: list[View]
    buffers: list[Buffer]
    arena_bytes: int = 0

    def __str__(self) -> str:
        return "\n".join(map(str, self.statements))


def accesses(statement: Any) -> set[Buffer]:
    """The buffers that a statement reads or writes."""
    return {v.buffer for v in (*statement.reads, *statement.writes)}
