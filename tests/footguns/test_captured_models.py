"""Models and optimizers under sg.compile: whatever changes outside is seen, nothing is frozen."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn, optim
from slotgrad.nn import functional as F


def make(seed=0, p=0.0, kind=optim.SGD, **options):
    sg.random.seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(p), nn.Linear(8, 2))
    opt = kind(model.parameters(), lr=0.1, **options)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


X = sg.tensor(np.random.default_rng(1).standard_normal((10, 3)).astype(np.float32))
Y = sg.tensor(np.arange(10) % 2)

OPTIMIZERS = {
    "sgd": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": (optim.Adam, {}),
    "adamw": (optim.AdamW, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_equal_eager(name):
    kind, options = OPTIMIZERS[name]
    ends = []
    for compiled in (False, True):
        model, _, step = make(kind=kind, p=0.3, **options)
        run = sg.compile(step) if compiled else step
        losses = [run(X, Y).item() for _ in range(50)]
        ends.append([*losses, *(p.numpy().copy() for p in model.parameters())])
    for eager, native in zip(*ends):
        np.testing.assert_allclose(native, eager, rtol=1e-5, atol=1e-5 * np.abs(eager).max())


def test_eval_and_train_are_noticed():
    model, _, _ = make(p=0.5)
    f = sg.compile(lambda x: model(x))
    noisy = [f(X).tolist() for _ in range(2)]
    assert noisy[0] != noisy[1]
    model.eval()
    quiet = [f(X).tolist() for _ in range(2)]
    assert quiet[0] == quiet[1] == pytest.approx(model(X).numpy(), rel=1e-5)
    model.train()
    assert f(X).tolist() != f(X).tolist()
    assert f.cache_info().misses == 2  # going back finds the first program again


def test_learning_rate_is_noticed_without_compiling_again():
    model, opt, step = make()
    run = sg.compile(step)
    run(X, Y)
    opt.lr = 0.0
    before = [p.tolist() for p in model.parameters()]
    run(X, Y)
    assert [p.tolist() for p in model.parameters()] == before
    assert run.cache_info().misses == 1


@pytest.mark.parametrize(
    "name, value",
    [("weight_decay", 0.5), ("momentum", 0.9), ("nesterov", False), ("lr", 0.3)],
)
def test_options_that_are_set_are_noticed(name, value):
    ends = []
    for compiled in (False, True):
        model, opt, step = make(momentum=0.5, nesterov=True)
        run = sg.compile(step) if compiled else step
        run(X, Y)
        opt.param_groups[0][name] = value
        run(X, Y)
        opt.load_state_dict(copy.deepcopy(opt.state_dict()))
        run(X, Y)
        ends.append([p.tolist() for p in model.parameters()])
    for eager, native in zip(*ends):
        np.testing.assert_allclose(native, eager, rtol=1e-5, atol=1e-6)
    assert run.cache_info().misses == (1 if name == "lr" else 2)


def test_options_that_a_load_changes_are_noticed():
    model, opt, step = make()
    run = sg.compile(step)
    run(X, Y)
    twin, other, twin_step = make(momentum=0.9)
    other.param_groups[0]["weight_decay"] = 0.3
    twin_step(X, Y)
    model.load_state_dict(twin.state_dict())
    opt.load_state_dict(other.state_dict())
    for _ in range(3):
        run(X, Y)
        twin_step(X, Y)
    for p, q in zip(model.parameters(), twin.parameters()):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-6)


def test_options_are_read_and_not_set_inside():
    model, opt, _ = make(weight_decay=0.5)
    [group] = opt.param_groups
    f = sg.compile(lambda x: x * group["weight_decay"])
    assert f(sg.ones(1)).tolist() == [0.5]
    group["weight_decay"] = 0.25
    assert f(sg.ones(1)).tolist() == [0.25]

    def decay(x):
        group["weight_decay"] = 0.0
        return x

    with pytest.raises(sg.errors.CaptureError, match="'weight_decay' is set at .* in decay"):
        sg.compile(decay)(X)


def test_learning_rate_is_read_and_set_inside():
    model, opt, _ = make()
    opt.add_param_group({"params": [nn.Parameter([1.0])], "lr": 0.2})
    groups = opt.param_groups
    other = optim.SGD(model.parameters(), lr=0.1)

    @sg.compile
    def slower(x):
        for group in groups:
            group["lr"] *= 0.5
        other.lr = other.lr / 2
        return x * groups[0]["lr"]

    scaled = [slower(X) for _ in range(3)][-1]
    assert [group["lr"] for group in groups] == [0.0125, 0.025] and other.lr == 0.0125
    assert scaled.dtype == X.dtype and scaled.tolist() == (X * 0.0125).tolist()
    assert slower.cache_info().misses == 1


def test_an_option_that_changes_at_each_call_is_warned_of():
    model, opt, step = make()
    run = sg.compile(step)
    with pytest.warns(UserWarning, match="more than 8 times .* since an option of SGD changes"):
        for i in range(9):
            opt.param_groups[0]["weight_decay"] = i / 100
            run(X, Y)


def test_modules_under_vmap_are_noticed():
    model, _, _ = make(p=1.0)
    f = sg.compile(lambda x: sg.vmap(model)(x))
    noisy = f(X).tolist()
    model.eval()
    assert f(X).tolist() == pytest.approx(model(X).numpy(), rel=1e-5, abs=1e-7) != noisy


class Scaling(nn.Module):
    def __init__(self):
        self.scale, self.pair, self.count = 2.0, (1.0, 2.0), 0
        self.inner, self.layers = nn.Linear(3, 3), nn.Sequential(nn.Tanh())

    def encode(self, x):
        return x * self.scale

    def counted(self, x):
        self.count += 1
        return x * self.count

    def kept(self, x):
        self.last = x * 2
        return self.last + 1


READINGS = {
    "attribute": (lambda m: lambda x: x * m.scale, lambda m: setattr(m, "scale", 3.0)),
    "tuple": (lambda m: lambda x: x * m.pair[0], lambda m: setattr(m, "pair", (5.0, 2.0))),
    "method": (lambda m: lambda x: m.encode(x), lambda m: setattr(m, "scale", 3.0)),
    "bound method": (lambda m: m.encode, lambda m: setattr(m, "scale", 3.0)),
    "mode": (lambda m: lambda x: x * 2 if m.training else x, lambda m: m.eval()),
    "layer": (lambda m: lambda x: m.layers.forward(x), lambda m: m.layers.append(nn.Tanh())),
    "parameters": (
        lambda m: lambda x: x * len(list(m.parameters())),
        lambda m: setattr(m, "other", nn.Linear(1, 1)),
    ),
    "parameter": (
        lambda m: lambda x: x * m.inner.weight.detach().sum(),
        lambda m: setattr(m.inner, "weight", nn.Parameter(np.ones((3, 3), np.float32))),
    ),
}


@pytest.mark.parametrize("name", READINGS)
def test_modules_that_are_not_called_are_noticed(name):
    read, change = READINGS[name]
    model = Scaling()
    f, compiled = read(model), sg.compile(read(model))
    for _ in range(2):
        before = compiled(X).tolist()
        assert before == pytest.approx(f(X).numpy(), rel=1e-5)
    assert compiled.cache_info().misses == 1
    change(model)
    assert compiled(X).tolist() == pytest.approx(f(X).numpy(), rel=1e-5) != before


def test_train_and_eval_inside_set_the_mode_at_each_call():
    model, opt, step = make(p=0.5)

    @sg.compile
    def train(x, y):
        model.train()
        return step(x, y)

    @sg.compile
    def evaluate(x):
        model.eval()
        return model(x)

    for _ in range(4):
        train(X, Y)
        assert model.training and model[2].training
        assert evaluate(X).tolist() == pytest.approx(model(X).numpy(), rel=1e-5, abs=1e-7)
        assert not model.training and not model[2].training
    assert train.cache_info().misses == evaluate.cache_info().misses == 1


def test_attributes_that_a_function_counts_with_are_noticed():
    model = Scaling()
    count = sg.compile(lambda x: model.counted(x))
    assert [count(sg.tensor(1.0)).item() for _ in range(4)] == [1, 2, 3, 4] and model.count == 4


def test_results_in_attributes_do_not_compile_at_each_call():
    model = Scaling()
    f = sg.compile(lambda x: model.kept(x))
    for _ in range(5):
        assert f(sg.tensor(1.0)).item() == 3
    assert f.cache_info().misses <= 2
    with pytest.raises(sg.errors.CaptureError, match="only being recorded"):
        model.last.item()


def test_buffer_bound_anew_inside_is_not_frozen():
    model = nn.Module()
    model.register_buffer("mean", sg.zeros(3))

    def track(x):
        model.mean = model.mean * 0.5 + x.mean(axis=0)
        return x - model.mean

    f = sg.compile(track)
    f(X)
    with pytest.raises(sg.errors.CaptureError, match=r"test_captured_models.*in track.*x\.assign"):
        f(X)


def test_loaded_and_assigned_parameters_are_noticed():
    model, _, _ = make()
    other, _, _ = make(seed=5)
    f = sg.compile(lambda x: model(x))
    f(X)
    model.load_state_dict(other.state_dict())
    assert f(X).tolist() == pytest.approx(other(X).numpy(), rel=1e-5, abs=1e-7)
    with sg.no_grad():
        model[0].weight.assign(sg.zeros((8, 3)))
    assert f(X).tolist() == pytest.approx(model(X).numpy(), rel=1e-5, abs=1e-7)
    assert f.cache_info().misses == 1


def test_rebound_parameters_and_modules_are_noticed():
    model, _, _ = make()
    f = sg.compile(lambda x: model(x))
    f(X)
    model[0].weight = nn.Parameter(np.zeros((8, 3), np.float32))
    assert f(X).tolist() == pytest.approx(model(X).numpy(), rel=1e-5, abs=1e-7)
    model[1] = nn.ReLU()
    assert f(X).tolist() == pytest.approx(model(X).numpy(), rel=1e-5, abs=1e-7)


def test_added_parameters_are_noticed():
    model, _, _ = make()
    opt = optim.SGD(model[-1].parameters(), lr=0.1)

    @sg.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        opt.step()
        return loss

    before = model[0].weight.tolist()
    step(X, Y)
    assert model[0].weight.tolist() == before
    opt.add_param_group({"params": model[0].parameters()})
    step(X, Y)
    assert model[0].weight.tolist() != before


def test_frozen_layer_stays():
    model, _, step = make()
    model[0].requires_grad_(False)
    before = model[0].weight.tolist()
    run = sg.compile(step)
    run(X, Y)
    assert model[0].weight.tolist() == before
    assert model[0].weight.grad is None


def test_gradients_that_a_step_used_up_say_so():
    model, _, step = make()
    run = sg.compile(step)
    run(X, Y)
    p = model[0].weight
    with pytest.raises(sg.errors.CaptureError, match="let the function return it"):
        p.grad.numpy()
    with pytest.raises(
        sg.errors.CaptureError, match="mul: .*'step', which used it without keeping it"
    ):
        p.grad * 2
    run(X, Y)
    p.zero_grad()
    assert p.grad is None


def test_model_is_copied_after_a_step():
    model, _, step = make()
    sg.compile(step)(X, Y)
    copied = copy.deepcopy(model)
    assert copied[0].weight.tolist() == model[0].weight.tolist()
    with pytest.raises(sg.errors.CaptureError, match="let the function return it"):
        copied[0].weight.grad.numpy()


def test_gradients_can_be_returned():
    model, _, _ = make()

    @sg.compile
    def gradients(x, y):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        return [p.grad for p in model.parameters()]

    twin, _, _ = make()
    F.cross_entropy(twin(X), Y).backward()
    for g, p in zip(gradients(X, Y), twin.parameters()):
        np.testing.assert_allclose(g.numpy(), p.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_gradients_do_not_stop_silently_at_a_compiled_forward():
    model, opt, _ = make()
    head = nn.Linear(2, 2)
    features = sg.compile(lambda x: model(x))
    on_features = sg.compile(lambda h: F.cross_entropy(head(h), Y))
    kept = features(X)

    @sg.compile
    def step(h):
        loss = on_features(h)
        loss.backward()
        return loss

    @sg.compile
    def step_on_kept():
        F.cross_entropy(head(kept), Y).backward()

    penalty = sum((p * p).sum() for p in model.parameters())
    for use in (
        lambda: F.cross_entropy(features(X), Y).backward(),
        lambda: (F.cross_entropy(features(X), Y) + penalty).backward(),
        lambda: features.map(sg.stack([X, X])).sum().backward(),
        lambda: on_features(features(X)).backward(),
        lambda: step(features(X)),
        step_on_kept,
    ):
        for _ in range(3):
            with pytest.raises(sg.errors.GradientError, match="result of the compiled function"):
                use()
    assert all(p.grad is None for p in [*model.parameters(), *head.parameters()])


def test_compiled_forwards_without_gradients_are_constants():
    model, opt, _ = make()
    head = nn.Linear(2, 2)
    features = sg.compile(lambda x: model(x))
    step = sg.compile(lambda h: sg.value_and_grad(lambda w: ((h @ w) ** 2).sum())(head.weight.mT))
    with sg.no_grad():
        constants = [features(X) for _ in range(3)]
    constants += [features(X).detach(), features.map(X[None])[0].detach()]
    for h in constants:
        assert not h.requires_grad
        loss, g = step(h)
        assert g.tolist() == pytest.approx((2 * h.mT @ h @ head.weight.mT).numpy(), rel=1e-5)


def test_results_that_go_in_again_are_marked_and_need_no_python():
    w = sg.tensor([0.5], requires_grad=True)
    f, g = sg.compile(lambda h: sg.tanh(h + w)), sg.compile(lambda h: h * 2)
    h = sg.ones(1)
    for _ in range(5):
        h = g(f(h))
    assert h.requires_grad and not h.is_leaf
    assert f.cache_info()[:2] == (3, 2) and g.cache_info()[:2] == (4, 1)
    assert f._calls[0] == 3 and g._calls[0] == 4  # by native code
    with pytest.raises(sg.errors.GradientError, match="reaches a result of the compiled function"):
        h.backward()
    with sg.no_grad():
        assert not g(h).requires_grad
        assert g(h.detach()).tolist() == g(h).tolist()
        assert g.cache_info().misses == 2
        with pytest.raises(sg.errors.GradientError, match="changes a result of a compiled func"):
            h.assign([0.0])


def test_losses_of_compiled_steps_are_constants_and_what_they_did_not_derive_is_not():
    model, opt, _ = make()

    @sg.compile
    def step(x, y):
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, logits, logits.argmax(axis=1), model(x)

    for _ in range(3):
        assert [y.requires_grad for y in step(X, Y)] == [False, False, False, True]
