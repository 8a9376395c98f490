"""Long runs that CI does not do: `make soak`."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

import slotgrad as sg


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_step(compiled: bool):
    sg.random.seed(0)
    model = sg.nn.Sequential(sg.nn.Linear(4, 16), sg.nn.Tanh(), sg.nn.Linear(16, 3))
    opt = sg.optim.Adam(model.parameters(), lr=1e-3)

    def step(x, y):
        loss = sg.nn.functional.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return sg.compile(step) if compiled else step


@pytest.mark.parametrize(("compiled", "count"), [(True, 100_000), (False, 10_000)])
def test_steps_leak_nothing(compiled, count):
    step = make_step(compiled)
    x = sg.tensor(np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    y = sg.tensor(np.arange(8) % 3)
    for _ in range(1000):
        step(x, y)
    before, references = peak_mebibytes(), sys.getrefcount(x.numpy())
    for _ in range(count):
        loss = step(x, y)
    assert np.isfinite(loss.item())
    del loss  # in eager mode its graph holds the batch
    after = sys.getrefcount(x.numpy())
    assert peak_mebibytes() - before < 5
    assert after == references


def test_ten_million_operations_run_backward():
    x = sg.tensor(np.float64(1), requires_grad=True)
    y = x
    for _ in range(10**7):
        y = y * 1.0
    y.backward()
    assert x.grad.item() == 1
