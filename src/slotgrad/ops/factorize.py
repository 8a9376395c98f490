"""Cholesky and QR factorizations, and least squares by QR.

Matrices lie in the last two axes; leading axes are batches.  The rules are those of Murray,
"Differentiation of the Cholesky decomposition" (2016), Seeger et al., "Auto-differentiating linear
algebra" (2017), and Walter and Lehmann, "Algorithmic differentiation of linear algebra functions"
(2018).

    >>> import slotgrad as sg
    >>> sg.linalg.cholesky(sg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])

May import the floor, declare, movement, parts, stop, matrices and solvers.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..config import modes
from ..errors import GradientError, MatrixError, OptionError
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import TensorType, structured
from .matrices import adjoint, as_matrix, as_system, hermitian, lapack, lower_half
from .movement import concat
from .parts import conj
from .solvers import substituted
from .stop import items

# -- primitives ----------------------------------------------------------------------------------


@structured("cholesky", accepts="inexact")
class cholesky_op:
    """Reads the lower triangle; the cotangent is the Hermitian one.  Murray 2016."""

    def type(x: TensorType) -> TensorType:
        return x

    @lapack(
        "cholesky: {got} with a matrix that is not positive definite; expected x ="
        " conj(x.mT) with eigenvalues > 0, add a small multiple of the identity or use eigh"
    )
    def value(x: np.ndarray) -> np.ndarray:
        return np.linalg.cholesky(x)

    samples: list = []

    def vjp(g: Tensor, out: Tensor, x: Tensor) -> tuple:
        def cotangent() -> Tensor:  # L^-T (lower half of L^T g) conj(L)^-1
            left = substituted(out, lower_half(out.mT @ g), lower=True, transpose=True)
            return hermitian(substituted(out, adjoint(left), lower=True, transpose=True))

        return (cotangent,)

    def batch(batched: tuple, x: Tensor) -> Tensor:
        return apply(cholesky_op, (x,))

    def kernel(k: Any, x: Any) -> Any:
        return k.call("cholesky", x)


@structured("qr", accepts="inexact")
class qr_op:
    """x (..., m, n) -> Q (..., m, k), R (..., k, n); k = m if mode is "complete", else min(m, n).

    Walter and Lehmann 2018; Seeger et al. 2017.
    """

    def type(x: TensorType, mode: str) -> tuple:
        *batch, m, n = x.shape
        k = m if mode == "complete" else min(m, n)
        return TensorType((*batch, m, k), x.dtype), TensorType((*batch, k, n), x.dtype)

    @lapack("qr: {got}; expected matrices")
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

        def wide() -> Tensor:  # x = [left, right] with left = Q @ R[:, :m], R[:, m:] = Q^H @ right
            left = gq + conj(x[..., m:] @ gr[..., m:].mT)
            by_left = _qr_cotangent(left, gr[..., :m], q, r[..., :m])
            return concat([by_left, conj(q) @ gr[..., m:]], axis=-1)

        return (wide,)

    def batch(batched: tuple, x: Tensor, mode: str) -> tuple:
        return items(apply(qr_op, (x,), {"mode": mode}), 2)

    def kernel(k: Any, x: Any, mode: str) -> Any:
        return k.call("qr", x, mode=mode)


def _qr_cotangent(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """(gQ + conj(Q S)) R^-T for Q with orthonormal columns and R square, its diagonal real."""
    half = lower_half(r @ gr.mT - gq.mT @ q)
    s = half + adjoint(half)
    return substituted(r, (gq + conj(q @ s)).mT, lower=False).mT


# -- functions -----------------------------------------------------------------------------------


class QRResult(NamedTuple):
    """x = Q @ R"""

    Q: Tensor
    R: Tensor


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """The lower triangular L with x = L @ conj(L.mT), or its conjugate transpose.

    x        (..., n, n), symmetric or Hermitian, and positive definite; only the lower triangle
             is read, and the gradient is that of a function of Hermitian matrices
    upper    whether to return conj(L.mT)

    Raises MatrixError if x is not positive definite.

    >>> import slotgrad as sg
    >>> sg.linalg.cholesky(sg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])
    """
    lower = apply(cholesky_op, (as_matrix("cholesky", x, square=True),))
    return adjoint(lower) if upper else lower


def qr(x: Any, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """x = Q @ R with orthonormal columns of Q and R upper triangular, its diagonal real.

    x       (..., m, n), real or complex; the derivative exists if the first min(m, n) columns are
            independent
    mode    "reduced": Q (..., m, k), R (..., k, n) with k = min(m, n); "complete": k = m.  If
            m > n the completion is arbitrary and backward through it raises GradientError

    >>> import slotgrad as sg
    >>> q, r = sg.linalg.qr(sg.tensor([[3.0], [4.0]]))
    >>> sg.abs(r)
    tensor([[5.]])
    """
    if mode not in ("reduced", "complete"):
        raise OptionError(f"qr: got mode {mode!r}; expected 'reduced' or 'complete'")
    x = as_matrix("qr", x)
    mode = mode if x.shape[-2] > x.shape[-1] else "reduced"
    return QRResult(*items(apply(qr_op, (x,), {"mode": mode}), 2))


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
    a, b, vector = as_system("lstsq", a, b, square=False)
    tall = a.shape[-2] >= a.shape[-1]
    q, r = qr(a if tall else a.mT)
    _require_full_rank(r, a.shape)
    if tall:
        x = substituted(r, adjoint(q) @ b, lower=False)
    else:
        x = conj(q) @ substituted(r, b, lower=False, transpose=True)  # a = R^T Q^T
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
