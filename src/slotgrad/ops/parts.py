"""The parts of complex numbers.  May import the floor, declare and creation.

Complex numbers are computed by NumPy, in compiled functions too.  Derivatives flow through them
from real inputs to real results; a cotangent g stands for the linear function v -> real(g * v),
without a conjugate, as in JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import real_dtype
from ..graph.apply import apply
from ..tensor import Tensor
from .creation import zeros_like
from .declare import TensorType, as_tensor, check_dtype, structured


class _Part:
    linear = True

    def type(x: TensorType) -> TensorType:
        check_dtype("real, imag", x.dtype, "complex")
        return TensorType(x.shape, real_dtype(x.dtype))


@structured("real", accepts="complex")
class _real(_Part):
    def value(x: np.ndarray) -> np.ndarray:
        return np.real(x).copy()

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        return (lambda: g.astype(x.dtype),)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(_real, (x,))


@structured("imag", accepts="complex")
class _imag(_Part):
    def value(x: np.ndarray) -> np.ndarray:
        return np.imag(x).copy()

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        return (lambda: g.astype(x.dtype) * -1j,)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(_imag, (x,))


@structured("conj", accepts="complex")
class _conj:
    linear = True

    def type(x: TensorType) -> TensorType:
        check_dtype("conj", x.dtype, "complex")
        return x

    def value(x: np.ndarray) -> np.ndarray:
        return np.conjugate(x)

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        return (lambda: conj(g),)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(_conj, (x,))


def real(x: Any, /) -> Tensor:
    """The real part; a real `x` itself.

    >>> import slotgrad as sg
    >>> sg.real(sg.tensor([1 + 2j])), sg.imag(sg.tensor([1 + 2j]))
    (tensor([1.]), tensor([2.]))
    """
    x = as_tensor(x)
    return apply(_real, (x,)) if x.dtype.kind == "c" else x


def imag(x: Any, /) -> Tensor:
    """The imaginary part; zeros for a real `x`."""
    x = as_tensor(x)
    return apply(_imag, (x,)) if x.dtype.kind == "c" else zeros_like(x)


def conj(x: Any, /) -> Tensor:
    """The complex conjugate; a real `x` itself."""
    x = as_tensor(x)
    return apply(_conj, (x,)) if x.dtype.kind == "c" else x
