"""Instructions of AVX-512 that no general form of LLVM becomes.

>>> from slotgrad.runtime.host import Host
>>> from slotgrad.targets.module import Module
>>> k = Avx512(Module(Host("znver5", vector_bytes=64)), 16)
>>> x = k.load("float32", "%p", "%i")
>>> k.can_look_up(x)
True
>>> k.scale(x, 3 * x)
<16 x float> %v4
>>> print(k.lines[-1])
  %v4 = call <16 x float> @llvm.x86.avx512.mask.scalef.ps.512(<16 x float> %v2, <16 x float> %v3, \
<16 x float> zeroinitializer, i16 -1, i32 4)

May import dtypes and targets.lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .lanes import Lanes, Value

_ROUNDING = "i32 4"  # as the processor is set
_QUIET, _AROUND_ONE = 0b10 << 2, 0b11  # nan for negative numbers; the interval [3/4, 3/2)


class Avx512(Lanes):
    """Vectors for which some functions exist only where `can_look_up` holds."""

    def can_look_up(self, x: Value) -> bool:
        """Whether vectors like x fill a register of AVX-512."""
        return self.lanes * x.dtype.itemsize == 64 == self.host.vector_bytes

    def look_up(self, table: Sequence[float], i: Value) -> Value:
        """Entry i % 16 of a table of 16 numbers, floats or integers as long as i."""
        kind, size = "f" if isinstance(table[0], float) else "i", i.dtype.itemsize
        dtype = np.dtype(f"{kind}{size}")
        if size == 4:
            return self._call(f"permvar.s{kind}", self.constants(table, dtype), i)
        name = f"vpermi2var.{'pd' if kind == 'f' else 'q'}"
        low, high = self.constants(table[:8], dtype), self.constants(table[8:], dtype)
        return self._call(name, low, i, high)

    def scale(self, x: Value, n: Value) -> Value:
        """x * 2**floor(n)."""
        return self._call(_of_floats("mask.scalef", x), x, n, *self._everywhere(x), _ROUNDING)

    def exponent(self, x: Value) -> Value:
        """floor(log2(|x|)) as a float: -inf of 0, inf of inf, nan of nan."""
        return self._call(_of_floats("mask.getexp", x), x, *self._everywhere(x), _ROUNDING)

    def significand(self, x: Value) -> Value:
        """x / 2**n in [3/4, 3/2): 1 of 0 and of inf, nan of nan and below 0."""
        how = f"i32 {_QUIET | _AROUND_ONE}"
        return self._call(_of_floats("mask.getmant", x), x, how, *self._everywhere(x), _ROUNDING)

    def inverse(self, x: Value) -> Value:
        """1 / x with a relative error of at most 2**-14."""
        return self._call(_of_floats("rcp14", x), x, *self._everywhere(x))

    def _everywhere(self, x: Value) -> tuple[str, str]:
        """The operands that stand for no mask."""
        return f"{self.type(x.dtype)} zeroinitializer", f"i{self.lanes} -1"

    def _call(self, name: str, first: Value, *rest: Value | str) -> Value:
        """The instruction; its result is of the first operand's type."""
        vector, function = self.type(first.dtype), f"@llvm.x86.avx512.{name}.512"
        types = [self.type(o.dtype) if isinstance(o, Value) else o.rsplit(" ", 1)[0] for o in rest]
        self.module.declare(f"{vector} {function}({', '.join([vector, *types])})")
        operands = ", ".join(map(str, (first, *rest)))
        return self.emit(first.dtype, f"call {vector} {function}({operands})")


def _of_floats(name: str, x: Value) -> str:
    return f"{name}.p{'s' if x.dtype.itemsize == 4 else 'd'}"
