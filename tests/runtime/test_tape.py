"""The interpreter of tapes against the Tensor path and against a sweep in Python."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import InternalError
from slotgrad.graph.apply import apply
from slotgrad.kernel.scalars import (
    CODES,
    FIRST_OPERATION,
    LEAF,
    NUMBER,
    arity_of,
    code_of,
    record_of,
)
from slotgrad.ops.reference import k as reference
from slotgrad.runtime import tape as runtime_tape
from slotgrad.runtime.host import host
from slotgrad.runtime.layout import address_of
from slotgrad.runtime.llvm import compile_text
from slotgrad.runtime.rules import contributions, needs, value
from slotgrad.runtime.tape import Interpreter
from slotgrad.targets.tape import backward_name, backward_text, forward_text

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, 40.0]


class Columns:
    """A tape that is written by hand."""

    def __init__(self):
        self.rows, self.values = [], []

    def put(self, code, first=-1, second=-1, value=np.nan):
        self.rows.append((code, first, second))
        self.values.append(value)
        return len(self.rows) - 1

    def leaf(self, value):
        return self.put(LEAF, value=value)

    def number(self, value):
        return self.put(NUMBER, value=value)

    def __call__(self, name, first, second=-1):
        return self.put(code_of[name], first, second)

    def interpreter(self, **options):
        code, first, second = np.array(self.rows, np.int64).reshape(-1, 3).T
        columns = code.astype(np.uint8), first.astype(np.int32), second.astype(np.int32)
        return Interpreter(*columns, **options)

    def run(self, seeds, **options):
        """Values and gradients by slot."""
        machine = self.interpreter(**options)
        values = machine.placed(np.array(self.values, float))
        machine.forward(values)
        given = np.zeros(len(self.rows))
        for slot, g in seeds.items():
            given[slot] = g
        gradients = machine.placed(given)
        machine.backward(values, gradients)
        return machine.restored(values), machine.restored(gradients)

    def swept(self, seeds):
        """The same, in Python."""
        values, gradients = np.array(self.values, float), np.zeros(len(self.rows))
        for slot, g in seeds.items():
            gradients[slot] = g
        with np.errstate(all="ignore"):
            made = [(i, row) for i, row in enumerate(self.rows) if row[0] >= FIRST_OPERATION]
            for i, (code, *operands) in made:
                xs = [values[j] for j in operands if j >= 0]
                values[i] = value(reference, code, *xs)
            for i, (code, *operands) in reversed(made):
                operands = [j for j in operands if j >= 0]
                xs = [values[j] for j in operands]
                parts = contributions(reference, code, gradients[i], values[i], *xs)
                for j, part in zip(operands, parts):
                    if self.rows[j][0] != NUMBER:
                        gradients[j] += part
        return values, gradients


def random_tape(rng, count, names=CODES, leaves=10):
    """Operations on what came before, often just before; values and slopes stay moderate."""
    tape = Columns()
    for _ in range(leaves):
        tape.leaf(rng.uniform(0.5, 1.5))
        tape.number(rng.choice([0.5, 2.0, 3.0]))
    while len(tape.rows) < count:
        name = names[rng.integers(len(names))]
        near = rng.random(2) < 0.3
        low = max(0, len(tape.rows) - 20)
        a, b = (int(rng.integers(low if n else 0, len(tape.rows))) for n in near)
        x = np.array([tape.values[a], tape.values[b]])[: arity_of(code_of[name])]
        with np.errstate(all="ignore"):
            y = np.float64(value(reference, code_of[name], *x))
            slopes = contributions(reference, code_of[name], np.float64(1), y, *x)
        if 1e-2 < abs(y) < 3 and np.all(np.abs(slopes) < 10):
            tape(name, a, b if len(x) == 2 else -1)
            tape.values[-1] = y
    return tape


def with_tensors(code, xs, seed):
    """Value and gradients of an operation by the Tensor path."""
    tensors = [sg.tensor(x, requires_grad=True) for x in xs]
    y = apply(record_of(code), tuple(tensors))
    y.backward(np.full(y.shape, seed))
    return y.numpy(), [x.grad.numpy() for x in tensors]


@pytest.fixture(params=["recorded", "read"])
def order(request, monkeypatch):
    """In which the slots of a stretch come: that of a long tape is tried on short ones as well."""
    if request.param == "read":
        monkeypatch.setattr(runtime_tape, "NEAR", 0)


def pairs(code):
    """Usual and odd operands, more than fit in a vector and not a whole number of vectors."""
    if arity_of(code) == 1:
        return [np.array([*np.linspace(-3, 3, 30), *SPECIAL])]
    grid = np.array([*np.linspace(-2.5, 2.5, 8), *SPECIAL])
    return [x.ravel() for x in np.meshgrid(grid, grid)]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_operation(name):
    """Values and gradients as tensors have them, also at kinks, zeros, infinities and nan."""
    code = code_of[name]
    xs = pairs(code)
    tape, seed = Columns(), 1.5
    operands = [[tape.leaf(x) for x in column] for column in xs]
    made = [tape(name, *slots) for slots in zip(*operands)]
    values, gradients = tape.run(dict.fromkeys(made, seed))
    out, expected = with_tensors(code, xs, seed)
    np.testing.assert_allclose(values[made], out, rtol=2e-14, atol=1e-300)
    for slots, g in zip(operands, expected):
        np.testing.assert_allclose(gradients[slots], g, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("name", [n for n in CODES if arity_of(code_of[n]) == 2])
def test_operands_that_are_numbers(name):
    """They get no gradient, whatever place they have; the other operand gets its own."""
    tape = Columns()
    x, c = tape.leaf(1.25), tape.number(2.0)
    seeds = {tape(name, *pair): g for g, pair in enumerate([(x, c), (c, x), (c, c), (x, x)], 1)}
    values, gradients = tape.run(seeds)
    expected_values, expected = tape.swept(seeds)
    np.testing.assert_allclose(values, expected_values, rtol=1e-14)
    np.testing.assert_allclose(gradients, expected, rtol=1e-13)
    assert gradients[c] == 0 and expected[x] != 0


@pytest.mark.parametrize("count", [21, 100, 1000, 5000])
def test_random_tapes(count, order):
    for seed in range(3):
        tape = random_tape(np.random.default_rng(seed), count)
        seeds = {count - 1: 1.0, count // 2: -0.5}
        values, gradients = tape.run(seeds)
        expected_values, expected = tape.swept(seeds)
        np.testing.assert_allclose(values, expected_values, rtol=1e-11)
        np.testing.assert_allclose(gradients, expected, rtol=1e-7, atol=1e-9 * abs(expected).max())


def test_random_tapes_of_arithmetic_are_exact():
    """Each slot is computed by the same instruction as in Python."""
    tape = random_tape(np.random.default_rng(3), 3000, ("add", "sub", "mul", "div", "neg"))
    slow = tape.swept({2999: 1.0})[0]
    assert np.array_equal(tape.run({2999: 1.0})[0], slow, equal_nan=True)


def test_an_operand_used_twice(order):
    """x * x, doubled over and over: 2**40 paths, each slot is visited once."""
    tape = Columns()
    x = tape.leaf(1.0)
    y = x
    for _ in range(40):
        y = tape("add", y, y)
    z = tape("mul", y, y)
    values, gradients = tape.run({z: 1.0})
    assert values[z] == 2.0**80 and gradients[x] == 2.0**81 and gradients[y] == 2.0**41


def test_a_long_chain(order):
    """A sum and a product of 100000 slots: no recursion, and nothing is added in other order."""
    n = 100_000
    rng = np.random.default_rng(0)
    x = rng.uniform(0.9999, 1.0001, n)
    code = np.zeros(3 * n, np.uint8)
    first, second = np.full(3 * n, -1, np.int32), np.full(3 * n, -1, np.int32)
    for begin, name in ((n, "add"), (2 * n, "mul")):
        code[begin : begin + n] = code_of[name]
        first[begin : begin + n] = [0, *range(begin, begin + n - 1)]
        second[begin : begin + n] = range(n)
    machine = Interpreter(code, first, second)
    values = machine.placed(np.concatenate([x, np.zeros(2 * n)]))
    machine.forward(values)
    gradients = np.zeros(3 * n)
    gradients[2 * n - 1] = 1.0
    gradients = machine.placed(gradients)
    machine.backward(values, gradients)
    found = machine.restored(values)
    assert np.array_equal(found[n : 2 * n], np.cumsum([2 * x[0], *x[1:]]))
    assert np.array_equal(found[2 * n :], np.cumprod([x[0] * x[0], *x[1:]]))
    assert np.array_equal(machine.restored(gradients)[:n], [2.0, *np.ones(n - 1)])


def test_neighbours_that_feed_each_other(order):
    """Stretches shorter than a vector that are joined, taken from both operands."""
    tape = Columns()
    x, one = tape.leaf(0.3), tape.leaf(1.0)
    y = x
    for i in range(50):
        y = tape("tanh", y) if i % 7 else tape("exp", y)
        y = tape("sub", one, y)
        y = tape("sub", y, y) if i == 20 else y
    values, gradients = tape.run({y: 1.0})
    expected_values, expected = tape.swept({y: 1.0})
    np.testing.assert_allclose(values, expected_values, rtol=1e-12)
    np.testing.assert_allclose(gradients, expected, rtol=1e-10)


def test_overflow_flows():
    tape = Columns()
    x, zero = tape.leaf(1e200), tape.leaf(0.0)
    square = tape("mul", x, x)
    nothing = tape("sub", square, square)
    small = tape("div", x, square)
    product = tape("mul", square, zero)
    values, gradients = tape.run({square: 1.0, product: 1.0})
    assert values[square] == np.inf and values[small] == 0
    assert np.isnan(values[nothing]) and np.isnan(values[product])
    assert gradients[x] == 2e200 and gradients[zero] == np.inf


def test_what_no_output_needs_is_left_alone(order):
    """Neither computed nor able to spoil a gradient by 0 * inf."""
    tape = Columns()
    x = tape.leaf(0.0)
    unused = tape("log", x)
    y = tape("exp", x)
    values, gradients = tape.run({y: 1.0}, outputs=[y])
    assert np.isnan(values[unused]) and values[y] == 1 and gradients[x] == 1
    assert np.isnan(tape.run({y: 1.0})[1][x])


def test_gradients_are_added():
    """To what stands there; a second backward without clearing counts what the first one left."""
    tape = Columns()
    x = tape.leaf(3.0)
    y = tape("mul", x, x)
    machine = tape.interpreter()
    values = machine.placed(np.array(tape.values))
    machine.forward(values)
    gradients = machine.placed(np.array([10.0, 1.0]))
    for total in (16.0, 22.0):
        machine.backward(values, gradients)
        assert machine.restored(gradients).tolist() == [total, 1.0], y


def test_places():
    """Leaves and numbers keep their order in front; the others come by level and operation."""
    tape = Columns()
    a, c = tape.leaf(1.0), tape.number(2.0)
    upper = tape("exp", tape("mul", a, c))
    b = tape.leaf(3.0)
    lower = tape("mul", b, c)
    machine = tape.interpreter()
    assert machine.leaves == 3
    assert machine.place[[a, c, b]].tolist() == [0, 1, 2]
    assert machine.place[[upper - 1, lower, upper]].tolist() == [3, 4, 5]


def test_places_in_the_order_of_readers(monkeypatch):
    """Each slot goes where its last reader wants it, and what nobody reads to what is left."""
    monkeypatch.setattr(runtime_tape, "NEAR", 0)
    tape = Columns()
    a = tape.leaf(1.0)
    squares = [tape("mul", a, a) for _ in range(5)]
    unread = squares.pop(2)
    sums = [tape("add", squares[i], squares[j]) for i, j in ((3, 1), (0, 2), (0, 3))]
    machine = tape.interpreter()
    places = machine.place.tolist()
    assert places[a] == 0 and sorted(places[s] for s in sums) == [6, 7, 8]
    read = [squares[i] for i in (1, 2, 0, 3)]  # by the first, the second, and both by the last sum
    assert [places[s] for s in [unread, *read]] == [1, 2, 3, 4, 5]


def test_long_tapes_are_in_the_order_of_readers():
    """Neighbours of a sum that was recorded from far apart are neighbours in memory."""
    n = 2 * runtime_tape.NEAR
    rng = np.random.default_rng(0)
    code = np.array([LEAF] + [code_of["neg"]] * n + [code_of["add"]] * (n // 2), np.uint8)
    first, second = np.zeros(len(code), np.int32), np.full(len(code), -1, np.int32)
    pairs = 1 + rng.permutation(n).reshape(-1, 2)
    first[0] = -1
    first[n + 1 :], second[n + 1 :] = pairs.T
    place = Interpreter(code, first, second).place
    assert np.array_equal(np.abs(np.diff(place[pairs])), np.ones((n // 2, 1)))


@pytest.mark.parametrize("leaves", [0, 1, 3])
def test_a_tape_without_operations(leaves, order):
    tape = Columns()
    for i in range(leaves):
        tape.leaf(float(i))
    values, gradients = tape.run({})
    assert values.tolist() == list(range(leaves)) and not gradients.any()


@pytest.mark.parametrize(
    "row",
    [
        (code_of["add"], 0, 2),
        (code_of["add"], -1, 0),
        (code_of["add"], 0, -1),
        (code_of["sin"], 1, -1),
        (code_of["sin"], 0, 0),
        (FIRST_OPERATION + len(CODES), 0, 0),
        (255, 0, 0),
    ],
)
def test_a_malformed_tape_is_refused(row):
    tape = Columns()
    tape.leaf(1.0)
    tape.put(*row)
    with pytest.raises(InternalError, match=f"tape: slot 1 has code {row[0]}"):
        tape.interpreter()


def test_arrays_that_do_not_fit_are_refused():
    tape = Columns()
    tape("neg", tape.leaf(1.0))
    machine = tape.interpreter()
    right = np.zeros(2)
    for wrong in (np.zeros(3), np.zeros(2, np.float32), np.zeros(4)[::2]):
        with pytest.raises(InternalError, match="tape: got values of shape"):
            machine.forward(wrong)
        with pytest.raises(InternalError, match="tape: got gradients of shape"):
            machine.backward(right, wrong)
    with pytest.raises(InternalError, match="tape: got a column first"):
        Interpreter(np.zeros(2, np.uint8), np.zeros(2), np.zeros(2, np.int32))


def by_code(name, compiled, machine):
    """Operands of a few slots, and the values and gradients that code computes."""
    code, n = code_of[name], 13
    first, second = np.arange(n, dtype=np.int32), np.arange(n, 2 * n, dtype=np.int32)
    values = np.concatenate([np.linspace(0.5, 3, n), np.linspace(2, 1, n), np.zeros(n)])
    gradients = np.concatenate([np.zeros(2 * n), np.ones(n)])
    columns = [np.concatenate([np.zeros(2 * n, np.int32), x]) for x in (first, second)]
    arguments = [address_of(x) for x in (*columns, values, gradients)]
    functions = {
        "forward": forward_text(code, machine),
        backward_name(range(arity_of(code))): backward_text(code, machine),
    }
    for function, text in functions.items():
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(compiled(text).address(function))
        run(*arguments, 2 * n, 2 * n + 8, 3 * n)
    xs = [values[:n], values[n : 2 * n]][: arity_of(code)]
    return xs, values[2 * n :], [gradients[j * n : (j + 1) * n] for j in range(len(xs))]


@pytest.mark.parametrize("bytes, fma", [(16, False), (32, True)])
@pytest.mark.parametrize("name", ["mul", "div", "sin", "pow", "maximum"])
def test_code_for_other_vectors(name, bytes, fma):
    """What processors with shorter vectors, or without a multiply-add, would run."""
    machine = replace(host(), vector_bytes=bytes, has_fma=fma)
    xs, values, gradients = by_code(name, compile_text, machine)
    out, expected = with_tensors(code_of[name], xs, 1.0)
    np.testing.assert_allclose(values, out, rtol=1e-14)
    np.testing.assert_allclose(gradients, expected, rtol=1e-13)


@pytest.mark.parametrize("name", CODES)
def test_quick_code_computes_the_same(name, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", "")

    def quickly(text):
        library = compile_text(f"; what nobody has compiled\n{text}", quick=True)
        assert library.quick
        return library

    found, expected = (by_code(name, f, host()) for f in (quickly, compile_text))
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2], expected[2])


AT_ONCE = """
import sys, threading
import numpy as np
from slotgrad.kernel.scalars import arity_of, code_of
from slotgrad.ops.reference import k
from slotgrad.runtime.rules import contributions
from slotgrad.runtime.tape import Interpreter

