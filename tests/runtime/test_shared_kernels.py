"""Programs whose kernels are shared by threads: the same bits for any number of them."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.nn import functional as F


@pytest.fixture(autouse=True)
def number_of_threads():
    before = sg.get_num_threads()
    yield
    sg.set_num_threads(before)


def trained(steps=3):
    """Losses and parameters of a model large enough for its kernels to be shared."""
    sg.random.seed(1)
    model = sg.nn.Sequential(sg.nn.Linear(300, 700), sg.nn.ReLU(), sg.nn.Linear(700, 20))
    opt = sg.optim.Adam(model.parameters(), lr=1e-3)

    @sg.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    x, y = sg.random.normal((64, 300)), sg.tensor(np.arange(64) % 20)
    losses = [step(x, y).item() for _ in range(steps)]
    assert "slotgrad_parallel" in step.llvm
    return [np.array(losses), *(p.numpy() for p in model.parameters())]


def test_any_number_of_threads_gives_the_same_bits():
    sg.set_num_threads(1)
    expected = trained()
    for n in (2, 3, 7):
        sg.set_num_threads(n)
        for found, alone in zip(trained(), expected):
            np.testing.assert_array_equal(found, alone)


def test_softmax_rows_and_long_vectors_are_shared():
    x = sg.random.normal((333, 1024))
    v = sg.random.normal((1 << 17,))
    f, g = sg.compile(lambda x: F.softmax(x, axis=-1)), sg.compile(lambda v: sg.tanh(v) * v)
    sg.set_num_threads(1)
    alone = f(x).numpy(), g(v).numpy()
    sg.set_num_threads(4)
    np.testing.assert_array_equal(f(x).numpy(), alone[0])
    np.testing.assert_array_equal(g(v).numpy(), alone[1])
    assert "slotgrad_parallel" in f.llvm and "slotgrad_parallel" in g.llvm


def test_two_callers_at_once():
    sg.set_num_threads(2)
    xs = [sg.random.normal((400, 400)) for _ in range(2)]
    fs = [sg.compile(lambda x: sg.maximum(x @ x, 0.0)) for _ in xs]
    expected = [f(x).numpy() for f, x in zip(fs, xs)]
    wrong = []

    def call(f, x, y):
        for _ in range(50):
            if not np.array_equal(f(x).numpy(), y):
                wrong.append(f)

    callers = [threading.Thread(target=call, args=each) for each in zip(fs, xs, expected)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_computes_the_same():
    sg.set_num_threads(2)
    x = sg.random.normal((400, 400))
    f = sg.compile(lambda x: sg.maximum(x @ x, 0.0))
    expected = f(x).numpy()
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(f(x).numpy(), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
