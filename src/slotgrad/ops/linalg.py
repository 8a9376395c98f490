"""Linear algebra on the last two axes; leading axes are batches, of any size including 0.

float32, float64, complex64 and complex128; integers become float32.  The solvers and
factorizations stand in files of their own, everything else is made of them:

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 1.0], [1.0, 3.0]]), sg.tensor([3.0, 4.0]))
    tensor([1., 1.])

Complex matrices have derivatives on the way from real numbers to real numbers, as everywhere: put
a matrix together from its parts, x + 1j * y, and differentiate by these.

May import the floor and the files before it, matrices, solvers, factorize and spectral included.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..graph.apply import apply
from ..tensor import Tensor
from . import arrange, movement
from .arithmetic import where
from .compare import greater
from .contract import matmul, outer, tensordot, vecdot
from .declare import as_tensor, normalize_axis, promote
from .factorize import QRResult, cholesky, lstsq, qr
from .matrices import adjoint, as_matrix, eye
from .movement import matrix_transpose
from .reduce import norm as vector_norm
from .solvers import SlogdetResult, inv, slogdet, solve, solve_op, solve_triangular
from .spectral import (
    EighResult,
    EigResult,
    SVDResult,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    svd,
    svdvals,
)
from .stop import detach

# -- rank ----------------------------------------------------------------------------------------


def pinv(x: Any, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose inverse, (..., m, n) -> (..., n, m).

    Singular values up to rtol * (the largest one) count as 0; a number, or a tensor (...) with one
    for each matrix; default max(m, n) * eps.

    The value comes from the SVD.  Its derivative, which is finite where singular values
    coincide, from x+ = x(1,4) x x(1,3) with generalized inverses that solve small systems
    (Urquhart 1968); it is the derivative among matrices of the same rank.

    >>> import slotgrad as sg
    >>> sg.linalg.pinv(sg.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. , 0. ],
            [0. , 0. , 0. ]])
    """
    x = as_matrix("pinv", x)
    if x.shape[-2] < x.shape[-1]:  # the systems have the smaller of the two sizes
        return pinv(x.mT, rtol=rtol).mT
    u, s, vh = svd(detach(x), full_matrices=False)
    kept = greater(s, _cutoff(x, s, rtol))
    p = (adjoint(vh) * where(kept, 1.0 / s, 0.0).expand_dims(-2)) @ adjoint(u)
    outside = eye(x, x.shape[-1]) - p @ detach(x)  # projects onto the null space of x
    c, h = p @ x, p @ adjoint(p) @ adjoint(x)
    fits_left = adjoint(c) @ apply(solve_op, (outside + c @ adjoint(c), p))
    fits_right = apply(solve_op, (outside + h @ x, h))
    moved = fits_left @ x @ fits_right
    return p + (moved - detach(moved))


