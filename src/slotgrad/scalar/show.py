"""What a tape computes, to be read: lines of code, and a graph in DOT.

The lines of the gradients come from the same rules that the native code is made of, evaluated
with a builder that writes text.  May import the floor, kernel.scalars, runtime.rules and the rest
of scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernel.scalars import FIRST_OPERATION, NUMBER, name_of
from ..runtime.rules import contributions, value
from .columns import ancestors
from .native import Tape

_LONG = 200  # nodes; of more, the first and the last half of these are shown
_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}


# -- a builder that writes text --------------------------------------------------------------------


class Term:
    """An expression as text; `strength` says how tightly its outermost operator binds."""

    def __init__(self, text: str, strength: int = 9) -> None:
        self.text = text
        self.strength = strength

    def inside(self, strength: int) -> str:
        """The text, in parentheses where it binds less."""
        return self.text if self.strength >= strength else f"({self.text})"

    def __neg__(self) -> Term:
        return Term(f"-{self.inside(7)}", 7)

    def __invert__(self) -> Term:
        return Term(f"~{self.inside(7)}", 7)


def _operator(symbol: str, strength: int) -> tuple[Any, Any]:
    def write(a: Any, b: Any) -> Any:
        if symbol == "&" and (a is False or b is False):
            return False
        left, right = _term(a), _term(b)
        if symbol == "*" and left.text.startswith("gv["):
            left, right = right, left  # the gradient behind its factor
        tight = strength + (symbol not in "+*&|")
        return Term(f"{left.inside(strength)} {symbol} {right.inside(tight)}", strength)

    return write, lambda a, b: write(b, a)


for _name, _symbol, _strength in (
    ("add", "+", 5), ("sub", "-", 5), ("mul", "*", 6), ("truediv", "/", 6), ("and", "&", 4),
    ("or", "|", 2), ("xor", "^", 3), ("lt", "<", 1), ("le", "<=", 1), ("gt", ">", 1),
    ("ge", ">=", 1), ("eq", "==", 1), ("ne", "!=", 1),
):  # fmt: skip
    _forward, _reflected = _operator(_symbol, _strength)
    setattr(Term, f"__{_name}__", _forward)
    if _strength > 1:
        setattr(Term, f"__r{_name}__", _reflected)


def _term(x: Any) -> Term:
    if isinstance(x, Term):
        return x
    text = _number(x)
    return Term(text, 7 if text.startswith("-") else 9)


def _number(x: float) -> str:
    return f"{x:g}" if float(f"{x:g}") == x else repr(float(x))


class Text:
    """The builder: every function is written as it is called."""

    def __getattr__(self, name: str) -> Any:
        shown = {"max": "maximum", "min": "minimum"}.get(name, name)

        def write(*xs: Any) -> Term:
            return Term(f"{shown}({', '.join(_term(x).text for x in xs)})")

        return write

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        """The one that is chosen, where that is known."""
        if isinstance(condition, bool):
            return a if condition else b
        return Term(f"where({', '.join(_term(x).text for x in (condition, a, b))})")

    def pow(self, x: Any, y: Any) -> Term:
        """x ** y."""
        return Term(f"{_term(x).inside(9)} ** {_term(y).inside(8)}", 8)


_k = Text()


# -- lines -----------------------------------------------------------------------------------------


def code(tape: Tape, outputs: Sequence[int]) -> str:
    """Forward and backward of what the outputs depend on."""
    slots = ancestors(tape, outputs)
    made = [s for s in slots if _is_shown(tape, s)]
    names = [f"v[{s}] is {tape.names[s]}" for s in slots if s in tape.names]
    head = [f"# {', '.join(names[:_LONG])}"] if names else []
    half = _LONG // 2
    if len(made) <= _LONG:
        first, last, between = made, [], []
    else:
        first, last = made[:half], made[-half:]
        between = [f"# ... {len(made) - _LONG} more ..."]
    forward = [*(_line(tape, s) for s in first), *between, *(_line(tape, s) for s in last)]
    backward = [line for s in reversed(last) for line in _gradient_lines(tape, s)]
    backward += between + [line for s in reversed(first) for line in _gradient_lines(tape, s)]
    return "\n".join([*head, *forward, "", *backward])


def _is_shown(tape: Tape, slot: int) -> bool:
    made = tape.code[slot] >= FIRST_OPERATION
    return bool(made) or slot in tape.customs or slot in tape.references


def _operands(tape: Tape, slot: int) -> list[int]:
    return [s for s in (tape.first.item(slot), tape.second.item(slot)) if s >= 0]


def _read(tape: Tape, slot: int) -> Term | float:
    """A slot as an operand: numbers as they are, so that expressions of them are computed."""
    return tape.values.item(slot) if tape.code[slot] == NUMBER else Term(f"v[{slot}]")


def _line(tape: Tape, slot: int) -> str:
    if slot in tape.references:
        target = tape.references[slot]
        return f"v[{slot}] = v[{'?' if target is None else target}]"
    if slot in tape.customs:
        custom = tape.customs[slot]
        given = ", ".join(_term(_read(tape, s)).text for s in custom.operands)
        return f"v[{slot}] = {custom.name}({given})"
    operation = tape.code.item(slot)
    terms = [_read(tape, s) for s in _operands(tape, slot)]
    name = name_of(operation)
    if name in _SYMBOLS or name == "neg":
        return f"v[{slot}] = {_term(value(_k, operation, *terms)).text}"
    return f"v[{slot}] = {name}({', '.join(_term(x).text for x in terms)})"


def _gradient_lines(tape: Tape, slot: int) -> list[str]:
    g = f"gv[{slot}]"
    if slot in tape.references:
        target = tape.references[slot]
        return [f"gv[{'?' if target is None else target}] += {g}"]
    if slot in tape.customs:
        custom = tape.customs[slot]
        return [
            f"gv[{s}] += {custom.name}.backward({g})[{j}]"
            for j, s in enumerate(custom.operands)
            if tape.code[s] != NUMBER
        ]
    operands = _operands(tape, slot)
    wanted = [j for j, s in enumerate(operands) if tape.code[s] != NUMBER]
    if not wanted:
        return []
    terms = [_read(tape, s) for s in operands]
    found = contributions(
        _k, tape.code.item(slot), Term(g), Term(f"v[{slot}]"), *terms, wanted=wanted
    )
    lines = []
    for j, x in zip(wanted, found):
        text = _term(x).text
        sign, text = ("-=", text[1:]) if text == f"-{g}" else ("+=", text)
        lines.append(f"gv[{operands[j]}] {sign} {text}")
    return lines


# -- the graph -------------------------------------------------------------------------------------


def to_dot(tape: Tape, outputs: Sequence[int], values: np.ndarray, gradients: np.ndarray) -> str:
    """The graph of what the outputs depend on; each node tells name, operation, value, gradient."""
    slots = ancestors(tape, outputs)
    lines = ["digraph {", "  rankdir=LR;", '  node [shape=record, fontname="monospace"];']
    for s in slots:
        title = " ".join(x for x in (tape.names.get(s, ""), _operation(tape, s)) if x)
        said = [_escaped(title), f"value {values[s]:g}"]
        if tape.code[s] != NUMBER:
            said.append(f"gradient {gradients[s]:g}")
        lines.append(f'  v{s} [label="{{{" | ".join(x for x in said if x)}}}"];')
    for s in slots:
        lines += [f"  v{i} -> v{s};" for i in _sources(tape, s)]
    return "\n".join([*lines, "}"])


def _operation(tape: Tape, slot: int) -> str:
    if slot in tape.references:
        return "reference"
    if slot in tape.customs:
        return tape.customs[slot].name
    made = tape.code.item(slot)
    if made < FIRST_OPERATION:
        return "" if made == NUMBER or slot in tape.names else f"v[{slot}]"
    name = name_of(made)
    return _SYMBOLS.get(name, name)


def _sources(tape: Tape, slot: int) -> list[int]:
    target = tape.references.get(slot)
    if target is not None:
        return [target]
    custom = tape.customs.get(slot)
    return _operands(tape, slot) if custom is None else list(custom.operands)


def _escaped(text: str) -> str:
    for special in '\\"{}|<>':
        text = text.replace(special, "\\" + special)
    return text
