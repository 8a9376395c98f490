"""The text of a scalar's operators, which record on a tape; see `runtime/recorder.py`.

An object holds, behind what every object has, the address of its tape's header (0: it is on no
tape) and its slot.  Each function looks whether all is as expected, and does its work in some 20
nanoseconds; else it calls the method "slow <name>" of the object, written in Python, which does
the same at leisure or raises.

In the text, `%x = i64 %p[HEADER]` loads a word and `%p[0] = i64 %x` stores one, as in
`targets/columns.py`.  May import kernel.scalars, targets.columns and targets.scalar_object.
"""

from __future__ import annotations

import math
import re
import struct

from ..kernel.scalars import NUMBER, code_of
from .columns import expanded
from .scalar_object import OBJECT

# the words of a header
HEADER = (
    "COUNT",  # of slots
    "CAPACITY",  # slots that the columns have room for
    "CODE",  # addresses of the columns
    "FIRST",
    "SECOND",
    "VALUES",
    "TAPE",  # the tape, to which each object holds a reference
    "KIND",  # the type of all results; 0: Python makes them
    "NUMBERS",  # a dict of the slots of constants
    "MOST",  # constants that go into it
    "ZERO",  # the slot of the constant 0.0, which has no entry there, or -1
    "RECENT",  # bits and slots of constants that are in the dict, by a hash; ends the header
)
_HASHED = 4  # bits of the hash
WORDS = len(HEADER) - 1 + (2 << _HASHED)

# By name: the number that does nothing behind the other operand, and before it.
_NOTHING = {"add": (0.0, 0.0), "sub": (0.0, None), "mul": (1.0, 1.0), "div": (1.0, None)}

