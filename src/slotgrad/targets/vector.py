"""The builder of kernel expressions that writes LLVM text with explicit vectors.

>>> from slotgrad.runtime.host import Host
>>> haswell = Host("haswell", vector_bytes=32, has_fma=True)
>>> def body(k, x):
...     return 2 * k.sqrt(x)
>>> print(elementwise_function("f", ["float32"], ["float32"], body, haswell))
... # doctest: +ELLIPSIS
declare <8 x float> @llvm.sqrt.v8f32(<8 x float>)
...
  %v3 = call <8 x float> @llvm.sqrt.v8f32(<8 x float> %v2)
  %v4 = fmul <8 x float> splat (float 0x4000000000000000), %v3
...

`Vector` is a builder `k` like `ops.reference.Reference`, without the whole-array statements.
May import errors, dtypes, runtime.host, targets.lanes, targets.avx512 and targets.vmath.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import as_dtype, bool_, float32, float64
from ..runtime.host import Host
from . import vmath
from .avx512 import Avx512
from .lanes import Value, computed, element
from .module import Module

# Some processors are said to prefer half of their vectors; we know which width we ask for.
_ATTRIBUTES = '"prefer-vector-width"="512" nounwind'


class Vector(Avx512):
    """The builder of kernel expressions whose values are vectors of `lanes` elements.

    The same instruction on the same operands is written once.
    """

    # -- arithmetic ------------------------------------------------------------------------------

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a * b + c, with one rounding where the host can, else two."""
        first = next(x for x in (a, b, c) if isinstance(x, Value))
        a, b, c = (self.like(x, first) for x in (a, b, c))
        return self.intrinsic("fma", a, b, c) if self.host.has_fma else a * b + c

    def poly(self, x: Value, coefficients: tuple[float, ...]) -> Value:
        """Horner's rule: coefficients from the highest power to the constant."""
        total = self.constant(coefficients[0], x.dtype)
        for c in coefficients[1:]:
            total = self.fma(total, x, c)
        return total

    def abs(self, x: Value) -> Value:
        """|x|; of the smallest integer it is that integer."""
        if x.dtype.kind == "f":
            return self.intrinsic("fabs", x)
        return self.intrinsic("abs", x, extra="i1 false") if x.dtype.kind == "i" else x

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; nan for nan."""
        if x.dtype.kind == "u":
            return self.select(x > 0, self.constant(1, x.dtype), 0)
        zero = self.select(x == 0, 0, x)  # +0 for -0, and nan stays
        return self.select(x > 0, 1, self.select(x < 0, -1, zero))

    def min(self, x: Any, y: Any) -> Value:
        """The smaller one; nan if one is nan."""
        return self._extreme("<", "min", x, y)

    def max(self, x: Any, y: Any) -> Value:
        """The larger one; nan if one is nan."""
        return self._extreme(">", "max", x, y)

    def _extreme(self, symbol: str, name: str, x: Any, y: Any) -> Value:
        bounded = not isinstance(x, Value) or not isinstance(y, Value)
        x, y = self._pair(x, y)
        kind = x.dtype.kind
        if kind == "b":
            return x & y if name == "min" else x | y
        if kind in "iu":
            return self.intrinsic(("s" if kind == "i" else "u") + name, x, y)
        if bounded and not x.name.startswith("splat"):
            x, y = y, x  # the number first
        # The comparison is false beside nan, which gives y: one instruction on x86.
        best = self.select(x < y if symbol == "<" else x > y, x, y)
        return best if bounded else self.select(x == x, best, x)

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def floor(self, x: Value) -> Value:
        """The largest integer <= x, in the dtype of x."""
        return self.intrinsic("floor", x) if x.dtype.kind == "f" else x

    def round(self, x: Value) -> Value:
        """The nearest integer, halves to even, in the dtype of x."""
        return self.intrinsic("rint", x) if x.dtype.kind == "f" else x

    def copysign(self, x: Any, y: Any) -> Value:
        """The magnitude of x with the sign of y."""
        return self.intrinsic("copysign", *self._pair(x, y))

    def remainder(self, x: Any, y: Any) -> Value:
        """x - y floor(x / y), with the sign of y; 0 for the integer divisor 0."""
        return self._divide(x, y)[1]

    def floor_divide(self, x: Any, y: Any) -> Value:
        """floor(x / y); 0 for the integer divisor 0."""
        return self._divide(x, y)[0]

    def _divide(self, x: Any, y: Any) -> tuple[Value, Value]:
        x, y = self._pair(x, y)
        return self._divide_floats(x, y) if x.dtype.kind == "f" else self._divide_integers(x, y)

    def _divide_floats(self, x: Value, y: Value) -> tuple[Value, Value]:
        """Quotient and remainder as in NumPy (npy_divmod), which follow from the exact fmod."""
        r = vmath.fmod(self, x, y)
        exact = r == 0
        differ = ((r < 0) ^ (y < 0)) & ~exact
        q = (x - r) / y
        q = self.select(differ, q - 1, q)
        whole = self.floor(q)
        whole = self.select(q - whole > 0.5, whole + 1, whole)
        whole = self.select(q == 0, self.copysign(0.0, x / y), whole)
        r = self.select(exact, self.copysign(0.0, y), self.select(differ, r + y, r))
        return self.select(y == 0, x / y, whole), r

    def _divide_integers(self, x: Value, y: Value) -> tuple[Value, Value]:
        """Division must not trap: by 0 both results are 0, and the smallest by -1 wraps."""
        signed = x.dtype.kind == "i"
        zero = y == 0
        unsafe = zero
        if signed:
            unsafe = zero | ((x == int(np.iinfo(x.dtype).min)) & (y == -1))
        divisor = self.select(unsafe, 1, y)
        if x.dtype.itemsize == 8:
            q = self.emit(x.dtype, f"{'s' if signed else 'u'}div {x}, {divisor.name}")
        else:  # processors have no vectors of integer quotients; floats give them exactly
            wide = float64 if x.dtype.itemsize == 4 else float32
            q = self._truncate(self.cast(x, wide) / self.cast(divisor, wide), x.dtype)
        r = x - q * divisor
        if signed:
            down = (r != 0) & ((r ^ y) < 0)
            q, r = self.select(down, q - 1, q), self.select(down, r + y, r)
        return self.select(zero, 0, q), r

    def integer_power(self, x: Value, y: Value) -> Value:
        """x**y, wrapping, by repeated squaring; a negative power is 0 but for 1 and -1."""
        kind = f"v{self.lanes}i{8 * x.dtype.itemsize}"
        name, vector = f"slotgrad.power.{kind}", self.type(x.dtype)
        self.module.define(name, lambda: _power_loop(name, vector, self.lanes))
        # Taken as unsigned, a negative exponent is as odd as its magnitude.
        power = self.emit(x.dtype, f"call {vector} @{name}({x}, {y})")
        if x.dtype.kind == "u":
            return power
        return self.select((y < 0) & (self.abs(x) != 1), 0, power)

    exp, expm1, sinh, cosh, tanh = vmath.exp, vmath.expm1, vmath.sinh, vmath.cosh, vmath.tanh
    log, log1p, log2, log10 = vmath.log, vmath.log1p, vmath.log2, vmath.log10
    sin, cos, atan, erf = vmath.sin, vmath.cos, vmath.atan, vmath.erf
    _atan2, _pow, _hypot = vmath.atan2, vmath.pow, vmath.hypot

    def pow(self, x: Any, y: Any) -> Value:
        """x**y; see `vmath.pow`."""
        return self._pow(*self._pair(x, y))

    def atan2(self, y: Any, x: Any) -> Value:
        """The angle of the point (x, y); see `vmath.atan2`."""
        return self._atan2(*self._pair(y, x))

    def hypot(self, x: Any, y: Any) -> Value:
        """sqrt(x**2 + y**2); see `vmath.hypot`."""
        return self._hypot(*self._pair(x, y))

    # -- rare cases ------------------------------------------------------------------------------

    def where_rare(
        self, condition: Value, name: str, xs: tuple[Value, ...], otherwise: Value
    ) -> Value:
        """The float64 function of libm where the condition holds, lane by lane, else a value.

        One branch a vector; the code of the rare case stands outside of the loop.
        """
        key = ("rare", condition.name, name, *(x.name for x in xs), otherwise.name)
        if key in self._known:
            return self._known[key]
        dtype = otherwise.dtype
        function = f"slotgrad.{name}.v{self.lanes}f{8 * dtype.itemsize}"
        self.module.define(function, lambda: self._lane_by_lane(function, name, len(xs), dtype))
        self.module.declare(f"double @{name}({', '.join(['double'] * len(xs))})")

        label = self.fresh()[1:]
        word = f"i{self.lanes}"
        self.line(f"%{label}.mask = bitcast {condition} to {word}")
        self.line(f"%{label}.any = icmp ne {word} %{label}.mask, 0")
        self.line(f"br i1 %{label}.any, label %{label}.rare, label %{label}.join")
        before = self.block
        self.start_block(f"{label}.rare")
        arguments = ", ".join(map(repr, (condition, otherwise, *xs)))
        self.line(f"%{label}.slow = call {self.type(dtype)} @{function}({arguments})")
        self.line(f"br label %{label}.join")
        self.start_block(f"{label}.join")
        incoming = f"[{otherwise.name}, %{before}], [%{label}.slow, %{label}.rare]"
        value = self.emit(dtype, f"phi {self.type(dtype)} {incoming}", pure=False)
        self._known[key] = value
        return value

    def _lane_by_lane(self, function: str, name: str, arity: int, dtype: np.dtype) -> str:
        """The text of `function(mask, otherwise, xs...)`: name(xs...) in the lanes of the mask."""
        vector, scalar = self.type(dtype), element(dtype)
        narrow = dtype == float32
        widened = [f"%x{j}.wide" if narrow else f"%x{j}.lane" for j in range(arity)]
        lines = []
        for j in range(arity):
            lines.append(f"%x{j}.lane = extractelement {vector} %x{j}, i32 %i")
            if narrow:
                lines.append(f"%x{j}.wide = fpext float %x{j}.lane to double")
        result = "%wide" if narrow else "%narrow"
        lines.append(f"{result} = call double @{name}({', '.join(f'double {x}' for x in widened)})")
        if narrow:
            lines.append("%narrow = fptrunc double %wide to float")
        work = "\n  ".join(lines)
        parameters = ", ".join(
            [f"{self.type(bool_)} %mask", f"{vector} %otherwise"]
            + [f"{vector} %x{j}" for j in range(arity)]
        )
        return f"""\
