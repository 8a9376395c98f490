"""Asking for gradients inside a captured function does what it does outside."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

X = np.array([1.0, 2.0], np.float32)


def of_argument(x):
    x.requires_grad_()
    (x * x).sum().backward()
    return x.grad


def of_detached(x):
    v = (x * 2).detach().requires_grad_()
    (v * v * x).sum().backward()
    return v.grad


def of_result(x):
    v = x * 2
    v.requires_grad_()
    (v * v).sum().backward()
    return v.grad


def of_new_tensor(x):
    v = sg.tensor(x, requires_grad=True, dtype=sg.float64)
    (v**3).sum().backward()
    return v.grad


def of_constant(x):
    v = sg.ones(2).requires_grad_()
    (v * v * x).sum().backward()
    return v.grad


def stopped(x):
    v = sg.ones(2, requires_grad=True)
    v.requires_grad_(False)
    return (v * x).sum().requires_grad


def attacked(x):
    """The input goes uphill, in place."""
    x = x.clone().detach()
    for _ in range(3):
        x.requires_grad_()
        loss = (sg.sin(x) * x).sum()
        loss.backward()
        with sg.no_grad():
            x += 0.1 * x.grad.sign()
        x.zero_grad()
    return x.detach()


@pytest.mark.parametrize(
    "f",
    [of_argument, of_detached, of_result, of_new_tensor, of_constant, stopped, attacked],
    ids=lambda f: f.__name__,
)
def test_equals_eager(f):
    compiled = sg.compile(f)
    for scale in (1, 2):
        expected, found = f(sg.tensor(X * scale)), compiled(sg.tensor(X * scale))
        if isinstance(expected, bool):
            assert found == expected
        else:
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    assert compiled.cache_info().misses == 1


def test_argument_that_asks_for_gradients_is_not_changed():
    f, x = sg.compile(of_argument), np.broadcast_to(np.float32(3), (2,))  # read-only
    assert f(x).tolist() == [6, 6]


def test_tensor_from_outside_raises():
    w = sg.ones(2)

    def f(x):
        w.requires_grad_()
        return x * w

    with pytest.raises(errors.CaptureError, match=r"inside\.py:\d+ in f .*call it before"):
        sg.compile(f)(X)
    assert not w.requires_grad


def test_inside_vmap():
    found = sg.vmap(of_detached)(np.stack([X, X + 1]))
    expected = [of_detached(sg.tensor(x)).tolist() for x in (X, X + 1)]
    assert found.tolist() == expected


def test_gradient_that_another_function_used_up_says_so():
    w = sg.ones(2, requires_grad=True)

    def fresh(x):
        w.zero_grad()
        (w * x).sum().backward()

    def more(x):
        (w * x).sum().backward()

    add = sg.compile(more)
    add(X)
    sg.compile(fresh)(X)
    for f in (add, sg.compile(more)):
        with pytest.raises(errors.CaptureError, match="'fresh', which used it"):
            f(X)
    w.zero_grad()
    add(X)
    assert w.grad.tolist() == [1, 2]
