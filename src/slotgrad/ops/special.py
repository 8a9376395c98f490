"""Special functions as kernel expressions: sigmoid, erf, lgamma, polygamma, asinh, acosh.

Each function takes the builder `k` of `reference.py` and floating arguments, and holds no
Python condition on a value.  Only static facts choose code: the dtype (shorter tables below
64 bits) and the order n of polygamma.  Both sides of a `k.select` are always computed, so a
side may overflow or be nan where it is not selected.

The tables were computed with 40 digits and then rounded: polynomials with the smallest
maximal error (Remez), quotients by iterated weighted least squares at Chebyshev points.  The
comment above each names the fitted function and its interval.  Errors in the docstrings were
measured on dense samples with NumPy's exp, log and sin, in units in the last place (ulp) of
the exact result; "32" and "64" stand for float32 and float64.

May import errors only.

>>> import numpy as np
>>> from slotgrad.ops import reference, special
>>> float(reference.evaluate(special.erf)(np.float64(0.5)).round(6))
0.5205
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

from ..errors import OptionError

# -- tables: coefficients from the highest power to the constant --------------------------------

# fmt: off

# erf(x) / x - 1 as a polynomial in x**2, 0 <= x <= 1.
_ERF32 = (
    7.889115e-05, -0.00080208405, 0.005189535, -0.026854444, 0.112836, -0.37612626,
    0.12837917,
)
_ERF64 = (
    -7.801187300572818e-10, 1.3722974085577803e-08, -1.6209175051111221e-07,
    1.6447517511670073e-06, -1.4924744644820125e-05, 0.00012055295319228035,
    -0.0008548325989642959, 0.005223977607422088, -0.02686617064327602, 0.11283791670945252,
    -0.3761263890318355, 0.12837916709551256,
)

# (1 + 2 x) exp(x**2) erfc(x) as a polynomial in (x - 3) / (x + 3), from x = 1 to 10.2 or 28.
_ERFC32 = (
    0.0016713586, 0.002093378, -0.023683945, 0.06839334, -0.119285494, 0.12963887,
    -0.047561772, -0.13562098, 1.253008,
)
_ERFC64 = (
    6.850780578585773e-08, -2.3373211339783407e-08, -6.449404096536607e-07,
    2.665201202726942e-07, 3.521643934107956e-06, -7.016425724465214e-07,
    -2.0125116090047858e-05, 4.945014294453685e-06, 0.00012510552698093022,
    -0.00010515965243973248, -0.0007798331507222359, 0.0018886903988933018,
    0.0025293918876545685, -0.023770514923630102, 0.0683080273408257, -0.1192736634150998,
    0.1296451587028246, -0.04756229435345363, -0.13562110612458156, 1.2530080582697296,
)

# (q(x) - q(c)) / (x - c) as top(x) / bottom(x) with q(x) = lgamma(x) / ((x - 1) (x - 2)),
# 0.5 <= x <= 3.  The pair holds c and q(c), the latter a short number.
_LGAMMA_CENTER = (1.4914943845292106, 0.484375)
_LGAMMA_TOP32 = (
    -0.8289062, -6.501464, -7.168267, -1.1017631,
)
_LGAMMA_BOTTOM32 = (
    1.8124382, 20.627588, 41.802692, 17.345112, 1.0,
)
_LGAMMA_TOP64 = (
    -0.000918718254534318, -3.510451933036554, -87.32842002175211, -580.5184128732433,
    -1393.4074590536143, -1316.773671074644, -482.1362111811543, -58.86697710226026,
    -1.5326943191548925,
)
_LGAMMA_BOTTOM64 = (
    7.511976331548364, 220.81746900420393, 1821.8883233203837, 5742.902170931122,
    7633.018070982441, 4310.119559127261, 965.604773753025, 71.0187496679221, 1.0,
)

# x times what Stirling's formula leaves of lgamma(x), as a polynomial in x**-2, x >= 3.
_STIRLING32 = (
    0.00070937275, -0.0027744742, 0.08333331,
)
_STIRLING64 = (
    -0.06268480384007814, 0.047509423762814536, -0.018642857496241328, 0.005749972892306642,
    -0.0018902936701554883, 0.0008410312919725434, -0.0005952268601129389,
    0.0007936507031199905, -0.0027777777774924462, 0.08333333333333319,
)

# digamma(x) / (x - root) as top(x) / bottom(x), 0.5 <= x <= 3; bottom(0) = 0 is the pole.
_DIGAMMA_TOP32 = (
    0.0007629929, 0.1231366, 1.0291147, 1.8432802, 0.684181,
)
_DIGAMMA_BOTTOM32 = (
    0.03269644, 0.47778425, 1.4330046, 1.0, 0.0,
)
_DIGAMMA_TOP64 = (
    7.130947355957783e-06, 0.0008243541301897613, 0.022686310548331264, 0.23826783498516338,
    1.1267522719969014, 2.4853795809771317, 2.35286126359639, 0.6841666717894441,
)
_DIGAMMA_BOTTOM64 = (
    1.1177212586953464e-06, 0.00019271296952181046, 0.0070646431841569525,
    0.09552688474368817, 0.5788365464167837, 1.667818272307602, 2.177635318889498, 1.0, 0.0,
)

# (log(x) - 1 / (2 x) - digamma(x)) x**2 as a polynomial in x**-2, x >= 3.
_DIGAMMA_TAIL32 = (
    0.0034023237, -0.0083115, 0.08333321,
)
_DIGAMMA_TAIL64 = (
    4.3466776437708905, -3.3275500724829583, 1.246889568399418, -0.3286053016746685,
    0.07795661152484577, -0.020918130556104732, 0.007572065298572497, -0.004166619975608885,
    0.003968253660978543, -0.008333333332538533, 0.083333333333333,
)

# fmt: on

# The positive root of digamma as a sum: the first part has 24 bits and the first two together
# 53, so that x minus the root is exact until the last subtraction in either precision.
_ROOT = (1.4616321325302124, 1.2438149843418955e-08, 9.549995429965697e-17)

_HUGE = 2.0**53  # here and above every float is an integer, and x + 1 is x


def _table(x: Any, single: tuple[float, ...], double: tuple[float, ...]) -> tuple[float, ...]:
    """The table for the dtype of x; floats of 16 bits are computed in 32."""
    return double if x.dtype.itemsize == 8 else single


# -- elementary --------------------------------------------------------------------------------


def sigmoid(k: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)); at most 1.9 (64) and 3.1 (32) ulp.

    The exponential never overflows, and far below 0 the result is exp(x), not 0.
    """
    e = k.exp(-k.abs(x))
    return k.select(x < 0, e, 1.0) / (1 + e)


