"""Trees: nested lists, tuples, named tuples, dicts and dataclasses with leaves in them.

Everything else is a leaf; None is an empty tree.  Dict keys keep their order.

>>> leaves, structure = flatten({"w": [1, 2], "b": (3, None)})
>>> leaves
[1, 2, 3]
>>> unflatten(structure, [10, 20, 30])
{'w': [10, 20], 'b': (30, None)}
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import UsageError


@dataclass(frozen=True)
class Structure:
    """The shape of a tree without its leaves.  `kind` is None for a leaf."""

    kind: Any
    keys: tuple = ()
    children: tuple["Structure", ...] = ()

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        name = "None" if self.kind is type(None) else self.kind.__name__
        keys = self.keys or range(len(self.children))
        return f"{name}({', '.join(f'{k}: {c}' for k, c in zip(keys, self.children))})"


LEAF = Structure(None)


def _open(x: Any) -> tuple[tuple, Iterable] | None:
    """Keys and children of a container, or None for a leaf."""
    if isinstance(x, dict):
        return tuple(x), x.values()
    if isinstance(x, (list, tuple)):
        return (), x
    if x is None:
        return (), ()
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        names = tuple(f.name for f in dataclasses.fields(x))
        return names, [getattr(x, n) for n in names]
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves from left to right, and the structure that `unflatten` takes."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


# No closure: one that calls itself would live, with all leaves, until garbage is collected.
def _walk(x: Any, leaves: list[Any]) -> Structure:
    opened = _open(x)
    if opened is None:
        leaves.append(x)
        return LEAF
    keys, children = opened
    return Structure(type(x), keys, tuple([_walk(child, leaves) for child in children]))


def leaves_of(tree: Any) -> list[Any]:
    """The leaves from left to right."""
    return flatten(tree)[0]


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves."""
    return _build(structure, iter(leaves))


def _build(s: Structure, leaves: Iterator[Any]) -> Any:
    if s.kind is None:
        return next(leaves)
    if s.kind is type(None):
        return None
    children = [_build(child, leaves) for child in s.children]
    if issubclass(s.kind, dict):
        return s.kind(zip(s.keys, children))
    if hasattr(s.kind, "_fields"):  # a named tuple
        return s.kind(*children)
    if issubclass(s.kind, (list, tuple)):
        return s.kind(children)
    return s.kind(**dict(zip(s.keys, children)))


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`f` applied leaf by leaf to trees of one structure.

    >>> tree_map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]})
    {'x': [11, 22]}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in rest:
        more, its = flatten(other)
        if its != structure:
            raise UsageError(f"tree_map: got trees {structure} and {its}; expected one structure")
        columns.append(more)
    return unflatten(structure, [f(*row) for row in zip(*columns)])
