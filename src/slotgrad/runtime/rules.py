"""What an operation on a tape computes, and what it adds to gradients, for any builder `k`.

Both come from the operation's record, so there is nothing to keep in step with the rest of the
library: the value is its kernel expression, the gradients are its pullback, recorded once.

>>> from slotgrad.kernel.scalars import code_of
>>> from slotgrad.ops.reference import k
>>> import numpy as np
>>> x, y = np.float64(3.0), np.float64(4.0)
>>> float(value(k, code_of["mul"], x, y))
12.0
>>> [float(g) for g in contributions(k, code_of["mul"], 1.0, 12.0, x, y)]
[4.0, 3.0]
>>> sorted(needs(code_of["exp"]))
['out']

May import the floor, kernel, passes and capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ..capture import capture, placeholder
from ..dtypes import float64
from ..graph.node import Node, TensorType
from ..graph.region import Region
from ..kernel.scalars import arity_of, record_of
from ..passes.pipeline import optimize

_NAMES = ("g", "out", "x", "y")  # what a pullback is given


@cache
def pullback_of(code: int) -> Region:
    """The pullback: inputs g, out, x and perhaps y, one output for each operand."""
    record = record_of(code)
    assert record.pullback is not None
    given = [placeholder(TensorType((), float64)) for _ in range(2 + arity_of(code))]

    def run() -> list[Any]:
        assert record.pullback is not None
        return [make() for make in record.pullback(*given)]

    return optimize(capture(run, given, list).region)


def value(k: Any, code: int, *operands: Any) -> Any:
    """What the operation computes."""
    kernel = record_of(code).kernel
    assert kernel is not None
    return kernel(k, *operands)


def contributions(
    k: Any, code: int, g: Any, out: Any, *operands: Any, wanted: Sequence[int] = (0, 1)
) -> list[Any]:
    """What each wanted operand's gradient grows by, where `out` has the gradient `g`.

    Of `out` and the operands, only those that `needs` names are read; others may be None.
    """
    region = pullback_of(code)
    known: dict[Node, Any] = dict(zip(region.inputs, (g, out, *operands)))
    for node in _part(region, wanted):
        if node in known:
            continue
        if node.op is None:
            assert node.value is not None
            known[node] = node.value.item()
        else:
            assert node.op.kernel is not None
            known[node] = node.op.kernel(k, *[known[i] for i in node.inputs], **node.attrs)
    return [known[node] for i, node in enumerate(region.outputs) if i in wanted]


def needs(code: int, wanted: Sequence[int] = (0, 1)) -> set[str]:
    """Which of "out", "x" and "y" the wanted contributions depend on."""
    region = pullback_of(code)
    nodes = set(_part(region, wanted))
    return {name for name, node in zip(_NAMES, region.inputs) if node in nodes and name != "g"}


def _part(region: Region, wanted: Sequence[int]) -> list[Node]:
    """The nodes that the wanted contributions depend on, in order."""
    outputs = tuple(node for i, node in enumerate(region.outputs) if i in wanted)
    return Region(region.inputs, outputs).nodes
