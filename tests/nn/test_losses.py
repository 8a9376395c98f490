from functools import partial

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn
from slotgrad.errors import BoundsError, DTypeError, OptionError, ShapeError
from slotgrad.nn import functional as F

RNG = np.random.default_rng(1)
A, B = RNG.normal(size=(4, 3)) * 2, RNG.normal(size=(4, 3))
P = RNG.dirichlet(np.ones(3), size=4)
CLASSES = np.array([2, 0, 1, 2])
REDUCE = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}


def logp_of(x):
    """log softmax over axis 1, in another way than the library."""
    return np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))


def picked(logp, classes):
    """-logp at the classes, by plain loops."""
    out = np.empty(classes.shape)
    for place in np.ndindex(classes.shape):
        out[place] = -logp[(place[0], classes[place], *place[1:])]
    return out


PAIRS = {
    "mse": (F.mse_loss, nn.MSELoss, (A - B) ** 2),
    "l1": (F.l1_loss, nn.L1Loss, np.abs(A - B)),
    "huber": (
        F.huber_loss,
        nn.HuberLoss,
        np.where(np.abs(A - B) <= 1, 0.5 * (A - B) ** 2, np.abs(A - B) - 0.5),
    ),
}


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("name", PAIRS)
def test_regression_losses(name, reduction):
    f, module, expected = PAIRS[name]
    expected = REDUCE[reduction](expected)
    assert np.allclose(f(sg.tensor(A), sg.tensor(B), reduction=reduction).numpy(), expected)
    assert np.allclose(module(reduction=reduction)(sg.tensor(A), B).numpy(), expected)
    sg.check_grads(lambda a, b: f(a, b, reduction=reduction), (A, B), order=2)


def test_huber_delta():
    loss = F.huber_loss(sg.tensor([1.0, 5.0]), sg.zeros(2), "none", delta=2.0)
    assert loss.tolist() == [0.5, 8.0]
    assert nn.HuberLoss(delta=2.0, reduction="sum")(sg.tensor([1.0, 5.0]), [0.0, 0.0]).item() == 8.5
    for delta in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="huber_loss: got delta="):
            F.huber_loss(A, B, delta=delta)
        with pytest.raises(OptionError, match="HuberLoss: got delta="):
            nn.HuberLoss(delta=delta)


