"""Straight code: a small scalar graph as native code without loops, one instruction a node.

    void forward(ptr arrays)    computes the slots of operations
    void backward(ptr arrays)   adds to the gradients of leaves and of outputs; sets those of other
                                operations in short code, else keeps the values of the leaves and
                                what the gradients of the outputs were

The arrays are four: values, gradients, shifts and what is kept.  Code speaks of rows; of each run
of rows whose slots lie one behind the other, `shifts` has the bytes from row to slot.  Formulas of
the same structure and the same runs share their code wherever in a storage they lie.

>>> import numpy as np
>>> code = np.array([LEAF, LEAF, code_of["add"], code_of["mul"]], np.uint8)  # (a + b) * a
>>> first, second = np.array([-1, -1, 0, 2], np.int32), np.array([-1, -1, 1, 0], np.int32)
>>> f = Straight(Columns(code, first, second, np.zeros(4), np.array([3])))
>>> values, gradients = np.array([2.0, 3.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0])
>>> f.forward(values)
>>> f.backward(values, gradients)
>>> values, gradients
(array([ 2.,  3.,  5., 10.]), array([7., 2., 2., 1.]))

Long code runs as fast as the processor can fetch it, so what few ask for has no instruction there:
the gradients of operations stay in registers, and the interpreter computes them from what was kept
when they are asked for.

The nodes of forward are divided into functions, since the time that LLVM takes to order many
stores grows faster than their number.  May import the floor, the back end, scalar.columns and
scalar.interpreted.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import float64
from ..kernel.scalars import FIRST_OPERATION, LEAF, NUMBER, code_of as code_of, name_of
from ..runtime.host import host
from ..runtime.layout import address_of
from ..runtime.llvm import Library, compile_text
from ..runtime.rules import contributions, needs, value
from ..targets.module import Module
from ..targets.vector import Value, Vector
from .columns import Columns
from .interpreted import Interpreted

_FORWARD, _BACKWARD = ("values", "shifts"), ("values", "gradients", "shifts", "kept")
_ARRAYS = _BACKWARD
_NODES = 64  # of a function of forward
_TELLS = 64  # operations up to which code is short
_SHORT = 8  # instructions; longer expressions are functions, which are called
# Letting other threads run meanwhile would take longer than the code does.
_Function = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

Expression = Callable[..., list[Any]]  # (k, *values) -> values


class Straight:
    """Runs columns; rows that no operation makes are leaves.

    told      slots of operations whose gradients backward sets at once
    hidden    whether gradients of the last backward are not in their slots yet
    """

    successor = None

    def __init__(self, columns: Columns) -> None:
        code = self._code = _code_for(columns)
        self._columns = columns
        outputs = columns.at(columns.outputs)
        made = np.flatnonzero(columns.code >= FIRST_OPERATION)
        self.told = outputs if code.hides else columns.at(made)
        self._forward = _Function(code.library.address("forward"))
        self._backward = _Function(code.library.address("backward"))
        self._kept = np.empty(len(code.leaves) + len(outputs))
        starts = code.starts
        self._shifts = (columns.at(starts) - starts) * float64.itemsize
        self._values = self._gradients = np.empty(0)  # of the last call, whose addresses are in:
        self._arrays = (ctypes.c_void_p * len(_ARRAYS))(
            0, 0, address_of(self._shifts), address_of(self._kept)
        )
        self._at = ctypes.addressof(self._arrays)
        self.hidden = False

    def forward(self, values: np.ndarray) -> None:
        """Compute the slots of operations."""
        if values is not self._values:
            self._values, self._arrays[0] = values, address_of(values)
        self._forward(self._at)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Carry the gradients of the outputs to the leaves."""
        if values is not self._values:
            self._values, self._arrays[0] = values, address_of(values)
        if gradients is not self._gradients:
            self._gradients, self._arrays[1] = gradients, address_of(gradients)
        self._backward(self._at)
        self.hidden = self._code.hides

    def settle(self, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Bring the gradients of operations to their slots: let the interpreter compute them."""
        if gradients is None or not self.hidden:
            return
        leaves = self._code.leaves
        plain, (numbers, seeds) = self._interpreted, np.split(self._kept, [len(leaves)])
        plain.gradients_for(values, gradients, plain.places(leaves), numbers, seeds)
        self.hidden = False

    @cached_property
    def _interpreted(self) -> Interpreted:
        return Interpreted(self._columns)

    def forget(self) -> None:
        """Drop the gradients that were not brought to their slots."""
        self.hidden = False


class _Code(NamedTuple):
    """The code of columns.

    leaves   rows whose values it keeps
    starts   the first rows of runs
    hides    whether it has no instructions for some gradients
    """

    library: Library
    leaves: np.ndarray
    starts: np.ndarray
    hides: bool


_known: dict[bytes, _Code] = {}  # code itself cannot be let go of


def _code_for(columns: Columns) -> _Code:
    """The code, of which there is one for columns that differ in slots and numbers only."""
    starts = np.zeros(1, np.int64)
    if columns.slots is not None:
        starts = np.flatnonzero(np.diff(columns.slots, prepend=-2) != 1)
    told = (*columns[:3], columns.outputs, starts)
    key = hashlib.sha256(repr([len(x) for x in told]).encode())
    for x in told:
        key.update(np.ascontiguousarray(x).tobytes())
    found = _known.get(key.digest())
    if found is None:
        writer = _Writer(columns, starts)
        library, leaves = compile_text(writer.text()), np.array(writer.leaves, np.int64)
        found = _known[key.digest()] = _Code(library, leaves, starts, writer.hides)
    return found


class _Writer:
    """Writes code; a slot is a row here."""

    def __init__(self, columns: Columns, starts: np.ndarray) -> None:
        code, first, second, outputs = *columns[:3], columns.outputs.tolist()
        self.nodes = np.flatnonzero(code >= FIRST_OPERATION).tolist()
        self.code = {i: int(code[i]) for i in self.nodes}
        self.operands = {
            i: [s for s in (int(first[i]), int(second[i])) if s >= 0] for i in self.nodes
        }
        read = {s for operands in self.operands.values() for s in operands}
        self.numbers = {s for s in read if code[s] == NUMBER}
        self.leaves = sorted(s for s in read if code[s] == LEAF)
        self.outputs = {slot: place for place, slot in enumerate(outputs, len(self.leaves))}
        self.tells = len(self.nodes) <= _TELLS
        self.hides = not self.tells and len(self.outputs) < len(self.nodes)
        used = np.array([*self.nodes, *read], np.int64)
        runs = np.searchsorted(starts, used, side="right") - 1
        self.run_of = dict(zip(used.tolist(), runs.tolist()))
        self.module = Module(host())
        self.calls: dict[str, list[str] | None] = {}
        self.pointers: set[tuple[str, Vector]] = set()  # that a function has computed

    def text(self) -> str:
        parts = [self.nodes[i : i + _NODES] for i in range(0, len(self.nodes), _NODES)]
        ups = [self._up(number, nodes) for number, nodes in enumerate(parts)]
        self._entry("forward", ups, _FORWARD)
        self._entry("backward", [self._down()], _BACKWARD)
        return self.module.text

    def _entry(self, name: str, functions: list[str], arrays: tuple[str, ...]) -> None:
        """What is called from outside: it hands the arrays to functions that know them apart."""
        lines = []
        for array in arrays:
            lines += [
                f"  %{array}.at = getelementptr ptr, ptr %arrays, i64 {_ARRAYS.index(array)}",
                f"  %{array} = load ptr, ptr %{array}.at",
            ]
        given = ", ".join(f"ptr %{array}" for array in arrays)
        lines += [f"  tail call void @{function}({given})" for function in functions]
        self._define(f"void @{name}(ptr %arrays)", name, lines)

    def _function(self, name: str, lines: list[str], arrays: tuple[str, ...]) -> str:
        """Its name; that the arrays lie apart saves LLVM a quarter of its time."""
        taken = ", ".join(f"ptr noalias %{array}" for array in arrays)
        self._define(f"internal void @{name}({taken})", name, lines)
        return name

    def _define(self, title: str, name: str, lines: list[str]) -> None:
        text = "\n".join([f"define {title} nounwind {{\nentry:", *lines, "  ret void\n}\n"])
        self.module.define(name, lambda: text)

    # -- values --------------------------------------------------------------------------------

    def _up(self, number: int, nodes: list[int]) -> str:
        """The function that computes some nodes."""
        k = Vector(self.module, 1)
        known: dict[int, Value] = {}
        for i in nodes:
            known[i] = self._value(k, known, i)
            self._store(k, known[i], "values", i)
        return self._function(f"up{number}", k.lines, _FORWARD)

    def _value(self, k: Vector, known: dict[int, Value], i: int) -> Value:
        """What a node computes."""
        code = self.code[i]

        def rule(k: Vector, *given: Any) -> list[Any]:
            return [value(k, code, *given)]

        xs: list[Value | None] = [self._read(k, known, slot) for slot in self.operands[i]]
        return self._apply(k, name_of(code), rule, xs)[0]

    def _read(self, k: Vector, known: dict[int, Value], slot: int) -> Value:
        if slot not in known:
            known[slot] = self._load(k, "values", slot)
        return known[slot]

    def _load(self, k: Vector, array: str, slot: int) -> Value:
        return k.load(float64, self._run(k, array, slot), str(slot))

    def _store(self, k: Vector, x: Value, array: str, slot: int) -> None:
        k.store(x, float64, self._run(k, array, slot), str(slot))

    def _run(self, k: Vector, array: str, slot: int) -> str:
        """Where row 0 would be if all rows were of the run that a slot is of."""
        run = self.run_of[slot]
        name = f"%{array}.{run}"
        if (name, k) not in self.pointers:
            self.pointers.add((name, k))
            at = f"{name}.at"
            k.line(f"{at} = getelementptr i64, ptr %shifts, i64 {run}")
            k.line(f"{at}.shift = load i64, ptr {at}")
            k.line(f"{name} = getelementptr i8, ptr %{array}, i64 {at}.shift")
        return name

    # -- gradients -----------------------------------------------------------------------------

    def _down(self) -> str:
        """The function that carries the gradients of the outputs to the leaves."""
        k = Vector(self.module, 1)
        known: dict[int, Value] = {}
        sums: dict[int, Value] = {}
        for i in reversed(self.nodes):
            g = sums.pop(i, None)
            if i in self.outputs:
                given = self._load(k, "gradients", i)
                if self.hides:
                    k.store(given, float64, "%kept", str(self.outputs[i]))
                g = self._added(k, given, g, i)
            elif self.tells:
                self._store(k, k.splat("0.0", float64) if g is None else g, "gradients", i)
            if g is None:  # nothing that is differentiated depends on it
                continue
            for slot, more in self._contributions(k, known, i, g):
                sums[slot] = sums[slot] + more if slot in sums else more
        for place, slot in enumerate(self.leaves):
            if self.hides:
                k.store(self._read(k, known, slot), float64, "%kept", str(place))
            if slot in sums:
                self._added(k, self._load(k, "gradients", slot), sums[slot], slot)
        return self._function("down", k.lines, _BACKWARD)

    def _added(self, k: Vector, before: Value, more: Value | None, slot: int) -> Value:
        """The gradient of a slot that is in memory, where it grows."""
        if more is None:
            return before
        total = before + more
        self._store(k, total, "gradients", slot)
        return total

    def _contributions(
        self, k: Vector, known: dict[int, Value], i: int, g: Value
    ) -> list[tuple[int, Value]]:
        """What the operands of a node get, by slot."""
        code, operands = self.code[i], self.operands[i]
        wanted = tuple(j for j, slot in enumerate(operands) if slot not in self.numbers)
        if not wanted:
            return []
        read = needs(code, wanted)
        out = self._read(k, known, i) if "out" in read else None
        xs = [self._read(k, known, s) if "xy"[j] in read else None for j, s in enumerate(operands)]
        name = f"{name_of(code)}.gradient{''.join(map(str, wanted))}"

        def rule(k: Vector, *given: Any) -> list[Any]:
            return contributions(k, code, *given, wanted=wanted)

        found = self._apply(k, name, rule, [g, out, *xs])
        return [(operands[j], x) for j, x in zip(wanted, found)]

    # -- long expressions ----------------------------------------------------------------------

    def _apply(
        self, k: Vector, name: str, rule: Expression, given: list[Value | None]
    ) -> list[Value]:
        """The expressions of a rule, written here or called where they are long."""
        if name not in self.calls:
            self.calls[name] = self._functions(name, rule, [x is not None for x in given])
        functions = self.calls[name]
        if functions is None:
            return rule(k, *given)
        arguments = []
        for x in given:
            if x is not None:
                lane = k.fresh()
                k.line(f"{lane} = extractelement {x}, i32 0")
                arguments.append(f"double {lane}")
        found = []
        for function in functions:
            result = k.fresh()
            k.line(f"{result} = call double @{function}({', '.join(arguments)})")
            found.append(k.splat(result, float64))
        return found

    def _functions(self, name: str, rule: Expression, given: list[bool]) -> list[str] | None:
        """The names of functions for the expressions of a rule; None if they are short.

        Two lanes hold the same, since LLVM cannot pass the mask of one lane to a function.
        """
        results, trial = self._evaluated(rule, given)
        if len(trial.lines) <= _SHORT + 2 * sum(given):  # those make vectors of the parameters
            return None
        made = []
        for number in range(len(results)):
            results, k = self._evaluated(rule, given)
            k.line(f"%result = extractelement {results[number]}, i32 0")
            parameters = ", ".join(f"double %x{j}" for j, there in enumerate(given) if there)
            lines = "\n".join(k.lines)
            function = f"{name}.{number}"
            text = (
                f"define internal double @{function}({parameters}) noinline nounwind {{\nentry:\n"
                f"{lines}\n  ret double %result\n}}\n"
            )
            self.module.define(function, partial(str, text))
            made.append(function)
        return made

    def _evaluated(self, rule: Expression, given: list[bool]) -> tuple[list[Value], Vector]:
        k = Vector(self.module, 2)
        xs = [k.splat(f"%x{j}", float64) if there else None for j, there in enumerate(given)]
        return rule(k, *xs), k