_TEXT = """
define internal i64 @push(ptr %header, i8 %c, i64 %a, i64 %b) {
begin:
  %slot = i64 %header[COUNT]
  %after = add i64 %slot, 1
  %header[COUNT] = i64 %after
  %code = ptr %header[CODE]
  %code[%slot] = i8 %c
  %first = ptr %header[FIRST]
  %a.w = trunc i64 %a to i32
  %first[%slot] = i32 %a.w
  %second = ptr %header[SECOND]
  %b.w = trunc i64 %b to i32
  %second[%slot] = i32 %b.w
  %values = ptr %header[VALUES]
  %values[%slot] = double 0x7FF8000000000000
  ret i64 %slot
}

define internal i1 @ready(ptr %object, ptr %type) {
begin:
  %header = ptr %object[header]
  %on = icmp ne ptr %header, null
  br i1 %on, label %look, label %no
look:
  %kind = ptr %header[KIND]
  %usual = icmp eq ptr %kind, %type
  %count = i64 %header[COUNT]
  %most = add i64 %count, 2
  %capacity = i64 %header[CAPACITY]
  %fits = icmp sle i64 %most, %capacity
  %ok = and i1 %usual, %fits
  ret i1 %ok
no:
  ret i1 false
}

; the slot of a constant that is neither nan nor -0.0; -1 if Python must see to it
define internal i64 @constant(ptr %header, ptr %number, double %x) {
begin:
  %is.zero = fcmp oeq double %x, 0.0
  br i1 %is.zero, label %zero, label %search
zero:
  %its.slot = i64 %header[ZERO]
  ret i64 %its.slot
search:
  %bits = bitcast double %x to i64
  %mixed = mul i64 %bits, -7046029254386353131
  %hash = lshr i64 %mixed, UNHASHED
  %pair = shl i64 %hash, 1
  %at = add i64 %pair, RECENT
  %at.slot = add i64 %at, 1
  %stored = i64 %header[%at]
  %recent = icmp eq i64 %stored, %bits
  br i1 %recent, label %again, label %look
again:
  %same.slot = i64 %header[%at.slot]
  ret i64 %same.slot
look:
  %numbers = ptr %header[NUMBERS]
  %entry = call ptr @PyDict_GetItemWithError(ptr %numbers, ptr %number)
  %known = icmp ne ptr %entry, null
  br i1 %known, label %found, label %new
found:
  %slot = call i64 @PyLong_AsLongLong(ptr %entry)
  br label %keep
new:
  %made = call i64 @push(ptr %header, i8 CONSTANT, i64 -1, i64 -1)
  %values = ptr %header[VALUES]
  %values[%made] = double %x
  %size = call i64 @PyDict_Size(ptr %numbers)
  %most = i64 %header[MOST]
  %room = icmp slt i64 %size, %most
  br i1 %room, label %share, label %end
share:
  %key = call ptr @PyLong_FromLongLong(i64 %made)
  %there = icmp ne ptr %key, null
  br i1 %there, label %enter, label %failed
enter:
  %status = call i32 @PyDict_SetItem(ptr %numbers, ptr %number, ptr %key)
  call void @Py_DecRef(ptr %key)
  %entered = icmp eq i32 %status, 0
  br i1 %entered, label %keep, label %failed
keep:
  %kept = phi i64 [%slot, %found], [%made, %enter]
  %header[%at] = i64 %bits
  %header[%at.slot] = i64 %kept
  ret i64 %kept
end:
  ret i64 %made
failed:
  ret i64 -1
}

define internal ptr @unary(ptr %self, i8 %c, ptr %name) {
begin:
  %type = ptr %self[kind]
  %ok = call i1 @ready(ptr %self, ptr %type)
  br i1 %ok, label %fast, label %slow
fast:
  %header = ptr %self[header]
  %a = i64 %self[slot]
  %slot = call i64 @push(ptr %header, i8 %c, i64 %a, i64 -1)
  %result = call ptr @made(ptr %header, i64 %slot)
  ret ptr %result
slow:
  %method = call ptr @PyObject_GetAttrString(ptr %self, ptr %name)
  %answer = call ptr @called(ptr %method, ptr null, i64 0)
  ret ptr %answer
}

; %z is what pow is called with as well; None elsewhere
define internal ptr @binary(ptr %x, ptr %y, ptr %z, i8 %c, double %behind, double %before, \
ptr %name, ptr %reflected) {
begin:
  %overflow = alloca i32
  %none = load ptr, ptr @none
  %plain = icmp eq ptr %z, %none
  br i1 %plain, label %look, label %slow
look:
  %x.type = ptr %x[kind]
  %y.type = ptr %y[kind]
  %alike = icmp eq ptr %x.type, %y.type
  br i1 %alike, label %both, label %mixed
both:
  %ok.both = call i1 @ready(ptr %x, ptr %x.type)
  %x.header = ptr %x[header]
  %y.header = ptr %y[header]
  %one.tape = icmp eq ptr %x.header, %y.header
  %good = and i1 %ok.both, %one.tape
  br i1 %good, label %slots, label %slow
slots:
  %x.slot = i64 %x[slot]
  %y.slot = i64 %y[slot]
  br label %record
mixed:
  %float = load ptr, ptr @float
  %int = load ptr, ptr @int
  %y.float = icmp eq ptr %y.type, %float
  %y.int = icmp eq ptr %y.type, %int
  %y.number = or i1 %y.float, %y.int
  br i1 %y.number, label %numeric, label %other
other:
  %x.float = icmp eq ptr %x.type, %float
  %x.int = icmp eq ptr %x.type, %int
  %x.number = or i1 %x.float, %x.int
  br i1 %x.number, label %numeric, label %slow
numeric:
  %own = phi ptr [%x, %mixed], [%y, %other]
  %type = phi ptr [%x.type, %mixed], [%y.type, %other]
  %number = phi ptr [%y, %mixed], [%x, %other]
  %is.float = phi i1 [%y.float, %mixed], [%x.float, %other]
  %nothing = phi double [%behind, %mixed], [%before, %other]
  %ok = call i1 @ready(ptr %own, ptr %type)
  br i1 %ok, label %read, label %slow
read:
  br i1 %is.float, label %as.float, label %as.int
as.float:
  %direct = double %number[number]
  br label %known
as.int:
  %whole = call i64 @PyLong_AsLongLongAndOverflow(ptr %number, ptr %overflow)
  %converted = sitofp i64 %whole to double
  %over = load i32, ptr %overflow
  %fits = icmp eq i32 %over, 0
  br i1 %fits, label %known, label %slow
known:
  %v = phi double [%direct, %as.float], [%converted, %as.int]
  %idle = fcmp oeq double %v, %nothing
  br i1 %idle, label %same, label %check
same:
  call void @Py_IncRef(ptr %own)
  ret ptr %own
check:
  %bits = bitcast double %v to i64
  %minus.zero = icmp eq i64 %bits, -9223372036854775808
  %nan = fcmp uno double %v, %v
  %odd = or i1 %minus.zero, %nan
  br i1 %odd, label %slow, label %enter
enter:
  %header.own = ptr %own[header]
  %n.slot = call i64 @constant(ptr %header.own, ptr %number, double %v)
  %missing = icmp slt i64 %n.slot, 0
  br i1 %missing, label %slow, label %order
order:
  %own.slot = i64 %own[slot]
  %is.first = icmp eq ptr %own, %x
  %a.mixed = select i1 %is.first, i64 %own.slot, i64 %n.slot
  %b.mixed = select i1 %is.first, i64 %n.slot, i64 %own.slot
  br label %record
record:
  %header = phi ptr [%x.header, %slots], [%header.own, %order]
  %a = phi i64 [%x.slot, %slots], [%a.mixed, %order]
  %b = phi i64 [%y.slot, %slots], [%b.mixed, %order]
  %slot = call i64 @push(ptr %header, i8 %c, i64 %a, i64 %b)
  %result = call ptr @made(ptr %header, i64 %slot)
  ret ptr %result
slow:
  %answer = call ptr @slow(ptr %x, ptr %y, ptr %z, ptr %name, ptr %reflected)
  ret ptr %answer
}
"""

