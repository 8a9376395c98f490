"""Linear algebra on the last two axes; leading axes are batches, of any size including 0.

float32 and float64; integers become float32.  Seven factorizations and solvers are primitives,
everything else is made of them:

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 1.0], [1.0, 3.0]]), sg.tensor([3.0, 4.0]))
    tensor([1., 1.])

The rules come from Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), Seeger et al., "Auto-differentiating linear algebra"
(2017), and Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2018).

May import the floor, declare, arithmetic, compare, contract, movement, reduce
and stop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, NamedTuple

import numpy as np

from ..config import modes
from ..dtypes import float32, float64
from ..errors import DTypeError, GradientError, OptionError, ShapeError, UsageError
from ..graph.apply import apply
from ..tensor import Tensor
from . import movement
from .arithmetic import where
from .compare import greater
from .contract import matmul, outer, tensordot, vecdot
from .declare import (
    TensorType,
    align,
    broadcast_shapes,
    constant,
    normalize_axis,
    promote,
    structured,
    unbroadcast,
)
from .movement import concat, matrix_transpose, tril, triu
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


def _lapack(failure: str) -> Callable[..., Any]:
    """Let a value function raise `failure` as a UsageError where LAPACK gives up."""

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(f)
        def value(*xs: np.ndarray, **attrs: Any) -> Any:
            try:
                with np.errstate(all="ignore"):
                    result = f(*xs, **attrs)
            except np.linalg.LinAlgError:
                got = " and ".join(str(x.shape) for x in xs)
                raise UsageError(failure.format(got=f"got shape {got}")) from None
            if isinstance(result, tuple):  # NumPy's named tuples, of scalars where there is no axis
                return tuple(np.asarray(part) for part in result)
            return result

        return value

    return decorate


def _eye(like: Tensor, size: int) -> Tensor:
    return constant(np.eye(size, dtype=like.dtype))


def _symmetric(x: Tensor) -> Tensor:
    return (x + x.mT) * 0.5


def _inverse_off_diagonal(gaps: Tensor) -> Tensor:
    """1 / gaps with zeros on the diagonal; inf where two values coincide."""
    same = constant(np.eye(gaps.shape[-1], dtype=bool))
    return where(same, 0.0, 1.0 / where(same, 1.0, gaps))


# -- primitives ----------------------------------------------------------------------------------


@structured("cholesky", accepts="floating")
class _cholesky:
    """Reads the lower triangle; the cotangent is the symmetric one.  Giles 2008; Murray 2016."""

    def type(x: TensorType) -> TensorType:
        return x

    @_lapack(
        "cholesky: {got} with a matrix that is not positive definite; expected x = x.mT with"
        " eigenvalues > 0, add a small multiple of the identity or use eigh"
    )
    def value(x: np.ndarray) -> np.ndarray:
        return np.linalg.cholesky(x)

    samples: list = []

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        n = x.shape[-1]
        lower_half = constant((np.tri(n) - 0.5 * np.eye(n)).astype(x.dtype))

        def cotangent() -> Tensor:  # L^-T (lower half of L^T g) L^-1
            left = _substituted(out, (out.mT @ g) * lower_half, lower=True, transpose=True)
            return _symmetric(_substituted(out, left.mT, lower=True, transpose=True))

        return (cotangent,)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(_cholesky, (x,))

    def kernel(k: Any, x: Any) -> Any:
        return k.call("cholesky", x)


class _Solve:
    """What the two solvers share: a (..., n, n), b (..., n, k) -> (..., n, k)."""

    samples: list = []

    def type(a: TensorType, b: TensorType, **attrs: Any) -> TensorType:
        batch = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
        return TensorType((*batch, *b.shape[-2:]), b.dtype)


@structured("solve", accepts="floating")
class _solve(_Solve):
    @_lapack(
        "solve, inv: {got} with a singular matrix; expected an invertible one, use lstsq or pinv"
        " for a best solution"
    )
    def value(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.solve(a, b)

    def vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor) -> tuple:
        gb = apply(_solve, (a.mT, g))
        return (lambda: unbroadcast(-(gb @ out.mT), a), lambda: unbroadcast(gb, b))

    def batch(batched: tuple, a: Tensor, b: Tensor) -> Tensor:
        return apply(_solve, tuple(align(batched, (a, b))))

    def kernel(k: Any, a: Any, b: Any) -> Any:
        return k.call("solve", a, b)


@structured("solve_triangular", accepts="floating")
class _solve_triangular(_Solve):
    """Attributes lower, unit_diagonal, transpose; the other triangle is not read."""

    @_lapack(
        "solve_triangular: {got} with a zero on the diagonal; expected none, the matrix is singular"
    )
    def value(a: np.ndarray, b: np.ndarray, **attrs: Any) -> np.ndarray:
        return _substitute(a, b, **attrs)

    def vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor, **attrs: Any) -> tuple:
        turned = {**attrs, "transpose": not attrs["transpose"]}
        gb = apply(_solve_triangular, (a, g), turned)

        def by_matrix() -> Tensor:
            full = out @ gb.mT if attrs["transpose"] else gb @ out.mT
            unit = int(attrs["unit_diagonal"])
            return -unbroadcast(tril(full, -unit) if attrs["lower"] else triu(full, unit), a)

        return by_matrix, lambda: unbroadcast(gb, b)

    def batch(batched: tuple, a: Tensor, b: Tensor, **attrs: Any) -> Tensor:
        return apply(_solve_triangular, tuple(align(batched, (a, b))), attrs)

    def kernel(k: Any, a: Any, b: Any, **attrs: Any) -> Any:
        return k.call("solve_triangular", a, b, **attrs)


def _substitute(
    a: np.ndarray, b: np.ndarray, lower: bool, unit_diagonal: bool, transpose: bool
) -> np.ndarray:
    """Substitution in blocks: one product and one small solve for every 32 rows."""
    n, unit = a.shape[-1], int(unit_diagonal)
    part = np.tril(a, -unit) if lower else np.triu(a, unit)
    if unit:
        part = part + np.eye(n, dtype=a.dtype)
    if transpose:
        part, lower = np.swapaxes(part, -1, -2), not lower
    out = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype)
    starts = range(0, n, 32)
    for start in starts if lower else reversed(starts):
        rows = slice(start, min(start + 32, n))
        known = slice(0, start) if lower else slice(rows.stop, n)
        rest = b[..., rows, :] - part[..., rows, known] @ out[..., known, :]
        out[..., rows, :] = np.linalg.solve(part[..., rows, rows], rest)
    return out


def _substituted(a: Tensor, b: Tensor, lower: bool, transpose: bool = False) -> Tensor:
    attrs = {"lower": lower, "unit_diagonal": False, "transpose": transpose}
    return apply(_solve_triangular, (a, b), attrs)


@structured("slogdet", accepts="floating")
class _slogdet:
    """x (..., n, n) -> sign (...), log(abs(det)) (...).  Giles 2008, 2.3.1."""

    def type(x: TensorType) -> tuple:
        t = TensorType(x.shape[:-2], x.dtype)
        return t, t

    @_lapack("slogdet: {got}; expected square matrices")
    def value(x: np.ndarray) -> tuple:
        return np.linalg.slogdet(x)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor) -> tuple:
        return (lambda: apply(_solve, (x.mT, _eye(x, x.shape[-1]) * g[1].expand_dims((-2, -1)))),)

    def batch(batched: tuple, x: Tensor) -> tuple:
        return items(apply(_slogdet, (x,)), 2)

    def kernel(k: Any, x: Any) -> Any:
        return k.call("slogdet", x)


@structured("qr", accepts="floating")
class _qr:
    """x (..., m, n) -> Q (..., m, k), R (..., k, n); k = m if mode is "complete", else min(m, n).

    Walter and Lehmann 2018; Seeger et al. 2017.
    """

    def type(x: TensorType, mode: str) -> tuple:
        *batch, m, n = x.shape
        k = m if mode == "complete" else min(m, n)
        return TensorType((*batch, m, k), x.dtype), TensorType((*batch, k, n), x.dtype)

    @_lapack("qr: {got}; expected matrices")
    def value(x: np.ndarray, mode: Any) -> tuple:
        return np.linalg.qr(x, mode)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor, mode: str) -> tuple:
        if mode == "complete":
            raise GradientError(
                f"qr: mode 'complete' of shape {x.shape} has no derivative, the added columns of Q"
                " are arbitrary; use mode 'reduced'"
            )
        (gq, gr), (q, r), m = g, out, x.shape[-2]
        if m >= x.shape[-1]:
            return (lambda: _qr_cotangent(gq, gr, q, r),)

        def wide() -> Tensor:  # x = [left, right] with left = Q @ R[:, :m], R[:, m:] = Q^T @ right
            left = gq + x[..., m:] @ gr[..., m:].mT
            by_left = _qr_cotangent(left, gr[..., :m], q, r[..., :m])
            return concat([by_left, q @ gr[..., m:]], axis=-1)

        return (wide,)

    def batch(batched: tuple, x: Tensor, mode: str) -> tuple:
        return items(apply(_qr, (x,), {"mode": mode}), 2)

    def kernel(k: Any, x: Any, mode: str) -> Any:
        return k.call("qr", x, mode=mode)


def _qr_cotangent(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """(gQ + Q S) R^-T for Q with orthonormal columns and R square."""
    skewed = r @ gr.mT - gq.mT @ q
    s = tril(skewed) + tril(skewed, -1).mT
    return _substituted(r, (gq + q @ s).mT, lower=False).mT


@structured("svd", accepts="floating")
class _svd:
    """x (..., m, n) -> U, S (..., k), Vh; only (S,) if not vectors.  Giles 2008; Seeger 2017.

    S alone has a rule of its own, finite where singular values coincide.
    """

    def type(x: TensorType, full_matrices: bool, vectors: bool) -> tuple:
        *batch, m, n = x.shape
        k = min(m, n)
        rows, columns = (m, n) if full_matrices else (k, k)
        shapes = ((*batch, m, rows), (*batch, k), (*batch, columns, n))
        return tuple(TensorType(s, x.dtype) for s in (shapes if vectors else shapes[1:2]))

    @_lapack("svd: {got} without convergence; expected finite numbers, look with sg.isfinite")
    def value(x: np.ndarray, full_matrices: bool, vectors: bool) -> tuple:
        return np.linalg.svd(x, full_matrices) if vectors else (np.linalg.svdvals(x),)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor, full_matrices: bool, vectors: bool) -> tuple:
        if full_matrices:
            raise GradientError(
                f"svd: full_matrices=True of shape {x.shape} has no derivative, the added vectors"
                " are arbitrary; use full_matrices=False"
            )
        if vectors:
            return (lambda: _svd_cotangent(*g, *out),)
        u, _, vh = items(apply(_svd, (x,), {"full_matrices": False, "vectors": True}), 3)
        return (lambda: (u * g[0].expand_dims(-2)) @ vh,)

    def batch(batched: tuple, x: Tensor, full_matrices: bool, vectors: bool) -> tuple:
        attrs = {"full_matrices": full_matrices, "vectors": vectors}
        return items(apply(_svd, (x,), attrs), 3 if vectors else 1)

    def kernel(k: Any, x: Any, full_matrices: bool, vectors: bool) -> Any:
        if not vectors:
            return (k.call("svdvals", x),)
        return k.call("svd", x, full_matrices=full_matrices)


def _svd_cotangent(gu: Tensor, gs: Tensor, gv: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Tensor:
    row, column = s.expand_dims(-2), s.expand_dims(-1)
    f = _inverse_off_diagonal((row - column) * (row + column))
    by_u, by_v = u.mT @ gu, vh @ gv.mT
    inner = f * (by_u - by_u.mT) * row + column * f * (by_v - by_v.mT)
    out = u @ (inner + _diagonal_matrix(gs)) @ vh
    if u.shape[-2] > s.shape[-1]:  # what leaves the space of the columns of U
        out = out + ((gu - u @ by_u) / row) @ vh
    if vh.shape[-1] > s.shape[-1]:
        out = out + u @ ((gv - by_v.mT @ vh) / column)
    return out


def _diagonal_matrix(x: Tensor) -> Tensor:
    return _eye(x, x.shape[-1]) * x.expand_dims(-1)


@structured("eigh", accepts="floating")
class _eigh:
    """x (..., n, n) -> w (..., n), V (..., n, n); only (w,) if not vectors.  Giles 2008, 3.1.

    Reads the lower triangle; the cotangent is the symmetric one.
    """

    def type(x: TensorType, vectors: bool) -> tuple:
        w = TensorType(x.shape[:-1], x.dtype)
        return (w, x) if vectors else (w,)

    @_lapack("eigh: {got} without convergence; expected finite numbers, look with sg.isfinite")
    def value(x: np.ndarray, vectors: bool) -> tuple:
        return np.linalg.eigh(x) if vectors else (np.linalg.eigvalsh(x),)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor, vectors: bool) -> tuple:
        if not vectors:  # finite where eigenvalues coincide
            _, v = items(apply(_eigh, (x,), {"vectors": True}), 2)
            return (lambda: (v * g[0].expand_dims(-2)) @ v.mT,)
        (gw, gv), (w, v) = g, out

        def cotangent() -> Tensor:
            f = _inverse_off_diagonal(w.expand_dims(-2) - w.expand_dims(-1))
            return _symmetric(v @ (_diagonal_matrix(gw) + f * (v.mT @ gv)) @ v.mT)

        return (cotangent,)

    def batch(batched: tuple, x: Tensor, vectors: bool) -> tuple:
        return items(apply(_eigh, (x,), {"vectors": vectors}), 2 if vectors else 1)

    def kernel(k: Any, x: Any, vectors: bool) -> Any:
        return k.call("eigh", x) if vectors else (k.call("eigvalsh", x),)


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

    Raises UsageError if x is not positive definite.

    >>> import slotgrad as sg
    >>> sg.linalg.cholesky(sg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])
    """
    lower = apply(_cholesky, (_matrix("cholesky", x, square=True),))
    return lower.mT if upper else lower


