"""What a compiled function was called with: inputs of its programs, and what is built into them.

May import the back end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .config import modes
from .runtime.variant import NUMBERS, tapeless
from .tensor import Tensor
from .tree import Structure, flatten

_ARRAYS = (Tensor, np.ndarray, np.generic)


class Given(NamedTuple):
    """The arguments of a call.

    leaves, structure  of the tree of all arguments
    inputs             the leaves that programs read at each call, with their numbers
    key                what a program was made for: dtypes, shapes, and the leaves built in
    """

    leaves: list[Any]
    structure: Structure
    inputs: list[tuple[int, Any]]
    key: Any

    @property
    def tracked(self) -> bool:
        """Whether an outer tape needs the call."""
        return modes.grad and any(
            isinstance(x, Tensor) and x.requires_grad and not tapeless(x) for _, x in self.inputs
        )

    @property
    def built_in(self) -> list[Any]:
        """The leaves that are no inputs."""
        numbers = {i for i, _ in self.inputs}
        return [x for i, x in enumerate(self.leaves) if i not in numbers]


class Parameters:
    """The parameters of a function, some of them static: their values are built into programs."""

    def __init__(self, f: Callable[..., Any], static: Sequence[int]) -> None:
        self.static = frozenset(static)
        self.static_names = _names_of(f, self.static)

    def fixed(self, args: tuple, kwargs: dict[str, Any]) -> frozenset[int]:
        """The numbers of the static ones among the arguments of a call; keywords come last."""
        if not self.static:
            return frozenset()
        named = [i for i, name in enumerate(kwargs, len(args)) if name in self.static_names]
        return frozenset([*(n for n in self.static if n < len(args)), *named])

    def given(self, args: tuple, kwargs: dict[str, Any]) -> Given:
        """The arguments of a call, sorted."""
        leaves, structure = flatten((args, kwargs))
        static = self.fixed(args, kwargs)
        fixed: set[int] = set()
        place = 0
        for number, arg in enumerate((*args, *kwargs.values()) if static else ()):
            count = len(flatten(arg)[0])
            if number in static:
                fixed |= set(range(place, place + count))
            place += count
        inputs: list[tuple[int, Any]] = []
        kinds: list[Any] = []
        for i, x in enumerate(leaves):
            if i in fixed or not isinstance(x, (*_ARRAYS, *NUMBERS)):
                kinds.append((type(x), _hashable(x)))
                continue
            inputs.append((i, x))
            kinds.append((x.dtype, x.shape, tapeless(x)) if isinstance(x, _ARRAYS) else type(x))
        return Given(leaves, structure, inputs, (structure, tuple(kinds), modes.grad))


def _names_of(f: Callable[..., Any], numbers: frozenset[int]) -> frozenset[str]:
    """The names of a function's parameters with these numbers, as far as they are known."""
    if not numbers:
        return frozenset()
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        return frozenset()
    return frozenset(names[n] for n in numbers if n < len(names))


def _hashable(x: Any) -> Any:
    try:
        hash(x)
    except TypeError:
        return id(x)
    return x
