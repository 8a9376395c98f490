"""The graph to look at: as lines of text, as an indented tree, in the DOT language.

Reads nodes and changes nothing.  No walk recurses and no node is printed twice, so a long
chain and a graph with very many paths are printed in time proportional to their nodes and
edges.  May import the floor and NumPy.

    >>> import slotgrad as sg
    >>> x = sg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> print(graph((x * 3).sum()))
    %0 x = parameter                       float32[2]  [1. 2.]  requires_grad
    %1 = constant                          float32[]   3.
    %2 = mul(%0, %1)                       float32[2]  [3. 6.]  requires_grad
    %3 = sum(%2) axis=(0,) keepdims=False  float32[]   9.       requires_grad
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import OptionError, UsageError
from ..tensor import Tensor
from ..tree import leaves_of
from .node import Changed, Freed, Node, ancestors

_FEW = 8  # elements of a value that are written out
_NAME, _ATTR, _DEFINITION, _TYPE, _VALUE = 32, 28, 60, 28, 56  # longest texts, in characters
_LEVELS = 24  # of indentation; deeper levels are numbered instead


class Graph:
    """The nodes that some results depend on, inputs before their users.

    `str()` is the text; iteration and `len()` are over `nodes`, a list.  Node number i of the
    list is `%i` in the text and `ni` in DOT.
    """

    def __init__(self, roots: Iterable[Node], depth: int | None = None, nested: bool = False):
        self.roots = tuple(dict.fromkeys(roots))
        kept = ancestors(self.roots) if depth is None else _nearest(self.roots, depth)
        self.nodes = _in_order(self.roots, set(kept))
        self.nested = nested
        self._number = {node: i for i, node in enumerate(self.nodes)}

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._number

    def __str__(self) -> str:
        return "\n".join(_aligned(self._tree() if self.nested else self._list()))

    __repr__ = __str__

    def edges(self) -> Iterator[tuple[int | None, int]]:
        """(number of the input, number of its user) for each argument; None: beyond `depth`."""
        for user, node in enumerate(self.nodes):
            for i in node.inputs:
                yield self._number.get(i), user

    def to_dot(self) -> str:
        """The graph in the DOT language of Graphviz: one record for each node."""
        lines = ["digraph slotgrad {", *_DOT_HEAD]
        for i, node in enumerate(self.nodes):
            style = _DOT_STYLE.get(kind(node), _DOT_STYLE["operation"])
            fields = "|".join(_escaped(field) for field in card(node))
            lines.append(f'  n{i} [label="{{{fields}}}", {style}];')
        edges = list(self.edges())
        lines += [f"  n{source} -> n{user};" for source, user in edges if source is not None]
        for user in dict.fromkeys(user for source, user in edges if source is None):
            lines.append(f'  cut{user} [label="...", shape=plaintext];')
            lines.append(f"  cut{user} -> n{user} [style=dashed];")
        return "\n".join([*lines, "}"]) + "\n"

    def _list(self) -> Iterator[tuple[str, Node | None]]:
        return ((self._definition(node), node) for node in self.nodes)

    def _tree(self) -> Iterator[tuple[str, Node | None]]:
        """The definitions indented under their users, each once."""
        seen: set[Node] = set()
        stack: list[tuple[int, Node]] = [(0, root) for root in reversed(self.roots)]
        while stack:
            level, node = stack.pop()
            indent = "  " * min(level, _LEVELS) + (f"({level}) " if level > _LEVELS else "")
            if node not in self:
                yield f"{indent}...", None
            elif node in seen:
                yield f"{indent}{self._label(node)} (above)", None
            else:
                seen.add(node)
                yield indent + self._definition(node), node
                stack += [(level + 1, i) for i in reversed(node.inputs)]

    def _label(self, node: Node) -> str:
        return f"%{self._number[node]}{' ' * bool(node.name)}{_name(node)}"

    def _definition(self, node: Node) -> str:
        what = kind(node)
        if what == "operation":
            inputs = [f"%{self._number[i]}" if i in self else "..." for i in node.inputs]
            if isinstance(node.fate, Freed):
                inputs = ["<freed by backward>"]
            what = f"{_op_name(node)}({', '.join(inputs)}){_attrs(node)}"
        return f"{self._label(node)} = {what}"


def graph(t: Any, depth: int | None = None, nested: bool = False) -> Graph:
    """What `t` was computed from, as an object whose text lists it node by node.

    t         a Tensor, or a tree of them
    depth     keep the nodes at most this many steps from `t`; default: all of them
    nested    as a tree, inputs indented under the node that uses them, instead of a list;
              a node that was printed before is only referred to

    A line has the number and name of the node, the operation with its inputs and arguments,
    dtype and shape, the value (of more than 8 elements their range and mean), and the gradient
    once there is one.  Leaves are a parameter (requires gradients), an input (has a name, or
    its value is yet to come) or a constant.  After backward() has freed the tape, what is left
    of it is shown.

    Raises UsageError if there is no tensor in `t`, OptionError on a negative depth.

    >>> import slotgrad as sg
    >>> a, b = sg.tensor(2.0, requires_grad=True, name="a"), sg.tensor(3.0, name="b")
    >>> y = (a + b) * a
    >>> y.backward(retain_graph=True)
    >>> print(graph(y, nested=True))
    %3 = mul(%2, %0)      float32[]  10.  requires_grad
      %2 = add(%0, %1)    float32[]  5.   requires_grad
        %0 a = parameter  float32[]  2.   grad=7.
        %1 b = input      float32[]  3.
      %0 a (above)
    """
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise OptionError(f"graph: got depth={depth!r}; expected None or an integer from 0 on")
    leaves = [getattr(x, "node", x) for x in leaves_of(t)]
    roots = [x for x in leaves if isinstance(x, Node)]
    if not roots:
        raise UsageError(
            f"graph: got a {type(t).__name__} without a tensor in it; expected a Tensor, or a list,"
            " tuple, dict or dataclass of them"
        )
    return Graph(roots, depth, nested)


def to_dot(t: Any, depth: int | None = None) -> str:
    """The graph of `t` in the DOT language of Graphviz; arguments as of `graph`.

    Each node is a record of name and operation, type, value and gradient.

    >>> import slotgrad as sg
    >>> print(to_dot(sg.tensor(2.0, name="a")).splitlines()[-2])
      n0 [label="{a = input|float32[]|2.}", shape=record, style=filled, fillcolor="#dcebfb"];
    """
    return graph(t, depth).to_dot()


# -- what is said of a node ----------------------------------------------------------------------


def kind(node: Node) -> str:
    """ "operation", "parameter", "input" or "constant"."""
    if node.op is not None:
        return "operation"
    if node.requires_grad:
        return "parameter"
    return "input" if node.name or node.value is None else "constant"


def card(node: Node) -> list[str]:
    """A node in the short lines of a picture: title, type, value, gradient where there is one."""
    what = kind(node)
    if what == "operation":
        what = f"{_op_name(node)}{_attrs(node)}"
    title = f"{_name(node)} = {what}" if node.name else what
    lines = [title, type_text(node), _value(node)]
    gradient = gradient_of(node)
    return lines if gradient is None else [*lines, f"grad={_short(gradient, _VALUE)}"]


def type_text(node: Node) -> str:
    """`float32[2, 3]`; a list in parentheses for an operation with several results."""
    return f"({', '.join(map(str, node.type))})" if node.several else str(node.type)


def gradient_of(node: Node) -> str | None:
    """The summary of the gradient that the node's tensor holds, or None."""
    owner = node.owner() if node.owner is not None else None
    if owner is None or owner.grad is None:
        return None
    return _value(owner.grad.node)


