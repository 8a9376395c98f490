"""slotgrad's matrix product without Python around it, and the peak of the processor.

Runs in the worker of slotgrad.  May import NumPy, slotgrad, arrays and case.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from slotgrad.runtime.host import host
from slotgrad.runtime.llvm import compile_text
from slotgrad.targets.emit import ZERO, Emit
from slotgrad.targets.gemm import gemm_function, scratch_bytes, units
from slotgrad.targets.gemm_plan import Gemm

from .arrays import aligned
from .case import Loop

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
LOOP_FLOPS = 10**7  # of one call from Python, so that its cost is lost among them
TRIPS, CHAINS = 10_000, 24


def product(shape: tuple[Any, ...], a: np.ndarray, b: np.ndarray) -> Loop:
    """A loop over the product of a shape: m, n, k, whether A and B are stored transposed."""
    m, n, k, transpose_a, transpose_b = shape
    problem, on = Gemm(m, n, k, transpose_a=transpose_a, transpose_b=transpose_b), host()
    c, scratch = aligned((m, n)), aligned((scratch_bytes(problem, on),), np.uint8)
    text = gemm_function("product", problem, on) + REPEAT
    repeat = NATIVE(compile_text(text).address("repeat"))
    pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (a, b, c, scratch)]  # own them, too
    tiles, times = units(problem, on), max(1, LOOP_FLOPS // problem.flops)

    def run() -> np.ndarray:
        repeat(*pointers, tiles, times)
        return c

    return Loop(run, times)


def peak(flops: int) -> Loop:
    """The least time for so many operations: independent multiply-adds, all in registers."""
    on = host()
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
    memory = aligned((CHAINS * emit.lanes,)).ctypes.data_as(ctypes.c_void_p)

    def run() -> None:
        function(*[memory] * 4, 0, 0)

    return Loop(run, 2 * TRIPS * CHAINS * emit.lanes / flops)
