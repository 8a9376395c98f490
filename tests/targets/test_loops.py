"""How rows are walked."""

from __future__ import annotations

import re

import numpy as np
import pytest

import slotgrad as sg

ROWS = np.linspace(-2, 3, 6 * 96, dtype=np.float32).reshape(6, 96)


def fetches(f, x):
    """What a loop fetches ahead, to load (0) or to store (1), in the order of its text."""
    compiled = sg.compile(f)
    np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy(), rtol=2e-5, atol=2e-6)
    return re.findall(r"call void @llvm.prefetch.p0\(ptr %\w+, i32 (\d)", compiled.llvm)


def test_a_phase_that_computes_much_fetches_for_the_others():
    found = fetches(lambda x: sg.nn.functional.softmax(x, axis=-1), sg.tensor(ROWS))
    assert set(found) == {"0", "1"}


@pytest.mark.parametrize("f", [sg.logsumexp, lambda x, axis: sg.exp(x).sum(axis=axis)])
def test_rows_that_become_numbers_fetch_the_next_ones_only(f):
    assert set(fetches(lambda x: f(x, axis=-1), sg.tensor(ROWS))) == {"0"}


@pytest.mark.parametrize(
    "f, x",
    [
        (lambda x: x - x.mean(axis=-1, keepdims=True), ROWS),  # computes little
        (lambda x: sg.exp(x) + 1, ROWS),  # walks each row once
        (lambda x: sg.nn.functional.softmax(x, axis=-1), ROWS[:, :3].copy()),  # in registers
    ],
)
def test_other_rows_fetch_nothing(f, x):
    assert not fetches(f, sg.tensor(x))
