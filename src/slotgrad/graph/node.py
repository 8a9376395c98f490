"""A node of the graph: an operation, its inputs, and a value once there is one.

The tape and the graph that the compiler reads are made of the same nodes.  A node's inputs
are older than the node, so descending ids are a reverse topological order and no traversal
needs recursion.  May import errors and dtypes.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import CaptureError, GradientError

if TYPE_CHECKING:
    from .op import Op

_next_id = itertools.count().__next__


class TensorType(NamedTuple):
    """What is known of a tensor without its value."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


class Node:
    """One vertex of the graph.

    op              the operation, or None for a leaf (an input, parameter or constant)
    inputs          the nodes it was applied to; emptied when backward frees the tape
    attrs           the operation's static arguments
    value           an array (a tuple of them for operations with several results), or None
                    while a function is captured and after the value was changed in place
    requires_grad   whether a gradient with respect to some leaf may flow through; a `Tapeless`
                    where it would have to, but cannot
    site            where the user's code made it, for messages
    fate            None, or why `value` or `inputs` are gone (see `Freed`, `Changed`)
    owner           a weak reference to the tensor whose `.grad` collects this node's gradient
    """

    __slots__ = (
        "op", "inputs", "attrs", "value", "requires_grad", "site", "id", "fate", "owner", "name",
        "weak", "_type", "__weakref__",
    )  # fmt: skip

    fate: Freed | Changed | Consumed | None
    owner: weakref.ref[Any] | None
    name: str | None
    weak: type | None  # a Python number's type: takes the dtype of what it meets
    _type: Any  # of a node without a value

    def __init__(
        self,
        op: Op | None,
        inputs: tuple[Node, ...],
        attrs: dict[str, Any],
        value: Any,
        requires_grad: bool | Tapeless,
        site: tuple | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.value = value
        self.requires_grad = requires_grad
        self.site = site
        self.id: int = _next_id()
        self.fate = self.owner = self.name = self.weak = None

    @property
    def type(self) -> Any:
        """The node's `TensorType`; a tuple of them for an operation with several results."""
        if self.value is None:
            return self._type
        if isinstance(self.value, tuple):
            return tuple(TensorType(v.shape, v.dtype) for v in self.value)
        return TensorType(self.value.shape, self.value.dtype)

    @type.setter
    def type(self, type: Any) -> None:
        self._type = type

    @property
    def several(self) -> bool:
        """Whether the operation has several results."""
        return type(self.type) is tuple  # a TensorType is a named tuple

    @property
    def is_leaf(self) -> bool:
        """Whether gradients end here: no tracked operation made the node."""
        if isinstance(self.fate, Freed) or isinstance(self.requires_grad, Tapeless):
            return False
        differentiable = self.op is not None and self.op.differentiable
        return not (differentiable and any(i.requires_grad for i in self.inputs))

    def __repr__(self) -> str:
        return f"<node {self.id}: {self.op.name if self.op else 'leaf'} {self.type}>"


class Freed(NamedTuple):
    """Fate of a node whose inputs a backward at `site` let go."""

    site: tuple | None


class Changed(NamedTuple):
    """Fate of a node whose value `action` at `site` overwrote."""

    action: str
    site: tuple | None


class Consumed(NamedTuple):
    """Fate of a gradient that a compiled function used up without keeping it."""

    function: str

    def error(self, asked: str) -> CaptureError:
        """What to raise when `asked` needs the gradient."""
        return CaptureError(
            f"{asked}: this gradient was in the compiled function {self.function!r}, which used it"
            " without keeping it; let the function return it: return loss, p.grad"
        )


class Tapeless(NamedTuple):
    """Mark of a compiled function's result that gradients would have to flow through."""

    function: str

    def error(self) -> GradientError:
        """What to raise when a derivative gets there."""
        return GradientError(
            f"backward: reaches a result of the compiled function {self.function!r}, which depends"
            " on tensors that require gradients, but keeps no tape; call backward() inside of it,"
            " or call it inside sg.no_grad() if it is to be a constant"
        )


NO_ATTRS: dict[str, Any] = {}


def leaf(value: np.ndarray, requires_grad: bool = False) -> Node:
    """A node that no operation made."""
    return Node(None, (), NO_ATTRS, value, requires_grad)


def ancestors(
    roots: Iterable[Node],
    tracked_only: bool = False,
    is_end: Callable[[Node], bool] | None = None,
) -> list[Node]:
    """The roots and every node they depend on, inputs before their users.

    tracked_only  just the nodes through which gradients flow
    is_end        whether the walk ends at a node: its inputs are not looked at
    """
    seen = {n for n in roots if n.requires_grad or not tracked_only}
    stack = list(seen)
    while stack:
        node = stack.pop()
        if is_end is not None and is_end(node):
            continue
        for i in node.inputs:
            if i not in seen and (i.requires_grad or not tracked_only):
                seen.add(i)
                stack.append(i)
    return sorted(seen, key=attrgetter("id"))
