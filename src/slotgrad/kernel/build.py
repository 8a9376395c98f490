"""build: a region becomes kernels.

Nodes are put in stages.  What is not elementwise (a barrier) runs at the beginning of its stage,
elementwise nodes after the barriers of theirs; so all elementwise nodes of one shape and stage
can run in one loop, whatever depends on what.  May import the floor and kernel.ir.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from ..graph.node import Node, TensorType
from ..graph.region import Region
from .ir import (
    Buffer,
    HostCall,
    Kernels,
    Loop,
    Product,
    Reduce,
    Statement,
    View,
    whole,
)

NATIVE = {"float32", "float64"}  # dtypes of native matrix products
REDUCTIONS = {"sum": "add", "max": "max", "min": "min"}


def build(region: Region, written: dict[int, int]) -> Kernels:
    """The kernels of a region.

    written  output number -> number of the input whose memory it goes to
    """
    return _Builder(region, written).kernels()


def is_elementwise(node: Node) -> bool:
    """Whether a loop computes the node."""
    return (
        node.op is not None
        and node.op.family == "elementwise"
        and node.op.kernel is not None
        and not any(i.type.dtype.kind == "c" for i in (node, *node.inputs))
    )


def stages_of(nodes: list[Node]) -> dict[Node, int]:
    """The stage of each node; see the module."""
    stage: dict[Node, int] = {}
    for node in nodes:
        own = is_elementwise(node)
        found = 0
        for i in node.inputs:
            later = is_elementwise(i) and not (own and i.type.shape == node.type.shape)
            found = max(found, stage[i] + later)
        stage[node] = found
    return stage


class _Builder:
    def __init__(self, region: Region, written: dict[int, int]) -> None:
        self.region = region
        self.written = written
        self.results = set(region.outputs)
        self.nodes = region.nodes
        self.users: dict[Node, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for i in node.inputs:
                self.users[i].append(node)
        self.views: dict[Node, View] = {}
        self.several: dict[Node, list[View]] = {}
        self.statements: list[Statement] = []
        self.buffers: list[Buffer] = []

    def kernels(self) -> Kernels:
        for number, node in enumerate(self.region.inputs):
            self.views[node] = self.buffer(node.type, "input", index=number)
        stage = stages_of(self.nodes)
        barriers: dict[int, list[Node]] = defaultdict(list)
        loops: dict[int, dict[tuple[int, ...], list[Node]]] = defaultdict(dict)
        for node in self.nodes:
            if node in self.views:
                continue
            if is_elementwise(node):
                loops[stage[node]].setdefault(node.type.shape, []).append(node)
            else:
                barriers[stage[node]].append(node)
        for number in range(max(stage.values(), default=0) + 1):
            for node in barriers[number]:
                self.barrier(node)
            for shape, nodes in loops[number].items():
                self.loop(shape, nodes)
        outputs = self.outputs()
        return Kernels(self.statements, outputs, self.buffers)

    # -- memory ------------------------------------------------------------------------------------

    def buffer(self, type: TensorType, role: str = "arena", **options: Any) -> View:
        made = Buffer(type.dtype, math.prod(type.shape), role, **options)
        self.buffers.append(made)
        return whole(made, type.shape)

    def contiguous(self, view: View) -> View:
        """The view, or a copy of its elements that is contiguous."""
        if view.contiguous:
            return view
        return self.copy(view, self.buffer(TensorType(view.shape, view.dtype)))

    def copy(self, view: View, out: View) -> View:
        source = Node(None, (), {}, None, False)
        source.type = TensorType(view.shape, view.dtype)
        self.statements.append(Loop(out.shape, {source: view}, [], [(source, out)]))
        return out

    # -- loops -------------------------------------------------------------------------------------

    def loop(self, shape: tuple[int, ...], nodes: list[Node]) -> None:
        """One loop for all elementwise nodes of a stage that have this shape."""
        inside = set(nodes)
        inputs = {
            i: self.views[i].broadcast(shape) for n in nodes for i in n.inputs if i not in inside
        }
        made = Loop(shape, inputs, nodes)
        for node in nodes:
            if node in self.results or not inside.issuperset(self.users[node]):
                self.views[node] = self.buffer(node.type)
                made.outputs.append((node, self.views[node]))
        if math.prod(shape):
            self.statements.append(made)

    # -- what is not elementwise -------------------------------------------------------------------

    def barrier(self, node: Node) -> None:
        if node.op is None:
            value = np.ascontiguousarray(node.value)
            self.views[node] = self.buffer(node.type, "constant", value=value)
            return
        rule = getattr(self, f"_{node.op.name}", None)
        view = rule(node) if rule is not None else None
        if view is None:
            self.host_call(node)
        else:
            self.views[node] = view

    def host_call(self, node: Node) -> None:
        types = node.type if node.several else (node.type,)
        outs = [self.buffer(t) for t in types]
        if node.several:
            self.several[node] = outs
        else:
            self.views[node] = outs[0]
        inputs = [self.views[i] for i in node.inputs]
        self.statements.append(HostCall(node, inputs, outs))

    def _item(self, node: Node) -> View:
        return self.several[node.inputs[0]][node.attrs["index"]]

    def _reshape(self, node: Node) -> View:
        return self.contiguous(self.views[node.inputs[0]]).reshaped(node.type.shape)

    def _permute_dims(self, node: Node) -> View:
        return self.views[node.inputs[0]].permuted(node.attrs["axes"])

    def _broadcast_to(self, node: Node) -> View:
        return self.views[node.inputs[0]].broadcast(node.type.shape)

    def _slice(self, node: Node) -> View:
        attrs = node.attrs
        return self.views[node.inputs[0]].cut(attrs["starts"], attrs["sizes"], attrs["steps"])

    def _place(self, node: Node) -> View:
        x, attrs = self.views[node.inputs[0]], node.attrs
        out = self.buffer(node.type)
        self.copy(self.zero(node.type.dtype).broadcast(out.shape), out)
        self.copy(x, out.cut(attrs["starts"], x.shape, attrs["steps"]))
        return out

    def zero(self, dtype: np.dtype) -> View:
        return self.buffer(TensorType((), dtype), "constant", value=np.zeros((), dtype))

    def _concat(self, node: Node) -> View:
        out, axis, begin = self.buffer(node.type), node.attrs["axis"], 0
        for i in node.inputs:
            x = self.views[i]
            starts = tuple(begin if d == axis else 0 for d in range(len(x.shape)))
            self.copy(x, out.cut(starts, x.shape, (1,) * len(x.shape)))
            begin += x.shape[axis]
        return out

    def _sum(self, node: Node) -> View | None:
        return self.reduction(node)

    _max = _min = _sum

    def reduction(self, node: Node) -> View | None:
        """One statement for each group of axes that can be walked as one."""
        x, axes = self.views[node.inputs[0]], list(node.attrs["axis"])
        dtype = node.type.dtype
        if dtype.kind == "c" or 0 in x.shape or dtype.itemsize == 2:
            return None
        x, axes = _merged(x, axes)
        while axes:
            axis = axes.pop()
            shape = (*x.shape[:axis], *x.shape[axis + 1 :])
            out = self.buffer(TensorType(shape, dtype))
            assert node.op is not None
            self.statements.append(Reduce(REDUCTIONS[node.op.name], x, axis, out))
            x = out
        return self.contiguous(x).reshaped(node.type.shape) if x.shape != node.type.shape else x

    def _matmul(self, node: Node) -> View | None:
        if node.type.dtype.name not in NATIVE or 0 in node.type.shape:
            return None
        lead = node.type.shape[:-2]
        a, b = (self.readable(self.views[i]) for i in node.inputs)
        out = self.buffer(node.type)
        a, b = (x.broadcast((*lead, *x.shape[-2:])) for x in (a, b))
        self.statements.append(Product(a, b, out))
        return out

    def readable(self, x: View) -> View:
        """A matrix whose rows or columns are contiguous, as products read them."""
        rows, columns = x.shape[-2:]
        down, right = x.strides[-2:]
        by_rows = (right == 1 or columns == 1) and (down >= columns or rows == 1)
        by_columns = (down == 1 or rows == 1) and (right >= rows or columns == 1)
        if by_rows or by_columns:
            return x
        return self.copy(x, self.buffer(TensorType(x.shape, x.dtype)))

    # -- results -----------------------------------------------------------------------------------

    def outputs(self) -> list[View]:
        """Put each output where it belongs: into a new array, or the memory of an input."""
        found: dict[int, View] = {}
        pending: list[tuple[int, View]] = []
        for number, node in enumerate(self.region.outputs):
            view = self.views[node]
            if number in self.written:
                if view.buffer.role == "input":  # its memory may be written before it is read
                    view = self.copy(view, self.buffer(node.type))
                pending.append((number, view))
            elif _owns(view):
                view.buffer.role, view.buffer.index = "output", number
                found[number] = view
            else:
                found[number] = self.copy(view, self.buffer(node.type, "output", index=number))
        late: list[tuple[View, View]] = []
        for number, view in pending:
            target = found[number] = self.views[self.region.inputs[self.written[number]]]
            if self.may_write_at_once(view, target):
                view.buffer.alias = target.buffer
            else:
                late.append((view, target))
        for view, target in late:
            self.copy(view, target)
        return [found[number] for number in range(len(self.region.outputs))]

    def may_write_at_once(self, view: View, target: View) -> bool:
        """Whether the statement that makes a value may overwrite the input it goes to.

        Nobody may read the input's old value later, and nothing that could fail may follow: a
        failed call leaves the inputs as they were.
        """
        if not _owns(view):
            return False
        first = next(i for i, s in enumerate(self.statements) if view.buffer in _written(s))
        maker, *later = self.statements[first:]
        if any(isinstance(s, HostCall) or target.buffer in _read(s) for s in later):
            return False
        if any(view.buffer in _written(s) for s in later):
            return False
        same_places = isinstance(maker, Loop) and all(
            v.contiguous and v.offset == 0 and v.shape == view.shape
            for v in maker.reads
            if v.buffer is target.buffer
        )
        return same_places or target.buffer not in _read(maker)


def _owns(view: View) -> bool:
    """Whether a view is all of a buffer of the arena that is nobody else's yet."""
    buffer = view.buffer
    free = buffer.role == "arena" and buffer.alias is None
    return free and view.contiguous and view.offset == 0 and math.prod(view.shape) == buffer.size


def _written(statement: Statement) -> set[Buffer]:
    return {v.buffer for v in statement.writes}


def _read(statement: Statement) -> set[Buffer]:
    return {v.buffer for v in statement.reads}


def _merged(x: View, axes: list[int]) -> tuple[View, list[int]]:
    """Neighbouring axes that are both kept or both reduced, walked as one where strides allow."""
    shape: list[int] = []
    strides: list[int] = []
    kinds: list[bool] = []
    for i, (n, s) in enumerate(zip(x.shape, x.strides)):
        reduced = i in axes
        if n == 1 and not reduced:
            continue
        if kinds and kinds[-1] == reduced and strides[-1] == s * n:
            shape[-1] *= n
            strides[-1] = s
        else:
            shape.append(n)
            strides.append(s)
            kinds.append(reduced)
    view = View(x.buffer, tuple(shape), tuple(strides), x.offset)
    return view, [i for i, reduced in enumerate(kinds) if reduced]
