"""Looking inside: where a program keeps its values, and where its time goes."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors, nn, optim


def make_step(width=16):
    sg.random.seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))
    opt = optim.Adam(model.parameters(), lr=0.01)

    @sg.compile
    def step(x):
        loss = (model(x) ** 2).mean() + sg.linalg.det(sg.eye(2) + loss_of(x))
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return model, step


def loss_of(x):
    return sg.ones((2, 2)) * x.mean()


X = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)


def test_slots_that_live_at_one_time_are_apart():
    _, step = make_step()
    step(X)
    memory = step.memory
    assert memory.slots and memory.peak_bytes <= memory.arena_bytes <= 2 * memory.unshared_bytes
    assert any(s.shares_with for s in memory.slots)
    for i, s in enumerate(memory.slots):
        assert s.offset + s.bytes <= memory.arena_bytes and s.first <= s.last
        for j in s.shares_with:
            other = memory.slots[j]
            assert i in other.shares_with and (s.last < other.first or other.last < s.first)
    assert memory.input_bytes == X.nbytes and memory.output_bytes == 4
    assert memory.state_bytes == sum(s.value().nbytes for s in step.state)


def test_memory_is_readable():
    f = sg.compile(lambda x: (x @ x) @ x)
    x = sg.ones((32, 32))
    f(x)
    text = str(f.memory)
    assert text.startswith("arena 4 KiB for 1 slots") and "arguments 4 KiB" in text
    assert "0..1  float32[1024] of product" in text
    plain = sg.compile(lambda x: x, target="numpy")
    plain(x)
    with pytest.raises(errors.OptionError, match="numpy"):
        plain.memory


def test_profile_leaves_the_state_as_it_is():
    model, step = make_step()
    first = step.profile(X, repeat=3)
    before = [p.tolist() for p in model.parameters()]
    assert step.cache_info()[:2] == (0, 1) and model[0].weight.grad is None
    step(X)
    _, twin = make_step()
    assert [p.tolist() for p in model.parameters()] != before
    after = [p.tolist() for p in model.parameters()], [s.value().tolist() for s in step.state]
    second = step.profile(X)
    assert [p.tolist() for p in model.parameters()] == after[0]
    assert [s.value().tolist() for s in step.state] == after[1]
    assert (first.repeat, [r.kernel for r in first.rows]) == (3, [r.kernel for r in second.rows])
    assert second.repeat >= 3


def test_profile_names_every_kernel_and_adds_up():
    f = sg.compile(lambda x: sg.exp(x @ x).sum())
    x = np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32) / 200
    found = f.profile(x, repeat=20)
    assert [r.kernel for r in found.rows] == f.kernels.splitlines()
    assert found.seconds == pytest.approx(sum(r.seconds for r in found.rows))
    assert sum(r.share for r in found.rows) == pytest.approx(1)
    product = found.rows[0]
    assert product.operations == pytest.approx(2 * 200**3 / product.seconds)
    assert product.of_peak == pytest.approx(product.operations / found.peak)
    text = str(found)
    assert "median of 20" in text and all(r.kernel in text for r in found.rows)


def test_profile_refuses_what_it_cannot_do():
    f = sg.compile(lambda x: x + 1)
    with pytest.raises(errors.OptionError, match="repeat=0"):
        f.profile(1.0, repeat=0)
    with pytest.raises(errors.OptionError, match="numpy"):
        sg.compile(lambda x: x, target="numpy").profile(1.0)
    with pytest.raises(errors.OptionError, match="call the function first"):
        sg.compile(lambda x: x).memory
