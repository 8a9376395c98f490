"""The record that declares an operation.  May import graph.node.

Everything the library knows of an operation stands in its record: the eager value, the type
rule, the derivative, the rule for vmap, the kernel expression, the samples for the tests.
Records are made by the families in `ops/declare.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rule = Callable[..., Any]


@dataclass(eq=False, slots=True)
class Op:
    """One primitive operation.

    value      (*arrays, **attrs) -> array, or a tuple of arrays
    type       (*types, **attrs) -> TensorType, or a tuple; raises the errors on bad shapes
    pullback   (g, out, *inputs, **attrs) -> one cotangent per input: a Tensor, None, or a
               function without arguments, which is called only if that input needs it
    reads_out  whether the pullback looks at `out`; if not, it may be None
    pushforward (tangents, out, *inputs, **attrs) -> tangent of the result; a tangent may be None
    batch      (batched, *inputs, **attrs) -> result; a batched input and the result have the
               batch axis in front; None: apply example by example
    kernel     (k, ...) -> the same, for the compiler
    """

    name: str
    value: Rule
    type: Rule
    pullback: Rule | None = None
    reads_out: bool = True
    pushforward: Rule | None = None
    batch: Rule | None = None
    kernel: Rule | None = None
    family: str = "structured"
    samples: Any = ()
    accepts: str = "numeric"
    view: bool = False  # the value may share memory with the first input's
    again: Rule | None = None  # applies it anew where `apply` is not enough (custom functions)
    oracle: Rule | None = None  # an independent value for the tests, where there is one

    @property
    def differentiable(self) -> bool:
        return self.pullback is not None

    def __repr__(self) -> str:
        return f"<op {self.name}>"
