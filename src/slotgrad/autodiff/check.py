"""`check_grads`: derivatives against differences.  May import the floor, ops and transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import float64, promote_types
from ..errors import GradientError, OptionError
from ..ops.declare import as_tensor, constant
from ..tensor import Tensor
from ..tree import flatten, unflatten
from .transforms import jvp, vjp

# step of the differences, and the tolerance (absolute and relative) that it allows
_TOLERANCE = {"float64": (1e-5, 2e-6), "float32": (1e-2, 2e-2)}


def check_grads(
    f: Callable[..., Any],
    xs: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("reverse", "forward"),
    *,
    rtol: float | None = None,
    atol: float | None = None,
    step: float | None = None,
    seed: int = 0,
) -> None:
    """Raise GradientError unless the derivatives of `f` at xs agree with central differences.

    Compares u . J v for random directions v and u: J v from (f(x + h v) - f(x - h v)) / 2h, from
    forward and from reverse mode.  order 2 does the same with the derivatives in turn.

    xs     tuple or list of arguments, trees of floating-point tensors; use float64.  Results may
           be complex
    modes  of "reverse" and "forward"
    rtol, atol, step   default: 2e-6, 2e-6, 1e-5 in float64; 2e-2, 2e-2, 1e-2 in float32

    >>> import slotgrad as sg
    >>> sg.check_grads(sg.sin, (np.array([0.1, 0.2]),), order=2)
    """
    if unknown := set(modes) - {"reverse", "forward"}:
        raise OptionError(f"check_grads: got modes {sorted(unknown)}; expected reverse, forward")
    if not isinstance(xs, (tuple, list)):
        raise OptionError(f"check_grads: got a {type(xs).__name__}; expected a tuple of arguments")
    leaves, structure = flatten(tuple(xs))
    if not leaves:
        raise OptionError("check_grads: got no arguments; expected at least one tensor")
    tensors = [as_tensor(x) for x in leaves]
    default_step, default_tolerance = _TOLERANCE.get(tensors[0].dtype.name, _TOLERANCE["float32"])
    limits = (
        default_tolerance if rtol is None else rtol,
        default_tolerance if atol is None else atol,
        default_step if step is None else step,
    )

    # a stream that the caller's own data does not come from
    rng = np.random.default_rng([seed, 0x5107])

    def flat(*inputs: Any) -> list[Tensor]:
        result = f(*unflatten(structure, inputs))
        return [as_tensor(y) for y in flatten(result)[0]]

    _check(flat, tensors, order, tuple(modes), limits, rng, "")


def _check(
    f: Callable[..., list[Tensor]],
    xs: list[Tensor],
    order: int,
    modes: tuple[str, ...],
    limits: tuple[float, float, float],
    rng: np.random.Generator,
    path: str,
) -> None:
    vs = [_random(x, rng) for x in xs]
    us = [_random(y, rng) for y in f(*xs)]
    h = limits[2]
    ahead = f(*[x + h * v for x, v in zip(xs, vs)])
    behind = f(*[x - h * v for x, v in zip(xs, vs)])
    expected = _dot(us, [(a - b) / (2 * h) for a, b in zip(ahead, behind)])
    if "forward" in modes:
        tangents = jvp(f, xs, vs)[1]
        _compare(_dot(us, tangents), expected, limits, f"{path}forward")
    if "reverse" in modes:
        gradients = vjp(f, *xs)[1](us)
        _compare(_dot(gradients, vs), expected, limits, f"{path}reverse")
    if order > 1:
        if "forward" in modes:
            tangent: Any = lambda *ys: jvp(f, ys, vs)[1]  # noqa: E731
            _check(tangent, xs, order - 1, modes, limits, rng, f"{path}forward, then ")
        if "reverse" in modes:
            gradient: Any = lambda *ys: list(vjp(f, *ys)[1](us))  # noqa: E731
            _check(gradient, xs, order - 1, modes, limits, rng, f"{path}reverse, then ")


def _random(x: Tensor, rng: np.random.Generator) -> Tensor:
    value = rng.standard_normal(x.shape)
    if x.dtype.kind == "c":
        value = value + 1j * rng.standard_normal(x.shape)
    return constant(value.astype(x.dtype))


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """What a cotangent gives for a tangent; of complex ones the real part."""
    products = (_wide(x) * _wide(y) for x, y in zip(a, b))
    return float(sum(product.sum().real for product in products))


def _wide(x: Tensor) -> np.ndarray:
    return x.numpy().astype(promote_types(x.dtype, float64))


def _compare(got: float, expected: float, limits: tuple[float, float, float], what: str) -> None:
    rtol, atol, _ = limits
    if not abs(got - expected) <= atol + rtol * abs(expected):
        raise GradientError(
            f"check_grads: {what} mode gives {got:.9g} in a random direction, central differences"
            f" {expected:.9g}; the derivative rule is wrong, or the function is not smooth here"
        )
