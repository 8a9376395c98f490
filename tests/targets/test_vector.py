"""Kernel expressions as vectors: every elementwise record agrees with its NumPy value.

All kernels are compiled in one module.  A second and a third one, for narrow vectors without
masks, fused multiply-add and conversions of float16, see that the detours are right too.
"""

from __future__ import annotations

import ctypes
import mmap
import operator
import sys
from dataclasses import replace
from functools import cache
from zlib import crc32

import ml_dtypes
import numpy as np
import pytest

import slotgrad  # noqa: F401  declares the operations
from slotgrad.dtypes import bfloat16, bool_, floating, integral
from slotgrad.errors import InternalError
from slotgrad.ops.declare import ACCEPTS, RECORDS
from slotgrad.runtime.host import Host, host
from slotgrad.runtime.llvm import assembly, compile_text
from slotgrad.targets.module import Module
from slotgrad.targets.vector import Vector, define_elementwise, elementwise_function

SIZES = [0, 1, 3, 63, 65, 1000]
REAL = sorted(integral | floating | {bool_}, key=str)
NARROW = replace(host(), vector_bytes=16, has_fma=False, has_half=False)
HOSTS = {"host": host(), "half": replace(host(), vector_bytes=32), "narrow": NARROW}

# The largest difference in units in the last place, in float64 and in shorter floats (16-bit
# results are rounded from the same float32: one unit).  NumPy's functions have up to 2.5 ulp
# themselves.  Operations not listed are exact.
BOUNDS = {
    "pow": (2, 1),
    "atan2": (2, 3),
    "hypot": (1, 1),
    "exp": (2, 3),
    "expm1": (2, 3),
    "log": (1, 2),
    "log2": (2, 3),
    "log10": (2, 3),
    "log1p": (2, 3),
    "sin": (2, 3),
    "cos": (2, 3),
    "tan": (3, 4),
    "asin": (3, 4),
    "acos": (3, 4),
    "atan": (2, 3),
    "sinh": (2, 3),
    "cosh": (2, 3),
    "tanh": (3, 3),
    "asinh": (3, 4),
    "acosh": (3, 4),
    "atanh": (3, 4),
    "sigmoid": (3, 4),
    "erf": (3, 3),
    "erfc": (6, 8),
    # the next ones have zeros: in units of the last place of max(1, |value|)
    "logaddexp": (2, 3),
    "lgamma": (8, 12),
    "polygamma": (12, 14),
}
NEAR_ZEROS = ("logaddexp", "lgamma", "polygamma")

KERNELS = [
    (name, dtype)
    for name, op in RECORDS.items()  # all of them, once the package is loaded
    if op.family == "elementwise" and not name.startswith("cast")
    for dtype in sorted(ACCEPTS[op.accepts] & set(REAL), key=str)
]


# -- running -------------------------------------------------------------------------------------


def arity(name):
    return 1 if name == "polygamma" else RECORDS[name].kernel.__code__.co_argcount - 1


def kernel(name):
    return lambda k, *xs: RECORDS[name].kernel(k, *xs, **attributes(name))


def attributes(name):
    return {"n": 2} if name == "polygamma" else {}


def result_dtype(name, dtype):
    return bool_ if name in ("equal", "less", "less_equal") else dtype


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOTGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@cache
def library(machine):
    module = Module(machine)
    for name, dtype in KERNELS:
        inputs = [bool_ if name == "where" and i == 0 else dtype for i in range(arity(name))]
        outputs = [result_dtype(name, dtype)]
        define_elementwise(module, f"{name}_{dtype}_", inputs, outputs, kernel(name))
    for source in REAL:
        for target in REAL:

            def cast(k, x, target=target):
                return k.cast(x, target)

            define_elementwise(module, f"cast_{source}_{target}_", [source], [target], cast)
    return compile_text(module.text)


