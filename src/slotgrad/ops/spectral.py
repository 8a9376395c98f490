"""Singular values, eigenvalues, and the vectors that belong to them.

Matrices lie in the last two axes; leading axes are batches.  The rules are those of Giles,
"Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), Seeger et al., "Auto-differentiating linear algebra" (2017), for complex singular vectors
of Wan and Zhang, "Automatic differentiation for complex valued SVD" (2019), and for eigenvectors
of length 1 of Boeddeker et al., "On the computation of complex-valued gradients with application
to statistically optimum beamforming" (2017).

    >>> import slotgrad as sg
    >>> sg.linalg.eigvalsh(sg.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])

May import the floor, declare, arithmetic, arrange, parts, stop, matrices and solvers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import complex64, promote_types, real_dtype
from ..errors import GradientError
from ..graph.apply import apply
from ..tensor import Tensor
from .arithmetic import where
from .arrange import diagonal
from .declare import TensorType, constant, structured
from .matrices import adjoint, as_matrix, eye, hermitian, lapack
from .parts import conj, imag, real
from .solvers import solve_op
from .stop import items

# -- primitives ----------------------------------------------------------------------------------


def _inverse_off_diagonal(gaps: Tensor) -> Tensor:
    """1 / gaps with zeros on the diagonal; inf where two values coincide."""
    same = constant(np.eye(gaps.shape[-1], dtype=bool))
    return where(same, 0.0, 1.0 / where(same, 1.0, gaps))


def _diagonal_matrix(x: Tensor) -> Tensor:
    return eye(x, x.shape[-1]) * x.expand_dims(-1)


@structured("svd", accepts="inexact")
class svd_op:
    """x (..., m, n) -> U, S (..., k), Vh; only (S,) if not vectors.  Giles 2008; Seeger 2017.

    S alone has a rule of its own, finite where singular values coincide.
    """

    def type(x: TensorType, full_matrices: bool, vectors: bool) -> tuple:
        *batch, m, n = x.shape
        k = min(m, n)
        rows, columns = (m, n) if full_matrices else (k, k)
        s = TensorType((*batch, k), real_dtype(x.dtype))
        if not vectors:
            return (s,)
        u, vh = ((*batch, m, rows), (*batch, columns, n))
        return TensorType(u, x.dtype), s, TensorType(vh, x.dtype)

    @lapack("svd: {got} without convergence; expected finite numbers, look with sg.isfinite")
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
        return (lambda: conj((u * g[0].expand_dims(-2)) @ vh),)

    def batch(batched: tuple, x: Tensor, full_matrices: bool, vectors: bool) -> tuple:
        attrs = {"full_matrices": full_matrices, "vectors": vectors}
        return items(apply(svd_op, (x,), attrs), 3 if vectors else 1)

    def kernel(k: Any, x: Any, full_matrices: bool, vectors: bool) -> Any:
        if not vectors:
            return (k.call("svdvals", x),)
        return k.call("svd", x, full_matrices=full_matrices)


def _svd_cotangent(gu: Tensor, gs: Tensor, gv: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Tensor:
    gu, gv = conj(gu), conj(gv)
    row, column = s.expand_dims(-2), s.expand_dims(-1)
    f = _inverse_off_diagonal((row - column) * (row + column))
    by_u, by_v = adjoint(u) @ gu, vh @ adjoint(gv)
    inner = f * (by_u - adjoint(by_u)) * row + column * f * (by_v - adjoint(by_v))
    if u.dtype.kind == "c":  # the phase of a pair moves with U
        gs = gs + 1j * imag(diagonal(by_u, 0, -2, -1)) / s
    out = u @ (inner + _diagonal_matrix(gs)) @ vh
    if u.shape[-2] > s.shape[-1]:  # what leaves the space of the columns of U
        out = out + ((gu - u @ by_u) / row) @ vh
    if vh.shape[-1] > s.shape[-1]:
        out = out + u @ ((gv - adjoint(by_v) @ vh) / column)
    return conj(out)


@structured("eigh", accepts="inexact")
class eigh_op:
    """x (..., n, n) -> w (..., n), V (..., n, n); only (w,) if not vectors.  Giles 2008, 3.1.

    Reads the lower triangle; the cotangent is the Hermitian one.
    """

    def type(x: TensorType, vectors: bool) -> tuple:
        w = TensorType(x.shape[:-1], real_dtype(x.dtype))
        return (w, x) if vectors else (w,)

    @lapack("eigh: {got} without convergence; expected finite numbers, look with sg.isfinite")
    def value(x: np.ndarray, vectors: bool) -> tuple:
        return np.linalg.eigh(x) if vectors else (np.linalg.eigvalsh(x),)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor, vectors: bool) -> tuple:
        if not vectors:  # finite where eigenvalues coincide
            _, v = items(apply(eigh_op, (x,), {"vectors": True}), 2)
            return (lambda: conj((v * g[0].expand_dims(-2)) @ adjoint(v)),)
        (gw, gv), (w, v) = g, out

        def cotangent() -> Tensor:
            f = _inverse_off_diagonal(w.expand_dims(-2) - w.expand_dims(-1))
            inner = _diagonal_matrix(gw) + f * (adjoint(v) @ conj(gv))
            return conj(hermitian(v @ inner @ adjoint(v)))

        return (cotangent,)

    def batch(batched: tuple, x: Tensor, vectors: bool) -> tuple:
        return items(apply(eigh_op, (x,), {"vectors": vectors}), 2 if vectors else 1)

    def kernel(k: Any, x: Any, vectors: bool) -> Any:
        return k.call("eigh", x) if vectors else (k.call("eigvalsh", x),)


@structured("eig", accepts="inexact")
class eig_op:
    """x (..., n, n) -> w (..., n), V (..., n, n), complex; only (w,) if not vectors.

    Giles 2008, 3.1; for vectors of length 1 Boeddeker et al. 2017.  Their derivative has no part
    along them, conj(v) . dv = 0.
    """

    def type(x: TensorType, vectors: bool) -> tuple:
        dtype = promote_types(x.dtype, complex64)
        w = TensorType(x.shape[:-1], dtype)
        return (w, TensorType(x.shape, dtype)) if vectors else (w,)

    @lapack("eig: {got} without convergence; expected finite numbers, look with sg.isfinite")
    def value(x: np.ndarray, vectors: bool) -> tuple:
        parts = np.linalg.eig(x)  # NumPy's eigvals has another order, which the rule must know
        dtype = promote_types(x.dtype, complex64)
        return tuple(part.astype(dtype, copy=False) for part in parts[: 1 + vectors])

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor, vectors: bool) -> tuple:
        def cotangent() -> Tensor:
            inner = _diagonal_matrix(g[0])
            if vectors:
                w, v = out
                f = _inverse_off_diagonal(w.expand_dims(-2) - w.expand_dims(-1))
                along = (v * g[1]).sum(axis=-2, keepdims=True)
                inner = inner + f * (v.mT @ (g[1] - conj(v) * along))
            else:  # finite where eigenvalues coincide
                _, v = items(apply(eig_op, (x,), {"vectors": True}), 2)
            by_x = apply(solve_op, (v.mT, inner @ v.mT))
            return by_x if x.dtype.kind == "c" else real(by_x)

        return (cotangent,)

    def batch(batched: tuple, x: Tensor, vectors: bool) -> tuple:
        return items(apply(eig_op, (x,), {"vectors": vectors}), 2 if vectors else 1)

    def kernel(k: Any, x: Any, vectors: bool) -> Any:
        w, v = k.call("eig", x)
        return (w, v) if vectors else (w,)


# -- functions -----------------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """x = U @ diag(S) @ Vh"""

    U: Tensor
    S: Tensor
    Vh: Tensor


class EighResult(NamedTuple):
    """x = V @ diag(w) @ conj(V.mT), w the eigenvalues and V the eigenvectors, in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """x @ V = V @ diag(w), w the eigenvalues and V the eigenvectors, in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U @ diag(S) @ Vh with orthonormal columns of U and rows of Vh, S >= 0 descending.

    x                (..., m, n) -> U (..., m, m), S (..., k), Vh (..., n, n), k = min(m, n)
    full_matrices    False: only the first k columns of U and rows of Vh.  The others are
                     arbitrary: backward through them raises GradientError unless m = n

    x may be complex; S is always real.  The signs of the vectors, of complex ones the phases, are
    arbitrary: derivatives are right for functions that do not depend on them.  They divide by the
    differences of squared singular values, and for m != n or complex x by the singular values:
    they are inf or nan where two coincide, or one is 0.  Where only S matters, use `svdvals`.

    >>> import slotgrad as sg
    >>> sg.linalg.svd(sg.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    x = as_matrix("svd", x)
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
    return items(apply(svd_op, (as_matrix("svdvals", x),), attrs), 1)[0]


def eigh(x: Any, /) -> EighResult:
    """Eigenvalues, ascending, and orthonormal eigenvectors of symmetric or Hermitian matrices.

    x    (..., n, n), real or complex -> eigenvalues (..., n), always real, and eigenvectors
         (..., n, n) in columns; only the lower triangle is read, and the gradient is that of a
         function of Hermitian matrices

    The signs of the vectors, of complex ones the phases, are arbitrary: derivatives are right for
    functions that do not depend on them.  They divide by the differences of eigenvalues: they are
    inf or nan where two coincide.  Where only the eigenvalues matter, use `eigvalsh`.

    >>> import slotgrad as sg
    >>> sg.linalg.eigh(sg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    x = as_matrix("eigh", x, square=True)
    return EighResult(*items(apply(eigh_op, (x,), {"vectors": True}), 2))


def eigvalsh(x: Any, /) -> Tensor:
    """The eigenvalues of symmetric or Hermitian matrices, ascending, (..., n, n) -> (..., n).

    Always real.  Reads the lower triangle, as `eigh`.  The first derivative is finite also where
    some coincide; the second one is not.

    >>> import slotgrad as sg
    >>> sg.linalg.eigvalsh(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([-1.,  1.])
    """
    x = as_matrix("eigvalsh", x, square=True)
    return items(apply(eigh_op, (x,), {"vectors": False}), 1)[0]


def eig(x: Any, /) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices: x @ v = w * v.

    x    (..., n, n), real or complex -> eigenvalues w (..., n) in no particular order, and
         eigenvectors (..., n, n) of length 1 in columns; both always complex, complex64 for
         float32 and complex128 for float64

        P = inv(V) @ dx @ V;  dw[j] = P[j, j]
        dV[:, j] = sum over i != j of V[:, i] * P[i, j] / (w[j] - w[i]), less its part along V[:, j]

    The phases of the vectors are arbitrary: derivatives are right for functions that do not
    depend on them.  They are inf or nan where two eigenvalues coincide.  Where only the
    eigenvalues matter, use `eigvals`; for symmetric and Hermitian matrices `eigh`.

    Raises MatrixError if x is not finite.

    Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
    differentiation" (2008), 3.1; Boeddeker et al., "On the computation of complex-valued gradients
    with application to statistically optimum beamforming" (2017).

    >>> import slotgrad as sg
    >>> sg.linalg.eig(sg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([2.+0.j, 1.+0.j], dtype=complex64)
    """
    x = as_matrix("eig", x, square=True)
    return EigResult(*items(apply(eig_op, (x,), {"vectors": True}), 2))


def eigvals(x: Any, /) -> Tensor:
    """The eigenvalues of square matrices, always complex, in the order of `eig`.

    (..., n, n) -> (..., n).  The derivative, the diagonal of inv(V) @ dx @ V with the eigenvectors
    V, needs n independent ones: else backward raises MatrixError or gives huge numbers.  It is
    finite also where some eigenvalues coincide; the second derivative is not.

    Raises MatrixError if x is not finite.

    >>> import slotgrad as sg
    >>> sg.linalg.eigvals(sg.tensor([[0.0, -4.0], [1.0, 0.0]]))
    tensor([0.+2.j, 0.-2.j], dtype=complex64)
    """
    x = as_matrix("eigvals", x, square=True)
    return items(apply(eig_op, (x,), {"vectors": False}), 1)[0]
