"""The codes of scalar operations on a tape.

A tape has columns: slot i was made by `code[i]` from the slots `first[i]` and `second[i]` (-1:
none), which come before it.

    0  LEAF     a variable
    1  NUMBER   a constant, which needs no gradient
    2  add, and so on in the order of CODES

>>> code_of["add"], name_of(3), arity_of(2), arity_of(code_of["sin"])
(2, 'sub', 2, 1)

May import the floor and ops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..graph.node import NO_ATTRS
from ..graph.op import Op
from ..ops import arithmetic, functions
from ..ops.declare import RECORDS

LEAF, NUMBER, FIRST_OPERATION = 0, 1, 2

# What a tape on disk or in another process means rests on this order: append only.
CODES: tuple[str, ...] = (
    "add", "sub", "mul", "div", "pow", "neg", "abs", "sign", "sqrt", "exp", "expm1", "log",
    "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid",
    "maximum", "minimum", "atan2", "hypot", "erf", "floor",
)  # fmt: skip

code_of: dict[str, int] = {name: i for i, name in enumerate(CODES, FIRST_OPERATION)}

_DECLARE = (arithmetic, functions)  # importing them declares the records


class Kind(NamedTuple):
    """What a code stands for: an operation and its static arguments."""

    op: Op
    attrs: dict[str, Any]


def name_of(code: int) -> str:
    """The name of an operation's code."""
    return CODES[code - FIRST_OPERATION]


def record_of(code: int) -> Op:
    """The declaration of an operation."""
    return RECORDS[name_of(code)]


def arity_of(code: int) -> int:
    """How many operands an operation has: 1 or 2."""
    kernel = record_of(code).kernel
    assert kernel is not None
    return kernel.__code__.co_argcount - 1


KINDS: tuple[Kind, ...] = tuple(Kind(RECORDS[name], NO_ATTRS) for name in CODES)  # from code 2 on
