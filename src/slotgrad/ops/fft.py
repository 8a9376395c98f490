"""Fourier transforms: sums over an axis with the roots of unity, and what is made of them.

    fft:   y[k] = sum over j of x[j] * exp(-2 pi i j k / n)
    ifft:  x[j] = sum over k of y[k] * exp( 2 pi i j k / n) / n

Computed by NumPy, in compiled functions too; results are complex64 for float32 and shorter
floats, else complex128.  In all functions

    n, s     lengths along the axes; x is cut or filled up with zeros first.  Default: those of x
    norm     which of the two is divided: "backward" ifft by n, "forward" fft by n, "ortho" both
             by sqrt(n)

>>> import slotgrad as sg
>>> sg.fft.rfft(sg.tensor([1.0, 0.0, -1.0, 0.0]))
tensor([0.+0.j, 2.+0.j, 0.+0.j], dtype=complex64)

May import the floor, declare, movement, arrange, parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import as_dtype, complex64, complex128, default_float
from ..errors import DTypeError, OptionError, ShapeError
from ..graph.apply import apply
from ..namespace import check_device
from ..tensor import Tensor
from .arrange import flip, roll
from .declare import (
    TensorType,
    as_tensor,
    check_dtype,
    constant,
    normalize_axes,
    normalize_axis,
    promote,
    structured,
)
from .movement import as_int, as_number, concat, narrow, place
from .parts import conj, real

_OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


@structured("fft", accepts="complex")
class _fft:
    """The sum alone, with the sign of ifft's exponent if `inverse`.  Its matrix is symmetric."""

    linear = True

    def type(x: TensorType, axis: int, inverse: bool) -> TensorType:
        check_dtype("fft", x.dtype, "complex")
        if x.shape[axis] == 0:
            raise ShapeError(
                f"fft: got shape {x.shape} without elements along axis {axis}; expected at least"
                " one, or n=..."
            )
        return x

    def value(x: np.ndarray, axis: int, inverse: bool) -> np.ndarray:
        if inverse:
            return np.fft.ifft(x, axis=axis, norm="forward")
        return np.fft.fft(x, axis=axis)

    def vjp(g: Tensor, out: Tensor, x: Tensor, axis: int, inverse: bool) -> tuple:
        return (lambda: apply(_fft, (g,), {"axis": axis, "inverse": inverse}),)

    def batch(batched: tuple, x: Tensor, axis: int, inverse: bool) -> Tensor:
        return apply(_fft, (x,), {"axis": axis + 1, "inverse": inverse})


def _transformed(x: Tensor, n: int, axis: int, norm: str, inverse: bool, op: str) -> Tensor:
    """fft or ifft of complex numbers, of which there are n along the axis after resizing."""
    _check_norm(norm, op)
    y = apply(_fft, (_resized(x, n, axis),), {"axis": axis, "inverse": inverse})
    if norm == "ortho":
        return y / math.sqrt(n)
    return y / n if (norm == "backward") == inverse else y


def _resized(x: Tensor, n: int, axis: int) -> Tensor:
    """The first n elements along an axis; zeros for those that are missing."""
    size = x.shape[axis]
    if n <= size:
        return x if n == size else narrow(x, axis, 0, n)
    shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
    return place(x, shape, (0,) * x.ndim, (1,) * x.ndim)


def _complex(x: Any, op: str) -> Tensor:
    (x,) = promote(x, accepts="inexact", op=op)
    if x.dtype.kind == "c":
        return x
    return x.astype(complex128 if x.dtype.itemsize == 8 else complex64)


def _real(x: Any, op: str) -> Tensor:
    x = as_tensor(x)
    if x.dtype.kind == "c":
        raise DTypeError(f"{op}: got dtype {x.dtype}; expected real numbers, use sg.real or fft")
    return x


def _length(n: int | None, default: int, op: str) -> int:
    return default if n is None else as_int(n, "n", op, lowest=1)


def fft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The Fourier transform along an axis."""
    x = _complex(x, "fft")
    axis = normalize_axis(axis, x.ndim, "fft")
    return _transformed(x, _length(n, x.shape[axis], "fft"), axis, norm, False, "fft")


def ifft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `fft`."""
    x = _complex(x, "ifft")
    axis = normalize_axis(axis, x.ndim, "ifft")
    return _transformed(x, _length(n, x.shape[axis], "ifft"), axis, norm, True, "ifft")


def rfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The first n // 2 + 1 elements of `fft` of real numbers; the others are their conjugates."""
    y = fft(_real(x, "rfft"), n=n, axis=axis, norm=norm)
    axis = normalize_axis(axis, y.ndim, "rfft")
    return narrow(y, axis, 0, y.shape[axis] // 2 + 1)


def irfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `rfft`: n real numbers, default 2 * (length of x - 1)."""
    x = _complex(x, "irfft")
    axis = normalize_axis(axis, x.ndim, "irfft")
    n = _length(n, 2 * (x.shape[axis] - 1), "irfft")
    half = _resized(x, n // 2 + 1, axis)
    mirrored = conj(flip(narrow(half, axis, 1, n - n // 2 - 1), axis=axis))
    whole = concat([half, mirrored], axis=axis)
    return real(_transformed(whole, n, axis, norm, True, "irfft"))


def hfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """`fft` of n numbers of which x is the first half and the others are conjugates: is real."""
    _check_norm(norm, "hfft")
    return irfft(conj(x), n=n, axis=axis, norm=_OPPOSITE[norm])


def ihfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `hfft`."""
    _check_norm(norm, "ihfft")
    return conj(rfft(x, n=n, axis=axis, norm=_OPPOSITE[norm]))


def _check_norm(norm: str, op: str) -> None:
    if norm not in _OPPOSITE:
        raise OptionError(f"{op}: got norm={norm!r}; expected one of {', '.join(_OPPOSITE)}")


# -- over several axes -----------------------------------------------------------------------------

Sizes = Sequence[int] | None


def _plan(x: Tensor, s: Sizes, axes: Sizes, op: str) -> list[tuple[int, int | None]]:
    """The axes to transform and their lengths."""
    if axes is None:
        axes = range(x.ndim) if s is None else range(-len(s), 0)
    found = [normalize_axis(a, x.ndim, op) for a in axes]
    if s is not None and len(s) != len(found):
        raise ShapeError(f"{op}: got s={s} for axes {tuple(axes)}; expected a length for each")
    return list(zip(found, [None] * len(found) if s is None else s))


def _over(f: Callable[..., Tensor], x: Tensor, plan: list, norm: str) -> Tensor:
    for axis, n in reversed(plan):
        x = f(x, n=n, axis=axis, norm=norm)
    return x


def fftn(x: Any, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Tensor:
    """`fft` along several axes, default all."""
    x = _complex(x, "fftn")
    return _over(fft, x, _plan(x, s, axes, "fftn"), norm)


def ifftn(x: Any, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Tensor:
    """The inverse of `fftn`."""
    x = _complex(x, "ifftn")
    return _over(ifft, x, _plan(x, s, axes, "ifftn"), norm)


def rfftn(x: Any, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Tensor:
    """`rfft` along the last of the axes, then `fft` along the others."""
    x = _real(x, "rfftn")
    *others, (axis, n) = _plan(x, s, axes, "rfftn")
    return _over(fft, rfft(x, n=n, axis=axis, norm=norm), others, norm)


def irfftn(x: Any, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Tensor:
    """The inverse of `rfftn`; s is the shape of the result along the axes."""
    x = _complex(x, "irfftn")
    *others, (axis, n) = _plan(x, s, axes, "irfftn")
    return irfft(_over(ifft, x, others, norm), n=n, axis=axis, norm=norm)


# -- frequencies -----------------------------------------------------------------------------------


def fftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `fft` of n samples at distance d: [0, 1, ..., -2, -1] / (n * d)."""
    return _frequencies(np.fft.fftfreq, n, d, dtype, device, "fftfreq")


def rfftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `rfft` of n samples at distance d: [0, 1, ..., n // 2] / (n * d)."""
    return _frequencies(np.fft.rfftfreq, n, d, dtype, device, "rfftfreq")


def _frequencies(f: Any, n: int, d: float, dtype: Any, device: Any, op: str) -> Tensor:
    check_device(device, op)
    kind = default_float if dtype is None else as_dtype(dtype)
    distance = as_number(d, "d", op)
    if distance == 0:
        raise OptionError(f"{op}: got d=0; expected the distance of two samples")
    return constant(f(as_int(n, "n", op, lowest=1), distance).astype(kind))


def fftshift(x: Any, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The zero frequency moved to the middle of axes, default all."""
    x = as_tensor(x)
    chosen = normalize_axes(axes, x.ndim, "fftshift")
    return roll(x, tuple(x.shape[i] // 2 for i in chosen), axis=chosen)


def ifftshift(x: Any, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of `fftshift`."""
    x = as_tensor(x)
    chosen = normalize_axes(axes, x.ndim, "ifftshift")
    return roll(x, tuple(-(x.shape[i] // 2) for i in chosen), axis=chosen)


__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfftn", "rfft", "rfftfreq", "rfftn",
]  # fmt: skip
