"""Vectors of a fixed number of lanes in LLVM text: values, operators, conversions, memory.

`Lanes` is what `Vector` builds its arithmetic on; a `Value` is one vector.

>>> from slotgrad.runtime.host import Host
>>> from slotgrad.targets.module import Module
>>> k = Lanes(Module(Host("haswell", vector_bytes=32)), 8)
>>> x = k.load("float32", "%p", "%i")
>>> k.store(2 * x, "float32", "%p", "%i")
>>> print(*k.lines, sep="\\n")
  %v1 = getelementptr float, ptr %p, i64 %i
  %v2 = load <8 x float>, ptr %v1, align 4
  %v3 = fmul <8 x float> splat (float 0x4000000000000000), %v2
  %v4 = getelementptr float, ptr %p, i64 %i
  store <8 x float> %v3, ptr %v4, align 4

float16 and bfloat16 exist in memory only: they are loaded as float32 and rounded when stored,
and `cast` to them rounds.  Booleans are masks (<L x i1>) here and bytes in memory.

May import errors, dtypes and module.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..dtypes import as_dtype, bfloat16, bool_, float16, float32
from ..errors import InternalError
from .module import Module

_HALF = (float16, bfloat16)
_FLOAT_NAMES = {4: "float", 8: "double"}
_INT32, _UINT16 = np.dtype("i4"), np.dtype("u2")

# The instruction of an operator for floats, signed and unsigned integers, booleans.
_INSTRUCTIONS: dict[str, dict[str, str]] = {
    "+": {"f": "fadd", "i": "add", "u": "add", "b": "or"},
    "-": {"f": "fsub", "i": "sub", "u": "sub"},
    "*": {"f": "fmul", "i": "mul", "u": "mul", "b": "and"},
    "/": {"f": "fdiv"},
    "&": {"i": "and", "u": "and", "b": "and"},
    "|": {"i": "or", "u": "or", "b": "or"},
    "^": {"i": "xor", "u": "xor", "b": "xor"},
    "<<": {"i": "shl", "u": "shl"},
    ">>": {"i": "ashr", "u": "lshr"},
    "<": {"f": "fcmp olt", "i": "icmp slt", "u": "icmp ult", "b": "icmp ult"},
    "<=": {"f": "fcmp ole", "i": "icmp sle", "u": "icmp ule", "b": "icmp ule"},
    "==": {"f": "fcmp oeq", "i": "icmp eq", "u": "icmp eq", "b": "icmp eq"},
    "!=": {"f": "fcmp une", "i": "icmp ne", "u": "icmp ne", "b": "icmp ne"},
}


def computed(dtype: Any) -> np.dtype:
    """The dtype in which elements of a dtype are computed: float32 for floats of 16 bits."""
    dtype = as_dtype(dtype)
    return float32 if dtype in _HALF else dtype


def element(dtype: np.dtype) -> str:
    """LLVM's type of one element inside a vector; complex elements are only moved, as bits."""
    if dtype == bool_:
        return "i1"
    return _FLOAT_NAMES[dtype.itemsize] if dtype.kind == "f" else f"i{8 * dtype.itemsize}"


def stored(dtype: Any) -> str:
    """LLVM's type of one element in memory; floats of 16 bits are moved as their bits."""
    dtype = as_dtype(dtype)
    return f"i{8 * dtype.itemsize}" if dtype in _HALF or dtype == bool_ else element(dtype)


def _literal(number: Any, dtype: np.dtype) -> str:
    """A number of a dtype, which it is rounded to, as LLVM writes it."""
    if dtype == bool_:
        return "true" if number else "false"
    if dtype.kind == "f":
        rounded = float(number)
        if dtype == float32:
            with np.errstate(over="ignore"):
                rounded = float(np.float32(rounded))
        # 32-bit constants too are written with the 64 bits of their value.
        bits = struct.pack(">d", math.nan if rounded != rounded else rounded)
        return f"0x{bits.hex().upper()}"
    if not float(number).is_integer():
        raise InternalError(f"compile: a kernel expression mixes {number} with {dtype}")
    return str(int(number))


# -- values --------------------------------------------------------------------------------------


