"""Functions of one number, element by element.

erf, erfc, lgamma and polygamma have no NumPy function: their eager value is their kernel
expression evaluated with NumPy.  Coefficients: see `special.py`.

May import the floor, declare, arithmetic and parts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph.apply import apply
from ..tensor import Tensor
from . import special
from .arithmetic import logaddexp, pow, unit, where
from .declare import as_tensor, elementwise, number, promote, quiet, uniform
from .parts import conj, imag, real
from .reference import evaluate


def _direction(x: Tensor) -> Any:
    """The partial of abs: of complex numbers it goes from real to complex cotangents."""
    if x.dtype.kind != "c":
        return lambda g: g * sign(x)
    towards = unit(conj(x), abs(x))
    return lambda g: g * towards if g.dtype.kind != "c" else real(g * towards)


abs = elementwise(
    "abs",
    value=np.abs,
    partials=lambda x: (_direction(x),),
    kernel=lambda k, x: k.abs(x),
    samples=uniform(0.2, 2),
    accepts="any",
    result="real",
    doc="|x|; the derivative at 0 is 0.",
)

_sign = elementwise(
    "sign",
    value=np.sign,
    partials=lambda x: (0,),
    kernel=lambda k, x: k.sign(x),
    samples=uniform(0.2, 2),
    accepts="real",
)


def sign(x: Any, /) -> Tensor:
    """-1, 0 or 1, nan for nan; the derivative is 0.  Of complex numbers x / |x|, or 0."""
    x = as_tensor(x)
    return unit(x, abs(x)) if x.dtype.kind == "c" else _sign(x)


sqrt = elementwise(
    "sqrt",
    value=quiet(np.sqrt),
    partials=lambda x, *, out: (lambda g: g * 0.5 / out,),
    kernel=lambda k, x: k.sqrt(x),
    samples=uniform(0.2, 2),
    accepts="inexact",
    doc="The square root; nan below 0.",
)

# -- exponentials and logarithms ---------------------------------------------------------------

exp = elementwise(
    "exp",
    value=quiet(np.exp),
    partials=lambda x, *, out: (out,),
    kernel=lambda k, x: k.exp(x),
    accepts="inexact",
    doc="e**x.",
)

expm1 = elementwise(
    "expm1",
    value=quiet(np.expm1),
    partials=lambda x, *, out: (out + 1,),
    kernel=lambda k, x: k.expm1(x),
    accepts="inexact",
    doc="exp(x) - 1, exact near 0.",
)

log = elementwise(
    "log",
    value=quiet(np.log),
    partials=lambda x: (lambda g: g / x,),
    kernel=lambda k, x: k.log(x),
    samples=uniform(0.2, 3),
    accepts="inexact",
    doc="The natural logarithm: -inf at 0, nan below.",
)

log2 = elementwise(
    "log2",
    value=quiet(np.log2),
    partials=lambda x: (lambda g: g / (x * math.log(2)),),
    kernel=lambda k, x: k.log2(x),
    samples=uniform(0.2, 3),
    accepts="inexact",
    doc="The logarithm to base 2.",
)

log10 = elementwise(
    "log10",
    value=quiet(np.log10),
    partials=lambda x: (lambda g: g / (x * math.log(10)),),
    kernel=lambda k, x: k.log10(x),
    samples=uniform(0.2, 3),
    accepts="inexact",
    doc="The logarithm to base 10.",
)

log1p = elementwise(
    "log1p",
    value=quiet(np.log1p),
    partials=lambda x: (lambda g: g / (x + 1),),
    kernel=lambda k, x: k.log1p(x),
    samples=uniform(-0.8, 2),
    accepts="inexact",
    doc="log(1 + x), exact near 0.",
)

# -- circular and hyperbolic -------------------------------------------------------------------

sin = elementwise(
    "sin",
    value=quiet(np.sin),
    partials=lambda x: (lambda g: g * cos(x),),
    kernel=lambda k, x: k.sin(x),
    accepts="inexact",
    doc="The sine of x radians.",
)

cos = elementwise(
    "cos",
    value=quiet(np.cos),
    partials=lambda x: (lambda g: -g * sin(x),),
    kernel=lambda k, x: k.cos(x),
    accepts="inexact",
    doc="The cosine of x radians.",
)

tan = elementwise(
    "tan",
    value=quiet(np.tan),
    partials=lambda x, *, out: (1 + out * out,),
    kernel=lambda k, x: k.sin(x) / k.cos(x),
    samples=uniform(-1, 1),
    accepts="inexact",
    doc="The tangent of x radians.",
)

asin = elementwise(
    "asin",
    value=quiet(np.arcsin),
    partials=lambda x: (lambda g: g / sqrt((1 - x) * (1 + x)),),
    kernel=lambda k, x: k.atan2(x, k.sqrt((1 - x) * (1 + x))),
    samples=uniform(-0.8, 0.8),
    accepts="inexact",
    doc="The angle in [-pi/2, pi/2] whose sine is x; nan outside [-1, 1].",
)

acos = elementwise(
    "acos",
    value=quiet(np.arccos),
    partials=lambda x: (lambda g: -g / sqrt((1 - x) * (1 + x)),),
    kernel=lambda k, x: k.atan2(k.sqrt((1 - x) * (1 + x)), x),
    samples=uniform(-0.8, 0.8),
    accepts="inexact",
    doc="The angle in [0, pi] whose cosine is x; nan outside [-1, 1].",
)

atan = elementwise(
    "atan",
    value=quiet(np.arctan),
    partials=lambda x: (lambda g: g / (1 + x * x),),
    kernel=lambda k, x: k.atan(x),
    accepts="inexact",
    doc="The angle in (-pi/2, pi/2) whose tangent is x.",
)

sinh = elementwise(
    "sinh",
    value=quiet(np.sinh),
    partials=lambda x: (lambda g: g * cosh(x),),
    kernel=lambda k, x: k.sinh(x),
    accepts="inexact",
    doc="The hyperbolic sine.",
)

cosh = elementwise(
    "cosh",
    value=quiet(np.cosh),
    partials=lambda x: (lambda g: g * sinh(x),),
    kernel=lambda k, x: k.cosh(x),
    accepts="inexact",
    doc="The hyperbolic cosine.",
)

tanh = elementwise(
    "tanh",
    value=quiet(np.tanh),
    partials=lambda x, *, out: (1 - out * out,),
    kernel=lambda k, x: k.tanh(x),
    samples=uniform(-3, 3),
    accepts="inexact",
    doc="The hyperbolic tangent.",
)

asinh = elementwise(
    "asinh",
    value=quiet(np.arcsinh),
    partials=lambda x: (lambda g: g / sqrt(x * x + 1),),
    kernel=special.asinh,
    accepts="inexact",
    doc="The number whose hyperbolic sine is x.",
)

acosh = elementwise(
    "acosh",
    value=quiet(np.arccosh),
    partials=lambda x: (lambda g: g / sqrt((x - 1) * (x + 1)),),
    kernel=special.acosh,
    samples=uniform(1.2, 3),
    accepts="inexact",
    doc="The number >= 0 whose hyperbolic cosine is x; nan below 1.",
)

atanh = elementwise(
    "atanh",
    value=quiet(np.arctanh),
    partials=lambda x: (lambda g: g / ((1 - x) * (1 + x)),),
    kernel=lambda k, x: 0.5 * (k.log1p(x) - k.log1p(-x)),
    samples=uniform(-0.8, 0.8),
    accepts="inexact",
    doc="The number whose hyperbolic tangent is x; nan outside [-1, 1].",
)

sigmoid = elementwise(
    "sigmoid",
    value=evaluate(special.sigmoid),
    partials=lambda x, *, out: (out * (1 - out),),
    kernel=special.sigmoid,
    samples=uniform(-3, 3),
    accepts="floating",
    doc="The logistic function 1 / (1 + exp(-x)).",
)

# -- special functions -------------------------------------------------------------------------

erf = elementwise(
    "erf",
    value=evaluate(special.erf),
    partials=lambda x: (lambda g: g * (2 / math.sqrt(math.pi)) * exp(-x * x),),
    kernel=lambda k, x: k.erf(x),
    accepts="floating",
    oracle=math.erf,
    doc="The error function 2/sqrt(pi) * integral of exp(-t**2) from 0 to x.",
)

erfc = elementwise(
    "erfc",
    value=evaluate(special.erfc),
    partials=lambda x: (lambda g: g * (-2 / math.sqrt(math.pi)) * exp(-x * x),),
    kernel=special.erfc,
    accepts="floating",
    oracle=math.erfc,
    doc="1 - erf(x), with full relative precision for large x.",
)

lgamma = elementwise(
    "lgamma",
    value=evaluate(special.lgamma),
    partials=lambda x: (lambda g: g * digamma(x),),
    kernel=special.lgamma,
    samples=uniform(0.5, 4),
    accepts="floating",
    oracle=math.lgamma,
    doc="log(|gamma(x)|): inf at 0, -1, -2, ...",
)

_polygamma = elementwise(
    "polygamma",
    value=evaluate(special.polygamma),
    partials=lambda x, n=0: (lambda g: g * polygamma(n + 1, x),),
    kernel=special.polygamma,
    samples=uniform(0.5, 4),
    accepts="floating",
)


def polygamma(n: int, x: Any, /) -> Tensor:
    """The derivative of order n of digamma: (-1)**(n+1) * n! * sum over k of 1/(x+k)**(n+1).

    n = 0 is digamma itself.  Poles at 0, -1, -2, ...
    """
    return apply(_polygamma.op, promote(x, accepts="floating", op="polygamma"), {"n": n})


def digamma(x: Any, /) -> Tensor:
    """The derivative of lgamma.

    >>> import slotgrad as sg
    >>> f"{sg.digamma(sg.tensor(1.0)):.6f}"  # minus Euler's constant
    '-0.577216'
    """
    return polygamma(0, x)


# -- rounding ----------------------------------------------------------------------------------

floor = elementwise(
    "floor",
    value=np.floor,
    partials=lambda x: (0,),
    kernel=lambda k, x: k.floor(x),
    samples=uniform(0.1, 0.9),
    accepts="real",
    doc="The largest integer <= x, in the dtype of x.  The derivative is 0.",
)

_round = elementwise(
    "round",
    value=np.round,
    partials=lambda x: (0,),
    kernel=lambda k, x: k.round(x),
    samples=uniform(0.1, 0.4),
    accepts="real",
)


def round(x: Any, /) -> Tensor:
    """The nearest integer, halves to even, in the dtype of x.  The derivative is 0.

    Complex numbers are rounded part by part.
    """
    x = as_tensor(x)
    return _round(real(x)) + _round(imag(x)) * 1j if x.dtype.kind == "c" else _round(x)


def ceil(x: Any, /) -> Tensor:
    """The smallest integer >= x, in the dtype of x.  The derivative is 0."""
    return -floor(-as_tensor(x))


def trunc(x: Any, /) -> Tensor:
    """x without its fraction, in the dtype of x.  The derivative is 0."""
    x = as_tensor(x)
    return where(x < 0, ceil(x), floor(x))


# -- composites --------------------------------------------------------------------------------


def square(x: Any, /) -> Tensor:
    """x * x."""
    x = as_tensor(x)
    return x * x


def reciprocal(x: Any, /) -> Tensor:
    """1 / x."""
    return 1 / as_tensor(x)


def rsqrt(x: Any, /) -> Tensor:
    """1 / sqrt(x)."""
    return 1 / sqrt(x)


def exp2(x: Any, /) -> Tensor:
    """2**x."""
    (x,) = promote(x, accepts="inexact", op="exp2")
    return pow(number(2, x.dtype), x)


def relu(x: Any, /) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    x = as_tensor(x)
    return where(x <= 0, 0, x)


def softplus(x: Any, /) -> Tensor:
    """log(1 + exp(x)) without overflow."""
    (x,) = promote(x, accepts="floating", op="softplus")
    return logaddexp(x, 0.0)
