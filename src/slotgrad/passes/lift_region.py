"""lift_region: the operations of a region on single numbers become operations on arrays.

    before                                after
    v[2] = slice(x, 0)                    v[2] = mul(x, w)
    v[3] = slice(w, 0)                    v[3] = sum(v[2])
    v[4] = mul(v[2], v[3])
    ... for each of 100 elements

As it is done for tapes (see lift.py), for columns that are made of nodes (see scalars.py).  A
region that has few such operations, or whose operations are too different, stays as it is.  May
import the floor, ops, capture, kernel.scalars and the passes that it is made of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from ..capture import capture
from ..config import modes
from ..dtypes import float32, float64
from ..graph.node import Node
from ..graph.region import Region, copied
from ..kernel.scalars import FIRST_OPERATION, LEAF
from ..ops.declare import constant
from ..ops.movement import concat, cut, reshape
from ..tensor import Tensor
from .arrays import Data, Group, Operand, Reader, Source
from .families import families, sums
from .lift import DATA, Lifting
from .scalars import Scalars, is_scalar

FEW = 100  # operations that are as well off without arrays
ALIKE = 6  # operations that an array operation stands for, on average and at least
MOST_CODES = 256


def lift_region(region: Region) -> Region:
    """The region with arrays in place of many like operations on single numbers."""
    kinds = Counter(n.type.dtype for n in region.operations if is_scalar(n))
    total = kinds.total()
    dtype = max((float32, float64), key=lambda t: kinds[t])
    if total < FEW or not kinds[dtype]:
        return region
    scalars = Scalars(region, dtype)
    if FIRST_OPERATION + len(scalars.kinds) > MOST_CODES:
        return region
    arrays = _Arrays(scalars)
    if not arrays.found(total // ALIKE):
        return region
    given = [Tensor(n) for n in region.nodes]
    made = capture(lambda: arrays.write(region.outputs), given, list)
    return Region(region.inputs, made.region.outputs)


class _Arrays:
    """The array operations for the scalars of a region, stage by stage."""

    def __init__(self, scalars: Scalars) -> None:
        self.scalars = scalars
        code = np.array(scalars.code)
        values = np.zeros(code.size, scalars.dtype)
        values[list(scalars.numbers)] = list(scalars.numbers.values())
        given = [Source("given", node.type.shape) for node in scalars.given]
        home, place = np.array(scalars.home, np.int32), np.array(scalars.place, np.int64)
        self.stage = np.array(scalars.stage)
        self.operands = np.array(scalars.operands, np.int32).reshape(-1, 3)
        loose = np.zeros(code.size, bool)
        loose[list(scalars.single)] = True
        self.lifting = Lifting(code, values, scalars.kinds, given, home, place, loose)
        self.groups: list[list[Group]] = []  # by stage
        self.brought = self.wanted()
        self.operands_of: dict[Node, Operand] = {}  # of nodes with several elements

    def wanted(self) -> list[dict[Node, np.ndarray]]:
        """The slots that nodes are to be made of again, by stage."""
        scalars = self.scalars
        stages = {node: scalars.stage_of(node) for node in scalars.wanted}
        last = max(*stages.values(), *scalars.rest.values(), int(self.stage.max()))
        found: list[dict[Node, np.ndarray]] = [{} for _ in range(last + 1)]
        for node, stage in stages.items():
            if node in scalars.slots:
                found[stage][node] = np.array([scalars.slots[node]])
            else:
                at = scalars.spread[node].at
                found[stage][node] = np.full(math.prod(node.type.shape), scalars.zero)
                found[stage][node][list(at)] = list(at.values())
        return found

    def found(self, most: int) -> bool:
        """Find the families of all stages; whether they are no more than `most`."""
        needed = np.zeros(self.stage.size, bool)
        earlier = (self.operands >= 0) & (self.stage[self.operands] < self.stage[:, None])
        needed[self.operands[earlier]] = True
        for slots in chain(*(nodes.values() for nodes in self.brought)):
            needed[slots] = True
        for stage, nodes in enumerate(self.brought):
            code = np.where(self.stage == stage, self.lifting.code, LEAF)
            outputs = np.flatnonzero(needed & (self.stage == stage))
            part = families(sums(code, list(self.operands.T), outputs), outputs, most)
            if part is None:
                return False
            most -= len(part)
            before = len(self.lifting.groups)
            for family in part:
                self.lifting.enter(family)
            for node, slots in nodes.items():
                if slots.size > 1:
                    self.operands_of[node] = self.lifting.operand(slots)
            self.groups.append(self.lifting.groups[before:])
        return True

    def write(self, outputs: Sequence[Node]) -> list[Tensor]:
        """The outputs of the region, computed with arrays."""
        lifting, scalars = self.lifting, self.scalars
        new: dict[Node, Node] = {}
        read = Reader({}, lambda block: self.laid_out(block, new))
        for stage, groups in enumerate(self.groups):
            for node in (n for n, s in scalars.rest.items() if s == stage):
                inputs = tuple([new.get(i, i) for i in node.inputs])
                if inputs != node.inputs:
                    new[node] = modes.capture.adopt(copied(node, inputs)).node
            for (node, known), source in zip(scalars.given.items(), lifting.sources[1:]):
                if known == stage:
                    read.values[source] = Tensor(new.get(node, node))
            read.run(groups)
            for node in self.brought[stage]:
                new[node] = self.brought_back(node, read, new).node
        return [Tensor(new.get(n, n)) for n in outputs]

    def brought_back(self, node: Node, read: Reader, new: dict[Node, Node]) -> Tensor:
        """A node made of slots, as a tensor."""
        scalars, lifting, shape = self.scalars, self.lifting, node.type.shape
        if node in scalars.slots:
            slot = scalars.slots[node]
            source, place = lifting.sources[lifting.home[slot]], int(lifting.place[slot])
            if isinstance(source, Data) or lifting.home[slot] == DATA:
                return reshape(self.datum(slot, new), shape)
            return reshape(cut(read.flat(source), (place,), (1,), (1,)), shape)
        total = reshape(read.full(self.operands_of[node]), shape)
        for part in scalars.spread[node].parts:
            total = total + Tensor(new.get(part, part))
        return total

    def laid_out(self, block: Data, new: dict[Node, Node]) -> Tensor:
        """Data as a vector."""
        if all(slot in self.scalars.numbers for slot in block.slots.tolist()):
            return constant(self.lifting.values[block.slots])
        return concat([reshape(self.datum(slot, new), (1,)) for slot in block.slots.tolist()])

    def datum(self, slot: int, new: dict[Node, Node]) -> Tensor:
        """A number, or a node with one element."""
        node = self.scalars.single.get(slot)
        return constant(self.lifting.values[slot]) if node is None else Tensor(new.get(node, node))