sys.setswitchinterval(1e-6)
code = np.array([0, 0, *(code_of[name] for name in ("add", "mul", "sub", "div") * 25)], np.uint8)
slots = np.arange(len(code), dtype=np.int32)
first, second = slots - 1, slots - 2
first[:2] = second[:2] = -1
barrier, found = threading.Barrier(8), set()

def work():
    for c in code_of.values():
        barrier.wait()
        contributions(k, c, np.float64(1), np.float64(0.5), *[np.float64(0.5)] * arity_of(c))
    barrier.wait()
    machine = Interpreter(code, first, second)
    barrier.wait()
    others = [np.zeros(128, np.int64) for _ in range(50)]  # where something was let go, perhaps
    values, gradients = np.full(len(code), 0.5), np.zeros(len(code))
    gradients[-1] = 1.0
    values, gradients = machine.placed(values), machine.placed(gradients)
    machine.forward(values)
    machine.backward(values, gradients)
    found.add(values.tobytes() + gradients.tobytes())

def stop(told):
    sys.__excepthook__(*told[:3])
    barrier.abort()

threading.excepthook = stop
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(len(found))
"""


def test_threads_that_begin_at_once(tmp_path):
    """What one finds has been made by another one just then, or is made by both."""
    variables = os.environ | {"SLOTGRAD_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", AT_ONCE]
    child = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)
    assert (child.returncode, child.stdout, child.stderr) == (0, "1\n", "")


def test_what_contributions_need():
    assert needs(code_of["add"]) == set()
    assert needs(code_of["mul"], (0,)) == {"y"}
    assert needs(code_of["tanh"]) == {"out"}
    assert needs(code_of["pow"], (0,)) == {"x", "y"}
