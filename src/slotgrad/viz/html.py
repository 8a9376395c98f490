"""A tensor as HTML, for notebooks.  Strings only, nothing to install; may import the floor."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ..graph.show import gradient_of, kind, type_text
from ..tensor import Tensor

_ROWS, _COLUMNS = 10, 12  # cells shown of each; the rest is an ellipsis
_LOW, _MIDDLE, _HIGH = (59, 76, 192), (247, 247, 247), (180, 4, 38)  # of the colour scale

_TABLE = "border-collapse:collapse;font:12px monospace;margin:2px 0"
_CELL = "text-align:right;padding:2px 6px;border:1px solid #ddd"


def as_html(t: Tensor) -> str:
    """A tensor as an HTML table: what it is, and its values coloured by sign and size.

    Blue is the most negative, red the most positive value, white is 0.  Of more than two axes
    the first matrix is shown; of a large one the corners.

    >>> import slotgrad as sg
    >>> as_html(sg.tensor([True], name="<ok>"))[:68]
    '<div><div style="font:12px monospace"><b>&lt;ok&gt;</b> = input bool'
    """
    node = t.node
    value = node.value
    what = kind(node) if node.op is None else node.op.name
    said = [f"= {what} {type_text(node)}" if node.name else f"{what} {type_text(node)}"]
    if node.requires_grad:
        gradient = gradient_of(node)
        said.append("requires_grad" if gradient is None else f"grad={gradient}")
    body = "<i>recorded, no value yet</i>"
    if isinstance(value, np.ndarray):
        if value.ndim > 2 and value.size:
            said.append(f"shown: [{'0, ' * (value.ndim - 2)}:, :]")
            value = value[(0,) * (value.ndim - 2)]
        body = _table(value) if value.size else "<i>no elements</i>"
    name = f"<b>{escape(str(node.name))}</b> " if node.name else ""
    head = f'<div style="font:12px monospace">{name}{escape(" · ".join(said))}</div>'
    return f"<div>{head}{body}</div>"


def _table(value: np.ndarray) -> str:
    """A table of a value with at most two axes."""
    if value.dtype.kind == "V":  # bfloat16
        value = value.astype(np.float32)
    matrix: Any = value.reshape((1, -1) if value.ndim < 2 else value.shape)
    coloured = matrix.dtype.kind == "f"
    finite = np.abs(matrix[np.isfinite(matrix)]) if coloured else np.empty(0)
    largest = float(finite.max(initial=0.0))
    columns = _places(matrix.shape[1], _COLUMNS)
    rows = []
    for i in _places(matrix.shape[0], _ROWS):
        if i is None:
            rows.append(f'<td style="{_CELL}">⋮</td>' * len(columns))
            continue
        cells = ["⋯" if j is None else matrix[i, j] for j in columns]
        rows.append("".join(_cell(x, largest, coloured) for x in cells))
    return f'<table style="{_TABLE}">{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def _places(size: int, most: int) -> list[int | None]:
    """Indices to show along an axis: all, or both ends with None between."""
    if size <= most:
        return list(range(size))
    half = most // 2
    return [*range(half), None, *range(size - half, size)]


def _cell(x: Any, largest: float, coloured: bool) -> str:
    style = _CELL
    if coloured and not isinstance(x, str):
        style += f";{_colours(float(x), largest)}"
    if isinstance(x, (float, complex, np.inexact)):
        x = f"{x:.4g}"
    return f'<td style="{style}">{escape(str(x))}</td>'


def _colours(x: float, largest: float) -> str:
    """Background on the scale from -largest to largest, and a text colour to read on it."""
    if not np.isfinite(x):
        return "background:#ffd54a;color:#000"
    part = abs(x) / largest if largest else 0.0
    end = _LOW if x < 0 else _HIGH
    red, green, blue = (round(m + (e - m) * part) for m, e in zip(_MIDDLE, end))
    return f"background:#{red:02x}{green:02x}{blue:02x};color:#{'fff' if part > 0.55 else '000'}"
