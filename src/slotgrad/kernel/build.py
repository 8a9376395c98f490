"""build: a region becomes kernels.

Every group of nodes becomes one statement; what moves elements and cannot be a view becomes copies.
May import the floor and the rest of kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph.node import Node, TensorType
from ..graph.region import Region
from .group import Group, groups, is_elementwise, over
from .indexed import RULES, Scatter
from .ir import Buffer, HostCall, Kernels, Loop, Product, Statement, View, whole
from .layout import Layout

MAX_COPIES = 64  # of one element each in a statement; long ones take LLVM several times longer


def build(region: Region, written: dict[int, int]) -> Kernels:
    """The kernels of a region.

    written  output number -> number of the input whose memory it goes to
    """
    return _Builder(region, written).kernels()


class _Builder:
    def __init__(self, region: Region, written: dict[int, int]) -> None:
        self.region = region
        self.written = written
        self.layout = Layout(region)
        self.views = self.layout.views
        self.statements: list[Statement] = []
        self.ones = Loop((), {}, [])  # the newest copies of one element each
        self.written_by_ones: set[Buffer] = set()
        self.groups = groups(region, self.layout, written)
        self.wanted = self.used_outside()

    def kernels(self) -> Kernels:
        for group in self.groups:
            if group.product is not None:
                self.product(group)
            elif is_elementwise(group.nodes[0]) or group.folds:
                self.loop(group)
            else:
                self.other(group.nodes[0])
        outputs = self.outputs()
        used = [v.buffer for s in self.statements for v in (*s.reads, *s.writes)]
        given = [self.views[n].buffer for n in self.region.inputs]
        buffers = [*given, *used, *(v.buffer for v in outputs)]
        return Kernels(self.statements, outputs, list(dict.fromkeys(buffers)))

    def used_outside(self) -> set[Node]:
        """The nodes whose values must be stored: read by another group, or results."""
        of = {n: g for g in self.groups for n in g.nodes}
        base = self.layout.base
        found = {base[n] for n in self.region.outputs}
        for node, group in of.items():
            found |= {base[i] for i in node.inputs if i in base and of.get(base[i]) is not group}
        return found

    # -- memory ------------------------------------------------------------------------------------

    def buffer(self, type: TensorType, role: str = "arena", **options: Any) -> View:
        return whole(Buffer(type.dtype, math.prod(type.shape), role, **options), type.shape)

    def contiguous(self, view: View) -> View:
        """The view, or a copy of its elements that is contiguous."""
        if view.contiguous:
            return view
        return self.copy(view, self.buffer(TensorType(view.shape, view.dtype)))

    def copy(self, view: View, out: View) -> View:
        source = Node(None, (), {}, None, False)
        source.type = TensorType(view.shape, view.dtype)
        size = math.prod(out.shape)
        if size == 1:
            self.copy_one(source, view.reshaped(()), out.reshaped(()))
        elif size:
            self.statements.append(Loop(out.shape, {source: view}, [], [(source, out)]))
        return out

    def copy_one(self, source: Node, view: View, out: View) -> None:
        """Copy an element, in the statement that copies the ones before where there is one."""
        last = self.ones
        joins = bool(self.statements) and self.statements[-1] is last
        if not joins or len(last.inputs) == MAX_COPIES or view.buffer in self.written_by_ones:
            last = self.ones = Loop((), {}, [])
            self.statements.append(last)
            self.written_by_ones = set()
        last.inputs[source] = view
        last.outputs.append((source, out))
        self.written_by_ones.add(out.buffer)

    # -- loops and products ------------------------------------------------------------------------

    def loop(self, group: Group) -> None:
        if math.prod(group.space):
            self.statements.append(self.body(group, group.nodes))

    def body(self, group: Group, nodes: list[Node]) -> Loop:
        """The loop over the group's space that computes some of its nodes."""
        inside, space = set(group.nodes), group.space
        made = Loop(space, {}, nodes, [], group.folds)
        for node in nodes:
            shape = node.inputs[0].type.shape if node in group.folds else node.type.shape
            for i in node.inputs:
                base = self.layout.base[i]
                if base not in inside:
                    made.inputs[i] = over(self.views[i], shape, space)
                elif base is not i:
                    made.same[i] = base
        for node in group.nodes:
            if node in self.wanted:
                made.outputs.append((node, self.stored(node, group)))
        return made

    def stored(self, node: Node, group: Group) -> View:
        """Where a value goes, over the group's space: stride 0 along what a fold has combined."""
        view, space = self.views[node], group.space
        fold = group.folds.get(node)
        if fold is None:
            return over(view, node.type.shape, space)
        kept = [n for i, n in enumerate(fold.x.type.shape) if i not in fold.axes]
        strides = iter(whole(view.buffer, tuple(kept)).strides)
        rank = len(fold.x.type.shape)
        given = [0 if i in fold.axes else next(strides) for i in range(rank)]
        shape = tuple(1 if i in fold.axes else n for i, n in enumerate(fold.x.type.shape))
        return over(View(view.buffer, shape, tuple(given)), fold.x.type.shape, space)

    def product(self, group: Group) -> None:
        node = group.product
        assert node is not None
        a, b = (self.readable(self.views[i]) for i in node.inputs)
        lead = node.type.shape[:-2]
        a, b = (x.broadcast((*lead, *x.shape[-2:])) for x in (a, b))
        then = self.body(group, [n for n in group.nodes if n is not node])
        self.statements.append(Product(a, b, node, then))

    def readable(self, x: View) -> View:
        """A matrix whose rows or columns are contiguous, as products read them."""
        rows, columns = x.shape[-2:]
        down, right = x.strides[-2:]
        by_rows = (right == 1 or columns == 1) and (down >= columns or rows == 1)
        by_columns = (down == 1 or rows == 1) and (right >= rows or columns == 1)
        if by_rows or by_columns:
            return x
        return self.copy(x, self.buffer(TensorType(x.shape, x.dtype)))

    # -- the rest ----------------------------------------------------------------------------------

    def other(self, node: Node) -> None:
        assert node.op is not None
        native = RULES.get(node.op.name)
        if native is not None and native(self, node) is not None:
            return
        rule = getattr(self, f"_{node.op.name}", None)
        if rule is not None:
            rule(node)
            return
        outs = self.layout.several.get(node) or [self.views[node]]
        self.statements.append(HostCall(node, [self.views[i] for i in node.inputs], outs))

    def _reshape(self, node: Node) -> None:
        x, out = self.views[node.inputs[0]], self.views[node]
        self.copy(x, out.reshaped(x.shape))

    def _place(self, node: Node) -> None:
        x, out, attrs = self.views[node.inputs[0]], self.views[node], node.attrs
        self.copy(self.zero(node.type.dtype).broadcast(out.shape), out)
        self.copy(x, out.cut(attrs["starts"], x.shape, attrs["steps"]))

    def zero(self, dtype: np.dtype) -> View:
        return self.buffer(TensorType((), dtype), "constant", value=np.zeros((), dtype))

    def _concat(self, node: Node) -> None:
        out, axis, begin = self.views[node], node.attrs["axis"], 0
        for i in node.inputs:
            x = self.views[i]
            starts = tuple(begin if d == axis else 0 for d in range(len(x.shape)))
            self.copy(x, out.cut(starts, x.shape, (1,) * len(x.shape)))
            begin += x.shape[axis]

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
        uses = _Uses(self.statements)
        for number, view in pending:
            target = found[number] = self.views[self.region.inputs[self.written[number]]]
            if _may_write_at_once(view, target, uses):
                view.buffer.alias = target.buffer
            else:
                late.append((view, target))
        for view, target in late:
            self.copy(view, target)
        return [found[number] for number in range(len(self.region.outputs))]


