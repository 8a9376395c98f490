"""Variables: values and derivatives against tensors, what a storage keeps, and what is refused."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import random
import subprocess
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import ChangedValueError, DTypeError, GradientError, OptionError, UsageError
from slotgrad.kernel.scalars import CODES, arity_of, code_of
from slotgrad.micrograd import Value
from slotgrad.scalar import ReferenceVariable, ValueStorage, Variable, tiers
from slotgrad.scalar.recorded import PythonRecorded
from slotgrad.scalar.tape import PythonTape

UNARY = [name for name in CODES if arity_of(code_of[name]) == 1]
BINARY = [name for name in CODES if arity_of(code_of[name]) == 2]


def run(f, *numbers):
    """Value and derivatives of a function of variables."""
    storage = ValueStorage()
    xs = [Variable(storage, value=x) for x in numbers]
    y = f(*xs)
    y.compile()
    y.forward()
    y.gradient = 1
    y.backward()
    return y.value, [x.gradient for x in xs]


@np.errstate(all="ignore")
def eager(f, *numbers):
    """The same with tensors."""
    xs = [sg.tensor(np.float64(x), requires_grad=True) for x in numbers]
    y = f(*xs)
    y.backward()
    return y.item(), [0.0 if x.grad is None else x.grad.item() for x in xs]


def same(found, expected, rtol=1e-13):
    np.testing.assert_allclose(found[0], expected[0], rtol=rtol, equal_nan=True)
    np.testing.assert_allclose(found[1], expected[1], rtol=rtol, atol=1e-300, equal_nan=True)


# -- operations against tensors --------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.3, -0.7, 0.0, -0.0, 1.0, math.inf, -math.inf, 750.0])
@pytest.mark.parametrize("name", UNARY)
def test_function_of_one_number(name, x):
    same(run(lambda v: getattr(v, name)(), x), eager(getattr(sg, name), x))


@pytest.mark.parametrize("y", [0.6, -1.5, 0.0, 2.0])
@pytest.mark.parametrize("x", [0.3, -0.7, 0.0, 2.0])
@pytest.mark.parametrize("name", BINARY)
def test_function_of_two_numbers(name, x, y):
    same(run(lambda v, w: getattr(v, name)(w), x, y), eager(getattr(sg, name), x, y))


@pytest.mark.parametrize("x", [-2.0, -0.5, 0.0, 0.5, 2.0, 800.0])
def test_functions_made_of_several(x):
    same(run(lambda v: v.relu(), x), eager(sg.relu, x))
    same(run(lambda v: v.elu(), x), eager(sg.nn.functional.elu, x))
    same(
        run(lambda v: v.parametric_relu(0.25, 2, 1), x),
        eager(lambda v: sg.maximum(2 * v + 1, 0.25), x),
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 3, lambda x: 3 + x, lambda x: x - 3, lambda x: 3 - x, lambda x: x * 3,
        lambda x: 3 * x, lambda x: x / 4, lambda x: 4 / x, lambda x: x**3, lambda x: 3**x,
        lambda x: -x, abs, lambda x: x * x + x, lambda x: x ** np.float64(0.5),
        lambda x: np.float64(2) * x, lambda x: np.int64(2) - x, lambda x: x * True,
    ],
)  # fmt: skip
def test_operators_with_numbers(f):
    same(run(f, 1.7), eager(f, 1.7))


def test_what_does_nothing_is_not_recorded():
    storage = ValueStorage()
    x = Variable(storage)
    for same_one in (x + 0, 0 + x, x - 0, x * 1, 1 * x, x / 1, x + 0.0, sum([x])):
        assert same_one is x
    assert len(storage) == 1
    assert (0 - x).slot != x.slot


def test_equal_numbers_share_a_slot_and_zeros_of_both_signs_do_not():
    storage = ValueStorage()
    x = Variable(storage)
    _, before = x * 2.5, len(storage)
    _ = x - 2.5
    assert len(storage) == before + 1
    assert run(lambda v: v / -0.0 + 0 * v, 1.0)[0] == -math.inf
    assert run(lambda v: v.maximum(0.0) * 1e300 / 0.0, 1.0)[0] == math.inf


def random_formula(rng, leaves, count):
    """A recipe: operations with places of operands; it works for variables and tensors."""
    recipe = []
    for place in range(leaves, leaves + count):
        name = rng.choice(("add", "sub", "mul", "div", "sin", "tanh", "exp", "maximum", "square"))
        # operands repeat, and go far back
        recipe.append((name, rng.randrange(place), rng.randrange(max(0, place - 6), place)))
    return recipe


def apply_recipe(recipe, xs):
    made = list(xs)
    for name, i, j in recipe:
        x, y = made[i], made[j]
        if name == "square":
            made.append(x * x)
        elif name == "exp":
            made.append((x * 0.1).exp())
        elif arity_of(code_of[name]) == 1:
            made.append(getattr(x, name)())
        elif name == "div":
            made.append(x / (y * y + 1))
        elif name == "maximum" and isinstance(x, sg.Tensor):
            made.append(sg.maximum(x, y))
        else:
            made.append(getattr(x, name)(y) if name == "maximum" else OPERATORS[name](x, y))
    return made[-1].tanh() + 0.5 * made[-2].tanh()


OPERATORS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
}


def test_a_thousand_random_graphs_against_tensors(monkeypatch):
    """Most by the interpreter, which needs no compiling; both tiers have the same interface."""
    rng = random.Random(7)
    for number in range(1000):
        straight = number % 50 == 0
        monkeypatch.setattr(tiers, "SHORT", 64 if straight else 0)
        monkeypatch.setattr(tiers, "STRAIGHT", 2000 if straight else 0)
        numbers = [rng.uniform(-1.5, 1.5) for _ in range(3)]
        recipe = random_formula(rng, 3, rng.randrange(1, 14))

        def f(*xs, recipe=recipe):
            return apply_recipe(recipe, xs)

        same(run(f, *numbers), eager(f, *numbers), rtol=1e-11)


@pytest.mark.parametrize("limit", [0, 2000])
def test_a_graph_of_many_functions(limit, monkeypatch):
    """More nodes than one native function has, shared and with far operands."""
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    rng = random.Random(3)
    numbers = [rng.uniform(-1.5, 1.5) for _ in range(5)]
    recipe = random_formula(rng, 5, 300)

    def f(*xs):
        return apply_recipe(recipe, xs)

    same(run(f, *numbers), eager(f, *numbers), rtol=1e-9)


def test_pure_python_records_the_same_columns():
    """What records natively has a twin in Python."""

    class Plain(PythonRecorded):
        __slots__ = ()

        def _common(self, other):
            return self.tape if isinstance(other, Plain) else None

    def twin(tape):
        x = object.__new__(Plain)
        x.tape, x.slot = tape, tape.leaf(1.0)
        return x

    tape, storage = PythonTape(), ValueStorage()
    tape.kind = Plain
    rng = random.Random(0)
    recipe = random_formula(rng, 4, 400)
    apply_recipe(recipe, [twin(tape) for _ in range(4)])
    apply_recipe(recipe, [Variable(storage, value=1.0) for _ in range(4)])
    native = storage.tape
    assert tape.count == native.count > 400
    for column in ("code", "first", "second"):
        ours, theirs = (getattr(t, column)[: t.count] for t in (tape, native))
        np.testing.assert_array_equal(ours, theirs)
    numbers = native.code[: native.count] == 1
    np.testing.assert_array_equal(
        tape.values[: tape.count][numbers], native.values[: native.count][numbers]
    )


def test_without_native_recording():
    """Where there is no native code for the interpreter, everything goes by Python."""
    program = """
