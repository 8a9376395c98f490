"""A plan: what the native entry checks and does for calls of one form (see `runtime/entry.py`).

It is made in Python after a call has gone well, from what that call was like.  May import the
floor, capture and the rest of runtime.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..config import NO_GRAD, USUAL, changes, modes, nothing, unusual_threads
from ..graph.node import Node
from ..reads import Content, Entry, Items
from ..tensor import Tensor
from ..tree import LEAF, Structure, unflatten
from .entry import CHECKS, PLAN, entry as entry
from .launch import RESULTS
from .layout import Layout, address_of, layout, word_at
from .program import EMPTY, Program
from .results import LARGE, Memory
from .variant import Call, Variant, holder, made, tapeless

_READABLE, _WRITEABLE = 0x101, 0x501  # flags of an array: contiguous and aligned, and writeable
_NUMBERS = {
    (float, "float64"): "NUMBER",
    (int, "float64"): "WHOLE",
    (int, "int64"): "INTEGER",
    (bool, "bool"): "TRUTH",
}
_VALUES = {"float64": "FLOAT64", "float32": "FLOAT32", "int64": "INT64", "bool": "BOOL"}
_CHECK = {name: i for i, name in enumerate(CHECKS)}
_RESULT = {name: i for i, name in enumerate(RESULTS)}


class Plan:
    """Words for the entry, and all memory and objects that they refer to.

    ready  a list of one tuple: the next result and the arrays of its tensors, which the program
           fills; empty where results are built from numbers
    """

    def __init__(self, variant: Variant, call: Call, calls: array, slow: Any) -> None:
        found = layout()
        assert found is not None
        self.program: Program = variant.program
        self.seen = _seen(variant, call)
        self.kept: list[Any] = []  # objects whose addresses stand in the words
        self.ready: list[tuple] = []
        self._inputs = array("q", bytes(8 * len(call.values)))
        self._held = array("q", bytes(8 * len(call.values)))
        self._opened = array("q", bytes(8 * len(call.values)))
        self._entered: list[tuple[int, int]] = []  # places in the table, and addresses for them
        self.checks = self._checks(variant, call, found)
        self._result, self._values, self._outputs = array("q"), array("q"), array("q")
        self._prepare: Callable[[], tuple] | None = None
        if _returns_values(variant):
            self._result = self._built(variant)
        else:
            self._prepare = _preparation(variant)
            views = self._result_views(variant)
            self._outputs = array("q", [*(self._place(v.buffer) for v in views), 0])
        self._last: list[Any] = [None]
        self._fail = self.program.fail
        self.kept += [calls, slow]
        words = {
            "SLOW": id(slow),
            "CHECKS": _begin(self.checks),
            "MODE": USUAL if modes.grad else NO_GRAD,
            "THREADS": _begin(unusual_threads),
            "COUNT": call.positional,
            "KEYWORDS": len(call.names),
            "OPENED": _begin(self._opened),
            "WORDS": _begin(self.program.words),
            "CALLS": _begin(calls),
            "OWNER": id(self),
            "RUN": self.program.address,
            "FIRST": self.program.first,
            "RELEASE": self.program.long,
            "FAIL": id(self._fail),
            "HELD": _begin(self._held),
            "HOLDING": self._holding,
            "RESULT": _begin(self._result) if self._result else 0,
            "VALUES": _begin(self._values),
            "VALUE_COUNT": len(self._values),
            "KEEP": id(self._last) if self._can_refill() else 0,
            "READY": id(self.ready),
            "PREPARE": id(self._prepare),
            "OUTPUTS": _begin(self._outputs),
            "FLOAT": id(float),
            "INT": id(int),
            "FALSE": id(False),
            "TRUE": id(True),
            "NONE": id(None),
            "ARRAY": id(np.ndarray),
            "TENSOR": id(Tensor),
            "VERTEX": id(Node),
        }
        self.words = array("q", [int(words.get(name, 0)) for name in PLAN])

    @property
    def address(self) -> int:
        """Where the words begin."""
        return _begin(self.words)

    def before(self, other: Plan | None) -> None:
        """Let the entry try the other plan where this one does not fit."""
        self.words[PLAN.index("NEXT")] = 0 if other is None else other.address

    def current(self, variant: Variant, call: Call) -> bool:
        """Whether the plan fits a call as this one was, if the guards hold."""
        now = _seen(variant, call)
        return len(now) == len(self.seen) and all(map(operator.is_, now, self.seen))

    def renew(self, variant: Variant) -> None:
        """Let native code run the program again; the caller has claimed it."""
        self.checks[self._changes] = variant.checked
        for place, address in self._entered:
            self.program.table[place] = address
        if self._prepare is not None:
            self.ready[:] = [self._prepare()]
            for view, x in zip(self._result_views(variant), self.ready[0][1:]):
                self.program.table[self.program.place[view.buffer]] = address_of(x)
        self.program.words[EMPTY] = 0

    def _place(self, buffer: Any) -> int:
        """The address of a buffer's entry in the table."""
        return _begin(self.program.table) + 8 * self.program.place[buffer]

    def _result_views(self, variant: Variant) -> list[Any]:
        return self.program.kernels.outputs[: variant.captured.results]

    # -- checks ------------------------------------------------------------------------------------

    def _checks(self, variant: Variant, call: Call, found: Layout) -> array:
        """The instructions, what fails most often first."""
        words = [word for check in self._arguments(call) for word in check]
        words += [_CHECK["WORD"], _begin(changes.cell), variant.checked]
        self._changes = len(words) - 1
        for check in (*self._reads(variant, found), *self._states(variant, found)):
            words += check
        for check in self._distances(variant):
            words += check
        return array("q", [*words, _CHECK["DONE"]])

    def _keep(self, x: Any) -> int:
        self.kept.append(x)
        return id(x)

    def _arguments(self, call: Call) -> Iterator[list[int]]:
        self._given: list[tuple[int, int]] = []  # inputs that are arrays: place in the table, bytes
        buffers = iter(self.program.inputs)
        for number in call.order:
            x = call.values[number]
            if number in call.opened:
                yield self._tree(number, x, call.opened[number])
                continue
            if call.is_fixed(number, x):
                yield [_CHECK["SAME"], number, self._keep(x)]
                continue
            buffer = next(buffers)
            kind = _NUMBERS.get((type(x), buffer.dtype.name))
            if kind is not None:
                address = _begin(self._inputs) + 8 * number
                self._entered.append((self.program.place[buffer], address))
                yield [_CHECK[kind], number, address]
            else:
                place, held = self._place(buffer), len(self._given)
                self._given.append((place, buffer.bytes))
                wanted = self._array(buffer.dtype, _READABLE, x.shape)
                tracked = self._keep(tapeless(x)) if modes.grad else 0  # 0: any
                yield [_CHECK["INPUT"], number, place, held, tracked, *wanted]
        self._holding = len(self._given)
        for number, name in enumerate(call.names):
            yield [_CHECK["NAME"], number, self._keep(name)]

    def _tree(self, number: int, x: Any, first: int) -> list[int]:
        """What a container must be."""
        keys = list(x) if isinstance(x, dict) else []
        check = "IN_DICT" if isinstance(x, dict) else "IN_LIST" if type(x) is list else "IN_TUPLE"
        kind = self._keep(type(x))
        return [_CHECK[check], number, kind, first, len(x), *map(self._keep, keys)]

    def _array(self, dtype: np.dtype, flags: int, shape: tuple[int, ...]) -> list[int]:
        """What an array must be."""
        return [self._keep(np.dtype(dtype.type)), flags, len(shape), *shape]

    def _reads(self, variant: Variant, found: Layout) -> Iterator[list[int]]:
        for place in variant.reads.places:
            now = [0 if x is nothing else self._keep(x) for x in place.now()]
            match place:
                case Entry(scope, key):
                    yield [_CHECK["GLOBAL"], self._keep(scope), self._keep(key), *now]
                case Content(cell):
                    yield [_CHECK["WORD"], self._keep(cell) + found.content, *now]
                case Items(list() as x):
                    items = word_at(id(x) + found.list_items)
                    yield [_CHECK["WORD"], self._keep(x) + found.length, len(now)]
                    yield [_CHECK["WORD"], id(x) + found.list_items, items]
                    for i, item in enumerate(now):
                        yield [_CHECK["WORD"], items + 8 * i, item]
                case Items(dict() as x):
                    yield [_CHECK["WORD"], self._keep(x) + found.dict_length, len(x)]
                    for key, value in x.items():
                        yield [_CHECK["GLOBAL"], id(x), self._keep(key), self._keep(value)]

    def _states(self, variant: Variant, found: Layout) -> Iterator[list[int]]:
        captured = variant.captured
        for x in [*captured.absent, *(x for x, _ in captured.gradients)]:
            yield [_CHECK["WORD"], self._keep(x) + found.gradient, id(None)]
        for x, marker in variant.used_up:
            yield [_CHECK["WORD"], self._keep(x) + found.gradient, self._keep(marker)]
        count = len(self.program.inputs) - len(captured.state)
        for state, buffer in zip(captured.state, self.program.inputs[count:]):
            x, value = holder(state), state.value()
            assert value is not None
            if state.gradient:
                yield [_CHECK["WORD"], self._keep(state.tensor) + found.gradient, self._keep(x)]
            flags = _READABLE if state.new is None else _WRITEABLE
            tracked = self._keep(x.node.requires_grad)
            wanted = self._array(value.dtype, flags, value.shape)
            place = self._place(buffer)
            yield [_CHECK["STATE"], self._keep(x), self._keep(value), tracked, place, *wanted]
            if state.new is not None:
                yield [_CHECK["UNTAPED"], id(x)]

    def _distances(self, variant: Variant) -> Iterator[list[int]]:
        """Inputs must not lie in memory that is written to."""
        for state in variant.captured.written:
            value = state.value()
            assert value is not None
            begin = address_of(value)
            for place, bytes in self._given:
                if bytes and value.nbytes:
                    yield [_CHECK["APART"], place, bytes, begin, begin + value.nbytes]

    # -- results -----------------------------------------------------------------------------------

    def _built(self, variant: Variant) -> array:
        """The instructions that make the result from numbers."""
        views = self._result_views(variant)
        self._values = array("q", bytes(8 * len(views)))
        for i, view in enumerate(views):
            self._entered.append((self.program.place[view.buffer], _begin(self._values) + 8 * i))
        words: list[int] = []
        numbers = iter(range(len(views)))
        leaves = iter(zip(variant.outputs, variant.others))

        def emit(structure: Structure) -> None:
            if structure.kind is None:
                y, other = next(leaves)
                if y is None:
                    words.extend([_RESULT["THING"], self._keep(other)])
                else:
                    number = next(numbers)
                    words.extend([_RESULT[_VALUES[views[number].dtype.name]], number])
            elif structure.kind is type(None):
                words.extend([_RESULT["THING"], id(None)])
            else:
                kind = "TUPLE" if structure.kind is tuple else "LIST"
                words.extend([_RESULT[kind], len(structure.children)])
                for child in structure.children:
                    emit(child)

        if _is_simple(variant.structure):
            emit(variant.structure)
        else:
            words += [_RESULT["APPLY"], self._keep(partial(unflatten, variant.structure))]
            emit(Structure(tuple, (), (LEAF,) * len(variant.outputs)))
        return array("q", words)

    def _can_refill(self) -> bool:
        """Whether the result is made of tuples and floats, which nobody can tell from new ones."""
        again = {_RESULT[name] for name in ("FLOAT64", "TUPLE", "THING")}
        return bool(self._result) and again.issuperset(self._result[::2])


