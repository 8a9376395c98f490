"""Values as pictures: tensors, loss curves, and drawings made of characters.

A face: may import everything; matplotlib is loaded when the first picture is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..graph.show import summarize, type_text
from ..tensor import Tensor, tensor
from .canvas import PathLike, matplotlib, new_figure, picture_path, save_figure

_MOST_SLICES = 36
_MOST_BARS = 64
_MOST_WRITTEN = 12  # rows and columns of an image whose values are written into it
_SMOOTHED_FROM = 100  # points of a curve


def show(t: Any, path: PathLike | None = None, title: str | None = None) -> Any:
    """A picture of the values of a tensor; returns the matplotlib figure.

    t       Tensor, array or nested lists.  Two axes: an image with a colour scale; one: bars,
            or a line from 65 elements on; more: a grid of images over the leading axes (the
            first 36).  Of complex values the absolute value is shown.
    path    .png, .svg or .pdf to write; default: a figure of pyplot, which notebooks show at
            the end of the cell and scripts with `matplotlib.pyplot.show()`
    title   default: name, type and range of values

    The colour scale is centred on 0 for values of both signs.  nan and inf are yellow.

    Raises UsageError without matplotlib, CaptureError for a tensor that has no value yet,
    OptionError on another suffix, FileError if the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = show([[1.0, -3.0], [0.5, 2.0]], f"{folder}/weights.png")
    >>> figure.axes[0].images[0].get_clim()
    (-3.0, 3.0)
    """
    x = t if isinstance(t, Tensor) else tensor(t)
    target = None if path is None else picture_path(path, "show")
    value = _real(x.numpy())
    if title is None:
        name = f"{x.name}  " if x.name else ""
        title = f"{name}{type_text(x.node)}\n{summarize(x.numpy())}"
    grid = _grid(value)
    figure = new_figure("show", _figure_size(value, grid), on_screen=target is None)
    figure.suptitle(title, fontsize=9, family="DejaVu Sans Mono", parse_math=False)
    if value.ndim < 2 or not value.size:
        _draw_line(figure.add_subplot(), value.reshape(-1))
    else:
        _draw_images(figure, value.reshape(-1, *value.shape[-2:]), value.shape[:-2], grid)
    if target is not None:
        save_figure(figure, target, "show")
    return figure


def loss_curve(values: Any, path: PathLike, title: str = "loss", xlabel: str = "step") -> Path:
    """Draw how a loss, or several, went down; returns the path of the picture.

    values   a sequence of numbers or tensors, or a mapping from names to such sequences
    path     ends in .png, .svg or .pdf

    From 100 points on, the running mean is drawn over the curve.  The scale is logarithmic if
    the values are positive and span a factor of 30.  Values that are not finite are gaps, and
    the title counts them.

    Raises ShapeError on an empty sequence, OptionError on another suffix, UsageError without
    matplotlib, FileError if the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     loss_curve({"train": [2.3, 0.9, 0.4], "test": [2.3, 1.0, 0.6]}, f"{folder}/l.svg").name
    'l.svg'
    """
    target = picture_path(path, "loss_curve")
    curves = values if isinstance(values, Mapping) else {"": values}
    lines = {str(name): _curve(ys, str(name)) for name, ys in curves.items()}
    if not lines:
        raise ShapeError("loss_curve: got an empty mapping; expected at least one curve in it")
    figure = new_figure("loss_curve", (6.4, 4.0))
    _draw_curves(figure.add_subplot(), lines, title, xlabel)
    save_figure(figure, target, "loss_curve")
    return target


def as_characters(
    image: Any, characters: str = " .:-=+*#%@", columns: int = 2, low: Any = None, high: Any = None
) -> str:
    """A 2-D tensor drawn with characters, one line for each row.

    image        Tensor, array or nested lists with two axes
    characters   from the lowest to the highest value
    columns      characters for each element; 2 make up for their height
    low, high    values that the first and the last character stand for; default: the lowest
                 and the highest finite value of the image, but low is at most 0

    nan is drawn as "?".  Raises ShapeError unless there are two axes, OptionError without a
    character or column.

    >>> print(as_characters([[0, 8, 16], [16, 8, 0]]))
      ++@@
    @@++
    """
    value = _real((image if isinstance(image, Tensor) else tensor(image)).numpy())
    if value.ndim != 2:
        raise ShapeError(
            f"as_characters: got an image of shape {value.shape}; expected two axes, take one"
            " image of a batch with images[0], or reshape"
        )
    if not characters or columns < 1:
        raise OptionError(
            f"as_characters: got characters={characters!r}, columns={columns}; expected at least"
            " one of each"
        )
    finite = value[np.isfinite(value)]
    bottom = float(min(finite.min(initial=0.0), 0.0) if low is None else low)
    top = float(finite.max(initial=bottom) if high is None else high)
    part = (np.clip(value, bottom, top) - bottom) / ((top - bottom) or 1.0)
    last = len(characters) - 1
    index = np.floor(np.where(np.isnan(part), 0.0, part) * last + 0.5).astype(int)
    drawn = [
        "".join(("?" if math.isnan(p) else characters[i]) * columns for p, i in zip(ps, row))
        for ps, row in zip(part.tolist(), index.tolist())
    ]
    return "\n".join(line.rstrip() for line in drawn)


# -- tensors -------------------------------------------------------------------------------------


def _real(value: np.ndarray) -> np.ndarray:
    return np.abs(value) if value.dtype.kind == "c" else value.astype(np.float64)


def _grid(value: np.ndarray) -> tuple[int, int]:
    """Rows and columns of images."""
    if value.ndim < 3 or not value.size:
        return 1, 1
    count = min(math.prod(value.shape[:-2]), _MOST_SLICES)
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def _figure_size(value: np.ndarray, grid: tuple[int, int]) -> tuple[float, float]:
    """Inches, so that the cells are square and the whole fits a page."""
    if value.ndim < 2 or not value.size:
        return 6.4, 3.2
    rows, columns = grid
    tall, wide = value.shape[-2], value.shape[-1]
    longest = max(rows * tall, columns * wide)
    largest = min(8.0, max(3.0, 0.55 * longest))  # 0.55: room for a number in each cell
    height, width = largest * rows * tall / longest, largest * columns * wide / longest
    return max(4.4, width + 1.5), max(1.4, height + 0.7 + 0.15 * rows)


def _draw_line(axes: Any, value: np.ndarray) -> None:
    if not value.size:
        axes.text(0.5, 0.5, "no elements", ha="center", transform=axes.transAxes)
        axes.axis("off")
        return
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0.0, color="#888888", linewidth=0.7)
    if value.size > _MOST_BARS:
        axes.plot(value, color="#3b4cc0", linewidth=1.0)
        axes.margins(x=0.01)
        return
    colours = np.where(value < 0, "#3b4cc0", "#b40426").tolist()
    axes.bar(range(value.size), value, color=colours, width=0.8)
    free = max(0.0, 7.0 - value.size) / 2  # a bar alone is not a wall
    axes.set_xlim(-0.6 - free, value.size - 0.4 + free)
    if value.size < 8:
        axes.set_xticks(range(value.size))


def _draw_images(
    figure: Any, images: np.ndarray, leading: tuple[int, ...], grid: tuple[int, int]
) -> None:
    rows, columns = grid
    norm, colours = _scale(images)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    drawn = None
    for number, axes in enumerate(panels):
        if number >= len(images):
            axes.axis("off")
            continue
        drawn = axes.imshow(images[number], norm=norm, cmap=colours, interpolation="nearest")
        if leading:
            at = ", ".join(str(i) for i in np.unravel_index(number, leading))
            axes.set_title(f"[{at}]", fontsize=7, pad=2)
            axes.set(xticks=[], yticks=[])
        else:
            _label(axes, images[number], norm)
    figure.colorbar(drawn, ax=panels.tolist(), shrink=0.9, pad=0.02)


def _label(axes: Any, image: np.ndarray, norm: Any) -> None:
    """Whole numbers along the axes, and the values in the cells where there is room."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    if max(image.shape) > _MOST_WRITTEN:
        return
    for (i, j), x in np.ndenumerate(image):
        part = float(norm(x)) if np.isfinite(x) else 0.5
        dark = part < 0.2 or part > 0.8 if norm.vmin < 0 < norm.vmax else part < 0.5
        colour = "white" if dark and np.isfinite(x) else "black"
        axes.text(j, i, f"{x:.3g}", ha="center", va="center", fontsize=7, color=colour)


