"""`map` does what a Python loop over the rows does, to the bit, and can be stopped."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors, nn, optim


def make_step():
    sg.random.seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 2))
    opt = optim.Adam(model.parameters(), lr=0.01)

    @sg.compile
    def step(x, y):
        loss = ((model(x) - y) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss, "noise": (sg.random.normal(2), None), "size": 3}

    return model, opt, step


def batches(count):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((count, 5, 3)), rng.standard_normal((count, 5, 2))
    return x.astype(np.float32), y.astype(np.float32)


def test_map_equals_a_loop_to_the_bit():
    xs, ys = batches(200)
    model, opt, step = make_step()
    rows = [step(x, y) for x, y in zip(xs, ys)]
    looped = [p.numpy().copy() for p in model.parameters()], sg.random.normal(3).tolist()
    model, opt, step = make_step()
    result = step.map(xs, sg.tensor(ys))
    assert [p.tolist() for p in model.parameters()] == [p.tolist() for p in looped[0]]
    assert sg.random.normal(3).tolist() == looped[1]
    assert result["loss"].tolist() == [r["loss"].item() for r in rows]
    assert result["noise"][0].tolist() == [r["noise"][0].tolist() for r in rows]
    assert result["noise"][1] is None and result["size"].tolist() == [3] * 200
    assert step.cache_info()[:2] == (199, 1)


def test_map_over_numbers_and_strided_rows():
    f = sg.compile(lambda s, x: x * s)
    s, x = np.arange(50.0), np.arange(300.0).reshape(3, 100).T[::2]
    assert f.map(s, x).tolist() == (x * s[:, None]).tolist()
    assert f.map([1.0, 2.0], sg.ones(2)).tolist() == [1, 2]


def test_map_goes_on_after_an_ordinary_call():
    total = sg.tensor(np.zeros(()))

    @sg.compile
    def add(x):
        total.assign(total + x)
        return total * 1

    for i in range(5):
        assert add.map(np.ones(20)).tolist() == [25 * i + k + 1 for k in range(20)]
        assert [add(np.array(1.0)).item() for _ in range(5)][-1] == 25 * (i + 1)


def test_progress_is_told_and_may_change_things():
    model, opt, step = make_step()
    xs, ys = batches(20)
    seen = []

    def progress(done):
        seen.append(done)
        if done == 12:
            model.eval()
            opt.lr = 0.0

    step.map(xs, ys, progress=progress, every=4)
    assert seen == [4, 8, 12, 16, 20]
    assert step.cache_info().misses == 2
    frozen = [p.tolist() for p in model.parameters()]
    seen.clear()
    step.map(xs[:7], ys[:7], progress=seen.append, every=3)
    assert seen == [3, 6] and [p.tolist() for p in model.parameters()] == frozen
    with pytest.raises(errors.OptionError, match="every=0"):
        step.map(xs, ys, progress=print, every=0)


def test_rows_that_do_not_fit_raise():
    f = sg.compile(lambda x, y: x + y)
    for xs in [(), (np.ones(2), np.ones(3)), (np.ones(2), 1.0), (np.ones((0, 2)), np.ones((0, 2)))]:
        with pytest.raises(errors.ShapeError, match="rows"):
            f.map(*xs)


def test_rows_in_the_memory_of_the_state():
    memory = np.arange(8.0)
    w = sg.tensor(memory[4:6])

    @sg.compile
    def add(x):
        w.assign(w + x)

    add.map(memory.reshape(4, 2))
    expected = np.arange(8.0).reshape(4, 2)
    for row in expected:
        expected[2] += row
    assert memory.tolist() == expected.reshape(-1).tolist()


def test_failed_row_leaves_the_state_after_the_last_good_one():
    w = sg.tensor(np.zeros(()))

    @sg.compile
    def f(a):
        w.assign(w + 1)
        return sg.linalg.solve(a, np.ones(2))

    rows = np.stack([np.eye(2)] * 9)
    rows[6] = 0
    with pytest.raises(errors.MatrixError) as caught:
        f.map(rows)
    assert w.item() == 6
    assert caught.value.__notes__ == ["f.map: stopped at row 6 of 9; no call is half done"]


def test_interrupt_stops_between_two_calls():
    count, sum_of = sg.tensor(np.zeros(())), sg.tensor(np.zeros(()))
    a = sg.tensor(np.eye(100))

    @sg.compile
    def f(x):
        a.assign(a @ a)
        count.assign(count + 1)
        sum_of.assign(sum_of + x)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    xs = np.full(200_000, 2.0)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        f.map(xs[:100])
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt) as caught:
            f.map(xs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert 100 < count.item() < 100 + len(xs)
    assert sum_of.item() == 2 * count.item()
    assert "no call is half done" in caught.value.__notes__[0]
    f.map(xs[:10])
    assert sum_of.item() == 2 * count.item()


def test_tape_notices_what_rows_have_changed():
    w = sg.tensor(np.ones(2), requires_grad=True)

    @sg.compile
    def f(x):
        with sg.no_grad():
            w.assign(w * x)

    f.map(np.ones((3, 2)))
    loss = (w * w).sum()
    f.map(np.full((20, 2), 2.0))
    assert w.tolist() == [2.0**20] * 2
    with pytest.raises(errors.ChangedValueError, match="compiled"):
        loss.backward()
