"""scalars: the operations of a region on single numbers, as columns of slots.

A loop over `x[i]` leaves a node for each operation on a number.  The columns have a slot for each
of them, as those of a tape have (see kernel/scalars.py), and know of every other slot what it is:
a number, an element of an array, or a node without axes that something else computes.

    x[i], x[i, j]             an element of x
    places of numbers, added  an array of slots, zero where there is none: what the gradient of x is
    anything else             an operation on arrays; what it reads of the slots is `wanted`

Numbers and arrays may depend on one another in turn.  Slots are of stage s + 1 where an operation
on arrays stands between them and those of stage s.  May import the floor and kernel.scalars.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph.node import NO_ATTRS, Node
from ..graph.op import Op
from ..graph.region import Region
from ..kernel.scalars import FIRST_OPERATION, KINDS, LEAF, NUMBER, Kind, code_of

LARGEST = 1 << 12  # elements of an array that is followed number by number

# What shows elements of its first input: in known places, if it has no other inputs but constants.
MOVES = {"reshape", "permute_dims", "broadcast_to", "slice", "gather"}


def is_scalar(node: Node) -> bool:
    """Whether a node computes one number from single numbers."""
    op = node.op
    if op is None or op.family != "elementwise" or op.again is not None:
        return False
    return math.prod(node.type.shape) == 1


@dataclass
class Spread:
    """An array that is the sum of some nodes, and of slots at some of its elements."""

    at: dict[int, int] = field(default_factory=dict)  # by number of the element
    parts: tuple[Node, ...] = ()


class Scalars:
    """The columns of a region whose operations on single numbers are mostly of one dtype.

    code, operands, stage   of slots
    numbers                 the values of those that are numbers
    home, place             where those are that are elements: the number of the array, from 1 on,
                            and which element
    given                   these arrays, and the stage of the slots that can read them
    single                  the nodes of those that are not elements, but nodes with one element
    zero                    the slot of 0
    slots, spread           what nodes are, where they are made of slots
    rest                    the other operations, by the stage of the slots they can be read for
    wanted                  nodes made of slots that the others read, or that are results
    """

    def __init__(self, region: Region, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.code: list[int] = []
        self.operands: list[tuple[int, int, int]] = []
        self.stage: list[int] = []
        self.numbers: dict[int, float] = {}
        self.home: list[int] = []
        self.place: list[int] = []
        self.given: dict[Node, int] = {}
        self.single: dict[int, Node] = {}
        self.slots: dict[Node, int] = {}
        self.spread: dict[Node, Spread] = {}
        self.rest: dict[Node, int] = {}
        self.wanted: dict[Node, None] = {}
        self.kinds: list[Kind] = list(KINDS)
        self._codes: dict[Any, int] = {}
        self._known: dict[Any, int] = {}  # slots that are not computed, by what they are
        self._homes: dict[Any, int] = {}
        self._elements: dict[Node, tuple[Node, np.ndarray]] = {}
        self._read: dict[Node, int] = {}
        self.zero = self.number(0.0)
        self._inputs = set(region.inputs)
        operations = region.operations
        self._uses = Counter(i for n in operations for i in n.inputs)
        self._uses.update(region.outputs)
        for node in operations:
            if not self._scalar(node):
                assert node.op is not None
                rule = _RULES.get(node.op.name)
                if rule is None or not rule(self, node):
                    self._other(node)
        for node in region.outputs:
            self._want(node)

    # -- slots -------------------------------------------------------------------------------------

    def record(self, op: Op, attrs: dict[str, Any], dtypes: tuple, operands: list[int]) -> int:
        """The slot of an operation on slots of these dtypes."""
        code = self._code_of(op, attrs, dtypes)
        first, second, third = (*operands, -1, -1)[:3]
        stage = max([self.stage[i] for i in operands])
        return self._new(code, stage, operands=(first, second, third))

    def _new(
        self,
        code: int,
        stage: int,
        home: int = 0,
        place: int = 0,
        operands: tuple[int, int, int] = (-1, -1, -1),
    ) -> int:
        self.code.append(code)
        self.stage.append(stage)
        self.operands.append(operands)
        self.home.append(home)
        self.place.append(place)
        return len(self.code) - 1

    def _code_of(self, op: Op, attrs: dict[str, Any], dtypes: tuple) -> int:
        """The tape's code for an operation on the dtype that most have, a new one for others."""
        key = (op.name, tuple(attrs.items()), dtypes)
        code = self._codes.get(key)
        if code is None:
            if op.name in code_of and not attrs and {*dtypes} == {self.dtype}:
                code = code_of[op.name]
            else:
                code = FIRST_OPERATION + len(self.kinds)
                self.kinds.append(Kind(op, attrs))
            self._codes[key] = code
        return code

    def number(self, x: float) -> int:
        """The slot of a number."""
        key = (x, math.copysign(1.0, x))  # 0.0 and -0.0 are two
        slot = self._known.get(key)
        if slot is None:
            slot = self._known[key] = self._new(NUMBER, 0)
            self.numbers[slot] = x
        return slot

    def slot(self, node: Node) -> int:
        """The slot of a node with one element."""
        slot = self.slots.get(node)
        if slot is None:
            slot = self._read.get(node)
            if slot is None:
                slot = self._read[node] = self._leaf_at(node, 0)
        return slot

    def _leaf_at(self, node: Node, number: int) -> int:
        """The slot of an element of an array that is not computed here."""
        base, places = self._found(node)
        if isinstance(base.value, np.ndarray) and base.type.dtype == self.dtype:
            return self.number(float(base.value.reshape(-1)[places.reshape(-1)[number]]))
        if base in self.slots:
            return self.slots[base]
        if math.prod(base.type.shape) == 1:
            return self._alone(base)
        return self._element(base, int(places.reshape(-1)[number]))

    def _element(self, base: Node, place: int) -> int:
        key = (base, place)
        slot = self._known.get(key)
        if slot is None:
            home = self._homes.setdefault(base, len(self._homes) + 1)
            stage = self.given.setdefault(base, self._stage_behind(base))
            slot = self._known[key] = self._new(LEAF, stage, home, place)
        return slot

    def _alone(self, node: Node) -> int:
        """The slot of a node that has one element."""
        slot = self._known.get(node)
        if slot is None:
            slot = self._known[node] = self._new(LEAF, self._stage_behind(node))
            self.single[slot] = node
        return slot

    def _found(self, node: Node) -> tuple[Node, np.ndarray]:
        """The node whose elements a node shows, and which."""
        found = self._elements.get(node)
        if found is None:
            if node not in self.spread and node not in self._inputs and _moves(node):
                base, places = self._found(node.inputs[0])
                found = base, _moved(node, places)
            else:
                found = node, _numbers(node.type.shape)
            self._elements[node] = found
        return found

    # -- nodes -------------------------------------------------------------------------------------

    def _scalar(self, node: Node) -> bool:
        """Take in an operation on single numbers."""
        if not is_scalar(node):
            return False
        op, inputs = node.op, node.inputs
        assert op is not None
        slots = [self.slot(i) for i in inputs]
        dtypes = tuple([i.type.dtype for i in inputs])
        self.slots[node] = self.record(op, node.attrs, dtypes, slots)
        return True

    def _other(self, node: Node) -> bool:
        for i in node.inputs:
            self._want(i)
        self.rest[node] = max([self._stage_behind(i) for i in node.inputs], default=0)
        return True

    def _want(self, node: Node) -> None:
        if node in self.slots or node in self.spread:
            self.wanted[node] = None

    def stage_of(self, node: Node) -> int:
        """The stage of what a node is made of."""
        if node in self.slots:
            return self.stage[self.slots[node]]
        spread = self.spread[node]
        found = [self.stage[slot] for slot in spread.at.values()]
        return max([*found, *(self._stage_behind(p) for p in spread.parts)], default=0)

    def _stage_behind(self, node: Node) -> int:
        """The stage of the slots that can read a node."""
        if node in self.slots or node in self.spread:
            return self.stage_of(node) + 1
        return self.rest.get(node, 0)

    def _seen(self, node: Node) -> Spread | None:
        """A node that is made of slots, as an array."""
        if node in self.slots:
            return Spread({0: self.slots[node]})
        return self.spread.get(node)

    def _enter(self, node: Node, spread: Spread) -> bool:
        """Remember what a node is made of."""
        if math.prod(node.type.shape) == 1 and not spread.parts:
            self.slots[node] = spread.at.get(0, self.zero)
        else:
            self.spread[node] = spread
        return True

    # -- rules: whether a node could be taken in -----------------------------------------------

    def move(self, node: Node) -> bool:
        """Slots in other places."""
        x = self._seen(node.inputs[0])
        if x is None or x.parts or not self._small(node) or not _moves(node):
            return False
        if node.op is not None and node.op.name == "reshape":
            return self._enter(node, self._own(node.inputs[0], x))
        places = _moved(node, _numbers(node.inputs[0].type.shape)).reshape(-1).tolist()
        found = {k: x.at[i] for k, i in enumerate(places) if i in x.at}
        return self._enter(node, Spread(found))

    def put(self, node: Node) -> bool:
        """Slots among zeros."""
        x, attrs = self._followed(node.inputs[0]), node.attrs
        if x is None or node.type.dtype != self.dtype:
            return False
        shapes = node.inputs[0].type.shape, node.type.shape
        axes = list(zip(*shapes, attrs["starts"], attrs["steps"]))
        return self._enter(node, Spread({_placed(k, axes): slot for k, slot in x.items()}))

    def join(self, node: Node) -> bool:
        """Slots one behind the other."""
        made = any(i in self.slots or i in self.spread for i in node.inputs)
        parts = [self._followed(i) for i in node.inputs] if made and self._small(node) else [None]
        slots = []
        for i, x in zip(node.inputs, parts):
            if x is None:
                return False
            dense = np.full(math.prod(i.type.shape), self.zero)
            dense[list(x)] = list(x.values())
            slots.append(dense.reshape(i.type.shape))
        whole = np.concatenate(slots, node.attrs["axis"]).reshape(-1).tolist()
        return self._enter(node, Spread({k: s for k, s in enumerate(whole) if s != self.zero}))

    def total(self, node: Node) -> bool:
        """Sums over axes of slots."""
        source = node.inputs[0]
        x = self._seen(source)
        if x is None or x.parts or not self._small(source):
            return False
        shape = source.type.shape
        kept = tuple(1 if i in node.attrs["axis"] else n for i, n in enumerate(shape))
        places = np.broadcast_to(_numbers(kept), shape).reshape(-1)
        found: dict[int, int] = {}
        for number, slot in sorted(x.at.items()):
            self._put(found, int(places[number]), slot)
        return self._enter(node, Spread(found))

    def write(self, node: Node) -> bool:
        """Slots written or added at known places of a vector."""
        x, v, *indices = node.inputs
        index = indices[0].value
        if not self._small(node) or not isinstance(index, np.ndarray) or len(x.type.shape) != 1:
            return False
        written = self._followed(v)
        if written is None or index.shape != v.type.shape:
            return False
        into = self._seen(x) or Spread({k: self._leaf_at(x, k) for k in range(x.type.shape[0])})
        if into.parts:
            return False
        into = self._own(x, into)
        for k, place in enumerate(index.reshape(-1).tolist()):
            slot, place = written.get(k, self.zero), place % x.type.shape[0]
            if node.attrs["mode"] == "set":
                into.at[place] = slot
            else:
                self._put(into.at, place, slot)
        return self._enter(node, into)

    def _small(self, node: Node) -> bool:
        """Whether a node is an array to be followed number by number."""
        return node.type.dtype == self.dtype and math.prod(node.type.shape) <= LARGEST

    def _followed(self, node: Node) -> dict[int, int] | None:
        """The slots of an array, if it has no other parts; also of one that is not computed here
        and has one element."""
        x = self._seen(node)
        if x is None and math.prod(node.type.shape) == 1 and node.type.dtype == self.dtype:
            x = Spread({0: self.slot(node)})
        return None if x is None or x.parts else x.at

    def _put(self, at: dict[int, int], number: int, slot: int) -> None:
        """Add a slot to an element."""
        old = at.get(number)
        at[number] = slot if old is None else self._sum([old, slot])

    def add(self, node: Node) -> bool:
        """A sum of arrays."""
        x, y = node.inputs
        shapes = {i.type.shape for i in (x, y, node)}
        if len(shapes) > 1 or node.type.dtype != self.dtype:
            return False
        a, b = self._seen(x), self._seen(y)
        if a is None and b is None:
            return False
        large, small = self._own(x, a), b or Spread(parts=(y,))
        if len(small.at) > len(large.at):
            large, small = self._own(y, b), a or Spread(parts=(x,))
        for number, slot in [*small.at.items()]:
            self._put(large.at, number, slot)
        return self._enter(node, Spread(large.at, (*large.parts, *small.parts)))

    def _own(self, node: Node, spread: Spread | None) -> Spread:
        """What a node is made of, to be changed: nobody else looks at it any more."""
        if spread is None:
            return Spread(parts=(node,))
        return spread if self._uses[node] == 1 else Spread(dict(spread.at), spread.parts)

    def _sum(self, slots: list[int]) -> int:
        return self.record(KINDS[ADD - FIRST_OPERATION].op, NO_ATTRS, (self.dtype,) * 2, slots)


