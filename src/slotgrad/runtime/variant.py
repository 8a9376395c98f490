"""A variant: the program for one kind of arguments, and what it holds for.

`holds` asks in Python what a plan asks natively (see `runtime/plan.py`).  May import the floor and
capture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..capture import Captured, State, placeholder
from ..config import changes, modes, nothing
from ..dtypes import as_dtype, complex128, default_int, float64, integral
from ..errors import DTypeError, UsageError
from ..graph.node import NO_ATTRS, Changed, Consumed, Node, Tapeless, TensorType
from ..graph.region import Region
from ..ops.numbers import Number
from ..reads import PLAIN, Read, Reads
from ..tensor import Tensor
from ..tree import LEAF, Structure, flatten

# the dtypes of Python numbers as arguments
NUMBERS = {bool: as_dtype(bool), int: default_int, float: float64, complex: complex128}


def _is_lasting(x: Any) -> bool:
    """Whether the object stands for the same value as long as it is the same object."""
    identity = type(x).__hash__ is object.__hash__ and type(x).__eq__ is object.__eq__
    return type(x) in PLAIN or (identity and flatten(x)[1] == LEAF)


class Call:
    """How a function was called: what a plan fits.

    static  the numbers of the arguments that are built into the program, keywords last
    values  the arguments, and behind them what is in trees of them, each container's items in a row
    opened  containers, and the numbers of their first items
    order   the numbers of the leaves and the containers, each before what is in it
    """

    def __init__(self, args: tuple, kwargs: dict[str, Any], static: frozenset[int]) -> None:
        self.positional = len(args)
        self.names = list(kwargs)
        self.values = [*args, *kwargs.values()]
        self.static = static
        self.opened: dict[int, int] = {}
        self.order: list[int] = []
        ahead = [*reversed(range(len(self.values)))]
        while ahead:
            number = ahead.pop()
            self.order.append(number)
            inside = None if number in static else _items(self.values[number])
            if inside is not None:
                self.opened[number] = first = len(self.values)
                self.values += inside
                ahead += reversed(range(first, first + len(inside)))
        self.fixed = [x for i, x in enumerate(self.values) if self.is_fixed(i, x)]

    @property
    def is_plain(self) -> bool:
        """Whether native code can tell such calls: no dataclasses, no complex numbers."""
        keys = [key for i in self.opened for key in _keys(self.values[i])]
        lasting = all(map(_is_lasting, self.fixed)) and all(type(key) in PLAIN for key in keys)
        return lasting and complex not in map(type, self.values)

    def is_fixed(self, number: int, x: Any) -> bool:
        """Whether the program was made for this very value."""
        inputs = (Tensor, np.ndarray, np.generic, bool, int, float, complex)
        return number in self.static or not (number in self.opened or isinstance(x, inputs))


def _items(x: Any) -> list[Any] | None:
    """What is in a container that native code can look into; None for all else."""
    if type(x) is dict:
        return list(x.values())
    plain = type(x) is list or (isinstance(x, tuple) and type(x).__iter__ is tuple.__iter__)
    return list(x) if plain else None


def _keys(x: Any) -> list[Any]:
    return list(x) if type(x) is dict else []


@dataclass(eq=False)
class Variant:
    """The program for one kind of arguments, and what it holds for."""

    captured: Captured
    region: Region  # after the passes
    program: Any
    structure: Structure
    outputs: list[Tensor | None]  # the result's leaves: a tensor, or None for what is below
    others: list[Any]  # the result's leaves that are no tensors
    tracked: list[bool | Tapeless]  # whether the result's tensors require gradients
    numbers: bool  # called with Python numbers only: returns Python numbers
    reads: Reads
    used_up: list[tuple[Tensor, Tensor]]  # tensors, and the .grad that says it was used up
    checked: int  # state of `changes.count` when the guards held
    narrow: list[tuple[int, np.dtype]]  # numbers of Python ints that must fit a shorter dtype
    plan: Any = None  # for native code, once there is one

    def holds(self) -> bool:
        """Whether what was read from outside is as it was when the function was captured."""
        return (
            all(map(_intact, self.captured.state))
            and all(x._grad is None for x in self.captured.absent)
            and self.reads.hold()
            and self._guards_hold()
        )

    @property
    def changed(self) -> Read | None:
        """The first of what was read from Python where something else stands now."""
        return self.reads.changed() or self.captured.guards.changed()

    def _guards_hold(self) -> bool:
        """Modules are asked again only after some module has changed."""
        count = changes.count
        if self.checked != count:
            if not self.captured.guards.hold():
                return False
            self.checked = count
        return True


def holder(state: State) -> Any:
    """The tensor whose array a state is in now."""
    return state.tensor._grad if state.gradient else state.tensor


def _intact(state: State) -> bool:
    """Whether a state has the type that was captured, and gradients flow to it as they did."""
    value = state.value()
    return (
        value is not None
        and TensorType(value.shape, value.dtype) == state.type
        and holder(state).node.requires_grad == state.node.requires_grad
    )


# -- values that go in and come out ----------------------------------------------------------------


def stand_in(x: Any, numbers: bool) -> Tensor:
    """A tensor that stands for an argument; for calls with numbers only, all compute in float64."""
    if type(x) in NUMBERS:
        if numbers:
            return placeholder(TensorType((), float64 if type(x) is int else NUMBERS[type(x)]))
        return Number(placeholder(TensorType((), NUMBERS[type(x)])).node, type(x))
    return placeholder(TensorType(x.shape, as_dtype(x.dtype)), tapeless(x))


def value_of(x: Any, node: Node) -> np.ndarray:
    """The array for an argument that `node` stands for."""
    if isinstance(x, Tensor):
        return x._value("a compiled function")
    try:
        return np.asarray(x, node.type.dtype)
    except OverflowError:
        raise _too_large(x, node.type.dtype) from None


def narrowed(region: Region) -> list[tuple[int, np.dtype]]:
    """The inputs that are Python ints and meet tensors of shorter dtypes, and these."""
    number = {node: i for i, node in enumerate(region.inputs) if node.weak is int}
    return [
        (number[node.inputs[0]], node.type.dtype)
        for node in region.nodes
        if node.op is not None
        and node.op.name == "cast_discrete"
        and node.inputs[0] in number
        and node.type.dtype in integral
    ]


def check_fits(inputs: list[Any], narrow: list[tuple[int, np.dtype]]) -> None:
    """Refuse ints outside of the range of the dtype they are converted to, as eager code does."""
    for number, dtype in narrow:
        if not np.iinfo(dtype).min <= inputs[number] <= np.iinfo(dtype).max:
            raise _too_large(inputs[number], dtype)


def _too_large(x: Any, dtype: np.dtype) -> DTypeError:
    return DTypeError(f"a compiled function got {x}, which does not fit {dtype}; use a wider dtype")


def consumed(x: Tensor, function: str) -> Tensor:
    """What `.grad` is after a call that used the gradient up: reading it raises."""
    node = Node(None, (), NO_ATTRS, None, False)
    node.type, node.fate = x.node.type, Consumed(function)
    return Tensor(node)


def tapeless(x: Any) -> Tapeless | bool:
    """The mark of a compiled function that made `x`, if it left one and a tape runs."""
    found = modes.grad and isinstance(x, Tensor) and x.node.requires_grad
    return found if isinstance(found, Tapeless) else False


def made(value: np.ndarray, tracked: bool | Tapeless) -> Tensor:
    """A result's tensor."""
    return Tensor(Node(None, (), NO_ATTRS, value, tracked))