define internal {vector} @{function}({parameters}) noinline cold {_ATTRIBUTES} {{
entry:
  br label %loop
loop:
  %i = phi i32 [0, %entry], [%next, %join]
  %y = phi {vector} [%otherwise, %entry], [%y.next, %join]
  %wanted = extractelement {self.type(bool_)} %mask, i32 %i
  br i1 %wanted, label %call, label %join
call:
  {work}
  %changed = insertelement {vector} %y, {scalar} %narrow, i32 %i
  br label %join
join:
  %y.next = phi {vector} [%y, %loop], [%changed, %call]
  %next = add nuw nsw i32 %i, 1
  %more = icmp ult i32 %next, {self.lanes}
  br i1 %more, label %loop, label %end
end:
  ret {vector} %y.next
}}
"""


def _power_loop(name: str, vector: str, lanes: int) -> str:
    """The text of x**y for unsigned integers, bit by bit of y until none is left anywhere."""
    one = f"splat ({vector.split()[-1][:-1]} 1)"
    return f"""\
define internal {vector} @{name}({vector} %x, {vector} %y) noinline {_ATTRIBUTES} {{
entry:
  br label %loop
loop:
  %base = phi {vector} [%x, %entry], [%square, %loop]
  %left = phi {vector} [%y, %entry], [%half, %loop]
  %total = phi {vector} [{one}, %entry], [%next, %loop]
  %bit = and {vector} %left, {one}
  %odd = icmp ne {vector} %bit, zeroinitializer
  %times = mul {vector} %total, %base
  %next = select <{lanes} x i1> %odd, {vector} %times, {vector} %total
  %square = mul {vector} %base, %base
  %half = lshr {vector} %left, {one}
  %unfinished = icmp ne {vector} %half, zeroinitializer
  %word = bitcast <{lanes} x i1> %unfinished to i{lanes}
  %any = icmp ne i{lanes} %word, 0
  br i1 %any, label %loop, label %end
end:
  ret {vector} %next
}}
"""


# -- loops over arrays ---------------------------------------------------------------------------


def elementwise_function(
    name: str, inputs: Sequence[Any], outputs: Sequence[Any], body: Callable[..., Any], host: Host
) -> str:
    """The text of `void @name(ptr of each input, ptr of each output, i64 n)`.

    name     not one of libm's, which the text may need
    inputs   dtypes of contiguous arrays of n elements; (dtype, "scalar"): one element for all,
             which is read even if n is 0
    outputs  dtypes of contiguous arrays of n elements, which may be the inputs' own memory
    body     (k, *values) -> value or tuple of values
    """
    module = Module(host)
    define_elementwise(module, name, inputs, outputs, body)
    return module.text


def define_elementwise(
    module: Module,
    name: str,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    body: Callable[..., Any],
) -> None:
    """The same as one of the functions of a module, unless it has one of this name."""
    module.define(name, lambda: _Elementwise(module, inputs, outputs, body).write(name))


class _Elementwise:
    """A loop over contiguous arrays, one vector at a time.

    The last vector is masked, so that no byte outside of the arrays is touched.  Where masks
    are free one loop does it all; elsewhere the body is written twice.
    """

    def __init__(
        self,
        module: Module,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        body: Callable[..., Any],
    ) -> None:
        marked = [x if isinstance(x, tuple) else (x, "array") for x in inputs]
        self.inputs = [(as_dtype(dtype), kind == "scalar") for dtype, kind in marked]
        self.outputs = [as_dtype(dtype) for dtype in outputs]
        self.body = body
        dtypes = [computed(dtype) for dtype in (*(d for d, _ in self.inputs), *self.outputs)]
        self.k = Vector(module, module.host.vector_bytes // max(d.itemsize for d in dtypes))

    def write(self, name: str) -> str:
        k = self.k
        pointers = [f"%in{i}" for i in range(len(self.inputs))]
        pointers += [f"%out{i}" for i in range(len(self.outputs))]
        arguments = ", ".join([*(f"ptr {p}" for p in pointers), "i64 %n"])
        self.scalars = {
            i: k.spread(dtype, f"%in{i}") for i, (dtype, scalar) in enumerate(self.inputs) if scalar
        }
        k.line(f"%full = and i64 %n, {-k.lanes}")  # elements in whole vectors
        if k.host.masks:
            self._masked_loop()
        else:
            self._plain_loop()
        lines = "\n".join(k.lines)
        return (
            f"define void @{name}({arguments}) {_ATTRIBUTES} {{\nentry:\n{lines}\n  ret void\n}}\n"
        )

    def _masked_loop(self) -> None:
        """One body.  Its mask covers all lanes until the last vector is entered with another."""
        k = self.k
        masks = k.type(bool_)
        k.line("%whole = icmp slt i64 0, %full")
        k.line("br i1 %whole, label %body, label %rest")
        k.start_block("body")
        position = len(k.lines)  # of the phis, which name a block that is not known yet
        self._vector("%i", Value("%mask", bool_, k))
        last = k.block
        k.lines[position:position] = [
            f"  %i = phi i64 [0, %entry], [%next, %{last}], [%done, %tail]",
            f"  %stop = phi i64 [%full, %entry], [%stop, %{last}], [%n, %tail]",
            f"  %mask = phi {masks} [splat (i1 true), %entry], [%mask, %{last}], [%left, %tail]",
        ]
        k.line(f"%next = add nuw nsw i64 %i, {k.lanes}")
        k.line("%more = icmp slt i64 %next, %stop")
        k.line("br i1 %more, label %body, label %rest")
        k.start_block("rest")
        k.line(f"%done = phi i64 [0, %entry], [%next, %{last}]")
        k.line("%any = icmp slt i64 %done, %n")
        k.line("br i1 %any, label %tail, label %end")
        k.start_block("tail")
        k.mask_below("%left", "%done", "%n")
        k.line("br label %body")
        k.start_block("end")

    def _plain_loop(self) -> None:
        """The body for whole vectors, and once more under a mask."""
        k = self.k
        k.line("%whole = icmp slt i64 0, %full")
        k.line("br i1 %whole, label %body, label %rest")
        k.start_block("body")
        position = len(k.lines)
        with k.scope():
            self._vector("%i", None)
        last = k.block
        k.lines.insert(position, f"  %i = phi i64 [0, %entry], [%next, %{last}]")
        k.line(f"%next = add nuw nsw i64 %i, {k.lanes}")
        k.line("%more = icmp slt i64 %next, %full")
        k.line("br i1 %more, label %body, label %rest")
        k.start_block("rest")
        k.line("%any = icmp slt i64 %full, %n")
        k.line("br i1 %any, label %tail, label %end")
        k.start_block("tail")
        self._vector("%full", k.mask_below("%left", "%full", "%n"))
        k.line("br label %end")
        k.start_block("end")

    def _vector(self, i: str, mask: Value | None) -> None:
        """Load, compute and store the elements from i on."""
        k = self.k
        values = [
            self.scalars[n] if scalar else k.load(dtype, f"%in{n}", i, mask)
            for n, (dtype, scalar) in enumerate(self.inputs)
        ]
        results = self.body(k, *values)
        for n, result in enumerate(results if isinstance(results, tuple) else (results,)):
            dtype = self.outputs[n]
            k.store(k.like(result, k.constant(0, computed(dtype))), dtype, f"%out{n}", i, mask)