def run(compiled, name, xs, dtypes, n=None):
    """The outputs of a compiled function; a margin behind each must stay as it was."""
    n = len(xs[0]) if n is None else n
    outputs = [np.full((n + 64) * dtype.itemsize, 0xA5, np.uint8) for dtype in dtypes]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(xs) + len(dtypes)), ctypes.c_int64)(
        compiled.address(name)
    )
    function(*[x.ctypes.data for x in (*xs, *outputs)], n)
    for out, dtype in zip(outputs, dtypes):
        assert (out[n * dtype.itemsize :] == 0xA5).all()
    return [out[: n * dtype.itemsize].view(dtype) for out, dtype in zip(outputs, dtypes)]


# -- data ----------------------------------------------------------------------------------------


def special(dtype):
    if dtype == bool_:
        return np.array([False, True])
    if dtype in integral:
        limits = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, 7, limits.max, limits.min, limits.max - 1], dtype)
    limits = ml_dtypes.finfo(dtype)
    numbers = [0.0, 1.0, 0.5, 2.0, 3.0, 1e-3, np.inf, limits.max, limits.tiny, limits.tiny / 4]
    positive = np.array(numbers, np.float64).astype(dtype)
    return np.concatenate([positive, -positive, np.array([np.nan], dtype)])


def arguments(name, dtype):
    """Every pair of special values, and random ones of many magnitudes."""
    rng = np.random.default_rng(crc32(f"{name} {dtype}".encode()))
    points = special(dtype)
    grid = np.array([np.tile(points, len(points)), np.repeat(points, len(points))])
    xs = []
    for i in range(arity(name)):
        if dtype == bool_ or (name == "where" and i == 0):
            xs.append(rng.integers(0, 2, 1000).astype(bool_))
            continue
        if dtype in integral:
            limits = np.iinfo(dtype)
            x = rng.integers(limits.min, limits.max, 1000, dtype, endpoint=True)
            x[::3] = rng.integers(max(limits.min, -9), 9, 334)
        else:
            x = (rng.standard_normal(1000) * 10 ** rng.uniform(-3, 2, 1000)).astype(dtype)
        x[: grid.shape[1]] = grid[i % 2].astype(dtype)
        xs.append(x)
    if name == "pow" and dtype in integral:  # NumPy raises for negative powers
        xs[1] = np.abs(xs[1] // 2)
    return xs


def difference(got, wanted, near_zeros=False):
    """|got - wanted| in units of the last place; the sign of zero does not count."""
    if wanted.dtype in integral or wanted.dtype == bool_:
        return np.where(got == wanted, 0, np.inf)
    limits = ml_dtypes.finfo(wanted.dtype)
    same = (got == wanted) | ((got != got) & (wanted != wanted))
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(wanted), 1.0 if near_zeros else float(limits.tiny))
        ulp = np.ldexp(float(limits.eps), np.frexp(size)[1] - 1)
        error = np.abs(got - wanted) / ulp
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


# -- every record --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, where we flow silently
@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("name, dtype", KERNELS, ids=lambda x: str(x))
def test_record(name, dtype, machine):
    xs = arguments(name, dtype)
    out = result_dtype(name, dtype)
    wanted = np.asarray(RECORDS[name].value(*xs, **attributes(name)))
    assert wanted.dtype == out
    double, single = BOUNDS.get(name, (0, 0))
    bound = double if dtype.itemsize == 8 else single
    for n in SIZES:
        (got,) = run(library(HOSTS[machine]), f"{name}_{dtype}_", xs, [out], n)
        error = difference(got, wanted[:n], name in NEAR_ZEROS)
        if n:
            worst = np.argmax(error)
            assert error[worst] <= bound, (
                f"{name}({', '.join(str(x[worst]) for x in xs)}) = {got[worst]}, "
                f"wanted {wanted[worst]}: {error[worst]:.3g} ulp"
            )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("source", REAL, ids=str)
