"""Arguments of compiled functions: changed in place, static by name, methods, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors


@sg.compile
def double(x):
    return x * 2


class Trainer:
    def __init__(self):
        self.w = sg.tensor([1.0, 2.0], requires_grad=True)
        self.rate = 0.5

    @sg.compile
    def step(self, x):
        loss = (self.w * x).sum()
        self.w.zero_grad()
        loss.backward()
        with sg.no_grad():
            self.w -= self.rate * self.w.grad
        return loss

    @sg.compile(static_argnums=1)
    def ones(self, n):
        return sg.ones(n) * self.w[0]


def change(w, d):
    w += 1
    w[0] = 5.0
    d["a"][...] = w * 2
    first = d["a"][:1]
    first -= 3
    return w.sum()


@pytest.mark.parametrize("make", [sg.tensor, np.asarray], ids=["tensor", "array"])
def test_argument_changed_in_place_changes(make):
    w, a = make(np.array([1.0, 2.0])), make(np.zeros(2))
    v, b = make(np.array([1.0, 2.0])), make(np.zeros(2))
    compiled = sg.compile(change)
    for _ in range(3):
        expected, found = change(w, {"a": a}), compiled(v, {"a": b})
        assert float(found) == float(expected)
        assert v.tolist() == w.tolist() and b.tolist() == a.tolist()


def test_number_changed_in_place_stays():
    def f(x):
        x += 1
        return x

    assert sg.compile(f)(2.0) == 3.0


def test_tape_notices_that_an_argument_changed():
    def f(w):
        w += 1

    x, w = sg.ones(2, requires_grad=True), sg.tensor([1.0, 2.0])
    y = (x * w).sum()
    sg.compile(f)(w)
    with pytest.raises(errors.ChangedValueError, match="a compiled function"):
        y.backward()


def test_argument_in_shared_memory_cannot_be_changed():
    w = sg.tensor([1.0, 2.0])

    def f(x, y):
        x += y
        return x

    for g, args in ((f, (w, w)), (lambda x: f(x, w), (w,))):
        with pytest.raises(errors.UsageError, match="argument 0 in place, whose memory.*shares"):
            sg.compile(g)(*args)
    assert w.tolist() == [1, 2]
    read_only = np.broadcast_to(np.float32(1), (2,))
    with pytest.raises(errors.UsageError, match="read-only"):
        sg.compile(f)(read_only, w)


def test_map_changes_rows():
    def f(x):
        x *= 2
        return x.sum()

    xs = np.ones((3, 2), np.float32)
    assert sg.compile(f).map(xs).tolist() == [4, 4, 4]


def test_method_is_compiled_for_each_object():
    first, second = Trainer(), Trainer()
    x = np.ones(2, np.float32)
    assert [first.step(x).item() for _ in range(3)] == [3, 2, 1]
    assert second.step(x).item() == 3
    first.rate = 2.0
    assert [first.step(x).item() for _ in range(2)] == [0, -4]
    assert first.step.cache_info().misses == 2
    assert first.step is first.step is not second.step
    assert first.step.map(np.ones((2, 2), np.float32)).shape == (2,)
    assert first.ones(3).shape == (3,) and first.ones(n=2).shape == (2,)
    assert Trainer.step is Trainer.__dict__["step"]


def test_objects_with_compiled_methods_are_copied_and_pickled():
    trainer, x = Trainer(), np.ones(2, np.float32)
    trainer.step(x)
    for other in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        assert other.step is not trainer.step
        assert other.step(x).item() == 2
        assert trainer.w.tolist() == [0.5, 1.5] != other.w.tolist()


def test_method_needs_a_place():
    class Narrow:
        __slots__ = ()

        @sg.compile
        def f(self):
            return sg.ones(1)

    with pytest.raises(errors.UsageError, match="no __dict__"):
        Narrow().f()


def test_compiled_functions_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.deepcopy(double) is double
    assert copy.copy(double) is not double
    again = pickle.loads(pickle.dumps(sg.compile(sg.sum, target="numpy")))
    assert again.target == "numpy" and again(sg.ones(3)).item() == 3


def test_static_arguments_by_name():
    f = sg.compile(lambda x, n=1, m=1: x.reshape(n, -1) * m, static_argnums=1)
    x = sg.ones(4)
    assert f(x, m=2.0, n=2).tolist() == f(x, 2, 2.0).tolist() == [[2, 2], [2, 2]]
    assert f(x, m=3.0, n=2).tolist() == [[3, 3], [3, 3]]
    assert f(x, m=3.0, n=4).shape == (4, 1)
    with pytest.raises(errors.OptionError, match="counted from 0"):
        sg.compile(lambda x: x, static_argnums=-1)


def test_recorded_tensor_has_a_text():
    seen = []
    sg.compile(lambda x: seen.append(f"{x:.3f}") or x)(sg.ones(2))
    assert "recorded" in seen[0]
