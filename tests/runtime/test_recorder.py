"""Scalars that record in native code write what their models in Python write."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import pickle
import sys
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from slotgrad.errors import OptionError
from slotgrad.kernel.scalars import CODES, NUMBER, arity_of, code_of
from slotgrad.runtime import recorder
from slotgrad.runtime.layout import layout
from slotgrad.runtime.recorder import compact, native_recorded, native_tape
from slotgrad.scalar.recorded import PythonRecorded
from slotgrad.scalar.tape import MOST_NUMBERS, PythonTape

Tape = native_tape(PythonTape, MOST_NUMBERS)
Recorded = native_recorded(PythonRecorded)

COLLECTED = 1 << 14  # the flag of types that the garbage collector watches


class Apart(Exception):
    """Two scalars are on different tapes."""


def common(self, other):
    if not isinstance(other, (PythonRecorded, Recorded)):
        return None
    if self.tape is not other.tape:
        raise Apart
    return self.tape


@compact
class Native(Recorded):
    __slots__ = ()
    _common = common

    @property
    def double(self):
        return self + self


class Python(PythonRecorded):
    __slots__ = ()
    _common = common


def native_tape_of(kind=Native):
    tape = Tape()
    tape.kind = kind
    return tape


def python_tape():
    tape = PythonTape()
    tape.kind = Python
    return tape


def leaf(tape, value=1.0, kind=None):
    x = object.__new__(kind or tape.kind)
    x.tape, x.slot = tape, tape.leaf(value)
    return x


def columns(tape):
    n = tape.count
    return [x[:n].tolist() for x in (tape.code, tape.first, tape.second)], tape.values[:n]


def same_columns(program):
    """Run a program on both kinds of tape; the tapes must be equal, and what it returns."""
    tapes = native_tape_of(), python_tape()
    results = [program(*(leaf(tape, v) for v in (2.0, 3.0))) for tape in tapes]
    (found, values), (expected, expected_values) = map(columns, tapes)
    assert found == expected
    np.testing.assert_array_equal(values, expected_values)
    assert results[0] == results[1]
    return tapes[0]


NUMBERS = [
    2, 2.0, -3, 0, 0.0, -0.0, 1, 1.0, True, False, 0.1, math.inf, -math.inf, 2**53 + 1, 2**62,
    2**63, -(2**63), 10**30, np.float64(0.5), np.float32(2), np.int64(7), np.bool_(True), 5e-324,
]  # fmt: skip

OPERATORS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
}


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators(symbol):
    f = OPERATORS[symbol]

    def program(a, b):
        made = [f(a, b), f(b, a), f(a, a)]
        for x in NUMBERS:
            made += [f(a, x), f(x, a)]
        return [x.slot for x in made]

    same_columns(program)


def test_methods():
    binary = [name for name in CODES if arity_of(code_of[name]) == 2]
    unary = [name for name in CODES if arity_of(code_of[name]) == 1]

    def program(a, b):
        made = [getattr(a, name)() for name in unary]
        made += [getattr(a, name)(x) for name in binary for x in (b, *NUMBERS)]
        made += [-a, abs(b), a.relu(), a.elu(), a.parametric_relu(0.1, 2, 3)]
        return [x.slot for x in made]

    tape = same_columns(program)
    assert set(tape.code[: tape.count]) >= {code_of[name] for name in CODES}


def test_what_does_nothing_is_not_recorded():
    a = leaf(native_tape_of())
    for x in (a + 0, 0 + a, a - 0.0, a * 1, 1.0 * a, a / 1, a.add(0), a * True, a + np.float64(0)):
        assert x is a
    assert a.tape.count == 1
    assert 0 - a is not a and 1 / a is not a and a**1 is not a


def test_constants_are_shared():
    a = leaf(native_tape_of())
    slots = {(a * x).tape.second[a.tape.count - 1] for x in (2, 2.0, np.float32(2))}
    assert len(slots) == 1
    _ = a * 0.0, a * -0.0, 0 * a, -0.0 * a
    numbers = a.tape.values[: a.tape.count][a.tape.code[: a.tape.count] == NUMBER]
    assert [str(x) for x in numbers] == ["2.0", "0.0", "-0.0"]


def test_constants_beyond_those_that_are_remembered():
    def program(a, b):
        made = [a * (i + 0.5) for i in range(MOST_NUMBERS + 10)]
        made += [a * (i + 0.5) for i in (0, MOST_NUMBERS - 1, MOST_NUMBERS, MOST_NUMBERS + 9)]
        return [x.slot for x in made]

    same_columns(program)


def test_columns_grow():
    def program(a, b):
        x = a
        for i in range(5000):
            x = x * b + i * 0.25
        return x.slot

    tape = same_columns(program)
    assert tape.count > 5000 and tape.capacity >= tape.count


def test_a_tape_that_cannot_grow_stays_as_it_is(monkeypatch):
    def without_room(shape, dtype=float):
        if dtype == np.float64:
            raise MemoryError
        return np.zeros(shape, dtype)

    tape = native_tape_of()
    x = leaf(tape)
    while tape.count < tape.capacity:
        x = x * 1.5
    before = columns(tape)[0]
    with monkeypatch.context() as patched:
        patched.setattr(np, "empty", without_room)
        with pytest.raises(MemoryError):
            x * x
    assert columns(tape)[0] == before
    y = x * x
    assert y.slot == x.slot + 1 and tape.second[y.slot] == x.slot


def test_random_programs():
    def program(a, b):
        rng = np.random.default_rng(0)
        made = [a, b]
        for _ in range(3000):
            x, y = (made[i] for i in rng.integers(len(made), size=2))
            f = OPERATORS[list(OPERATORS)[rng.integers(5)]]
            number = NUMBERS[rng.integers(len(NUMBERS))]
            choice = rng.integers(4)
            made.append([f(x, y), f(x, number), f(number, x), x.tanh()][choice])
        return [x.slot for x in made]

    same_columns(program)


def test_results():
    tape = native_tape_of()
    a = leaf(tape)
    y = a + a
    assert type(y) is Native and y.tape is tape and y.slot == 1
    assert y.double.slot == 2  # what the class adds in Python
    total = a
    total += y
    assert total.slot == 3 and a.slot == 0


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a + "x",
        lambda a: "x" + a,
        lambda a: a * None,
        lambda a: a - object(),
        lambda a: [1] + a,
        lambda a: a ** "x",
        lambda a: a / 1j,
        lambda a: a.maximum("x"),
        lambda a: pow(a, 2, 3),
        lambda a: pow(2, a, 3),
        lambda a: a.sin(1),
        lambda a: a.hypot(),
    ],
)
def test_unknown_operands_are_type_errors(f):
    a = leaf(native_tape_of())
    with pytest.raises(TypeError):
        f(a)
    assert a.tape.count == 1


def test_nan_is_refused():
    a = leaf(native_tape_of())
    for f in (lambda: a + math.nan, lambda: np.float64(math.nan) * a, lambda: a.hypot(math.nan)):
        with pytest.raises(OptionError, match="nan as a constant"):
            f()
    with pytest.raises(OverflowError):
        a + 10**400
    assert a.tape.count == 1


def test_operands_of_two_tapes():
    a, b = leaf(native_tape_of()), leaf(native_tape_of())
    for f in OPERATORS.values():
        with pytest.raises(Apart):
            f(a, b)
    assert a.tape.count == b.tape.count == 1


def test_other_kinds_go_to_python():
    class More(Native):
        """With a dictionary, as a class without slots has one."""

    tape = native_tape_of()
    a, b = leaf(tape), leaf(tape, kind=More)
    b.note = "kept"
    for y in (a + b, b + a, b + b, b * 2, 2 - b, b.exp(), -b, b.maximum(a)):
        assert type(y) is Native
    assert b.note == "kept" and weakref.ref(b)() is b

    tape.kind = More
    y = leaf(tape) + 1.5
    assert type(y) is More and y.__dict__ == {}


def test_a_scalar_on_no_tape():
    class Late(Native):
        __slots__ = ()

        def _entered(self):
            if self.tape is None:
                self.tape, self.slot = later, later.leaf(7.0)
            return self.tape

    later = native_tape_of(Late)
    x = Late()
    assert x.tape is None and x.slot == 0
    y = 2.0 * x
    assert x.tape is later and type(y) is Late and later.values[x.slot] == 7.0
    x.tape = None
    assert x.tape is None and (-x).tape is later
    with pytest.raises(AttributeError):
        x.tape = "no tape"


def test_super_in_a_compact_class():
    @compact
    class Named(Native):
        """Its words."""

        __slots__ = ()

        def __repr__(self):
            return "named " + super().__repr__()[:1]

        @property
        def double(self):
            return super().double * 2

    x = leaf(native_tape_of(Named))
    assert repr(x) == "named <" and x.double.slot == 3
    assert Named.__doc__ == "Its words." and Named.__module__ == __name__
    assert Named.__qualname__ == "test_super_in_a_compact_class.<locals>.Named"
    assert Named.__mro__[1:] == Native.__mro__


def test_compact_leaves_other_classes_alone():
    class Wide(Native):
        __slots__ = ("more",)

    class Open(Native):
        pass

    for cls in (Wide, Open, Python, PythonRecorded):
        assert compact(cls) is cls


def test_the_collector_does_not_see_scalars():
    assert not Native.__flags__ & COLLECTED
    assert Native.__basicsize__ == object.__basicsize__ + 16
    assert not gc.is_tracked(leaf(native_tape_of()))


def test_a_scalar_keeps_its_tape():
    tape = native_tape_of()
    gone = weakref.ref(tape)
    a = leaf(tape, 5.0)
    y = a + a
    del tape, a
    assert gone() is not None and y.tape.values[0] == 5.0
    y.tape.kind = None
    del y
    gc.collect()
    assert gone() is None


def test_references_are_counted():
    tape = native_tape_of()
    a, b = leaf(tape), leaf(tape)
    number, text = 1e6 + 0.5, object()

    def work():
        for _ in range(200):
            _ = a + b, a * number, 3 - a, a.sin(), -a, a + 0, a.relu(), a.tape, a.slot
            for wrong in (text, math.nan):
                with contextlib.suppress(TypeError, OptionError):
                    a + wrong

    work()
    things = a, b, tape, Native, number, text, None, float
    before = [sys.getrefcount(x) for x in things]
    work()
    after = [sys.getrefcount(x) for x in things]
    assert max(abs(x - y) for x, y in zip(after, before)) <= 5


def test_tapes_of_several_threads():
    counts = []

    def work(number):
        a = leaf(native_tape_of())
        x = a
        for i in range(2000):
            x = (x + a) * (i + number * 0.001 + 2)
        counts.append((a.tape.count, x.slot))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert counts == [(6001, 6000)] * 4


def test_copies_are_refused():
    """A copy would hold the address of a tape without a reference to it."""
    a = leaf(native_tape_of())
    for x in (a, a.tape):
        for f in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                f(x)


def test_memory():
    """At most 64 bytes a slot with all results held, columns and objects together."""
    a = leaf(native_tape_of())
    held = [a + a for _ in range(1000)]
    tape = a.tape
    row = sum(x.itemsize for x in (tape.code, tape.first, tape.second, tape.values))
    assert sys.getsizeof(held[0]) + row <= 64


def test_without_a_layout_python_serves(monkeypatch):
    """As on another Python, or one without the global lock."""
    monkeypatch.setattr(recorder, "layout", lambda: None)
    assert native_tape(PythonTape, 10) is None
    assert native_recorded.__wrapped__(PythonRecorded) is None


def test_a_type_that_does_not_record_is_not_used(monkeypatch):
    """Where objects are laid out otherwise; here floats are read at a wrong place."""
    found = layout()
    monkeypatch.setattr(recorder, "layout", lambda: replace(found, number=found.kind))
    assert native_recorded.__wrapped__(PythonRecorded) is None
