"""Matrix products against NumPy in float64: every layout, within their buffers, in shares.

Each operand ends where a page begins that may not be touched: a read or write beyond it ends
the process.  What lies between its rows is NaN, which must not get into C and must stay in C.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from dataclasses import replace

import numpy as np
import pytest

from slotgrad.errors import InternalError
from slotgrad.runtime.host import Host, host
from slotgrad.runtime.llvm import assembly, compile_text
from slotgrad.targets.emit import Emit
from slotgrad.targets.gemm import gemm_function, scratch_bytes, units
from slotgrad.targets.gemm_plan import DOT_ROWS, Gemm, plan, split
from slotgrad.targets.module import Module

HERE = host()
HOSTS = {
    "host": HERE,
    "half": replace(HERE, vector_bytes=min(32, HERE.vector_bytes)),
    "narrow": replace(HERE, vector_bytes=16, has_fma=False),
}
LAYOUTS = list(itertools.product([False, True], repeat=2))
DTYPES = [np.float32, np.float64]
ODD = [
    (1, 1, 1),
    (2, 40, 37),
    (3, 5, 7),
    (65, 7, 63),
    (17, 1, 9),
    (1, 1000, 3),
    (9, 33, 1),
    (1, 1, 70),
]
EMPTY = [(0, 4, 3), (4, 0, 3), (5, 19, 0), (0, 0, 0)]


def guarded(size: int, dtype: np.dtype | type) -> np.ndarray:
    """NaN everywhere; the last element is the last one of a page before a forbidden one."""
    page, used = mmap.PAGESIZE, size * np.dtype(dtype).itemsize
    pages = -(-used // page)
    memory = np.frombuffer(mmap.mmap(-1, (pages + 1) * page), np.uint8)
    if sys.platform == "linux":
        end = ctypes.c_void_p(memory.ctypes.data + pages * page)
        assert ctypes.CDLL(None).mprotect(end, ctypes.c_size_t(page), 0) == 0
    memory[: pages * page] = 255  # NaN in both dtypes
    return memory[pages * page - used : pages * page].view(dtype)


class Case:
    """A problem with operands in guarded memory."""

    def __init__(self, problem: Gemm, rng: np.random.Generator) -> None:
        p = self.problem = problem
        counts, steps = [b[0] for b in p.batch], list(zip(*p.batch))[1:] or [()] * 3
        self.shapes = {
            "a": ([*counts, *((p.k, p.m) if p.transpose_a else (p.m, p.k))], [*steps[0], p.lda, 1]),
            "b": ([*counts, *((p.n, p.k) if p.transpose_b else (p.k, p.n))], [*steps[1], p.ldb, 1]),
            "c": ([*counts, p.m, p.n], [*steps[2], p.ldc, 1]),
        }
        self.memory = {key: guarded(self.extent(key), p.dtype) for key in "abc"}
        for key in "ab" + "c" * p.accumulate:
            view = self.view(key)
            view[...] = rng.standard_normal(view.shape)
        self.before = self.view("c").astype(np.float64) if p.accumulate else 0.0

    def extent(self, key: str) -> int:
        shape, strides = self.shapes[key]
        return 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides))

    def view(self, key: str, memory: np.ndarray | None = None) -> np.ndarray:
        """The matrices of an operand, or those at their places in other memory."""
        memory = self.memory[key] if memory is None else memory
        shape, strides = self.shapes[key]
        size = memory.itemsize
        return np.lib.stride_tricks.as_strided(memory, shape, [s * size for s in strides])

    def operands(self) -> tuple[np.ndarray, np.ndarray]:
        a, b = self.view("a").astype(np.float64), self.view("b").astype(np.float64)
        return a.mT if self.problem.transpose_a else a, b.mT if self.problem.transpose_b else b

    def run(self, address: int, on=HERE, shares: int = 1, extra: tuple = ()) -> None:
        """Call the function for each share of the units, with a scratch of its own."""
        work = units(self.problem, on)
        bounds = [work * i // shares for i in range(shares + 1)]
        pointers = [ctypes.c_void_p] * (4 + len(extra)) + [ctypes.c_int64] * 2
        function = ctypes.CFUNCTYPE(None, *pointers)(address)
        for first, last in itertools.pairwise(bounds):
            scratch = guarded(scratch_bytes(self.problem, on), np.uint8)
            arguments = [x.ctypes.data for x in (*self.memory.values(), *extra, scratch)]
            function(*arguments, first, last)

    def check(self, finish=lambda c: c) -> None:
        """C within the bound of rounding, max 1 of finish's slope; nothing else written."""
        a, b = self.operands()
        bound = (self.problem.k + 3) * np.finfo(self.problem.dtype).eps
        bound = bound * (np.abs(a) @ np.abs(b) + np.abs(self.before) + 1)
        assert (np.abs(self.view("c") - finish(self.before + a @ b)) <= bound).all(), self.problem
        outside = self.memory["c"].copy()
        self.view("c", outside)[...] = np.nan
        assert np.isnan(outside).all(), self.problem


