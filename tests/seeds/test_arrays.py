"""Operations on n-dimensional arrays that the user defines."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg


@sg.op
def mul(x, y):
    return np.multiply(x, y)


@mul.backward
def _(g, out, x, y):
    return g * y, g * x


class Mul(sg.Function):
    asked = []

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return np.multiply(x, y)

    @staticmethod
    def backward(ctx, g):
        Mul.asked.append(ctx.needs_input_grad)
        x, y = ctx.saved
        needs_x, needs_y = ctx.needs_input_grad
        return g * y if needs_x else None, g * x if needs_y else None


@pytest.mark.parametrize("product", [mul, Mul.apply], ids=["op", "Function"])
def test_elementwise_product_of_float32_arrays(product):
    x1 = sg.tensor(np.full(128 * 128, 2, np.float32), requires_grad=True, name="x1")
    x2 = sg.tensor(np.full(128 * 128, 4, np.float32), requires_grad=True, name="x2")
    y = product(x1, x2)
    assert y.dtype == sg.float32
    assert (y.numpy() == 8).all()
    y.backward(sg.ones_like(y))
    assert (x1.grad.numpy() == 4).all()
    assert (x2.grad.numpy() == 2).all()
    assert (x1.name, x2.name) == ("x1", "x2")


@pytest.mark.parametrize("product", [mul, Mul.apply], ids=["op", "Function"])
def test_plain_arrays_just_compute(product):
    out = product(np.array([2.0]), np.array([4.0]))
    assert type(out) is np.ndarray
    assert out == 8


def test_backward_asks_which_inputs_are_variables():
    Mul.asked.clear()
    x = sg.tensor([2.0], requires_grad=True)
    Mul.apply(x, np.array([4.0], np.float32)).backward()
    assert Mul.asked == [(True, False)]
    assert x.grad.tolist() == [4.0]
    assert sg.is_tensor(x) and not sg.is_tensor(np.zeros(1))


def test_backward_from_ones_and_from_a_given_gradient():
    x = sg.tensor([1.0, 2.0], requires_grad=True)
    mul(x, x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    x.zero_grad()
    mul(x, x).backward(sg.tensor([10.0, 100.0]))
    assert x.grad.tolist() == [20.0, 400.0]


def test_clone():
    x = sg.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    assert not np.shares_memory(x.numpy(), y.numpy())
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