def test_cast(source, machine):
    rng = np.random.default_rng(7)
    for target in REAL:
        x = np.resize(special(source), 500)
        if source in floating and target in integral:  # elsewhere NumPy's result is any number
            high = min(np.iinfo(target).max, 10**4)
            x = rng.uniform(-high if target.kind == "i" else 0, high, 500).astype(source)
        elif source in floating:
            x[100:] = (rng.standard_normal(400) * 10 ** rng.uniform(-9, 6, 400)).astype(source)
        got, wanted = (
            run(library(HOSTS[machine]), f"cast_{source}_{target}_", [x], [target])[0],
            (x.astype(target)),
        )
        assert (difference(got, wanted) == 0).all(), (source, target)


@pytest.mark.parametrize("machine", HOSTS)
def test_cast_beyond_the_range(machine):
    x = np.array([1e20, -1e20, np.inf, -np.inf, np.nan], np.float32)
    for target in sorted(integral, key=str):
        (got,) = run(library(HOSTS[machine]), f"cast_float32_{target}_", [x], [target])
        low, high = np.iinfo(target).min, np.iinfo(target).max
        assert got.tolist() == [high, low, high, low, 0]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # signalling nans, overflow
@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("half", [np.dtype(np.float16), bfloat16], ids=str)
def test_every_half(half, machine):
    """All bit patterns to float32 and back; and what lies half-way between, and next to it."""
    patterns = np.arange(1 << 16, dtype=np.uint16).view(half)
    wide = patterns.astype(np.float32)
    (got,) = run(library(HOSTS[machine]), f"cast_{half}_float32_", [patterns], [wide.dtype])
    assert ((got == wide) | (np.isnan(got) & np.isnan(wide))).all()
    middle = wide[:-1] / 2 + wide[1:] / 2
    x = np.concatenate([wide, middle, np.nextafter(middle, np.float32(np.inf))])
    wanted = x.astype(half)
    (got,) = run(library(HOSTS[machine]), f"cast_float32_{half}_", [x], [half])
    same = (got == wanted) & (np.signbit(got) == np.signbit(wanted))
    assert (same | (np.isnan(x) & np.isnan(got.astype(np.float32)))).all()


@pytest.mark.parametrize("machine", HOSTS)
def test_integer_powers(machine):
    """Exponents are never refused: a negative one gives the reciprocal, without its fraction."""
    x = np.array([2, 1, -1, -1, 0, -3, 5], np.int32)
    y = np.array([-1, -5, -4, -5, -1, 3, 0], np.int32)
    (got,) = run(library(HOSTS[machine]), "pow_int32_", [x, y], [x.dtype])
    assert got.tolist() == [0, 1, 1, -1, 0, -27, 1]


# -- loops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", HOSTS)
def test_scalars_and_several_outputs(machine):
    text = elementwise_function(
        "f",
        ["float32", ("float32", "scalar"), ("bool", "scalar")],
        ["float32", "float64", "bool"],
        lambda k, x, a, c: (k.select(c, a * x, 0), k.cast(x, "float64") / 3, x < a),
        HOSTS[machine],
    )
    x, a, c = np.arange(37, dtype=np.float32), np.float32([5]), np.array([True])
    out = [np.dtype(d) for d in ("f4", "f8", "?")]
    scaled, third, below = run(compile_text(text), "f", [x, a, c], out)
    assert (scaled == 5 * x).all()
    assert (third == x.astype(np.float64) / 3).all()
    assert (below == (x < 5)).all()


@pytest.mark.parametrize("machine", HOSTS)
def test_in_place(machine):
    text = elementwise_function(
        "f", ["float64"] * 2, ["float64"] * 2, lambda k, x, y: (y, x), HOSTS[machine]
    )
    address = compile_text(text).address("f")
    x, y = np.arange(21.0), -np.arange(21.0)
    pointers = [v.ctypes.data for v in (x, y, x, y)]
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)(address)(*pointers, 21)
    assert (y == np.arange(21.0)).all() and (x == -y).all()


