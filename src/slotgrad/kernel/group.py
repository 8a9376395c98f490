"""group: which nodes share a kernel, and in which order the kernels run.

Elementwise nodes and reductions join in loops over one index space, elementwise nodes also join the
matrix product whose result they continue.  Two groups become one where an element needs nothing
but its own place: then what the one computes never goes through memory.  May import the floor and
the rest of kernel.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..graph.node import Node
from ..graph.region import Region
from .ir import Fold, View, row_major
from .layout import Layout

REDUCTIONS = {"sum": "add", "max": "max", "min": "min"}
NATIVE = {"float32", "float64"}  # dtypes of native matrix products

# What may run on the registers of a product: a few instructions each.
CHEAP = {
    *("add", "sub", "mul", "div", "neg", "abs", "sign", "sqrt", "minimum", "maximum", "where"),
    *("equal", "less", "less_equal", "cast", "floor", "round", "copysign"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"),
}
# What may run once for each row, for a number where there is room for a vector of them:
QUICK = CHEAP - {"div", "sqrt"}  # if the row does not need it
SHORT = CHEAP | {"exp", "log"}  # if it does, and is short
MAX_NODES = 96  # in a loop
MAX_SCALARS = 1024  # in code without a loop
MAX_EPILOGUE = 24  # after a product
MAX_ROW = 8192  # elements of a row that is walked more than once
SHORT_ROW = 16  # elements of a row that is soon walked again
FEW_ROWS = 8  # no vector of them


@dataclass(eq=False)
class Group:
    """Nodes that one statement computes.

    space    the index space of its loop
    product  the matrix product that the loop continues
    fusible  whether other groups may join
    folds    the reductions among the nodes
    before   groups that must run earlier, and `after`: those for which this is such a group
    level    greater than that of every group in `before`
    newest   the greatest id of a node
    """

    space: tuple[int, ...]
    nodes: list[Node]
    product: Node | None = None
    fusible: bool = True
    folds: dict[Node, Fold] = field(default_factory=dict)
    before: set[Group] = field(default_factory=set)
    after: set[Group] = field(default_factory=set)
    level: int = 0
    newest: int = 0


def groups(region: Region, layout: Layout, written: dict[int, int]) -> list[Group]:
    """The groups in the order in which they run."""
    made = _Grouping(region, layout)
    made.delay_writers(written)
    return made.in_order()


def is_elementwise(node: Node) -> bool:
    """Whether a loop computes the node."""
    return (
        node.op is not None
        and node.op.family == "elementwise"
        and node.op.kernel is not None
        and not any(i.type.dtype.kind == "c" for i in (node, *node.inputs))
    )


def fold_of(node: Node) -> Fold | None:
    """The node as a reduction in a loop over its input."""
    if node.op is None or node.op.name not in REDUCTIONS:
        return None
    x, dtype, axes = node.inputs[0], node.type.dtype, node.attrs["axis"]
    if dtype.kind == "c" or 0 in x.type.shape or dtype.itemsize == 2:
        return None
    long = tuple(i for i in sorted(axes) if x.type.shape[i] != 1)
    return Fold(REDUCTIONS[node.op.name], x, long)


def is_product(node: Node) -> bool:
    """Whether the node is a matrix product that is computed natively."""
    return (
        node.op is not None
        and node.op.name == "matmul"
        and node.type.dtype.name in NATIVE
        and 0 not in node.type.shape
    )


def over(view: View, shape: tuple[int, ...], space: tuple[int, ...]) -> View:
    """A view that an operation of `shape` reads, over the space of the operation's loop.

    The operation has the space's shape, or lacks its last axis, or has size 1 there.
    """
    if view.shape == shape == space and 1 not in space:
        return view
    view = view.broadcast(shape)
    if len(shape) < len(space):
        view = View(view.buffer, (*shape, 1), (*view.strides, 0), view.offset)
    view = view.broadcast(space)
    strides = tuple(0 if n == 1 else s for n, s in zip(space, view.strides))
    return View(view.buffer, space, strides, view.offset)


class _Grouping:
    def __init__(self, region: Region, layout: Layout) -> None:
        self.region = region
        self.layout = layout
        self.of: dict[Node, Group] = {}
        self.folds: dict[Node, Fold] = {}
        self.read: dict[Node, list[tuple[Node, Node]]] = {}
        self.reach = _reach(region)
        given = set(region.inputs)
        for node in region.nodes:
            if node.op is not None and node not in given and not layout.moves(node):
                self.add(node)

    def add(self, node: Node) -> None:
        """A group for the node, joined with those it continues."""
        fold = fold_of(node)
        shaped = node.inputs[0] if fold else node
        group = Group(() if node.several else shaped.type.shape, [node], newest=node.id)
        if fold is not None:
            group.folds[node] = self.folds[node] = fold
        elif is_product(node):
            group.product = node
            group.fusible = node.type.shape[-1] > 1
        elif not is_elementwise(node):
            group.fusible = False
        base = self.layout.base
        read = self.read[node] = [(i, base[i]) for i in node.inputs if i in base]
        sources = {self.of[b] for _, b in read if b in self.of}
        self.of[node] = group
        for source in sources:
            self.order(source, group)
        if group.fusible and group.product is None:
            for source in sorted(sources, key=lambda g: g.newest, reverse=True):
                self.join(source, self.of[node])

    # -- joining -----------------------------------------------------------------------------------

    def join(self, first: Group, second: Group) -> None:
        """Make one group of two, if that is right and pays; the second one has the newest node."""
        if not first.fusible or (first.product and second.product):
            return
        space = _common_space(first.space, second.space)
        if space is None or not self.fits(first, second, space):
            return
        if not _between(first, second):
            self.merge(first, second, space)

    def fits(self, first: Group, second: Group, space: tuple[int, ...]) -> bool:
        """Whether one loop over the space can compute both groups; each alone is right."""
        product = first.product or second.product
        count = len(first.nodes) + len(second.nodes)
        if product is not None:
            if first.folds or second.folds or count > MAX_EPILOGUE:
                return False
            if second.product and any(self.of.get(base) is first for _, base in self.read[product]):
                return False  # its operands are there before it begins
            added = second.nodes if product is first.product else first.nodes
            if not all(self.continues(n, product) for n in added):
                return False
        elif count > (MAX_NODES if math.prod(space) > 1 else MAX_SCALARS):
            return False
        both = (first, second)
        if not all(self.aligned(n, both, space) for n in second.nodes if n is not product):
            return False
        long = bool(space) and space[-1] > MAX_ROW
        return not (long and self.walks_again(both)) and not self.is_slow(second, space)

    def is_slow(self, second: Group, space: tuple[int, ...]) -> bool:
        """Whether a group with one value for each row is better off in a loop of its own.

        There its functions are computed for vectors, here for one number after the other.  What
        goes back into rows stays with them, unless walking short rows again takes less time.
        """
        if second.space == space or math.prod(space[:-1]) < FEW_ROWS:
            return False
        names = {n.op.name for n in second.nodes if n.op is not None and n not in second.folds}
        if any(self.reach[n] >= math.prod(space) for n in second.nodes):
            return space[-1] < SHORT_ROW and not names <= SHORT
        return not names <= QUICK

    def walks_again(self, both: tuple[Group, Group]) -> bool:
        """Whether a row is walked more than once: a node needs what a fold found in it."""
        folds = both[0].folds | both[1].folds
        return any(base in folds for g in both for n in g.nodes for _, base in self.read[n])

    def aligned(self, node: Node, both: tuple[Group, Group], space: tuple[int, ...]) -> bool:
        """Whether the node has a place in the space, and its inputs from inside have the same."""
        shape = node.inputs[0].type.shape if node in self.folds else node.type.shape
        if _place(shape, space) is None:
            return False
        for i, base in self.read[node]:
            if self.of.get(base) not in both:
                continue
            fold = self.folds.get(base)
            if fold is not None and fold.axes != (len(space) - 1,):
                return False  # it is complete only after the loop
            if i is base and i.type.shape == shape:
                continue
            wanted = _place(base.type.shape, space)
            view = over(self.layout.views[i], shape, space)
            if wanted is None or view.offset or view.strides != wanted:
                return False
        return True

    def continues(self, node: Node, product: Node) -> bool:
        """Whether an elementwise node may run on the registers of a product."""
        shape, size = product.type.shape, product.type.dtype.itemsize
        if node.op is None or node.op.name not in CHEAP or node.type.shape != shape:
            return False
        if any(n.type.dtype.itemsize > size for n in (node, *node.inputs)):
            return False
        for i, _ in self.read[node]:
            view = over(self.layout.views[i], shape, shape)
            if view.strides[-1] not in (0, 1) or row_stride(view) is None:
                return False
        return True

    def merge(self, first: Group, second: Group, space: tuple[int, ...]) -> None:
        """Let the group with more nodes have those of the other one."""
        kept, gone = (first, second) if len(first.nodes) > len(second.nodes) else (second, first)
        kept.space = space
        kept.product = first.product or second.product
        kept.folds |= gone.folds
        kept.nodes += gone.nodes
        kept.newest = second.newest
        for node in gone.nodes:
            self.of[node] = kept
        first.after.remove(second)
        second.before.remove(first)
        for group in gone.before:
            group.after.remove(gone)
            self.order(group, kept)
        for group in gone.after:
            group.before.remove(gone)
            self.order(kept, group)

    # -- order -------------------------------------------------------------------------------------

    def order(self, first: Group, second: Group) -> None:
        """Have the second group run after the first."""
        first.after.add(second)
        second.before.add(first)
        raised = [(second, first.level + 1)]
        while raised:
            group, level = raised.pop()
            if group.level < level:
                group.level = level
                raised += [(user, level + 1) for user in group.after]

    def delay_writers(self, written: dict[int, int]) -> None:
        """Let what overwrites an input run after all that reads it, or that may fail."""
        readers: dict[Node, set[Group]] = {self.region.inputs[i]: set() for i in written.values()}
        for node, group in self.of.items():
            for _, base in self.read[node]:
                if base in readers:
                    readers[base].add(group)
        failing = {g for g in self.of.values() if not g.fusible and g.product is None}
        last = failing - _needed(failing)
        for output, number in written.items():
            new = self.region.outputs[output]
            writer = self.of.get(self.layout.base[new]) if new in self.layout.base else None
            if writer is None:
                continue
            late = last if not any(_depends(g, writer) for g in last) else failing
            for group in readers[self.region.inputs[number]] | late:
                if not _depends(group, writer):
                    self.order(group, writer)

    def in_order(self) -> list[Group]:
        """First what is needed; among what is free to go, what was written first."""
        waiting: dict[Group, int] = {}
        ready: list[tuple[int, Group]] = []
        for group in self.of.values():
            if group not in waiting:
                group.nodes.sort(key=lambda n: n.id)
                waiting[group] = len(group.before)
                if not group.before:
                    heapq.heappush(ready, (group.newest, group))
        ordered = []
        while ready:
            _, group = heapq.heappop(ready)
            ordered.append(group)
            for user in group.after:
                waiting[user] -= 1
                if not waiting[user]:
                    heapq.heappush(ready, (user.newest, user))
        return ordered


def _reach(region: Region) -> dict[Node, int]:
    """The most elements of what is computed from each node without a product or the like."""
    reach: dict[Node, int] = {}
    for node in reversed(region.nodes):
        size = 0 if node.several else math.prod(node.type.shape)
        reach[node] = max(reach.get(node, 0), size)
        if is_elementwise(node) or (node.op is not None and node.op.view):
            for i in node.inputs:
                reach[i] = max(reach.get(i, 0), reach[node])
    return reach


def _needed(groups: Iterable[Group]) -> set[Group]:
    """The groups that some of these need."""
    found: set[Group] = set()
    front = {b for g in groups for b in g.before}
    while front:
        found |= front
        front = {b for g in front for b in g.before} - found
    return found


def _depends(group: Group, other: Group) -> bool:
    """Whether a group is the other one or needs it."""
    return group is other or other in group.before or _between(other, group)


def _between(first: Group, second: Group) -> bool:
    """Whether some third group needs the first and is needed by the second.

    A search from both sides, each time a step from where there are fewer groups.
    """
    low, high = first.level, second.level
    front = {g for g in first.after if g.level < high}
    back = {g for g in second.before if g.level > low}
    ahead, behind = set(front), set(back)
    while front and back:
        if not front.isdisjoint(behind) or not back.isdisjoint(ahead):
            return True
        if len(front) <= len(back):
            front = {g for f in front for g in f.after if g.level < high} - ahead
            ahead |= front
        else:
            back = {g for b in back for g in b.before if g.level > low} - behind
            behind |= back
    return False


def row_stride(view: View) -> int | None:
    """Elements from row to row, if all leading axes are walked with one stride."""
    lead = [(n, s) for n, s in zip(view.shape[:-1], view.strides[:-1]) if n != 1]
    for (_, outer), (size, inner) in zip(lead, lead[1:]):
        if outer != size * inner:
            return None
    return lead[-1][1] if lead else 0


def _common_space(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The space of a loop for both: the second may have one value for each row of the first."""
    if first == second:
        return first
    rows = bool(first) and first[-1] != 1 and second in (first[:-1], (*first[:-1], 1))
    return first if rows else None


def _place(shape: tuple[int, ...], space: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides, over the space, of a contiguous value with one element for each index or row."""
    if shape == space:
        strides = row_major(space)
    elif space and shape in (space[:-1], (*space[:-1], 1)):
        strides = (*row_major(space[:-1]), 0)
    else:
        return None
    return tuple(0 if n == 1 else s for n, s in zip(space, strides))