_BINARY = """
define ptr @FORWARD(ptr %x, ptr %yPARAMETER) {
  %none = load ptr, ptr @none
  %result = call ptr @binary(ptr %x, ptr %y, ptr THIRD, i8 CODED, double BEHIND, double BEFORE, \
ptr @FORWARD.name, ptr @REFLECTED.name)
  ret ptr %result
}
"""

_UNARY = """
define ptr @FORWARD(ptr %self, ptr %unused) {
  %result = call ptr @unary(ptr %self, i8 CODED, ptr @FORWARD.name)
  ret ptr %result
}
"""


def recorder_text(
    operators: list[str], binary: list[str], unary: list[str], words: dict[str, int]
) -> str:
    """The text of all functions.

    operators, binary, unary    names of operations: those with an operator, with a method of one
                                argument, and of none
    words                       where what is read stands in objects, in words
    """
    parts = [OBJECT, _TEXT]
    for name in operators:
        parts += [_name("operator", name), _name("reflected", name)]
        third = {"PARAMETER": ", ptr %z", "THIRD": "%z"} if name == "pow" else {}
        parts.append(_filled(_BINARY, name, "operator", "reflected", third))
    for name in binary:
        parts += [_name("method", name), _filled(_BINARY, name, "method", "method", {})]
    for name in unary:
        parts += [_name("method", name), _filled(_UNARY, name, "method", "method", {})]
    places = {name: i for i, name in enumerate(HEADER)} | words
    text = re.sub(r"\[([A-Za-z]+)\]", lambda m: f"[{places.get(m[1], m[1])}]", "".join(parts))
    numbers = {"CONSTANT": NUMBER, "UNHASHED": 64 - _HASHED, "RECENT": places["RECENT"]}
    for name, number in numbers.items():
        text = text.replace(f" {name}", f" {number}")
    return expanded(text)


def slow_name(role: str, name: str) -> str:
    """The attribute with the Python function for an operator, its reflection or a method."""
    return f"slow {role} {name}"


def _name(role: str, name: str) -> str:
    text = slow_name(role, name)
    length = len(text) + 1
    return f'@{role}_{name}.name = internal constant [{length} x i8] c"{text}\\00"\n'


def _filled(text: str, name: str, forward: str, reflected: str, third: dict[str, str]) -> str:
    behind, before = _NOTHING.get(name, (None, None))
    values = {
        "FORWARD": f"{forward}_{name}",
        "REFLECTED": f"{reflected}_{name}",
        "CODED": str(code_of[name]),
        "BEHIND": _double(behind),
        "BEFORE": _double(before),
        **(third or {"PARAMETER": "", "THIRD": "%none"}),
    }
    return re.sub("|".join(values), lambda m: values[m[0]], text)


def _double(x: float | None) -> str:
    """A number, or nan, which nothing equals."""
    bits = struct.pack(">d", math.nan if x is None else x)
    return f"0x{bits.hex().upper()}"
