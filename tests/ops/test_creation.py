"""Tensors out of nothing, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

SHAPES = [(), 0, 3, (2, 3), [2, 0, 3], (np.int64(2), sg.tensor(2))]
DTYPES = ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]


def same(found, expected, dtype=None):
    assert found.shape == np.shape(expected)
    if dtype is not None:
        assert found.dtype == sg.zeros(0, dtype=dtype).dtype
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape):
    plain = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else shape
    same(sg.zeros(shape), np.zeros(plain), "float32")
    same(sg.ones(shape), np.ones(plain), "float32")
    same(sg.full(shape, 7), np.full(plain, 7), "int64")
    assert sg.empty(shape).shape == np.empty(plain).shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    same(sg.zeros(2, dtype=dtype), [0, 0], dtype)
    same(sg.ones(2, dtype=dtype), [1, 1], dtype)
    same(sg.full(2, 1, dtype=dtype), [1, 1], dtype)
    same(sg.eye(2, dtype=dtype), [[1, 0], [0, 1]], dtype)
    assert sg.empty(2, dtype=dtype).dtype == sg.zeros(2, dtype=dtype).dtype
    x = sg.ones((2, 1), dtype=dtype)
    same(sg.zeros_like(x), [[0], [0]], dtype)
    same(sg.ones_like(x), [[1], [1]], dtype)
    same(sg.full_like(x, 1), [[1], [1]], dtype)
    assert sg.empty_like(x).dtype == x.dtype
    assert sg.zeros_like(x, dtype="int8").dtype == sg.int8
    if dtype != "bool":
        same(sg.arange(3, dtype=dtype), [0, 1, 2], dtype)


def test_full_takes_the_dtype_of_its_value():
    for value, dtype in ((True, "bool"), (3, "int64"), (1.5, "float32"), (2j, "complex64")):
        same(sg.full((2,), value), [value, value], dtype)
    assert sg.full(2, np.float64(1)).dtype == sg.float64


def test_full_of_a_tensor_keeps_its_gradient():
    w = sg.tensor(3.0, requires_grad=True)
    x = sg.full((2, 2), w)
    x.sum().backward()
    assert x.tolist() == [[3, 3], [3, 3]]
    assert w.grad.item() == 4
    assert sg.vmap(lambda v: sg.full(2, v))(sg.tensor([1.0, 2.0])).tolist() == [[1, 1], [2, 2]]
    y = sg.full(2, sg.tensor([1.0, 2.0]))
    y[0] = 5  # the memory is its own
    assert y.tolist() == [5, 2]


def test_requires_grad():
    for made in (sg.zeros(2, requires_grad=True), sg.ones(2, requires_grad=True),
                 sg.full(2, 1.0, requires_grad=True), sg.empty(2, requires_grad=True)):  # fmt: skip
        (made * 2).sum().backward()
        assert made.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    "args",
    [(5,), (0,), (-3,), (2, 7), (7, 2), (7, 2, -2), (0, 10, 3), (0.5,), (0, 1, 0.25),
     (1.5, -1, -0.5), (3, 3), (-2, 2.5), (np.int8(1), np.int64(4)), (np.float32(0), 2.0)],
    ids=str,
)  # fmt: skip
def test_arange(args):
    expected = np.arange(*args)
    whole = all(isinstance(a, (int, np.integer)) for a in args)
    same(sg.arange(*args), expected, "int64" if whole else "float32")


def test_arange_counts_in_double_precision():
    found = sg.arange(0, 1000, 0.1)
    assert found.shape == (10000,)
    np.testing.assert_array_equal(found.numpy(), np.arange(0, 1000, 0.1).astype(np.float32))
    assert sg.arange(0, 2.5, 0.5, dtype="int64").tolist() == [0, 0, 1, 1, 2]
    assert sg.arange(sg.tensor(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize(
    "args", [(0, 1, 5), (1, -1, 4), (2, 2, 3), (0.5, 7, 1), (0, 1, 0)], ids=str
)
def test_linspace(args, endpoint):
    same(sg.linspace(*args, endpoint=endpoint, dtype="float64"), np.linspace(*args, endpoint))
    assert sg.linspace(*args, endpoint=endpoint).dtype == sg.float32


@pytest.mark.parametrize("size", [(0,), (3,), (2, 4), (4, 2), (3, None), (2, 0)], ids=str)
def test_eye(size):
    for k in (-5, -1, 0, 1, 3, 10**20, -(10**20)):
        bounded = max(-9, min(k, 9))
        same(sg.eye(*size, k=k), np.eye(*size, k=bounded))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sizes", [(), (3,), (2, 3), (2, 3, 4), (0, 2)], ids=str)
def test_meshgrid(sizes, indexing):
    vectors = [np.arange(n) for n in sizes]
    found = sg.meshgrid(*vectors, indexing=indexing)
    for grid, expected in zip(found, np.meshgrid(*vectors, indexing=indexing), strict=True):
        same(grid, expected)


def test_asarray_copies_only_where_needed():
    array, x = np.arange(3.0), sg.tensor([1.0], requires_grad=True)
    assert np.shares_memory(sg.asarray(array).numpy(), array)
    assert not np.shares_memory(sg.asarray(array, copy=True).numpy(), array)
    assert sg.asarray(x) is x
    assert sg.grad(lambda t: sg.asarray(t, dtype=sg.float64, copy=True).sum())(x).item() == 1
    with pytest.raises(errors.UsageError, match="float32 cannot be shared as float64"):
        sg.asarray(x, dtype=sg.float64, copy=False)


def test_from_dlpack_shares_memory():
    array = np.arange(3.0)
    assert np.shares_memory(sg.from_dlpack(array).numpy(), array)
    assert not np.shares_memory(sg.from_dlpack(array, copy=True).numpy(), array)
    assert np.from_dlpack(sg.from_dlpack(sg.tensor([1, 2]))).tolist() == [1, 2]
    with pytest.raises(errors.UsageError, match="got a list"):
        sg.from_dlpack([1.0])
    with pytest.raises(errors.GradientError, match="would lose the gradient"):
        np.from_dlpack(sg.ones(2, requires_grad=True))
