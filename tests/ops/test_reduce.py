"""Reductions, running sums and sorting, against NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import slotgrad as sg

SHAPES = [(), (1,), (5,), (2, 3), (3, 1, 4), (2, 3, 2, 2)]
EMPTY = [(0,), (0, 3), (2, 0, 3)]


def numbers(shape, dtype="float64", seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return (drawn * (4 if np.dtype(dtype).kind in "iu" else 1)).astype(dtype)


def axes_of(ndim):
    """None and every tuple of axes, some counted from the end."""
    sets = [c for n in range(ndim + 1) for c in itertools.combinations(range(ndim), n)]
    negative = [tuple(a - ndim for a in reversed(c)) for c in sets if len(c) > 1]
    return [None, *range(-ndim, ndim), *sets, *negative]


def close(found, expected, rtol=1e-12):
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=rtol)


ANY = [(sg.sum, np.sum), (sg.prod, np.prod), (sg.any, np.any), (sg.all, np.all)]
FLOAT = [(sg.mean, np.mean), (sg.var, np.var), (sg.std, np.std)]
FULL = [(sg.max, np.max), (sg.min, np.min)]


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_every_axis_and_keepdims(shape):
    x = numbers(shape)
    for axis, keepdims in itertools.product(axes_of(len(shape)), (False, True)):
        count = math.prod(
            shape[a]
            for a in (range(len(shape)) if axis is None else np.atleast_1d(np.array(axis, int)))
        )
        for f, oracle in ANY + (FLOAT + FULL if count else []):
            expected = oracle(x, axis=axis, keepdims=keepdims)
            close(f(x, axis=axis, keepdims=keepdims), expected)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int32", "int64", "uint8", "uint64", "float16", "float32", "float64"]
)
def test_dtypes(dtype):
    x = np.abs(numbers((3, 4), "float64") * 3).astype(dtype)
    for f, oracle in ANY + FULL:
        expected = oracle(x, axis=1)
        found = f(x, axis=1)
        assert found.dtype == expected.dtype
        close(found, expected, 1e-2 if dtype == "float16" else 1e-6)
    assert sg.sum(x, dtype="float64").dtype == sg.prod(x, dtype="float64").dtype == sg.float64
    assert sg.mean(x).dtype == (x.dtype if x.dtype.kind == "f" else sg.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_adds_up_in_single(dtype):
    x = sg.full(4096, 100.0, dtype=dtype)
    assert sg.mean(x).item() == 100
    assert sg.var(x).item() == 0
    assert sg.sum(sg.ones(4096, dtype=dtype)).item() == 4096
    assert sg.mean(x).dtype == x.dtype
    sg.mean(x.requires_grad_()).backward()
    assert x.grad.dtype == x.dtype
    assert x.grad.tolist() == [1 / 4096] * 4096


def test_where_there_is_nothing():
    assert sg.sum([]).item() == 0
    assert sg.prod(sg.zeros(0)).item() == 1
    assert sg.all(sg.zeros(0)).item() is True
    assert sg.any(sg.zeros(0)).item() is False
    assert math.isnan(sg.mean(sg.zeros(0)).item())
    assert sg.max(sg.zeros((0, 3)), axis=1).shape == (0,)
    assert sg.argmax(sg.zeros((0, 3)), axis=1).shape == (0,)


def test_nan_and_infinity_flow():
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    for f in (sg.sum, sg.max, sg.min, sg.mean, sg.prod, sg.cumsum):
        assert np.isnan(f(x).numpy()).any()
    assert sg.sum([3e38, 3e38]).item() == math.inf  # float32
    assert sg.any([np.nan]).item() is True
    assert sg.logsumexp([-np.inf, -np.inf]).item() == -math.inf
    assert sg.logsumexp([np.inf, 1.0]).item() == math.inf


@pytest.mark.parametrize("correction", [0, 1, 1.5])
def test_variance_with_correction(correction):
    x = numbers((4, 3))
    close(sg.var(x, axis=0, correction=correction), np.var(x, axis=0, ddof=correction))
    close(sg.std(x, correction=correction), np.std(x, ddof=correction))
    assert sg.var([1.0, 2.0], correction=2).item() == math.inf


@pytest.mark.parametrize("shape", [s for s in SHAPES + EMPTY if s], ids=str)
def test_running_sums_and_products(shape):
    x = numbers(shape)
    for axis in [None, *range(-len(shape), len(shape))]:
        close(sg.cumsum(x, axis), np.cumsum(x, axis))
        close(sg.cumprod(x, axis), np.cumprod(x, axis))
    assert sg.cumsum(np.ones(3, np.int8)).dtype == sg.int64


@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
def test_sorting(shape):
    x = numbers(shape).round(0)  # with ties
    for axis in range(-len(shape), len(shape)):
        close(sg.sort(x, axis), np.sort(x, axis))
        close(sg.sort(x, axis, descending=True), -np.sort(-x, axis))
        close(sg.argsort(x, axis), np.argsort(x, axis, kind="stable"))
        close(sg.argsort(x, axis, descending=True), np.argsort(-x, axis, kind="stable"))
        for f, oracle in ((sg.argmax, np.argmax), (sg.argmin, np.argmin)):
            close(f(x, axis=axis), oracle(x, axis=axis))
            close(f(x, axis=axis, keepdims=True), oracle(x, axis=axis, keepdims=True))
        values, places = sg.topk(x, 1, axis=axis)
        close(values, np.max(x, axis=axis, keepdims=True))
        close(places, np.argmax(x, axis=axis, keepdims=True))
    close(sg.argmax(x), np.argmax(x))
    close(sg.argmin(x, keepdims=True), np.argmin(x, keepdims=True))


def test_topk():
    x = sg.tensor([3.0, 1.0, 4.0, 1.0, 5.0])
    values, places = sg.topk(x, 3)
    assert (values.tolist(), places.tolist()) == ([5, 4, 3], [4, 2, 0])
    values, places = sg.topk(x, 2, largest=False)
    assert (values.tolist(), places.tolist()) == ([1, 1], [1, 3])
    assert sg.topk(x, 0)[0].shape == (0,)


def test_nan_counts_as_the_largest():
    x = sg.tensor([2.0, np.nan, 1.0])
    np.testing.assert_array_equal(sg.sort(x).numpy(), [1, 2, np.nan])
    np.testing.assert_array_equal(sg.sort(x, descending=True).numpy(), [np.nan, 2, 1])


@pytest.mark.parametrize("ord", [0, 1, 2, 3, 0.5, -1, -2, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_norm(ord, axis):
    x = numbers((3, 4))
    expected = np.linalg.norm(x.reshape(-1) if axis is None else x, ord, axis)
    close(sg.norm(x, ord, axis), expected)
    assert sg.norm(x, ord, axis, keepdims=True).ndim == 2


def test_norm_of_complex_numbers_and_of_zero():
    assert sg.norm(np.array([3j, 4.0])).item() == 5
    x = sg.zeros(3, requires_grad=True)
    sg.norm(x).backward()
    assert x.grad.tolist() == [0, 0, 0]


REDUCTIONS = {
    "sum": sg.sum, "mean": sg.mean, "max": sg.max, "min": sg.min, "prod": sg.prod, "var": sg.var,
    "std": sg.std, "logsumexp": sg.logsumexp, "norm": sg.norm,
}  # fmt: skip


@pytest.mark.parametrize("axis", [None, 0, (1, 2)], ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_derivatives_and_vmap(name, axis):
    f = REDUCTIONS[name]
    x = numbers((3, 2, 2)) + 0.1
    sg.check_grads(lambda a: f(a, axis=axis), (x,), order=2)
    sg.check_grads(lambda a: f(a, axis=axis, keepdims=True) * a, (x,), order=1)
    mapped = sg.vmap(lambda a: f(a, axis=axis))(np.stack([x, 2 * x]))
    close(mapped, np.stack([f(x, axis=axis).numpy(), f(2 * x, axis=axis).numpy()]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: sg.cumsum(x, 1) ** 2,
        lambda x: sg.cumprod(x, 0),
        lambda x: sg.sort(x, 0) * np.arange(12.0).reshape(3, 4),
        lambda x: sg.topk(x, 2, axis=1)[0] ** 2,
        lambda x: sg.norm(x, 3),
        lambda x: sg.logsumexp(x, axis=1),
    ],
)
def test_derivatives_of_running_sums_and_sorting(f):
    x = numbers((3, 4))
    sg.check_grads(f, (x,), order=2)
    mapped = sg.vmap(f)(np.stack([x, -x]))
    close(mapped, np.stack([f(sg.tensor(x)).numpy(), f(sg.tensor(-x)).numpy()]))


@pytest.mark.parametrize("zeros", [[], [1], [0, 2], [0, 1, 2, 3]])
def test_products_are_right_where_elements_are_zero(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[zeros] = 0
    sg.check_grads(sg.prod, (x,), order=2)
    sg.check_grads(sg.cumprod, (x,), order=2)


def test_equal_extremes_share_the_gradient():
    x = sg.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    sg.max(x, axis=1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=st.floats(-9, 9, width=16)),
    st.data(),
)
def test_random_arrays_agree_with_numpy(x, data):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    for f, oracle in ANY + FLOAT + FULL + [(sg.cumsum, np.cumsum), (sg.cumprod, np.cumprod)]:
        close(f(x, axis=axis), oracle(x, axis=axis), 1e-9)
    close(sg.logsumexp(x, axis), np.log(np.sum(np.exp(x), axis=axis)), 1e-9)
    if axis is not None:
        close(sg.sort(x, axis), np.sort(x, axis))
        close(sg.argsort(x, axis), np.argsort(x, axis, kind="stable"))


def test_all_derivatives_of_roots_at_zero_are_zero():
    zeros = sg.zeros(3)
    for f in (sg.norm, lambda x: sg.norm(x, ord=3), sg.std, lambda x: sg.hypot(x[0], x[1])):
        assert sg.grad(f)(zeros).tolist() == [0] * 3
        assert sg.jvp(f, (zeros,), (sg.ones(3),))[1].item() == 0
        assert sg.hessian(f)(zeros).tolist() == [[0] * 3] * 3
