"""Scalar formulas over slots: `Variable`, and the `ValueStorage` that they are in.

A variable is a slot of a storage, where its value and its gradient stand.  Operators record;
`compile` makes native code of what was recorded, which then runs for any values:

>>> storage = ValueStorage()
>>> a, b = Variable(storage, name="a"), Variable(storage, name="b")
>>> f = (a + b) * a
>>> f.compile()
>>> a.value, b.value = 2, 3
>>> f.forward()
>>> f.gradient = 1
>>> f.backward()
>>> f.value, a.gradient, b.gradient
(10.0, 7.0, 2.0)
>>> print(f.code)
# v[0] is a, v[1] is b
v[2] = v[0] + v[1]
v[3] = v[2] * v[0]
<BLANKLINE>
gv[2] += v[0] * gv[3]
gv[0] += v[2] * gv[3]
gv[0] += gv[2]
gv[1] += gv[2]

Gradients of variables add up until `storage.zero_gradients()`; those of formulas are computed
anew by each backward.  May import the floor, autodiff, kernel.scalars and the rest of scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ChangedValueError, GradientError, OptionError, UsageError
from . import show
from .native import Recorded, Tape, compact
from .program import Program
from .recorded import as_number
from .tape import Custom


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
        self._programs: dict[int, Program] = {}  # by output
        self._recent: Program | None = None  # compiled last
        self._last: Program | None = None  # ran last: may have results that are not in their slots
        self._changes = 0  # of values and targets
        self._clean = True  # no gradients but those of variables and outputs were ever set
        self._variables = np.empty(0, np.int64)  # their slots, while so much was recorded:
        self._recorded = 0
        self._stepped: tuple = (None, 0, None)  # variables, their number and slots

    def __len__(self) -> int:
        return self.tape.count

    def __repr__(self) -> str:
        return f"ValueStorage({self.tape.count} slots, {len(self._programs)} compiled)"

    # -- arrays --------------------------------------------------------------------------------

    @property
    def values(self) -> np.ndarray:
        """The values by slot, until more is recorded; those of variables may be written.

        Call forward() after that: writing here is not noticed as setting `variable.value` is.
        """
        self._settle_values()
        return self.tape.values[: self.tape.count]

    @property
    def gradients(self) -> np.ndarray:
        """The gradients by slot, to read; set them by `variable.gradient`."""
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
            self._last.settle(self.tape.values, self._all_gradients())

    def zero_gradients(self) -> None:
        """Set all gradients to 0, also those that were set from outside."""
        if self._last is not None:
            self._last.forget()
        if self._clean:
            if self._recorded != self.tape.count:
                self._recorded = self.tape.count
                self._variables = np.flatnonzero(self.tape.first[: self.tape.count] < 0)
            gradients = self._all_gradients()
            gradients[self._variables] = 0.0
            for slot in self._seeds:
                gradients[slot] = 0.0
        else:
            self._gradients.fill(0.0)
            self._clean = True
        self._seeds.clear()

    def gradient_step(self, learning_rate: float, variables: Sequence[Variable]) -> None:
        """value -= learning_rate * gradient, for some variables at once.

        >>> storage = ValueStorage()
        >>> x, y = Variable(storage, value=3.0), Variable(storage, value=1.0)
        >>> x.gradient, y.gradient = 2, 4
        >>> storage.gradient_step(0.5, [x, y])
        >>> x.value, y.value
        (2.0, -1.0)
        """
        rate = _rate(learning_rate)
        if self._stepped[0] is not variables or self._stepped[1] != len(variables):
            for x in variables:
                x._must_be_variable("gradient_step")
            slots = np.array([x.slot for x in variables], np.int64)
            self._stepped = variables, len(variables), slots
        slots = self._stepped[2]
        self.tape.values[slots] -= rate * self._all_gradients()[slots]
        self._changes += 1

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
            if not isinstance(x, Variable) or x.storage is not self:
                raise UsageError(f"compile: got {x!r}; expected variables of this storage")
        slots = [x.slot for x in outputs]
        program = Program(self.tape, slots)
        self._programs.update(dict.fromkeys(slots, program))
        self._recent = program

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
        if self._last is not program:
            self._settle()
            self._last = program
        seeds, gradients = self._seeds, self._all_gradients()
        missing = True
        for slot in program.outputs:
            if slot in seeds:
                gradients[slot] = seeds[slot]
                missing = False
            else:
                gradients[slot] = 0.0
        if missing and program.outputs:
            raise GradientError(
                "backward: no gradient was set that could be carried back; set that of the formula"
                " first: f.gradient = 1"
            )
        program.backward(self.tape.values, gradients)
        self._clean = self._clean and program.hidden

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


@compact
class Variable(Recorded):
    """A slot of a storage: a variable whose value is set, or a formula that operators made.

    Operators + - * / ** and abs, and methods of the names that functions on tensors have.
    """

    __slots__ = ()

    def __init__(self, storage: ValueStorage, name: str | None = None, value: float | None = None):
        if not isinstance(storage, ValueStorage):
            raise UsageError(
                f"{type(self).__name__}: got {storage!r} as storage; expected a ValueStorage"
            )
        self.tape = storage.tape
        self.slot = storage.tape.leaf()
        if name is not None:
            self.name = name
        if value is not None:
            self.value = value

    @property
    def storage(self) -> ValueStorage:
        """Where the slot is."""
        return self.tape.owner

    def _common(self, other: Any) -> Tape | None:
        if not isinstance(other, Variable):
            return None
        if self.tape is not other.tape:
            raise UsageError(
                f"scalar: got {self!r} and {other!r} of different storages; make all variables of"
                " a formula in one ValueStorage"
            )
        return self.tape

    @property
    def name(self) -> str | None:
        """What it is called in code and pictures."""
        return self.tape.names.get(self.slot)

    @name.setter
    def name(self, name: str | None) -> None:
        if name is None:
            self.tape.names.pop(self.slot, None)
        else:
            self.tape.names[self.slot] = str(name)

    # -- value and gradient --------------------------------------------------------------------

    @property
    def value(self) -> float:
        """The value; nan until it was set or computed.  Only a variable's can be set."""
        storage, slot = self.storage, self.slot
        last = storage._last
        if last is not None and slot not in last.outputs and not self._is_variable():
            storage._settle_values()
        return self.tape.values.item(slot)

    @value.setter
    def value(self, value: float) -> None:
        self._must_be_variable("value")
        self.tape.values[self.slot] = _number(value, "value")
        self.tape.owner._changes += 1

    @property
    def gradient(self) -> float:
        """The gradient.

        A variable's adds up over backward passes; that of a formula is what the last one made it.
        Set that of a formula before backward: it says with what weight the formula counts.
        """
        storage, slot = self.storage, self.slot
        if storage._last is not None and not self._is_variable():
            storage._settle()
        return storage._all_gradients().item(slot)

    @gradient.setter
    def gradient(self, gradient: float) -> None:
        storage, slot = self.storage, self.slot
        number = _number(gradient, "gradient")
        if not self._is_variable():
            if slot not in storage._programs:
                raise UsageError(
                    f"gradient: {self._title()} is computed, and its gradient can be set from"
                    " outside once it is compiled: call .compile() first"
                )
            storage._seeds[slot] = number
            last = storage._last
            if last is not None and last.hidden:
                if slot in last.outputs and storage._gradients.item(slot) == number:
                    return  # what is hidden follows from it still
                storage._settle()
        storage._all_gradients()[slot] = number

    def __slotgrad_call__(self, function: Callable[..., Any], *operands: Any) -> Variable:
        """What an operation of the user's own does when it is called with variables."""
        return self.storage.apply(function, *operands)

    def gradient_step(self, learning_rate: float) -> None:
        """value -= learning_rate * gradient."""
        self._must_be_variable("gradient_step")
        self.tape.values[self.slot] -= _rate(learning_rate) * self.gradient
        self.tape.owner._changes += 1

    def _is_variable(self) -> bool:
        tape, slot = self.tape, self.slot
        return not (tape.first.item(slot) >= 0 or slot in tape.customs or slot in tape.references)

    def _must_be_variable(self, action: str) -> None:
        if not self._is_variable():
            raise UsageError(
                f"{action}: {self._title()} is computed; set the variables that it depends on, and"
                " call forward()"
            )

    # -- running -------------------------------------------------------------------------------

    def compile(self) -> None:
        """Make native code that computes this formula and carries its gradient back."""
        if self.slot not in self.storage._programs:
            self.storage.compile(self)

    def forward(self) -> None:
        """Compute the value from those of the variables."""
        storage = self.tape.owner
        program = storage._programs.get(self.slot)
        if program is None:
            raise self._not_compiled("forward")
        storage._forward(program)

    def backward(self) -> None:
        """Add to the gradients of the variables what follows from the gradient that was set."""
        storage = self.tape.owner
        program = storage._programs.get(self.slot)
        if program is None:
            raise self._not_compiled("backward")
        storage._backward(program)

    def _not_compiled(self, asked: str) -> UsageError:
        return UsageError(f"{asked}: {self._title()} is not compiled; call .compile() first")

    # -- to be seen ----------------------------------------------------------------------------

    @property
    def code(self) -> str:
        """What forward and backward compute, line by line; of long code the two ends."""
        return show.code(self.tape, [self.slot])

    def to_dot(self) -> str:
        """The graph in the DOT language of Graphviz, value and gradient in each node."""
        return show.to_dot(self.tape, [self.slot], self.storage.values, self.storage.gradients)

    def __bool__(self) -> bool:
        raise UsageError(
            f"bool: {self._title()} has no truth value, since the formula is recorded for any"
            " values; compare what it has now: x.value > 0, or use maximum, relu or abs"
        )

    def _title(self) -> str:
        return f"v[{self.slot}]" if self.name is None else f"v[{self.slot}] ({self.name})"

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self._title()}: value {self.value:g}, gradient {self.gradient:g}>"


def handle(tape: Tape, slot: int) -> Variable:
    """A handle on a slot."""
    found = object.__new__(Variable)
    found.tape, found.slot = tape, slot
    return found


def _number(x: Any, what: str) -> float:
    number = as_number(x)
    if number is None:
        raise UsageError(f"{what}: got {type(x).__name__}; expected a number")
    return number


def _rate(learning_rate: float) -> float:
    rate = _number(learning_rate, "learning_rate")
    if math.isnan(rate):
        raise OptionError("gradient_step: got nan as learning_rate; expected a number")
    return rate
