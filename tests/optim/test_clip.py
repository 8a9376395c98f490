import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn, optim
from slotgrad.errors import OptionError


def with_grads(*grads):
    params = [sg.tensor(np.zeros_like(g), requires_grad=True) for g in grads]
    for p, g in zip(params, grads):
        p.grad = sg.tensor(g)
    return params


@pytest.mark.parametrize("order", [1, 2, 3.0, math.inf])
def test_gradients_are_scaled_to_the_norm(order):
    a, b = np.array([3.0, -4.0]), np.array([[12.0]])
    total = np.linalg.norm(np.concatenate([a, b.ravel()]), ord=order)
    params = [*with_grads(a, b), nn.Parameter([1.0])]
    found = optim.clip_grad_norm(params, 2.0, norm_type=order)
    assert found.shape == () and found.item() == pytest.approx(total)
    assert np.allclose(params[0].grad.numpy(), a * 2 / total, rtol=1e-6)
    assert np.allclose(params[1].grad.numpy(), b * 2 / total, rtol=1e-6)
    assert params[2].grad is None


def test_small_gradients_stay_as_they_are():
    (p,) = with_grads(np.array([0.3, 0.4]))
    for limit in (1.0, math.inf):
        assert optim.clip_grad_norm(p, limit).item() == pytest.approx(0.5)
        assert p.grad.tolist() == [0.3, 0.4]


def test_a_gradient_that_two_parameters_share_is_scaled_once():
    x, y = nn.Parameter([0.0]), nn.Parameter([0.0])
    ((x + y) * 3).sum().backward()
    optim.clip_grad_value([x, y], 2.0)
    assert x.grad.tolist() == y.grad.tolist() == [2.0]
    optim.clip_grad_norm([x, y], math.sqrt(2))
    assert np.allclose(x.grad.numpy(), 1) and np.allclose(y.grad.numpy(), 1)


def test_dtypes_are_kept_and_half_precision_does_not_overflow():
    params = with_grads(np.array([60000.0, 60000.0], np.float16), np.array([1.0], np.float64))
    total = optim.clip_grad_norm(params, 1.0)
    assert total.item() == pytest.approx(60000 * math.sqrt(2))
    assert [p.grad.dtype for p in params] == [sg.float16, sg.float64]
    assert np.allclose(params[0].grad.numpy(), math.sqrt(0.5), atol=1e-3)


def test_no_gradients_at_all():
    assert optim.clip_grad_norm([nn.Parameter([1.0])], 1.0).item() == 0


def test_impossible_limits():
    (p,) = with_grads(np.ones(2))
    for bad in (-1, math.nan, "1"):
        with pytest.raises(OptionError, match="clip_grad_norm: got max_norm="):
            optim.clip_grad_norm(p, bad)
        with pytest.raises(OptionError, match="clip_grad_value: got clip_value="):
            optim.clip_grad_value(p, bad)
    for bad in (0, -1, math.nan):
        with pytest.raises(OptionError, match="clip_grad_norm: got norm_type="):
            optim.clip_grad_norm(p, 1.0, norm_type=bad)
