"""Operations of the user's own under sg.compile: recorded bodies are no calls of Python."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import CaptureError, GradientError, UsageError
from slotgrad.graph.region import verify

X = np.array([0.3, -0.7, 1.1])


class Cube(sg.Function):
    """Its rule says twice the derivative, so that it is seen to be used."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved
        return 6 * x * x * g


class Polar(sg.Function):
    """Two arguments, two results, an option; saves inputs and outputs."""

    @staticmethod
    def forward(ctx, r, t, scale=1.0):
        x, y = scale * r * sg.cos(t), scale * r * sg.sin(t)
        ctx.save_for_backward(r, x, y)
        return x, y

    @staticmethod
    def backward(ctx, gx, gy):
        r, x, y = ctx.saved
        return (gx * x + gy * y) / r, gy * x - gx * y


class Twice(sg.Function):
    """Returns an input itself, and what another Function makes of it."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x, Cube.apply(x) * factor

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved
        return g + h * ctx.factor * Cube.apply(x), None


class Solve(sg.Function):
    """Takes gradients in its body: Newton's method for y**3 + y = x."""

    @staticmethod
    def forward(ctx, x):
        y = x
        for _ in range(20):
            f = lambda y: (y**3 + y - x).sum()  # noqa: E731
            y = y - (y**3 + y - x) / sg.grad(f)(y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved
        return g / (3 * y * y + 1)


@sg.op
def softsign(x, slope=1.0):
    return x / (1 + abs(slope * x))


@softsign.backward
def _(g, out, x, slope=1.0):
    return g * (1 + abs(slope * x)) ** -2


@sg.op
def both(x):
    return sg.exp(x), sg.sin(x)


@both.backward
def _(g, out, x):
    return g[0] * out[0] + g[1] * sg.cos(x)


@sg.op
def weighted(x, w):
    return x * x * sg.tensor(w)


@weighted.backward
def _(g, out, x, w):
    return 2 * x * g * w, None


def polar(x):
    a, b = Polar.apply(x * x + 1, x, scale=2.0)
    return a * b * b


def twice(x):
    same, cubed = Twice.apply(sg.sin(x), 0.5)
    return same * cubed


FUNCTIONS = {
    "a Function": Cube.apply,
    "inside a formula": lambda x: sg.exp(Cube.apply(sg.sin(x))) * x,
    "applied to its result": lambda x: Cube.apply(Cube.apply(x)),
    "several results and keywords": polar,
    "one of several results": lambda x: Polar.apply(x * x + 1, x)[1],
    "an input itself, and another Function inside": twice,
    "gradients in the body": lambda x: Solve.apply(x) * x,
    "an op with an option": lambda x: softsign(x, slope=2.0) * x,
    "results that the rule reads": lambda x: both(x)[0] * both(x)[1],
    "an array as argument": lambda x: weighted(x, X) * x,
    "between others": lambda x: Cube.apply(x @ sg.tensor(np.outer(X, X))).sum() * x,
}


def no_call(f):
    return not any(line.startswith("call") for line in f.kernels.splitlines())


def agree(f, x, rtol=1e-10):
    """The compiled function has no call of Python and says what the eager one says."""
    compiled = sg.compile(f)
    expected = f(sg.tensor(x)).numpy()
    for _ in range(2):
        np.testing.assert_allclose(compiled(sg.tensor(x)).numpy(), expected, rtol, 1e-12)
    assert no_call(compiled), compiled.kernels
    verify(compiled._newest.captured.region)
    verify(compiled._newest.region)
    np.testing.assert_allclose(sg.compile(f, target="numpy")(x).numpy(), expected, rtol, 1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name):
    f = FUNCTIONS[name]
    first = sg.grad(lambda x: f(x).sum())
    agree(f, X)
    agree(first, X)
    agree(sg.grad(lambda x: (first(x) * X).sum()), X)
    agree(lambda x: sg.jvp(f, (x,), (sg.tensor(X),))[1], X)
    agree(lambda x: sg.hvp(lambda t: f(t).sum(), (x,), (sg.tensor(X),))[0], X)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians_and_batches(name):
    f = FUNCTIONS[name]
    xs = np.stack([X, 2 * X])
    agree(sg.jacrev(f), X)
    agree(sg.jacfwd(f), X)
    agree(sg.vmap(f), xs)
    agree(sg.vmap(sg.grad(lambda x: f(x).sum())), xs)
    agree(sg.grad(lambda xs: sg.vmap(f)(xs).sum()), xs)
    compiled = sg.compile(f)
    np.testing.assert_allclose(sg.vmap(compiled)(xs).numpy(), sg.vmap(f)(xs).numpy(), 1e-10)


def test_derivatives_agree_with_differences():
    for f in (polar, FUNCTIONS["gradients in the body"], softsign, lambda x: weighted(x, X)):
        sg.check_grads(sg.compile(f), (X,), order=2)
        sg.check_grads(f, (X,), order=2)


def test_the_body_is_fused_with_what_is_around_it():
    f = sg.compile(sg.value_and_grad(lambda x: (softsign(x * 2) + 1).sum()))
    g = sg.compile(sg.value_and_grad(lambda x: ((2 * x) / (1 + abs(2 * x)) + 1).sum()))
    f(X), g(X)
    assert f.kernels.count("\n") == g.kernels.count("\n")


def test_training_with_an_operation_of_ones_own():
    def make():
        w = sg.tensor(np.outer(X, X), requires_grad=True)

        def step(x):
            w.zero_grad()
            loss = (softsign(x @ w) ** 2).sum()
            loss.backward()
            with sg.no_grad():
                w.assign(w - 0.1 * w.grad)
            return loss

        return step

    eager, compiled = make(), sg.compile(make())
    for _ in range(5):
        np.testing.assert_allclose(compiled(X).numpy(), eager(sg.tensor(X)).numpy(), 1e-12)
    assert no_call(compiled)


# -- effects of the body ---------------------------------------------------------------------------


def test_state_in_the_body_is_changed_once_a_call():
    count = sg.tensor(0)

    class Counted(sg.Function):
        @staticmethod
        def forward(ctx, x):
            count.assign(count + 1)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    f = sg.compile(sg.grad(lambda x: Counted.apply(x).sum()))
    assert [f(X).tolist() for _ in range(3)] == [[2.0] * 3] * 3
    assert count.item() == 3 and no_call(f)


def test_random_numbers_in_the_body_are_those_of_eager_mode():
    class Dropout(sg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mask = sg.random.bernoulli(0.5, x.shape)
            return sg.where(ctx.mask, 2 * x, 0 * x)

        @staticmethod
        def backward(ctx, g):
            return sg.where(ctx.mask, 2 * g, 0 * g)

    f = sg.value_and_grad(lambda x: Dropout.apply(x).sum())
    compiled = sg.compile(f)
    found = []
    for each in (f, compiled):
        sg.random.seed(3)
        found.append([[y.tolist() for y in each(sg.tensor(np.ones(64)))] for _ in range(3)])
    assert found[0] == found[1] and found[0][0] != found[0][1]
    assert no_call(compiled)


def test_state_that_the_body_reads_is_read_at_each_call():
    w = sg.tensor(np.array(2.0))

    class Scaled(sg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved[0]

    f = sg.compile(sg.grad(lambda x: Scaled.apply(x).sum()))
    assert f(X).tolist() == [2.0] * 3
    w.assign(5.0)
    assert f(X).tolist() == [5.0] * 3


def test_changing_an_argument_in_place_raises():
    class Added(sg.Function):
        @staticmethod
        def forward(ctx, x):
            x += 1
            return x

        @staticmethod
        def backward(ctx, g):
            return g

    first = sg.grad(lambda x: Added.apply(x).sum())
    for f in (first, sg.compile(first), sg.compile(Added.apply), sg.vmap(Added.apply)):
        with pytest.raises(UsageError, match=r"Added\.forward: changed argument 0 in place.*clone"):
            f(sg.tensor(X))


# -- what stays a call -----------------------------------------------------------------------------


@sg.op
def by_numpy(x):
    return np.power(np.asarray(x), 3)


@by_numpy.backward
def _(g, out, x):
    return 3 * np.asarray(x) ** 2 * np.asarray(g)


def test_numpy_bodies_are_called():
    for f in (by_numpy, sg.grad(lambda x: by_numpy(x).sum()), sg.vmap(sg.grad(by_numpy))):
        compiled = sg.compile(f)
        np.testing.assert_allclose(compiled(X).numpy(), f(sg.tensor(X)).numpy())
        assert "call by_numpy" in compiled.kernels


def test_second_derivative_of_a_numpy_body_raises():
    second = sg.grad(sg.grad(by_numpy))
    outside = sg.grad(lambda x: sg.vmap(sg.grad(by_numpy))(x).sum())
    for f, x in ((second, 2.0), (sg.vmap(second), X), (outside, X)):
        for each in (f, sg.compile(f)):
            with pytest.raises(GradientError, match="NumPy"):
                each(sg.tensor(x))


def test_numpy_body_inside_a_recorded_body():
    class Around(sg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return sg.sin(by_numpy(x)) * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved
            return g * (sg.sin(x**3) + 3 * x**3 * sg.cos(x**3))

    f = sg.grad(lambda x: Around.apply(x).sum())
    value = sg.compile(Around.apply)
    np.testing.assert_allclose(value(X).numpy(), Around.apply(sg.tensor(X)).numpy())
    np.testing.assert_allclose(sg.compile(f)(X).numpy(), f(sg.tensor(X)).numpy())
    assert "call by_numpy" in value.kernels and "Around" not in value.kernels


def test_body_that_reads_a_value_is_called():
    @sg.op
    def larger(x):
        return x * 2 if x.sum() > 0 else x * 3

    larger.backward(lambda g, out, x: g * (2 if x.sum() > 0 else 3))
    f = sg.compile(sg.grad(lambda x: larger(x).sum()))
    assert f(X).tolist() == [2.0] * 3 and f(-X).tolist() == [3.0] * 3
    assert "call larger.backward" in f.kernels


def test_body_that_has_changed_something_cannot_be_called_after_all():
    @sg.op
    def noisy(x):
        return sg.random.normal(3).numpy() + np.asarray(x)

    noisy.backward(lambda g, out, x: g)

    @sg.op
    def scratch(x):
        y = sg.zeros(3, dtype="float64")
        y[0] = 1.0
        return x + y.numpy()

    scratch.backward(lambda g, out, x: g)
    with pytest.raises(CaptureError, match=r"noisy\.forward: changes .*test_custom_compiled"):
        sg.compile(lambda x: noisy(sg.random.normal(3) + x))(X)
    found = sg.compile(scratch)(X)
    assert found.tolist() == (X + [1, 0, 0]).tolist()


def test_second_derivative_through_a_saved_intermediate_raises_compiled_too():
    class Square(sg.Function):
        @staticmethod
        def forward(ctx, x):
            e = sg.exp(x)
            ctx.save_for_backward(e)
            return e * e

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved[0] ** 2

    first = sg.grad(lambda x: Square.apply(x).sum())
    agree(first, X)
    agree(sg.vmap(first), np.stack([X, X + 1]))
    per_row = sg.grad(lambda xs: sg.vmap(first)(xs).sum())
    for f, x in ((sg.jacrev(first), X), (sg.jacfwd(first), X), (per_row, X[None])):
        for each in (f, sg.compile(f)):
            with pytest.raises(GradientError, match="second derivative through a value"):
                each(sg.tensor(x))
