"""Indexed statements against the eager values: dtypes, odd shapes, strided views, wrong indices.

The operations of a test are one native program, whose statements the rules make as in a program
of slotgrad.  Run as a script, all of them work on memory that ends, or begins, where access is
forbidden.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.dtypes import bfloat16, bool_, floating, int64, integral
from slotgrad.errors import BoundsError
from slotgrad.graph.node import Node, TensorType
from slotgrad.kernel.indexed import RULES, Check, Gather, Scatter, failure, places
from slotgrad.kernel.ir import Buffer, View, whole
from slotgrad.ops import reference
from slotgrad.ops.declare import RECORDS
from slotgrad.ops.random import philox
from slotgrad.runtime.host import host
from slotgrad.runtime.llvm import compile_text
from slotgrad.targets.indexed import buffers, write
from slotgrad.targets.module import Module
from slotgrad.targets.nest import pointers

REAL = sorted(integral | floating | {bool_}, key=str)
HOSTS = {
    "host": host(),
    "half": replace(host(), vector_bytes=32),
    "narrow": replace(host(), vector_bytes=16, has_fma=False, has_half=False),
}
SHAPES = [(1,), (3,), (63,), (65, 7), (2, 3, 4), (1, 5, 1), (7, 130), (130, 9)]


# -- memory ----------------------------------------------------------------------------------------


def anywhere(size: int) -> np.ndarray:
    return np.full(size, 0xA5, np.uint8)


def guarded(size: int, border: str) -> np.ndarray:
    """Memory that ends or begins beside a page that may not be touched."""
    page = mmap.PAGESIZE
    pages = -(-max(size, 1) // page) * page
    memory = mmap.mmap(-1, pages + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for wall in (start, start + page + pages):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(wall), page, 0) == 0
    inside = np.frombuffer(memory, np.uint8, pages, page)
    return inside[pages - size :] if border == "end" else inside[:size]


class Build:
    """What rules need of a builder, and a program of the statements they made."""

    allocate = staticmethod(anywhere)

    def __init__(self, machine: str = "host") -> None:
        self.host = HOSTS[machine]
        self.views: dict[Node, View] = {}
        self.statements: list[Any] = []
        self.buffers: list[Buffer] = []
        self.memory: dict[Buffer, np.ndarray] = {}
        self.cases: list[tuple[str, Node, Any]] = []

    def buffer(self, type: TensorType, role: str = "arena", **options: Any) -> View:
        made = Buffer(type.dtype, math.prod(type.shape), role, **options)
        self.buffers.append(made)
        return whole(made, type.shape)

    def input(self, array: np.ndarray) -> Node:
        """A node for an array, in memory that holds what lies between its elements too."""
        size = array.itemsize
        strides = tuple(s // size if n > 1 else 0 for s, n in zip(array.strides, array.shape))
        ends = [s * (n - 1) for s, n in zip(strides, array.shape)] if array.size else []
        low, high = sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends)
        made = Buffer(array.dtype, (high - low + 1) * bool(array.size), "input")
        self.buffers.append(made)
        self.memory[made] = self.allocate(made.bytes).view(array.dtype)
        node = self.node(None, (), {}, TensorType(array.shape, array.dtype))
        self.views[node] = View(made, array.shape, strides, -low)
        self.array(node)[...] = array
        return node

    def constant(self, array: np.ndarray) -> Node:
        array = np.ascontiguousarray(array)
        node = self.input(array)
        self.views[node].buffer.role = "constant"
        self.views[node].buffer.value = array
        return node

    def node(self, op: Any, inputs: tuple, attrs: dict, type: TensorType) -> Node:
        node = Node(op, inputs, attrs, None, False)
        node.type = type
        return node

    def apply(self, name: str, *inputs: Node, **attrs: Any) -> Node:
        op = RECORDS[name]
        node = self.node(op, inputs, attrs, op.type(*(i.type for i in inputs), **attrs))
        self.views[node] = self.buffer(node.type)
        assert RULES[name](self, node) is self.views[node]
        return node

    def expect(self, label: str, node: Node, value: Any) -> None:
        self.cases.append((label, node, np.asarray(value)))

    def array(self, node: Node) -> np.ndarray:
        view = self.views[node]
        size = view.dtype.itemsize
        strides = tuple(s * size for s in view.strides)
        memory = self.memory[view.buffer.place]
        return np.ndarray(view.shape, view.dtype, memory, view.offset * size, strides)

    def run(self) -> int:
        """0, or the number of the statement that failed, counted from 1."""
        for buffer in self.buffers:
            if buffer not in self.memory and buffer.alias is None:
                self.memory[buffer] = self.allocate(buffer.bytes).view(buffer.dtype)
        module, number = Module(self.host), {b: i for i, b in enumerate(self.buffers)}
        at = pointers(dict.fromkeys(self.buffers, 0))
        lines = []
        for i, s in enumerate(self.statements):
            module.define(f"k{i}", lambda i=i, s=s: write(s, f"k{i}", module, at))
            for b in buffers(s):
                lines.append(f"%a{i}.{number[b]} = getelementptr ptr, ptr %t, i64 {number[b]}")
                lines.append(f"%p{i}.{number[b]} = load ptr, ptr %a{i}.{number[b]}")
            arguments = ", ".join(f"ptr %p{i}.{number[b]}" for b in buffers(s))
            if s.fails:
                lines += [
                    f"%s{i} = call i32 @k{i}({arguments})",
                    f"%f{i} = icmp ne i32 %s{i}, 0",
                    f"br i1 %f{i}, label %failed{i}, label %next{i}\nfailed{i}:",
                    f"ret i32 {i + 1}\nnext{i}:",
                ]
            else:
                lines.append(f"call void @k{i}({arguments})")
        body = "\n".join([*lines, "ret i32 0"])
        module.define("run", lambda: f"define i32 @run(ptr %t) {{\n{body}\n}}\n")
        library = compile_text(module.text)
        places = [self.memory[b.place].ctypes.data for b in self.buffers]
        table = (ctypes.c_void_p * len(places))(*places)
        return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(library.address("run"))(table)

    def check(self) -> None:
        """Every result is what was expected, bit by bit but for the payload of nan."""
        assert self.run() == 0
        for label, node, expected in self.cases:
            found = self.array(node)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype), label
            if found.dtype in floating:
                nan = np.isnan(expected)
                np.testing.assert_array_equal(np.isnan(found), nan, label)
                found, expected = bits(found)[~nan], bits(expected)[~nan]
            np.testing.assert_array_equal(found, expected, label)


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}").reshape(array.shape)


# -- data ------------------------------------------------------------------------------------------


def numbers(shape: tuple[int, ...], dtype: np.dtype, seed: int = 0) -> np.ndarray:
    """Few different numbers, so that equal ones meet; nan, infinities and both zeros."""
    rng = np.random.default_rng(seed)
    if dtype in floating:
        values = np.array([0.0, -0.0, 1.5, -1.5, 3.1, 100.0, np.inf, -np.inf])
        x = rng.choice(values[: 8 if seed % 2 else 6], shape)
        x = np.where(rng.random(shape) < 0.02 * (seed % 3), np.nan, x)
        return np.asarray(x).astype(dtype)
    if dtype == bool_:
        return np.asarray(rng.random(shape) < 0.5)
    limits = np.iinfo(dtype)
    values = np.array([0, 1, 2, limits.max, limits.min, limits.max - 1], dtype)
    return np.asarray(rng.choice(values, shape))


def strided(x: np.ndarray) -> list[np.ndarray]:
    """Other arrays of the same shape: transposed, with gaps, backwards, broadcast."""
    found = [x.T.copy().T]
    if x.ndim:
        gaps = np.zeros((*x.shape[:-1], 3 * x.shape[-1]), x.dtype)
        gaps[..., ::3] = x
        found += [gaps[..., ::3], x[::-1], np.broadcast_to(x[:1], x.shape)]
    return found


def indices(shape: tuple[int, ...], size: int, dtype: Any = int64, seed: int = 0) -> np.ndarray:
    dtype = np.dtype(dtype)
    low = 0 if dtype.kind == "u" else -size
    found = np.random.default_rng(seed).integers(low, size, shape)
    return np.asarray(found).astype(dtype)


# x's shape, axes, shapes of the indices
INDEXED = [
    ((5,), (0,), [()]),
    ((5,), (0,), [(7,)]),
    ((1,), (0,), [(3,)]),
    ((65, 7), (0,), [(33,)]),
    ((65, 7), (1,), [(20,)]),
    ((65, 70), (0,), [(3, 4)]),
    ((6, 5, 4), (1,), [(9,)]),
    ((6, 5, 4), (1,), [()]),
    ((6, 5, 4), (0, 1), [(9,), (9,)]),
    ((6, 5, 4), (1, 2), [(3, 1), (1, 4)]),
    ((6, 5, 4), (0, 2), [(9,), ()]),
    ((6, 5, 4), (0, 2), [(2, 3), (3,)]),
    ((6, 5, 4), (0, 1, 2), [(8,), (1,), (8,)]),
    ((2, 3, 4, 5), (1, 2), [(6,), (6,)]),
    ((2, 3, 4, 5), (1, 3), [(6,), (6,)]),
    ((3, 1, 5), (1,), [(2, 2)]),
    ((3, 4), (0,), [(0,)]),
    ((0, 4), (0,), [(0,)]),
    ((3, 0), (0,), [(2,)]),
    ((3, 4), (0, 1), [(1,), (0,)]),
]


def add_indexed(build: Build, dtype: np.dtype, seed: int = 0, index: Any = int64) -> None:
    for shape, axes, inner in INDEXED:
        arrays = [indices(s, shape[a], index, seed + a) for s, a in zip(inner, axes)]
        x = numbers(shape, dtype, seed)
        label = f"{dtype} {shape} {axes} {inner}"
        found = [build.input(i) for i in arrays]
        value = reference.k.gather(x, tuple(arrays), axes)
        node = build.apply("gather", build.input(x), *found, axes=axes)
        build.expect(f"gather {label}", node, value)
        v = numbers(np.shape(value), dtype, seed + 1)
        for mode in ("set", "add"):
            with np.errstate(all="ignore"):
                value = reference.k.scatter(x, v, tuple(arrays), axes, mode)
            node = build.apply(
                "scatter", build.input(x), build.input(v), *found, axes=axes, mode=mode
            )
            build.expect(f"{mode} {label}", node, value)


# -- gather and scatter ----------------------------------------------------------------------------


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_gather_and_scatter(dtype, machine):
    build = Build(machine)
    add_indexed(build, dtype)
    add_indexed(build, dtype, seed=7)
    build.check()


@pytest.mark.parametrize("index", sorted(integral, key=str), ids=str)
def test_integers_of_every_dtype_are_indices(index):
    build = Build()
    add_indexed(build, np.dtype("f4"), 3, index)
    build.check()


def test_unsigned_indices_wrap_as_in_numpy():
    build = Build()
    x, i = np.arange(5.0), np.array([2**64 - 1, 2**64 - 5, 4], np.uint64)
    build.expect("wrapped", build.apply("gather", build.input(x), build.input(i), axes=(0,)), x[i])
    build.check()


def add_strided(build: Build, dtype: np.dtype) -> None:
    for shape, axes, inner in INDEXED:
        whole_index = [indices(s, shape[a], int64, a) for s, a in zip(inner, axes)]
        for x, arrays in itertools.product(
            strided(numbers(shape, dtype)), zip(*(strided(i) for i in whole_index))
        ):
            found = [build.input(i) for i in arrays]
            contiguous = tuple(np.ascontiguousarray(i).reshape(i.shape) for i in arrays)
            value = reference.k.gather(x, contiguous, axes)
            node = build.apply("gather", build.input(x), *found, axes=axes)
            build.expect(f"gather {shape} {axes}", node, value)
            v = strided(numbers(np.shape(value), dtype))[-1]
            value = reference.k.scatter(np.ascontiguousarray(x), v, contiguous, axes, "add")
            node = build.apply(
                "scatter", build.input(x), build.input(v), *found, axes=axes, mode="add"
            )
            build.expect(f"scatter {shape} {axes}", node, value)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_views_that_are_not_contiguous(dtype):
    build = Build()
    add_strided(build, np.dtype(dtype))
    build.check()


def test_constant_indices_in_even_steps_are_strides():
    x, i = numbers((6, 8), np.dtype("f4")), indices((6, 3), 8)
    build = Build()
    rows = build.constant(np.arange(6)[:, None])
    node = build.apply("gather", build.input(x), rows, build.input(i), axes=(0, 1))
    build.expect("along the last axis", node, np.take_along_axis(x, i, 1))
    columns = build.constant(np.arange(8)[None, ::-2] - 8)
    node = build.apply("gather", build.input(x), build.constant(np.int64(-2)), columns, axes=(0, 1))
    build.expect("a row backwards", node, x[-2:-1, ::-2])
    checks = [s for s in build.statements if isinstance(s, Check)]
    gathers = [s for s in build.statements if isinstance(s, Gather)]
    assert [c.axis for c in checks] == [1]
    assert [len(places(g.x, g.indices, g.axes)[1]) for g in gathers] == [1, 0]
    build.check()


def test_constant_indices_without_a_pattern():
    x, i = numbers((9, 3), np.dtype("f4")), np.array([[4, -1, 4], [0, 8, 2]])
    build = Build()
    build.expect("table", build.apply("gather", build.input(x), build.constant(i), axes=(0,)), x[i])
    assert not any(isinstance(s, Check) for s in build.statements)
    build.check()


def test_scatter_in_place():
    x, v, i = numbers((40, 17), np.dtype("f4")), numbers((9, 17), np.dtype("f4"), 1), indices(9, 40)
    build = Build()
    given, values = build.input(x), build.input(v)
    node = build.apply("scatter", given, values, build.input(i), axes=(0,), mode="add")
    made = build.statements[-1]
    assert isinstance(made, Scatter) and not made.in_place
    target = build.views[given].buffer
    assert made.may_replace(target) and not made.may_replace(build.views[values].buffer)
    build.views[node].buffer.alias = target
    assert made.in_place
    expected = x.copy()
    np.add.at(expected, i, v)
    build.expect("in place", node, expected)
    build.check()
    np.testing.assert_array_equal(build.array(given), expected)
    text = write(made, "f", Module(host()), pointers(dict.fromkeys(build.buffers, 0)))
    assert "f.copy" not in text


def test_a_scatter_of_itself_may_not_be_in_place():
    build = Build()
    x = build.input(numbers((4, 3), np.dtype("f4")))
    build.apply("scatter", x, x, build.input(np.array([2, 1, 0, 0])), axes=(0,), mode="set")
    assert not build.statements[-1].may_replace(build.views[x].buffer)


# -- wrong indices ---------------------------------------------------------------------------------

WRONG = [
    ((3, 2), (0,), [np.array([0, 3, 7])]),
    ((3, 2), (0,), [np.array([0, -4])]),
    ((3, 2), (1,), [np.array([[0, 1], [-3, 7]])]),
    ((3, 2), (0, 1), [np.array([1, 5]), np.array([4, 0])]),
    ((3, 2), (0, 1), [np.array([1, 2]), np.array([[0], [2]])]),
    ((3, 2), (1,), [np.array(2)]),
    ((0, 2), (0,), [np.array([0])]),
    ((3, 0), (0,), [np.array([5])]),
    ((300, 2), (0,), [np.array([200, -128], np.int16), np.array([1])][:1]),
    ((3,), (0,), [np.array([0] * 99 + [3], np.uint8)]),
    ((3,), (0,), [np.array([2**63], np.uint64)]),
    ((3,), (0,), [np.array([2**63 - 1, -(2**63)])]),
    ((3,), (0,), [np.array([0, 9, 0, 9])[::-1]]),
    ((3, 4), (0,), [np.arange(40).reshape(5, 8)[::2, ::3].T - 3]),
]


def eager(x: np.ndarray, arrays: list, axes: tuple) -> BoundsError | None:
    try:
        RECORDS["gather"].value(x, *arrays, axes=axes)
    except BoundsError as error:
        return error
    return None


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("case", range(len(WRONG)))
@pytest.mark.parametrize("known", [False, True])
def test_wrong_indices_are_refused_as_by_eager_code(case, known, machine):
    shape, axes, arrays = WRONG[case]
    x = np.zeros(shape, np.float32)
    expected = eager(x, arrays, axes)
    build = Build(machine)
    found = [(build.constant if known else build.input)(i) for i in arrays]
    build.apply("gather", build.input(x), *found, axes=axes)
    status = build.run()
    if expected is None:
        assert status == 0
        return
    check = build.statements[status - 1]
    assert isinstance(check, Check)
    view = self_view(build, check)
    error = failure(check, view)
    assert (type(error), str(error)) == (BoundsError, str(expected))


def self_view(build: Build, check: Check) -> np.ndarray:
    node = build.node(None, (), {}, TensorType(check.index.shape, check.index.dtype))
    build.views[node] = check.index
    return build.array(node)


def test_nothing_is_written_if_an_index_is_wrong():
    build = Build()
    x, v = build.input(np.zeros(4)), build.input(np.ones(3))
    node = build.apply("scatter", x, v, build.input(np.array([0, 4, 1])), axes=(0,), mode="add")
    build.views[node].buffer.alias = build.views[x].buffer
    assert build.run() == 1 and not build.array(x).any()


def test_every_index_is_checked_once():
    build = Build()
    i = build.input(np.array([0, 1]))
    for size in (3, 3, 4):
        build.apply("gather", build.input(np.zeros((size, size))), i, i, axes=(0, 1))
    assert [s.size for s in build.statements if isinstance(s, Check)] == [3, 4]


def test_only_gathers_of_real_numbers_at_integers_are_native():
    build = Build()
    c = build.input(np.zeros(3, complex))
    mask = build.input(np.array([True, False, True]))
    for x, i in ((c, build.input(np.array([1]))), (build.input(np.zeros(3)), mask)):
        node = build.node(RECORDS["gather"], (x, i), {"axes": (0,)}, x.type)
        assert RULES["gather"](build, node) is None
    assert build.statements == []


# -- along an axis ---------------------------------------------------------------------------------


def add_along(build: Build, dtype: np.dtype, shapes: list, seeds: range = range(3)) -> None:
    for shape, seed in itertools.product(shapes, seeds):
        x = numbers(shape, dtype, seed)
        for array, axis in itertools.product([x, *strided(x)[: 4 * (seed == 2)]], range(x.ndim)):
            label = f"{dtype} {shape} {axis} {array.strides}"
            node = build.input(array)
            for name, attrs in ALONG[:-2] if array is not x else ALONG:
                given = np.ascontiguousarray(array)
                with np.errstate(all="ignore"):
                    value = RECORDS[name].value(given, axis=axis, **attrs)
                build.expect(f"{name} {label}", build.apply(name, node, axis=axis, **attrs), value)


ALONG: list[tuple[str, dict]] = [
    ("argmax", {"keepdims": False}),
    ("argmin", {"keepdims": True}),
    ("cumsum", {}),
    ("argsort", {"descending": False}),
    ("argsort", {"descending": True}),
]


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_along_an_axis(dtype, machine):
    build = Build(machine)
    add_along(build, dtype, SHAPES)
    build.check()


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_along_a_long_axis(dtype):
    build = Build()
    add_along(build, dtype, [(1000,), (1025,)], range(1, 3))
    build.check()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_extremes_of_nothing_but_infinities_and_nan(dtype):
    dtype = sg.tensor([], dtype=dtype).dtype
    build = Build()
    for value, n in itertools.product([np.inf, -np.inf, np.nan], [1, 3, 17, 100]):
        x = np.full((n, 5), value).astype(dtype)
        for name, axis in itertools.product(["argmax", "argmin"], [0, 1]):
            node = build.apply(name, build.input(x), axis=axis, keepdims=False)
            build.expect(f"{name} {value} {n}", node, RECORDS[name].value(x, axis, False))
    build.check()


def test_no_element_no_statement():
    build = Build()
    x = build.input(np.zeros((3, 0)))
    for name, attrs in (("cumsum", {}), ("argsort", {"descending": False})):
        value = RECORDS[name].value(np.zeros((3, 0)), axis=1, **attrs)
        build.expect(name, build.apply(name, x, axis=1, **attrs), value)
    build.apply("argmax", x, axis=0, keepdims=False)
    assert build.statements == []
    build.check()


# -- random numbers --------------------------------------------------------------------------------


def add_random(build: Build) -> None:
    states = [(0, 0), (7, 2**32 - 5), (2**64 - 1, 2**64 - 3), (0x123456789ABCDEF0, 2**40)]
    for (key, first), n in itertools.product(states, [1, 3, 4, 15, 31, 33, 64, 65, 127, 200]):
        state = build.input(np.array([key, first], np.uint64))
        expected = philox(key, first, -(-n // 4)).reshape(-1)[:n]
        build.expect(f"{key} {first} {n}", build.apply("random_bits", state, shape=(n,)), expected)


@pytest.mark.parametrize("machine", HOSTS)
def test_random_bits(machine):
    build = Build(machine)
    add_random(build)
    build.check()


def test_random_bits_of_a_strided_state_and_of_no_shape():
    build = Build()
    state = build.input(np.array([3, 0, 5, 0], np.uint64)[::2])
    for shape in ((), (2, 3, 4), (0,), (1,)):
        expected = RECORDS["random_bits"].value(np.array([3, 5], np.uint64), shape)
        build.expect(str(shape), build.apply("random_bits", state, shape=shape), expected)
    build.check()


# -- programs --------------------------------------------------------------------------------------


def test_compiled_functions_agree_with_eager_ones():
    def f(x, i, j):
        order = sg.argsort(x, axis=0, descending=True)
        rows = sg.take(x, i, axis=0).cumsum(1)
        return [
            rows,
            x.at[i].add(rows),
            x.at[i, j].set(1.0),
            sg.take_along_axis(x, order, axis=0),
            x.argmax(-1) + x.argmin(1),
            x[i, 1:3],
        ]

    x = np.random.default_rng(0).standard_normal((20, 7)).astype(np.float32)
    i, j = indices((9,), 20), indices((9,), 7)
    for found, expected in zip(sg.compile(f)(x, i, j), f(*map(sg.tensor, (x, i, j)))):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_a_failed_call_raises_the_error_of_eager_code_and_changes_nothing():
    table = sg.zeros((5, 3))

    @sg.compile
    def step(i, j):
        table.assign(table.at[i].add(1.0))
        return sg.take(table, j, axis=1)

    step(np.array([1, -1]), np.array([0, 2]))
    before = table.tolist()
    for i, j in (([5, 0], [0, 0]), ([0, 0], [-4, 9])):
        with pytest.raises(BoundsError) as eager:
            sg.take(sg.take(table, i, axis=0), j, axis=1)
        with pytest.raises(BoundsError) as compiled:
            step(np.array(i), np.array(j))
        assert str(compiled.value) == str(eager.value)
        assert table.tolist() == before


# -- borders ---------------------------------------------------------------------------------------


def everything(machine: str, border: str) -> None:
    """All statements on memory beside forbidden pages."""
    Build.allocate = staticmethod(lambda size: guarded(size, border))  # type: ignore[assignment]
    for dtype in (np.dtype("f4"), np.dtype("f8"), bfloat16, np.dtype("i1"), bool_, np.dtype("i2")):
        build = Build(machine)
        add_indexed(build, dtype)
        add_along(build, dtype, SHAPES[:-1], range(2, 3))
        build.check()
    build = Build(machine)
    add_strided(build, np.dtype("f4"))
    add_random(build)
    build.check()


@pytest.mark.skipif(sys.platform == "win32", reason="pages are forbidden with mprotect")
@pytest.mark.parametrize("border", ["end", "begin"])
@pytest.mark.parametrize("machine", HOSTS)
def test_no_byte_outside_is_touched(machine, border):
    command = [sys.executable, __file__, machine, border]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


if __name__ == "__main__":
    everything(sys.argv[1], sys.argv[2])
