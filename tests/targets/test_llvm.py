"""The LLVM target against the NumPy target: every operation, dtype and odd shape, and programs."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.errors import InternalError
from slotgrad.graph.apply import apply
from slotgrad.graph.node import TensorType
from slotgrad.kernel.ir import HostCall
from slotgrad.ops.declare import ACCEPTS, RECORDS
from slotgrad.passes.pipeline import optimize
from slotgrad.runtime.program import Program
from slotgrad.targets.numpy import Program as Reference

SHAPES = [(), (0,), (1,), (3,), (63,), (65, 7)]
DTYPES = ["float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool"]
TEXTS: dict[str, str] = {}  # by what a program says that its text depends on
TOLERANCE = {"float32": 2e-5, "float64": 1e-11, "float16": 4e-3, "bfloat16": 4e-2}

ELEMENTWISE = [
    op for op in RECORDS.values() if op.family == "elementwise" and not isinstance(op.samples, list)
]
STRUCTURED = [
    (op, shapes, attrs)
    for op in RECORDS.values()
    if isinstance(op.samples, list)
    for shapes, attrs in op.samples
]


def region_of(f, types):
    xs = [placeholder(t) for t in types]
    return capture(lambda: f(*xs), xs, lambda ys: list(ys)).region


def same(f, arrays, tolerance=2e-5, native=None):
    """Both targets on one function of tensors that returns a list of them."""
    types = [TensorType(a.shape, a.dtype) for a in arrays]
    region = optimize(region_of(f, types), check=True)
    program = Program(region)
    text = program.text()
    assert TEXTS.setdefault(program.facts() or text, text) == text
    if native is not None:
        hosts = [s for s in program.kernels.statements if isinstance(s, HostCall)]
        assert (not hosts) == native, str(program)
    for _ in range(2):  # the second time over a used arena
        for found, expected in zip(program(arrays), Reference(region)(arrays)):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            if found.dtype.kind == "V":  # bfloat16
                found, expected = found.astype(float), expected.astype(float)
            if found.dtype.kind in "fc":
                np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(found, expected)


def arity(op):
    return op.kernel.__code__.co_argcount - 1 - (op.name == "polygamma")


def inputs_for(op, shape, dtype, rng):
    dtype = sg.tensor([], dtype=dtype).dtype
    arrays = []
    for i in range(arity(op)):
        low, high = op.samples[min(i, len(op.samples) - 1)]
        if op.name == "where" and i == 0:
            arrays.append(rng.random(shape) < 0.5)
        elif dtype.kind in "iub":
            arrays.append(np.asarray(rng.integers(1, 4, shape)).astype(dtype))
        else:
            arrays.append(np.asarray(rng.uniform(low, high, shape)).astype(dtype))
    return arrays


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_elementwise_operation(dtype, shape):
    """All in one program: one loop with many outputs."""
    kind = sg.tensor([], dtype=dtype).dtype
    ops = [op for op in ELEMENTWISE if kind in ACCEPTS[op.accepts]]
    rng = np.random.default_rng(0)
    arrays, places = [], []
    for op in ops:
        given = inputs_for(op, shape, dtype, rng)
        places.append(range(len(arrays), len(arrays) + len(given)))
        arrays += given
    same(
        lambda *xs: [apply(op, tuple(xs[i] for i in p)) for op, p in zip(ops, places)],
        arrays,
        TOLERANCE.get(dtype, 0),
        native=True,
    )


@pytest.mark.parametrize("case", range(len(STRUCTURED)))
def test_every_structured_operation(case):
    op, shapes, attrs = STRUCTURED[case]
    rng = np.random.default_rng(case)
    for dtype in ("float32", "float64", "int32", "bool"):
        kind = sg.tensor([], dtype=dtype).dtype
        if kind in ACCEPTS[op.accepts]:
            arrays = [np.asarray(rng.integers(-3, 4, s) * 1.5).astype(kind) for s in shapes]
            same(lambda *xs: [apply(op, xs, attrs)], arrays, TOLERANCE.get(dtype, 0))


def rand(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


PROGRAMS = {
    "chain": (lambda x: [sg.tanh(x * 2 + 1).exp()], [rand(1000)]),
    "rows and columns": (lambda x, y, z: [x * y + z], [rand(5, 1), rand(7), rand(5, 7)]),
    "steps": (lambda x: [x[::2, ::-1] + 1, x[::-3].T * x.T[:, ::-3]], [rand(9, 5)]),
    "last axis": (lambda x: [x.sum(-1), x.max(-1), x.min(-1), x.mean(-1)], [rand(4, 3, 37)]),
    "first axis": (lambda x: [x.sum(0), x.max(0), x.min(0), x.var(0)], [rand(37, 3, 19)]),
    "middle axis": (lambda x: [x.sum(1), x.max(1), x.min(1)], [rand(4, 37, 19)]),
    "outer axes": (lambda x: [x.sum((0, 2)), x.max((0, 2))], [rand(4, 5, 6)]),
    "all axes": (lambda x: [x.sum(), x.T.sum(), x.max()], [rand(13, 17)]),
    "of a view": (lambda x: [x.T[1:].sum(0), x[:, ::2].sum(1)], [rand(13, 17)]),
    "of size one": (lambda x: [x.sum(0), x.sum(1), x.max((0, 1))], [rand(1, 1)]),
    "softmax": (lambda x: [(x - x.logsumexp(-1, keepdims=True)).exp()], [rand(9, 21)]),
    "products": (
        lambda x, y: [x @ y, x.T @ x, y @ y.T, (y.T @ x.T), x[::2] @ y, x[:, ::2] @ y[::2]],
        [rand(33, 17), rand(17, 40, seed=1)],
    ),
    "products of rows": (lambda x, y: [x @ y, y @ y], [rand(6, 5), rand(5, seed=1)]),
    "batches": (
        lambda x, y: [x @ y, x @ y[0], x.mT @ x, (x @ y).sum(0)],
        [rand(3, 4, 5), rand(3, 5, 6, seed=1)],
    ),
    "batches that broadcast": (lambda x, y: [x @ y], [rand(2, 1, 4, 5), rand(3, 5, 6, seed=1)]),
    "joined": (lambda x: [sg.concat([x, x * 2, x[:1]]), sg.pad(x, 1), sg.roll(x, 2)], [rand(4, 3)]),
    "inputs come out": (lambda x, y: [x, y.T, x, x + 0.0], [rand(3), rand(2, 3)]),
    "empty": (lambda x, y: [x + 1, x.sum(1), x.T @ y, y @ y.T], [rand(0, 3), rand(0, 4)]),
    "calls between": (
        lambda x: [sg.sort(x * 2)[::-1] + x.cumsum(0), x.argmax(), sg.linalg.solve(x, x + 1)],
        [rand(6, 6)],
    ),
    "comparisons": (lambda x: [x > 0, (x > 0) & (x < 1), sg.where(x > 0, x, -x)], [rand(40)]),
    "casts": (
        lambda x: [x.astype(d) for d in ("float64", "float16", "int32", "int8", "bool")],
        [rand(40)],
    ),
    "transposed in blocks": (
        lambda x, y: [
            x.T + 1,
            x.T * y.mT,
            sg.permute_dims(y, (2, 0, 1)) - x[0, 0],
            sg.permute_dims(y, (1, 2, 0)) * x[:, None, :3],
            x.T[:97].astype("float64"),
            sg.tanh(x.T) + x.T[:, :1],
        ],
        [rand(160, 100), rand(3, 160, 100, seed=1)],
    ),
    "complex values move": (
        lambda x: [x.T, x[::2, 1:], sg.concat([x, x]), sg.roll(x, 1), sg.pad(x, 1), x * x.T],
        [rand(4, 4) + 1j * rand(4, 4, seed=1)],
    ),
    "mixed widths": (lambda x: [x.astype("float64") * 2 + (x > 0).astype("int64")], [rand(50)]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    f, arrays = PROGRAMS[name]
    same(f, arrays)
    if name != "casts":
        same(f, [a.astype(np.result_type(a, np.float64)) for a in arrays], 1e-10)


def test_inputs_that_are_not_contiguous():
    f = sg.compile(lambda x: (x * 2).sum(axis=0) + x[0])
    whole = rand(8, 10)
    for x in (whole.T, whole[::2], whole[:, ::3], np.broadcast_to(whole[0], (4, 10))):
        np.testing.assert_allclose(f(x).numpy(), (x * 2).sum(0) + x[0], rtol=1e-5)


def test_state_that_is_not_contiguous_is_written():
    whole = rand(6, 6)
    w = sg.tensor(whole[:, ::2])
    before = whole.copy()

    @sg.compile
    def double(x):
        w.assign(w * x)

    double(2.0)
    np.testing.assert_array_equal(whole[:, ::2], before[:, ::2] * 2)
    np.testing.assert_array_equal(whole[:, 1::2], before[:, 1::2])


def test_states_that_swap():
    a, b = sg.tensor(rand(5)), sg.tensor(rand(5, seed=1))
    first, second = a.tolist(), b.tolist()

    @sg.compile
    def swap():
        old = a.clone()
        a.assign(b)
        b.assign(old)

    swap()
    assert (a.tolist(), b.tolist()) == (second, first)


def test_old_value_of_a_state_may_be_returned():
    w = sg.tensor(rand(5))
    before = w.tolist()

    @sg.compile
    def step():
        old = w.clone()
        w.assign(w + 1)
        return old, old.sum() * w

    old, _ = step()
    assert old.tolist() == before
    assert w.tolist() == (np.float32(before) + 1).tolist()


def test_arena_is_shared_by_what_is_not_alive_together():
    def f(x):
        for _ in range(20):
            x = (x.sum(axis=0) + x).cumsum(0) * 0.01
        return [x]

    program = Program(optimize(region_of(f, [TensorType((100, 100), np.dtype("float32"))])))
    assert program.kernels.arena_bytes < 5 * 40_000


def test_wrong_size_is_refused_before_native_code_runs():
    program = Program(region_of(lambda x: [x + 1], [TensorType((4,), np.dtype("float32"))]))
    with pytest.raises(InternalError, match="size 3"):
        program([np.ones(3, np.float32)])


def test_text_and_kernels_can_be_read():
    f = sg.compile(lambda x, y: sg.tanh(x @ y) * 2)
    f(rand(4, 5), rand(5, 6))
    assert f.kernels.splitlines() == ["product (4, 5) @ (5, 6)", "loop (4, 6): tanh mul"]
    assert "define i32 @kernel1(ptr %call)" in f.llvm
