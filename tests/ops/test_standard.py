"""The functions of the Array API standard that are made of others: as NumPy's, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

RNG = np.random.default_rng(0)
X = RNG.integers(-3, 4, (3, 5)).astype(np.float64)
SORTED = np.sort(np.array([3.0, 1.0, 2.0, 2.0, 8.0, -1.0, np.inf, np.nan]))
ASKED = np.array([[2.0, -5.0, np.nan], [8.5, np.inf, 3.0]])

CASES = {
    "positive": (sg.positive, np.positive, (X,)),
    "signbit": (sg.signbit, np.signbit, (np.array([-0.0, 0.0, -2.0, np.inf, -np.nan]),)),
    "count_nonzero": (sg.count_nonzero, np.count_nonzero, (X,)),
    "count_nonzero, axis": (
        lambda x: sg.count_nonzero(x, axis=1, keepdims=True),
        lambda x: np.count_nonzero(x, axis=1, keepdims=True),
        (X,),
    ),
    "cumulative_sum": (
        lambda x: sg.cumulative_sum(x, axis=1),
        lambda x: np.cumulative_sum(x, axis=1),
        (X,),
    ),
    "cumulative_sum, initial": (
        lambda x: sg.cumulative_sum(x, axis=-2, include_initial=True),
        lambda x: np.cumulative_sum(x, axis=-2, include_initial=True),
        (X,),
    ),
    "cumulative_sum, dtype": (
        lambda x: sg.cumulative_sum(x, dtype=sg.int8),
        lambda x: np.cumulative_sum(x, dtype=np.int8),
        (np.array([100, 27, 1]),),
    ),
    "cumulative_prod, initial": (
        lambda x: sg.cumulative_prod(x, axis=0, include_initial=True),
        lambda x: np.cumulative_prod(x, axis=0, include_initial=True),
        (X,),
    ),
    "diff": (sg.diff, np.diff, (X,)),
    "diff, twice along columns": (
        lambda x: sg.diff(x, axis=0, n=2),
        lambda x: np.diff(x, axis=0, n=2),
        (X,),
    ),
    "diff, prepend and append": (
        lambda x, p: sg.diff(x, prepend=p, append=p * 2),
        lambda x, p: np.diff(x, prepend=p, append=p * 2),
        (X, X[:, :2]),
    ),
    "diff of truth values": (sg.diff, np.diff, (X > 0,)),
    "isin": (sg.isin, np.isin, (X, np.array([[1.0, -2.0], [9.0, np.nan]]))),
    "isin, inverted": (
        lambda x, y: sg.isin(x, y, invert=True),
        lambda x, y: np.isin(x, y, invert=True),
        (X, np.array([1.0])),
    ),
    "searchsorted, left": (sg.searchsorted, np.searchsorted, (SORTED, ASKED)),
    "searchsorted, right": (
        lambda a, x: sg.searchsorted(a, x, side="right"),
        lambda a, x: np.searchsorted(a, x, side="right"),
        (SORTED, ASKED),
    ),
    "searchsorted, sorter": (
        lambda a, s, x: sg.searchsorted(a, x, sorter=s),
        lambda a, s, x: np.searchsorted(a, x, sorter=s),
        (SORTED[::-1].copy(), np.arange(8)[::-1].copy(), ASKED),
    ),
    "searchsorted in nothing": (sg.searchsorted, np.searchsorted, (np.zeros(0), ASKED)),
    "searchsorted, integers": (
        sg.searchsorted,
        np.searchsorted,
        (np.arange(0, 200, 2), RNG.integers(-5, 210, 40)),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_equals_numpy(case):
    f, oracle, arrays = case
    expected = oracle(*arrays)
    for g in (f, sg.compile(f)):
        found = g(*map(sg.tensor, arrays)).numpy()
        assert found.dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found, expected)


def test_derivatives():
    x = sg.tensor(X + 0.5)
    for f in (
        lambda x: sg.cumulative_sum(x, axis=1, include_initial=True) ** 2,
        lambda x: sg.cumulative_prod(x, axis=0),
        lambda x: sg.diff(x, n=2) ** 3,
        sg.positive,
    ):
        sg.check_grads(f, (x,), order=2)


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda: sg.cumulative_sum(X), errors.ShapeError, r"\(3, 5\) without an axis"),
        (lambda: sg.diff(X, n=-1), errors.OptionError, "n=-1; expected at least 0"),
        (lambda: sg.searchsorted(X, X), errors.ShapeError, r"x1 of shape \(3, 5\)"),
        (lambda: sg.searchsorted(X[0], X, side="up"), errors.OptionError, "'left' or 'right'"),
    ],
)
def test_bad_arguments(f, error, message):
    with pytest.raises(error, match=message):
        f()


def test_shapes_broadcast():
    assert sg.broadcast_shapes((3, 1), 2, ()) == (3, 2) and sg.broadcast_shapes() == ()
    with pytest.raises(errors.ShapeError, match=r"broadcast_shapes: .*\(2,\) and \(3,\)"):
        sg.broadcast_shapes(2, 3)
