"""Reverse mode, in one loop over the graph, and `Tensor.backward`.

The rules are written in the library's own operations, so the sweep can itself be recorded:
that is how second derivatives and captured steps come about.

May import the floor and ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..config import grad_mode, modes
from ..errors import FreedGraphError, GradientError, InternalError, describe_site, user_site
from ..graph.node import Changed, Freed, Node, Tapeless, ancestors
from ..ops.declare import as_tensor, constant
from ..ops.stop import Part, items
from ..tensor import Tensor

Cotangents = dict[Node, Any]


def reverse(
    seeds: Cotangents,
    order: Iterable[Node],
    wanted: Callable[[Node], bool],
) -> Cotangents:
    """Carry cotangents from the seeds down to the wanted nodes; returns those of the wanted.

    order holds the nodes to visit, inputs before users; cotangents of other nodes are dropped.
    """
    g_of: Cotangents = dict(seeds)
    inside = order if isinstance(order, dict) else dict.fromkeys(order)
    found: Cotangents = {}
    for node in reversed(inside):
        g = g_of.pop(node, None)
        if g is None:
            continue
        if wanted(node):
            found[node] = g
        if isinstance(node.fate, Freed):
            raise FreedGraphError(
                f"backward: the graph through {node.op.name if node.op else 'a leaf'} was freed by"
                f" backward() at {describe_site(node.fate.site)}; call that one with"
                " retain_graph=True, or compute the value again"
            )
        if isinstance(node.requires_grad, Tapeless):
            raise node.requires_grad.error()
        if not node.inputs or node.op.pullback is None:
            continue  # a leaf
        for i, gi in zip(node.inputs, pulled_back(node, g)):
            if gi is None or i not in inside:
                continue
            if callable(gi):
                gi = gi()
            if isinstance(gi, Part):
                g_of[i] = _with_part(g_of.get(i) or [None] * len(i.type), gi)
            else:
                g_of[i] = g_of[i] + gi if i in g_of else gi
    return found


def pulled_back(node: Node, g: Any) -> Sequence[Any]:
    """One cotangent for each input of a node, by its operation's rule."""
    op = node.op
    if op is None or op.pullback is None:
        raise InternalError(f"no derivative of {node}; it should not be on the tape")
    if isinstance(g, list):  # of an operation with several results
        g = tuple(_zeros(t) if x is None else x for x, t in zip(g, node.type))
        out: Any = _results(node)
    else:
        out = recalled(node, node) if op.reads_out else None
    inputs, attrs = [recalled(i, node) for i in node.inputs], node.attrs
    return op.pullback(g, out, *inputs, **attrs) if attrs else op.pullback(g, out, *inputs)


def recalled(node: Node, user: Node) -> Tensor:
    """A tensor for the rule of `user` to read; valueless if it was changed in place since."""
    base = node
    while base.op is not None and base.op.view and base.fate is None and base.inputs:
        base = base.inputs[0]
    if not isinstance(base.fate, Changed):
        return Tensor(node)
    lost = Node(user.op, node.inputs, node.attrs, None, node.requires_grad, user.site)
    lost.type, lost.name, lost.fate = node.type, node.name or base.name, base.fate
    return Tensor(lost)


def _results(node: Node) -> tuple[Tensor, ...]:
    """The results of an operation with several, as tensors of their own on the graph."""
    return items(Tensor(node), len(node.type))


def _zeros(type: Any) -> Tensor:
    return constant(np.zeros(type.shape, type.dtype))


def _with_part(parts: list[Tensor | None], part: Part) -> list[Tensor | None]:
    """The cotangents of several results with one more contribution."""
    before = parts[part.index]
    parts[part.index] = part.g if before is None else before + part.g
    return parts


def backward(
    self: Tensor,
    gradient: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the derivative of this tensor to `.grad` of every leaf that requires gradients.

    gradient      cotangent of this tensor; default 1, for a tensor with one element
    retain_graph  keep the graph for another backward; default: if create_graph
    create_graph  record the sweep, so that the gradients can be differentiated again

    Also fills `.grad` of tensors that were told to `retain_grad()`.  Raises GradientError if
    there is nothing to differentiate, FreedGraphError on a second call without retain_graph.

    >>> import slotgrad as sg
    >>> x = sg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    root = self.node
    if not root.requires_grad:
        raise GradientError(
            f"backward: this tensor of shape {self.shape} depends on no tensor that requires"
            " gradients; make one with requires_grad=True, and mind no_grad() and detach()"
        )
    g = seed(self, gradient)
    if modes.capture is not None:
        modes.capture.prepare([self])
        root = self.node
    order = dict.fromkeys(ancestors([root], tracked_only=True))
    with grad_mode(create_graph):
        found = reverse({root: g}, order, lambda node: node.owner is not None)
        for node, g in found.items():
            owner = node.owner() if node.owner is not None else None
            if owner is not None:
                owner.grad = g if owner.grad is None else owner.grad + g
    if create_graph if retain_graph is None else retain_graph:
        return
    if modes.capture is None:
        _free(order)
    else:
        modes.capture.release(order)


def seed(y: Tensor, gradient: Any) -> Tensor:
    """The cotangent that a backward sweep starts with, checked against the tensor."""
    if gradient is None:
        if y.size != 1:
            raise GradientError(
                f"backward: got a tensor of shape {y.shape} and no gradient; expected one element,"
                " reduce it with .sum() or pass backward(gradient) of its shape"
            )
        return constant(np.ones(y.shape, y.dtype))
    g = as_tensor(gradient, y.dtype)
    if g.shape != y.shape:
        raise GradientError(
            f"backward: got a gradient of shape {g.shape} for a tensor of shape {y.shape}; the"
            " shapes must be equal"
        )
    return g.astype(y.dtype, copy=False)


def _free(nodes: Iterable[Node]) -> None:
    """Let go of what the tape holds.  Views stay: they own no memory but their base's."""
    freed = Freed(user_site())
    for node in nodes:
        if node.op is not None and not node.op.view:
            node.inputs, node.fate = (), freed