def test_a_constant_result():
    text = elementwise_function("f", ["float32"], ["int8"], lambda k, x: 7, host())
    (got,) = run(compile_text(text), "f", [np.zeros(70, np.float32)], [np.dtype("i1")])
    assert (got == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="uses mprotect")
@pytest.mark.parametrize("machine", HOSTS)
def test_nothing_outside_is_touched(machine):
    """Arrays end where a page begins that may be neither read nor written."""
    page = mmap.PAGESIZE
    buffers = []
    for _ in range(2):
        memory = mmap.mmap(-1, 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), page, 0) == 0
        buffers.append((memory, start + page))
    for dtype in REAL:
        address = library(HOSTS[machine]).address(f"cast_{dtype}_{dtype}_")
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)
        for n in (1, 2, 3, 7, 15, 17, 31, 33, 63, 65, 129):
            ends = [end - n * dtype.itemsize for _, end in buffers]
            function(*ends, n)


# -- writing -------------------------------------------------------------------------------------


def builder(**options):
    return Vector(Module(Host("haswell", vector_bytes=32, has_fma=True, **options)), 8)


def test_the_same_instruction_is_written_once():
    k = builder()
    x = k.load("float32", "%p", "0")
    first = k.sin(x) * k.sin(x) + k.cos(x)
    length = len(k.lines)
    again = k.sin(x) * k.sin(x) + k.cos(x)
    assert first.name == again.name and len(k.lines) == length


def test_values_are_no_truth_values():
    k = builder()
    x = k.load("float32", "%p", "0")
    with pytest.raises(InternalError, match="k.select"):
        bool(x < 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda k, x, n: x + n,
        lambda k, x, n: n + 0.5,
        lambda k, x, n: n / n,
        lambda k, x, n: x & x,
        lambda k, x, n: k.select(x < 0, 1.0, 2.0),
        lambda k, x, n: k.cast(x, "complex64"),
    ],
)
def test_faults_of_kernels_are_told(wrong):
    k = builder()
    with pytest.raises(InternalError, match="compile: "):
        wrong(k, k.load("float32", "%p", "0"), k.load("int32", "%q", "0"))


@pytest.mark.parametrize("op", [operator.lshift, operator.rshift])
def test_shifts_by_numbers(op):
    text = elementwise_function("f", ["int16"], ["int16"], lambda k, x: op(x, 3), host())
    x = np.arange(-40, 40, dtype=np.int16)
    (got,) = run(compile_text(text), "f", [x], [x.dtype])
    assert (got == op(x, 3)).all()


def chain(k, x):
    return k.tanh(k.exp(x) * 2 + k.floor(x)) + k.cast(k.max(x, 0), "int32").k.sqrt(x)


@pytest.mark.parametrize(
    "machine, expected, absent",
    [
        (Host("haswell", "", 32, has_fma=True, has_half=True), ["vfmadd", "%ymm"], ["fmaf"]),
        (Host("skylake-avx512", "", 64, has_fma=True, has_half=True), ["%zmm", "{%k1}"], ["fmaf"]),
        (Host("x86-64"), ["mulps", "%xmm"], ["fmaf", "__extendhf"]),
        (
            Host("generic", "", 16, True, True, triple="aarch64-unknown-linux-gnu"),
            ["fmla\tv", ".4s"],
            ["fmaf", "__extendhf"],
        ),
    ],
    ids=lambda x: x.name if isinstance(x, Host) else "",
)
def test_other_machines(machine, expected, absent):
    module = Module(machine)
    define_elementwise(module, "f", ["float32"], ["float32"], chain)
    define_elementwise(module, "g", ["float16", "bfloat16"], ["float16"], lambda k, x, y: x * y)
    define_elementwise(module, "h", ["float64"] * 2, ["float64"], lambda k, x, y: k.pow(x, y))
    code = assembly(module.text, machine)
    assert all(text in code for text in expected)
    assert not any(text in code for text in absent)
