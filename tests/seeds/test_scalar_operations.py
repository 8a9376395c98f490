"""The operations of the scalar face, on tensors without axes: values and derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import slotgrad as sg

ROWS = [  # operation, at, value, derivative
    (lambda x: x + 3, 2.0, 5.0, 1.0),
    (lambda x: 3 - x, 2.0, 1.0, -1.0),
    (lambda x: x * 3, 2.0, 6.0, 3.0),
    (lambda x: 3 / x, 2.0, 1.5, -0.75),
    (lambda x: x**3, 2.0, 8.0, 12.0),
    (lambda x: 3**x, 2.0, 9.0, 9 * math.log(3)),
    (sg.sin, 0.5, math.sin(0.5), math.cos(0.5)),
    (sg.cos, 0.5, math.cos(0.5), -math.sin(0.5)),
    (sg.abs, -2.0, 2.0, -1.0),
    (sg.exp, 0.5, math.exp(0.5), math.exp(0.5)),
    (sg.log, 0.5, math.log(0.5), 2.0),
    (sg.relu, -1.0, 0.0, 0.0),
    (sg.relu, 2.0, 2.0, 1.0),
    (sg.nn.functional.elu, -1.0, math.expm1(-1), math.exp(-1)),
    (sg.nn.functional.elu, 2.0, 2.0, 1.0),
    (sg.sign, -2.0, -1.0, 0.0),
    (sg.atan, 0.5, math.atan(0.5), 0.8),
    (sg.acos, 0.5, math.acos(0.5), -1 / math.sqrt(0.75)),
    (sg.sigmoid, 0.0, 0.5, 0.25),
    (sg.tanh, 0.5, math.tanh(0.5), 1 - math.tanh(0.5) ** 2),
]


@pytest.mark.parametrize(("f", "at", "value", "derivative"), ROWS)
def test_value_and_derivative(f, at, value, derivative):
    x = sg.tensor(np.float64(at), requires_grad=True)
    y = f(x)
    y.backward()
    assert y.item() == pytest.approx(value, rel=1e-14)
    assert x.grad.item() == pytest.approx(derivative, rel=1e-14, abs=1e-15)


def test_formula_of_two_numbers():
    a, b = sg.tensor(2.0, requires_grad=True), sg.tensor(3.0, requires_grad=True)
    f = (a + b) * a
    f.backward()
    assert (f.item(), a.grad.item(), b.grad.item()) == (10, 7, 2)


def test_gradient_step():
    x = sg.tensor(4.0, requires_grad=True)
    (x * x).backward()
    opt = sg.optim.SGD([x], lr=0.25)
    opt.step()
    assert x.item() == 2.0
