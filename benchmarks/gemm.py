"""Matrix products, float32, one core: the kernel in a native loop against NumPy from Python."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from slotgrad.runtime.host import Host, host
from slotgrad.runtime.llvm import compile_text
from slotgrad.targets.gemm import gemm_function, scratch_bytes, units
from slotgrad.targets.gemm_plan import Gemm
from slotgrad.targets.gemm_tile import ZERO, Emit

from .measure import Row, alternate, split

SHAPES = [Gemm(n, n, n) for n in (16, 32, 64, 128, 256, 512, 1024)] + [
    Gemm(64, 256, 784),
    Gemm(784, 256, 64, transpose_a=True),
    Gemm(64, 784, 256, transpose_b=True),
    Gemm(128, 1024, 1024),
    Gemm(1, 256, 784, transpose_b=True),
]
REPEAT = """
define void @repeat(ptr %a, ptr %b, ptr %c, ptr %scratch, i64 %units, i64 %times) {
entry:
  br label %again
again:
  %i = phi i64 [0, %entry], [%next, %again]
  call void @product(ptr %a, ptr %b, ptr %c, ptr %scratch, i64 0, i64 %units)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %again, label %done
done:
  ret void
}
"""
NATIVE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)


def aligned(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Random numbers that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array: np.ndarray = memory[start : start + size].view(dtype).reshape(shape)
    array[...] = np.random.default_rng(0).standard_normal(shape)
    return array


def one_thread() -> None:
    """Tell NumPy's OpenBLAS to use one thread, as its variable would before the import."""
    maps = Path("/proc/self/maps").read_text()
    for path in set(re.findall(r"/\S*openblas\S*", maps)):
        library = ctypes.CDLL(path)
        for symbol in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads"):
            if hasattr(library, symbol):
                getattr(library, symbol)(1)
                return
    raise RuntimeError("no OpenBLAS whose threads could be set")


TRIPS, CHAINS = 10_000, 24


def peak(on: Host) -> tuple[Callable[[], object], int]:
    """The most there can be: independent chains of multiply-add in registers; operations a run."""
    emit = Emit(np.dtype("f4"), on.lanes("f4"), on.has_fma)
    head, x = emit.label(), emit.load("%a")
    emit.jump(head)

    def step(acc: list[str]) -> list[str]:
        return [emit.fma(x, x, y) for y in acc]

    start = [("entry", [ZERO] * CHAINS)]
    for i, y in enumerate(emit.repeat(TRIPS, [emit.vector] * CHAINS, head, start, step)):
        emit.store(y, emit.at("%c", i * emit.lanes))
    emit.line("ret void")
    header = "define void @peak(ptr %a, ptr %b, ptr %c, ptr %d, i64 %first, i64 %last)"
    function = NATIVE(compile_text(emit.text(header)).address("peak"))
    memory = aligned((CHAINS * emit.lanes,))

    def run() -> None:
        function(*[memory.ctypes.data] * 4, 0, 0)

    return run, 2 * TRIPS * CHAINS * emit.lanes


def product(problem: Gemm, on: Host) -> Row:
    p = problem
    a = aligned((p.k, p.m) if p.transpose_a else (p.m, p.k))
    b = aligned((p.n, p.k) if p.transpose_b else (p.k, p.n))
    c, ours = aligned((p.m, p.n)), aligned((p.m, p.n))
    scratch = aligned((scratch_bytes(p, on),), np.uint8)
    text = gemm_function("product", p, on) + REPEAT
    repeat = NATIVE(compile_text(text).address("repeat"))
    times = max(1, 10**7 // p.flops)
    pointers = [x.ctypes.data for x in (a, b, ours, scratch)]
    left, right = a.T if p.transpose_a else a, b.T if p.transpose_b else b
    run_peak, operations = peak(on)
    runs: dict[str, Callable[[], object]] = {
        "slotgrad": lambda: repeat(*pointers, units(p, on), times),
        "numpy": lambda: np.matmul(left, right, out=c),
        "peak": run_peak,
    }
    total, peers = split(alternate(runs))
    np.testing.assert_allclose(ours, c, rtol=1e-3, atol=1e-3)
    seconds, top = total / times, operations / peers.pop("peak")
    kind = " A'B" * p.transpose_a + " AB'" * p.transpose_b
    share = f"{p.flops / seconds / top:.0%} of {top / 1e9:.0f} GFLOP/s"
    work = f"gemm {p.m}x{p.n}x{p.k}{kind}, {share}"
    return Row(work, seconds, "us", peers, "numpy", seconds <= peers["numpy"])


def rows() -> Iterator[Row]:
    one_thread()
    for problem in SHAPES:
        yield product(problem, host())