def asinh(k: Any, x: Any) -> Any:
    """log(x + sqrt(x**2 + 1)), odd; at most 1.4 (64) and 2.1 (32) ulp.

    Written with log1p, so that it is exact near 0 (DLMF 4.37.16).
    """
    a = k.abs(x)
    large = a > _HUGE  # asinh(a) = log(2 a) to the last digit, but a * a may overflow
    square = a * a
    log = k.log1p(k.select(large, a, a + square / (1 + k.sqrt(1 + square))))
    return k.copysign(k.select(large, log + math.log(2), log), x)


def acosh(k: Any, x: Any) -> Any:
    """log(x + sqrt(x**2 - 1)), nan for x < 1; at most 1.8 (64) and 3.1 (32) ulp.

    Written with log1p of x - 1, which is exact near 1 (DLMF 4.37.19).
    """
    t = x - 1
    large = x > _HUGE
    log = k.log1p(k.select(large, x, t + k.sqrt(t * (t + 2))))
    # The root is real below -1 too.
    return k.select(x < 1, math.nan, k.select(large, log + math.log(2), log))


# -- error function ----------------------------------------------------------------------------


def _erf_excess(k: Any, x: Any) -> Any:
    """erf(x) - x for |x| <= 1: adding x, or 1 - x, last hides the rounding of the polynomial."""
    return x * k.poly(x * x, _table(x, _ERF32, _ERF64))


def _erfc_scaled(k: Any, y: Any) -> Any:
    """exp(y**2) erfc(y) for 1 <= y <= 28."""
    return k.poly((y - 3) / (y + 3), _table(y, _ERFC32, _ERFC64)) / (1 + 2 * y)


