"""Variables as arrays: what is set is computed with, on every tier, and nothing else is run."""

from __future__ import annotations

import numpy as np
import pytest

from slotgrad.errors import ChangedValueError, DTypeError, ShapeError, UsageError
from slotgrad.scalar import ReferenceVariable, ValueStorage, Variable, lifted, tiers

COUNT = 300
POINTS = np.random.default_rng(0).uniform(0.5, 1.5, (3, COUNT))


@pytest.fixture(params=["straight", "interpreted", "lifted"])
def tier(request, monkeypatch):
    if request.param != "straight":
        monkeypatch.setattr(tiers, "SHORT", 0)
        monkeypatch.setattr(tiers, "STRAIGHT", 0)
    if request.param == "interpreted":
        monkeypatch.setattr(lifted, "WORTH_LIFTING", np.inf)
    return request.param


def compiled(tier):
    """A group, a sum of squares of squares, and one of the squares."""
    storage = ValueStorage()
    variables = [Variable(storage) for _ in range(COUNT)]
    squares = [x * x for x in variables]
    f = sum(y * y * 0.25 for y in squares)
    f.compile()
    if tier == "lifted":
        assert storage._recent.steps[0].wait()
    return storage.group(variables), f, squares[7]


def run(f):
    f.gradient = 1
    f.forward()
    f.backward()


def test_what_was_set_is_computed_with(tier):
    x, f, _ = compiled(tier)
    for point in POINTS:
        x.values = point
        x.gradients = 0
        run(f)
        np.testing.assert_array_equal(x.values, point)
        np.testing.assert_allclose(f.value, (point**4).sum() / 4, rtol=1e-13)
        np.testing.assert_allclose(x.gradients, point**3, rtol=1e-13)


def test_backward_asks_for_the_values_of_what_was_set(tier):
    x, f, _ = compiled(tier)
    x.values = POINTS[0]
    run(f)
    x.values = POINTS[1]
    with pytest.raises(ChangedValueError, match="forward"):
        f.backward()


def test_inside_a_formula_there_is_what_the_last_runs_computed(tier):
    x, f, square = compiled(tier)
    x.values = POINTS[0]
    run(f)
    x.values = POINTS[1]
    f.forward()
    x.values = POINTS[2]
    np.testing.assert_allclose(square.value, POINTS[1, 7] ** 2, rtol=1e-13)
    np.testing.assert_allclose(square.gradient, POINTS[0, 7] ** 2 / 2, rtol=1e-13)


def test_backward_after_a_look_inside(tier):
    x, f, square = compiled(tier)
    x.values = POINTS[0]
    run(f)
    x.values = POINTS[1]
    f.forward()
    assert square.value and square.gradient
    x.gradients = 0
    f.backward()
    np.testing.assert_allclose(x.gradients, POINTS[1] ** 3, rtol=1e-13)
    np.testing.assert_allclose(square.gradient, POINTS[1, 7] ** 2 / 2, rtol=1e-13)


def test_arrays_of_a_group_are_copies():
    x, _, _ = compiled("straight")
    x.values = POINTS[0]
    before = x.values
    before[0] = 7
    x.gradient_step(0.5)
    np.testing.assert_array_equal(x.values, POINTS[0])


def test_what_a_group_refuses():
    storage, other = ValueStorage(), ValueStorage()
    a, b, reference = Variable(storage), Variable(other), ReferenceVariable(storage)
    for x in (b, 2.0, a + 1, reference):
        with pytest.raises(UsageError, match="^group: "):
            storage.group([a, x])
    for given in ([1, 2, 3], [[1, 2]], [1]):
        with pytest.raises(ShapeError, match=r"group of 2 variables; expected \(2,\)"):
            storage.group([a, Variable(storage)]).values = given


@pytest.mark.parametrize("given", [["a", "b"], [1j, 2], [None, 1]])
def test_what_is_no_real_number_is_refused(given):
    storage = ValueStorage()
    x = storage.group([Variable(storage), Variable(storage)])
    with pytest.raises(DTypeError, match="expected real numbers"):
        x.values = given