def solve(a: Any, b: Any, /) -> Tensor:
    """The x with a @ x = b.

    a    (..., n, n), invertible
    b    (n,) for one right-hand side, or (..., n, k); leading axes broadcast

    Raises UsageError if a matrix is singular, ShapeError if the shapes do not fit.

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 0.0], [0.0, 4.0]]), sg.tensor([[2.0, 4.0], [4.0, 8.0]]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    a, b, vector = _system("solve", a, b, square=True)
    x = apply(_solve, (a, b))
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

    Raises UsageError if there is a zero on the diagonal.

    >>> import slotgrad as sg
    >>> sg.linalg.solve_triangular(sg.tensor([[2.0, 0.0], [1.0, 1.0]]), sg.tensor([2.0, 4.0]))
    tensor([1., 3.])
    """
    a, b, vector = _system("solve_triangular", a, b, square=True)
    attrs = {"lower": lower, "unit_diagonal": unit_diagonal, "transpose": transpose}
    x = apply(_solve_triangular, (a, b), attrs)
    return x.squeeze(-1) if vector else x


def inv(x: Any, /) -> Tensor:
    """The inverse of each matrix, (..., n, n); prefer `solve` to a product with it.

    Raises UsageError if a matrix is singular.

    >>> import slotgrad as sg
    >>> sg.linalg.inv(sg.tensor([[1.0, 2.0], [0.0, 4.0]]))
    tensor([[ 1.  , -0.5 ],
            [ 0.  ,  0.25]])
    """
    x = _matrix("inv", x, square=True)
    return apply(_solve, (x, _eye(x, x.shape[-1])))