def check_all(problems: list[Gemm], on=HERE, seed: int = 0, shares: int = 1) -> None:
    """Compile the problems in one module, run and check each."""
    rng = np.random.default_rng(seed)
    names = {f"g{i}": p for i, p in enumerate(dict.fromkeys(problems))}
    module = Module(on)
    for name, problem in names.items():
        module.take(gemm_function(name, problem, on))
    library = compile_text(module.text)
    for name, problem in names.items():
        case = Case(problem, rng)
        case.run(library.address(name), on, shares)
        case.check()


# -- layouts and sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_and_empty_sizes_in_every_layout(dtype):
    check_all([Gemm(*size, dtype, *ts) for size in ODD + EMPTY for ts in LAYOUTS])


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_two(dtype):
    check_all([Gemm(n, n, n, dtype, *ts) for n in (16, 64, 256) for ts in LAYOUTS])


@pytest.mark.parametrize("on", HOSTS)
def test_random_sizes_layouts_and_strides(on):
    rng = np.random.default_rng(sum(map(ord, on)))
    problems = []
    for i in range(32):
        m, n, k = (int(x) for x in rng.integers(1, 71, 3))
        ta, tb = LAYOUTS[i % 4]
        widths = m if ta else k, k if tb else n, n
        gaps = [int(x) for x in rng.integers(0, 6, 3)]
        strides = [w + gap for w, gap in zip(widths, gaps)]
        accumulate = bool(rng.integers(2))
        problems.append(Gemm(m, n, k, DTYPES[i // 4 % 2], ta, tb, *strides, accumulate=accumulate))
    check_all(problems, HOSTS[on])


@pytest.mark.parametrize("on", HOSTS)
def test_few_rows_by_a_transposed_matrix(on):
    """Vectors along k: tiles of 1 to 4 rows, and rests of columns and of k."""
    sizes = itertools.product((1, 2, 3, 4, 7, DOT_ROWS), (1, 6, 16, 35), (3, 16, 37))
    problems = [Gemm(*size, dtype, False, True) for size in sizes for dtype in DTYPES]
    assert all(plan(problem, HOSTS[on]).along_k for problem in problems)
    check_all(problems, HOSTS[on], shares=3)


def test_batches_and_broadcasting():
    m, n, k = 7, 20, 9
    full = ((3, m * k, k * n, m * n),)
    same_b = ((4, m * k, 0, m * n),)
    same_a = ((4, 0, k * n, m * n),)
    two = ((2, 0, 3 * k * n, 3 * m * n), (3, m * k, k * n, m * n))
    gaps = ((2, m * k + 5, k * n, 2 * m * n),)
    none = ((2, m * k, k * n, m * n), (0, 0, 0, 0))
    batches = [full, same_b, same_a, two, gaps, none]
    problems = [Gemm(m, n, k, np.float32, *ts, batch=b) for b in batches for ts in LAYOUTS]
    check_all(problems)
    check_all(problems, shares=5)


def test_one_column_is_flipped_into_a_row():
    rng = np.random.default_rng(6)
    for transposed in LAYOUTS:
        problem = Gemm(37, 1, 21, np.float64, *transposed, lda=40, batch=((2, 1600, 21, 37),))
        row = problem.flipped()
        address = compile_text(gemm_function("row", row, HERE)).address("row")
        case, swapped = Case(problem, rng), Case(row, rng)
        swapped.memory = {new: case.memory[old] for new, old in zip("abc", "bac")}
        swapped.run(address)
        case.check()
    with pytest.raises(InternalError, match="only one contiguous column"):
        Gemm(4, 2, 3).flipped()


def test_large_b_is_packed_in_blocks_of_k():
    sizes = [(33, 600, 1100), (40, 530, 1041)]
    problems = [
        Gemm(*size, dtype, *ts, accumulate=add)
        for size, dtype, add in zip(sizes, DTYPES, (False, True))
        for ts in LAYOUTS
    ]
    for problem in problems:
        chosen = plan(problem, HERE)
        assert chosen.packed and chosen.depth < problem.k
    check_all(problems, shares=3)
    check_all(problems[:4], HOSTS["narrow"])


@pytest.mark.parametrize(
    "on, instruction",
    [
        (Host("skylake-avx512", vector_bytes=64, has_fma=True), "vfmadd231ps"),
        (Host("haswell", vector_bytes=32, has_fma=True), "vfmadd231ps"),
        (Host("x86-64"), "mulps"),
        (Host("cortex-a76", has_fma=True, triple="aarch64-unknown-linux-gnu"), "fmla"),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_other_processors_keep_the_tile_in_registers(on, instruction):
    """No calls (of fmaf), nothing on the stack."""
    text = gemm_function("g", Gemm(60, 64, 64), on)
    code = assembly(text, on)
    assert instruction in code
    for forbidden in ("call", "\tbl\t", "(%rsp)", "[sp"):
        assert forbidden not in code


# -- shares --------------------------------------------------------------------------------------


def test_shares_make_up_the_whole():
    """Any cut of the units gives the same bits."""
    rng = np.random.default_rng(1)
    for problem in (Gemm(50, 90, 30), Gemm(50, 150, 30, transpose_b=True), Gemm(2, 300, 30)):
        address = compile_text(gemm_function("g", problem, HERE)).address("g")
        case = Case(problem, rng)
        assert units(problem, HERE) > 1
        results = []
        for shares in (1, 2, units(problem, HERE)):
            case.view("c")[...] = np.nan
            case.run(address, shares=shares)
            results.append(case.view("c").copy())
        case.check()
        assert (results[0] == results[1]).all() and (results[0] == results[2]).all()


def test_split_has_no_small_rest():
    for size in range(1, 200):
        for limit in (1, 4, 6, 14):
            lengths = []
            for run in split(size, limit):
                for part in range(run.first, run.last):
                    assert part * run.size + run.shift == sum(lengths)
                    lengths.append(run.size)
            assert sum(lengths) == size and len(lengths) == -(-size // limit)
            assert max(lengths) - min(lengths) <= 1


# -- epilogues -----------------------------------------------------------------------------------


def bias_and_relu(emit: Emit, total: str, row, column, mask) -> str:
    bias = emit.load(emit.at("%bias", column), mask)
    shifted = emit.value(f"fadd {emit.vector} {total}, {bias}")
    zero = f"{emit.vector} zeroinitializer"
    positive = emit.value(f"fcmp ogt {emit.vector} {shifted}, zeroinitializer")
    kind = f"<{emit.lanes} x i1>"
    return emit.value(f"select {kind} {positive}, {emit.vector} {shifted}, {zero}")


@pytest.mark.parametrize("size", [(9, 37, 20), (40, 390, 1030)])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_epilogue_with_bias_and_relu(size, transpose_b):
    case = Case(Gemm(*size, transpose_b=transpose_b), np.random.default_rng(2))
    text = gemm_function("dense", case.problem, HERE, bias_and_relu, extra=("bias",))
    bias = guarded(size[1], np.float32)
    bias[:] = np.linspace(-1, 1, size[1])
    case.run(compile_text(text).address("dense"), extra=(bias,))
    case.check(lambda c: np.maximum(c + bias, 0))


@pytest.mark.parametrize("size", [(70, 45, 32), (48, 390, 1030)])
def test_epilogue_updates_a_weight_in_place(size):
    """W -= rate * X^T G: the weight is C, which the epilogue reads before it is stored."""

    def descend(emit: Emit, gradient: str, row, column, mask) -> str:
        weight = emit.load(emit.element("%c", row, size[1], column), mask)
        rate = emit.once("load float, ptr %rate")
        first = emit.once(f"insertelement {emit.vector} poison, float {rate}, i64 0")
        negative = emit.value(
            f"fneg {emit.vector} {emit.shuffle(first, 'poison', [0] * emit.lanes)}"
        )
        return emit.fma(negative, gradient, weight)

    case = Case(Gemm(*size, transpose_a=True), np.random.default_rng(3))
    weight = np.random.default_rng(4).standard_normal(size[:2]).astype(np.float32)
    case.view("c")[...] = weight
    text = gemm_function("update", case.problem, HERE, descend, extra=("rate",), prefetch=("c",))
    rate = np.array([0.25], np.float32)
    case.run(compile_text(text).address("update"), extra=(rate,), shares=2)
    case.check(lambda c: weight - 0.25 * c)


def test_epilogue_may_store_elsewhere_and_counts_rows_through_the_batch():
    """The row is matrix * m + row of the matrix; None leaves C alone."""

    def aside(emit: Emit, total: str, row, column, mask) -> None:
        emit.store(total, emit.element("%other", row, 21, column), mask)

    m, n, k = 8, 21, 5
    case = Case(Gemm(m, n, k, batch=((3, m * k, k * n, m * n),)), np.random.default_rng(5))
    text = gemm_function("aside", case.problem, HERE, aside, extra=("other",))
    other = guarded(3 * m * n, np.float32)
    case.run(compile_text(text).address("aside"), extra=(other,))
    assert np.isnan(case.memory["c"]).all()
    a, b = case.operands()
    np.testing.assert_allclose(other.reshape(3, m, n), a @ b, rtol=1e-4, atol=1e-5)


def test_constants_are_rounded_to_the_dtype():
    single, double = Emit(np.dtype("f4"), 4, True), Emit(np.dtype("f8"), 2, True)
    assert single.splat(0.1) == "splat (float 0x3FB99999A0000000)"
    assert double.splat(0.1) == "splat (double 0x3FB999999999999A)"