def plan_for(variant: Variant, call: Call, calls: array, slow: Any) -> Plan | None:
    """A plan for calls such as this one, which went well; None where Python must do them.

    calls  its first word counts the calls that native code has done
    slow   the function for all calls that fit no plan
    """
    if any(g is not None for _, g in variant.captured.gradients) or variant.captured.changed:
        return None  # a gradient that is kept is a new array at each call
    if not (_returns_values(variant) or _returns_tensors(variant)):
        return None
    if not all(map(_is_state, _values(variant))):
        return None
    if any(isinstance(x, Items) and isinstance(x.container, set) for x in variant.reads.places):
        return None
    if not variant.reads.hold():
        return None  # the function itself changes what it reads
    return Plan(variant, call, calls, slow)


def _begin(memory: array) -> int:
    return memory.buffer_info()[0]


def _values(variant: Variant) -> list[Any]:
    return [s.value() for s in variant.captured.state]


def _seen(variant: Variant, call: Call) -> list[Any]:
    """The objects that the plan for a call names."""
    holders = map(holder, variant.captured.state)
    reads = variant.reads.now()
    return [call.positional, *call.names, *call.fixed, *reads, *holders, *_values(variant)]


def _is_state(value: Any) -> bool:
    """Whether native code can use an array as it is."""
    if type(value) is not np.ndarray:
        return False
    return value.flags.c_contiguous and value.flags.aligned