from slotgrad.runtime import recorder
recorder.native_tape = lambda *_: None
recorder.native_recorded = lambda *_: None
from slotgrad.scalar import ValueStorage, Variable, recorded
from slotgrad.micrograd import Value
assert Variable.__base__ is Value.__base__ is recorded.PythonRecorded
storage = ValueStorage()
a, b = Variable(storage, value=2), Variable(storage, value=3)
f = (a + b) * a + 0
f.compile()
f.forward()
f.gradient = 1
f.backward()
x = Value(2.0)
y = (x * 3 + 1).relu() + x
y.backward()
print(f.value, a.gradient, b.gradient, y.data, x.grad)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10.0", "7.0", "2.0", "9.0", "4.0"]


def test_squares_are_products():
    """x ** 2 is exact where pow need not be."""
    for x in (1.1, -3.7, 1e200, math.inf, 0.0):
        value, (gradient,) = run(lambda v: v**2 + v**2.0, x)
        assert (value, gradient) == (x * x + x * x, 4 * x)


# -- values, gradients, several outputs ------------------------------------------------------------


def formula():
    storage = ValueStorage()
    a, b = Variable(storage, "a", value=2), Variable(storage, "b", value=3)
    return storage, a, b, (a + b) * a


@pytest.mark.parametrize("limit", [0, 2000])
def test_leaves_add_up_and_formulas_start_anew(limit, monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    storage, a, b, f = formula()
    total = Variable.add(a, b)  # another slot than the sum inside f
    g = f * total
    g.compile()
    g.forward()
    g.gradient = 1
    for times in (1, 2, 3):
        g.backward()
        assert (a.gradient, b.gradient) == (times * 45.0, times * 20.0)
        assert (f.gradient, total.gradient, g.gradient) == (5.0, 10.0, 1.0)
    storage.zero_gradients()
    assert (a.gradient, f.gradient, g.gradient) == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(storage.gradients, 0.0)


def _step(storage, a, b, g):
    storage.gradient_step(0.1, [a, b])


def _forward(storage, a, b, g):
    a.value = 7
    g.forward()


def _weight(storage, a, b, g):
    g.gradient = 3


def _another_formula(storage, a, b, g):
    h = a.exp() * b
    h.compile()
    h.forward()
    h.gradient = 1
    h.backward()


def _write(storage, a, b, g):
    storage.group([a, b]).values = 0


@pytest.mark.parametrize("limit", [0, 2000])
@pytest.mark.parametrize("happens", [_step, _forward, _weight, _another_formula, _write])
def test_gradients_of_formulas_are_those_of_the_last_backward(happens, limit, monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    storage, a, b, f = formula()
    total = f * b
    g = total.sin() * f
    g.compile()
    for x in (0.5, 1.0):
        a.value = x
        g.gradient = 1
        g.forward()
        g.backward()
    happens(storage, a, b, g)
    inner, outer = math.sin(12), math.cos(12) * 4  # f = 4, total = 12
    same((0, [total.gradient, f.gradient]), (0, [outer, inner + 3 * outer]))
    assert g.gradient == (3 if happens is _weight else 1)


def test_weights_that_stay_leave_gradients_of_formulas_for_later(monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", 0)
    monkeypatch.setattr(tiers, "STRAIGHT", 0)
    storage, a, b, f = formula()
    g = f * b
    g.compile()
    for _ in range(2):
        g.gradient = 2
        g.forward()
        g.backward()
        assert storage._last.hidden
    assert (f.value, f.gradient) == (10.0, 6.0)
    assert not storage._last.hidden


@pytest.mark.parametrize("limit", [0, 2000])
def test_several_outputs_have_gradients_of_their_own(limit, monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    storage, a, b, f = formula()
    g = f.sin() * b  # depends on the other output
    storage.compile(f, g)
    storage.forward()
    f.gradient, g.gradient = 0.5, 2
    storage.backward()

    def weighted(x, y):
        first = (x + y) * x
        return 0.5 * first + 2 * (first.sin() * y)

    same((0, [a.gradient, b.gradient]), (0, eager(weighted, 2.0, 3.0)[1]))
    g.gradient = 0
    storage.zero_gradients()
    f.gradient = 1
    f.backward()
    assert (a.gradient, b.gradient) == (7.0, 2.0)


def test_formulas_compiled_apart_do_not_disturb_each_other():
    _, a, b, f = formula()
    g = f * b
    f.compile()
    g.compile()
    f.forward()
    f.gradient = 1
    g.forward()
    assert g.value == 30.0
    g.gradient = 1
    g.backward()
    assert (a.gradient, b.gradient) == (21.0, 16.0)
    f.backward()
    assert (a.gradient, b.gradient) == (28.0, 18.0)


def test_recording_goes_on_after_compiling():
    storage, a, b, f = formula()
    f.compile()
    more = [f * x for x in (a, b)]
    for _ in range(500):  # the columns move
        more.append(more[-1] + more[-2])
    f.forward()
    f.gradient = 1
    f.backward()
    assert (f.value, a.gradient, b.gradient) == (10.0, 7.0, 2.0)
    more[5].compile()
    more[5].forward()
    assert more[5].value == 5 * 30 + 3 * 20  # 20, 30, 50, 80, 130, 210
    assert storage.values.shape == storage.gradients.shape == (len(storage),)


def test_values_and_gradients_by_slot_are_to_be_read():
    storage, a, _, f = formula()
    f.compile()
    f.forward()
    assert storage.values[f.slot] == f.value == 10.0
    for array in (storage.values, storage.gradients):
        with pytest.raises(ValueError, match="read-only"):
            array[a.slot] = 1


def test_gradient_step_sees_which_variables_the_list_has_now():
    storage, a, b, _ = formula()
    a.gradient = b.gradient = 1
    variables = [a]
    storage.gradient_step(1, variables)
    variables[0] = b
    storage.gradient_step(1, variables)
    assert (a.value, b.value) == (1.0, 2.0)


@pytest.mark.parametrize("limit", [0, 2000])
def test_values_inside_a_formula(limit, monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    _, a, b, f = formula()
    total = Variable.add(a, b)
    g = total * f
    g.compile()
    for x in (2, 5):
        a.value = x
        g.forward()
        assert (total.value, f.value, g.value) == (x + 3.0, (x + 3.0) * x, (x + 3.0) ** 2 * x)


def test_variables_may_go_while_the_storage_lives():
    storage = ValueStorage()
    x = Variable(storage, value=1.0)
    y = x
    for _ in range(100):
        y = (y + x) * 0.5
    gc.collect()
    y.compile()
    y.forward()
    assert y.value == 1.0
    del storage, x
    gc.collect()
    y.forward()  # a variable keeps its storage
    assert y.value == 1.0


def test_two_storages_in_two_threads():
    failures = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(20):
            x, y = rng.random(), rng.random()
            value, gradients = run(lambda a, b: (a * b).tanh() + a, x, y)
            t = math.tanh(x * y)
            expected = [1 + (1 - t * t) * y, (1 - t * t) * x]
            if abs(value - t - x) > 1e-14 or not np.allclose(gradients, expected, rtol=1e-13):
                failures.append((x, y, value, gradients))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


@pytest.mark.parametrize("limit", [0, 2000])
def test_overflow_flows(limit, monkeypatch):
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    assert run(lambda x: x.exp() * x.exp(), 500.0) == (math.inf, [math.inf])
    value, (gradient,) = run(lambda x: x.exp() - x.exp(), 1000.0)
    assert math.isnan(value) and math.isnan(gradient)
    assert run(lambda x: 1 / x, 0.0) == (math.inf, [-math.inf])


def test_deep_graph_needs_no_recursion():
    storage = ValueStorage()
    x = Variable(storage, value=1.0)
    y = x
    for _ in range(200_000):
        y = y * 0.5 + x
    y.compile()
    y.forward()
    y.gradient = 1
    y.backward()
    assert (y.value, x.gradient) == (2.0, 2.0)
    lines = y.code.splitlines()
    assert lines[0] == "v[2] = v[0] * 0.5" and "# ... 399800 more ..." in lines
    assert len(lines) < 1000


def test_gradient_step():
    storage = ValueStorage()
    x = Variable(storage, value=0.0)
    loss = (x - 3) ** 2
    loss.compile()
    for _ in range(4):
        storage.zero_gradients()
        loss.forward()
        loss.gradient = 1
        loss.backward()
        x.gradient_step(0.25)
    assert x.value == 3 * (1 - 0.5**4)


def test_equal_formulas_share_their_code_wherever_they_lie():
    storage, a, b, _ = formula()
    f = (a + b) * a
    f.compile()
    _ = [Variable(storage) for _ in range(100)]
    g = (a + b) * a
    g.compile()
    one, other = (storage._programs[x.slot].steps[0] for x in (f, g))
    assert one._code is other._code and g.slot > f.slot + 100
    g.forward()
    g.gradient = 1
    g.backward()
    assert (g.value, a.gradient, b.gradient) == (10.0, 7.0, 2.0)


def test_programs_look_at_their_own_slots_only():
    storage, a, b, f = formula()
    for _ in range(20_000):
        f = f * 0.5 + b
    x = a
    for _ in range(5000):  # more than is looked for one by one
        x = x * 0.5 + a
    x.compile()
    [step] = storage._programs[x.slot].steps
    assert step._plain._machine.count == 10_002  # operations, a and 0.5
    x.forward()
    x.gradient = 1
    x.backward()
    assert (x.value, a.gradient, b.gradient) == (4.0, 2.0, 0.0)


# -- numbers and what is none ----------------------------------------------------------------------


def test_real_numbers_of_any_type():
    for number in (Fraction(5, 2), Decimal("2.5"), np.array(2.5), np.float32(2.5)):
        assert run(lambda x, n=number: n * x + x / n, 5.0) == (14.5, [2.9])
        assert Variable(ValueStorage(), value=number).value == 2.5


def test_formats_are_those_of_the_value():
    assert f"{Variable(ValueStorage(), value=2):.3f}" == f"{Value(2.0):.3f}" == "2.000"


@pytest.mark.parametrize("compare", [max, min, lambda x, y: sorted([x, y]), np.maximum])
def test_order_is_refused_with_the_way_out(compare):
    storage = ValueStorage()
    with pytest.raises(DTypeError, match=r"compare what it has now, x\.value .* x\.maximum\(y\)"):
        compare(Variable(storage, value=1), Variable(storage, value=2))
    with pytest.raises(DTypeError, match=r"x\.data"):
        compare(Value(1.0), Value(2.0))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(copied):
    storage = ValueStorage()
    for x in (storage, Variable(storage)):
        with pytest.raises(TypeError, match="cannot"):
            copied(x)


def test_a_number_as_name_is_refused():
    with pytest.raises(UsageError, match=r"got 3\.0; expected a str; .* value=3\.0"):
        Variable(ValueStorage(), 3.0)


def test_functions_of_numpy_record():
    for f in (np.sin, np.arctan, np.arcsin, np.exp, np.sqrt, lambda x: np.arctan2(x, 2.0)):
        assert run(f, 0.25)[0] == pytest.approx(float(f(0.25)), rel=1e-14)


# -- references and operations of one's own --------------------------------------------------------


def test_reference_is_chosen_again_without_compiling():
    storage = ValueStorage()
    xs = [Variable(storage, value=x) for x in (0.5, 1.0, -0.25)]
    exps = [x.exp() for x in xs]
    total = exps[0] + exps[1] + exps[2]
    probabilities = [e / total for e in exps]
    chosen = ReferenceVariable(storage)
    loss = -chosen.log()
    loss.compile()
    program = storage._programs[loss.slot]

    def expected(label):
        return eager(lambda *v: -(v[label].exp() / (v[0].exp() + v[1].exp() + v[2].exp())).log(),
                     0.5, 1.0, -0.25)  # fmt: skip

    for label in (1, 0, 2, 1):
        chosen.target = probabilities[label]
        storage.zero_gradients()
        loss.forward()
        loss.gradient = 1
        loss.backward()
        same((loss.value, [x.gradient for x in xs]), expected(label))
        assert chosen.value == probabilities[label].value
        assert chosen.target.slot == probabilities[label].slot
    assert storage._programs[loss.slot] is program


def test_reference_to_a_variable_passes_values_on():
    storage = ValueStorage()
    a, b = Variable(storage), Variable(storage)
    reference = ReferenceVariable(storage, name="r")
    out = b * reference
    out.compile()
    later = Variable(storage, value=7)
    reference.target = a
    reference.value, b.value = 2, 3
    out.forward()
    out.gradient = 2
    out.backward()
    assert (a.value, out.value, a.gradient, b.gradient) == (2.0, 6.0, 6.0, 4.0)
    reference.target = later
    out.forward()
    out.backward()
    assert (out.value, later.gradient, b.gradient) == (21.0, 6.0, 18.0)
    assert "v[2] = v[4]" in out.code and "gv[4] += gv[2]" in out.code
    assert "v4 -> v2;" in out.to_dot()


def test_reference_refuses_what_it_cannot_show():
    storage = ValueStorage()
    x = Variable(storage, value=1)
    reference = ReferenceVariable(storage, name="chosen")
    f = reference * x
    with pytest.raises(UsageError, match=r"\(chosen\) has no target; choose one first"):
        _ = reference.value
    f.compile()
    with pytest.raises(UsageError, match="chosen has no target"):
        f.forward()
    with pytest.raises(UsageError, match="was recorded after the reference"):
        reference.target = f
    with pytest.raises(UsageError, match="expected a Variable"):
        reference.target = 3.0
    with pytest.raises(UsageError, match="different storages"):
        reference.target = Variable(ValueStorage())


def softsign():
    @sg.op
    def op(x):
        return x.numpy() / (1 + abs(x.numpy()))

    @op.backward
    def _(g, out, x):
        return g / (1 + sg.abs(x)) ** 2

    return op


def test_operations_of_ones_own():
    storage = ValueStorage()
    x = Variable(storage, value=-3.0)
    inner = storage.apply(softsign(), x * 2)
    f = inner * inner + x
    f.compile()
    for _ in range(2):
        storage.zero_gradients()
        f.forward()
        f.gradient = 1
        f.backward()
        assert f.value == pytest.approx(36 / 49 - 3, rel=1e-15)
        assert x.gradient == pytest.approx(1 + 2 * (-6 / 7) * 2 / 49, rel=1e-15)
        assert inner.gradient == pytest.approx(-12 / 7)
    assert "v[3] = op(v[2])" in f.code and "gv[2] += op.backward(gv[3])[0]" in f.code


def test_operations_without_a_declared_derivative_are_recorded():
    @sg.op
    def cube(x):
        return x * x * x

    assert run(lambda x: cube(x) + 1, 2.0) == (9.0, [12.0])


@sg.op
def bend(x, y):
    return x.numpy() * y.numpy() + np.sin(x.numpy())


@bend.backward
def _(g, out, x, y):
    return g * (y + sg.cos(x)), g * x


@pytest.mark.parametrize("limit", [0, 2000])
def test_python_between_native_steps(limit, monkeypatch):
    """Random graphs with references and operations of one's own anywhere, against tensors."""
    monkeypatch.setattr(tiers, "SHORT", min(limit, 64))
    monkeypatch.setattr(tiers, "STRAIGHT", limit)
    rng = random.Random(limit)
    for _ in range(12):
        numbers = [rng.uniform(-1, 1) for _ in range(3)]
        names = rng.choices(("add", "sub", "mul", "bend", "reference"), k=rng.randrange(2, 14))
        recipe = [(name, rng.randrange(i), rng.randrange(i)) for i, name in enumerate(names, 3)]

        def f(*xs, recipe=recipe):
            made = list(xs)
            for name, i, j in recipe:
                x, y = made[i], made[j]
                if name in OPERATORS:
                    made.append(OPERATORS[name](x, y))
                elif isinstance(x, sg.Tensor):
                    made.append(bend(x, y) if name == "bend" else x)
                elif name == "bend":
                    made.append(x.storage.apply(bend, x, y))
                else:
                    made.append(ReferenceVariable(x.storage))
                    made[-1].target = x
            return made[-1] * made[-2] + made[0]

        same(run(f, *numbers), eager(f, *numbers), rtol=1e-11)


def test_results_of_ones_own_must_be_scalars():
    storage = ValueStorage()
    f = storage.apply(lambda x: sg.stack([x, x]), Variable(storage, value=1.0))
    f.compile()
    with pytest.raises(sg.errors.ShapeError, match=r"returned shape \(2,\) for scalars"):
        f.forward()
    with pytest.raises(UsageError, match="expected variables of this storage or numbers"):
        storage.apply(abs, "x")


# -- to be seen ------------------------------------------------------------------------------------


def test_code_and_picture():
    storage, a, b, f = formula()
    g = f - b.maximum(0.5) / a**2
    g.name = "g|1"
    assert g.code.splitlines() == [
        "# v[0] is a, v[1] is b, v[9] is g|1",
        "v[2] = v[0] + v[1]",
        "v[3] = v[2] * v[0]",
        "v[5] = maximum(v[1], 0.5)",
        "v[7] = v[0] ** 2",
        "v[8] = v[5] / v[7]",
        "v[9] = v[3] - v[8]",
        "",
        "gv[3] += gv[9]",
        "gv[8] -= gv[9]",
        "gv[5] += gv[8] / v[7]",
        "gv[7] += -(gv[8] / v[7]) * v[8]",
        "gv[0] += 2 * v[0] ** 1 * gv[7]",
        "gv[1] += where(v[1] > 0.5, gv[5], where(v[1] < 0.5, 0, 0.5 * gv[5]))",
        "gv[2] += v[0] * gv[3]",
        "gv[0] += v[2] * gv[3]",
        "gv[0] += gv[2]",
        "gv[1] += gv[2]",
    ]
    g.compile()
    g.forward()
    g.gradient = 1
    g.backward()
    dot = g.to_dot().splitlines()
    assert '  v0 [label="{a | value 2 | gradient 7.75}"];' in dot
    assert '  v9 [label="{g\\|1 - | value 9.25 | gradient 1}"];' in dot
    assert "  v8 -> v9;" in dot
    assert repr(a) == "<Variable v[0] (a): value 2, gradient 7.75>"
    assert repr(storage) == "ValueStorage(10 slots, 1 compiled)"


# -- errors ----------------------------------------------------------------------------------------


def test_nan_is_refused_as_a_constant():
    x = Variable(ValueStorage())
    for operation in (lambda: x + math.nan, lambda: math.nan * x, lambda: x ** np.float64("nan")):
        with pytest.raises(OptionError, match="got nan as a constant"):
            operation()
    with pytest.raises(OptionError, match="got nan as learning_rate"):
        x.gradient_step(math.nan)


def test_what_is_called_too_early():
    storage, a, _, f = formula()
    with pytest.raises(UsageError, match=r"forward: v\[3\] is not compiled; call .compile\(\)"):
        f.forward()
    with pytest.raises(UsageError, match=r"backward: v\[3\] is not compiled"):
        f.backward()
    with pytest.raises(UsageError, match="nothing is compiled yet"):
        storage.forward()
    with pytest.raises(UsageError, match="its gradient can be set from outside once it is"):
        f.gradient = 1
    f.compile()
    with pytest.raises(ChangedValueError, match="call forward"):
        f.backward()
    f.forward()
    a.value = 4
    f.gradient = 1
    with pytest.raises(ChangedValueError, match="for the variables as they are now"):
        f.backward()
    a.value = 2
    storage.zero_gradients()
    f.forward()
    with pytest.raises(GradientError, match="f.gradient = 1"):
        f.backward()
    with pytest.raises(UsageError, match="is computed; set the variables that it depends on"):
        f.value = 3
    assert f.value == 10.0 and a.gradient == 0.0


def test_what_does_not_belong_together():
    x, y = Variable(ValueStorage()), Variable(ValueStorage())
    with pytest.raises(UsageError, match="different storages"):
        _ = x + y
    for other in ("2", None, [1.0], 1j):
        with pytest.raises(TypeError):
            _ = x + other
    with pytest.raises(TypeError, match="mul: got str; expected a Variable or a number"):
        x.mul("2")
    with pytest.raises(UsageError, match="has no truth value"):
        _ = 1 if x else 2
    with pytest.raises(UsageError, match="expected a ValueStorage"):
        Variable(3)
    with pytest.raises(UsageError, match="expected a number"):
        x.value = "2"
    with pytest.raises(UsageError, match="expected variables of this storage"):
        y.storage.compile(x)
    with pytest.raises(UsageError, match="got no formula"):
        x.storage.compile()


def test_an_operation_of_ones_own_called_with_variables_keeps_its_derivative():
    @sg.op
    def half(x, y):
        return x * y

    @half.backward
    def _(g, out, x, y):
        return 10 * g, 20 * g  # not what differentiating the body would give

    class Double(sg.Function):
        @staticmethod
        def forward(ctx, x, factor=2.0):
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return 5 * g

    storage = ValueStorage()
    x, y = Variable(storage, value=3.0), Variable(storage, value=4.0)
    f = half(x, y) + Double.apply(x, factor=7.0)
    f.compile()
    f.forward()
    f.gradient = 1
    f.backward()
    assert (f.value, x.gradient, y.gradient) == (33, 15, 20)


class Scaled(sg.Function):
    @staticmethod
    def forward(ctx, x, y, factor=1):
        return x * y * factor

    @staticmethod
    def backward(ctx, g):
        return g, g


def double(x, y):
    return 2 * x * y


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda storage, x: Scaled.apply(x, 3.0, factor=2), "Scaled"),
        (lambda storage, x: storage.apply(Scaled.apply, x, 3.0), "Scaled"),
        (lambda storage, x: storage.apply(double, x, 3.0), "double"),
    ],
)
def test_operations_of_ones_own_are_shown_by_name(call, name):
    storage = ValueStorage()
    x = Variable(storage, "x", 2.0)
    f = call(storage, x)
    assert f.code.splitlines()[1:] == [
        f"v[{f.slot}] = {name}(v[0], 3)",
        "",
        f"gv[0] += {name}.backward(gv[{f.slot}])[0]",
    ]
    assert f'v{f.slot} [label="{{{name} |' in f.to_dot()


@pytest.mark.parametrize("function", [math.sin, float, math.exp])
def test_functions_of_numbers_are_refused_with_the_way_out(function):
    with pytest.raises(UsageError, match=r"^float: a Variable is no number.* x\.sin\(\)"):
        function(Variable(ValueStorage(), value=1.0))


def test_plus_is_the_variable_itself():
    assert run(lambda x: +x * x, 3.0) == (9.0, [6.0])
