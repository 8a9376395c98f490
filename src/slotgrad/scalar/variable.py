"""`Variable`: a slot of a storage, and the operators that record formulas.

A slot has a value and a gradient.  Operators record; `compile` makes native code of what was
recorded, which then runs for any values:

>>> from slotgrad.scalar import ValueStorage
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
anew by each backward.  May import the floor, scalar.native, scalar.recorded and scalar.show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, UsageError
from . import show
from .native import Recorded, Tape, compact
from .recorded import as_number

if TYPE_CHECKING:
    from .storage import ValueStorage


@compact
class Variable(Recorded):
    """A slot of a storage: a variable whose value is set, or a formula that operators made.

    storage    a ValueStorage
    name       what it is called in code and pictures; default: none
    value      a number; default: nan, until it is set

    Operators + - * / ** and abs, and methods of the names that functions on tensors have, take
    variables of the same storage and real numbers.  The truth value, comparisons by order and
    `float` raise; a format is that of the value: f"{x:.3f}".  Neither variables nor storages can be
    copied or pickled.
    """

    __slots__ = ()

    def __init__(self, storage: ValueStorage, name: str | None = None, value: float | None = None):
        tape = getattr(storage, "tape", None)
        if tape is None or tape.owner is not storage:
            raise UsageError(
                f"{type(self).__name__}: got {storage!r} as storage; expected a ValueStorage"
            )
        self.tape = tape
        self.slot = tape.leaf(math.nan if value is None else _number(value, "value"))
        if name is not None:
            self.name = name

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
        elif isinstance(name, str):
            self.tape.names[self.slot] = name
        else:
            raise UsageError(
                f"name: got {name!r}; expected a str; a number is given as Variable(storage,"
                " value=3.0)"
            )

    # -- value and gradient --------------------------------------------------------------------

    @property
    def value(self) -> float:
        """The value; nan until it was set or computed.  Only a variable's can be set."""
        storage, slot = self.storage, self.slot
        last = storage._last
        if last is not None:
            if storage._programs.get(slot) is last:
                last.finish(self.tape.values)
            elif not self._is_variable():
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
            storage._weighted.add(slot)
        storage._all_gradients()[slot] = number

    def __slotgrad_call__(self, function: Callable[..., Any], *operands: Any) -> Variable:
        """What an operation of the user's own does when it is called with variables."""
        return self.storage.apply(function, *operands)

    def gradient_step(self, learning_rate: float) -> None:
        """value -= learning_rate * gradient."""
        self._must_be_variable("gradient_step")
        self.tape.values[self.slot] -= rate(learning_rate) * self.gradient
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

    def __pos__(self) -> Variable:
        return self

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


def rate(learning_rate: float) -> float:
    """The learning rate, a number."""
    number = _number(learning_rate, "learning_rate")
    if math.isnan(number):
        raise OptionError("gradient_step: got nan as learning_rate; expected a number")
    return number
