"""Array code of recorded programs: the values and gradients of the interpreter and of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.passes.lift_tape import lift_tape
from slotgrad.scalar.columns import Columns
from slotgrad.scalar.interpreted import Interpreted
from slotgrad.scalar.lifted import Arrays, Lifting
from slotgrad.scalar.tiers import STRAIGHT
from slotgrad.targets.numpy import Program

RELATIVE = 1e-12


class Recorder:
    """Variables with random values, in lists."""

    def __init__(self):
        self.storage = sg.ValueStorage()
        self.random = np.random.default_rng(0)

    def __call__(self, *shape):
        if not shape:
            return sg.Variable(self.storage, value=self.random.uniform(-1, 1))
        return [self(*shape[1:]) for _ in range(shape[0])]


def convolution(v):
    x, k, b = v(200), v(7), v()
    return sum(sum((k[a] * x[i + a] for a in range(7)), b).tanh() for i in range(194))


def convolution_in_the_plane(v):
    x, k = v(20, 20), v(3, 3)
    inside = [(i, j) for i in range(18) for j in range(18)]
    terms = [(a, c) for a in range(3) for c in range(3)]
    return sum(sum(k[a][c] * x[i + a][j + c] for a, c in terms).relu() for i, j in inside)


def recurrence(v):
    w, b, h = v(12, 16), v(12), v(12)
    for x in v(30, 4):
        h = [sum((p * q for p, q in zip(row, [*h, *x])), c).tanh() for row, c in zip(w, b)]
    return sum(y * y for y in h)


def permuted_inputs(v):
    w, u, order = v(16, 4), v(16, 16), v.random.permutation(16)
    total = 0
    for x in v(10, 4):
        h = [sum(p * q for p, q in zip(row, x)).tanh() for row in w]
        h = [h[i] for i in order]
        total += sum(sum(p * q for p, q in zip(row, h)).tanh() for row in u)
    return total


def neuron_by_neuron(v):
    columns = v(4, 10)
    for layer in (v(16, 4), v(16, 16)):
        columns = [
            [sum(w * c[n] for w, c in zip(row, columns)).tanh() for n in range(10)] for row in layer
        ]
    return sum(sum(c) for c in columns)


def sums_of_generators(v):
    x, y = v(600), v(600)
    products = sum(a * b for a, b in zip(x, y))
    return products + sum((a - b) ** 2 for a, b in zip(x, y)) + sum(a.sin() for a in x)


def sparse_polynomials(v):
    x, c = v(50), v(100, 10)
    places = v.random.integers(0, 50, (100, 10, 2)).tolist()
    return sum(
        sum(p * x[a] * x[b] for p, (a, b) in zip(row, at)).tanh() for row, at in zip(c, places)
    )


PROGRAMS = [
    *(convolution, convolution_in_the_plane, recurrence, permuted_inputs, neuron_by_neuron),
    *(sums_of_generators, sparse_polynomials),
]


def columns_of(program):
    """The columns that a program records."""
    v = Recorder()
    y, tape = program(v), v.storage.tape
    columns = (tape.code, tape.first, tape.second, tape.values)
    return Columns(*[x[: tape.count].copy() for x in columns], np.array([y.slot]))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_arrays_compute_what_the_interpreter_and_numpy_do(program):
    columns = columns_of(program)
    code, first, second, values, [slot], _ = columns
    assert code.size > STRAIGHT
    plain, gradients = Interpreted(columns), np.zeros(code.size)
    plain.forward(values)
    gradients[slot] = 1.0
    plain.backward(values, gradients)
    plain.settle(values, gradients)
    lifted = lift_tape(code, first, second, values, np.array([slot]), always=True)
    arrays = Arrays(lifted, columns, plain)
    [by_numpy] = Program(lifted.region)([values[lifted.variables], values[lifted.data]])
    given = arrays.read(values)
    along, gradient = arrays.value_and_gradient(given, np.ones(1))
    for value in (arrays.value(given), along, by_numpy):
        np.testing.assert_allclose(value, values[slot], rtol=RELATIVE)
    expected = gradients[lifted.variables]
    np.testing.assert_allclose(
        gradient,
        expected,
        rtol=RELATIVE,
        atol=RELATIVE * np.abs(expected).max(),
    )


@pytest.mark.parametrize("program", [convolution, permuted_inputs, neuron_by_neuron])
def test_regular_programs_become_arrays(program):
    assert Lifting(columns_of(program)).wait()


def test_outputs_are_those_of_the_last_forward_whenever_they_are_asked_for():
    v = Recorder()
    scale = v()
    y = convolution(v) * scale
    y.compile()
    assert y.storage._recent.steps[0].wait()
    scale.value = 1
    y.forward()
    scale.value = 2
    once = y.value  # computed now
    y.forward()
    y.gradient = 1
    y.backward()  # along with the gradients
    scale.value = 3
    np.testing.assert_allclose([y.value, scale.gradient], [2 * once, once], rtol=RELATIVE)
    y.forward()
    scale.value = 4
    np.testing.assert_allclose(y.storage.values[y.slot], 3 * once, rtol=RELATIVE)
