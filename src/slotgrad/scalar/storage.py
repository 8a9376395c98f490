"""`ValueStorage`: the slots of scalar formulas, their values and gradients, and what runs them.

May import the floor, scalar.variable and the rest of scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ChangedValueError, GradientError, UsageError
from .group import VariableGroup
from .native import Tape
from .program import Program
from .recorded import as_number
from .tape import Custom
from .variable import Variable, handle

_FEW = 4096  # slots; setting all of these to 0 is faster than picking some of them


class ValueStorage:
    """Slots: the values and gradients of variables, and of formulas in them.

    One thread at a time may use a storage; different storages have nothing in common.
    """

    def __init__(self) -> None:
        self.tape = Tape()
        self.tape.kind = Variable
        self.tape.owner = self
        self._gradients = np.zeros(self.tape.capacity)
        self._seeds: dict[int, float] = {}  # gradients of formulas that were set from outside
        self._weighted: set[int] = set()  # formulas of which they were, since the last backward
        self._programs: dict[int, Program] = {}  # by output
        self._recent: Program | None = None  # compiled last
        self._last: Program | None = None  # ran last: may have results that are not in their slots
        self._changes = 0  # of values and targets
        self._clean = True  # no gradients but of variables and what programs write were ever set
        self._settable = np.empty(0, np.int64)  # those slots, while so much was recorded:
        self._counted = -1  # -1: something was compiled since
        self._stepped: tuple[list[Variable], VariableGroup] | None = None  # by gradient_step

    def __len__(self) -> int:
        return self.tape.count

    def __repr__(self) -> str:
        return f"ValueStorage({self.tape.count} slots, {len(self._programs)} compiled)"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "a ValueStorage cannot be copied or pickled: variables point into it; keep the numbers,"
            " storage.group(variables).values, and record the formula again"
        )

    # -- arrays --------------------------------------------------------------------------------

    @property
    def values(self) -> np.ndarray:
        """The values by slot, to read; set them by `variable.value`, many by `group`.

        The array may be an old one once more was recorded or computed: ask again.
        """
        self._settle_values()
        found = self.tape.values[: self.tape.count]
        found.flags.writeable = False
        return found

    @property
    def gradients(self) -> np.ndarray:
        """The gradients by slot, to read; set them by `variable.gradient`, many by `group`."""
        self._settle()
        found = self._all_gradients()[: self.tape.count]
        found.flags.writeable = False
        return found

    def _all_gradients(self) -> np.ndarray:
        if len(self._gradients) < self.tape.capacity:
            grown = np.zeros(self.tape.capacity)
            grown[: len(self._gradients)] = self._gradients
            self._gradients = grown
        return self._gradients

    def _settle_values(self) -> None:
        if self._last is not None:
            self._last.settle(self.tape.values, None)

    def _settle(self) -> None:
        if self._last is not None:
            self._clean = self._clean and not self._last.hidden
            gradients = self._all_gradients()
            self._last.settle(self.tape.values, gradients)
            for slot in self._weighted:
                gradients[slot] = self._seeds[slot]

    def zero_gradients(self) -> None:
        """Set all gradients to 0, also those that were set from outside."""
        if self._last is not None:
            self._last.forget()
        if self._clean and self.tape.count > _FEW:
            if self._counted != self.tape.count:
                self._counted = self.tape.count
                variables = np.flatnonzero(self.tape.first[: self.tape.count] < 0)
                written = [p.written for p in {*self._programs.values()}]
                self._settable = np.unique(np.concatenate([variables, *written]))
            self._all_gradients()[self._settable] = 0.0
        else:
            self._gradients.fill(0.0)
            self._clean = True
        self._seeds.clear()
        self._weighted.clear()

    def group(self, variables: Iterable[Variable]) -> VariableGroup:
        """Some variables, whose values and gradients can be read and set as arrays.

        >>> storage = ValueStorage()
        >>> x = storage.group(Variable(storage, value=i) for i in range(4))
        >>> x.values *= 2
        >>> x.values
        array([0., 2., 4., 6.])
        """
        return VariableGroup(self, variables)

    def gradient_step(self, learning_rate: float, variables: Iterable[Variable]) -> None:
        """value -= learning_rate * gradient, for some variables at once.

        >>> storage = ValueStorage()
        >>> x, y = Variable(storage, value=3.0), Variable(storage, value=1.0)
        >>> x.gradient, y.gradient = 2, 4
        >>> storage.gradient_step(0.5, [x, y])
        >>> x.value, y.value
        (2.0, -1.0)
        """
        members, stepped = list(variables), self._stepped
        if stepped is None or stepped[0] != members:  # compared by identity, which is fast
            stepped = self._stepped = members, self.group(members)
        stepped[1].gradient_step(learning_rate)

    # -- running -------------------------------------------------------------------------------

    def compile(self, *outputs: Variable) -> None:
        """Make one program for several formulas, which then run forward and backward together.

        >>> storage = ValueStorage()
        >>> x = Variable(storage)
        >>> y, z = x * x, x.exp()
        >>> storage.compile(y, z)
        >>> x.value = 3
        >>> storage.forward()
        >>> y.gradient, z.gradient = 1, 0
        >>> storage.backward()
        >>> y.value, x.gradient
        (9.0, 6.0)
        """
        if not outputs:
            raise UsageError("compile: got no formula; expected at least one: storage.compile(f)")
        for x in outputs:
            self._must_own(x, "compile(f, g)")
        slots = [x.slot for x in outputs]
        program = Program(self.tape, slots)
        if not self._programs.keys().isdisjoint(slots):
            self._clean = False  # what the programs before wrote stays
        self._counted = -1
        self._programs.update(dict.fromkeys(slots, program))
        self._recent = program

    def _must_own(self, x: Any, call: str) -> None:
        if not isinstance(x, Variable) or x.storage is not self:
            whose = " of another storage" if isinstance(x, Variable) else ""
            raise UsageError(
                f"{call.split('(')[0]}: got {x!r}{whose}; expected variables of this storage, as in"
                f" storage.{call}"
            )

    def forward(self) -> None:
        """Compute what was compiled last."""
        self._forward(self._compiled("forward"))

    def backward(self) -> None:
        """Carry back the gradients of what was compiled last."""
        self._backward(self._compiled("backward"))

    def _compiled(self, asked: str) -> Program:
        if self._recent is None:
            raise UsageError(f"{asked}: nothing is compiled yet; call storage.compile(f) first")
        return self._recent

    def _forward(self, program: Program) -> None:
        if self._last is not program:
            self._settle()
            self._last = program
        program.forward(self.tape.values)
        program.changes = self._changes

    def _backward(self, program: Program) -> None:
        if program.changes != self._changes:
            raise ChangedValueError(
                "backward: there are no values of the formula for the variables as they are now;"
                " call forward() first"
            )
        seeds = self._seeds
        if program.outputs and seeds.keys().isdisjoint(program.outputs):
            raise GradientError(
                "backward: no gradient was set that could be carried back; set that of the formula"
                " first: f.gradient = 1"
            )
        if self._last is not program:
            self._settle()
            self._last = program
        self._weighted.clear()
        gradients = self._all_gradients()
        for slot in program.outputs:
            gradients[slot] = seeds.get(slot, 0.0)
        program.backward(self.tape.values, gradients)

    # -- custom operations ---------------------------------------------------------------------

    def apply(self, function: Callable[..., Any], *operands: Any) -> Variable:
        """A formula that Python computes: a function of tensors, such as one made by `sg.op`.

        operands   variables or numbers; the function gets float64 tensors without axes

        Its derivative is the one it has on tensors.

        >>> import slotgrad as sg
        >>> @sg.op
        ... def cube(x):
        ...     return x * x * x
        >>> @cube.backward
        ... def _(g, out, x):
        ...     return 3 * x * x * g
        >>> storage = ValueStorage()
        >>> x = Variable(storage)
        >>> f = storage.apply(cube, x) + 1  # or cube(x) + 1
        >>> f.compile()
        >>> x.value = 2
        >>> f.forward()
        >>> f.gradient = 1
        >>> f.backward()
        >>> f.value, x.gradient
        (9.0, 12.0)
        """
        slots = []
        for x in operands:
            number = as_number(x)
            if number is not None:
                slots.append(self.tape.number(number))
            elif isinstance(x, Variable) and x.storage is self:
                slots.append(x.slot)
            else:
                raise UsageError(f"apply: got {x!r}; expected variables of this storage or numbers")
        slot = self.tape.leaf()
        self.tape.customs[slot] = Custom(function, tuple(slots))
        return handle(self.tape, slot)
