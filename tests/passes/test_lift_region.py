"""Scalars of a region to arrays: what is recognised, and that the program stays what it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.dtypes import float32, float64
from slotgrad.graph.node import TensorType
from slotgrad.graph.region import verify
from slotgrad.passes.lift_region import FEW, lift_region
from slotgrad.passes.pipeline import PASSES, optimize
from slotgrad.runtime.program import Program
from slotgrad.targets.numpy import Program as Oracle
from slotgrad.tree import flatten

PLAIN = [each for each in PASSES if each is not lift_region]
TOLERANCE = {float64: 1e-12, float32: 2e-5}


def region_of(f, *arrays):
    """The captured function, before any pass."""
    xs = [placeholder(TensorType(x.shape, x.dtype)) for x in arrays]
    return capture(lambda: f(*xs), xs, lambda y: flatten(y)[0]).region


def plain(region):
    for each in PLAIN:
        region = each(region)
    return region


def check(f, *arrays):
    """Lifting changes no result; returns what was lifted."""
    region = region_of(f, *arrays)
    lifted = optimize(region, check=True)
    expected = Oracle(plain(region))(arrays)
    for found in (Oracle(lifted)(arrays), Program(lifted)(arrays)):
        for x, y in zip(found, expected):
            assert x.dtype == y.dtype and x.shape == y.shape
            scale = np.abs(y[np.isfinite(y)]).max(initial=1e-300)
            tolerance = TOLERANCE[y.dtype]
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * scale)
    return lifted


def gradients(f, count):
    return sg.value_and_grad(f, argnums=tuple(range(count)))


def ops_of(region):
    return [n.op.name for n in region.nodes if n.op is not None]


def products(region):
    nodes = [n for n in region.nodes if n.op is not None and n.op.name == "matmul"]
    return [tuple(i.type.shape for i in n.inputs) for n in nodes]


def uniform(*shape, dtype=float64, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype(dtype)


# -- regular programs ------------------------------------------------------------------------------


def test_a_product_of_vectors():
    def f(x, w):
        return sum(x[i] * w[i] for i in range(100))

    lifted = check(f, uniform(100), uniform(100, seed=1))
    assert ops_of(lifted) == ["mul", "sum"]
    lifted = check(gradients(f, 2), uniform(100), uniform(100, seed=1))
    assert ops_of(lifted) == ["mul", "sum"]  # the gradients are w and x


def neuron(w, b, x):
    return sum((w[j] * v for j, v in enumerate(x)), b)


def perceptron(x, y, *parameters, activation=sg.tanh):
    """The mean squared error of a net, sample by sample, neuron by neuron."""
    total = 0.0
    for n in range(x.shape[0]):
        h = [x[n, j] for j in range(x.shape[1])]
        for k in range(0, len(parameters), 2):
            w, b = parameters[k : k + 2]
            h = [neuron(w[i], b[i], h) for i in range(w.shape[0])]
            if k + 2 < len(parameters):
                h = [activation(v) for v in h]
        total = total + (h[0] - y[n]) ** 2
    return total * (1 / x.shape[0])


def net(samples, sizes, dtype=float64):
    layers = list(zip(sizes, sizes[1:]))
    weights = [a for m, n in layers for a in (uniform(n, m, dtype=dtype), uniform(n, dtype=dtype))]
    return [uniform(samples, sizes[0], dtype=dtype), uniform(samples, dtype=dtype), *weights]


@pytest.mark.parametrize("dtype", [float64, float32], ids=str)
@pytest.mark.parametrize("activation", [sg.tanh, sg.relu, sg.sigmoid], ids=lambda f: f.__name__)
def test_perceptron(activation, dtype):
    def f(x, y, *parameters):
        return perceptron(x, y, *parameters, activation=activation)

    def derived(x, y, *parameters):
        return sg.value_and_grad(lambda *p: f(x, y, *p), argnums=tuple(range(6)))(*parameters)

    lifted = check(derived, *net(5, (2, 8, 7, 1), dtype))
    assert len(lifted) < 60
    assert "gather" not in ops_of(lifted) and "scatter" not in ops_of(lifted)
    forward, back = products(lifted)[:2], products(lifted)[2:]
    assert forward == [((5, 2), (2, 8)), ((5, 8), (8, 7))]
    assert sorted(back) == sorted([((5, 7), (7, 8)), ((7, 5), (5, 8)), ((8, 5), (5, 2))])


def test_neuron_by_neuron():
    """The outer loop goes over neurons, the inner one over samples."""

    def f(x, w, v):
        rows = [[x[n, j] for n in range(6)] for j in range(3)]
        for weights in (w, v):
            rows = [
                [
                    sg.tanh(sum(weights[i, j] * row[n] for j, row in enumerate(rows)))
                    for n in range(6)
                ]
                for i in range(weights.shape[0])
            ]
        return sum(sum(row) for row in rows)

    lifted = check(gradients(f, 3), uniform(6, 3), uniform(8, 3), uniform(4, 8))
    assert products(lifted)[:2] == [((8, 3), (3, 6)), ((4, 8), (8, 6))]
    assert "gather" not in ops_of(lifted) and "scatter" not in ops_of(lifted)


def test_permuted_inputs():
    order = [3, 1, 6, 0, 2, 7, 5, 4]

    def f(x, w, v):
        total = 0.0
        for n in range(5):
            h = [sg.tanh(sum(w[i, j] * x[n, j] for j in range(4))) for i in range(8)]
            total = total + sum(
                sg.tanh(sum(v[i, j] * h[k] for j, k in enumerate(order))) for i in range(8)
            )
        return total

    lifted = check(gradients(f, 3), uniform(5, 4), uniform(8, 4), uniform(8, 8))
    assert len(products(lifted)) == 6
    assert ops_of(lifted).count("gather") <= 3


def test_convolution():
    def f(x, k):
        return sum(sg.tanh(sum(k[a] * x[i + a] for a in range(5))) for i in range(36))

    lifted = check(gradients(f, 2), uniform(40), uniform(5))
    assert len(lifted) < 100


def test_recurrence():
    def f(x, w, u):
        h = [0.0] * 4
        for t in range(12):
            h = [
                sg.tanh(
                    sum(w[i, j] * h[j] for j in range(4)) + sum(u[i, j] * x[t, j] for j in (0, 1))
                )
                for i in range(4)
            ]
        return sum(v * v for v in h)

    lifted = check(gradients(f, 3), uniform(12, 2), uniform(4, 4), uniform(4, 2))
    assert len(lifted) < 40 * 12


def rosenbrock(x):
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1))


@pytest.mark.parametrize("dtype", [float64, float32], ids=str)
def test_rosenbrock(dtype):
    lifted = check(sg.value_and_grad(rosenbrock), uniform(50, dtype=dtype))
    assert len(lifted) < 50


def test_second_derivatives():
    def f(x):
        return sum(sg.sin(x[i] * x[i + 1]) for i in range(19))

    check(sg.hessian(f), uniform(20))
    check(lambda x, v: sg.hvp(rosenbrock, (x,), (v,)), uniform(20), uniform(20, seed=1))


def test_sparse_polynomials():
    r = np.random.default_rng(0)
    places = r.integers(0, 30, (40, 10, 2)).tolist()

    def f(x, c):
        rows = enumerate(places)
        return sum(
            sg.tanh(sum(c[i, k] * x[a] * x[b] for k, (a, b) in enumerate(row))) for i, row in rows
        )

    lifted = check(gradients(f, 2), uniform(30), uniform(40, 10))
    assert len(lifted) < 60
    assert ops_of(lifted).count("scatter") == 1  # what x gets, in sums of many lengths


def test_places_in_views():
    def f(x):
        rows = [row for row in x.mT[1:, ::-1]]
        return sum(sg.exp(row[i]) * row[3 - i] for row in rows for i in range(4))

    check(sg.value_and_grad(f), uniform(4, 9))


# -- where numbers come from and go to -------------------------------------------------------------


def test_arrays_of_results():
    def f(x):
        ys = [sg.tanh(x[i]) * x[i + 1] for i in range(60)]
        return sg.stack(ys), sg.stack([y + 1.0 for y in ys]).reshape(6, 10).mT

    lifted = check(f, uniform(61))
    assert len(lifted) < 20


def test_numbers_as_results():
    def f(x):
        return [sg.tanh(x[i]) * x[i] + 1.0 for i in range(60)]

    lifted = check(f, uniform(60))
    assert ops_of(lifted).count("tanh") == 1


def test_numbers_as_arguments():
    def f(*xs):
        return [sg.tanh(x) * x + y for x, y in zip(xs, xs[1:])]

    lifted = check(f, *(uniform(seed=i) for i in range(60)))
    assert ops_of(lifted).count("tanh") == 1


def test_arrays_between_numbers():
    """Numbers, an operation on the array of them, numbers again."""

    def f(x, m):
        ys = sg.stack([sg.tanh(x[i]) * x[i] for i in range(40)]) @ m
        return sum(sg.sin(ys[i]) * x[i] for i in range(40)) + ys.max()

    lifted = check(gradients(f, 2), uniform(40), uniform(40, 40))
    assert len(lifted) < 60


def test_gradients_from_numbers_and_arrays():
    def f(w, x):
        return sum(sg.tanh(w[i] * x[i]) for i in range(50)) + 0.1 * (w * w).sum()

    lifted = check(gradients(f, 2), uniform(50), uniform(50))
    assert len(lifted) < 30


def test_elements_that_are_written():
    def f(x):
        out = sg.zeros(60, dtype="float64")
        for i in range(60):
            out[i] = sg.tanh(x[i]) * 2.0 + x[59 - i]
        out[3] += 1.0
        return out, out[0] * out[1]

    lifted = check(f, uniform(60))
    assert "scatter" not in ops_of(lifted)
    lifted = check(sg.value_and_grad(lambda x: (f(x)[0] * x).sum()), uniform(60))
    assert "scatter" not in ops_of(lifted)


def test_elements_of_an_argument_that_are_written():
    def f(x, y):
        z = x.clone()
        for i in range(0, 80, 2):
            z[i] = sg.tanh(z[i]) * y[i // 2] + 1.0
        return (z * z).sum()

    lifted = check(gradients(f, 2), uniform(80), uniform(40))
    assert len(lifted) < 60


def test_sums_of_arrays_of_numbers():
    def f(x):
        ys = sg.stack([sg.stack([sg.sin(x[i] * x[j]) for j in range(10)]) for i in range(10)])
        return ys.sum(axis=0), ys.mean(), ys.sum(axis=1, keepdims=True)

    check(f, uniform(10))


def test_other_dtypes_among_numbers():
    def f(x, y):
        ys = [sg.where(x[i] > 0, x[i], -y[i]) for i in range(40)]
        count = sum((v > 0.5).astype("int64") for v in ys)
        return sum(ys), count, sum(v.astype("float32") * y[0].astype("float32") for v in ys)

    region = region_of(f, uniform(40), uniform(40))
    for program in (Oracle, Program):
        new, old = (program(r)([uniform(40)] * 2) for r in (optimize(region, True), plain(region)))
        for x, y in zip(new, old):
            np.testing.assert_allclose(x, y, rtol=1e-6)
            assert x.dtype == y.dtype


def test_what_is_not_finite_flows():
    def f(x):
        return sum(sg.log(x[i]) * x[i] / x[i + 1] for i in range(40)), [
            x[i] * 0.0 for i in range(40)
        ]

    x = uniform(41)
    x[3], x[7], x[9], x[20] = np.nan, np.inf, -np.inf, 0.0
    check(f, x)
    check(lambda x: sg.grad(lambda x: f(x)[0])(x), x)


def test_signs_of_zero():
    """0 + -0.0 is 0.0, as `sum` makes it, and 1 / 0.0 is inf."""

    def f(x):
        few = [1.0 / sum([x[i]]) for i in range(40)]
        many = [1.0 / sum(x[i + j] for j in range(6)) for i in range(0, 60, 6)]
        return sg.stack(few), sg.stack(many)

    lifted = check(f, np.full(60, -0.0))
    assert len(lifted) < 40
    for found in Program(lifted)([np.full(60, -0.0)]):
        assert (found == np.inf).all()


# -- what stays ------------------------------------------------------------------------------------


def test_few_numbers_stay():
    region = plain(region_of(lambda a, b: (a + b) * a, uniform(), uniform()))
    assert lift_region(region) is region
    region = plain(region_of(lambda x: sum(x[i] * x[i] for i in range(FEW // 4)), uniform(FEW)))
    assert lift_region(region) is region


def test_a_chain_stays():
    def f(x):
        y = x
        for _ in range(FEW):
            y = sg.sin(y) * x
        return y

    region = plain(region_of(f, uniform()))
    assert lift_region(region) is region


def test_what_is_irregular_stays():
    r = np.random.default_rng(0)

    def f(x):
        values = [x[i] for i in range(20)]
        for _ in range(600):
            a, b = (values[int(i)] for i in r.integers(0, len(values), 2))
            values.append([a + b, a * b, a - b, sg.tanh(a), sg.sin(b)][int(r.integers(0, 5))])
        return sum(values[-50:])

    region = plain(region_of(f, uniform(20)))
    assert lift_region(region) is region


def test_arrays_stay():
    def f(x):
        for _ in range(2 * FEW):
            x = sg.tanh(x) * 2.0
        return x

    region = plain(region_of(f, uniform(3)))
    assert lift_region(region) is region


# -- compiled functions ----------------------------------------------------------------------------


def test_a_step_with_numbers_as_weights():
    """0-d tensors, backward() and an update in place: compiled as eager."""
    x, y = uniform(6, 3), uniform(6)

    def weights():
        values = np.random.default_rng(0).uniform(-1, 1, 5 * 4)
        return [sg.tensor(np.array(v), requires_grad=True) for v in values]

    def step_of(ps):
        def step(x, y):
            loss = 0.0
            for n in range(6):
                h = [neuron(ps[4 * i : 4 * i + 3], ps[4 * i + 3], x[n]).tanh() for i in range(5)]
                loss = loss + (sum(h) - y[n]) ** 2
            for p in ps:
                p.grad = None
            loss.backward()
            with sg.no_grad():
                for p in ps:
                    p -= 0.1 * p.grad
            return loss

        return step

    eager, compiled = weights(), weights()
    run = sg.compile(step_of(compiled))
    for _ in range(3):
        expected = step_of(eager)(sg.tensor(x), sg.tensor(y))
        found = run(x, y)
        np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-12)
        for a, b in zip(compiled, eager):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    assert run.code.count("tanh") == 1


def test_python_numbers():
    def f(*xs):
        return sum((a - b) ** 2 * math.pi for a, b in zip(xs, xs[1:]))

    xs = uniform(60).tolist()
    value, found = sg.compile(gradients(f, 60))(*xs)
    d = np.diff(xs)
    assert math.isclose(value, math.pi * (d * d).sum(), rel_tol=1e-12)
    expected = 2 * math.pi * (np.append(0, d) - np.append(d, 0))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    assert isinstance(found[0], float)


def test_under_vmap():
    f = sg.vmap(sg.value_and_grad(lambda x: rosenbrock(x)))
    x = uniform(3, 20)
    for found, expected in zip(sg.compile(f)(x), f(sg.tensor(x))):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_verified_regions_hold():
    region = region_of(sg.value_and_grad(rosenbrock), uniform(60))
    verify(lift_region(plain(region)))