def returned(value: np.ndarray, tracked: bool | Tapeless, numbers: bool) -> Any:
    """A result of a call as the caller gets it."""
    return value.item() if numbers and value.ndim == 0 else made(value, tracked)


def rebind(attributes: list[tuple[Any, str, Any]]) -> None:
    """Set the attributes that the function sets, where they are something else."""
    for owner, name, value in attributes:
        found = vars(owner).get(name, nothing)
        if value is nothing and found is not nothing:
            delattr(owner, name)
        elif value is not found:
            setattr(owner, name, value)


def write_back(state: State, value: np.ndarray | None) -> None:
    """Into the state's own buffer; tapes that still need the old value notice."""
    tensor = holder(state)
    if value is not None:  # else the program has written it
        tensor.node.value[...] = value
    tensor._renew(Changed("a compiled function", None))


def check_changed(function: str, number: int, arrays: list[Any]) -> None:
    """Refuse to change an argument whose memory is read-only, or is that of another."""
    x = arrays[number]
    if not x.flags.writeable:
        raise UsageError(
            f"{function}: changes argument {number} in place, whose memory is read-only; pass a"
            " copy: x.copy()"
        )
    for other in arrays[:number] + arrays[number + 1 :]:
        if other is not None and np.may_share_memory(x, other):
            raise UsageError(
                f"{function}: changes argument {number} in place, whose memory another argument or"
                " a tensor from outside shares; pass a copy: x.copy()"
            )


def give_back(x: Any, value: np.ndarray) -> None:
    """Into an argument that the function changes in place; numbers have no place."""
    if isinstance(x, Tensor):
        x._value("a compiled function")[...] = value
        x._renew(Changed("a compiled function", None))
    elif isinstance(x, np.ndarray):
        x[...] = value
