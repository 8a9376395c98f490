"""Every optimizer against a float64 NumPy version that is written out here."""

import copy
import itertools

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn, optim
from slotgrad.errors import DTypeError, GradientError, OptionError, ShapeError, StateError

START = np.array([[0.5, -1.5], [2.0, 0.1]])


def gradients(steps, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=START.shape) for _ in range(steps)]


def numpy_sgd(p, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    buffer = None
    for g in grads:
        g = g + weight_decay * p
        buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
        if momentum != 0:
            g = g + momentum * buffer if nesterov else buffer
        p = p - lr * g
    return p


def numpy_adam(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, start=1):
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
    return p


def run(opt, p, grads):
    for g in grads:
        p.grad = sg.tensor(g.astype(p.dtype))
        opt.step()
    return p.numpy()


SGD_OPTIONS = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
]
ADAM_OPTIONS = [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.7), "eps": 1e-3}, {"betas": (0.0, 0)}]


@pytest.mark.parametrize("options", SGD_OPTIONS)
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 1e-5)])
def test_sgd(options, dtype, rtol):
    p = sg.tensor(START, dtype=dtype, requires_grad=True, copy=True)
    found = run(optim.SGD([p], lr=0.05, **options), p, gradients(6))
    assert found.dtype == dtype
    assert np.allclose(found, numpy_sgd(START, gradients(6), 0.05, **options), rtol=rtol)


@pytest.mark.parametrize("options", ADAM_OPTIONS)
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-10), ("float32", 1e-5)])
def test_adam(kind, options, dtype, rtol):
    p = sg.tensor(START, dtype=dtype, requires_grad=True, copy=True)
    found = run(kind([p], lr=0.05, **options), p, gradients(6))
    decoupled = kind is optim.AdamW
    options = {"weight_decay": 0.01 * decoupled} | options
    expected = numpy_adam(START, gradients(6), 0.05, **options, decoupled=decoupled)
    assert np.allclose(found, expected, rtol=rtol)