class _Uses:
    """Which statements read and write a buffer, and the last one that may fail, by number."""

    def __init__(self, statements: list[Statement]) -> None:
        self.statements = statements
        self.last_failing = -1
        self.last_read: dict[Buffer, int] = {}
        self.writes: dict[Buffer, list[int]] = {}
        for number, statement in enumerate(statements):
            if statement.fails:
                self.last_failing = number
            self.last_read |= {v.buffer: number for v in statement.reads}
            for buffer in {v.buffer for v in statement.writes}:
                self.writes.setdefault(buffer, []).append(number)


def _may_write_at_once(view: View, target: View, uses: _Uses) -> bool:
    """Whether the statement that makes a value may overwrite the input it goes to.

    Nobody may read the input's old value later, and nothing that could fail may follow: a failed
    call leaves the inputs as they were.
    """
    if not _owns(view) or view.buffer not in uses.writes:  # it has no elements
        return False
    if not view.buffer.size:
        return True
    made, *again = uses.writes[view.buffer]
    if again or max(uses.last_failing, uses.last_read.get(target.buffer, -1)) > made:
        return False
    return _reads_in_place(uses.statements[made], view.buffer, target.buffer)


def _reads_in_place(maker: Statement, made: Buffer, target: Buffer) -> bool:
    """Whether the statement reads `target` at no other element than the one it then writes."""
    reads = [v for v in maker.reads if v.buffer is target]
    if not reads:
        return True
    if isinstance(maker, Scatter):
        return maker.may_replace(target)
    loop = maker.then if isinstance(maker, Product) else maker
    if not isinstance(loop, Loop) or loop.phased:
        return False
    writes = {v.strides for node, v in loop.outputs if v.buffer is made and node not in loop.folds}
    inputs = list(loop.inputs.values())
    return all(v in inputs and v.offset == 0 and {v.strides} == writes for v in reads)


def _owns(view: View) -> bool:
    """Whether a view is all of a buffer of the arena that is nobody else's yet."""
    buffer = view.buffer
    free = buffer.role == "arena" and buffer.alias is None
    return free and view.contiguous and view.offset == 0 and math.prod(view.shape) == buffer.size
