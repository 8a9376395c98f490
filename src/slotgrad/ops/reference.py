"""Kernel expressions evaluated with NumPy: slow, obvious, the oracle of every target.

`Reference` is also the definition of the builder `k` that a `kernel` entry receives.  A scalar
expression combines its arguments with the Python operators + - * / < <= == & | ^ ~ << >> and
with the functions below, and holds no Python condition on a value, so that a target can read
it once and emit code.  A structured kernel names one of the whole-array statements.

May import special.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import special

Array = np.ndarray


class Reference:
    """The builder of kernel expressions, computing with NumPy arrays."""

    # -- scalar expressions --------------------------------------------------------------

    abs, sign, sqrt, floor = np.abs, np.sign, np.sqrt, np.floor
    round = staticmethod(np.round)  # halves to even; not a ufunc, so it would bind self
    exp, expm1, log, log2, log10, log1p = np.exp, np.expm1, np.log, np.log2, np.log10, np.log1p
    sin, cos, atan, sinh, cosh, tanh = np.sin, np.cos, np.arctan, np.sinh, np.cosh, np.tanh
    pow, atan2, hypot, copysign = np.power, np.arctan2, np.hypot, np.copysign
    min, max = np.minimum, np.maximum  # nan if one is nan
    remainder, floor_divide = np.remainder, np.floor_divide

    def erf(self, x: Array) -> Array:
        """The error function, which NumPy lacks."""
        return special.erf(self, x)

    @staticmethod
    def select(condition: Array, a: Any, b: Any) -> Array:
        """a where the condition holds, else b; a number takes the dtype of the other one."""
        return np.where(condition, a, b)

    @staticmethod
    def bits(x: Array) -> Array:
        """The bits of floats as signed integers."""
        return np.asarray(x).view(f"i{x.dtype.itemsize}")

    @staticmethod
    def from_bits(x: Array) -> Array:
        """The floats that have these bits."""
        return np.asarray(x).view(f"f{x.dtype.itemsize}")

    @staticmethod
    def poly(x: Array, coefficients: tuple[float, ...]) -> Array:
        """Horner's rule: coefficients from the highest power to the constant."""
        total = np.full_like(x, coefficients[0])
        for c in coefficients[1:]:
            total = total * x + x.dtype.type(c)
        return total

    @staticmethod
    def cast(x: Array, dtype: np.dtype) -> Array:
        """x converted; floats are truncated on the way to integers."""
        return x.astype(dtype)

    # -- whole-array statements ----------------------------------------------------------

    @staticmethod
    def reduce(combine: str, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """Combine ("add", "max", "min") over axes; integers add up in 64 bits."""
        functions: dict[str, Any] = {"add": np.sum, "max": np.max, "min": np.min}
        return functions[combine](x, axis=axes, keepdims=keepdims)

    @staticmethod
    def arg_reduce(best: str, x: Array, axis: int, keepdims: bool) -> Array:
        """Index of the first "max" or "min" along an axis."""
        return {"max": np.argmax, "min": np.argmin}[best](x, axis=axis, keepdims=keepdims)

    @staticmethod
    def scan(combine: str, x: Array, axis: int) -> Array:
        """Running combination ("add") along an axis."""
        return np.cumsum(x, axis=axis)

    @staticmethod
    def argsort(x: Array, axis: int, descending: bool) -> Array:
        """Stable order along an axis."""
        if not descending:
            return np.argsort(x, axis=axis, kind="stable")
        flipped = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        return x.shape[axis] - 1 - flipped

    @staticmethod
    def reshape(x: Array, shape: tuple[int, ...]) -> Array:
        """The elements in row-major order in another shape."""
        return x.reshape(shape)

    @staticmethod
    def permute(x: Array, axes: tuple[int, ...]) -> Array:
        """Axes in another order."""
        return x.transpose(axes)

    @staticmethod
    def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
        """x repeated along new axes and axes of size 1."""
        return np.broadcast_to(x, shape)

    @staticmethod
    def slice(x: Array, starts: tuple, sizes: tuple, steps: tuple) -> Array:
        """out[i, ...] = x[starts[0] + i * steps[0], ...]; steps may be negative."""
        grid = [s + np.arange(n) * d for s, n, d in zip(starts, sizes, steps)]
        return x[np.ix_(*grid)] if grid else x

    @staticmethod
    def place(x: Array, shape: tuple, starts: tuple, steps: tuple) -> Array:
        """Zeros of `shape` with out[starts[0] + i * steps[0], ...] = x[i, ...]."""
        out = np.zeros(shape, x.dtype)
        grid = [s + np.arange(n) * d for s, n, d in zip(starts, x.shape, steps)]
        out[np.ix_(*grid) if grid else ()] = x
        return out

    @staticmethod
    def concat(xs: tuple[Array, ...], axis: int) -> Array:
        """Arrays one behind the other along an axis."""
        return np.concatenate(xs, axis=axis)

    @staticmethod
    def gather(x: Array, indices: tuple[Array, ...], axes: tuple[int, ...]) -> Array:
        """x at index arrays for some axes; NumPy's rule places the index axes."""
        return x[_where_at(x.ndim, indices, axes)]

    @staticmethod
    def scatter(x: Array, v: Array, indices: tuple, axes: tuple[int, ...], mode: str) -> Array:
        """A copy of x with v written ("set", the last wins) or added ("add") at the indices."""
        out = x.copy()
        where = _where_at(x.ndim, indices, axes)
        if mode == "add":
            np.add.at(out, where, v)
        else:
            out[where] = v
        return out

    @staticmethod
    def gemm(a: Array, b: Array) -> Array:
        """(..., n, k) by (..., k, m): the matrix product, batch axes broadcast."""
        return np.einsum("...nk,...km->...nm", a, b)

    @staticmethod
    def call(name: str, *xs: Array, **attrs: Any) -> Any:
        """A LAPACK-class operation by the name of its NumPy function."""
        if name == "solve_triangular":
            return _solve_triangular(*xs, **attrs)
        return getattr(np.linalg, name)(*xs, **attrs)


def _solve_triangular(
    a: Array, b: Array, lower: bool, unit_diagonal: bool, transpose: bool
) -> Array:
    """The general solver on the triangle alone: NumPy has none for triangles."""
    triangle = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        diagonal = np.arange(a.shape[-1])
        triangle[..., diagonal, diagonal] = 1
    return np.linalg.solve(np.swapaxes(triangle, -1, -2) if transpose else triangle, b)


def _where_at(ndim: int, indices: tuple, axes: tuple[int, ...]) -> tuple:
    index: list[Any] = [slice(None)] * ndim
    for axis, i in zip(axes, indices):
        index[axis] = i
    return tuple(index)


k = Reference()


def evaluate(kernel: Callable[..., Any]) -> Callable[..., Array]:
    """The eager value of an operation that NumPy lacks: its kernel expression on arrays.

    float16 and bfloat16 are computed in float32, as the targets do.
    """

    def value(*xs: Array, **attrs: Any) -> Array:
        dtype = xs[0].dtype
        if dtype.itemsize == 2:
            xs = tuple(x.astype(np.float32) for x in xs)
        return np.asarray(kernel(k, *xs, **attrs)).astype(dtype, copy=False)

    return np.errstate(all="ignore")(value)