def summarize(value: np.ndarray) -> str:
    """A value in one line: its elements, or range and mean if there are more than 8.

    >>> summarize(np.array([[1.0, 1 / 3]])), summarize(np.arange(10.0))
    ('[[1. 0.33333]]', 'min 0. mean 4.5 max 9.')
    """
    if value.dtype.kind == "V":  # bfloat16, which NumPy cannot print
        value = value.astype(np.float32)
    if value.size > _FEW:
        return _range(value)
    if value.size == 1:  # what array2string would say, 20 times faster
        return "[" * value.ndim + _number(value.item()) + "]" * value.ndim
    text = np.array2string(
        value, threshold=_FEW + 1, max_line_width=1000, formatter={"all": _number}
    )
    return " ".join(text.split())


@np.errstate(over="ignore")  # a mean or an absolute value may be beyond the largest number
def _range(value: np.ndarray) -> str:
    if value.dtype.kind == "b":
        return f"{np.count_nonzero(value)} of {value.size} true"
    size = np.abs(value) if value.dtype.kind == "c" else value
    finite = size[np.isfinite(size)]
    nans = int(np.isnan(size).sum())
    counts = {"nan": nans, "inf": value.size - finite.size - nans}
    said = [f"{count} {name}" for name, count in counts.items() if count]
    if finite.size:
        of = {"min": finite.min(), "mean": finite.mean(dtype=np.float64), "max": finite.max()}
        said += ["abs"] * (value.dtype.kind == "c")
        said += [f"{name} {_number(x.item(), 4)}" for name, x in of.items()]
    return " ".join(said)


