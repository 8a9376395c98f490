"""group: which nodes share a kernel, and in which order the kernels run.

Elementwise nodes and reductions join in loops over one index space, elementwise nodes also join the
matrix product whose result they continue.  Two groups become one where an element needs nothing
but its own place: then what the one computes never goes through memory.  May import the floor and
the rest of kernel.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
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
MAX_NODES = 96  # in a loop
MAX_SCALARS = 1024  # in code without a loop
MAX_EPILOGUE = 24  # after a product
MAX_ROW = 8192  # elements of a row that is walked more than once


@dataclass(eq=False)
class Group:
    """Nodes that one statement computes.

    space     the index space of its loop
    product   the matrix product that the loop continues
    fusible   whether other groups may join
    before    bits of the groups that must run before this one
    direct    bits of those among them whose results it reads
    """

    number: int
    space: tuple[int, ...]
    nodes: list[Node]
    product: Node | None = None
    fusible: bool = True
    before: int = 0
    direct: int = 0
    folds: dict[Node, Fold] = field(default_factory=dict)
    bit: int = 0

    def __post_init__(self) -> None:
        self.bit = 1 << self.number


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
        self.given = set(region.inputs)
        self.all: list[Group] = []
        self.of: dict[Node, Group] = {}
        for node in region.nodes:
            if node.op is not None and node not in self.given and not layout.moves(node):
                self.add(node)

    def add(self, node: Node) -> None:
        """A group for the node, joined with those it continues."""
        fold = fold_of(node)
        shaped = node.inputs[0] if fold else node
        space = () if node.several else shaped.type.shape
        group = Group(len(self.all), space, [node])
        if fold is not None:
            group.folds[node] = fold
        elif is_product(node):
            group.product = node
            group.fusible = node.type.shape[-1] > 1
        elif not is_elementwise(node):
            group.fusible = False
        self.all.append(group)
        self.of[node] = group
        sources = self.sources(group)
        for source in sources:
            group.direct |= source.bit
            group.before |= source.bit | source.before
        if group.fusible and group.product is None:
            for source in sorted(sources, key=lambda g: -max(n.id for n in g.nodes)):
                self.join(source, self.of[node])

    def sources(self, group: Group) -> list[Group]:
        """The groups whose results a group reads."""
        found = {self.of.get(self.layout.base(i)): None for n in group.nodes for i in self.read(n)}
        return [g for g in found if g is not None and g is not group]

    def read(self, node: Node) -> Iterator[Node]:
        for i in node.inputs:
            if i in self.layout.views:
                yield i

    # -- joining -----------------------------------------------------------------------------------

    def join(self, first: Group, second: Group) -> None:
        """Make one group of two, if that is right and pays."""
        if first is second or not first.fusible or not second.fusible:
            return
        space = _common_space(first.space, second.space)
        if space is None or (first.product and second.product):
            return
        if self.between(first, second) or self.between(second, first):
            return
        if self.fits(first, second, space):
            self.merge(first, second, space)

    def between(self, first: Group, second: Group) -> bool:
        """Whether some third group needs the first and is needed by the second."""
        others, direct = second.direct & ~first.bit, 0
        while others:
            lowest = others & -others
            direct |= self.all[lowest.bit_length() - 1].before & first.bit
            others ^= lowest
        return bool(direct)

    def fits(self, first: Group, second: Group, space: tuple[int, ...]) -> bool:
        """Whether one loop over the space can compute both groups; each alone is right."""
        product = first.product or second.product
        count, folds = len(first.nodes) + len(second.nodes), first.folds | second.folds
        if product is not None:
            if folds or count > MAX_EPILOGUE:
                return False
            added = second.nodes if product is first.product else first.nodes
            if not all(self.continues(n, product) for n in added):
                return False
        elif count > (MAX_NODES if math.prod(space) > 1 else MAX_SCALARS):
            return False
        inside = {*first.nodes, *second.nodes}
        if not all(self.aligned(n, inside, folds, space) for n in second.nodes if n is not product):
            return False
        long = bool(space) and space[-1] > MAX_ROW
        return not (long and self.walks_again(inside, folds))

    def walks_again(self, nodes: set[Node], folds: dict[Node, Fold]) -> bool:
        """Whether a row is walked more than once: a node needs what a fold found in it."""
        return any(self.layout.base(i) in folds for n in nodes for i in self.read(n))

    def aligned(
        self, node: Node, inside: set[Node], folds: dict[Node, Fold], space: tuple[int, ...]
    ) -> bool:
        """Whether the node has a place in the space, and its inputs from inside have the same."""
        shape = node.inputs[0].type.shape if node in folds else node.type.shape
        if _place(shape, space) is None:
            return False
        for i in self.read(node):
            base = self.layout.base(i)
            if base not in inside:
                continue
            fold = folds.get(base)
            if fold is not None and fold.axes != (len(space) - 1,):
                return False  # it is complete only after the loop
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
        for i in self.read(node):
            view = over(self.layout.views[i], shape, shape)
            if view.strides[-1] not in (0, 1) or row_stride(view) is None:
                return False
        return True

    def merge(self, first: Group, second: Group, space: tuple[int, ...]) -> None:
        first.nodes = sorted([*first.nodes, *second.nodes], key=lambda n: n.id)
        first.space = space
        first.folds |= second.folds
        first.product = first.product or second.product
        both = first.bit | second.bit
        first.direct = (first.direct | second.direct) & ~both
        first.before = (first.before | second.before) & ~both
        for node in second.nodes:
            self.of[node] = first
        second.nodes = []
        gone, added = ~second.bit, first.bit | first.before
        for group in self.all:
            if group.before & both:
                group.before = group.before & gone | added
                if group.direct & both:
                    group.direct = group.direct & gone | first.bit

    # -- order -------------------------------------------------------------------------------------

    def delay_writers(self, written: dict[int, int]) -> None:
        """Let what overwrites an input run after all that reads it, or that may fail."""
        readers: dict[Node, set[Group]] = {}
        for group in self.all:
            for node in group.nodes:
                for i in self.read(node):
                    readers.setdefault(self.layout.base(i), set()).add(group)
        failing = [g for g in self.all if g.nodes and not g.fusible and g.product is None]
        for output, number in written.items():
            new = self.region.outputs[output]
            writer = self.of.get(self.layout.base(new)) if new in self.layout.views else None
            if writer is None:
                continue
            for group in (*readers.get(self.region.inputs[number], ()), *failing):
                if group is not writer and not group.before & writer.bit:
                    self.order(group, writer)

    def order(self, first: Group, second: Group) -> None:
        """Have the second group run after the first."""
        added = first.bit | first.before
        for group in self.all:
            if group is second or group.before & second.bit:
                group.before |= added

    def in_order(self) -> list[Group]:
        """First what is needed; among what is free to go, what was written first."""
        alive = {g.number: g for g in self.all if g.nodes}
        waiting: dict[int, int] = {}
        users: dict[int, list[Group]] = {number: [] for number in alive}
        ready: list[tuple[int, int]] = []
        for group in alive.values():
            before = [n for n in alive if group.before >> n & 1]
            waiting[group.number] = len(before)
            for number in before:
                users[number].append(group)
            if not before:
                heapq.heappush(ready, (group.nodes[-1].id, group.number))
        ordered = []
        while ready:
            group = alive[heapq.heappop(ready)[1]]
            ordered.append(group)
            for user in users[group.number]:
                waiting[user.number] -= 1
                if not waiting[user.number]:
                    heapq.heappush(ready, (user.nodes[-1].id, user.number))
        return ordered


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
