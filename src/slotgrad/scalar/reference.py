"""`ReferenceVariable`: which variable takes part is chosen later.

May import errors and the rest of scalar.
"""

from __future__ import annotations

from ..errors import UsageError
from .storage import ValueStorage
from .variable import Variable, handle


class ReferenceVariable(Variable):
    """A variable that stands for another one, which is chosen later and may be chosen again.

    Its value is the target's; its gradient is the part of the target's that comes through it.  Any
    variable can be the target, and any formula that was recorded before the reference; all of these
    are computed with it.

    >>> storage = ValueStorage()
    >>> x = Variable(storage)
    >>> candidates = [x * 2, x * 3]
    >>> chosen = ReferenceVariable(storage)
    >>> loss = chosen * chosen
    >>> loss.compile()
    >>> x.value = 1
    >>> chosen.target = candidates[1]
    >>> loss.forward()
    >>> loss.gradient = 1
    >>> loss.backward()
    >>> loss.value, x.gradient
    (9.0, 18.0)
    """

    __slots__ = ()

    def __init__(self, storage: ValueStorage, name: str | None = None) -> None:
        super().__init__(storage, name)
        self.tape.references[self.slot] = None

    @property
    def target(self) -> Variable | None:
        """The variable that this one stands for."""
        slot = self.tape.references[self.slot]
        return None if slot is None else handle(self.tape, slot)

    @target.setter
    def target(self, target: Variable) -> None:
        if not isinstance(target, Variable):
            raise UsageError(f"target: got {target!r}; expected a Variable")
        slot = target.slot
        self._common(target)
        if slot >= self.slot and not target._is_variable():
            raise UsageError(
                f"target: {target._title()} was recorded after the reference {self._title()};"
                " expected a formula from before it; make the reference later"
            )
        self.tape.references[self.slot] = slot
        self.storage._changes += 1

    @property
    def value(self) -> float:
        """The target's value; setting it sets the target's."""
        return self._chosen("value").value

    @value.setter
    def value(self, value: float) -> None:
        self._chosen("value").value = value

    def _chosen(self, asked: str) -> Variable:
        target = self.target
        if target is None:
            raise UsageError(
                f"{asked}: the reference {self._title()} has no target; choose one first:"
                " reference.target = variable"
            )
        return target

    def __repr__(self) -> str:
        return f"<ReferenceVariable {self._title()} to {self.target!r}>"
