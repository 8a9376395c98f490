"""`apply`: the one place where operations happen.

It computes (eager, keeping the tape link where a gradient may be asked for) or records
(while a function is being captured).  May import the rest of the floor.
"""

from __future__ import annotations

from typing import Any

from numpy import asarray, ndarray

from ..config import modes
from ..errors import (
    CaptureError,
    ChangedValueError,
    InternalError,
    UsageError,
    describe_site,
    user_site,
)
from ..tensor import Tensor
from .node import NO_ATTRS, Changed, Consumed, Node
from .op import Op


def apply(op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any] = NO_ATTRS) -> Tensor:
    """The result of `op` on tensors of the dtypes it accepts."""
    if modes.capture is not None:
        return modes.capture.record(op, inputs, attrs)
    nodes, values, tracked = [], [], False
    for x in inputs:
        node = x.node
        value = node.value
        if value is None:
            raise _missing_value(op, node)
        nodes.append(node)
        values.append(value)
        if node.requires_grad:
            tracked = True
    try:
        value = op.value(*values, **attrs) if attrs else op.value(*values)
    except Exception as error:
        raise _explain(op, nodes, attrs, error) from error
    if type(value) is not ndarray and type(value) is not tuple:
        value = asarray(value)  # NumPy turns 0-d results into scalars
    tracked = tracked and modes.grad and op.pullback is not None
    if not (tracked or op.view):
        return Tensor(Node(None, (), NO_ATTRS, value, False))
    out = Tensor(Node(op, tuple(nodes), attrs, value, tracked, user_site(2)))
    if op.view:
        out.base = inputs[0]  # whose memory it is
    return out


def reapply(op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> Tensor:
    """The result of a recorded operation on other inputs."""
    return apply(op, inputs, attrs) if op.again is None else op.again(*inputs, **attrs)


def symbolic(op: Op, nodes: tuple[Node, ...], attrs: dict[str, Any]) -> Node:
    """A node without a value, its type given by the operation's rule."""
    types = [n.type for n in nodes]
    type = op.type(*types, **attrs) if attrs else op.type(*types)
    tracked = op.pullback is not None and any([n.requires_grad for n in nodes]) and modes.grad
    node = Node(op, nodes, attrs, None, tracked, user_site())
    node.type = type
    return node


def _explain(op: Op, nodes: list[Node], attrs: dict[str, Any], error: Exception) -> Exception:
    """The specific error for a value function that failed: the type rule knows it."""
    if isinstance(error, UsageError):
        return error
    try:
        op.type(*[n.type for n in nodes], **attrs)
    except UsageError as specific:
        return specific
    if isinstance(error, (MemoryError, Warning, FloatingPointError)):
        return error
    got = ", ".join(str(n.type) for n in nodes)
    return InternalError(f"{op.name}: the value function failed on {got}: {error}")


def _missing_value(op: Op, node: Node) -> Exception:
    what = f"tensor {node.name!r}" if node.name else f"a {node.type} tensor"
    made = f"{node.op.name} at {describe_site(node.site)}" if node.op else "the function"
    if isinstance(node.fate, Consumed):
        return node.fate.error(op.name)
    if isinstance(node.fate, Changed):
        return ChangedValueError(
            f"backward: {op.name} needs the value of {what} that {made} used, but"
            f" {node.fate.action} at {describe_site(node.fate.site)} has changed it in place since;"
            " make the change after backward(), or on a copy: x = x.clone()"
        )
    return CaptureError(
        f"{op.name}: {what} made by {made} belongs to a capture that has ended and has no value;"
        " return it from the captured function instead of storing it"
    )
