"""Elementary functions by tables of 16 numbers in registers, for vectors that `can_look_up`.

The table leaves an argument next to 0, for which a short polynomial does; its even and odd powers
are summed apart, so that half of the sum need not wait for the other.  Each function stands in for
the one of its name in `vmath.py`, where its error is told.

Methods: Tang, "Table-lookup algorithms for elementary functions and their error analysis" (1991),
and for log and erf Gal, "Computing elementary functions: a new approach for achieving high accuracy
and good performance" (1986): the table is for arguments whose function value has few digits.
Polynomials as in `formats.py`.

May import targets.formats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .formats import FLOAT32, FLOAT64, Format

if TYPE_CHECKING:
    from .vector import Value, Vector

# -- tables: coefficients from the highest power to the constant --------------------------------

# fmt: off

# (exp(r) - 1 - r) / r**2, |r| <= log(2) / 32; smallest error relative to exp(r).
_EXP32 = (
    0.16667058, 0.50001955,
)
_EXP64 = (
    0.0013889128203838517, 0.008333472047568593, 0.04166666665971124, 0.16666666664413968,
    0.5000000000000006,
)

# (exp(2 r) - 1 - 2 r) / r**2, |r| <= log(2) / 64; smallest error relative to exp(2 r) - 1.
_EXPM1_32 = (
    0.66668165, 1.3333592, 2.0,
)
_EXPM1_64 = (
    0.025397156729824375, 0.08889037988937343, 0.2666666666435676, 0.6666666665627207,
    1.3333333333333337, 2.0000000000000018,
)

# (log(1 + t) - t) / t**2, |t| <= 0.0316.
_LOG32 = (
    0.20021418, -0.25024986, 0.33333325, -0.4999999,
)
_LOG64 = (
    0.11133837333810795, -0.12524998316563665, 0.14285694987658143, -0.16666645439396652,
    0.20000000006235724, -0.25000000006859086, 0.33333333333332765, -0.4999999999999938,
)

# (sin(r) / r - 1) / r**2 as a polynomial in r**2, |r| <= pi / 32.
_SIN32 = (
    0.0083304625, -0.16666666,
)
_SIN64 = (
    2.755127731821164e-06, -0.00019841269345805153, 0.008333333333317868, -0.16666666666666666,
)

# (cos(r) - 1) / r**2 as a polynomial in r**2, |r| <= pi / 32.
_COS32 = (
    0.04164657, -0.49999994,
)
_COS64 = (
    2.4794941328542295e-05, -0.001388888834389107, 0.04166666666649656, -0.49999999999999983,
)

# 2**(j / 16), and what its rounding loses of it, as a fraction.
_POWER = (
    1.0, 1.0442737824274138, 1.0905077326652577, 1.1387886347566916, 1.189207115002721,
    1.241857812073484, 1.2968395546510096, 1.3542555469368927, 1.4142135623730951,
    1.4768261459394993, 1.5422108254079407, 1.6104903319492543, 1.681792830507429,
    1.7562521603732995, 1.8340080864093424, 1.9152065613971474,
)
_POWER32_LOW = (
    0.0, 4.6285468e-08, -1.19921575e-08, 4.729782e-08, 3.193418e-08, 3.6210572e-08, -3.0990723e-08,
    -7.475213e-09, 1.7114271e-08, -3.0476834e-08, 5.233334e-09, 6.1075918e-09, -1.4719606e-08,
    -5.258795e-09, -6.1282597e-09, 5.1406093e-09,
)
_POWER64_LOW = (
    0.0, 8.189317638195514e-17, -2.7939114859515733e-17, 7.826573258636075e-17,
    3.3484623336251524e-17, 3.7508542013031266e-17, 1.9572585293112036e-17, 5.68648095791174e-17,
    -6.835808657661923e-17, -2.3591094770850053e-17, 5.1548301170786783e-17, 1.5341410053603723e-17,
    4.875160526227061e-17, 1.685487290628973e-17, 1.790126907604513e-17, -5.5450656186394274e-17,
)

# sin(c) for c = (j - 8) pi / 16, what its rounding loses, and cos(c) - 1.
_SINE = (
    -1.0, -0.9807852804032304, -0.9238795325112867, -0.8314696123025452, -0.7071067811865476,
    -0.5555702330196022, -0.3826834323650898, -0.19509032201612828, 0.0, 0.19509032201612828,
    0.3826834323650898, 0.5555702330196022, 0.7071067811865476, 0.8314696123025452,
    0.9238795325112867, 0.9807852804032304,
)
_SINE32_LOW = (
    0.0, -2.9739473e-08, -2.830749e-08, -1.6870263e-08, -1.21016175e-08, 1.1769521e-08,
    -6.2233507e-09, 1.6704714e-09, 0.0, -1.6704714e-09, 6.2233507e-09, -1.1769521e-08,
    1.21016175e-08, 1.6870263e-08, 2.830749e-08, 2.9739473e-08,
)
_SINE64_LOW = (
    0.0, -1.8546939997825006e-17, -1.7645047084336677e-17, -1.4073856984728024e-18,
    4.833646656726457e-17, -4.709410940561677e-17, 1.0050772696461588e-17, 7.991079068461731e-18,
    0.0, -7.991079068461731e-18, -1.0050772696461588e-17, 4.709410940561677e-17,
    -4.833646656726457e-17, 1.4073856984728024e-18, 1.7645047084336677e-17, 1.8546939997825006e-17,
)
_COSINE_LESS_1 = (
    -1.0, -0.8049096779838717, -0.6173165676349103, -0.44442976698039777, -0.2928932188134525,
    -0.16853038769745476, -0.07612046748871325, -0.019214719596769552, 0.0, -0.019214719596769552,
    -0.07612046748871325, -0.16853038769745476, -0.2928932188134525, -0.44442976698039777,
    -0.6173165676349103, -0.8049096779838717,
)

# 1 / c and log(c) for a c next to 1 + k / 20, k = -5 ... 10, at place k % 16.  The logarithms have
# few digits, so that multiples of log(2) can be added to them, and are off by at most 2**-29 and
# 2**-62.
_INVERSE32 = (
    1.0, 0.9518218, 0.9086783, 0.8701152, 0.8331887, 0.8002678, 0.7696805, 0.74152845, 0.71523505,
    0.6904216, 0.6730504, 1.3118703, 1.2504591, 1.1764555, 1.11035, 1.0517075,
)
_LOG_C32 = (
    0.0, 0.04937744, 0.09576416, 0.13912964, 0.18249512, 0.22280884, 0.2617798, 0.29904175,
    0.33514404, 0.37045288, 0.39593506, -0.27145386, -0.22351074, -0.1625061, -0.10467529,
    -0.05041504,
)
_INVERSE64 = (
    1.0, 0.952745594379239, 0.9092587628757647, 0.8698752158409303, 0.8335043441836179,
    0.8000438349042807, 0.7695494078165127, 0.740602388351355, 0.7143608698990971,
    0.6896573271909524, 0.6721383216380815, 1.3112108764562085, 1.249752510327618,
    1.1768306708424994, 1.1111026322803181, 1.0525530593144439,
)
_LOG_C64 = (
    0.0, 0.048407363348815124, 0.0951255576846961, 0.1394055076884797, 0.18211636482692484,
    0.22308875918497506, 0.2619501200756531, 0.30029138562076696, 0.33636702429748766,
    0.37156043201048305, 0.39729112386930865, -0.27095104345289656, -0.22294553997335242,
    -0.16282495288396603, -0.1053528846809968, -0.05121869795402745,
)

# A c next to j times the step, erf(c), which is almost a float32, and for each power of t the
# coefficients of (erf(c + t) - erf(c)) / t - 1, |t| <= step / 2.  It ends where erf rounds to 1.
_ERF_STEP = 0.2548387050628662
_ERF_CENTERS = (
    0.0, 0.2549303, 0.5099094, 0.76456124, 1.0194275, 1.2738053, 1.5292145, 1.7842177, 2.0391378,
    2.293806, 2.5479333, 2.8040047, 3.0581796, 3.3127012, 3.5667882, 3.8235343,
)
_ERF_VALUES = (
    0.0, 0.2815461, 0.5291648, 0.72041535, 0.85060966, 0.9283653, 0.9694308, 0.9883729, 0.9960706,
    0.9988211, 0.9996858, 0.99992675, 0.99998474, 0.9999972, 0.9999995, 0.99999994,
)
_ERF = (
    (
        0.112173066, 0.07978573, 0.0052970485, -0.05471554, -0.06809847, -0.044064656, -0.011753402,
        0.008147059, 0.013003436, 0.009860571, 0.0053580613, 0.0022748986, 0.0007947864,
        0.00023147176, 5.692459e-05, 1.1761167e-05,
    ),
    (
        0.0, 0.128, 0.18222907, 0.14615226, 0.06264444, -0.0110918395, -0.04610602, -0.046641465,
        -0.031888127, -0.016904462, -0.0073122066, -0.0026167855, -0.000797652, -0.00020704867,
        -0.0006708632, 0.000118968426,
    ),
    (
        -0.37612227, -0.30667135, -0.13921726, 0.035441615, 0.14348148, 0.16668789, 0.13342483,
        0.08365928, 0.043032136, 0.018580342, 0.006831247, 0.0021317839, 0.0005776299, 0.0001350322,
        2.7436596e-05, 4.7523736e-06,
    ),
    (
        0.0, -0.26955304, -0.44363162, -0.48083508, -0.40689212, -0.28371647, -0.16646877,
        -0.08343735, -0.03598062, -0.013425784, -0.004356982, -0.0012177372, -0.00029928537,
        -6.405075e-05, -1.6613216e-06, -4.0446835e-06,
    ),
    (
        0.12837917, 0.057378657, -0.129968, -0.37109283, -0.60086286, -0.77727056, -0.8911424,
        -0.9532364, -0.98235494, -0.99414676, -0.9982899, -0.99956566, -0.9999021, -0.9999806,
        -0.9999966, -0.9999995,
    ),
)

# fmt: on


@dataclass(frozen=True)
class _Tables:
    """A floating-point format, and the tables and polynomials that go with it."""

    format: Format
    ln2: tuple[float, float]  # the first part so short that n / 16 times it is exact
    circular_limit: float  # below, x * 16 / pi has its nearest integer right enough
    exp: tuple[float, ...]
    expm1: tuple[float, ...]
    power_low: tuple[float, ...]
    log: tuple[float, ...]
    inverse: tuple[float, ...]
    log_c: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    sine_low: tuple[float, ...]

    @property
    def sixteenths(self) -> float:
        """Adding it rounds to a multiple of 1/16, whose fraction then stands in the lowest bits."""
        return self.format.magic / 16

    @property
    def half_powers(self) -> tuple[int, ...]:
        """The bits of 2**(j / 16) / 2, less j where an exponent n + j / 16 will be added."""
        f = self.format
        return tuple(f.pattern(p / 2) - (j << (f.mantissa - 4)) for j, p in enumerate(_POWER))


_TABLES32 = _Tables(
    FLOAT32,
    ln2=(0.693115234375, 3.194618329871446e-05),
    circular_limit=5e5,
    exp=_EXP32,
    expm1=_EXPM1_32,
    power_low=_POWER32_LOW,
    log=_LOG32,
    inverse=_INVERSE32,
    log_c=_LOG_C32,
    sin=_SIN32,
    cos=_COS32,
    sine_low=_SINE32_LOW,
)
_TABLES64 = _Tables(
    FLOAT64,
    ln2=(0.6931471805582987, 1.6465949582897082e-12),
    circular_limit=1e9,
    exp=_EXP64,
    expm1=_EXPM1_64,
    power_low=_POWER64_LOW,
    log=_LOG64,
    inverse=_INVERSE64,
    log_c=_LOG_C64,
    sin=_SIN64,
    cos=_COS64,
    sine_low=_SINE64_LOW,
)


def _tables(x: Value) -> _Tables:
    return _TABLES64 if x.dtype.itemsize == 8 else _TABLES32


def _poly(k: Vector, x: Value, square: Value, coefficients: tuple[float, ...]) -> Value:
    """The polynomial in x, even and odd powers apart."""
    odd, even = coefficients[-2::-2][::-1], coefficients[::-2][::-1]
    return k.fma(k.poly(square, odd), x, k.poly(square, even))


def exp(k: Vector, x: Value, low: Value | None = None, shift: int = 0) -> Value:
    """exp(x + low) * 2**shift as 2**n 2**(j / 16) exp(r), within its range; see `vmath.exp`."""
    t = _tables(x)
    f = t.format
    shifted = k.fma(x, f.log2_e[0], t.sixteenths)
    whole = shifted - t.sixteenths  # n + j / 16
    r = k.fma(whole, -t.ln2[1], k.fma(whole, -t.ln2[0], x))
    if low is not None:
        r = r + low
    square, rest, i = r * r, r, k.bits(shifted)
    if low is not None or shift:  # what follows would magnify the rounding of the table
        rest = k.look_up(t.power_low, i)
    p = k.fma(square, _poly(k, r, square, t.exp), rest)
    p = p if rest is r else p + r
    power = k.look_up(_POWER, i)
    return k.scale(k.fma(power, p, power), whole + shift if shift else whole)


def tanh(k: Vector, x: Value) -> Value:
    """h / (h + 1) with h = (exp(2 |x|) - 1) / 2; see `vmath.tanh`.

    With s = 2**n 2**(j / 16) / 2 it is h = s p + (s - 1 / 2), where p = exp(2 r) - 1.
    """
    t = _tables(x)
    f = t.format
    a = k.min(k.abs(x), f.tanh_limit)
    shifted = k.fma(a, 2 * f.log2_e[0], t.sixteenths)
    whole, i = shifted - t.sixteenths, k.bits(shifted)
    first = k.fma(whole, -t.ln2[0] / 2, a)
    low = k.fma(whole, -t.ln2[1], k.look_up(t.power_low, i))
    r = k.fma(low, 0.5, first)
    square = r * r
    p = k.fma(first, 2.0, k.fma(square, _poly(k, r, square, t.expm1), low))
    s = k.from_bits(k.look_up(t.half_powers, i) + (i << (f.mantissa - 4)))
    h = k.fma(s, p, s - 0.5)
    d = h + 1.0
    return k.copysign(_quotient(k, h, d, h - (d - 1.0)), x)


def _quotient(k: Vector, a: Value, b: Value, low: Value) -> Value:
    """a / (b + low) for finite numbers, where low is a rounding error of b.

    An approximate inverse of 14 bits, in float64 made one of 28, gives a quotient of as many; the
    exact remainder doubles them.
    """
    inverse = k.inverse(b)
    if a.dtype.itemsize == 8:
        inverse = k.fma(inverse, k.fma(-b, inverse, 1.0), inverse)
    q = a * inverse
    remainder = k.fma(-q, low, k.fma(-q, b, a))
    return k.fma(remainder, inverse, q)


def log(k: Vector, x: Value) -> Value:
    """e log(2) + log(c) + log(1 + t) with x = 2**e c (1 + t); see `vmath.log`.

    Exponent and significand of 0 and infinity are such that the sum is right for them.
    """
    t = _tables(x)
    m = k.significand(x)
    e = k.exponent(x) - k.exponent(m)
    i = k.bits(k.fma(m, 20.0, t.format.magic - 20))
    u = k.fma(m, k.look_up(t.inverse, i), -1.0)
    square = u * u
    rest = k.fma(square, _poly(k, u, square, t.log), e * t.ln2[1])
    return k.fma(e, t.ln2[0], k.look_up(t.log_c, i)) + (u + rest)


def circular(k: Vector, x: Value, quarter_turns: int, name: str) -> Value:
    """sin(c + r) = sin(c) + (cos(c) sin(r) + sin(c) (cos(r) - 1)); see `vmath.sin` and `vmath.cos`.

    The first product is exact, the second rounded with the sum, which is exact enough but for what
    the third adds; that matters only where sin(c) = 0.
    """
    t = _tables(x)
    f = t.format
    a = k.abs(x)
    offset = f.magic + 8  # of the tables
    shifted = k.fma(a, 16 / math.pi, offset)
    whole, i = shifted - offset, k.bits(shifted)
    step = [part / 8 for part in f.half_pi]
    r = k.fma(whole, -step[1], k.fma(whole, -step[0], a))
    i = i + 8 * quarter_turns if quarter_turns else i
    sine = k.look_up(_SINE, i)
    square = r * r
    turned = k.fma(r, k.look_up(_COSINE_LESS_1, i), r)
    bent = k.fma(turned, k.poly(square, t.sin), sine * k.poly(square, t.cos))
    low = k.fma(whole, -step[2], k.look_up(t.sine_low, i))
    y = sine + (turned + k.fma(square, bent, low))
    sign = i << (f.bits - 5)
    if not quarter_turns:  # odd in x
        sign = sign ^ k.bits(x)
    y = k.from_bits(k.bits(y) ^ (sign & f.sign_bit))
    return k.where_rare(a >= t.circular_limit, name, (x,), y)


def erf(k: Vector, x: Value) -> Value:
    """erf(c) + (t + t p(t)) with |x| = c + t, for float32; see `vmath.erf`."""
    a = k.min(k.abs(x), 15.5 * _ERF_STEP)
    i = k.bits(k.fma(a, 1 / _ERF_STEP, FLOAT32.magic))
    t = a - k.look_up(_ERF_CENTERS, i)
    p = k.look_up(_ERF[0], i)
    for coefficients in _ERF[1:]:
        p = k.fma(p, t, k.look_up(coefficients, i))
    return k.copysign(k.fma(t, p, t) + k.look_up(_ERF_VALUES, i), x)
