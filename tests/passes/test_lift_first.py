"""Operations on single numbers become arrays before they are differentiated: nothing gets lost."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.dtypes import float64
from slotgrad.errors import CaptureError
from slotgrad.graph.node import TensorType
from slotgrad.passes.lift_region import lift_region
from slotgrad.tree import leaves_of

N = 40
X = np.random.default_rng(0).uniform(-1, 1, N)
Y = np.random.default_rng(1).uniform(-1, 1, N)
FEW = 30  # kernels of what became arrays


def loss(w, x):
    """A sum in a loop, with windows that go round."""
    products = (sg.tanh(w[i] * x[i]) * w[(i + 1) % N] for i in range(N))
    return sum(products) + sum(w[i] * w[i] for i in range(N))


def check(f, *xs):
    """The kernels of a compiled function, whose results are compared with eager ones."""
    compiled, xs = sg.compile(f), [sg.tensor(x) for x in xs]
    found, expected = compiled(*xs), f(*xs)
    for y, e in zip(leaves_of(found), leaves_of(expected), strict=True):
        np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=1e-9, atol=1e-12)
    return compiled.kernels.splitlines()


def test_what_is_recorded_is_small():
    def nodes(lift):
        xs = [placeholder(TensorType((N,), float64)) for _ in range(2)]
        run = sg.value_and_grad(loss)
        return len(capture(lambda: run(*xs), xs, leaves_of, lift).region)

    assert 10 * nodes(lift_region) < nodes(None)


def scalars_at_first(w, x):
    """A gradient with respect to what single numbers were stacked to."""
    doubled = sg.stack([w[i] * 2 for i in range(N)])
    return (sg.grad(loss)(doubled, x) * doubled).sum()


@pytest.mark.parametrize(
    "f",
    [
        sg.value_and_grad(loss, argnums=(0, 1)),
        sg.grad(lambda w, x: (sg.grad(loss)(w, x) ** 2).sum()),
        sg.grad(lambda w, x: (sg.grad(loss)(x, w) * w).sum()),
        lambda w, x: sg.jvp(lambda v: loss(v, x), (w,), (x,)),
        lambda w, x: sg.hvp(lambda v: loss(v, x), (w,), (x,)),
        lambda w, x: sg.hessian(lambda v: loss(v, x))(w),
        lambda w, x: sg.jacrev(lambda v: sg.stack([v[i] * v[i - 1] - 1 / x[i] for i in range(N)]))(
            w
        ),
    ],
)
def test_transformations_are_few_kernels(f):
    assert len(check(f, Y, X)) < FEW


def test_an_outer_gradient_goes_through_what_is_lifted_inside():
    check(scalars_at_first, Y, X)
    check(sg.grad(scalars_at_first), Y, X)


def test_results_beside_the_loss():
    def f(w, x):
        def inner(w):
            h = [sg.tanh(w[i] * x[i]) for i in range(N)]
            return sum(h[i] * h[i - 1] for i in range(N)), sg.stack(h)

        return sg.value_and_grad(inner, has_aux=True)(w)

    check(f, Y, X)


# -- the tape --------------------------------------------------------------------------------------

W = sg.tensor(Y.copy(), requires_grad=True)


@pytest.fixture(autouse=True)
def without_gradient():
    W.grad = None


def taken(x):
    """The gradient of a tensor, which has none afterwards."""
    g, x.grad = x.grad, None
    return g


def test_gradients_of_intermediate_values():
    def f(x):
        h = sg.stack([sg.tanh(W[i] * x[i]) for i in range(N)]).retain_grad()
        s = (W[3] * 2).retain_grad()
        (sum(h[i] * h[i - 1] * W[i] for i in range(N)) + s * s).backward()
        return taken(W), h.grad, s.grad

    check(f, X)


def test_no_gradient_flows_through_gradients():
    def f(x):
        for _ in range(3):
            loss(W, x).backward()
            x = x + taken(W)
        return x

    check(f, X)


def test_no_gradient_flows_through_what_no_grad_computed():
    def f(x):
        with sg.no_grad():
            fixed = [W[i] * x[i] for i in range(N)]
        sum(fixed[i] * W[i] + sg.sin(W[i]) + W[i].detach() * W[i] for i in range(N)).backward()
        return taken(W)

    assert len(check(f, X)) < FEW


def test_a_loss_that_goes_on_after_its_backward():
    def f(x):
        first = loss(W, x)
        first.backward(retain_graph=True)
        second = first * first + loss(W, x + 1)
        second.backward()
        return taken(W), first, second

    check(f, X)


def test_a_gradient_asked_for_too_late_is_refused():
    def f(x):
        h = [W[i] * x[i] for i in range(N)]
        y = sum(sg.tanh(a) * a * a for a in h)
        y.backward(retain_graph=True)
        h[0].retain_grad()

    with pytest.raises(CaptureError, match="as soon as the tensor is made"):
        sg.compile(f)(X)


def test_a_derivative_of_the_users_own():
    @sg.op
    def square(x):
        return x * x

    @square.backward
    def _(g, out, x):
        return g * 3 * x  # not the true one

    def f(w, x):
        terms = (square(w[i] * x[i]) * w[i] + sg.sin(w[i]) for i in range(N))
        return sum(terms)

    check(sg.grad(f), Y, X)


# -- vmap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        sg.vmap(loss, in_axes=(0, None)),
        sg.vmap(sg.value_and_grad(loss), in_axes=(0, None)),
        lambda w, x: sg.grad(lambda w: sg.vmap(loss, in_axes=(0, None))(w, x).sum())(w),
        lambda w, x: sg.vmap(sg.vmap(sg.grad(loss), in_axes=(0, None)), in_axes=(None, 0))(
            w, sg.stack([x, x + 1])
        ),
    ],
)
def test_under_vmap(f):
    assert len(check(f, np.stack([X, Y, 2 * Y]), X)) < FEW


def test_an_outer_gradient_reaches_what_all_examples_share():
    def total(rate, xs):
        return sg.vmap(lambda x: loss(rate * x, X))(xs).sum()

    assert len(check(sg.grad(total), np.array(0.1), np.stack([X, Y]))) < FEW
