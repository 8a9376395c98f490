"""Floating-point formats, and the constants and polynomials that elementary functions need in each.

The polynomials have the smallest maximal error (Remez, 50 digits) before rounding.  Constants in
several parts add up to more digits than one float has.

>>> FLOAT32.magic, FLOAT64.pattern(1.0) >> FLOAT64.mantissa
(12582912.0, 1023)

May import nothing of the package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# -- tables: coefficients from the highest power to the constant --------------------------------

# fmt: off

# (exp(r) - 1 - r) / r**2, |r| <= log(2) / 2; smallest error relative to exp(r).
_EXP32 = (
    0.0013950596, 0.008368953, 0.041666206, 0.16666518, 0.5,
)
_EXP64 = (
    2.511747897386303e-08, 2.763043902518493e-07, 2.755721771777812e-06,
    2.4801492667220485e-05, 0.00019841269915481214, 0.0013888888943897062, 0.00833333333330829,
    0.041666666666530086, 0.16666666666666696, 0.500000000000001,
)

# The same; smallest error relative to exp(r) - 1.
_EXPM1_32 = (
    0.00019914289, 0.0013941103, 0.008333273, 0.041666355, 0.16666667, 0.5,
)
_EXPM1_64 = (
    1.6093475034449691e-10, 2.0921651876256902e-09, 2.505204722509668e-08,
    2.7557251698881456e-07, 2.755731927808593e-06, 2.480158735031554e-05,
    0.00019841269841245238, 0.0013888888888871807, 0.008333333333333338, 0.04166666666666669,
    0.16666666666666666, 0.5,
)

# (log(1 + f) - f + f**2 / 2) / f**3, sqrt(1/2) <= 1 + f <= sqrt(2).
_LOG32 = (
    0.06921866, -0.11746084, 0.118448965, -0.1239091, 0.14224006, -0.16668989, 0.20001894,
    -0.24999988, 0.33333316,
)

# (log((1 + s) / (1 - s)) / s - 2) / s**2 as a polynomial in s**2, |s| <= 0.1716.
_LOG64 = (
    0.14765245374638655, 0.15317360822262757, 0.18183422954702913, 0.22222201598589933,
    0.2857142870873394, 0.3999999999959468, 0.66666666666667,
)

# (sin(r) / r - 1) / r**2 as a polynomial in r**2, |r| <= pi / 4.
_SIN32 = (
    -0.00019516653, 0.008332173, -0.16666655,
)
_SIN64 = (
    1.5899693668231547e-10, -2.505081511864989e-08, 2.7557314116391485e-06,
    -0.00019841269831281317, 0.008333333333324746, -0.16666666666666646,
)

# (cos(r) - 1 + r**2 / 2) / r**4 as a polynomial in r**2, |r| <= pi / 4.
_COS32 = (
    2.446577e-05, -0.0013887645, 0.041666653,
)
_COS64 = (
    -1.1367943377454833e-11, 2.087589527915764e-09, -2.755731572152251e-07,
    2.4801587294660642e-05, -0.0013888888888883297, 0.04166666666666666,
)

# (atan(t) / t - 1) / t**2 as a polynomial in t**2, |t| <= tan(pi / 8).
_ATAN32 = (
    -0.060831726, 0.10595899, -0.14243837, 0.1999849, -0.33333316,
)
_ATAN64 = (
    0.01531298435506231, -0.03359853730308592, 0.04509287455232438, -0.0521993567730471,
    0.058772823910702966, -0.06666256250789068, 0.07692285004653678, -0.09090908258352041,
    0.11111111091885345, -0.14285714285460466, 0.1999999999999841, -0.3333333333333333,
)

# (sinh(x) / x - 1) / x**2 as a polynomial in x**2, |x| <= 1.
_SINH32 = (
    0.00020377412, 0.008330211, 0.16666718,
)
_SINH64 = (
    7.759322290844736e-13, 1.6057240056388986e-10, 2.5052123401257213e-08,
    2.7557319155329213e-06, 0.0001984126984143766, 0.008333333333333139, 0.16666666666666669,
)

# (log((1 + s) / (1 - s)) / s - 2 - 2 / 3 s**2) / s**4 as a polynomial in s**2, |s| <= 0.1716.
ATANH64 = (
    0.11922886609186524, 0.11683519042615621, 0.13335843461294689, 0.15384570646328882,
    0.1818181864135658, 0.22222222219690868, 0.2857142857143463, 0.39999999999999997,
)

TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)

# fmt: on


@dataclass(frozen=True)
class Format:
    """A floating-point format: its word, and the constants and tables that go with it."""

    bits: int
    mantissa: int  # stored bits
    bias: int  # of the exponent
    exp_range: tuple[float, float]  # beyond, exp(x) and exp(x) / 2 are 0 and inf
    tanh_limit: float  # from here on tanh is 1
    ln2: tuple[float, float]  # the first part so short that small integers times it are exact
    half_pi: tuple[float, float, float]  # each part with all bits that fit
    circular_limit: float  # below, half_pi is long enough for reducing an argument
    pi: tuple[float, float]
    log2_e: tuple[float, float]
    log10_e: tuple[float, float]
    log10_2: tuple[float, float]  # like ln2
    exp: tuple[float, ...]
    expm1: tuple[float, ...]
    log: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    atan: tuple[float, ...]
    sinh: tuple[float, ...]

    @property
    def integer(self) -> np.dtype:
        """The signed integer of the same length."""
        return np.dtype(f"i{self.bits // 8}")

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer, which then stands in the lowest bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def sign_bit(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    def pattern(self, number: float) -> int:
        """The bits of a number, as an integer."""
        return int(np.array(number, f"f{self.bits // 8}").view(self.integer))


FLOAT32 = Format(
    bits=32,
    mantissa=23,
    bias=127,
    exp_range=(-104.0, 89.5),
    tanh_limit=9.02,
    ln2=(0.693145751953125, 1.428606765330187e-06),
    half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    circular_limit=1e6,
    pi=(3.1415927410125732, -8.742277657347586e-08),
    log2_e=(1.4426950216293335, 1.925963033500011e-08),
    log10_e=(0.4342944920063019, -1.0103049952192578e-08),
    log10_2=(0.30103302001953125, -3.024355464731343e-06),
    exp=_EXP32,
    expm1=_EXPM1_32,
    log=_LOG32,
    sin=_SIN32,
    cos=_COS32,
    atan=_ATAN32,
    sinh=_SINH32,
)
FLOAT64 = Format(
    bits=64,
    mantissa=52,
    bias=1023,
    exp_range=(-746.0, 710.5),
    tanh_limit=19.1,
    ln2=(0.6931471805601177, -1.7239444525614835e-13),
    half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    circular_limit=1e9,
    pi=(3.141592653589793, 1.2246467991473532e-16),
    log2_e=(1.4426950408889634, 2.0355273740931033e-17),
    log10_e=(0.4342944819032518, 1.098319650216765e-17),
    log10_2=(0.3010299956640665, -8.532344317057107e-14),
    exp=_EXP64,
    expm1=_EXPM1_64,
    log=_LOG64,
    sin=_SIN64,
    cos=_COS64,
    atan=_ATAN64,
    sinh=_SINH64,
)
