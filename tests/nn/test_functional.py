import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import DTypeError, OptionError, ShapeError
from slotgrad.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4)) * 2


@pytest.mark.parametrize(
    "f",
    [
        F.relu,
        F.elu,
        lambda x: F.elu(x, 0.3),
        F.leaky_relu,
        F.gelu,
        lambda x: F.gelu(x, "tanh"),
        F.silu,
        F.softplus,
        lambda x: F.softplus(x, 3.0),
        F.softmax,
        lambda x: F.softmax(x, (0, 1)),
        F.log_softmax,
        lambda x: F.log_softmax(x, 0),
        F.normalize,
        lambda x: F.normalize(x, p=3, axis=0),
        lambda x: F.cosine_similarity(x, x[::-1] * 2 + 1),
        lambda x: F.linear(x, sg.tensor(X[:2]), x[:2, 0]),
    ],
)
def test_gradients_to_second_order(f):
    sg.check_grads(f, (sg.tensor(X),), order=2)


def test_gelu_values():
    x = np.linspace(-6, 6, 49)
    expected = [0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x]
    assert np.allclose(F.gelu(sg.tensor(x)).numpy(), expected, rtol=1e-12, atol=0)
    assert F.gelu(sg.tensor(-10.0, dtype="float64")).item() == pytest.approx(-7.619853024160527e-23)
    with pytest.raises(OptionError, match="gelu: got approximate='fast'"):
        F.gelu(sg.tensor(x), "fast")


def test_nothing_overflows():
    x = sg.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    for f in (F.elu, F.gelu, F.silu, F.softplus, F.softmax, F.log_softmax, F.leaky_relu):
        x.zero_grad()
        y = f(x)
        y.sum().backward()
        assert np.isfinite(y.numpy()).all() and np.isfinite(x.grad.numpy()).all(), f


def test_masked_classes_get_no_probability_and_no_gradient():
    x = sg.tensor([0.0, -math.inf, 0.0], requires_grad=True)
    y = F.softmax(x)
    assert y.tolist() == [0.5, 0.0, 0.5]
    y[0].backward()
    assert x.grad.tolist() == [0.25, 0.0, -0.25]


def test_log_softmax_keeps_its_precision_for_large_inputs():
    small = F.log_softmax(sg.tensor([0.0, 0.25])).numpy()
    assert (F.log_softmax(sg.tensor([16384.0, 16384.25])).numpy() == small).all()


def test_integers_and_lists_are_taken():
    assert F.softmax([0, 0]).tolist() == [0.5, 0.5]
    assert F.relu(sg.tensor([-1, 2])).tolist() == [0, 2]
    with pytest.raises(DTypeError, match="softmax: got dtype complex64"):
        F.softmax(sg.tensor([1j]))


def test_half_precision_stays_half():
    for kind in (sg.float16, sg.bfloat16):
        x = sg.ones(3, dtype=kind)
        for f in (F.elu, F.gelu, F.silu, F.softplus, F.softmax, F.log_softmax, F.dropout):
            assert f(x).dtype == kind


def test_linear_refuses_a_bias_that_would_broadcast():
    with pytest.raises(ShapeError, match=r"linear: got bias of shape \(1,\); expected \(3,\)"):
        F.linear(sg.ones((4, 2)), sg.ones((3, 2)), sg.ones(1))


def test_softplus_option():
    with pytest.raises(OptionError, match="softplus: got beta=-1"):
        F.softplus(sg.ones(2), -1)


def test_normalize_and_cosine_similarity_at_zero():
    x = sg.zeros((2, 3), requires_grad=True)
    F.normalize(x).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert F.cosine_similarity(sg.zeros((2, 3)), sg.ones((2, 3))).tolist() == [0.0, 0.0]


def test_cosine_similarity_broadcasts():
    a, b = RNG.normal(size=(5, 4)), RNG.normal(size=4)
    expected = a @ b / np.linalg.norm(a, axis=1) / np.linalg.norm(b)
    assert np.allclose(F.cosine_similarity(sg.tensor(a), sg.tensor(b)).numpy(), expected)


def test_one_hot():
    assert F.one_hot(sg.tensor([1]), 2).tolist() == [[0.0, 1.0]]


def test_functions_under_vmap():
    x = sg.tensor(X)
    for f in (F.softmax, F.log_softmax, F.gelu, F.elu, lambda x: F.normalize(x, axis=0)):
        rows = np.stack([f(x[i]).numpy() for i in range(len(X))])
        assert np.allclose(sg.vmap(f)(x).numpy(), rows)
