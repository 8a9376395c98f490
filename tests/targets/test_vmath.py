"""Elementary functions: accuracy over the whole line, and the edges.

float32 is measured against NumPy's float64.  float64 is measured against
`vmath_reference.json`, hard points found by random search, with their values to 22 digits
computed with 50, and coarsely against NumPy.
"""

from __future__ import annotations

import ctypes
import json
import math
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from slotgrad.runtime.host import host
from slotgrad.runtime.llvm import compile_text
from slotgrad.targets.module import Module
from slotgrad.targets.vector import define_elementwise

INF, NAN = math.inf, math.nan
HOSTS = {  # with tables in registers where this machine has them; without; without fma
    "host": host(),
    "halved": replace(host(), vector_bytes=min(host().vector_bytes, 32)),
    "narrow": replace(host(), vector_bytes=16, has_fma=False),
}
REFERENCE = json.loads(Path(__file__).with_name("vmath_reference.json").read_text())
NUMPY = {"erf": np.vectorize(math.erf), "atan": np.arctan, "atan2": np.arctan2, "pow": np.power}

# The largest error in ulp in float32 and float64, with a fused multiply-add; 2 without.
BOUNDS = {
    "exp": (1.02, 1.15),
    "expm1": (1.4, 1.8),
    "log": (1.5, 1.15),
    "log1p": (1.4, 0.85),
    "log2": (0.95, 0.95),
    "log10": (0.9, 0.9),
    "sin": (1.5, 1.5),
    "cos": (1.5, 1.5),
    "atan": (1.9, 1.8),
    "sinh": (1.75, 1.75),
    "cosh": (1.5, 1.4),
    "tanh": (1.7, 1.8),
    "erf": (1.4, 1.3),
    "atan2": (1.9, 1.8),
    "pow": (0.51, 1.2),
    "hypot": (0.51, 1.1),
}
BINARY = ("atan2", "pow", "hypot")
UNARY = [name for name in BOUNDS if name not in BINARY]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOTGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@cache
def library(machine):
    module = Module(machine)
    for dtype in ("float32", "float64"):
        for name in [*BOUNDS, "remainder"]:
            inputs = [dtype] * (1 if name in UNARY else 2)

            def body(k, *xs, name=name):
                return getattr(k, name)(*xs)

            define_elementwise(module, f"{name}_{dtype}_", inputs, [dtype], body)
    return compile_text(module.text)


def call(name, *xs, machine="host"):
    out = np.empty_like(xs[0])
    address = library(HOSTS[machine]).address(f"{name}_{out.dtype}_")
    pointers = [x.ctypes.data for x in (*xs, out)]
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(pointers), ctypes.c_int64)(address)(
        *pointers, out.size
    )
    return out


def expected(name, *xs):
    with np.errstate(all="ignore"):
        return NUMPY.get(name, getattr(np, name, None))(*xs)


def bound(name, machine, double):
    return BOUNDS[name][double] if HOSTS[machine].has_fma else 2.0


def assert_close(name, xs, got, high, low, limit):
    """got within limit ulp of high + low; infinities and nan exactly."""
    with np.errstate(all="ignore"):
        rounded = high.astype(got.dtype)
        ulp = np.spacing(np.abs(rounded)).astype(np.float64)
        error = np.abs((got.astype(np.float64) - high) - low) / ulp
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    error = np.where(finite, error, np.where(same, 0, INF))
    worst = np.argmax(error)
    arguments = ", ".join(repr(x[worst]) for x in xs)
    assert error[worst] <= limit, (
        f"{name}({arguments}) = {got[worst]!r}, wanted {high[worst]!r}: {error[worst]:.3f} ulp"
    )


