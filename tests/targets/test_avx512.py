"""Instructions of AVX-512: what they make of ordinary numbers and of the edges."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from slotgrad.runtime.host import host
from slotgrad.runtime.llvm import compile_text
from slotgrad.targets.vector import elementwise_function

pytestmark = pytest.mark.skipif(host().vector_bytes < 64, reason="needs AVX-512")

INF, NAN = math.inf, math.nan
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def call(body, *xs):
    """body(k, *xs) for arrays of one length, the result in the dtype of the first."""
    out = np.empty_like(xs[0])
    text = elementwise_function("f", [x.dtype for x in xs], [out.dtype], body, host())
    pointers = [x.ctypes.data for x in (*xs, out)]
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(pointers), ctypes.c_int64)
    f(compile_text(text).address("f"))(*pointers, out.size)
    return out


def numbers(dtype):
    limits = np.finfo(dtype)
    tiny = [limits.smallest_subnormal, 3 * limits.smallest_subnormal, limits.tiny, limits.max]
    return np.array([1.0, 0.75, 1.4999, 1.5, 3.3, 1e10, 1e-10, *map(float, tiny)], dtype)


@BOTH
def test_exponent_and_significand(dtype):
    x = numbers(dtype)
    m, e = call(lambda k, x: k.significand(x), x), call(lambda k, x: k.exponent(x), x)
    assert ((m >= 0.75) & (m < 1.5)).all()
    assert (e == np.frexp(x)[1] - 1).all()
    assert (np.ldexp(m, (e + (m < 1)).astype(int)) == x).all()


@BOTH
def test_exponent_and_significand_at_the_edges(dtype):
    x = np.array([0.0, -0.0, INF, NAN, -INF, -2.0], dtype)
    m, e = call(lambda k, x: k.significand(x), x), call(lambda k, x: k.exponent(x), x)
    np.testing.assert_array_equal(m[[0, 2, 3, 4, 5]], [1, 1, NAN, NAN, NAN])
    assert abs(m[1]) == 1
    np.testing.assert_array_equal(e, [-INF, -INF, INF, NAN, INF, 1])


@BOTH
def test_inverse(dtype):
    x = np.linspace(0.5, 7, 1000, dtype=dtype)
    assert (np.abs(call(lambda k, x: k.inverse(x), x) * x - 1) <= 2.0**-14).all()


@BOTH
def test_scale(dtype):
    x = np.array([1.5, 1.5, -1.0, 0.0, INF, NAN, 1.0, 1.0], dtype)
    n = np.array([3.9, -0.1, 2.0, 5.0, 1.0, 1.0, 5000.0, -5000.0], dtype)
    scaled = call(lambda k, x, n: k.scale(x, n), x, n)
    np.testing.assert_array_equal(scaled, [12, 0.75, -4, 0, INF, NAN, INF, 0])


@BOTH
def test_look_up(dtype):
    i = np.arange(-20, 60, dtype=f"i{dtype().itemsize}")
    table = [float(j * j) for j in range(16)]
    whole = [int(t) for t in table]
    floats = call(lambda k, x, i: k.look_up(table, i), i.astype(dtype), i)
    assert (floats == (i % 16) ** 2).all()
    assert (call(lambda k, i: k.look_up(whole, i), i) == (i % 16) ** 2).all()
