"""simplify: algebra that holds for every float, and operations on constants.

Nothing here changes a result by a bit, but that powers become more exact: x * 0 stays, since x
may be inf or nan, and x + 0 goes only where the zero's sign cannot matter.  May import the floor
and ops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from ..graph.apply import symbolic
from ..graph.node import Node
from ..graph.op import Op
from ..graph.region import Region, constant_node, rewrite
from ..ops.declare import RECORDS

_POWERS = (1, 2, 3, -1, 0.5, -0.5)
LARGEST_FOLDED = 1 << 16  # bytes; larger results of constants are computed by the program


def simplify(region: Region) -> Region:
    """Drop what does nothing, compute what is known, and turn products instead of results."""
    return rewrite(_turned_products(region), _rule)


def _turned_products(region: Region) -> Region:
    """(a @ b).mT is b.mT @ a.mT: products read their operands either way at no cost.

    Only where nobody else wants a @ b, which would be computed twice.
    """
    if not any(map(_swaps_last_two, region.nodes)):
        return region
    users = Counter(i for node in region.nodes for i in node.inputs)
    users.update(region.outputs)

    def rule(node: Node, before: Node) -> Node | None:
        product = node.inputs[0] if node.inputs else None
        if product is None or product.op is None or product.op.name != "matmul":
            return None
        if not _swaps_last_two(node) or users[before.inputs[0]] != 1:
            return None
        a, b = (_permuted(x, node.op) for x in product.inputs)
        turned = symbolic(product.op, (b, a), {})
        return turned

    return rewrite(region, rule)


def _swaps_last_two(node: Node) -> bool:
    if node.op is None or node.op.name != "permute_dims":
        return False
    axes = node.attrs["axes"]
    count = len(axes)
    return axes == (*range(count - 2), count - 1, count - 2)


def _permuted(x: Node, permute_dims: Op | None) -> Node:
    assert permute_dims is not None
    count = len(x.type.shape)
    return symbolic(permute_dims, (x,), {"axes": (*range(count - 2), count - 1, count - 2)})


def _rule(node: Node, before: Node) -> Node | None:
    if node.op is None or node.op.again is not None:
        return None
    simpler = _RULES.get(node.op.name)
    found = simpler(node) if simpler is not None else None
    return found if found is not None else _folded(node)


def _folded(node: Node) -> Node | None:
    """The value of an operation on constants."""
    values = [i.value for i in node.inputs]
    if node.op is None or not values or any(not isinstance(v, np.ndarray) for v in values):
        return None
    if node.several or int(np.prod(node.type.shape)) * node.type.dtype.itemsize > LARGEST_FOLDED:
        return None
    if sum(v.nbytes for v in values) > LARGEST_FOLDED:
        return None
    return constant_node(np.array(node.op.value(*values, **node.attrs)))


def _is(node: Node, number: float) -> bool:
    """Whether a node is this constant everywhere."""
    value = node.value
    if not isinstance(value, np.ndarray) or value.size == 0 or value.size > 16:
        return False
    same = (value == number).all()
    return bool(same and (number != 0 or not np.signbit(np.real(value)).any()))


def _if_same_type(node: Node, kept: Node) -> Node | None:
    return kept if kept.type == node.type else None


def _pass_through(node: Node) -> Node | None:
    return node.inputs[0]


def _mul(node: Node) -> Node | None:
    x, y = node.inputs
    if node.type.dtype.kind == "c":  # times 1 + 0j, the parts of infinities become nan
        return None
    if _is(y, 1):
        return _if_same_type(node, x)
    return _if_same_type(node, y) if _is(x, 1) else None


def _div(node: Node) -> Node | None:
    x, y = node.inputs
    if node.type.dtype.kind == "c":
        return None
    return _if_same_type(node, x) if _is(y, 1) else None


def _sub(node: Node) -> Node | None:
    x, y = node.inputs
    return _if_same_type(node, x) if _is(y, 0) else None  # x - 0.0 is x, even for -0.0


def _add(node: Node) -> Node | None:
    x, y = node.inputs
    if x.type.dtype.kind not in "iu":
        return None  # -0.0 + 0.0 is 0.0
    if _is(y, 0):
        return _if_same_type(node, x)
    return _if_same_type(node, y) if _is(x, 0) else None


def _neg(node: Node) -> Node | None:
    x = node.inputs[0]
    return x.inputs[0] if x.op is not None and x.op.name == "neg" else None


def _pow(node: Node) -> Node | None:
    """Powers without a logarithm."""
    x, y = node.inputs
    if x.type != node.type or x.type.dtype.kind == "c":
        return None
    exponents = _POWERS if x.type.dtype.kind == "f" and x.type.dtype.itemsize > 2 else (1, 2)
    for exponent in exponents:
        if _is(y, exponent):
            return _power(x, exponent)
    return None


def _power(x: Node, exponent: float) -> Node:
    if exponent < 0:
        return _of("div", _number(1, x), _power(x, -exponent))
    if exponent == 0.5:  # of -inf it is inf, of -0.0 it is 0.0
        root = _of("sqrt", _of("add", x, _number(0, x)))
        return _of("where", _of("equal", x, _number(-np.inf, x)), _number(np.inf, x), root)
    return x if exponent == 1 else _of("mul", _power(x, exponent - 1), x)


def _of(name: str, *inputs: Node) -> Node:
    return symbolic(RECORDS[name], inputs, {})


def _number(number: float, like: Node) -> Node:
    return constant_node(np.array(number, like.type.dtype))


def _where(node: Node) -> Node | None:
    condition, x, y = node.inputs
    if _is(condition, True):
        return _if_same_type(node, x)
    return _if_same_type(node, y) if _is(condition, False) else None


def _reshape(node: Node) -> Node | None:
    x = node.inputs[0]
    if x.op is not None and x.op.name == "reshape":
        assert node.op is not None
        return _if_same_type(node, x.inputs[0]) or symbolic(node.op, x.inputs, node.attrs)
    return _if_same_type(node, x)


def _same(node: Node) -> Node | None:
    return _if_same_type(node, node.inputs[0])


def _chain(node: Node) -> Node | None:
    """permute after permute that undoes it."""
    x = node.inputs[0]
    if x.op is None or x.op.name != "permute_dims":
        return None
    outer, inner = node.attrs["axes"], x.attrs["axes"]
    undone = [inner[i] for i in outer] == list(range(len(outer)))
    return x.inputs[0] if undone else None


_RULES: dict[str, Callable[[Node], Node | None]] = {
    "identity": _pass_through,
    "detach": _pass_through,
    "clone": _pass_through,
    "mul": _mul,
    "div": _div,
    "sub": _sub,
    "add": _add,
    "neg": _neg,
    "pow": _pow,
    "where": _where,
    "reshape": _reshape,
    "broadcast_to": _same,
    "cast": _same,
    "permute_dims": _chain,
}
