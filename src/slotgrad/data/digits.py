"""Handwritten digits: the 1797 images inside scikit-learn, and pictures made like them.

The images were made by the University of California, Irvine (Alpaydin and Kaynak, "Optical
Recognition of Handwritten Digits", 1998): 32x32 bitmaps of which each 4x4 block is counted.
May import the floor and the mathematics; scikit-learn and Pillow are imported when needed.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from ..errors import FileError, UsageError
from ..tensor import Tensor, tensor

SIDE = 8
PIXELS = SIDE * SIDE
LEVELS = 16


def digits() -> tuple[Tensor, Tensor]:
    """Images of shape (1797, 64), float32 in [0, 1], and labels of shape (1797,), int64."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            "data.digits: the images come inside scikit-learn, which is not installed; run"
            " pip install 'slotgrad[examples]'"
        ) from None
    found = load_digits()
    return tensor((found.data / LEVELS).astype(np.float32)), tensor(found.target.astype(np.int64))


def digit_from_image(path: str | PathLike[str]) -> Tensor:
    """A picture of one digit as an image of shape (64,) like those of `digits`.

    Dark on light or light on dark, any size: the digit is cut out, centred in a square, and its
    ink counted in 8 x 8 blocks.  Raises FileError for what is not a picture of something.
    """
    grey = _grey(path)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey - np.median(border))
    if ink.max() < 0.1:
        raise FileError(f"{path}: the picture is blank; expected one digit on an even ground")
    ink /= ink.max()
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=1 - i)) for i in (0, 1))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return tensor(_blocks(cut).reshape(-1).astype(np.float32))


def _grey(path: str | PathLike[str]) -> np.ndarray:
    """The brightness of a picture in [0, 1]; transparent parts are white."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise UsageError(
            "data.digit_from_image: needs Pillow; run pip install 'slotgrad[examples]'"
        ) from None
    try:
        with Image.open(path) as picture:
            rgba = picture.convert("RGBA")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; expected a picture of one digit") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FileError(
            f"{path}: cannot be read as a picture ({error}); expected PNG, JPEG or the like"
        ) from None
    ground: Any = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    return np.asarray(ground.convert("L"), float) / 255


def _blocks(ink: np.ndarray) -> np.ndarray:
    """Ink of a digit per block: scaled to the full height, as the data set's are, and centred."""
    from PIL import Image

    height, width = ink.shape
    side = max(height, width)
    fine = 4 * SIDE
    scaled = Image.fromarray((ink * 255).astype(np.uint8)).resize(
        (max(1, round(width * fine / side)), max(1, round(height * fine / side))),
        Image.Resampling.BOX if side >= fine else Image.Resampling.BILINEAR,
    )
    canvas = np.zeros((fine, fine))
    top, left = (fine - scaled.height) // 2, (fine - scaled.width) // 2
    canvas[top : top + scaled.height, left : left + scaled.width] = np.asarray(scaled) / 255
    counted = canvas.reshape(SIDE, 4, SIDE, 4).mean(axis=(1, 3))
    return np.round(counted * LEVELS) / LEVELS
