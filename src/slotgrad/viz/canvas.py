"""Figures and picture files.  May import errors; loads matplotlib when the first figure is made."""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path
from typing import Any

from ..errors import FileError, OptionError, UsageError

FORMATS = (".png", ".svg", ".pdf")
_MOST_PIXELS = 16_000  # along a side: most programs that show pictures can read that
PathLike = str | os.PathLike[str]


def matplotlib(module: str, wanted_by: str) -> Any:
    """A module of matplotlib, or UsageError naming the extra that brings it."""
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError:
        raise UsageError(
            f"{wanted_by}: needs matplotlib, which is not installed; pip install slotgrad[viz]"
        ) from None


def new_figure(wanted_by: str, size: tuple[float, float], on_screen: bool = False) -> Any:
    """An empty figure of this size in inches.

    One that is not for the screen needs no window system and is freed like any other object.
    """
    if on_screen:
        return matplotlib("pyplot", wanted_by).figure(figsize=size, layout="constrained")
    return matplotlib("figure", wanted_by).Figure(figsize=size, layout="constrained")


def picture_path(path: PathLike, wanted_by: str) -> Path:
    """The path, checked to have the suffix of a picture format."""
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise OptionError(
            f"{wanted_by}: got the file name {target.name!r}; expected one that ends in"
            f" {', '.join(FORMATS)}"
        )
    return target


def save_figure(figure: Any, path: Path, wanted_by: str) -> None:
    """Write a figure in the format that the suffix names."""
    buffer = io.BytesIO()
    dpi = min(150.0, _MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=dpi)
    write(buffer.getvalue(), path, wanted_by)


def write(picture: bytes, path: Path, wanted_by: str) -> None:
    """Write a finished picture: one that fails to be drawn leaves an older file as it was."""
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise FileError(
            f"{wanted_by}: cannot write {path}: {error.strerror or error}; expected a path in an"
            " existing directory with write permission"
        ) from None