def test_huber_gradient_is_bounded_however_large_the_error():
    slope = sg.grad(lambda x: F.huber_loss(x, sg.zeros(3), "sum"))
    assert slope(sg.tensor([np.inf, -np.inf, 1e38])).tolist() == [1.0, -1.0, 1.0]


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_cross_entropy_with_class_numbers(shape, reduction):
    x = RNG.normal(size=(4, 3, *shape))
    classes = RNG.integers(0, 3, size=(4, *shape))
    expected = REDUCE[reduction](picked(logp_of(x), classes))
    for dtype in (np.int64, np.int32, np.uint8):
        target = sg.tensor(classes.astype(dtype))
        assert np.allclose(F.cross_entropy(sg.tensor(x), target, reduction).numpy(), expected)
    found = F.nll_loss(F.log_softmax(sg.tensor(x), 1), classes, reduction)
    assert np.allclose(found.numpy(), expected)
    sg.check_grads(lambda x: F.cross_entropy(x, classes, reduction), (x,), order=2)
    sg.check_grads(lambda x: F.nll_loss(x, classes, reduction), (x,), order=2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", REDUCE)
def test_cross_entropy_with_probabilities_and_smoothing(reduction, smoothing):
    for target, dense in ((P, P), (CLASSES, np.eye(3)[CLASSES])):
        mixed = (1 - smoothing) * dense + smoothing / 3
        expected = REDUCE[reduction](-(mixed * logp_of(A)).sum(1))
        found = F.cross_entropy(sg.tensor(A), target, reduction, label_smoothing=smoothing)
        assert np.allclose(found.numpy(), expected)
    module = nn.CrossEntropyLoss(reduction, label_smoothing=smoothing)
    assert np.allclose(module(sg.tensor(A), CLASSES).numpy(), expected)
    sg.check_grads(lambda x, p: F.cross_entropy(x, p, reduction, smoothing), (A, P), order=2)


def test_cross_entropy_known_numbers():
    # -log softmax of 1, 2, 3 is 2.4076059, 1.4076059, 0.4076059
    logits = sg.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert F.cross_entropy(logits, sg.tensor([2, 0])).item() == pytest.approx(1.4076059)
    assert F.cross_entropy(logits[0], 1).item() == pytest.approx(1.4076059)


def test_the_gradient_of_cross_entropy_is_softmax_minus_one_hot():
    x = sg.tensor(A, requires_grad=True)
    F.cross_entropy(x, CLASSES, "sum").backward()
    assert np.allclose(x.grad.numpy(), np.exp(logp_of(A)) - np.eye(3)[CLASSES])


def test_classes_that_are_masked_out():
    x = sg.tensor([[0.0, -np.inf, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, [[0.5, 0.0, 0.5]])
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2)) and x.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_cross_entropy_under_vmap_and_in_extreme_cases():
    per_example = sg.vmap(F.cross_entropy)(sg.tensor(A), sg.tensor(CLASSES))
    assert np.allclose(per_example.numpy(), picked(logp_of(A), CLASSES))
    assert F.cross_entropy(sg.tensor([[1e4, -1e4]]), [1]).item() == 2e4
    assert np.isnan(F.cross_entropy(sg.zeros((0, 3)), np.zeros(0, int)).item())
    assert F.cross_entropy(sg.zeros((0, 3)), np.zeros(0, int), "sum").item() == 0


@pytest.mark.parametrize("reduction", REDUCE)
def test_binary_cross_entropy(reduction):
    t = P
    s = 1 / (1 + np.exp(-A))
    expected = REDUCE[reduction](-(t * np.log(s) + (1 - t) * np.log(1 - s)))
    f = F.binary_cross_entropy_with_logits
    assert np.allclose(f(sg.tensor(A), t, reduction).numpy(), expected)
    assert np.allclose(nn.BCEWithLogitsLoss(reduction)(sg.tensor(A), t).numpy(), expected)
    sg.check_grads(lambda x: f(x, t, reduction), (A,), order=2)


def test_binary_cross_entropy_with_booleans_and_large_logits():
    f = F.binary_cross_entropy_with_logits
    found = f(sg.tensor([1e4, -1e4, 1e4]), sg.tensor([True, False, False]), "none")
    assert found.tolist() == [0.0, 0.0, 1e4] and found.dtype == sg.float32
    for bad in (-0.1, 1.5, float("nan")):
        with pytest.raises(OptionError, match="expected probabilities, 0 to 1"):
            f(sg.zeros(1), [bad])


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_weights_of_classes_and_places_that_do_not_count(reduction, smoothing):
    x, w = RNG.normal(size=(4, 3, 5)), np.array([0.2, 1.5, 3.0])
    classes = RNG.integers(0, 3, size=(4, 5))
    ignored = np.where(np.arange(20).reshape(4, 5) % 3 == 0, -100, classes)
    logp = logp_of(x) * w[:, None]
    kept = ignored >= 0
    losses = (1 - smoothing) * picked(logp, classes) - smoothing * logp.mean(1)
    counts = w[classes]
    for target, places, options in (
        (classes, np.ones_like(kept), {}),
        (ignored, kept, {"ignore_index": -100}),
    ):
        found = losses * places
        expected = REDUCE[reduction](found)
        if reduction == "mean":
            expected = found.sum() / (counts * places).sum()
        options |= {"weight": w}
        found = F.cross_entropy(sg.tensor(x), target, reduction, smoothing, **options)
        assert np.allclose(found.numpy(), expected)
        module = nn.CrossEntropyLoss(reduction, smoothing, **options)
        assert np.allclose(module(sg.tensor(x), target).numpy(), expected)
        sg.check_grads(partial(module, target=target), (x,))
        if not smoothing:
            module = nn.NLLLoss(reduction, **options)
            assert np.allclose(module(sg.tensor(logp_of(x)), target).numpy(), expected)
    assert module.state_dict()["weight"].tolist() == w.tolist()


def test_a_place_that_does_not_count_has_no_gradient_however_wrong_it_is():
    x = sg.tensor([[0.0, 1.0], [-np.inf, 0.0]], requires_grad=True)
    F.cross_entropy(x, [1, 0], ignore_index=0).backward()
    assert x.grad[1].tolist() == [0.0, 0.0] and x.grad[0, 1].item() < 0


@pytest.mark.parametrize("reduction", REDUCE)
def test_weights_of_binary_cross_entropy(reduction):
    s, w, pos = 1 / (1 + np.exp(-A)), RNG.random((4, 1)), np.array([1.0, 2.0, 0.5])
    expected = REDUCE[reduction](-w * (pos * P * np.log(s) + (1 - P) * np.log(1 - s)))
    module = nn.BCEWithLogitsLoss(reduction, weight=w, pos_weight=pos)
    assert np.allclose(module(sg.tensor(A), P).numpy(), expected)
    sg.check_grads(lambda x: module(x, P), (A,))
    large = F.binary_cross_entropy_with_logits([1e4, -1e4], [0.0, 1.0], "none", pos_weight=2.0)
    assert large.tolist() == [1e4, 2e4]


# -- what is refused -----------------------------------------------------------------------------

LOSSES = [
    (F.mse_loss, nn.MSELoss, B),
    (F.l1_loss, nn.L1Loss, B),
    (F.huber_loss, nn.HuberLoss, B),
    (F.cross_entropy, nn.CrossEntropyLoss, CLASSES),
    (F.nll_loss, nn.NLLLoss, CLASSES),
    (F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, P),
]


@pytest.mark.parametrize("f, module, target", LOSSES)
def test_an_unknown_reduction(f, module, target):
    for bad in ("avg", None, "Mean"):
        with pytest.raises(OptionError, match=f"{f.__name__}: got reduction={bad!r}; expected"):
            f(A, target, reduction=bad)
        with pytest.raises(OptionError, match=f"{module.__name__}: got reduction="):
            module(reduction=bad)
    assert repr(module("sum")) == f"{module.__name__}(reduction='sum')"


def test_weights_that_do_not_fit():
    for f in (F.cross_entropy, F.nll_loss):
        with pytest.raises(ShapeError, match=r"got weight of shape \(4,\); expected \(3,\)"):
            f(A, CLASSES, weight=np.ones(4))
    with pytest.raises(OptionError, match="got ignore_index=1 and probabilities as target"):
        F.cross_entropy(A, P, ignore_index=1)
    with pytest.raises(ShapeError):
        F.binary_cross_entropy_with_logits(A, P, pos_weight=np.ones(4))


@pytest.mark.parametrize("f", [F.mse_loss, F.l1_loss, F.huber_loss])
def test_shapes_must_be_equal(f):
    with pytest.raises(ShapeError, match=r"input of shape \(4, 1\) and target of shape \(4,\)"):
        f(sg.zeros((4, 1)), sg.zeros(4))


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss])
def test_targets_that_do_not_fit(f):
    x = sg.tensor(A)
    with pytest.raises(DTypeError, match=r"dtype float32 and shape \(4,\); expected class numbers"):
        f(x, sg.zeros(4))
    with pytest.raises(DTypeError, match="dtype bool"):
        f(x, sg.zeros(4, dtype="bool"))
    with pytest.raises(ShapeError, match=r"expected class numbers of shape \(4,\)"):
        f(x, sg.zeros((4, 3), dtype="int64"))
    with pytest.raises(ShapeError, match="classes are axis 1"):
        f(x, [0, 1])
    with pytest.raises(BoundsError, match="from 0 to 3; expected 0 to 2, for the 3 classes"):
        f(x, [0, 1, 2, 3])
    with pytest.raises(BoundsError, match="from -100 to 2"):
        f(x, [0, 1, 2, -100])
    with pytest.raises(ShapeError, match="got a tensor without axes"):
        f(1.0, 0)


def test_label_smoothing_is_a_probability():
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="cross_entropy: got label_smoothing="):
            F.cross_entropy(A, CLASSES, label_smoothing=bad)
        with pytest.raises(OptionError, match="CrossEntropyLoss: got label_smoothing="):
            nn.CrossEntropyLoss(label_smoothing=bad)