def _moves(node: Node) -> bool:
    """Whether a node shows elements of its first input, in known places."""
    if node.op is None or node.op.name not in MOVES:
        return False
    return all(isinstance(i.value, np.ndarray) for i in node.inputs[1:])


def _moved(node: Node, x: np.ndarray) -> np.ndarray:
    """What a node that moves elements makes of an array."""
    assert node.op is not None
    return node.op.value(x, *[i.value for i in node.inputs[1:]], **node.attrs)


def _numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


def _placed(number: int, axes: list[tuple[int, int, int, int]]) -> int:
    """Where an element of a box is in the array that the box stands in.

    axes  (size of the box, size of the array, start, step) of each axis

    >>> _placed(3, [(2, 10, 4, 1), (2, 10, 0, 5)])
    55
    """
    place, stride = 0, 1
    for inner, outer, start, step in reversed(axes):
        number, i = divmod(number, inner)
        place += (start + i * step) * stride
        stride *= outer
    return place


_RULES: dict[str, Callable[[Scalars, Node], bool]] = {
    **dict.fromkeys(MOVES, Scalars.move),
    "place": Scalars.put,
    "concat": Scalars.join,
    "add": Scalars.add,
    "sum": Scalars.total,
    "scatter": Scalars.write,
}

ADD = code_of["add"]
