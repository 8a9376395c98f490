"""Elementary functions as branch-free vector arithmetic, in float32 and float64.

Each function takes the builder `k` of `vector.py` and floating values, and becomes a method of
the builder: `vmath.exp(k, x)` is `k.exp(x)`.  Both precisions share one text; what differs
(word length, limits, tables) stands in `formats.Format`.  Infinities, nan, signed zeros and
denormals come out as C's Annex F has them, if need be by a select at the end.

Errors in the docstrings are the largest measured, in units in the last place (ulp) of the exact
result, with a fused multiply-add (2 without); "32" and "64" stand for float32 and float64.

Methods: Cody and Waite, "Software Manual for the Elementary Functions" (1980) for reducing
arguments; Tang, "Table-driven implementation of the logarithm" (1990) and fdlibm for the form
of log; Dekker, "A floating-point technique for extending the available precision" (1971) for
sums and products of twice the length.

Where vectors can look numbers up, `tabled.py` has shorter ways to most of these functions.

May import ops.special, targets.formats and targets.tabled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..ops import special
from . import tabled
from .formats import ATANH64, FLOAT32, FLOAT64, TWO_THIRDS, Format

if TYPE_CHECKING:
    from .vector import Value, Vector


def _format(x: Value) -> Format:
    return FLOAT64 if x.dtype.itemsize == 8 else FLOAT32


# -- pieces ------------------------------------------------------------------------------------


def _clamp(k: Vector, x: Value, low: float, high: float) -> Value:
    """x limited to [low, high]; nan stays nan."""
    return k.max(k.min(x, high), low)


def _power_of_two(k: Vector, n: Value, f: Format) -> Value:
    """2**n for integers in the range of normal numbers."""
    return k.from_bits((n + f.bias) << f.mantissa)


def _scale(k: Vector, y: Value, n: Value, f: Format) -> Value:
    """y * 2**n by two multiplications, as 2**n alone may leave the range.

    An addition to the exponent would be one instruction less, but turn nan into a number.
    """
    half = n >> 1
    return y * _power_of_two(k, half, f) * _power_of_two(k, n - half, f)


def _round(k: Vector, x: Value, factor: float, f: Format) -> tuple[Value, Value]:
    """x * factor rounded to an integer, as a float and as an integer; small ones only."""
    shifted = k.fma(x, factor, f.magic)
    return shifted - f.magic, k.bits(shifted) - f.pattern(f.magic)


def _exact_fma(k: Vector, a: Value, b: Value | float, c: Value) -> Value:
    """a * b + c with one rounding, on every host: what follows from it must be exact.

    Without the instruction, float32 goes through float64, where the product is exact; in
    float64 Dekker's product finds its own rounding error.
    """
    if k.host.has_fma:
        return k.fma(a, b, c)
    b = k.like(b, a)
    if a.dtype.itemsize == 4:
        wide = [k.cast(v, np.dtype("f8")) for v in (a, b, c)]
        return k.cast(wide[0] * wide[1] + wide[2], np.dtype("f4"))

    def halves(v: Value) -> tuple[Value, Value]:
        scaled = v * 134217729.0  # 2**27 + 1
        high = scaled - (scaled - v)
        return high, v - high

    (ah, al), (bh, bl) = halves(a), halves(b)
    product = a * b
    error = ((ah * bh - product) + ah * bl + al * bh) + al * bl
    return (product + c) + error


def _product(k: Vector, a: Value, b: Value | float) -> tuple[Value, Value]:
    """a * b and its rounding error (Dekker)."""
    product = a * b
    return product, _exact_fma(k, a, b, -product)


def _sum(a: Value | float, b: Value) -> tuple[Value, Value]:
    """a + b and its rounding error, for |a| >= |b| or a = 0 (Dekker)."""
    total = a + b
    return total, (a - total) + b


# -- exponentials --------------------------------------------------------------------------------


def _exp_scaled(k: Vector, x: Value, low: Value | None = None, shift: int = 0) -> Value:
    """exp(x + low) * 2**shift, where |low| is a rounding error of x and shift 0 or -1.

    n = round(x / log(2)), r = x - n log(2), exp(x) = 2**n exp(r).  What becomes 0 is set to that:
    many processors take a hundred cycles to find that a product is too small.
    """
    lowest, highest = _format(x).exp_range
    is_zero = x < lowest
    y = _exp_in_range(k, k.select(is_zero, 0.0, k.min(x, highest)), low, shift)
    return k.select(is_zero, 0.0, y)


def _exp_in_range(k: Vector, x: Value, low: Value | None, shift: int) -> Value:
    if k.can_look_up(x):
        return tabled.exp(k, x, low, shift)
    f = _format(x)
    whole, n = _round(k, x, f.log2_e[0], f)
    r = k.fma(whole, -f.ln2[1], k.fma(whole, -f.ln2[0], x))
    if low is not None:
        r = r + low
    y = k.fma(r * r, k.poly(r, f.exp), r) + 1.0
    return _scale(k, y, n + shift if shift else n, f)


def exp(k: Vector, x: Value) -> Value:
    """e**x; at most 1.02 (32) and 1.15 (64) ulp."""
    return _exp_scaled(k, x)


def _expm1_parts(k: Vector, x: Value) -> tuple[Value, Value]:
    """e and the integer n with exp(x) = 2**n (1 + e), e exact near 0."""
    f = _format(x)
    whole, n = _round(k, x, f.log2_e[0], f)
    r = k.fma(whole, -f.ln2[1], k.fma(whole, -f.ln2[0], x))
    return k.fma(r * r, k.poly(r, f.expm1), r), n


def expm1(k: Vector, x: Value) -> Value:
    """e**x - 1, exact near 0; at most 1.4 (32) and 1.8 (64) ulp.

    With 2**n = a b it is (a e + (a - 1 / b)) b, where nothing overflows before the result does.
    """
    f = _format(x)
    e, n = _expm1_parts(k, _clamp(k, x, *f.exp_range))
    half = n >> 1
    rest = n - half
    a, b = _power_of_two(k, half, f), _power_of_two(k, rest, f)
    y = k.fma(e, a, a - _power_of_two(k, -rest, f)) * b
    return k.copysign(y, x)  # the sum lost the sign of zero


def sinh(k: Vector, x: Value) -> Value:
    """The hyperbolic sine; at most 1.75 (32) and 1.75 (64) ulp.

    A polynomial up to 1, beyond h - 1 / (4 h) with h = exp(|x|) / 2, which overflows when
    sinh does.
    """
    f = _format(x)
    a = k.abs(x)
    square = x * x
    near = k.fma(x * square, k.poly(square, f.sinh), x)
    h = _exp_scaled(k, a, shift=-1)
    return k.select(a < 1, near, k.copysign(h - 0.25 / h, x))


def cosh(k: Vector, x: Value) -> Value:
    """The hyperbolic cosine h + 1 / (4 h); at most 1.5 (32) and 1.4 (64) ulp.

    h = exp(|x|) / 2, as in `sinh`.
    """
    h = _exp_scaled(k, k.abs(x), shift=-1)
    return h + 0.25 / h


def tanh(k: Vector, x: Value) -> Value:
    """The hyperbolic tangent; at most 1.7 (32) and 1.8 (64) ulp.

    t / (t + 2) with t = exp(2 |x|) - 1.  Where t <= 2 one step with the exact remainder mends
    the rounding of t + 2 and of the quotient, 1 / (t + 2) being (1 - y) / 2; for large t it
    would push the result above 1.
    """
    if k.can_look_up(x):
        return tabled.tanh(k, x)
    f = _format(x)
    a = k.min(k.abs(x), f.tanh_limit)
    e, n = _expm1_parts(k, a + a)
    scale = _power_of_two(k, n, f)
    t = k.fma(e, scale, scale - 1.0)
    d = t + 2.0
    y = t / d
    remainder = k.fma(-y, t - (d - 2.0), _exact_fma(k, -y, d, t))
    y = k.fma(remainder, k.select(t > 2, 0.0, k.fma(y, -0.5, 0.5)), y)
    return k.copysign(y, x)


# -- logarithms ----------------------------------------------------------------------------------


def _split(k: Vector, x: Value) -> tuple[Value, Value]:
    """f and the integer e with x = 2**e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); x finite, > 0."""
    f = _format(x)
    tiny = x < f.smallest_normal
    up = f.mantissa + 2
    bits = k.bits(k.select(tiny, x * 2.0**up, x))
    e = (bits - f.pattern(math.sqrt(0.5))) >> f.mantissa
    m = k.from_bits(bits - (e << f.mantissa))
    return m - 1.0, e - k.select(tiny, k.constant(up, f.integer), 0)


def _log1p_rest(k: Vector, t: Value, low: Value | float) -> Value:
    """log(1 + t) - t + low in the range of `_split`; low is small."""
    f = _format(t)
    square = t * t
    if f.bits == 32:
        rest = k.fma(square * t, k.poly(t, f.log), low)
        return k.fma(square, -0.5, rest)
    s = t / (t + 2.0)  # 1 + t = (1 + s) / (1 - s)
    z = s * s
    h = 0.5 * square
    return k.fma(s, h + z * k.poly(z, f.log), low) - h


def _at_edges(k: Vector, x: Value, y: Value) -> Value:
    """The logarithm y of x, put right for 0, infinity, negative numbers and nan."""
    y = k.select(x == math.inf, x, y)
    y = k.select(x == 0, -math.inf, y)
    return k.select(x >= 0, y, math.nan)


def log(k: Vector, x: Value) -> Value:
    """The natural logarithm; at most 1.5 (32) and 1.15 (64) ulp."""
    if k.can_look_up(x):
        return tabled.log(k, x)
    f = _format(x)
    t, exponent = _split(k, x)
    e = k.cast(exponent, x.dtype)
    rest = _log1p_rest(k, t, e * f.ln2[1])
    return _at_edges(k, x, k.fma(e, f.ln2[0], t + rest))


def log1p(k: Vector, x: Value) -> Value:
    """log(1 + x), exact near 0; at most 1.4 (32) and 0.85 (64) ulp.

    The rounding error of 1 + x goes into the fraction.
    """
    f = _format(x)
    u = 1.0 + x
    back = u - 1.0
    error = (x - back) + (1.0 - (u - back))
    t, exponent = _split(k, u)
    # For the largest exponents the power of two comes out as 0, but so would the correction.
    t = t + error * _power_of_two(k, k.max(-exponent, -f.bias), f)
    e = k.cast(exponent, x.dtype)
    y = k.fma(e, f.ln2[0], t + _log1p_rest(k, t, e * f.ln2[1]))
    return k.select(x == 0, x, _at_edges(k, u, y))


def _log_to_base(
    k: Vector, x: Value, factor: tuple[float, float], of_two: tuple[float, float]
) -> Value:
    """log(x) * factor, where factor and its product with log(2) are sums of two floats."""
    t, exponent = _split(k, x)
    e = k.cast(exponent, x.dtype)
    small = k.fma(_log1p_rest(k, t, 0.0), factor[0], k.fma(t, factor[1], e * of_two[1]))
    return _at_edges(k, x, k.fma(e, of_two[0], k.fma(t, factor[0], small)))


def log2(k: Vector, x: Value) -> Value:
    """The logarithm to base 2, exact for powers of 2; at most 0.95 (32), 0.95 (64) ulp."""
    return _log_to_base(k, x, _format(x).log2_e, (1.0, 0.0))


def log10(k: Vector, x: Value) -> Value:
    """The logarithm to base 10; at most 0.9 (32) and 0.9 (64) ulp."""
    f = _format(x)
    return _log_to_base(k, x, f.log10_e, f.log10_2)


# -- circular functions --------------------------------------------------------------------------


def _quadrant(k: Vector, a: Value) -> tuple[Value, Value, Value]:
    """The integer n nearest to a / (pi / 2), and a - n pi / 2 as a sum of two floats.

    The two first products are exact or carry their rounding error along, so that nothing is
    lost where a is next to a multiple of pi / 2.
    """
    f = _format(a)
    whole, n = _round(k, a, 1 / f.half_pi[0], f)
    first = _exact_fma(k, whole, -f.half_pi[0], a)
    second, error = _product(k, whole, f.half_pi[1])
    r = first - second
    back = r - first
    lost = (first - (r - back)) - (second + back)
    return n, r, k.fma(whole, -f.half_pi[2], lost - error)


def _circular(k: Vector, x: Value, quarter_turns: int, name: str) -> Value:
    """sin(x + quarter_turns * pi / 2); huge arguments go to libm, in float64, lane by lane."""
    if k.can_look_up(x):
        return tabled.circular(k, x, quarter_turns, name)
    f = _format(x)
    a = k.abs(x)
    n, r, low = _quadrant(k, a)
    square = r * r
    sine = r + k.fma(r * square, k.poly(square, f.sin), low)
    half = 0.5 * square
    w = 1.0 - half
    cosine = w + (((1.0 - w) - half) + k.fma(square * square, k.poly(square, f.cos), -(r * low)))
    n = n + quarter_turns if quarter_turns else n
    y = k.select((n & 1) == 0, sine, cosine)
    sign = (n & 2) << (f.bits - 2)
    if not quarter_turns:  # odd in x
        sign = sign ^ (k.bits(x) & f.sign_bit)
    y = k.from_bits(k.bits(y) ^ sign)
    return k.where_rare((a >= f.circular_limit) & (a < math.inf), name, (x,), y)


def sin(k: Vector, x: Value) -> Value:
    """The sine; at most 1.5 (32) and 1.5 (64) ulp."""
    return _circular(k, x, 0, "sin")


def cos(k: Vector, x: Value) -> Value:
    """The cosine; at most 1.5 (32) and 1.5 (64) ulp."""
    return _circular(k, x, 1, "cos")


def _atan_of_quotient(k: Vector, low: Value, high: Value) -> tuple[Value, Value]:
    """atan(low / high) for 0 <= low <= high, as a multiple of pi / 4 and a small rest.

    Above tan(pi / 8), atan(q) = pi / 4 + atan((q - 1) / (q + 1)).
    """
    f = _format(low)
    upper = low > high * 0.41421356
    t = k.select(upper, low - high, low) / k.select(upper, low + high, high)
    square = t * t
    rest = k.fma(t * square, k.poly(square, f.atan), k.select(upper, f.pi[1] / 4, k.like(0.0, t)))
    return k.select(upper, f.pi[0] / 4, k.like(0.0, t)), t + rest


def atan(k: Vector, x: Value) -> Value:
    """The angle in [-pi/2, pi/2] whose tangent is x; at most 1.9 (32), 1.8 (64) ulp."""
    return _angle(k, x, k.like(1.0, x))


def atan2(k: Vector, y: Value, x: Value) -> Value:
    """The angle of the point (x, y) in [-pi, pi]; at most 1.9 (32), 1.8 (64) ulp.

    Zeros and infinities as in C: atan2(+-0, -0) = +-pi, atan2(inf, -inf) = 3 pi / 4.
    """
    return _angle(k, y, x)


def _angle(k: Vector, y: Value, x: Value) -> Value:
    f = _format(y)
    across, along = k.abs(x), k.abs(y)
    steep = along > across
    low = k.select(steep, across, along)
    high = k.select(steep, along, across)
    huge = high > 2.0 ** (f.bias - 1)  # low + high must not overflow
    low, high = k.select(huge, low * 0.25, low), k.select(huge, high * 0.25, high)
    diagonal = (low == math.inf) & (high == math.inf)
    low, high = k.select(diagonal, 1.0, low), k.select(diagonal | (high == 0), 1.0, high)
    corner, rest = _atan_of_quotient(k, low, high)
    pi, pi_low = f.pi
    flat = k.select(steep, (pi / 2 - corner) + (pi_low / 2 - rest), corner + rest)
    angle = k.select(k.bits(x) < 0, pi - (flat - pi_low), flat)
    return k.copysign(angle, y)


# -- powers --------------------------------------------------------------------------------------


def _log_twice(k: Vector, x: Value) -> tuple[Value, Value]:
    """log(x) for float64, 0 < x < inf, as a sum of two floats; relative error below 2**-64.

    With s = t / (2 + t), 1 + t = x / 2**e: log(1 + t) = 2 s + s**3 (2/3 + s**2 R(s**2)), all but
    R in twice the length.
    """
    f = FLOAT64
    t, exponent = _split(k, x)
    e = k.cast(exponent, x.dtype)
    d, d_low = _sum(2.0, t)
    inverse = 1.0 / d
    s = t * inverse
    s_low = k.fma(-s, d_low, _exact_fma(k, -s, d, t)) * inverse
    z, z_low = _product(k, s, s)
    z_low = k.fma(s + s, s_low, z_low)
    c, c_low = _sum(TWO_THIRDS[0], z * k.poly(z, ATANH64))
    c_low = c_low + TWO_THIRDS[1]
    u, u_low = _product(k, z, c)
    u_low = u_low + k.fma(z, c_low, z_low * c)
    v, v_low = _product(k, s, u)
    v_low = v_low + k.fma(s, u_low, s_low * u)
    total, error = _sum(e * f.ln2[0], s + s)
    total, more = _sum(total, v)
    low = ((error + more) + k.fma(e, f.ln2[1], v_low)) + (s_low + s_low)
    return _sum(total, low)


def _power_of_positive(k: Vector, x: Value, y: Value) -> Value:
    """x**y = exp(y log(x)) for x >= 0, where neither is nan; x = 1 and y = 0 are the caller's."""
    if x.dtype.itemsize == 4:  # float64 has bits enough for the product
        wide = np.dtype("f8")
        return k.cast(exp(k, k.cast(y, wide) * log(k, k.cast(x, wide))), x.dtype)
    # Beyond, only 0, 1 and inf are left; `_product` must not overflow next to log(1) = 0.
    y = _clamp(k, y, -(2.0**100), 2.0**100)
    log_x, log_low = _log_twice(k, x)
    log_x = k.select(x == 0, -math.inf, k.select(x == math.inf, x, log_x))
    product, low = _product(k, y, log_x)
    low = k.fma(y, log_low, low)
    return _exp_scaled(k, product, k.select(k.abs(product) < 800, low, 0.0))


