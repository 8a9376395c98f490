"""Straight code takes over from the interpreter, and nothing that was computed is lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.runtime.background import later, wait
from slotgrad.scalar.straightened import Straightening
from slotgrad.scalar.tiers import SHORT, STRAIGHT


def recorded(operations):
    """A storage, a variable, a formula in the middle and the last one."""
    storage = sg.ValueStorage()
    x, y = sg.Variable(storage, value=0.3), sg.Variable(storage, value=0.4)
    made = [x, y]
    for i in range(operations):
        made.append(
            (made[-1] * made[-2] if i % 3 else made[-1] - made[-2]).tanh()
            if i % 2
            else made[-1] + x
        )
    return storage, x, made[len(made) // 2], made[-1]


@pytest.fixture
def gate():
    """Lets the background begin its work."""
    gate = threading.Event()
    later(gate.wait)
    yield gate
    gate.set()
    wait()


def test_both_compute_the_same(gate):
    storage, x, middle, y = recorded(150)
    y.compile()
    [step] = storage._recent.steps
    assert isinstance(step, Straightening)
    found = []
    for straight in (False, True, True):
        assert (step.straight is not None) == straight
        storage.zero_gradients()
        y.forward()
        y.gradient = 2
        y.backward()
        found.append([y.value, x.gradient, middle.value, middle.gradient])
        gate.set()
        wait()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-13)
    assert found[1] == found[2]
    assert storage._recent.steps == [step.straight]  # which has taken its place


def test_results_of_the_interpreter_are_kept(gate):
    storage, x, middle, y = recorded(150)
    y.compile()
    y.forward()
    y.gradient = 1
    y.backward()
    once, there = x.gradient, y.value
    gate.set()
    wait()
    x.value = 0.8
    y.forward()
    assert y.value != there
    kept = middle.gradient  # of the backward before
    changed = middle.value
    storage.zero_gradients()
    assert middle.gradient == 0
    x.value = 0.3
    y.forward()
    y.gradient = 1
    y.backward()
    assert middle.value != changed
    np.testing.assert_allclose([y.value, x.gradient, middle.gradient], [there, once, kept], 1e-13)
    y.forward()
    y.backward()
    np.testing.assert_allclose([x.gradient, middle.gradient], [2 * once, kept], 1e-13)


@pytest.mark.parametrize("operations", [SHORT, SHORT + 1, STRAIGHT, STRAIGHT + 1])
def test_sizes(operations):
    storage = sg.ValueStorage()
    x = sg.Variable(storage, value=1.0)
    y = x
    for _ in range(operations):
        y = y + x
    y.compile()
    for _ in range(2):
        y.forward()
        y.gradient = 1
        y.backward()
        assert y.value == operations + 1
        wait()
    assert x.gradient == 2 * (operations + 1)
