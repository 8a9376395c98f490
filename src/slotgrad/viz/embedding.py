"""Embeddings as a map: the two directions in which vectors differ most.

A face: may import everything; matplotlib is loaded when the first picture is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError, ShapeError
from ..ops.declare import as_tensor
from ..ops.linalg import svd
from ..tensor import Tensor
from .canvas import PathLike, new_figure, picture_path, save_figure


def principal_components(vectors: Any, count: int = 2) -> Tensor:
    """Coordinates (n, count) of vectors (n, d) along the directions of largest variance.

    Pearson, "On lines and planes of closest fit to systems of points in space" (1901).

    >>> import slotgrad as sg
    >>> points = sg.tensor([[0.0, 0.0, 1.0], [3.0, 4.0, 1.0], [6.0, 8.0, 1.0]])
    >>> [abs(x) for x in principal_components(points, 1).flatten().round().tolist()]
    [5.0, 0.0, 5.0]
    """
    x = as_tensor(vectors).detach()
    if x.ndim != 2 or len(x) < 2:
        raise ShapeError(f"principal_components: got shape {x.shape}; expected (n, d) with n >= 2")
    if not 1 <= count <= min(x.shape):
        raise OptionError(
            f"principal_components: got count={count}; expected 1 to {min(x.shape)} for shape"
            f" {x.shape}"
        )
    u, s, _ = svd(x - x.mean(axis=0), full_matrices=False)
    return u[:, :count] * s[:count]


def embedding(
    vectors: Any, labels: Sequence[str], path: PathLike, title: str = "embedding"
) -> Path:
    """A map of vectors (n, d): a dot and a label for each, in two principal components.

    Raises ShapeError unless there is one label for each vector, UsageError without matplotlib.
    """
    target = picture_path(path, "embedding")
    places = principal_components(vectors).numpy()
    if len(labels) != len(places):
        raise ShapeError(f"embedding: got {len(labels)} labels for {len(places)} vectors")
    figure = new_figure("embedding", (9.0, 7.0))
    axes = figure.add_subplot()
    axes.scatter(*places.T, s=9, color="tab:blue")
    for (x, y), label in zip(places, labels):
        axes.annotate(label, (x, y), (3, 2), textcoords="offset points", fontsize=8)
    axes.set_title(title, parse_math=False)
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    save_figure(figure, target, "embedding")
    return target