def erf(k: Any, x: Any) -> Any:
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x; at most 1.3 (64) and 1.4 (32) ulp.

    Definition: DLMF 7.2.1.  The sign of zero is kept.
    """
    a = k.abs(x)
    y = k.min(a, 28.0)  # beyond, exp(-y * y) is 0 anyway
    far = k.copysign(1 - k.exp(-y * y) * _erfc_scaled(k, y), x)
    return k.select(a < 1, x + _erf_excess(k, x), far)


def erfc(k: Any, x: Any) -> Any:
    """1 - erf(x) with full relative precision; at most 3.5 (64) and 5.5 (32) ulp.

    Of the latter, NumPy's exp in float32 has up to 2.4.

    The rounding of y**2 would be magnified by y**2 in exp(-y**2).  So y is split into h, a
    multiple of 1/128 whose square is exact in 24 bits, and a rest:
    exp(-y**2) = exp(-h**2) exp((h - y)(h + y)), the second factor between 0.8 and 1.3.
    """
    a = k.abs(x)
    y = k.min(a, 28.0)
    h = k.round(y * 128) * (1 / 128)
    leading = k.exp(-h * h) * _erfc_scaled(k, y)
    tail = leading + leading * k.expm1((h - y) * (h + y))
    return k.select(a < 1, (1 - x) - _erf_excess(k, x), k.select(x < 0, 2 - tail, tail))


# -- gamma function ----------------------------------------------------------------------------


def lgamma(k: Any, x: Any) -> Any:
    """log(|gamma(x)|); inf at 0, -1, -2, ... and at +-inf.

    For y = |x| >= 0.5 a rational function with the exact zeros at 1 and 2, or from 3 on
    Stirling's formula (DLMF 5.11.1) with a fitted rest.  Around 0 gamma(x) = gamma(x + 1) / x;
    further below gamma(x) gamma(-x) = -pi / (x sin(pi x)) (DLMF 5.5.1, 5.5.3).

    At most 4.6 (64) and 6.6 (32) ulp for x > -0.5, the zeros at 1 and 2 included.  Below,
    where other zeros lie, the error is at most 5.0 (64) and 8.9 (32) times the spacing of
    floats at max(1, |lgamma(x)|).
    """
    a = k.abs(x)
    small = a < 0.5
    y = k.select(small, x + 1, a)
    t = k.select(small, x, a - 1)  # y - 1 without the rounding of y
    top = k.poly(y, _table(x, _LGAMMA_TOP32, _LGAMMA_TOP64))
    bottom = k.poly(y, _table(x, _LGAMMA_BOTTOM32, _LGAMMA_BOTTOM64))
    # log(y) - 1 is kept together: the terms of Stirling's formula nearly cancel at 3.
    i = 1 / y
    rest = i * k.poly(i * i, _table(x, _STIRLING32, _STIRLING64))
    stirling = (y - 0.5) * (k.log(y) - 1) + (rest + (math.log(2 * math.pi) - 1) / 2)
    center, constant = _LGAMMA_CENTER
    near = t * (t - 1) * (constant + (y - center) * (top / bottom))
    value = k.select(y < 3, near, stirling)
    c = k.min(a, _HUGE)
    r = c - k.round(c)
    divisor = k.select(small, a, a * k.abs(k.sin(math.pi * r)) * (1 / math.pi))
    below = x <= -0.5
    shifted = k.select(below, -value, value) - k.log(divisor)
    shifted = k.select(below & (r == 0), math.inf, shifted)
    return k.select(x < 0.5, shifted, value)


def polygamma(k: Any, x: Any, n: int = 0) -> Any:
    """The derivative of order n of digamma, itself the derivative of lgamma (DLMF 5.15).

    n is a static integer >= 0, else OptionError.  At the poles 0, -1, -2, ... the value is
    inf for odd n, where both sides tend to inf, and nan for even n; digamma (n = 0) at +-0 is
    -+inf.  At -inf it is nan.

    At most 4.8, 4.2, 5.5 and 6.9 ulp in both precisions for n = 0, 1, 2, 3 and x > 0.  Below,
    where even orders have zeros, at most 11, 5.5, 8.3 and 12 times the spacing of floats at
    max(1, |value|), for -20 < x < 0.  Both grow with n, about as 2 (n + 1).
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise OptionError(f"polygamma: the order n must be an integer >= 0, got {n!r}")
    return _derivative(k, x, n) if n else _digamma(k, x)


def _cosine_and_sine(k: Any, x: Any) -> tuple[Any, Any, Any]:
    """|cos(pi r)|, sin(pi r) and r = x - round(x): their quotient is cot(pi x).

    The cosine as a sine keeps its relative precision at half integers, where 0.5 - |r| is exact.
    """
    r = x - k.round(x)
    return k.sin(math.pi * (0.5 - k.abs(r))), k.sin(math.pi * r), r


def _digamma(k: Any, x: Any) -> Any:
    """digamma: a rational function with its root, or from 3 on DLMF 5.11.2 with a fitted rest.

    Around 0 digamma(x) = digamma(x + 1) - 1 / x; further below
    digamma(x) = digamma(-x) - 1 / x - pi cot(pi x) (DLMF 5.5.2, 5.5.4).
    """
    a = k.abs(x)
    small = a < 0.5
    y = k.select(small, x + 1, a)
    top = k.poly(y, _table(x, _DIGAMMA_TOP32, _DIGAMMA_TOP64))
    bottom = k.poly(y, _table(x, _DIGAMMA_BOTTOM32, _DIGAMMA_BOTTOM64))
    i = 1 / y
    w = i * i
    rest = w * k.poly(w, _table(x, _DIGAMMA_TAIL32, _DIGAMMA_TAIL64))
    near = y - _ROOT[0] - _ROOT[1] - _ROOT[2]
    value = k.select(y < 3, near * (top / bottom), k.log(y) - (0.5 * i + rest))
    cosine, sine, r = _cosine_and_sine(k, x)
    reflected = k.select(r == 0, math.nan, value - (1 / x + math.pi * cosine / sine))
    return k.select(small, value - 1 / x, k.select(x < 0, reflected, value))


