"""Distinct elements: as NumPy finds them, values with gradients, never while captured."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

NAN = float("nan")
ARRAYS = {
    "floats": np.array([[3.0, 1.0, 3.0], [0.0, -0.0, 1.0]]),
    "nan": np.array([2.0, NAN, 1.0, NAN, 2.0]),
    "integers": np.array([5, -1, 5, 5], np.int8),
    "booleans": np.array([[True], [True]]),
    "complex": np.array([1 + 2j, 1 - 2j, 1 + 2j]),
    "half": np.array([2.0, 1.0, 2.0], np.float16),
    "one": np.array(4.0),
    "none": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS.keys())
def test_as_numpy(x):
    values, indices, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    inverse = inverse.reshape(x.shape)
    t = sg.tensor(x)
    found = [
        (sg.unique_all(t), (values, indices, inverse, counts)),
        (sg.unique_counts(t), (values, counts)),
        (sg.unique_inverse(t), (values, inverse)),
        ((sg.unique_values(t),), (values,)),
    ]
    for ours, expected in found:
        for a, b in zip(ours, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.numpy(), b)


def test_the_nan_of_bfloat16_comes_last():
    x = sg.tensor([2.0, NAN, 1.0, 2.0]).astype(sg.bfloat16)
    found = sg.unique_counts(x)
    assert found.values.dtype == sg.bfloat16 and found.counts.tolist() == [1, 2, 1]
    assert found.values[:2].tolist() == [1, 2]


def test_gradients_flow_to_the_first_occurrence():
    x = sg.tensor([3.0, 1.0, 3.0])
    assert sg.grad(lambda x: (sg.unique_values(x) * sg.tensor([1.0, 10.0])).sum())(x).tolist() == [
        10,
        1,
        0,
    ]


@pytest.mark.parametrize("name", ["unique_all", "unique_counts", "unique_inverse", "unique_values"])
@pytest.mark.parametrize("captured", [sg.compile, sg.vmap])
def test_captured_functions_cannot_ask(name, captured):
    message = rf"{name}\(\), whose result has no shape yet, at .*test_unique.py"
    with pytest.raises(errors.CaptureError, match=message):
        captured(lambda x: getattr(sg, name)(x))(sg.ones((2, 2)))