def _scale(images: np.ndarray) -> tuple[Any, Any]:
    """Norm and colours: diverging about 0 for values of both signs, otherwise rising."""
    finite = images[np.isfinite(images)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    if low < 0 < high:
        high = max(-low, high)
        low, name = -high, "coolwarm"
    else:
        low = float(finite.min()) if finite.size else 0.0
        high = float(finite.max()) if finite.size else 1.0
        name = "viridis"
    norm = matplotlib("colors", "show").Normalize(low, high if high > low else low + 1.0)
    colours = matplotlib("cm", "show").ScalarMappable(cmap=name).get_cmap()

    return norm, colours.with_extremes(bad="#ffd54a")


# -- curves --------------------------------------------------------------------------------------


def _curve(values: Any, name: str) -> np.ndarray:
    of = f" for {name!r}" if name else ""
    try:
        curve = np.array([float(y) for y in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise ShapeError(
            f"loss_curve: got a {type(values).__name__}{of}, which is no sequence of numbers;"
            " expected one loss for each step"
        ) from None
    if not curve.size:
        raise ShapeError(f"loss_curve: got no values{of}; expected at least one")
    return curve


def _draw_curves(axes: Any, lines: dict[str, np.ndarray], title: str, xlabel: str) -> None:
    for number, (name, ys) in enumerate(lines.items()):
        _draw_curve(axes, ys, name, f"C{number}")
    together = np.concatenate(list(lines.values()))
    finite = together[np.isfinite(together)]
    lost = together.size - finite.size
    if finite.size and finite.min() > 0 and finite.max() > 30 * finite.min():
        axes.set_yscale("log")
    axes.set_title(f"{title} ({lost} not finite)" if lost else title, parse_math=False)
    axes.set_xlabel(xlabel, parse_math=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True, which="both", color="#e4e4e4", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)


def _draw_curve(axes: Any, ys: np.ndarray, name: str, colour: str) -> None:
    shown = np.where(np.isfinite(ys), ys, np.nan)
    steps = np.arange(1, ys.size + 1)
    mark = "o" if ys.size <= 30 else None
    label = name or None
    if ys.size < _SMOOTHED_FROM:
        axes.plot(steps, shown, color=colour, marker=mark, markersize=3.5, label=label)
        return
    axes.plot(steps, shown, color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(steps, _running_mean(shown, ys.size // 30), color=colour, linewidth=1.8, label=label)


def _running_mean(ys: np.ndarray, reach: int) -> np.ndarray:
    """The mean of the finite values at most `reach` steps away, and of no more after than before:
    the first losses fall too fast to be averaged with later ones.
    """
    finite = np.isfinite(ys)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, ys, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    at = np.arange(ys.size)
    reaches = np.minimum(reach, at)
    first, last = at - reaches, np.minimum(at + reaches + 1, ys.size)
    number = counts[last] - counts[first]
    mean = (sums[last] - sums[first]) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.nan)
