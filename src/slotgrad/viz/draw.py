"""The graph as a picture.

With Graphviz on the machine, `dot` draws it; without, the layout of this package does, with
matplotlib.  A face: may import everything.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..graph.show import Graph, card, graph, kind
from .canvas import PathLike, matplotlib, picture_path, save_figure, write
from .layout import Layout, Point, layered

MOST_NODES = 400

_LETTER, _LINE, _PAD, _MARGIN = 0.0672, 0.15, 0.09, 0.15  # inches, for 8 pt type
_LONGEST = 48  # characters in a line of a box

# fill, frame, line width, line style, shape
_LOOK = {
    "parameter": ("#d9f2de", "#2f8f4e", 1.6, "-", "square"),
    "input": ("#dcebfb", "#3b78b5", 1.2, "-", "square"),
    "constant": ("#eeeeee", "#888888", 0.9, "--", "square"),
    "operation": ("#fff6dd", "#b98a1f", 1.0, "-", "round"),
    "result": ("#fde3d3", "#c2571a", 1.8, "-", "round"),
    "cut": ("none", "none", 0.0, "-", "square"),
}


def draw(t: Any, path: PathLike, depth: int | None = None) -> Path:
    """Draw the graph that `t` was computed from; returns the path of the picture.

    t       a Tensor, or a tree of them
    path    of the picture: ends in .png, .svg or .pdf
    depth   as of `sg.graph`: only the nodes at most this many steps from `t`

    Each box has name and operation, type, value and gradient.  Parameters are green, inputs
    blue, constants grey; operations have round corners.

    Raises UsageError for more than 400 nodes, or where neither Graphviz nor matplotlib is
    installed, OptionError on another suffix, FileError if the file cannot be written.

    >>> import slotgrad as sg, tempfile
    >>> a = sg.tensor(2.0, requires_grad=True, name="a")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(a * a, f"{folder}/square.svg").name
    'square.svg'
    """
    target, shown = picture_path(path, "draw"), graph(t, depth)
    if len(shown) > MOST_NODES:
        raise UsageError(
            f"draw: the graph has {len(shown)} nodes; expected at most {MOST_NODES}, which is what"
            " fits a picture; pass depth= to draw the nearest ones, or print sg.graph(t)"
        )
    graphviz = _graphviz()
    if graphviz is not None:
        picture = graphviz.Source(shown.to_dot()).pipe(format=target.suffix.lower()[1:])
        write(picture, target, "draw")
    else:
        save_figure(_figure(shown), target, "draw")
    return target


def _graphviz() -> Any:
    """The graphviz package if it and the program it calls are installed, otherwise None."""
    import shutil  # here, for it costs `import slotgrad` 3 ms

    if shutil.which("dot") is None:
        return None
    try:
        return importlib.import_module("graphviz")
    except ImportError:
        return None


def _figure(shown: Graph) -> Any:
    """The graph drawn with matplotlib, in inches all over."""
    boxes, looks, edges = _boxes(shown)
    places = layered([_size(lines) for lines in boxes], edges)
    width, height = places.width + 2 * _MARGIN, places.height + 2 * _MARGIN
    figure = matplotlib("figure", "draw").Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
    axes.axis("off")
    _draw_edges(axes, places)
    for lines, look, centre in zip(boxes, looks, places.centres):
        _draw_box(axes, lines, look, centre)
    return figure


def _boxes(shown: Graph) -> tuple[list[list[str]], list[str], list[tuple[int, int]]]:
    """Lines and look of each box, and the edges; what `depth` cut off is a box of dots."""
    boxes, looks, position, edges = [], [], [], []
    for node in shown:
        if any(i not in shown for i in node.inputs):  # stands before its user
            boxes.append(["..."])
            looks.append("cut")
            edges.append((len(boxes) - 1, len(boxes)))
        position.append(len(boxes))
        boxes.append([_clipped(line) for line in card(node)])
        result = node in shown.roots and node.op is not None
        looks.append("result" if result else kind(node))
    edges += [(position[a], position[b]) for a, b in shown.edges() if a is not None]
    return boxes, looks, edges


def _clipped(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _size(lines: Sequence[str]) -> Point:
    return max(map(len, lines)) * _LETTER + 2 * _PAD, len(lines) * _LINE + 2 * _PAD


def _draw_box(axes: Any, lines: Sequence[str], look: str, centre: Point) -> None:
    patches = matplotlib("patches", "draw")
    fill, frame, line_width, style, shape = _LOOK[look]
    (x, y), (width, height) = centre, _size(lines)
    corner = {"square": "square,pad=0", "round": "round,pad=0,rounding_size=0.09"}[shape]
    axes.add_patch(
        patches.FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle=corner, facecolor=fill,
            edgecolor=frame, linewidth=line_width, linestyle=style, zorder=2,
        )
    )  # fmt: skip
    for i, line in enumerate(lines):
        axes.text(
            x, y + (i - (len(lines) - 1) / 2) * _LINE, line, ha="center", va="center_baseline",
            fontsize=8, family="DejaVu Sans Mono", weight="bold" if i == 0 else "normal",
            color="#a02020" if line.startswith("grad=") else "#222222", zorder=3,
            parse_math=False,  # a name may contain dollars
        )  # fmt: skip


def _draw_edges(axes: Any, places: Layout) -> None:
    patches, paths = matplotlib("patches", "draw"), matplotlib("path", "draw")
    path = paths.Path
    for course in places.courses:
        points, codes = [course[0]], [path.MOVETO]
        for (x0, y0), (x1, y1) in zip(course, course[1:]):
            middle = (y0 + y1) / 2
            points += [(x0, middle), (x1, middle), (x1, y1)]
            codes += [path.CURVE4] * 3
        axes.add_patch(
            patches.FancyArrowPatch(
                path=path(points, codes), arrowstyle="-|>,head_length=3,head_width=1.6",
                color="#777777", linewidth=0.9, shrinkA=0, shrinkB=0, zorder=1,
            )
        )  # fmt: skip