def test_small_numbers_by_hand():
    # two steps with gradients 1 and 3 from 1.0, worked out on paper
    cases = [
        (optim.SGD, {"lr": 0.1}, 0.6),
        (optim.SGD, {"lr": 0.1, "momentum": 0.5}, 1 - 0.1 - 0.35),
        (optim.SGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}, 1 - 0.15 - 0.475),
        (optim.SGD, {"lr": 0.1, "momentum": 0.5, "dampening": 0.5}, 1 - 0.1 - 0.2),
        (optim.Adam, {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.0}, 0.8),
        (optim.Adam, {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.0},
         0.9 - 0.1 * (1.75 / 0.75) / np.sqrt(4.75 / 0.75)),
        (optim.AdamW, {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.0, "weight_decay": 1.0},
         (0.9 - 0.1) * 0.9 - 0.1),
    ]  # fmt: skip
    for kind, options, expected in cases:
        p = sg.tensor(1.0, dtype="float64", requires_grad=True)
        found = run(kind([p], **options), p, [np.array(1.0), np.array(3.0)])
        assert found == pytest.approx(expected, abs=1e-12), (kind, options)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_defaults_are_those_of_pytorch(kind):
    p = sg.ones(1, requires_grad=True)
    group = kind([p]).param_groups[0]
    assert group["lr"] == 1e-3 and group["params"] == (p,)
    expected = {
        optim.SGD: {"momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False},
        optim.Adam: {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
        optim.AdamW: {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    }[kind]
    assert group.options == expected
    assert "weight_decay=" in repr(group) and kind.__name__ in repr(kind([p], lr=0.1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_its_moments_in_single(dtype):
    p = sg.tensor(START, dtype=dtype, requires_grad=True)
    opt = optim.Adam([p], lr=0.05)
    found = run(opt, p, gradients(3))
    assert p.dtype == sg.dtypes.as_dtype(dtype)
    assert opt.state[p]["exp_avg"].dtype == sg.float32
    expected = numpy_adam(START, gradients(3), 0.05)
    assert np.allclose(found.astype("float64"), expected, atol=0.02)


# -- state and learning rate ---------------------------------------------------------------------


def test_the_learning_rate_is_a_tensor_that_keeps_its_identity():
    p = sg.tensor(1.0, dtype="float64", requires_grad=True)
    opt = optim.SGD([p], lr=0.1)
    rate = opt.param_groups[0].rate
    assert opt.lr == 0.1 and rate.shape == () and rate.dtype == sg.float64
    opt.lr = 0.5
    assert opt.param_groups[0].rate is rate and rate.item() == 0.5 == opt.lr
    opt.lr = sg.tensor(0.25)
    opt.param_groups[0]["lr"] = opt.param_groups[0]["lr"] * 2
    assert opt.lr == 0.5 and opt.param_groups[0].rate is rate
    assert run(opt, p, [np.array(1.0)]) == 0.5


def test_a_step_keeps_the_parameters_buffer_and_is_not_on_the_tape():
    p = nn.Parameter([1.0, 2.0])
    buffer = p.numpy()
    opt = optim.Adam([p], lr=0.1)
    (p * p).sum().backward()
    opt.step()
    assert p.numpy() is buffer and p.is_leaf and p.requires_grad
    assert not any(t.requires_grad for t in opt.state[p].values())
    assert opt.state[p]["step"].item() == 1


def test_gradients_recorded_for_a_second_backward_are_taken():
    p = nn.Parameter([1.0, 2.0])
    opt = optim.SGD([p], lr=0.1, momentum=0.9)
    (p * p * p).sum().backward(create_graph=True)
    opt.step()
    assert np.allclose(p.numpy(), [0.7, 0.8]) and not opt.state[p]["momentum_buffer"].requires_grad


def test_parameters_without_a_gradient_are_passed_over():
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0])
    opt = optim.Adam([p, q], lr=0.1, weight_decay=0.5)
    q.grad = sg.ones(1)
    opt.step()
    assert p.tolist() == [1.0] and q.item() < 1
    assert [opt.state[x]["step"].item() for x in (p, q)] == [0, 1]
    opt.zero_grad()
    assert q.grad is None
    opt.step()
    assert [opt.state[x]["step"].item() for x in (p, q)] == [0, 1]


def test_groups_have_options_of_their_own():
    p, q = (sg.tensor(START, requires_grad=True, copy=True) for _ in range(2))
    opt = optim.SGD(
        [{"params": [p]}, {"params": q, "lr": 0.5, "momentum": 0.9}], lr=0.1, weight_decay=0.2
    )
    assert [g["momentum"] for g in opt.param_groups] == [0, 0.9]
    for g in gradients(3):
        p.grad = q.grad = sg.tensor(g)
        opt.step()
    assert np.allclose(p.numpy(), numpy_sgd(START, gradients(3), 0.1, weight_decay=0.2))
    assert np.allclose(q.numpy(), numpy_sgd(START, gradients(3), 0.5, 0.9, weight_decay=0.2))
    with pytest.raises(OptionError, match=r"different learning rates \[0.1, 0.5\]"):
        opt.lr
    opt.lr = 0.3
    assert opt.lr == 0.3
    opt.add_param_group({"params": sg.ones(2, requires_grad=True), "momentum": 0.5})
    assert opt.param_groups[2]["weight_decay"] == 0.2 and len(opt.state) == 3


def test_added_parameters_get_the_options_of_the_constructor():
    a, b = sg.ones(1, requires_grad=True), sg.ones(2, requires_grad=True)
    opt = optim.SGD([{"params": a, "lr": 0.5}], lr=0.1, momentum=0.9)
    opt.add_param_group({"params": [b], "weight_decay": 0.2})
    assert [group["lr"] for group in opt.param_groups] == [0.5, 0.1]
    assert dict(opt.param_groups[1]) == {
        "params": (b,), "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.2,
        "nesterov": False,
    }  # fmt: skip


def test_options_can_be_set():
    """As a run whose options are those from the start, and as the recurrence goes on."""
    p = sg.tensor(START, requires_grad=True, copy=True)
    opt = optim.Adam([p], lr=0.05)
    opt.param_groups[0].update(betas=[0.5, 0.7], weight_decay=0.1, eps=1e-3)
    options = {"betas": (0.5, 0.7), "weight_decay": 0.1, "eps": 1e-3}
    assert np.allclose(run(opt, p, gradients(6)), numpy_adam(START, gradients(6), 0.05, **options))


def test_momentum_can_begin_and_pause():
    p = sg.tensor(1.0, dtype="float64", requires_grad=True)
    opt, expected, b = optim.SGD([p], lr=0.1), 1.0, None
    for momentum, dampening in [(0, 0), (0.5, 0.25), (0.5, 0), (0, 0), (0.5, 0.25)]:
        opt.param_groups[0]["momentum"] = momentum
        opt.param_groups[0]["dampening"] = dampening
        if momentum:
            b = 1.0 if b is None else momentum * b + (1 - dampening)
        expected -= 0.1 * (b if momentum else 1.0)
        assert run(opt, p, [np.array(1.0)]) == pytest.approx(expected, abs=1e-12)


def test_impossible_options_cannot_be_set():
    p = sg.ones(1, requires_grad=True)
    group = optim.Adam([p], weight_decay=0.5).param_groups[0]
    for name, bad, message in [
        ("momentum", 0.9, "param_groups: got 'momentum' to set; expected lr, betas, eps"),
        ("params", [p], "got 'params' to set"),
        ("betas", (0.5, 1.0), r"Adam: got betas\[1\]=1.0"),
        ("weight_decay", -1, "Adam: got weight_decay=-1"),
    ]:
        with pytest.raises(OptionError, match=message):
            group[name] = bad
    with pytest.raises(OptionError, match="cannot be deleted"):
        del group["betas"]
    with pytest.raises(KeyError):
        group["momentum"]
    assert group["betas"] == (0.9, 0.999) and group["weight_decay"] == 0.5
    assert "momentum" not in group and group.get("momentum") is None


@pytest.mark.parametrize(
    "kind, options",
    [(optim.SGD, o) for o in SGD_OPTIONS] + [(optim.Adam, {}), (optim.AdamW, {})],
)
def test_a_run_that_is_resumed_goes_on_as_if_it_had_not_stopped(kind, options):
    whole, part = (sg.tensor(START, requires_grad=True, copy=True) for _ in range(2))
    run(kind([whole], lr=0.05, **options), whole, gradients(6))
    first = kind([part], lr=0.05, **options)
    run(first, part, gradients(6)[:3])
    saved = copy.deepcopy(first.state_dict())
    second = kind([part], lr=0.9)
    second.load_state_dict(saved)
    assert second.lr == 0.05 and second.param_groups[0].options == first.param_groups[0].options
    run(second, part, gradients(6)[3:])
    assert (part.numpy() == whole.numpy()).all()


def test_state_dict_shares_memory_and_loading_copies():
    p = sg.ones(2, requires_grad=True)
    opt = optim.Adam([p])
    state = opt.state_dict()
    p.grad = sg.ones(2)
    opt.step()
    assert state["state"][0]["step"].item() == 1
    assert state["param_groups"] == [
        {"params": [0], "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    ]
    q = sg.ones(2, requires_grad=True)
    other = optim.Adam([q])
    other.load_state_dict(state)
    opt.step()
    assert other.state[q]["step"].item() == 1


def test_a_state_that_does_not_fit_changes_nothing():
    p = sg.ones(2, requires_grad=True)
    opt = optim.Adam([p])
    good = {"step": sg.tensor(3.0), "exp_avg": sg.ones(2), "exp_avg_sq": sg.ones(2)}
    group = {"params": [0], "lr": 0.5, "betas": (0.5, 0.5), "eps": 1e-8, "weight_decay": 0.0}

    def saved(state, groups=(group,)):
        return {"state": state, "param_groups": groups}

    no_lr = {name: x for name, x in group.items() if name != "lr"}
    for bad, message in [
        (saved({}), r"missing state\[0\]\['step'\]"),
        (saved({0: good, 1: good}), r"unexpected state\[1\]"),
        (saved({0: good}, (group, group)), r"groups of \[1, 1\] parameters, expected \[1\]"),
        (saved({0: good | {"m": sg.ones(3)}}), r"'m'\] is float32\[3\], expected .* \(2,\) or"),
        (saved({0: good | {"exp_avg": sg.ones(3)}}), r"float32\[3\], expected .*shape \(2,\)"),
        (saved({0: good | {"step": sg.tensor(3)}}), r"'step'\] is int64\[\]"),
        (saved({0: good}, [no_lr]), r"missing param_groups\[0\]\['lr'\]"),
        (saved({0: good}, [group | {"momentum": 0.9}]), r"unexpected .*\['momentum'\]"),
        ({"param_groups": [group]}, "expected what state_dict"),
        ([1], "got list; expected what state_dict"),
        (saved({0: [1]}), "expected what state_dict"),
    ]:
        with pytest.raises(StateError, match=f"Adam.load_state_dict: .*{message}"):
            opt.load_state_dict(bad)
        assert opt.lr == 1e-3 and opt.state[p]["exp_avg"].tolist() == [0.0, 0.0]
    with pytest.raises(OptionError, match="got eps=-1"):
        opt.load_state_dict(saved({0: good}, [group | {"eps": -1}]))
    assert opt.param_groups[0]["betas"] == (0.9, 0.999)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "0.1", None, True])
def test_impossible_numbers(bad):
    def one():
        return [sg.ones(1, requires_grad=True)]

    for kind in (optim.SGD, optim.Adam, optim.AdamW):
        for name in ("lr", "weight_decay"):
            with pytest.raises(OptionError, match=rf"{kind.__name__}: got {name}=.*expected a fin"):
                kind(one(), **{"lr": 0.1} | {name: bad})
        opt = kind(one(), lr=0.1)
        with pytest.raises(OptionError, match=rf"{kind.__name__}: got lr="):
            opt.lr = bad
        with pytest.raises(OptionError, match="param_groups: got lr="):
            opt.param_groups[0]["lr"] = bad
        assert opt.lr == 0.1
    with pytest.raises(OptionError, match="SGD: got momentum="):
        optim.SGD(one(), 0.1, momentum=bad)
    with pytest.raises(OptionError, match="Adam: got eps="):
        optim.Adam(one(), eps=bad)
    with pytest.raises(OptionError, match=r"AdamW: got betas\[1\]="):
        optim.AdamW(one(), betas=(0.9, bad))


def test_impossible_options():
    p = sg.ones(1, requires_grad=True)
    for betas in ((0.9, 1.0), (1.5, 0.9)):
        with pytest.raises(OptionError, match="below 1"):
            optim.Adam([p], betas=betas)
    for betas in (0.9, (0.9,), (0.9, 0.99, 0.999)):
        with pytest.raises(OptionError, match="expected two numbers"):
            optim.Adam([p], betas=betas)
    with pytest.raises(OptionError, match="nesterov=True with momentum=0"):
        optim.SGD([p], 0.1, nesterov=True)
    with pytest.raises(OptionError, match="dampening=0.5; expected momentum > 0 and dampening 0"):
        optim.SGD([p], 0.1, momentum=0.9, dampening=0.5, nesterov=True)
    with pytest.raises(ShapeError, match=r"got lr of shape \(1,\)"):
        optim.SGD([p], sg.ones(1))
    with pytest.raises(OptionError, match="got lr=nan"):
        optim.SGD([p], sg.tensor(float("nan")))
    with pytest.raises(OptionError, match="SGD: got option 'beta'; expected"):
        optim.SGD([p], 0.1).add_param_group({"params": [sg.ones(1)], "beta": 1})


def test_impossible_parameters():
    p = sg.ones(2, requires_grad=True)
    model = nn.Linear(1, 1)
    used_up = model.parameters()
    list(used_up)
    for params in ([], used_up, [{"params": []}]):
        with pytest.raises(OptionError, match="SGD: got no parameters"):
            optim.SGD(params, 0.1)
    with pytest.raises(OptionError, match="got one Tensor as params; expected a list"):
        optim.SGD(p, 0.1)
    with pytest.raises(OptionError, match="got one dict as params"):
        optim.SGD({"params": [p]}, 0.1)
    with pytest.raises(OptionError, match="got a list as parameter 1"):
        optim.SGD([p, [1.0]], 0.1)
    with pytest.raises(GradientError, match=r"parameter 0 of shape \(2,\) is the result of an op"):
        optim.SGD([p * 2], 0.1)
    with pytest.raises(DTypeError, match="parameter 0 has dtype int64"):
        optim.SGD([sg.tensor([1, 2])], 0.1)
    with pytest.raises(OptionError, match="parameter 1 .* was given before"):
        optim.SGD([p, p], 0.1)
    with pytest.raises(OptionError, match="parameter 0 .* was given before"):
        optim.SGD([{"params": [p]}, {"params": [p]}], 0.1)
    with pytest.raises(OptionError, match="mixed"):
        optim.SGD([p, {"params": [p]}], 0.1)
    with pytest.raises(OptionError, match="without 'params'"):
        optim.SGD([{"lr": 0.1}], 0.1)


def test_a_gradient_of_another_shape_is_found_before_anything_changes():
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    opt = optim.SGD([p, q], lr=0.1)
    p.grad, q.grad = sg.ones(1), sg.ones(1)
    with pytest.raises(ShapeError, match=r"SGD.step: got .grad of shape \(1,\) for a parameter of"):
        opt.step()
    assert p.tolist() == [1.0]


def test_an_optimizer_of_ones_own():
    class Sign(optim.Optimizer):
        def update(self, p, g, state, lr, options):
            return p - lr.astype(p.dtype) * g.sign(), {}

    p = sg.tensor([1.0, 1.0], requires_grad=True)
    opt = Sign([p], lr=0.25)
    p.grad = sg.tensor([3.0, -2.0])
    opt.step()
    assert p.tolist() == [0.75, 1.25]
    with pytest.raises(sg.errors.UsageError, match="Optimizer has no update"):
        optim.Optimizer([p], lr=0.1).step()


# -- training ------------------------------------------------------------------------------------


def moons(n):
    """Two interleaved half circles with noise."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    x = np.concatenate([upper, lower]) + rng.normal(scale=0.1, size=(2 * n, 2))
    return sg.tensor(x.astype("float32")), sg.tensor(np.repeat([0, 1], n))


@pytest.mark.parametrize(
    "kind, options",
    [
        (optim.SGD, {"lr": 0.5, "momentum": 0.9}),
        (optim.Adam, {"lr": 0.03}),
        (optim.AdamW, {"lr": 0.03}),
    ],
)
def test_two_moons_are_learnt(kind, options):
    sg.random.seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    opt = kind(model.parameters(), **options)
    x, y = moons(100)
    for _ in range(200):
        loss = nn.functional.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 5.0)
        opt.step()
    assert loss.item() < 0.05
    assert (model(x).argmax(axis=1) == y).numpy().mean() > 0.98


def test_xor_is_learnt():
    sg.random.seed(1)
    x = sg.tensor(list(itertools.product([0.0, 1.0], repeat=2)))
    y = sg.tensor([0.0, 1.0, 1.0, 0.0])
    model = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.Linear(8, 1), nn.Flatten(0))
    opt = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        opt.zero_grad()
        loss = nn.BCEWithLogitsLoss()(model(x), y)
        loss.backward()
        opt.step()
    assert loss.item() < 0.01 and ((model(x) > 0).numpy() == (y == 1).numpy()).all()
