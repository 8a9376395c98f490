"""The first call in a process that finds the code of its programs on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# A training step whose kernels are of every kind: products with what follows, rows, copies of
# elements, statements by index, a call of Python.
STEP = """
import json
import slotgrad as sg
from slotgrad.runtime.program import Program

writes = []
texts = Program.texts
Program.texts = lambda self: writes.append(self) or texts(self)

sg.random.seed(1)
model = sg.nn.Sequential(sg.nn.Linear(WIDTH, 300), sg.nn.ReLU(), sg.nn.Linear(300, 7))
opt = sg.optim.Adam(model.parameters(), lr=1e-3)

@sg.compile
def step(x, y):
    loss = sg.nn.functional.cross_entropy(model(x), y) + sg.linalg.det(x[:8, :8]) * 1e-9
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss

x, y = sg.random.normal((256, WIDTH)), sg.tensor([i % 7 for i in range(256)])
losses = [step(x, y).item() for _ in range(3)]
count = len(writes)
print(json.dumps([losses, count, step._newest.program.library.cached, step.llvm]))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", str(tmp_path / "cache"))


def first_call(before="", width="200", **variables):
    """Losses, how many texts were written, whether the code was on disk, and the text."""
    command = [sys.executable, "-c", before + STEP.replace("WIDTH", width)]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


def test_what_is_on_disk_is_not_written():
    losses, written, cached, text = first_call(PYTHONHASHSEED="1")
    assert (written, cached) == (1, False) and "slotgrad_parallel" in text
    assert first_call(PYTHONHASHSEED="2") == [losses, 0, True, text]


def test_what_differs_is_written():
    first_call()
    assert first_call(width="201")[1:3] == [1, False]
    assert first_call(SLOTGRAD_NUM_THREADS="3")[1:3] == [1, False]


SOURCES = """
import slotgrad.runtime.program
slotgrad.runtime.program.sources = lambda: {}
"""


def test_other_sources_write_anew():
    losses, *_, text = first_call()
    assert first_call(SOURCES.format("'edited'")) == [losses, 1, False, text]


def test_without_sources_the_text_tells():
    losses, *_, text = first_call(SOURCES.format(None))
    assert first_call(SOURCES.format(None)) == [losses, 1, True, text]
