"""Scalar graphs compiled to straight code over slots: the numbers of simplegrad's examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import ReferenceVariable, ValueStorage, Variable


def at(value):
    storage = ValueStorage()
    x = Variable(storage, name="x")
    x.value = value
    return x


def run(f, gradient=1.0):
    f.compile()
    f.forward()
    f.gradient = gradient
    f.backward()
    return f.value


@pytest.mark.parametrize("by_methods", [False, True])
def test_formula_of_two_variables(by_methods):
    storage = ValueStorage()
    a, b = Variable(storage), Variable(storage)
    f = a.add(b).mul(a) if by_methods else (a + b) * a
    f.compile()
    a.value, b.value = 2, 3
    f.forward()
    assert f.value == 10
    f.gradient = 1
    f.backward()
    assert (f.gradient, a.gradient, b.gradient) == (1, 7, 2)
    assert storage.values.dtype == storage.gradients.dtype == np.float64
    np.testing.assert_array_equal(storage.values, [2, 3, 5, 10])
    np.testing.assert_array_equal(storage.gradients, [7, 2, 2, 1])

    a.value, b.value = 4, -1  # other values, nothing compiled again
    storage.zero_gradients()
    f.forward()
    f.gradient = 1
    f.backward()
    assert (f.value, a.gradient, b.gradient) == (12, 7, 4)


ROWS = [  # operation, at, value, derivative
    (lambda x: x.add(3), 2.0, 5.0, 1.0),
    (lambda x: x.sub(3), 2.0, -1.0, 1.0),
    (lambda x: x.mul(3), 2.0, 6.0, 3.0),
    (lambda x: x.div(3), 2.0, 2 / 3, 1 / 3),
    (lambda x: x.pow(3), 2.0, 8.0, 12.0),
    (lambda x: 3 - x, 2.0, 1.0, -1.0),
    (lambda x: 3 / x, 2.0, 1.5, -0.75),
    (lambda x: 3**x, 2.0, 9.0, 9 * math.log(3)),
    (lambda x: x + x, 2.0, 4.0, 2.0),
    (lambda x: x - x, 2.0, 0.0, 0.0),
    (lambda x: x * x, 2.0, 4.0, 4.0),
    (lambda x: x / x, 2.0, 1.0, 0.0),
    (lambda x: x**x, 2.0, 4.0, 4 * (1 + math.log(2))),
    (lambda x: x.sin(), 0.5, math.sin(0.5), math.cos(0.5)),
    (lambda x: x.cos(), 0.5, math.cos(0.5), -math.sin(0.5)),
    (lambda x: x.abs(), -2.0, 2.0, -1.0),
    (lambda x: x.exp(), 2.0, math.exp(2), math.exp(2)),
    (lambda x: x.log(), 0.5, math.log(0.5), 2.0),
    (lambda x: x.relu(), -2.0, 0.0, 0.0),
    (lambda x: x.relu(), 0.0, 0.0, 0.0),
    (lambda x: x.relu(), 2.0, 2.0, 1.0),
    (lambda x: x.elu(), -2.0, math.expm1(-2), math.exp(-2)),
    (lambda x: x.elu(), 2.0, 2.0, 1.0),
    (lambda x: x.sign(), -2.0, -1.0, 0.0),
    (lambda x: x.parametric_relu(0.5, 2, 1), 3.0, 7.0, 2.0),
    (lambda x: x.parametric_relu(0.5, 2, 1), -3.0, 0.5, 0.0),
    (lambda x: x.atan(), 0.5, math.atan(0.5), 0.8),
    (lambda x: x.acos(), 0.5, math.acos(0.5), -1 / math.sqrt(0.75)),
    (lambda x: x.sigmoid(), -2.0, 1 / (1 + math.exp(2)), math.exp(2) / (1 + math.exp(2)) ** 2),
    (lambda x: x.tanh(), -2.0, math.tanh(-2), 1 - math.tanh(-2) ** 2),
    (lambda x: x.cosh(), 0.5, math.cosh(0.5), math.sinh(0.5)),
]


@pytest.mark.parametrize(("operation", "x", "value", "derivative"), ROWS)
def test_operation(operation, x, value, derivative):
    x = at(x)
    assert run(operation(x), gradient=2.0) == pytest.approx(value, rel=1e-14)
    assert x.gradient == pytest.approx(2 * derivative, rel=1e-14, abs=1e-15)


def test_two_variables_of_a_power():
    storage = ValueStorage()
    a, b = Variable(storage, value=2), Variable(storage, value=3)
    assert run(a.pow(b), gradient=2.0) == 8
    assert a.gradient == pytest.approx(24)
    assert b.gradient == pytest.approx(16 * math.log(2))


def test_nan_is_refused():
    with pytest.raises(sg.errors.OptionError, match="nan"):
        at(1.0).add(math.nan)


def test_reference_takes_the_true_class():
    storage = ValueStorage()
    scores = [Variable(storage, value=x) for x in (1.0, 2.0, 3.0)]
    exps = [x.exp() for x in scores]
    total = exps[0] + exps[1] + exps[2]
    p = [e / total for e in exps]
    true_class = ReferenceVariable(storage)
    loss = -true_class.log()
    loss.compile()
    true_class.target = p[2]
    loss.forward()
    loss.gradient = 1
    loss.backward()
    assert loss.value == pytest.approx(0.4076059644443804)
    expected = [0.09003057317038046, 0.24472847105479767, 0.6652409557748219 - 1]
    assert [x.gradient for x in scores] == pytest.approx(expected)


def test_gradient_step():
    x = at(4.0)
    run(x * x)
    x.gradient_step(0.25)
    assert x.value == 2.0


def test_code_can_be_read():
    storage = ValueStorage()
    a, b = Variable(storage), Variable(storage)
    forward, backward = ((a + b) * a).code.split("\n\n")
    assert forward.splitlines() == ["v[2] = v[0] + v[1]", "v[3] = v[2] * v[0]"]
    assert "gv[0] += v[2] * gv[3]" in backward.splitlines()


def test_picture_has_value_and_gradient_in_each_node():
    storage = ValueStorage()
    a, b = Variable(storage, name="a", value=2), Variable(storage, name="b", value=3)
    f = (a + b) * a
    run(f)
    nodes = [line for line in f.to_dot().splitlines() if "label" in line]
    assert [line.split('"')[1] for line in nodes] == [
        "{a | value 2 | gradient 7}",
        "{b | value 3 | gradient 2}",
        "{+ | value 5 | gradient 2}",
        "{* | value 10 | gradient 1}",
    ]


def test_a_million_nodes():
    """Each node is visited once, without recursion."""
    storage = ValueStorage()
    xs = [Variable(storage, value=0.5 + i / 64) for i in range(64)]
    y = xs[0]
    for i in range(500_000):
        y = (y + xs[i % 64]) * 0.5
    y.compile()
    y.forward()
    y.gradient = 1
    y.backward()
    weights = np.zeros(64)
    value = xs[0].value
    for i in range(500_000 - 64, 500_000):  # those before have no weight left
        value = (value + xs[i % 64].value) * 0.5
        weights *= 0.5
        weights[i % 64] += 0.5
    assert y.value == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose([x.gradient for x in xs], weights, rtol=1e-12, atol=1e-18)


def test_an_operation_of_ones_own():
    @sg.op
    def half_square(x):
        return 0.5 * x * x

    @half_square.backward
    def _(g, out, x):
        return g * x

    x = at(3.0)
    f = x.storage.apply(half_square, x) + x
    assert run(f) == 7.5
    assert x.gradient == 4.0


def test_gradients_inside_a_formula_do_not_pile_up():
    """A fault of the original: backward added to what the last one had left in between."""
    x = at(2.0)
    y = x * x
    f = y * y
    run(f)
    assert (y.gradient, x.gradient) == (8.0, 32.0)
    f.backward()
    assert (y.gradient, x.gradient) == (8.0, 64.0)