def _cutoff(x: Tensor, s: Tensor, rtol: Any) -> Tensor:
    """The size up to which singular values count as 0."""
    if rtol is None:
        rtol = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    if not isinstance(rtol, (int, float)):
        return s[..., :1] * detach(as_tensor(rtol)).expand_dims(-1)
    if not rtol >= 0:
        raise OptionError(f"pinv, matrix_rank: got rtol={rtol}; expected a number >= 0")
    return s[..., :1] * rtol


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Tensor:
    """The number of singular values above rtol * (the largest one), int64; no derivative.

    rtol is a number, or a tensor (...) with one for each matrix; default max(m, n) * eps.

    >>> import slotgrad as sg
    >>> sg.linalg.matrix_rank(sg.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    x = detach(as_matrix("matrix_rank", x))
    s = svdvals(x)
    return greater(s, _cutoff(x, s, rtol)).sum(axis=-1)


# -- products, norms, diagonals ------------------------------------------------------------------


def det(x: Any, /) -> Tensor:
    """The determinant, (..., n, n) -> (...).

    Up to 3 x 3 a polynomial of the elements, whose derivatives exist for singular matrices
    too; above from `slogdet`, which has none there.

    >>> import slotgrad as sg
    >>> sg.linalg.det(sg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    x = as_matrix("det", x, square=True)
    if x.shape[-1] == 1:
        return x[..., 0, 0]
    if x.shape[-1] == 2:
        return x[..., 0, 0] * x[..., 1, 1] - x[..., 0, 1] * x[..., 1, 0]
    if x.shape[-1] == 3:
        return (x[..., 0, :] * cross(x[..., 1, :], x[..., 2, :])).sum(axis=-1)
    sign, logabsdet = slogdet(x)
    return sign * logabsdet.exp()


def norm(
    x: Any,
    /,
    ord: float | str | None = None,
    axis: int | tuple[int, int] | None = None,
    keepdims: bool = False,
) -> Tensor:
    """The norm of vectors in one axis, or of matrices in two, as NumPy's function of this name.

    ord       None: the root of the sum of squares; else as in `vector_norm` and `matrix_norm`
    axis      None: all axes, of which there may be one or two if an ord is given
    keepdims  leave these axes in place with size 1

    >>> import slotgrad as sg
    >>> x = sg.tensor([[3.0, 0.0], [4.0, 0.0]])
    >>> sg.linalg.norm(x), sg.linalg.norm(x, 1), sg.linalg.norm(x, 1, axis=1)
    (tensor(5.), tensor(7.), tensor([3., 4.]))
    """
    (x,) = promote(x, accepts="inexact", op="norm")
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if ord is None:
        return vector_norm(x, 2, axes, keepdims)
    if len(axes) == 2:
        return matrix_norm(x, ord, axes, keepdims)
    if len(axes) != 1 or isinstance(ord, str):
        raise ShapeError(
            f"norm: got ord={ord!r} for {len(axes)} axes; expected one axis and a number, or two"
            " axes; use vector_norm for the norm of all elements"
        )
    return vector_norm(x, ord, axes, keepdims)


def matrix_norm(
    x: Any,
    /,
    ord: float | str = "fro",
    axis: tuple[int, int] = (-2, -1),
    keepdims: bool = False,
) -> Tensor:
    """A norm of the matrices in two axes.

    "fro": root of the sum of squares; "nuc": sum of the singular values; 2, -2: the largest,
    smallest of them; 1, -1: the largest, smallest sum of sizes in a column; inf, -inf: in a row.

    axis        the axes of rows and of columns
    keepdims    leave these axes in place with size 1

    >>> import slotgrad as sg
    >>> x = sg.tensor([[3.0, 0.0], [4.0, 0.0]])
    >>> sg.linalg.matrix_norm(x), sg.linalg.matrix_norm(x, ord=1), sg.linalg.matrix_norm(x, ord=-2)
    (tensor(5.), tensor(7.), tensor(0.))
    """
    x = as_matrix("matrix_norm", x)
    axes = tuple(normalize_axis(i, x.ndim, "matrix_norm") for i in axis)
    if len(set(axes)) != 2:
        raise ShapeError(f"matrix_norm: got axis {axis}; expected two different axes")
    x = movement.moveaxis(x, axes, (-2, -1))
    if ord == "fro":
        out = vector_norm(x, axis=(-2, -1))
    elif ord == "nuc":
        out = svdvals(x).sum(axis=-1)
    elif ord in (2, -2):
        out = svdvals(x)[..., 0 if ord == 2 else -1]
    elif ord in (1, -1, math.inf, -math.inf):
        sums = x.abs().sum(axis=-2 if ord in (1, -1) else -1)
        out = sums.max(axis=-1) if ord in (1, math.inf) else sums.min(axis=-1)
    else:
        raise OptionError(
            f"matrix_norm: got ord={ord!r}; expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    return out.expand_dims(axes) if keepdims else out


def matrix_power(x: Any, n: int, /) -> Tensor:
    """x @ x @ ... (n times) by repeated squaring; the inverse's power if n < 0.

    >>> import slotgrad as sg
    >>> sg.linalg.matrix_power(sg.tensor([[1.0, 1.0], [0.0, 1.0]]), 10)
    tensor([[ 1., 10.],
            [ 0.,  1.]])
    """
    if not isinstance(n, (int, np.integer)):
        raise OptionError(f"matrix_power: got exponent {n!r}; expected an int")
    x = as_matrix("matrix_power", x, square=True)
    if n == 0:
        return eye(x, x.shape[-1]).broadcast_to(x.shape)
    x = inv(x) if n < 0 else x
    out = x
    for bit in f"{abs(n):b}"[1:]:  # from the highest bit down
        out = out @ out
        out = out @ x if bit == "1" else out
    return out


def cross(a: Any, b: Any, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of size 3 along an axis; the other axes broadcast.

    >>> import slotgrad as sg
    >>> sg.linalg.cross(sg.tensor([1.0, 0.0, 0.0]), sg.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    a, b = promote(a, b, accepts="numeric", op="cross")
    sizes = [x.shape[normalize_axis(axis, x.ndim, "cross")] for x in (a, b)]
    if sizes != [3, 3]:
        raise ShapeError(
            f"cross: got shapes {a.shape} and {b.shape}; expected size 3 along axis {axis} in both"
        )
    a, b = movement.moveaxis(a, axis, -1), movement.moveaxis(b, axis, -1)
    out = a.roll(-1, -1) * b.roll(-2, -1) - a.roll(-2, -1) * b.roll(-1, -1)
    return movement.moveaxis(out, -1, axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """The diagonals of the matrices in the last two axes; offset > 0: above the main one.

    >>> import slotgrad as sg
    >>> sg.linalg.diagonal(sg.tensor([[1.0, 2.0], [3.0, 4.0]]), offset=1)
    tensor([2.])
    """
    return arrange.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum along a diagonal of the matrices in the last two axes.

    >>> import slotgrad as sg
    >>> sg.linalg.trace(sg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return diagonal(x, offset=offset).sum(axis=-1, dtype=dtype)


__all__ = [
    "EigResult", "EighResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cross", "det",
    "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm",
    "matrix_power", "matrix_rank", "matrix_transpose", "norm", "outer", "pinv", "qr", "slogdet",
    "solve", "solve_triangular", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip
