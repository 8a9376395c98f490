"""Linear algebra on the last two axes; leading axes are batches, of any size including 0.

float32 and float64; integers become float32.  The factorizations and solvers stand in
factorize.py, everything else is made of them:

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 1.0], [1.0, 3.0]]), sg.tensor([3.0, 4.0]))
    tensor([1., 1.])

May import the floor and the files before it, factorize included.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from ..config import modes
from ..dtypes import float32, float64
from ..errors import DTypeError, MatrixError, OptionError, ShapeError
from ..graph.apply import apply
from ..tensor import Tensor
from . import arrange, movement
from .arithmetic import where
from .compare import greater
from .contract import matmul, outer, tensordot, vecdot
from .declare import (
    normalize_axis,
    promote,
)
from .factorize import (
    cholesky_op,
    eigh_op,
    eye,
    qr_op,
    slogdet_op,
    solve_op,
    solve_triangular_op,
    substituted,
    svd_op,
)
from .movement import matrix_transpose
from .reduce import norm
from .stop import detach, items

vector_norm = norm  # its name in the Array API standard


class SlogdetResult(NamedTuple):
    """The determinant is sign * exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


class QRResult(NamedTuple):
    """x = Q @ R"""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """x = U @ diag(S) @ Vh"""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """x = V @ diag(w) @ V.mT with w the eigenvalues and V the eigenvectors, in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


# -- what the primitives share -------------------------------------------------------------------


# -- arguments -----------------------------------------------------------------------------------


def _matrix(op: str, x: Any, square: bool = False) -> Tensor:
    """`x` as a float tensor of matrices, or a DTypeError or ShapeError in the name of `op`."""
    (x,) = promote(x, accepts="floating", op=op)
    if x.dtype not in (float32, float64):
        raise DTypeError(
            f"{op}: got dtype {x.dtype}; expected float32 or float64, convert with"
            " x.astype(sg.float32)"
        )
    if x.ndim < 2:
        raise ShapeError(f"{op}: got shape {x.shape}; expected a matrix, (..., m, n)")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{op}: got shape {x.shape}; expected square matrices, (..., n, n)")
    return x


def _system(op: str, a: Any, b: Any, square: bool) -> tuple[Tensor, Tensor, bool]:
    """Matrix, right-hand sides in columns, and whether there was one side without an axis."""
    a, b = promote(a, b, accepts="floating", op=op)
    a = _matrix(op, a, square)
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


# -- solving -------------------------------------------------------------------------------------


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """The lower triangular L with x = L @ L.mT, or its transpose.

    x        (..., n, n), symmetric positive definite; only the lower triangle is read, and the
             gradient is that of a function of symmetric matrices
    upper    whether to return L.mT

    Raises MatrixError if x is not positive definite.

    >>> import slotgrad as sg
    >>> sg.linalg.cholesky(sg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])
    """
    lower = apply(cholesky_op, (_matrix("cholesky", x, square=True),))
    return lower.mT if upper else lower


def solve(a: Any, b: Any, /) -> Tensor:
    """The x with a @ x = b.

    a    (..., n, n), invertible
    b    (n,) for one right-hand side, or (..., n, k); leading axes broadcast

    Raises MatrixError if a matrix is singular, ShapeError if the shapes do not fit.

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 0.0], [0.0, 4.0]]), sg.tensor([[2.0, 4.0], [4.0, 8.0]]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    a, b, vector = _system("solve", a, b, square=True)
    x = apply(solve_op, (a, b))
    return x.squeeze(-1) if vector else x


def solve_triangular(
    a: Any,
    b: Any,
    /,
    *,
    lower: bool = True,
    unit_diagonal: bool = False,
    transpose: bool = False,
) -> Tensor:
    """The x with a @ x = b for a triangular matrix, by substitution.

    a                (..., n, n); the other triangle is not read
    b                (n,) or (..., n, k)
    lower            which triangle holds the matrix
    unit_diagonal    take the diagonal as 1 and do not read it
    transpose        solve a.mT @ x = b instead

    Raises MatrixError if there is a zero on the diagonal.

    >>> import slotgrad as sg
    >>> sg.linalg.solve_triangular(sg.tensor([[2.0, 0.0], [1.0, 1.0]]), sg.tensor([2.0, 4.0]))
    tensor([1., 3.])
    """
    a, b, vector = _system("solve_triangular", a, b, square=True)
    attrs = {"lower": lower, "unit_diagonal": unit_diagonal, "transpose": transpose}
    x = apply(solve_triangular_op, (a, b), attrs)
    return x.squeeze(-1) if vector else x


def inv(x: Any, /) -> Tensor:
    """The inverse of each matrix, (..., n, n); prefer `solve` to a product with it.

    Raises MatrixError if a matrix is singular.

    >>> import slotgrad as sg
    >>> sg.linalg.inv(sg.tensor([[1.0, 2.0], [0.0, 4.0]]))
    tensor([[ 1.  , -0.5 ],
            [ 0.  ,  0.25]])
    """
    x = _matrix("inv", x, square=True)
    return apply(solve_op, (x, eye(x, x.shape[-1])))


def lstsq(a: Any, b: Any, /) -> Tensor:
    """The x that minimises |a @ x - b|; of many (m < n) the one with the smallest norm.

    By QR, so with the derivatives of QR.

    a    (..., m, n) of full rank min(m, n)
    b    (m,) or (..., m, k)

    Raises MatrixError if a matrix has not full rank; while a function is recorded (vmap,
    compile) there is no value to look at, and only exact zeros are found.

    >>> import slotgrad as sg
    >>> a = sg.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> sg.linalg.lstsq(a, sg.tensor([3.0, 4.0, 5.0]))
    tensor([3., 4.])
    """
    a, b, vector = _system("lstsq", a, b, square=False)
    tall = a.shape[-2] >= a.shape[-1]
    q, r = qr(a if tall else a.mT)
    _require_full_rank(r, a.shape)
    if tall:
        x = substituted(r, q.mT @ b, lower=False)
    else:
        x = q @ substituted(r, b, lower=False, transpose=True)
    return x.squeeze(-1) if vector else x


def _require_full_rank(r: Tensor, shape: tuple[int, ...]) -> None:
    if modes.capture is not None:
        return
    sizes = np.abs(np.diagonal(r.numpy(), axis1=-2, axis2=-1))
    rounding = max(shape[-2:]) * np.finfo(sizes.dtype).eps
    if (sizes <= rounding * sizes.max(axis=-1, keepdims=True, initial=0)).any():
        raise MatrixError(
            f"lstsq: got shape {shape} with linearly dependent rows or columns; expected full rank"
            f" {min(shape[-2:])}, use sg.linalg.pinv(a) @ b"
        )


def pinv(x: Any, /, *, rtol: float | None = None) -> Tensor:
    """The Moore-Penrose inverse, (..., m, n) -> (..., n, m).

    Singular values up to rtol * (the largest one) count as 0; default max(m, n) * eps.

    The value comes from the SVD.  Its derivative, which is finite where singular values
    coincide, from x+ = x(1,4) x x(1,3) with generalized inverses that solve small systems
    (Urquhart 1968); it is the derivative among matrices of the same rank.

    >>> import slotgrad as sg
    >>> sg.linalg.pinv(sg.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. , 0. ],
            [0. , 0. , 0. ]])
    """
    x = _matrix("pinv", x)
    if x.shape[-2] < x.shape[-1]:  # the systems have the smaller of the two sizes
        return pinv(x.mT, rtol=rtol).mT
    u, s, vh = svd(detach(x), full_matrices=False)
    kept = greater(s, _cutoff(x, s, rtol))
    p = (vh.mT * where(kept, 1.0 / s, 0.0).expand_dims(-2)) @ u.mT
    outside = eye(x, x.shape[-1]) - p @ detach(x)  # projects onto the null space of x
    c, h = p @ x, p @ p.mT @ x.mT
    fits_left = c.mT @ apply(solve_op, (outside + c @ c.mT, p))
    fits_right = apply(solve_op, (outside + h @ x, h))
    moved = fits_left @ x @ fits_right
    return p + (moved - detach(moved))


def _cutoff(x: Tensor, s: Tensor, rtol: float | None) -> Tensor:
    """The size up to which singular values count as 0."""
    if rtol is None:
        rtol = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    if not rtol >= 0:
        raise OptionError(f"pinv, matrix_rank: got rtol={rtol}; expected a number >= 0")
    return s[..., :1] * rtol


def matrix_rank(x: Any, /, *, rtol: float | None = None) -> Tensor:
    """The number of singular values above rtol * (the largest one), int64; no derivative.

    rtol defaults to max(m, n) * eps.

    >>> import slotgrad as sg
    >>> sg.linalg.matrix_rank(sg.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    x = detach(_matrix("matrix_rank", x))
    s = svdvals(x)
    return greater(s, _cutoff(x, s, rtol)).sum(axis=-1)


# -- determinants --------------------------------------------------------------------------------


def slogdet(x: Any, /) -> SlogdetResult:
    """Sign and logarithm of the size of the determinant: det(x) = sign * exp(logabsdet).

    (..., n, n) -> two tensors (...).  A singular matrix has sign 0 and logabsdet -inf, and
    backward through it raises MatrixError.  d logabsdet = trace(inv(x) dx); sign has no derivative.

    >>> import slotgrad as sg
    >>> sg.linalg.slogdet(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    x = _matrix("slogdet", x, square=True)
    return SlogdetResult(*items(apply(slogdet_op, (x,)), 2))


def det(x: Any, /) -> Tensor:
    """The determinant, (..., n, n) -> (...).

    Up to 3 x 3 a polynomial of the elements, whose derivatives exist for singular matrices
    too; above from `slogdet`, which has none there.

    >>> import slotgrad as sg
    >>> sg.linalg.det(sg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    x = _matrix("det", x, square=True)
    if x.shape[-1] == 1:
        return x[..., 0, 0]
    if x.shape[-1] == 2:
        return x[..., 0, 0] * x[..., 1, 1] - x[..., 0, 1] * x[..., 1, 0]
    if x.shape[-1] == 3:
        return vecdot(x[..., 0, :], cross(x[..., 1, :], x[..., 2, :]))
    sign, logabsdet = slogdet(x)
    return sign * logabsdet.exp()


# -- factorizations ------------------------------------------------------------------------------


def qr(x: Any, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """x = Q @ R with orthonormal columns of Q and R upper triangular.

    x       (..., m, n); the derivative exists if the first min(m, n) columns are independent
    mode    "reduced": Q (..., m, k), R (..., k, n) with k = min(m, n); "complete": k = m.  If
            m > n the completion is arbitrary and backward through it raises GradientError

    >>> import slotgrad as sg
    >>> q, r = sg.linalg.qr(sg.tensor([[3.0], [4.0]]))
    >>> sg.abs(r)
    tensor([[5.]])
    """
    if mode not in ("reduced", "complete"):
        raise OptionError(f"qr: got mode {mode!r}; expected 'reduced' or 'complete'")
    x = _matrix("qr", x)
    mode = mode if x.shape[-2] > x.shape[-1] else "reduced"
    return QRResult(*items(apply(qr_op, (x,), {"mode": mode}), 2))


def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U @ diag(S) @ Vh with orthonormal U and Vh.mT, S >= 0 in descending order.

    x                (..., m, n) -> U (..., m, m), S (..., k), Vh (..., n, n), k = min(m, n)
    full_matrices    False: only the first k columns of U and rows of Vh.  The others are
                     arbitrary: backward through them raises GradientError unless m = n

    The signs of the vectors are arbitrary.  Their derivative divides by the differences of
    squared singular values, and for m != n by the singular values: it is inf or nan where two
    coincide, or one is 0.  Where only S matters, use `svdvals`.

    >>> import slotgrad as sg
    >>> sg.linalg.svd(sg.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    x = _matrix("svd", x)
    attrs = {"full_matrices": full_matrices and x.shape[-1] != x.shape[-2], "vectors": True}
    return SVDResult(*items(apply(svd_op, (x,), attrs), 3))


def svdvals(x: Any, /) -> Tensor:
    """The singular values in descending order, (..., m, n) -> (..., min(m, n)).

    The first derivative is finite also where some coincide; the second one is not.

    >>> import slotgrad as sg
    >>> sg.linalg.svdvals(sg.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """
    attrs = {"full_matrices": False, "vectors": False}
    return items(apply(svd_op, (_matrix("svdvals", x),), attrs), 1)[0]


def eigh(x: Any, /) -> EighResult:
    """Eigenvalues, ascending, and orthonormal eigenvectors of symmetric matrices.

    x    (..., n, n) -> eigenvalues (..., n), eigenvectors (..., n, n) in columns; only the
         lower triangle is read, and the gradient is that of a function of symmetric matrices

    The signs of the vectors are arbitrary.  Their derivative divides by the differences of
    eigenvalues: it is inf or nan where two coincide.  Where only the eigenvalues matter, use
    `eigvalsh`.

    >>> import slotgrad as sg
    >>> sg.linalg.eigh(sg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    x = _matrix("eigh", x, square=True)
    return EighResult(*items(apply(eigh_op, (x,), {"vectors": True}), 2))


def eigvalsh(x: Any, /) -> Tensor:
    """The eigenvalues of symmetric matrices in ascending order, (..., n, n) -> (..., n).

    Reads the lower triangle, as `eigh`.  The first derivative is finite also where some
    coincide; the second one is not.

    >>> import slotgrad as sg
    >>> sg.linalg.eigvalsh(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([-1.,  1.])
    """
    x = _matrix("eigvalsh", x, square=True)
    return items(apply(eigh_op, (x,), {"vectors": False}), 1)[0]


# -- norms, products, diagonals ------------------------------------------------------------------


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
    x = _matrix("matrix_norm", x)
    axes = tuple(normalize_axis(i, x.ndim, "matrix_norm") for i in axis)
    if len(set(axes)) != 2:
        raise ShapeError(f"matrix_norm: got axis {axis}; expected two different axes")
    x = movement.moveaxis(x, axes, (-2, -1))
    if ord == "fro":
        out = norm(x, axis=(-2, -1))
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
    x = _matrix("matrix_power", x, square=True)
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
    "EighResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cross", "det", "diagonal",
    "eigh", "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "norm", "outer", "pinv", "qr", "slogdet", "solve", "solve_triangular",
    "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip
