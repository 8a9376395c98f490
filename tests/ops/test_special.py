"""Special functions against values computed with 60 digits, against `math`, and at the edges.

`special_reference.json` holds, for each function, pairs of a float (as its shortest decimal)
and the value there to 20 digits.  Points that are float32 numbers serve both precisions.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotgrad.errors import OptionError
from slotgrad.ops import special
from slotgrad.ops.reference import evaluate

INF, NAN = math.inf, math.nan
DTYPES = [np.float64, np.float32]
REFERENCE = json.loads(Path(__file__).with_name("special_reference.json").read_text())

# The largest error in ulp for float64 and float32.  Where a function has zeros that are not
# representable, at negative x, the ulp is that of max(1, |value|): the second pair.  They leave
# some room over the errors measured, as exp, log and sin differ between builds of NumPy.
BOUNDS = {
    "sigmoid": (2.5, 3.5),
    "asinh": (2, 2.5),
    "acosh": (2.5, 3.5),
    "erf": (1.6, 1.8),
    "erfc": (4, 6),
    "lgamma": (5.5, 7.5, 6, 10),
    "polygamma0": (5.5, 5.5, 10, 12),
    "polygamma1": (5, 5, 6, 6.5),
    "polygamma2": (6, 6.5, 8, 9.5),
    "polygamma3": (7, 8, 11, 13),
    "polygamma8": (15, 15, 25, 25),
    "polygamma30": (50, 50, 80, 80),
}


def call(name: str, x: Any) -> np.ndarray:
    """The value of a function; polygamma30 is polygamma of order 30."""
    if name.startswith("polygamma"):
        return evaluate(special.polygamma)(x, n=int(name.removeprefix("polygamma")))
    return evaluate(getattr(special, name))(x)


def errors(name: str, x: np.ndarray, high: np.ndarray, low: Any = 0.0) -> np.ndarray:
    """|value - (high + low)| in units of the bound that holds at each x."""
    single = x.dtype == np.float32
    got = call(name, x)
    assert got.dtype == x.dtype
    bounds = BOUNDS[name]
    size, bound = np.abs(high), np.full(x.shape, float(bounds[single]))
    if len(bounds) == 4:
        below = x <= -0.5 if name == "lgamma" else x < 0
        size = np.where(below, np.maximum(size, 1), size)
        bound[below] = bounds[2 + single]
    fits = np.abs(high) <= np.finfo(x.dtype).max
    with np.errstate(all="ignore"):
        ulp = np.spacing(size.astype(x.dtype)).astype(np.float64)
        error = np.abs((got.astype(np.float64) - high) - low) / ulp / bound
    assert np.isinf(got[~fits]).all()
    return np.where(fits, error, 0)


def assert_bounded(name: str, x: np.ndarray, high: np.ndarray, low: Any = 0.0) -> None:
    error = errors(name, x, high, low)
    worst = np.argmax(error)  # a nan counts as the largest
    assert error[worst] <= 1, f"{name}({x[worst]!r}): {error[worst]:.3g} times the bound"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_reference(name, dtype):
    x = np.array([float(point) for point, _ in REFERENCE[name]])
    with np.errstate(all="ignore"):
        kept = x.astype(dtype) == x
    exact = [Decimal(value) for _, value in REFERENCE[name]]
    high = np.array([float(value) for value in exact])
    low = np.array([float(value - Decimal(float(value))) for value in exact])
    assert kept.sum() >= (40 if len(x) < 200 else 100)
    assert_bounded(name, x[kept].astype(dtype), high[kept], low[kept])


@pytest.mark.parametrize(
    "name, start, stop",
    [
        ("sigmoid", -87, 30),
        ("asinh", -4, 4),
        ("acosh", 1, 5),
        ("erf", -4.2, 4.2),
        ("erfc", -4, 9.1),
        ("lgamma", -20, 40),
        ("polygamma0", -20, 40),
        ("polygamma1", -20, 40),
        ("polygamma2", -20, 40),
    ],
)
def test_float32_against_float64(name, start, stop):
    x = np.linspace(start, stop, 40_001, dtype=np.float32)
    x = x[(x > 0) | (x != np.rint(x))]
    assert_bounded(name, x, call(name, x.astype(np.float64)))


@pytest.mark.parametrize(
    "name, start, stop", [("erf", -6.5, 6.5), ("erfc", -6.5, 26), ("lgamma", -0.49, 200)]
)
def test_against_math(name, start, stop):
    x = np.linspace(start, stop, 10_001)
    x = x[x != 0]
    expected = np.array([getattr(math, name)(v) for v in x.tolist()])
    atol = 2e-15 if name == "lgamma" else 0  # math.lgamma is not relatively exact near its zeros
    np.testing.assert_allclose(call(name, x), expected, rtol=1.5e-15, atol=atol)


def test_elementary_against_numpy():
    x = np.concatenate([np.linspace(-5, 5, 5001), np.logspace(-300, 300, 601)])
    np.testing.assert_allclose(call("asinh", x), np.arcsinh(x), rtol=1e-15, atol=0)
    x = 1 + np.abs(x)
    np.testing.assert_allclose(call("acosh", x), np.arccosh(x), rtol=1e-15, atol=0)


SPECIAL = {
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0), (800, 1), (-800, 0), (NAN, NAN)],
    "asinh": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "acosh": [(1, 0), (INF, INF), (0.5, NAN), (-1, NAN), (-3, NAN), (-INF, NAN), (NAN, NAN)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (1e30, 1), (INF, 1), (-INF, -1), (NAN, NAN)],
    "erfc": [(0, 1), (-0.0, 1), (1e30, 0), (-1e30, 2), (INF, 0), (-INF, 2), (NAN, NAN)],
    "lgamma": [(0.0, INF), (-0.0, INF), (-1, INF), (-7, INF), (-1e30, INF)]
    + [(INF, INF), (-INF, INF), (NAN, NAN)],
    "polygamma0": [(0.0, -INF), (-0.0, INF), (-1, NAN), (-7, NAN), (-1e30, NAN)]
    + [(INF, INF), (-INF, NAN), (NAN, NAN)],
    "polygamma1": [(0.0, INF), (-0.0, INF), (-1, INF), (-7, INF), (INF, 0), (-INF, NAN)]
    + [(NAN, NAN)],
    "polygamma2": [(0.0, NAN), (-0.0, NAN), (-1, NAN), (-7, NAN), (INF, -0.0), (-INF, NAN)]
    + [(NAN, NAN)],
    "polygamma3": [(0.0, INF), (-0.0, INF), (-1, INF), (INF, 0), (-INF, NAN), (NAN, NAN)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    x, expected = np.array(SPECIAL[name], dtype).T
    got = call(name, x)
    np.testing.assert_array_equal(got, expected)
    known = ~np.isnan(expected)
    assert (np.signbit(got) == np.signbit(expected))[known].all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_of_lgamma_are_exact(dtype):
    assert (call("lgamma", np.array([1, 2], dtype)) == 0).all()


@pytest.mark.parametrize("name", ["lgamma", "polygamma0", "polygamma1", "polygamma2"])
def test_every_negative_integer_is_a_pole(name):
    poles = -np.concatenate([np.arange(1, 3000), 2.0 ** np.arange(12, 1000)])
    pole = INF if name in ("lgamma", "polygamma1") else NAN
    np.testing.assert_array_equal(call(name, poles), np.full(poles.shape, pole))


@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
@pytest.mark.parametrize("shape", [(), (0,), (3, 1, 2)])
@pytest.mark.parametrize("name", SPECIAL)
def test_shapes_and_dtypes(name, shape, dtype):
    x = np.full(shape, 1.5, dtype)
    got = call(name, x)
    assert (got.shape, got.dtype) == (shape, x.dtype)
    np.testing.assert_allclose(got, call(name, x.astype(np.float64)), rtol=np.finfo(dtype).eps * 4)


@pytest.mark.parametrize("n", [-1, 1.0, "1", None, True])
def test_order_of_polygamma(n):
    with pytest.raises(OptionError, match="polygamma"):
        evaluate(special.polygamma)(np.ones(2), n=n)


class Symbol:
    """A value that is not known yet: it takes part in expressions and has no truth value."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def __bool__(self) -> bool:
        raise AssertionError("a kernel expression must not test a value")

    def _operator(self, other: Any = None) -> Symbol:
        return Symbol(self.dtype)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _operator
    __truediv__ = __rtruediv__ = __neg__ = __and__ = __rand__ = _operator
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _operator


class Builder:
    """Every function of a builder, giving a Symbol."""

    def __getattr__(self, name: str) -> Any:
        def function(*xs: Any) -> Symbol:
            (symbol, *_) = [x for x in xs if isinstance(x, Symbol)]
            return Symbol(symbol.dtype)

        return function


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "asinh", "acosh", "erf", "erfc", "lgamma"])
def test_expressions_hold_no_condition(name, dtype):
    assert isinstance(getattr(special, name)(Builder(), Symbol(dtype)), Symbol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_polygamma_holds_no_condition(n, dtype):
    assert isinstance(special.polygamma(Builder(), Symbol(dtype), n=n), Symbol)