def _derivative(k: Any, x: Any, n: int) -> Any:
    """polygamma for n >= 1.

    With z(x) = n! times the sum of (x + j)**-(n + 1) over j >= 0, the value is
    (-1)**(n + 1) z(x) (Abramowitz & Stegun 6.4.10).  A few terms are added up, the others
    follow from the Euler-Maclaurin formula (DLMF 5.15.9, Abramowitz & Stegun 6.4.11).
    For x < 0 the derivative of order n of the reflection formula is used (DLMF 5.15.6).
    """
    # n! = factor * scale**(n + 1) with a power of two as scale: with n! itself, or with powers of
    # y alone, the parts would leave the range of floats long before the result does.
    factorial = math.factorial(n)
    m = round((factorial.bit_length() - 1) / (n + 1))
    scale, factor = 2.0**m, float(Fraction(factorial, 2 ** (m * (n + 1))))
    shift, bernoulli = (5 + n // 2, 5) if x.dtype.itemsize < 8 else (10 + n // 2, 9)

    below = x < 0
    y = k.select(below, 1 - x, x)
    i = 1 / (y + shift)
    w = i * i
    rest = 1 / n + (0.5 * i + w * k.poly(w, _euler_maclaurin(n, bernoulli)))
    z = _times_power(factor * scale * rest, scale * i, n)
    for j in reversed(range(shift)):  # the largest term last
        z = z + _times_power(factor, scale / (y + j), n + 1)
    cosine, sine, r = _cosine_and_sine(k, x)
    numerator = factor * k.poly(cosine * cosine, _cotangent(n))
    if n % 2:
        return k.select(below, _times_power(numerator, scale * math.pi / sine, n + 1) - z, z)
    cotangent = _times_power(numerator * cosine, scale * math.pi / sine, n + 1)
    value = k.select(below, -(cotangent + z), -z)
    return k.select((r == 0) & (x <= 0), math.nan, value)


def _times_power(factor: Any, x: Any, n: int) -> Any:
    """factor * x**n for n >= 1, in an order in which no power leaves the range alone."""
    if n == 1:
        return factor * x
    half = _power(x, n // 2)
    product = factor * half * half
    return product * x if n % 2 else product


def _power(x: Any, n: int) -> Any:
    """x**n for n >= 1 by repeated squaring."""
    if n == 1:
        return x
    root = _power(x, n // 2)
    return root * root * x if n % 2 else root * root


@cache
def _euler_maclaurin(n: int, count: int) -> tuple[float, ...]:
    """B_2j (2j + n - 1)! / ((2j)! n!) from j = count to 1, with Bernoulli numbers B_2j."""
    bernoulli = [Fraction(1)]
    for m in range(1, 2 * count + 1):  # DLMF 24.5.3
        total = sum((math.comb(m + 1, j) * bernoulli[j] for j in range(m)), Fraction(0))
        bernoulli.append(-total / (m + 1))
    return tuple(
        float(bernoulli[2 * j] * Fraction(math.comb(2 * j + n - 1, n - 1), n))
        for j in range(count, 0, -1)
    )


@cache
def _cotangent(n: int) -> tuple[float, ...]:
    """The polynomial q in cos(t)**2, with an extra factor cos(t) for even n, for which

    the derivative of order n of cot(t) is (-1)**n n! q / sin(t)**(n + 1).

    From cos(t) / sin(t), differentiating Q(c) / s**(m + 1) with c = cos(t), s = sin(t) gives
    -((1 - c**2) Q'(c) + (m + 1) c Q(c)) / s**(m + 2).
    """
    q = [0, 1]  # powers of cos(t) from the constant on, without the sign (-1)**n
    for m in range(n):
        new = [0] * (len(q) + 1)
        for power, c in enumerate(q):
            new[power + 1] += (m + 1 - power) * c
            if power:
                new[power - 1] += power * c
        while not new[-1]:
            new.pop()
        q = new
    factorial = math.factorial(n)
    return tuple(float(Fraction(c, factorial)) for c in q[(n + 1) % 2 :: 2][::-1])
