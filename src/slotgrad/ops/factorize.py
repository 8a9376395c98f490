"""The factorizations and solvers that linear algebra is made of: seven primitives.

All work on the last two axes and broadcast or batch over the leading ones.  The rules come from
Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008), Seeger et al., "Auto-differentiating linear algebra" (2017), and Walter
and Lehmann, "Algorithmic differentiation of linear algebra functions" (2018).

May import the floor, declare, arithmetic, compare, contract, movement, arrange and stop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..errors import GradientError, MatrixError
from ..graph.apply import apply
from ..tensor import Tensor
from .arithmetic import where
from .arrange import tril, triu
from .declare import (
    TensorType,
    align,
    broadcast_shapes,
    constant,
    structured,
    unbroadcast,
)
from .movement import concat
from .stop import items


def _lapack(failure: str) -> Callable[..., Any]:
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


def eye(like: Tensor, size: int) -> Tensor:
    """The unit matrix in the dtype of a tensor."""
    return constant(np.eye(size, dtype=like.dtype))


def _symmetric(x: Tensor) -> Tensor:
    return (x + x.mT) * 0.5


def _inverse_off_diagonal(gaps: Tensor) -> Tensor:
    """1 / gaps with zeros on the diagonal; inf where two values coincide."""
    same = constant(np.eye(gaps.shape[-1], dtype=bool))
    return where(same, 0.0, 1.0 / where(same, 1.0, gaps))


# -- primitives ----------------------------------------------------------------------------------


@structured("cholesky", accepts="floating")
class cholesky_op:
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
            left = substituted(out, (out.mT @ g) * lower_half, lower=True, transpose=True)
            return _symmetric(substituted(out, left.mT, lower=True, transpose=True))

        return (cotangent,)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(cholesky_op, (x,))

    def kernel(k: Any, x: Any) -> Any:
        return k.call("cholesky", x)


class _Solve:
    """What the two solvers share: a (..., n, n), b (..., n, k) -> (..., n, k)."""

    samples: list = []

    def type(a: TensorType, b: TensorType, **attrs: Any) -> TensorType:
        batch = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
        return TensorType((*batch, *b.shape[-2:]), b.dtype)


@structured("solve", accepts="floating")
class solve_op(_Solve):
    """a @ x = b for x, by LU."""

    @_lapack(
        "solve, inv: {got} with a singular matrix; expected an invertible one, use lstsq or pinv"
        " for a best solution"
    )
    def value(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.solve(a, b)

    def vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor) -> tuple:
        gb = apply(solve_op, (a.mT, g))
        return (lambda: unbroadcast(-(gb @ out.mT), a), lambda: unbroadcast(gb, b))

    def batch(batched: tuple, a: Tensor, b: Tensor) -> Tensor:
        return apply(solve_op, tuple(align(batched, (a, b))))

    def kernel(k: Any, a: Any, b: Any) -> Any:
        return k.call("solve", a, b)


@structured("solve_triangular", accepts="floating")
class solve_triangular_op(_Solve):
    """Attributes lower, unit_diagonal, transpose; the other triangle is not read."""

    @_lapack(
        "solve_triangular: {got} with a zero on the diagonal; expected none, the matrix is singular"
    )
    def value(a: np.ndarray, b: np.ndarray, **attrs: Any) -> np.ndarray:
        return _substitute(a, b, **attrs)

    def vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor, **attrs: Any) -> tuple:
        turned = {**attrs, "transpose": not attrs["transpose"]}
        gb = apply(solve_triangular_op, (a, g), turned)

        def by_matrix() -> Tensor:
            full = out @ gb.mT if attrs["transpose"] else gb @ out.mT
            unit = int(attrs["unit_diagonal"])
            return -unbroadcast(tril(full, -unit) if attrs["lower"] else triu(full, unit), a)

        return by_matrix, lambda: unbroadcast(gb, b)

    def batch(batched: tuple, a: Tensor, b: Tensor, **attrs: Any) -> Tensor:
        return apply(solve_triangular_op, tuple(align(batched, (a, b))), attrs)

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


def substituted(a: Tensor, b: Tensor, lower: bool, transpose: bool = False) -> Tensor:
    """a @ x = b, or a.mT @ x = b, for x, reading one triangle of a."""
    attrs = {"lower": lower, "unit_diagonal": False, "transpose": transpose}
    return apply(solve_triangular_op, (a, b), attrs)


@structured("slogdet", accepts="floating")
class slogdet_op:
    """x (..., n, n) -> sign (...), log(abs(det)) (...).  Giles 2008, 2.3.1."""

    def type(x: TensorType) -> tuple:
        t = TensorType(x.shape[:-2], x.dtype)
        return t, t

    @_lapack("slogdet: {got}; expected square matrices")
    def value(x: np.ndarray) -> tuple:
        return np.linalg.slogdet(x)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor) -> tuple:
        return (lambda: apply(solve_op, (x.mT, eye(x, x.shape[-1]) * g[1].expand_dims((-2, -1)))),)

    def batch(batched: tuple, x: Tensor) -> tuple:
        return items(apply(slogdet_op, (x,)), 2)

    def kernel(k: Any, x: Any) -> Any:
        return k.call("slogdet", x)


@structured("qr", accepts="floating")
class qr_op:
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
        return items(apply(qr_op, (x,), {"mode": mode}), 2)

    def kernel(k: Any, x: Any, mode: str) -> Any:
        return k.call("qr", x, mode=mode)


def _qr_cotangent(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """(gQ + Q S) R^-T for Q with orthonormal columns and R square."""
    skewed = r @ gr.mT - gq.mT @ q
    s = tril(skewed) + tril(skewed, -1).mT
    return substituted(r, (gq + q @ s).mT, lower=False).mT


@structured("svd", accepts="floating")
class svd_op:
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
        u, _, vh = items(apply(svd_op, (x,), {"full_matrices": False, "vectors": True}), 3)
        return (lambda: (u * g[0].expand_dims(-2)) @ vh,)

    def batch(batched: tuple, x: Tensor, full_matrices: bool, vectors: bool) -> tuple:
        attrs = {"full_matrices": full_matrices, "vectors": vectors}
        return items(apply(svd_op, (x,), attrs), 3 if vectors else 1)

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
    return eye(x, x.shape[-1]) * x.expand_dims(-1)


@structured("eigh", accepts="floating")
class eigh_op:
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
            _, v = items(apply(eigh_op, (x,), {"vectors": True}), 2)
            return (lambda: (v * g[0].expand_dims(-2)) @ v.mT,)
        (gw, gv), (w, v) = g, out

        def cotangent() -> Tensor:
            f = _inverse_off_diagonal(w.expand_dims(-2) - w.expand_dims(-1))
            return _symmetric(v @ (_diagonal_matrix(gw) + f * (v.mT @ gv)) @ v.mT)

        return (cotangent,)

    def batch(batched: tuple, x: Tensor, vectors: bool) -> tuple:
        return items(apply(eigh_op, (x,), {"vectors": vectors}), 2 if vectors else 1)

    def kernel(k: Any, x: Any, vectors: bool) -> Any:
        return k.call("eigh", x) if vectors else (k.call("eigvalsh", x),)
