"""Systems of linear equations and determinants, by LU and by substitution.

Matrices lie in the last two axes; leading axes are batches and broadcast.  The rules are those of
Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008).

    >>> import slotgrad as sg
    >>> sg.linalg.solve(sg.tensor([[2.0, 1.0], [1.0, 3.0]]), sg.tensor([3.0, 4.0]))
    tensor([1., 1.])

May import the floor, declare, arrange, parts, stop and matrices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import real_dtype
from ..graph.apply import apply
from ..tensor import Tensor
from .arrange import tril, triu
from .declare import TensorType, align, broadcast_shapes, structured, unbroadcast
from .matrices import as_matrix, as_system, eye, lapack
from .parts import imag
from .stop import items

# -- primitives ----------------------------------------------------------------------------------


class _Solve:
    """What the two solvers share: a (..., n, n), b (..., n, k) -> (..., n, k)."""

    samples: list = []

    def type(a: TensorType, b: TensorType, **attrs: Any) -> TensorType:
        batch = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
        return TensorType((*batch, *b.shape[-2:]), b.dtype)


@structured("solve", accepts="inexact")
class solve_op(_Solve):
    """a @ x = b for x, by LU."""

    @lapack(
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


@structured("solve_triangular", accepts="inexact")
class solve_triangular_op(_Solve):
    """Attributes lower, unit_diagonal, transpose; the other triangle is not read."""

    @lapack(
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


@structured("slogdet", accepts="inexact")
class slogdet_op:
    """x (..., n, n) -> sign (...), log(abs(det)) (...).  Giles 2008, 2.3.1.

    With t = trace(inv(x) dx): d logabsdet = real(t), d sign = sign * 1j * imag(t).
    """

    def type(x: TensorType) -> tuple:
        shape = x.shape[:-2]
        return TensorType(shape, x.dtype), TensorType(shape, real_dtype(x.dtype))

    @lapack("slogdet: {got}; expected square matrices")
    def value(x: np.ndarray) -> tuple:
        return np.linalg.slogdet(x)

    samples: list = []

    def vjp(g: tuple, out: tuple, x: Tensor) -> tuple:
        def cotangent() -> Tensor:
            by_t = g[1] if x.dtype.kind != "c" else g[1] + 1j * imag(g[0] * out[0])
            return apply(solve_op, (x.mT, eye(x, x.shape[-1]) * by_t.expand_dims((-2, -1))))

        return (cotangent,)

    def batch(batched: tuple, x: Tensor) -> tuple:
        return items(apply(slogdet_op, (x,)), 2)

    def kernel(k: Any, x: Any) -> Any:
        return k.call("slogdet", x)


# -- functions -----------------------------------------------------------------------------------


class SlogdetResult(NamedTuple):
    """The determinant is sign * exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


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
    a, b, vector = as_system("solve", a, b, square=True)
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
    a, b, vector = as_system("solve_triangular", a, b, square=True)
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
    x = as_matrix("inv", x, square=True)
    return apply(solve_op, (x, eye(x, x.shape[-1])))


def slogdet(x: Any, /) -> SlogdetResult:
    """Sign and logarithm of the size of the determinant: det(x) = sign * exp(logabsdet).

    (..., n, n) -> two tensors (...); sign is a complex number of size 1 if x is complex, and
    logabsdet always real.  A singular matrix has sign 0 and logabsdet -inf, and backward through
    it raises MatrixError.  With t = trace(inv(x) dx): d logabsdet = real(t), d sign = sign * 1j *
    imag(t), which is 0 for real x.

    >>> import slotgrad as sg
    >>> sg.linalg.slogdet(sg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    x = as_matrix("slogdet", x, square=True)
    return SlogdetResult(*items(apply(slogdet_op, (x,)), 2))