# -- accuracy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("name", UNARY)
def test_float32_whole_line(name, machine):
    """Every 4099th of all bit patterns."""
    x = np.arange(0, 1 << 32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.where(np.isnan(x), NAN, x).astype(np.float32)  # NumPy warns of the signalling ones
    got = call(name, x, machine=machine)
    wide = expected(name, x.astype(np.float64))
    assert_close(name, [x], got, wide, 0.0, bound(name, machine, False))


def pairs(name, dtype, n):
    """Arguments of similar and of very different magnitude, with results that fit."""
    rng = np.random.default_rng(3)
    top = 38 if dtype == np.float32 else 300
    for digits in (1, 8, top / 2 - 1):
        x, y = (rng.choice([-1, 1], n) * 10 ** rng.uniform(-digits, digits, n) for _ in "xy")
        if name == "pow":
            x = np.abs(x)
            y = rng.uniform(-2.3 * top, 2.3 * top, n) / np.log(x)
        yield x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("name", BINARY)
def test_float32_pairs(name, machine):
    for x, y in pairs(name, np.float32, 100_000):
        wide = expected(name, x.astype(np.float64), y.astype(np.float64))
        got = call(name, x, y, machine=machine)
        assert_close(name, [x, y], got, wide, 0.0, bound(name, machine, False))


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("name", BOUNDS)
def test_float64_hard_points(name, machine):
    *columns, values = zip(*REFERENCE[name])
    xs = [np.array([float(x) for x in column]) for column in columns]
    high = np.array([float(value) for value in values])
    low = np.array([float(Decimal(v) - Decimal(h)) for v, h in zip(values, high.tolist())])
    got = call(name, *xs, machine=machine)
    assert_close(name, xs, got, high, low, bound(name, machine, True))


@pytest.mark.parametrize("name", BOUNDS)
def test_float64_beside_numpy(name):
    """NumPy's own functions err by up to an ulp; a slip in a branch of ours would be larger."""
    if name in BINARY:
        samples = list(pairs(name, np.float64, 30_000))
    else:
        rng = np.random.default_rng(4)
        line = np.arange(0, 1 << 64, (1 << 64) // 60_000 + 1, dtype=np.uint64).view(np.float64)
        samples = [(line,), (rng.uniform(-3, 3, 60_000),), (rng.uniform(-745, 745, 60_000),)]
    for xs in samples:
        assert_close(name, xs, call(name, *xs), expected(name, *xs), 0.0, 3.0)


# -- edges ---------------------------------------------------------------------------------------


def edges(dtype):
    limits = np.finfo(dtype)
    tiny, small, top = limits.tiny, limits.smallest_subnormal, limits.max
    numbers = [0.0, small, 5 * small, tiny, 1e-3, 0.5, 1, 1.5, 2, 3, 4, 7, 11, 1e5, top, INF]
    numbers += [float(2**limits.nmant - 1), float(2 ** (limits.nmant + 1) - 1), 2.0**70]
    positive = np.array(numbers, dtype)
    return np.concatenate([positive, -positive, np.array([NAN], dtype)])


def borders(dtype):
    """Where exponentials overflow, underflow, or turn into 1 or -1, from both sides."""
    limits = np.finfo(dtype)
    log = np.log(float(limits.max)), np.log(float(limits.smallest_subnormal))
    log += np.log(float(limits.tiny)), np.log(2) + log[0], np.log(float(limits.eps))
    around = np.array(log)[:, None] * (1 + float(limits.eps) * np.arange(-40, 41))
    return np.concatenate([around.ravel(), -around.ravel()]).astype(dtype)


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_edges(name, dtype, machine):
    x = np.concatenate([edges(dtype), borders(dtype)])
    got, wanted = call(name, x, machine=machine), expected(name, x.astype(np.float64))
    assert_close(name, [x], got, wanted, 0.0, 2.0)
    zeros = wanted == 0
    assert (np.signbit(got[zeros]) == np.signbit(wanted[zeros])).all()


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*BINARY, "remainder"])
def test_edges_of_pairs(name, dtype, machine):
    points = edges(dtype)
    x, y = np.tile(points, len(points)), np.repeat(points, len(points))
    wanted = expected(name, x, y)
    got = call(name, x, y, machine=machine)
    assert_close(name, [x, y], got, wanted.astype(np.float64), 0.0, 3.0)
    zeros = (wanted == 0) & (got == 0)
    assert (np.signbit(got[zeros]) == np.signbit(wanted[zeros])).all()


@pytest.mark.parametrize("machine", HOSTS)
def test_remainder_of_any_quotient(machine):
    """Exact, also where x / y has more bits than a float."""
    rng = np.random.default_rng(5)
    for dtype, digits in ((np.float32, 30), (np.float64, 200)):
        x, y = (
            (rng.choice([-1, 1], 3000) * 10 ** rng.uniform(-digits, digits, 3000)).astype(dtype)
            for _ in "xy"
        )
        y[:1000] = x[:1000] / rng.integers(1, 99, 1000)
        got = call("remainder", x, y, machine=machine)
        assert (got == np.remainder(x, y)).all()


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_huge_angles(name):
    """Some lanes of a vector take the slow path, the others not."""
    x = np.where(np.arange(1000) % 7 == 0, 1e300, 1.0) * np.linspace(1, 9, 1000)
    assert_close(name, [x], call(name, x), expected(name, x), 0.0, 1.5)
    x = np.array([1e10, 2, INF, -1e15, NAN, 3e38, 1, -0.0, 1e6], np.float32)
    assert_close(name, [x], call(name, x), expected(name, x.astype(np.float64)), 0.0, 1.02)


def test_powers_of_two_have_exact_logarithms():
    for dtype, low, high in ((np.float32, -149, 128), (np.float64, -1074, 1024)):
        n = np.arange(low, high)
        assert (call("log2", np.ldexp(dtype(1), n)) == n).all()