def _number(x: Any, digits: int = 5) -> str:
    if isinstance(x, (float, np.floating)):
        text = f"{float(x):.{digits}g}"
        return f"{text}." if text.lstrip("-").isdigit() else text
    if isinstance(x, (complex, np.complexfloating)):
        return f"{complex(x):.4g}"
    return str(x)


def _value(node: Node) -> str:
    if isinstance(node.value, tuple):
        return _short("; ".join(map(summarize, node.value)), _VALUE)
    if node.value is not None:
        return _short(summarize(node.value), _VALUE)
    if isinstance(node.fate, Changed):
        return f"<changed by {node.fate.action}>"
    return "<recorded>"


def _name(node: Node) -> str:
    return _short(str(node.name), _NAME) if node.name else ""


def _op_name(node: Node) -> str:
    return node.op.name if node.op is not None else ""


def _attrs(node: Node) -> str:
    return "".join(f" {name}={_attr(value)}" for name, value in node.attrs.items())


def _attr(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{value.dtype}{list(value.shape)}>"
    if isinstance(value, Tensor):
        return f"<{value.node.type}>"
    text = repr(value)
    if " at 0x" in text:  # an address says nothing, and is another one in every run
        return f"<{getattr(value, '__name__', type(value).__name__)}>"
    return _short(text, _ATTR)


def _short(text: str, longest: int) -> str:
    """One line of printable characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


# -- lines and records ---------------------------------------------------------------------------


def _nearest(roots: Iterable[Node], depth: int) -> dict[Node, None]:
    """The nodes at most `depth` edges away from a root."""
    seen = frontier = dict.fromkeys(roots)
    for _ in range(depth):
        frontier = dict.fromkeys(i for node in frontier for i in node.inputs if i not in seen)
        if not frontier:
            break
        seen = seen | frontier
    return seen


def _in_order(roots: Iterable[Node], kept: set[Node]) -> list[Node]:
    """The kept nodes, inputs before users, each just before the first node that reads it.

    By id a shared constant would stand where the program used it first, anywhere in a formula.
    """
    placed: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(tuple(roots))]
    while stack:
        node, inputs_placed = stack.pop()
        if inputs_placed:
            placed[node] = None
        elif node not in placed and node in kept:
            stack.append((node, True))
            stack += [(i, False) for i in reversed(node.inputs)]
    return list(placed)


def _aligned(rows: Iterable[tuple[str, Node | None]]) -> list[str]:
    """Rows of definition, type, value and gradient, in columns of bounded width."""
    table = [(text, *_columns(node)) for text, node in rows]
    bounds = (_DEFINITION, _TYPE, _VALUE)
    widths = [
        max((len(row[i]) for row in table if len(row[i]) <= bound), default=0)
        for i, bound in enumerate(bounds)
    ]
    return ["  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in table]


def _columns(node: Node | None) -> tuple[str, str, str]:
    if node is None:
        return "", "", ""
    gradient = gradient_of(node)
    mark = "requires_grad" if node.requires_grad else ""
    return type_text(node), _value(node), mark if gradient is None else f"grad={gradient}"


_DOT_HEAD = (
    "  rankdir=TB;",
    '  node [fontname="monospace", fontsize=10, color="#444444"];',
    '  edge [color="#777777", arrowsize=0.7];',
)

_DOT_STYLE = {
    "parameter": 'shape=record, style="filled,bold", fillcolor="#d9f2de"',
    "input": 'shape=record, style=filled, fillcolor="#dcebfb"',
    "constant": 'shape=record, style="filled,dashed", fillcolor="#eeeeee"',
    "operation": 'shape=Mrecord, style=filled, fillcolor="#fff6dd"',
}


def _escaped(text: str) -> str:
    """Text for a field of a record in a quoted string; `&` would open an HTML entity."""
    for special in '\\"{}|<>':
        text = text.replace(special, "\\" + special)
    return text.replace("&", "&amp;").replace("  ", "\\ \\ ")