def pow(k: Vector, x: Value, y: Value) -> Value:
    """x**y; at most 0.51 (32) and 1.2 (64) ulp, special cases as in IEEE 754-2019, 9.2.1.

    nan for negative x unless y is an integer; 1 for x = 1 and for y = 0, even beside nan.
    Integers wrap, and a negative power of an integer is 0 unless that is 1 or -1.
    """
    if x.dtype.kind in "iu":
        return k.integer_power(x, y)
    magnitude = _power_of_positive(k, k.abs(x), y)
    whole = k.floor(y) == y
    half = 0.5 * y
    odd = whole & (k.floor(half) != half)
    value = k.select(odd, k.copysign(magnitude, x), magnitude)
    value = k.select((x < 0) & (x > -math.inf) & ~whole, math.nan, value)
    value = k.select((x != x) | (y != y), math.nan, value)
    one = (x == 1) | (y == 0) | ((x == -1) & (k.abs(y) == math.inf))
    return k.select(one, 1.0, value)


def hypot(k: Vector, x: Value, y: Value) -> Value:
    """sqrt(x**2 + y**2) without overflow of the squares; at most 0.51 (32), 1.1 (64) ulp.

    Infinite if one is infinite, even beside nan.
    """
    a, b = k.abs(x), k.abs(y)
    infinite = (a == math.inf) | (b == math.inf)
    if x.dtype.itemsize == 4:  # no square leaves the range of float64
        wide = [k.cast(v, np.dtype("f8")) for v in (a, b)]
        root = k.cast(k.sqrt(wide[0] * wide[0] + wide[1] * wide[1]), x.dtype)
        return k.select(infinite, math.inf, root)
    # Scale by the power of two of the larger, kept where its inverse is a normal number too.
    f = FLOAT64
    exponent = k.bits(k.max(a, b)) & f.pattern(math.inf)
    exponent = k.max(k.min(exponent, f.pattern(2.0**1022)), f.pattern(f.smallest_normal))
    up, down = k.from_bits(exponent), k.from_bits(f.pattern(2.0**1023) - exponent)
    a, b = a * down, b * down
    return k.select(infinite, math.inf, k.sqrt(k.fma(a, a, b * b)) * up)


# -- error function ------------------------------------------------------------------------------


def erf(k: Vector, x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x; at most 1.4 (32), 1.3 (64) ulp."""
    if x.dtype.itemsize == 4 and k.can_look_up(x):
        return tabled.erf(k, x)
    return special.erf(k, x)


# -- remainder -----------------------------------------------------------------------------------


def fmod(k: Vector, x: Value, y: Value) -> Value:
    """The remainder of x / y with the sign of x, exact; quotients of more bits go to libm.

    A correctly rounded quotient is too large by at most 1 after truncation, and the remainder
    of either is a float.
    """
    f = _format(x)
    a, b = k.abs(x), k.abs(y)
    quotient = a / b
    whole = k.floor(quotient)
    r = _exact_fma(k, -whole, b, a)
    r = k.copysign(k.select(r < 0, r + b, r), x)
    r = k.select(b == math.inf, k.select(a == math.inf, math.nan, x), r)
    # Without a fused multiply-add the product may overflow inside `_exact_fma`.
    limit = 2.0**f.mantissa if k.host.has_fma else 0.0
    return k.where_rare((quotient >= limit) & (a < math.inf) & (b > 0), "fmod", (x, y), r)