def _operator(symbol: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The methods for `value symbol other` and `other symbol value`."""

    def forward(self: Value, other: Any) -> Value:
        return self.k.binary(symbol, self, other)

    def reflected(self: Value, other: Any) -> Value:
        return self.k.binary(symbol, other, self)

    return forward, reflected


class Value:
    """One vector: the name of an SSA value or a constant, its element dtype, its builder."""

    __slots__ = ("name", "dtype", "k")

    def __init__(self, name: str, dtype: np.dtype, k: Lanes) -> None:
        self.name = name
        self.dtype = dtype
        self.k = k

    def __repr__(self) -> str:
        return f"{self.k.type(self.dtype)} {self.name}"

    __add__, __radd__ = _operator("+")
    __sub__, __rsub__ = _operator("-")
    __mul__, __rmul__ = _operator("*")
    __truediv__, __rtruediv__ = _operator("/")
    __and__, __rand__ = _operator("&")
    __or__, __ror__ = _operator("|")
    __xor__, __rxor__ = _operator("^")
    __lshift__, __rlshift__ = _operator("<<")
    __rshift__, __rrshift__ = _operator(">>")
    __lt__, __gt__ = _operator("<")
    __le__, __ge__ = _operator("<=")
    __eq__, __ne__ = _operator("==")[0], _operator("!=")[0]
    __hash__ = object.__hash__

    def __neg__(self) -> Value:
        if self.dtype.kind == "f":
            return self.k.emit(self.dtype, f"fneg {self}")
        return 0 - self

    def __invert__(self) -> Value:
        return self ^ (True if self.dtype == bool_ else -1)

    def __bool__(self) -> bool:
        raise InternalError("compile: a kernel expression asks for a truth value; use k.select")


# -- the writer of instructions ------------------------------------------------------------------


class Lanes:
    """Writes the instructions of one function on vectors of `lanes` elements.

    The same instruction on the same operands is written once: pure instructions are known by
    their text.
    """

    def __init__(self, module: Module, lanes: int, prefix: str = "%v") -> None:
        self.module = module
        self.host = module.host
        self.lanes = lanes
        self.lines: list[str] = []
        self.block = "entry"
        self._known: dict[Any, Value] = {}
        self._count = 0
        self._prefix = prefix  # of the names of values

    # -- writing ---------------------------------------------------------------------------------

    def type(self, dtype: np.dtype) -> str:
        """LLVM's type of a vector."""
        return f"<{self.lanes} x {element(dtype)}>"

    def line(self, text: str) -> None:
        """Write an instruction as it is."""
        self.lines.append("  " + text)

    def start_block(self, label: str) -> None:
        """End the block with a label; the instruction before must be a branch."""
        self.lines.append(f"{label}:")
        self.block = label

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A region whose values must not be used behind it."""
        known = dict(self._known)
        yield
        self._known = known

    def fresh(self) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def emit(self, dtype: np.dtype, instruction: str, pure: bool = True) -> Value:
        """The value of an instruction that yields a vector of this dtype."""
        key = (instruction, dtype)
        known = self._known.get(key) if pure else None
        if known is None:
            known = Value(self.fresh(), dtype, self)
            self.line(f"{known.name} = {instruction}")
            if pure:
                self._known[key] = known
        return known

    def constant(self, number: Any, dtype: np.dtype) -> Value:
        """A vector with the same number in every lane, rounded to the dtype first."""
        return Value(f"splat ({element(dtype)} {_literal(number, dtype)})", dtype, self)

    def constants(self, numbers: Sequence[Any], dtype: np.dtype) -> Value:
        """A vector with a number of its own in every lane."""
        lanes = ", ".join(f"{element(dtype)} {_literal(number, dtype)}" for number in numbers)
        return Value(f"<{lanes}>", dtype, self)

    def like(self, x: Any, other: Value) -> Value:
        """x, or the constant x in the dtype of the other value."""
        if not isinstance(x, Value):
            return self.constant(x, other.dtype)
        if x.dtype != other.dtype:
            raise InternalError(
                f"compile: a kernel expression mixes {x.dtype} and {other.dtype}; use k.cast"
            )
        return x

    def _pair(self, x: Any, y: Any) -> tuple[Value, Value]:
        if isinstance(x, Value):
            return x, self.like(y, x)
        if isinstance(y, Value):
            return self.like(x, y), y
        raise InternalError(f"compile: a kernel expression joins two numbers, {x} and {y}")

    def intrinsic(self, name: str, *xs: Value, extra: str = "") -> Value:
        """One of LLVM's own functions on vectors of one dtype."""
        dtype = xs[0].dtype
        kind = "f" if dtype.kind == "f" else "i"
        function = f"@llvm.{name}.v{self.lanes}{kind}{8 * dtype.itemsize}"
        types = ", ".join([self.type(dtype)] * len(xs) + [extra.split(" ")[0]] * bool(extra))
        self.module.declare(f"{self.type(dtype)} {function}({types})")
        arguments = ", ".join([*map(repr, xs), *[extra] * bool(extra)])
        return self.emit(dtype, f"call {self.type(dtype)} {function}({arguments})")

    # -- operators -------------------------------------------------------------------------------

    def binary(self, symbol: str, x: Any, y: Any) -> Value:
        """x symbol y; numbers take the dtype of the other operand."""
        number = isinstance(y, int)
        x, y = self._pair(x, y)
        instruction = _INSTRUCTIONS[symbol].get(x.dtype.kind)
        if instruction is None:
            raise InternalError(f"compile: a kernel expression has {symbol} on {x.dtype}")
        if symbol in ("<<", ">>") and not number:
            return self._shift(instruction, x, y)
        dtype = bool_ if "cmp" in instruction else x.dtype
        return self.emit(dtype, f"{instruction} {x}, {y.name}")

    def _shift(self, instruction: str, x: Value, y: Value) -> Value:
        """A shift by any number of bits: as NumPy does, all bits leave for a negative one."""
        bits = 8 * x.dtype.itemsize
        fits = self.emit(bool_, f"icmp ult {y}, {self.constant(bits, y.dtype).name}")
        if instruction == "ashr":
            y = self.select(fits, y, bits - 1)
            return self.emit(x.dtype, f"ashr {x}, {y.name}")
        shifted = self.emit(x.dtype, f"{instruction} {x}, {self.select(fits, y, 0).name}")
        return self.select(fits, shifted, 0)

    def select(self, condition: Value, a: Any, b: Any) -> Value:
        """a where the condition holds, else b; a number takes the dtype of the other one."""
        a, b = self._pair(a, b)
        return self.emit(a.dtype, f"select {condition}, {a}, {b}")

    # -- conversions -----------------------------------------------------------------------------

    def bits(self, x: Value) -> Value:
        """The bits of floats as signed integers."""
        integer = np.dtype(f"i{x.dtype.itemsize}")
        return self.emit(integer, f"bitcast {x} to {self.type(integer)}")

    def from_bits(self, x: Value) -> Value:
        """The floats that have these bits."""
        dtype = np.dtype(f"f{x.dtype.itemsize}")
        return self.emit(dtype, f"bitcast {x} to {self.type(dtype)}")

    def cast(self, x: Value, dtype: Any) -> Value:
        """x converted.  Floats are truncated on the way to integers; beyond the range the
        nearest integer comes out, and 0 for nan."""
        wanted, dtype = as_dtype(dtype), computed(dtype)
        y = self._convert(x, dtype)
        return self.unpack(self.pack(y, wanted), wanted) if wanted in _HALF else y

    def _convert(self, x: Value, dtype: np.dtype) -> Value:
        source, target = x.dtype, dtype
        if source == target:
            return x
        if "c" in source.kind + target.kind:
            raise InternalError(f"compile: a kernel expression converts {source} to {target}")
        if target == bool_:
            return x != 0
        to, size, new = self.type(target), source.itemsize, target.itemsize
        if source.kind == "f" and target.kind == "f":
            return self.emit(target, f"{'fpext' if new > size else 'fptrunc'} {x} to {to}")
        if source.kind == "f":
            return self._saturate(x, target)
        if target.kind == "f":
            instruction = "sitofp" if source.kind == "i" else "uitofp"
        elif source == bool_ or new > size:
            instruction = "sext" if source.kind == "i" else "zext"
        elif new < size:
            instruction = "trunc"
        else:
            return Value(x.name, target, self)  # LLVM's integers have no sign
        return self.emit(target, f"{instruction} {x} to {to}")

    def _truncate(self, x: Value, dtype: np.dtype) -> Value:
        """Floats known to be in the range of an integer dtype."""
        instruction = "fptosi" if dtype.kind == "i" else "fptoui"
        return self.emit(dtype, f"{instruction} {x} to {self.type(dtype)}")

    def _saturate(self, x: Value, dtype: np.dtype) -> Value:
        name = f"fpto{'s' if dtype.kind == 'i' else 'u'}i.sat"
        to = self.type(dtype)
        suffix = f"v{self.lanes}i{8 * dtype.itemsize}.v{self.lanes}f{8 * x.dtype.itemsize}"
        self.module.declare(f"{to} @llvm.{name}.{suffix}({self.type(x.dtype)})")
        return self.emit(dtype, f"call {to} @llvm.{name}.{suffix}({x})")

    # -- memory ----------------------------------------------------------------------------------

    def mask_below(self, name: str, i: str, stop: str) -> Value:
        """Name the mask of the lanes i, i + 1, ... that are below stop; i itself must be."""
        self.module.declare("i64 @llvm.umin.i64(i64, i64)")
        self.line(f"{name}.all = sub i64 {stop}, {i}")
        self.line(f"{name}.here = call i64 @llvm.umin.i64(i64 {name}.all, i64 {self.lanes})")
        self.line(f"{name}.byte = trunc i64 {name}.here to i8")  # the shortest lanes will do
        left = self.splat(f"{name}.byte", np.dtype("i1"))
        lanes = ", ".join(f"i8 {lane}" for lane in range(self.lanes))
        self.line(f"{name} = icmp ult <{self.lanes} x i8> <{lanes}>, {left.name}")
        return Value(name, bool_, self)

    def load(self, dtype: Any, pointer: str, i: str, mask: Value | None = None) -> Value:
        """The elements i, i + 1, ... of an array; 0 where the mask does not hold."""
        dtype = as_dtype(dtype)
        memory = f"<{self.lanes} x {stored(dtype)}>"
        at = self.element_pointer(dtype, pointer, i)
        raw = self.in_memory(dtype)
        if mask is None:
            x = self.emit(raw, f"load {memory}, ptr {at}, align {dtype.itemsize}", pure=False)
            return self.unpack(x, dtype)
        function = f"@llvm.masked.load.{self.memory_suffix(dtype)}"
        masks = self.type(bool_)
        self.module.declare(f"{memory} {function}(ptr, i32, {masks}, {memory})")
        arguments = f"ptr {at}, i32 {dtype.itemsize}, {mask}, {memory} zeroinitializer"
        return self.unpack(
            self.emit(raw, f"call {memory} {function}({arguments})", pure=False), dtype
        )

    def store(self, x: Value, dtype: Any, pointer: str, i: str, mask: Value | None = None) -> None:
        """Write the elements i, i + 1, ... of an array, where the mask holds."""
        dtype = as_dtype(dtype)
        packed = self.pack(x, dtype)
        memory = f"<{self.lanes} x {stored(dtype)}>"
        at = self.element_pointer(dtype, pointer, i)
        if mask is None:
            self.line(f"store {memory} {packed.name}, ptr {at}, align {dtype.itemsize}")
            return
        function = f"@llvm.masked.store.{self.memory_suffix(dtype)}"
        self.module.declare(f"void {function}({memory}, ptr, i32, {self.type(bool_)})")
        arguments = f"{memory} {packed.name}, ptr {at}, i32 {dtype.itemsize}, {mask}"
        self.line(f"call void {function}({arguments})")

    def spread(self, dtype: Any, pointer: str, i: str = "0") -> Value:
        """Element i of an array in every lane."""
        dtype = as_dtype(dtype)
        pointer = self.element_pointer(dtype, pointer, i)
        name = self.fresh()
        self.line(f"{name} = load {stored(dtype)}, ptr {pointer}, align {dtype.itemsize}")
        return self.unpack(self.splat(name, self.in_memory(dtype)), dtype)

    def shuffled(self, x: Value, lanes: list[int]) -> Value:
        """The vector whose lane i is lane lanes[i] of x."""
        order = f"<{self.lanes} x i32> <{', '.join(f'i32 {lane}' for lane in lanes)}>"
        return self.emit(x.dtype, f"shufflevector {x}, {self.type(x.dtype)} poison, {order}")

    def splat(self, name: str, dtype: np.dtype) -> Value:
        vector = self.type(dtype)
        one = self.fresh()
        self.line(f"{one} = insertelement {vector} poison, {element(dtype)} {name}, i32 0")
        lanes = f"<{self.lanes} x i32> zeroinitializer"
        return self.emit(dtype, f"shufflevector {vector} {one}, {vector} poison, {lanes}")

    def element_pointer(self, dtype: np.dtype, pointer: str, i: str) -> str:
        """The address of element i."""
        if i == "0":
            return pointer
        name = self.fresh()
        self.line(f"{name} = getelementptr {stored(dtype)}, ptr {pointer}, i64 {i}")
        return name

    def in_memory(self, dtype: np.dtype) -> np.dtype:
        """The dtype of what is loaded and stored: bits of 16-bit floats, bytes of booleans."""
        if dtype in _HALF:
            return _UINT16
        return np.dtype("u1") if dtype == bool_ else dtype

    def memory_suffix(self, dtype: np.dtype) -> str:
        kind = "i" if stored(dtype).startswith("i") else "f"
        return f"v{self.lanes}{kind}{8 * dtype.itemsize}.p0"

    def unpack(self, x: Value, dtype: np.dtype) -> Value:
        """What was loaded, as it is computed with."""
        if dtype == bool_:
            return x != 0
        if dtype == bfloat16:
            return self.from_bits(self._convert(x, _INT32) << 16)
        if dtype == float16:
            return self._from_half(x)
        return x

    def pack(self, x: Value, dtype: np.dtype) -> Value:
        """What was computed, as it is stored."""
        if dtype == bool_:
            return self._convert(x, np.dtype("u1"))
        if dtype == bfloat16:
            bits = self.bits(x)
            odd = (bits >> 16) & 1  # halves go to even
            rounded = self.select(x == x, bits + 0x7FFF + odd, bits | 0x400000)
            return self._convert(rounded >> 16, _UINT16)
        return self._to_half(x) if dtype == float16 else x

    def _from_half(self, x: Value) -> Value:
        if self.host.has_half:
            half = f"<{self.lanes} x half>"
            name = self.emit(_UINT16, f"bitcast {x} to {half}").name
            return self.emit(float32, f"fpext {half} {name} to {self.type(float32)}")
        # The exponent is moved by a multiplication, which sees to denormals too (Giesen,
        # "Half to float done quick", 2012); inf and nan then need the largest exponent.
        bits = self._convert(x, _INT32)
        magnitude = (bits & 0x7FFF) << 13
        scaled = self.bits(self.from_bits(magnitude) * 2.0**112)
        scaled = self.select(magnitude < 0x7C00 << 13, scaled, magnitude | 0x7F800000)
        return self.from_bits(scaled | ((bits & 0x8000) << 16))

    def _to_half(self, x: Value) -> Value:
        if self.host.has_half:
            half = f"<{self.lanes} x half>"
            name = self.emit(float32, f"fptrunc {x} to {half}").name
            return self.emit(_UINT16, f"bitcast {half} {name} to {self.type(_UINT16)}")
        # Halves go to even.  Adding 0.5 leaves denormals in the lowest bits, rounded (Giesen).
        bits = self.bits(x)
        magnitude = bits & 0x7FFFFFFF
        rounded = (magnitude - ((127 - 15) << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13
        denormal = self.bits(self.from_bits(magnitude) + 0.5) - (126 << 23)
        small = self.select(magnitude < (127 - 14) << 23, denormal, rounded)
        large = self.select(x == x, self.constant(0x7C00, _INT32), 0x7E00)
        half_bits = self.select(magnitude < (127 + 16) << 23, small, large)
        return self._convert(half_bits | ((bits >> 16) & 0x8000), _UINT16)
