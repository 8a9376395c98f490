"""micrograd's interface: its own examples, its demo, and what define-by-run must survive."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import random
import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import UsageError
from slotgrad.micrograd import Value, nn, recording
from slotgrad.micrograd.engine import Value as FromEngine


def test_example_of_the_readme():
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"
    assert FromEngine is Value


def test_small_formula():
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)
    assert (z.grad, q.grad, h.grad, y.grad) == (-3 * -4 + 2 * -10.0, -3.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x + 1, lambda x: x + 1), (lambda x: 1 - x, lambda x: 1 - x),
        (lambda x: 2 / x, lambda x: 2 / x), (lambda x: x**-1.5, lambda x: x**-1.5),
        (lambda x: x.tanh(), sg.tanh), (lambda x: x.exp(), sg.exp), (lambda x: x.log(), sg.log),
        (lambda x: x.relu() + (-x).relu(), sg.abs), (lambda x: x.sigmoid(), sg.sigmoid),
    ],
)  # fmt: skip
def test_functions_against_tensors(f, expected):
    x, t = Value(0.7), sg.tensor(np.float64(0.7), requires_grad=True)
    y, u = f(x), expected(t)
    y.backward()
    u.backward()
    assert (y.data, x.grad) == pytest.approx((u.item(), t.grad.item()), rel=1e-14)


def test_names():
    x = Value(3, label="x")
    assert (x.data, x.grad, x.label, repr(x)) == (3, 0, "x", "Value(data=3, grad=0)")
    y = (x * 2 + 1).relu()
    y.label = "y"
    assert (y.label, y._op, x._op, (x**2)._op, (x / 2)._op) == ("y", "ReLU", "", "**2", "/")
    assert repr(y) == "Value(data=7.0, grad=0.0)"


def test_picture_of_the_notebook():
    """trace_graph.ipynb walks `_prev` and tells nodes apart by their identity."""
    a, b = Value(2.0), Value(-3.0)
    y = ((a * b + a) ** 2).relu()
    y.backward()
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(y)
    assert {a, b, y} <= nodes
    assert all(p in nodes and q in nodes for p, q in edges)
    found = sorted((v._op, round(v.data, 6), round(v.grad, 6)) for v in nodes)
    assert found == [
        ("", -3.0, -16.0), ("", 2.0, 16.0), ("*", -6.0, -8.0), ("**2", 16.0, 1.0),
        ("+", -4.0, -8.0), ("ReLU", 16.0, 1.0),
    ]  # fmt: skip
    assert len(edges) == 6


# -- the demo --------------------------------------------------------------------------------------


def moons(count):
    t = np.linspace(0, math.pi, count // 2)
    outer, inner = np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)]
    return np.concatenate([outer, inner]), np.repeat([-1, 1], count // 2)


def demo_loss(model, xs, ys):
    inputs = [list(map(Value, row)) for row in xs]
    scores = list(map(model, inputs))
    losses = [(1 + -y * score).relu() for y, score in zip(ys, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    total = data_loss + 1e-4 * sum(p * p for p in model.parameters())
    right = [(y > 0) == (score.data > 0) for y, score in zip(ys, scores)]
    return total, sum(right) / len(right)


def tensor_step(parameters, sizes, xs, ys):
    """Loss and gradients of the same model by tensors."""
    flat = sg.tensor(np.array(parameters), requires_grad=True)
    x, at = sg.tensor(xs), 0
    for layer, (n, m) in enumerate(zip(sizes, sizes[1:])):
        rows = flat[at : at + m * (n + 1)].reshape((m, n + 1))
        x = x @ rows[:, :-1].mT + rows[:, -1]
        at += m * (n + 1)
        if layer < len(sizes) - 2:
            x = sg.relu(x)
    loss = sg.relu(1 - sg.tensor(ys.astype(float)) * x[:, 0]).mean() + 1e-4 * (flat * flat).sum()
    loss.backward()
    return loss.item(), flat.grad.numpy()


def test_demo():
    random.seed(1337)
    xs, ys = moons(40)
    model = nn.MLP(2, [8, 8, 1])
    assert len(model.parameters()) == 8 * 3 + 8 * 9 + 9
    for step in range(40):
        before = [p.data for p in model.parameters()]
        total, accuracy = demo_loss(model, xs, ys)
        model.zero_grad()
        total.backward()
        loss, gradients = tensor_step(before, [2, 8, 8, 1], xs, ys)
        assert total.data == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose([p.grad for p in model.parameters()], gradients, atol=1e-13)
        rate = 1.0 - 0.9 * step / 40
        for p in model.parameters():
            p.data -= rate * p.grad
    assert total.data < 0.2 and accuracy > 0.9


def test_steps_of_one_structure_are_sorted_once():
    random.seed(0)
    xs, ys = moons(10)
    model = nn.MLP(2, [4, 1])
    made = set()
    for _ in range(4):
        total, _ = demo_loss(model, xs, ys)
        total.backward()
        (seen, *_), machines = recording._local.seen[total.tape.count], set()
        machines.update(map(id, seen.machines.values()))
        made |= machines
    assert len(made) == 2  # for all values, and for the gradients of the loss


# -- define by run ---------------------------------------------------------------------------------


def test_parameter_changes_between_uses():
    p = Value(2.0)
    first = p * 10
    p.data = 3.0
    second = p * 100
    y = first + second
    assert y.data == 320.0
    y.backward()
    assert (p.grad, first.grad, second.grad) == (110.0, 1.0, 1.0)


def test_values_of_formulas_that_were_closed_meet_again():
    a, b = Value(2.0), Value(5.0)
    x = a * b
    assert x.data == 10.0  # closes the recording
    y = a + b
    z = b * 3  # on the recording of y
    assert y.data == 7.0
    w = x * y + z
    w.backward()
    assert (w.data, a.grad, b.grad) == (85.0, 7 * 5 + 10.0, 7 * 2 + 10 + 3.0)
    assert (x.data, y.data, z.data, x.grad, y.grad, z.grad) == (10.0, 7.0, 15.0, 7.0, 10.0, 1.0)
    again = w + x + Value(1.0)
    assert (again.data, again.tape.count) == (96.0, w._home().count)


def test_results_of_many_recordings_add_up():
    p = Value(0.5)
    total, expected = Value(0.0), 0.0
    for k in range(50):
        part = (p * k).tanh() + p
        expected += math.tanh(0.5 * k) + 0.5
        assert part.data == pytest.approx(math.tanh(0.5 * k) + 0.5)
        total = total + part
    total.backward()
    slopes = sum(k * (1 - math.tanh(0.5 * k) ** 2) + 1 for k in range(50))
    assert (total.data, p.grad) == pytest.approx((expected, slopes))


def test_backward_twice_adds_to_parameters_only():
    a = Value(3.0)
    y = a * a
    z = y * 2
    z.backward()
    z.backward()
    assert (a.grad, y.grad, z.grad) == (24.0, 2.0, 1.0)
    y.backward()
    assert (a.grad, y.grad) == (30.0, 1.0)
    a.grad = 0
    y.grad = 0
    assert (a.grad, y.grad) == (0, 0.0)


def test_what_the_output_does_not_depend_on_has_no_say():
    """The logarithm of 0 beside the formula must not make its gradients nan."""
    a = Value(0.0)
    aside = a.log() * 0
    y = a * 3
    y.backward()
    assert a.grad == 3.0 and math.isnan(aside.data)


def test_leaf_is_its_own_derivative():
    a = Value(3.0)
    a.backward()
    assert a.grad == 1.0 and a._prev == set()


def test_nothing_stays_behind():
    """Recordings go with the last value that is on them."""
    p = Value(1.0)
    for _ in range(3):
        ((p * 2 + 1) * p).backward()
    gc.collect()
    before = sum(isinstance(o, recording.Recording) for o in gc.get_objects())
    for _ in range(20):
        y = (p * 2 + 1) * p
        y.backward()
        unread = p * p  # never computed
    del y, unread
    gc.collect()
    assert sum(isinstance(o, recording.Recording) for o in gc.get_objects()) <= before + 1


def test_threads_record_on_tapes_of_their_own():
    found = {}

    def work(seed):
        rng = random.Random(seed)
        ok = True
        for _ in range(50):
            x = Value(rng.uniform(0.5, 2))
            y = (x * x).exp() + x.log()
            y.backward()
            v = x.data
            ok &= math.isclose(x.grad, 2 * v * math.exp(v * v) + 1 / v, rel_tol=1e-12)
        found[seed] = ok

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {0: True, 1: True}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_learn_by_themselves(copied):
    random.seed(1)
    model = nn.MLP(2, [3, 1])
    loss = model([1.0, 2.0]) ** 2
    loss.backward()
    other, number = copied((model, loss))
    assert (number.data, number.grad, number._op) == (loss.data, 1.0, "")
    for x, y in zip(model.parameters(), other.parameters(), strict=True):
        assert (x.data, x.grad) == (y.data, y.grad)
        y.data -= 1e-3 * y.grad
    assert (model([1.0, 2.0]) ** 2).data == loss.data > (other([1.0, 2.0]) ** 2).data


def test_what_is_refused():
    with pytest.raises(UsageError, match="Value: got 'x'; expected a number"):
        Value("x")
    with pytest.raises(UsageError, match=r"made by tanh; expected a number, made by nothing"):
        Value(1.0, (Value(2.0),), "tanh")
    y = Value(1.0) + 1
    with pytest.raises(UsageError, match=r"data: this value was made by \+"):
        y.data = 3
    with pytest.raises(UsageError, match="data: got 'a'; expected a number"):
        Value(1.0).data = "a"
    with pytest.raises(TypeError):
        _ = y + "a"
