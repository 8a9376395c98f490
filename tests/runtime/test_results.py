"""Memory of results: used again, but never while somebody has it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.runtime.results import HUGE, LARGE, MOST, Memory

N = LARGE // 4


def address(x):
    return np.asarray(x).__array_interface__["data"][0]


@sg.compile
def shifted(x, s):
    return x + s, {"twice": x * s}


def make_memory(size=N):
    return Memory((size,), np.dtype("float32"))


@pytest.mark.parametrize(
    "keep",
    [
        lambda x: x,
        lambda x: x[3:5],
        lambda x: x.reshape(2, -1).T,
        memoryview,
        lambda x: np.from_dlpack(x[::2]),
        lambda x: sg.tensor(x).reshape(2, -1),
    ],
)
def test_memory_that_somebody_has_is_not_used_again(keep):
    memory = make_memory()
    x = memory()
    x[:], kept = 1.0, keep(x)
    begin = address(x)
    del x
    others = [memory() for _ in range(2 * MOST)]
    assert begin not in map(address, others)
    np.testing.assert_array_equal(np.asarray(kept), 1.0)


def test_memory_that_nobody_has_is_used_again():
    memory = make_memory()
    begins = {address(memory()) for _ in range(10)}
    x = memory()
    begins |= {address(memory()) for _ in range(10)}
    assert len(begins) == 2 and len(memory.kept) == 2
    del x


def test_arrays_are_as_new_ones():
    memory = make_memory()
    x = memory()
    x.flags.writeable = False
    del x
    assert memory().flags.writeable


def test_little_memory_is_kept():
    memory = make_memory()
    lasting = [memory() for _ in range(2 * MOST)]
    assert len(set(map(address, lasting))) == 2 * MOST and len(memory.kept) == MOST
    huge = make_memory(HUGE // 4 + 1)
    huge()
    assert huge.kept == []


def test_results_stay_as_they_are():
    x = sg.ones(N)
    results = [shifted(x, sg.tensor(float(i))) for i in range(8)]
    for i, (y, more) in enumerate(results):
        assert (y.numpy() == 1.0 + i).all() and (more["twice"].numpy() == i).all()


def test_results_use_memory_again():
    x, s = sg.ones(N), sg.tensor(2.0)
    shifted(x, s)
    begins = {address(shifted(x, s)[0]) for _ in range(20)}
    assert len(begins) <= MOST


def test_threads_have_results_of_their_own():
    x, wrong = sg.ones(N), []

    def call(i):
        last = None
        for _ in range(200):
            y, more = shifted(x, sg.tensor(float(i)))
            if last is not None and not (last == 1.0 + i).all():
                wrong.append(i)
            if not (more["twice"].numpy() == i).all():
                wrong.append(i)
            last = y.numpy()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
