"""Long runs that CI does not do: `make soak`."""

from __future__ import annotations

import resource
import subprocess
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


TEN_MILLION = """
import random, re
from pathlib import Path
import slotgrad as sg
from slotgrad.runtime.background import wait

storage, draw = sg.ValueStorage(), random.Random(0).choice
leaves = [sg.Variable(storage, value=1 + i / 1000) for i in range(1000)]
y, held = leaves[0] * leaves[1], []
for _ in range(5 * 10**6):
    product = draw(leaves) * draw(leaves)
    y = y + product
    held += [y, product]
y.compile()
for _ in range(2):  # by the interpreter, then by array code if there is any
    storage.zero_gradients()
    y.forward()
    y.gradient = 1
    y.backward()
    scaled = sum(x.value * x.gradient for x in leaves)
    assert abs(scaled / (2 * y.value) - 1) < 1e-9  # all terms are products of two leaves
    wait()
assert len(storage) > 10**7
# not ru_maxrss, which begins with the memory of the process that started this one
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20)
"""


def test_ten_million_nodes_in_four_gibibytes():
    command = [sys.executable, "-c", TEN_MILLION]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(child.stdout) < 4
