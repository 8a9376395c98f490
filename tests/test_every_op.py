"""Every operation record: value, type, kernel expression, derivatives, vmap, dtypes.

Generated from the records themselves, so a new operation is tested by being declared.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.graph.apply import apply
from slotgrad.graph.node import TensorType
from slotgrad.ops.declare import ACCEPTS, RECORDS
from slotgrad.ops.reference import k

SHAPES = [(), (0,), (1,), (3, 1, 2)]

# operations whose inputs are not plain random arrays have files of their own
ELSEWHERE = {
    "gather": "tests/ops/test_index.py",
    "scatter": "tests/ops/test_index.py",
    "item": "tests/ops/test_linalg.py",
    "random_bits": "tests/ops/test_random.py",
    "real": "tests/ops/test_parts.py",
    "imag": "tests/ops/test_parts.py",
    "conj": "tests/ops/test_parts.py",
    "fft": "tests/ops/test_fft.py",
    "cholesky": "tests/ops/test_linalg.py",
    "eig": "tests/ops/test_linalg.py",
    "eigh": "tests/ops/test_linalg.py",
    "qr": "tests/ops/test_linalg.py",
    "slogdet": "tests/ops/test_linalg.py",
    "solve": "tests/ops/test_linalg.py",
    "solve_triangular": "tests/ops/test_linalg.py",
    "svd": "tests/ops/test_linalg.py",
}

ELEMENTWISE = [
    op for op in RECORDS.values() if op.family == "elementwise" and not isinstance(op.samples, list)
]
STRUCTURED = [
    (op, shapes, attrs)
    for op in RECORDS.values()
    if isinstance(op.samples, list)
    for shapes, attrs in op.samples
]


def name_of(x):
    return getattr(x, "name", "")


def arity(op):
    return op.kernel.__code__.co_argcount - 1 - (op.name == "polygamma")


def inputs_for(op, shapes, dtype="float64", seed=0):
    """Random arrays in the domain of an elementwise operation."""
    rng = np.random.default_rng(seed)
    arrays = []
    for i, shape in enumerate(shapes):
        low, high = op.samples[min(i, len(op.samples) - 1)]
        if op.name == "where" and i == 0:
            arrays.append(rng.random(shape) < 0.5)
        elif np.dtype(dtype).kind in "iub":
            arrays.append(rng.integers(1, 4, shape).astype(dtype))
        else:
            arrays.append(np.asarray(rng.uniform(low, high, shape)).astype(dtype))
    return arrays


def default_dtype(op):
    return "float64" if np.dtype("float64") in ACCEPTS[op.accepts] else "int64"


def run(op, arrays, attrs=None):
    return apply(op, tuple(sg.tensor(a) for a in arrays), attrs or {})


def types_of(arrays):
    return [TensorType(a.shape, a.dtype) for a in arrays]


def test_each_record_is_tested_somewhere():
    here = {op.name for op in ELEMENTWISE} | {op.name for op, _, _ in STRUCTURED}
    assert set(RECORDS) - here <= set(ELSEWHERE)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=name_of)
def test_elementwise_value_type_and_kernel(op, shape):
    arrays = inputs_for(op, [shape] * arity(op), default_dtype(op))
    out = run(op, arrays).numpy()
    assert TensorType(out.shape, out.dtype) == op.type(*types_of(arrays))
    np.testing.assert_allclose(op.kernel(k, *arrays), out, rtol=1e-13, atol=1e-14)
    if op.oracle is not None:
        expected = np.vectorize(op.oracle, otypes=[float])(*arrays) if out.size else out
        np.testing.assert_allclose(out, expected, rtol=1e-13)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=name_of)
def test_elementwise_broadcasts(op):
    shapes = [(3, 1), (2,), (3, 2)][: arity(op)]
    arrays = inputs_for(op, shapes, default_dtype(op))
    full = np.broadcast_arrays(*arrays)
    np.testing.assert_array_equal(run(op, arrays).numpy(), run(op, full).numpy())
    if op.differentiable:
        check(op, arrays, {})


def check(op, arrays, attrs):
    """check_grads to order 2 with respect to the floating-point inputs."""
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]

    def f(*xs):
        filled = [sg.tensor(a) for a in arrays]
        for i, x in zip(places, xs):
            filled[i] = x
        return apply(op, tuple(filled), attrs)

    sg.check_grads(f, [arrays[i] for i in places], order=2)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=name_of)
def test_elementwise_gradient(op):
    if op.differentiable:
        check(op, inputs_for(op, [(2, 3)] * arity(op)), {})
    else:
        out = run(op, inputs_for(op, [(2,)] * arity(op), default_dtype(op)))
        assert not out.requires_grad


@pytest.mark.parametrize("op", ELEMENTWISE, ids=name_of)
def test_elementwise_vmap(op):
    for flags in itertools.product([True, False], repeat=arity(op)):
        shapes = [(4, 3) if flag else (3,) for flag in flags]
        if len(shapes) > 1:  # examples of different ranks must be aligned
            shapes[0] = (4, 2, 3) if flags[0] else (2, 3)
        same_as_loop(op, inputs_for(op, shapes, default_dtype(op)), flags, {})


def same_as_loop(op, arrays, flags, attrs):
    """vmap against applying the operation example by example."""
    if not any(flags):
        return
    size = next(len(a) for a, flag in zip(arrays, flags) if flag)
    mapped = sg.vmap(
        lambda *xs: apply(op, xs, attrs), in_axes=tuple(0 if f else None for f in flags)
    )(*[sg.tensor(a) for a in arrays])
    rows = [
        run(op, [a[i] if f else a for a, f in zip(arrays, flags)], attrs).numpy()
        for i in range(size)
    ]
    np.testing.assert_allclose(mapped.numpy(), np.stack(rows), rtol=1e-12)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=name_of)
def test_elementwise_dtypes(op):
    for dtype in ACCEPTS[op.accepts]:
        if dtype.kind == "c":
            continue  # complex numbers compute through NumPy and are not differentiated
        arrays = inputs_for(op, [(3,)] * arity(op), dtype)
        out = run(op, arrays)
        assert TensorType(out.shape, out.dtype) == op.type(*types_of(arrays))
        if dtype.kind in "fV":
            wide = [a.astype("float64") if a.dtype == dtype else a for a in arrays]
            expected = np.asarray(op.value(*wide), float)
            tolerance = {"float64": 1e-15, "float32": 1e-5, "float16": 1e-2}.get(dtype.name, 1e-1)
            np.testing.assert_allclose(
                np.asarray(out.numpy(), float), expected, rtol=tolerance, atol=tolerance
            )


# -- structured operations -----------------------------------------------------------------------


def random_arrays(shapes, op):
    rng = np.random.default_rng(1)
    return [np.asarray(rng.standard_normal(s)) for s in shapes]


@pytest.mark.parametrize(("op", "shapes", "attrs"), STRUCTURED, ids=name_of)
def test_structured_value_type_and_kernel(op, shapes, attrs):
    arrays = random_arrays(shapes, op)
    out = run(op, arrays, attrs).numpy()
    assert TensorType(out.shape, out.dtype) == op.type(*types_of(arrays), **attrs)
    np.testing.assert_allclose(op.kernel(k, *arrays, **attrs), out, rtol=1e-13)


@pytest.mark.parametrize(("op", "shapes", "attrs"), STRUCTURED, ids=name_of)
def test_structured_gradient(op, shapes, attrs):
    arrays = random_arrays(shapes, op)
    if op.differentiable:
        check(op, arrays, attrs)
    else:
        xs = tuple(sg.tensor(a, requires_grad=True) for a in arrays)
        assert not apply(op, xs, attrs).requires_grad


@pytest.mark.parametrize(("op", "shapes", "attrs"), STRUCTURED, ids=name_of)
def test_structured_vmap(op, shapes, attrs):
    for flags in itertools.product([True, False], repeat=len(shapes)):
        batched = [(4, *s) if f else s for s, f in zip(shapes, flags)]
        same_as_loop(op, random_arrays(batched, op), flags, attrs)


@pytest.mark.parametrize(("op", "shapes", "attrs"), STRUCTURED, ids=name_of)
def test_structured_dtypes(op, shapes, attrs):
    for dtype in ("float32", "float16", "bfloat16", "int32", "uint8", "bool"):
        dtype = sg.finfo(dtype).dtype if "float" in dtype else np.dtype(dtype)
        if dtype not in ACCEPTS[op.accepts]:
            continue
        if op.name == "matmul" and dtype.itemsize == 2 and dtype.kind == "V":
            continue
        arrays = [(a * 3).astype(dtype) for a in map(np.abs, random_arrays(shapes, op))]
        out = run(op, arrays, attrs)
        assert TensorType(out.shape, out.dtype) == op.type(*types_of(arrays), **attrs)