def lstsq(a: Any, b: Any, /) -> Tensor:
    """The x that minimises |a @ x - b|; of many (m < n) the one with the smallest norm.

    By QR, so with the derivatives of QR.

    a    (..., m, n) of full rank min(m, n)
    b    (m,) or (..., m, k)

    Raises UsageError if a matrix has not full rank; while a function is recorded (vmap,
    compile) there is no value to look at, and only exact zeros are found.

    >>> import slotgrad as sg
    >>> a = sg.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> sg.abs(sg.linalg.lstsq(a, sg.tensor([3.0, 4.0, 5.0])))
    tensor([3., 4.])
    """
    a, b, vector = _system("lstsq", a, b, square=False)
    tall = a.shape[-2] >= a.shape[-1]
    q, r = qr(a if tall else a.mT)
    _require_full_rank(r, a.shape)
    if tall:
        x = _substituted(r, q.mT @ b, lower=False)
    else:
        x = q @ _substituted(r, b, lower=False, transpose=True)
    return x.squeeze(-1) if vector else x


def _require_full_rank(r: Tensor, shape: tuple[int, ...]) -> None:
    if modes.capture is not None:
        return
    sizes = np.abs(np.diagonal(r.numpy(), axis1=-2, axis2=-1))
    rounding = max(shape[-2:]) * np.finfo(sizes.dtype).eps
    if (sizes <= rounding * sizes.max(axis=-1, keepdims=True, initial=0)).any():
        raise UsageError(
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
    u, s, vh = svd(detach(x))
    kept = greater(s, _cutoff(x, s, rtol))
    p = (vh.mT * where(kept, 1.0 / s, 0.0).expand_dims(-2)) @ u.mT
    outside = _eye(x, x.shape[-1]) - p @ detach(x)  # projects onto the null space of x
    c, h = p @ x, p @ p.mT @ x.mT
    fits_left = c.mT @ apply(_solve, (outside + c @ c.mT, p))
    fits_right = apply(_solve, (outside + h @ x, h))
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
    backward through it raises UsageError.  d logabsdet = trace(inv(x) dx); sign has no derivative.

    >>> import slotgrad as sg
    >>> sg.linalg.slogdet(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    x = _matrix("slogdet", x, square=True)
    return SlogdetResult(*items(apply(_slogdet, (x,)), 2))


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
    return QRResult(*items(apply(_qr, (x,), {"mode": mode}), 2))


def svd(x: Any, /, *, full_matrices: bool = False) -> SVDResult:
    """x = U @ diag(S) @ Vh with orthonormal U and Vh.mT, S >= 0 in descending order.

    x                (..., m, n) -> U (..., m, k), S (..., k), Vh (..., k, n), k = min(m, n)
    full_matrices    complete U to (..., m, m) and Vh to (..., n, n); unless m = n the
                     completion is arbitrary and backward through it raises GradientError

    The signs of the vectors are arbitrary.  Their derivative divides by the differences of
    squared singular values, and for m != n by the singular values: it is inf or nan where two
    coincide, or one is 0.  Where only S matters, use `svdvals`.

    >>> import slotgrad as sg
    >>> sg.linalg.svd(sg.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    x = _matrix("svd", x)
    attrs = {"full_matrices": full_matrices and x.shape[-1] != x.shape[-2], "vectors": True}
    return SVDResult(*items(apply(_svd, (x,), attrs), 3))


def svdvals(x: Any, /) -> Tensor:
    """The singular values in descending order, (..., m, n) -> (..., min(m, n)).

    The first derivative is finite also where some coincide; the second one is not.

    >>> import slotgrad as sg
    >>> sg.linalg.svdvals(sg.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """
    attrs = {"full_matrices": False, "vectors": False}
    return items(apply(_svd, (_matrix("svdvals", x),), attrs), 1)[0]


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
    return EighResult(*items(apply(_eigh, (x,), {"vectors": True}), 2))


def eigvalsh(x: Any, /) -> Tensor:
    """The eigenvalues of symmetric matrices in ascending order, (..., n, n) -> (..., n).

    Reads the lower triangle, as `eigh`.  The first derivative is finite also where some
    coincide; the second one is not.

    >>> import slotgrad as sg
    >>> sg.linalg.eigvalsh(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([-1.,  1.])
    """
    x = _matrix("eigvalsh", x, square=True)
    return items(apply(_eigh, (x,), {"vectors": False}), 1)[0]


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
        return _eye(x, x.shape[-1]).broadcast_to(x.shape)
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
    return movement.diagonal(x, offset, -2, -1)


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
