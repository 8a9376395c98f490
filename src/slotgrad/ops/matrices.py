"""What the functions of matrices share: arguments, failures of LAPACK, conjugate transposes.

Derivatives of complex matrices: a cotangent g stands for v -> real(sum(g * v)), see parts.py, so
it is the conjugate of what the papers call the gradient.  A rule is either written for g and then
has plain transposes, or for conj(g), with conjugate ones.

May import the floor, declare, movement and parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..dtypes import complex64, complex128, float32, float64
from ..errors import DTypeError, MatrixError, ShapeError
from ..tensor import Tensor
from .declare import constant, promote
from .movement import matrix_transpose
from .parts import conj


def lapack(failure: str) -> Callable[..., Any]:
    """Let a value function raise `failure` as a MatrixError where LAPACK gives up."""

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(f)
        def value(*xs: np.ndarray, **attrs: Any) -> Any:
            try:
                with np.errstate(all="ignore"):
                    result = f(*xs, **attrs)
            except np.linalg.LinAlgError:
                got = " and ".join(str(x.shape) for x in xs)
                raise MatrixError(failure.format(got=f"got shape {got}")) from None
            if isinstance(result, tuple):  # NumPy's named tuples, of scalars where there is no axis
                return tuple(np.asarray(part) for part in result)
            return result

        return value

    return decorate


# -- arguments -----------------------------------------------------------------------------------


def as_matrix(op: str, x: Any, square: bool = False) -> Tensor:
    """`x` as a tensor of matrices for LAPACK, or a DTypeError or ShapeError in the name of `op`."""
    (x,) = promote(x, accepts="inexact", op=op)
    if x.dtype not in (float32, float64, complex64, complex128):
        raise DTypeError(
            f"{op}: got dtype {x.dtype}; expected float32, float64, complex64 or complex128,"
            " convert with x.astype(sg.float32)"
        )
    if x.ndim < 2:
        raise ShapeError(f"{op}: got shape {x.shape}; expected a matrix, (..., m, n)")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{op}: got shape {x.shape}; expected square matrices, (..., n, n)")
    return x


def as_system(op: str, a: Any, b: Any, square: bool) -> tuple[Tensor, Tensor, bool]:
    """Matrix, right-hand sides in columns, and whether there was one side without an axis."""
    a, b = promote(a, b, accepts="inexact", op=op)
    a = as_matrix(op, a, square)
    vector = b.ndim == 1
    if vector:
        b = b.expand_dims(-1)
    if b.ndim == 0 or b.shape[-2] != a.shape[-2]:
        raise ShapeError(
            f"{op}: got {a.shape} and a right-hand side of shape {b.shape[: 1 if vector else None]}"
            f"; expected ({a.shape[-2]},) or (..., {a.shape[-2]}, k), one row for each row of the"
            " matrix"
        )
    return a, b, vector


# -- matrices from matrices ----------------------------------------------------------------------


def eye(like: Tensor, size: int) -> Tensor:
    """The unit matrix in the dtype of a tensor."""
    return constant(np.eye(size, dtype=like.dtype))


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose; of real matrices the transpose."""
    return conj(matrix_transpose(x))


def hermitian(x: Tensor) -> Tensor:
    """The Hermitian part of square matrices; of real ones the symmetric part."""
    return (x + adjoint(x)) * 0.5


def lower_half(x: Tensor) -> Tensor:
    """What lies below the diagonal of square matrices, and half of the diagonal."""
    n = x.shape[-1]
    return x * constant((np.tri(n) - 0.5 * np.eye(n)).astype(x.dtype))
