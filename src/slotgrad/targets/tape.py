"""The text of a tape's operations: what runs over slots that one operation made.

    void forward(ptr first, ptr second, ptr values, i64 begin, i64 middle, i64 end)
    void backward_<wanted>(ptr first, ptr second, ptr values, ptr gradients, i64 begin, ...)

compute the slots begin ... end - 1, and add what these owe to the gradients of their operands.
Up to `middle`, a whole number of vectors behind `begin`, the slots must not depend on each other;
the others are taken one after the other, upwards and downwards.  Operands are gathered one by one,
which is no slower than the processors' own instruction for it, and what is cheap is not worth
being made into vectors at all.

May import the floor, kernel, runtime.host, runtime.rules and the writers of LLVM text.
"""

from __future__ import annotations

from collections.abc import Callable

from ..dtypes import float64
from ..kernel.scalars import arity_of, name_of
from ..runtime.host import Host
from ..runtime.rules import contributions, needs, value
from .lanes import Module, Value
from .vector import Vector

# The operands whose gradients are wanted, and the name of the function.
WANTED = {(0, 1): "both", (0,): "x", (1,): "y"}

# A few instructions each way, so that vectors would only add the work of gathering.
CHEAP = frozenset({"add", "sub", "mul", "neg", "abs", "sign", "floor", "maximum", "minimum"})

_HEAD = 'nounwind "prefer-vector-width"="512" {'
_COLUMNS = {"x": "%first", "y": "%second"}


def operation_text(code: int, host: Host) -> str:
    """All functions of one operation."""
    module = Module(host)
    module.define("forward", lambda: _forward(module, code))
    for wanted, name in WANTED.items():
        if max(wanted) < arity_of(code) and (len(wanted) == arity_of(code) or arity_of(code) == 2):
            _define_backward(module, code, wanted, name)
    return module.text


def _forward(module: Module, code: int) -> str:
    def body(k: Vector, i: str) -> None:
        operands = [_gathered(k, _indices(k, name, i), "%values") for name in _operands(code)]
        result = value(k, code, *operands)
        k.store(result, float64, "%values", i)

    pointers = "ptr %first, ptr %second, ptr %values"
    return _function("forward", pointers, _loops(module, code, body, downwards=False))


def _define_backward(module: Module, code: int, wanted: tuple[int, ...], name: str) -> None:
    read = needs(code, wanted)

    def body(k: Vector, i: str) -> None:
        names = _operands(code)
        indices = {
            n: _indices(k, n, i) for j, n in enumerate(names) if n in read or j in wanted
        }
        operands = [_gathered(k, indices[n], "%values") if n in read else None for n in names]
        out = k.load(float64, "%values", i) if "out" in read else None
        g = k.load(float64, "%gradients", i)
        grown = contributions(k, code, g, out, *operands, wanted=wanted)
        for j, contribution in zip(wanted, grown):
            _add(k, contribution, indices[names[j]])

    pointers = "ptr %first, ptr %second, ptr %values, ptr %gradients"
    module.define(
        f"backward_{name}",
        lambda: _function(
            f"backward_{name}", pointers, _loops(module, code, body, downwards=True)
        ),
    )


def _operands(code: int) -> list[str]:
    return ["x", "y"][: arity_of(code)]


def _function(name: str, pointers: str, lines: list[str]) -> str:
    limits = "i64 %begin, i64 %middle, i64 %end"
    body = "\n".join(lines)
    return f"define void @{name}({pointers}, {limits}) {_HEAD}\nentry:\n{body}\n  ret void\n}}\n"


# -- loops -----------------------------------------------------------------------------------------


def _loops(
    module: Module, code: int, body: Callable[[Vector, str], None], downwards: bool
) -> list[str]:
    """`body` for vectors from begin to middle, and one by one from there to end."""
    one = Vector(module, 1 if name_of(code) in CHEAP else 2, "%s")
    if name_of(code) in CHEAP:
        return [*_loop(one, "s", "entry", "%begin", "%end", body, downwards), "s.end:"]
    several = Vector(module, module.host.lanes(float64), "%v")
    return [
        *_loop(several, "v", "entry", "%begin", "%middle", body, downwards),
        "v.end:",
        *_loop(one, "s", "v.end", "%middle", "%end", body, downwards),
        "s.end:",
    ]


def _loop(
    k: Vector,
    p: str,
    before: str,
    start: str,
    stop: str,
    body: Callable[[Vector, str], None],
    downwards: bool,
) -> list[str]:
    """The loop of one builder, between the block `before` and its own end."""
    k.line(f"%{p}.any = icmp slt i64 {start}, {stop}")
    k.line(f"br i1 %{p}.any, label %{p}.loop, label %{p}.end")
    k.start_block(f"{p}.loop")
    place = len(k.lines)
    if downwards:
        k.line(f"%{p}.i = sub i64 %{p}.j, {k.lanes}")
    body(k, f"%{p}.i")
    if downwards:
        k.line(f"%{p}.more = icmp sgt i64 %{p}.i, {start}")
        phi = f"%{p}.j = phi i64 [{stop}, %{before}], [%{p}.i, %{k.block}]"
    else:
        k.line(f"%{p}.next = add i64 %{p}.i, {k.lanes}")
        k.line(f"%{p}.more = icmp slt i64 %{p}.next, {stop}")
        phi = f"%{p}.i = phi i64 [{start}, %{before}], [%{p}.next, %{k.block}]"
    k.lines.insert(place, "  " + phi)
    k.line(f"br i1 %{p}.more, label %{p}.loop, label %{p}.end")
    return k.lines


# -- slots -----------------------------------------------------------------------------------------


def _indices(k: Vector, name: str, i: str) -> list[str]:
    """The slots of one operand, a lane each."""
    found = []
    for lane in range(k.lanes):
        at = k.fresh()
        k.line(f"{at}.f = getelementptr i32, ptr {_COLUMNS[name]}, i64 {i}")
        k.line(f"{at}.p = getelementptr i32, ptr {at}.f, i64 {lane}")
        k.line(f"{at}.s = load i32, ptr {at}.p")
        k.line(f"{at} = zext i32 {at}.s to i64")
        found.append(at)
    return found


def _gathered(k: Vector, indices: list[str], pointer: str) -> Value:
    vector, before = k.type(float64), "poison"
    for lane, index in enumerate(indices):
        x = k.fresh()
        k.line(f"{x}.p = getelementptr double, ptr {pointer}, i64 {index}")
        k.line(f"{x}.n = load double, ptr {x}.p")
        k.line(f"{x} = insertelement {vector} {before}, double {x}.n, i32 {lane}")
        before = x
    return Value(before, float64, k)


def _add(k: Vector, x: Value, indices: list[str]) -> None:
    """Lane by lane, since several may go to one slot."""
    for lane, index in enumerate(indices):
        y = k.fresh()
        k.line(f"{y}.x = extractelement {x}, i32 {lane}")
        k.line(f"{y}.p = getelementptr double, ptr %gradients, i64 {index}")
        k.line(f"{y}.b = load double, ptr {y}.p")
        k.line(f"{y} = fadd double {y}.b, {y}.x")
        k.line(f"store double {y}, ptr {y}.p")
