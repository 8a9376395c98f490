"""A loop of the kernel IR as LLVM text: rows, and vectors along each row.

What does not vary along a row is computed once for it, and what does not vary at all once.  A fold
over the row divides the work on it into phases: each phase walks the row once, and what a later
phase needs again waits in a row on the stack, unless computing it again is cheaper.  May import the
floor, kernel, runtime and the writers of LLVM text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..dtypes import bool_
from ..graph.node import Node
from ..kernel.group import CHEAP
from ..kernel.ir import Loop, View
from .axes import walked
from .lanes import Value, computed
from .module import Module
from .nest import Nest, Pointers
from .vector import Vector

ONCE, ROW, ELEMENT = 0, 1, 2  # how often a value is computed
LIGHT = 6  # nodes in the body of a fold that is worth several accumulators
CHAINS = 4  # accumulators, since an addition takes as many cycles
AGAIN = 3  # cheap nodes that are rather computed again than kept


@dataclass
class _Row:
    """What is known while a row is being walked.

    values   of the levels ONCE and ROW
    bases    where the row begins in memory
    kept     where on the stack a row of values is
    vector   the values of level ELEMENT, if the row is one vector, which stays in registers
    """

    values: dict[Node, Value] = field(default_factory=dict)
    bases: dict[View, str] = field(default_factory=dict)
    kept: dict[Node, str] = field(default_factory=dict)
    vector: dict[Node, Value] = field(default_factory=dict)


class LoopWriter:
    """Writes the body of one loop.

    Rows that are walked several times go in pairs: while one waits for its lanes to be combined,
    the other is walked.  While one walk computes much, it fetches what the others would wait for.
    """

    def __init__(self, loop: Loop, module: Module, pointers: Pointers) -> None:
        self.loop = loop
        walk = walked(loop)
        *self.outer, self.n = walk.shape or (1,)
        self.last = len(walk.shape) - 1
        self.inputs, self.axes = walk.inputs, walk.axes
        self.sinks = {n: v for n, v in walk.outputs if self._is_sink(n)}
        self.outputs = [(n, v) for n, v in walk.outputs if n not in self.sinks]
        self.level: dict[Node, int] = {}
        self.phase: dict[Node, int] = {}
        self._classify()
        self.phases = 1 + max(self.phase.values(), default=0)
        self.kept: dict[Node, None] = {}  # what later phases need again
        self.work = [self._needed(p) for p in reversed(range(self.phases))][::-1]
        wide = [n for n, level in self.level.items() if level == ELEMENT] or list(self.level)
        sizes = [computed(n.type.dtype).itemsize for n in (*wide, *loop.folds)]
        width = module.host.vector_bytes if walk.shape else 16  # the shortest, for one element
        self.k = Vector(module, width // max(sizes))
        self.nest = Nest(self.k, pointers)
        self.single = self.n <= self.k.lanes
        self.row = _Row()
        self.together = 2 if loop.phased and self.outer and self.outer[-1] % 2 == 0 else 1
        if self.together > 1:
            self.outer[-1] //= self.together

    @property
    def units(self) -> int:
        """Parts of the loop that threads may share: indices of the outermost axis."""
        return 1 if self.sinks or not self.outer else self.outer[0]

    def text(self, shared: bool) -> list[str]:
        """The lines of a function that computes all units, or if shared %first..%last - 1."""
        k, nest = self.k, self.nest
        for node, view in self.inputs.items():
            if self.level[node] == ONCE:
                self.row.values[node] = k.spread(view.dtype, nest.base(view, []))
        self._compute(ONCE, 0)
        for node, view in self.sinks.items():
            self._fill(self.loop.folds[node].combine, view)
        limits = ("%first", "%last") if shared else None
        with nest.loops(self.outer, limits) as indices:
            rows = [self._begin(number, indices) for number in range(self.together)]
            for p in range(self.phases):
                totals = []
                for self.row in rows:
                    self._compute(ROW, p)
                    totals.append(self._walk(p))
                for self.row, found in zip(rows, totals):
                    self._finish(found)
            for self.row in rows:
                for node, view in self.outputs:
                    if not _moves(view):
                        self._store_one(self._value(node, {}), view)
        return nest.text()

    def _begin(self, number: int, indices: list[str]) -> _Row:
        """One of the rows that are walked together."""
        row = _Row(dict(self.row.values))
        views = [*self.inputs.values(), *self.sinks.values(), *(v for _, v in self.outputs)]
        for view in views:
            row.bases[view] = self.nest.base(_of_row(view, number, self.together), indices)
        for node, view in self.inputs.items():
            if self.level[node] == ROW:
                row.values[node] = self.k.spread(view.dtype, row.bases[view])
        return row

    # -- what is computed when ---------------------------------------------------------------------

    def _classify(self) -> None:
        for node, view in self.inputs.items():
            varies = any(view.strides)
            self.level[node] = ELEMENT if _moves(view) else ROW if varies else ONCE
            self.phase[node] = 0
        for node in self.loop.nodes:
            sources = self._sources(node)
            level = max((self.level[i] for i in sources), default=ONCE)
            phase = max((self.phase[i] for i in sources), default=0)
            if self.axes.get(node):
                level, phase = ROW, phase + (not self._is_sink(node))
            self.level[node], self.phase[node] = level, phase

    def _is_sink(self, node: Node) -> bool:
        """Whether the node is a fold over more than the row, complete only after the loop."""
        return bool(self.axes.get(node)) and self.axes[node] != (self.last,)

    def _sources(self, node: Node) -> list[Node]:
        return [self.loop.same.get(i, i) for i in node.inputs]

    def _folded(self, phase: int) -> list[Node]:
        """The folds for which a phase walks the row."""
        return [
            node
            for node, axes in self.axes.items()
            if (self.last in axes or (axes and _moves(self.sinks[node])))
            and self.phase[self._sources(node)[0]] == phase
        ]

    def _stored(self, phase: int) -> list[tuple[Node, View]]:
        """The outputs that a phase stores while it walks the row."""
        return [(n, v) for n, v in self.outputs if _moves(v) and self.phase[n] == phase]

    def _needed(self, phase: int) -> list[Node]:
        """The nodes of level ELEMENT that a phase computes or loads, in order."""
        wanted = {n for n, _ in self._stored(phase)}
        wanted |= {self._sources(n)[0] for n in self._folded(phase)}
        wanted |= {n for n in self.kept if self.phase[n] == phase}
        for node in reversed(self.loop.nodes):
            if node not in wanted or self.level[node] != ELEMENT:
                continue
            if self.phase[node] < phase and not self._cheap(node):
                self.kept[node] = None
                continue
            wanted.update(self._sources(node))
        order = [*self.inputs, *self.loop.nodes]
        return [n for n in order if n in wanted and self.level[n] == ELEMENT]

    def _cheap(self, node: Node) -> bool:
        """Whether a node is rather computed again than kept."""
        count, stack = 0, [node]
        while stack:
            n = stack.pop()
            if n in self.inputs or self.level[n] != ELEMENT:
                continue
            count += 1
            if n.op is None or n.op.name not in CHEAP or count > AGAIN:
                return False
            stack += self._sources(n)
        return True

    # -- values ------------------------------------------------------------------------------------

    def _value(self, node: Node, known: dict[Node, Value]) -> Value:
        node = self.loop.same.get(node, node)
        return known[node] if node in known else self.row.values[node]

    def _apply(self, node: Node, known: dict[Node, Value]) -> Value:
        """The value of an elementwise node, or of a fold over axes of size 1."""
        inputs = [self._value(i, known) for i in node.inputs]
        dtype = computed(node.type.dtype)
        if node in self.axes:
            return self.k.cast(inputs[0], dtype)
        assert node.op is not None and node.op.kernel is not None
        result = node.op.kernel(self.k, *inputs, **node.attrs)
        return result if isinstance(result, Value) else self.k.constant(result, dtype)

    def _compute(self, level: int, phase: int) -> None:
        """What does not vary along the row and is known before a phase."""
        for node in self.loop.nodes:
            ready = self.phase[node] == phase and self.level[node] == level
            if ready and not self.axes.get(node):
                self.row.values[node] = self._apply(node, {})
        for node, view in self.sinks.items():
            x = self._sources(node)[0]
            single = self.last not in self.axes[node] and not _moves(view)
            if level == ROW and single and self.phase[x] == phase:
                self._add_one(node, self._value(x, {}))

    # -- the row -----------------------------------------------------------------------------------

    def _walk(self, phase: int) -> list[tuple[Node, Value]]:
        """Walk the row once; returns the folds over it, their lanes still apart."""
        k, nest, folded, stored = self.k, self.nest, self._folded(phase), self._stored(phase)
        for node in self.kept:
            if self.phase[node] == phase and not self.single:
                self.row.kept[node] = nest.row(computed(node.type.dtype), self.n)
        across = [n for n in folded if self.last in self.axes[n]]
        idle = phase == self.phases - 2 and not self.single and self._costly(phase)
        if not (folded or stored or self.work[phase]):
            return []
        nothing = [self._nothing(self.loop.folds[n].combine, n.type.dtype) for n in across]

        def body(i: str, mask: Value | None, totals: list[Value]) -> list[Value]:
            known = self.row.vector if self.single else {}
            if idle:
                self._fetch(i)
            for node in self.work[phase]:
                if node not in known:
                    known[node] = self._element(node, phase, known, i, mask)
            for node, view in stored:
                nest.store(self._value(node, known), view, self.row.bases[view], i, mask)
            found: list[Value] = []
            for node in folded:
                x = k.cast(self._value(node.inputs[0], known), computed(node.type.dtype))
                if node not in across:
                    self._add_row(node, x, i, mask)
                    continue
                at = len(found)
                if mask is not None:
                    x = k.select(mask, x, nothing[at])
                found.append(self._combined(node, totals[at], x))
            return found

        light = bool(across) and len(self.work[phase]) <= LIGHT
        chains = CHAINS if light and self.n >= 2 * CHAINS * k.lanes else 1
        totals = nest.vectors(self.n, nothing * chains, body, chains)
        found = []
        for number, node in enumerate(across):
            total, *rest = totals[number :: len(across)]
            for other in rest:
                total = self._combined(node, total, other)
            found.append((node, total))
        return found

    def _costly(self, phase: int) -> bool:
        """Whether a phase computes for so long that the second-level cache is idle meanwhile."""
        nodes = [n for n in self.work[phase] if n not in self.inputs]
        return any(n.op is not None and n.op.name not in CHEAP for n in nodes)

    def _fetch(self, i: str) -> None:
        """Fetch what other phases would wait for: where the last one stores, and the next rows."""
        for _, view in self._stored(self.phases - 1):
            if view.strides[-1] == 1:
                self.nest.fetch(view, self.row.bases[view], i, to_store=True)
        for view in self.inputs.values():
            step = view.strides[-2] * self.together if len(view.strides) > 1 else 0
            if step and view.strides[-1] == 1:
                self.nest.fetch(view, self.row.bases[view], self.nest.index(i, 1, step))

    def _finish(self, found: list[tuple[Node, Value]]) -> None:
        """Combine the lanes of folds."""
        for node, total in found:
            whole = self.nest.horizontal(self.loop.folds[node].combine, total)
            if node in self.sinks:
                self._add_one(node, whole)
            else:
                self.row.values[node] = whole

    def _element(
        self, node: Node, phase: int, known: dict[Node, Value], i: str, mask: Value | None
    ) -> Value:
        """A value of level ELEMENT at the elements i, i + 1, ..."""
        if node in self.inputs:
            view = self.inputs[node]
            return self.nest.load(view, self.row.bases[view], i, mask)
        dtype = computed(node.type.dtype)
        row = self.row.kept.get(node)
        if row and self.phase[node] < phase:
            return self.k.load(dtype, row, i)
        value = self._apply(node, known)
        if row:
            self.k.store(value, dtype, row, i)
        return value

    # -- folds -------------------------------------------------------------------------------------

    def _combined(self, node: Node, x: Value, y: Value) -> Value:
        k, combine = self.k, self.loop.folds[node].combine
        return x + y if combine == "add" else k.max(x, y) if combine == "max" else k.min(x, y)

    def _nothing(self, combine: str, dtype: np.dtype) -> Value:
        """What changes nothing when it is combined with."""
        dtype = computed(dtype)
        number: float | bool = 0
        if combine != "add" and dtype.kind == "f":
            number = -math.inf if combine == "max" else math.inf
        elif combine != "add" and dtype == bool_:
            number = combine == "min"
        elif combine != "add":
            limits = np.iinfo(dtype)
            number = int(limits.min if combine == "max" else limits.max)
        return self.k.constant(number, dtype)

    def _fill(self, combine: str, view: View) -> None:
        """Nothing in all places of a sink, before it adds up."""
        flat = View(view.buffer, (view.buffer.size,), (1,))
        base, nothing = self.nest.base(flat, []), self._nothing(combine, view.dtype)

        def body(i: str, mask: Value | None, state: list[Value]) -> list[Value]:
            self.nest.store(nothing, flat, base, i, mask)
            return state

        self.nest.vectors(view.buffer.size, [], body)

    def _add_row(self, node: Node, x: Value, i: str, mask: Value | None) -> None:
        """Combine a vector with what stands in the sink for these elements."""
        view = self.sinks[node]
        before = self.nest.load(view, self.row.bases[view], i, mask)
        self.nest.store(self._combined(node, before, x), view, self.row.bases[view], i, mask)

    def _add_one(self, node: Node, x: Value) -> None:
        """Combine a number with what stands in the sink for this row."""
        view = self.sinks[node]
        before = self.k.spread(view.dtype, self.row.bases[view])
        self._store_one(self._combined(node, before, self.k.cast(x, before.dtype)), view)

    def _store_one(self, x: Value, view: View) -> None:
        number = self.nest.first_lane(self.k.pack(x, view.dtype))
        self.nest.store_one(number, view, self.row.bases[view])


def _of_row(view: View, number: int, together: int) -> View:
    """The view of every row of that number, of so many that are walked together."""
    if together == 1:
        return view
    *outer, step, inner = view.strides
    return View(
        view.buffer, view.shape, (*outer, step * together, inner), view.offset + number * step
    )


def _moves(view: View) -> bool:
    """Whether the elements along the row are different ones."""
    return bool(view.strides) and view.strides[-1] != 0