def _is_simple(structure: Structure) -> bool:
    """Whether a tree is made of tuples and lists only."""
    if structure.kind in (tuple, list):
        return all(map(_is_simple, structure.children))
    return structure.kind in (None, type(None))


def _result_types(variant: Variant) -> Sequence[Any]:
    return [y.node.type for y in variant.outputs if y is not None]


def _returns_values(variant: Variant) -> bool:
    """Whether the result is made of Python numbers and things that are there."""
    types = _result_types(variant)
    numbers = variant.numbers and all(t.shape == () and t.dtype.name in _VALUES for t in types)
    return not types or numbers


def _returns_tensors(variant: Variant) -> bool:
    return not (variant.numbers and any(t.shape == () for t in _result_types(variant)))


def _preparation(variant: Variant) -> Callable[[], tuple]:
    """What makes a result with tensors whose arrays are still to be filled."""
    types, structure = _result_types(variant), variant.structure
    memories = [partial(np.empty, *t) if _size(t) < LARGE else Memory(*t) for t in types]
    if structure == LEAF:
        [array_for], [tracked] = memories, variant.tracked

        def prepare_one() -> tuple:
            x = array_for()
            return made(x, tracked), x

        return prepare_one

    def prepare() -> tuple:
        arrays = [array_for() for array_for in memories]
        tensors = map(made, arrays, variant.tracked)
        leaves = [
            other if y is None else next(tensors)
            for y, other in zip(variant.outputs, variant.others)
        ]
        return unflatten(structure, leaves), *arrays

    return prepare


def _size(type: Any) -> int:
    """Bytes of an array of this type."""
    return math.prod(type.shape) * type.dtype.itemsize
