"""Passes on printed graphs: check(before, after), verified after each pass."""

from __future__ import annotations

import re

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.errors import InternalError
from slotgrad.graph.node import Node, TensorType
from slotgrad.graph.region import Region, verify
from slotgrad.passes.pipeline import optimize
from slotgrad.passes.share import share
from slotgrad.passes.simplify import simplify
from slotgrad.targets.numpy import Program

F32 = np.dtype("float32")


def region_of(f, *shapes):
    xs = [placeholder(TensorType(s, F32)) for s in shapes]
    return capture(lambda: f(*xs), xs, lambda y: [y]).region


def ops_of(region):
    return [n.op.name for n in region.nodes if n.op is not None]


def check(each, f, shapes, after):
    region = region_of(f, *shapes)
    new = each(region)
    verify(new)
    assert ops_of(new) == after.split()
    arrays = [np.random.default_rng(i).standard_normal(s).astype(F32) for i, s in enumerate(shapes)]
    for a, b in zip(Program(region)(arrays), Program(new)(arrays)):
        np.testing.assert_array_equal(a, b)


SIMPLIFY = {
    "one is neutral": (lambda x: (x * 1.0) / 1.0, [(3,)], ""),
    "minus zero": (lambda x: x - 0.0, [(3,)], ""),
    "plus zero stays: -0.0 + 0.0 is 0.0": (lambda x: x + 0.0, [(3,)], "add"),
    "times zero stays: nan * 0 is nan": (lambda x: x * 0.0, [(3,)], "mul"),
    "broadcasting by one stays a broadcast": (lambda x: x * sg.ones((2, 3)), [(3,)], "mul"),
    "twice negated": (lambda x: sg.negative(-x), [(3,)], ""),
    "transposed twice": (lambda x: x.mT.mT + 1, [(3, 2)], "add"),
    "a product is turned round": (
        lambda x, y: (x @ y).mT * 2.0,
        [(3, 2), (2, 4)],
        "permute_dims permute_dims matmul mul",
    ),
    "a product is turned round behind what changed": (
        lambda x, y: ((x * 1.0) @ y).mT * 2.0,
        [(3, 2), (2, 4)],
        "permute_dims permute_dims matmul mul",
    ),
    "a product that is needed stays": (
        lambda x, y: (lambda p: p + p.mT)(x @ y),
        [(3, 2), (2, 3)],
        "matmul permute_dims add",
    ),
    "a known condition": (lambda x: sg.where(sg.ones(()) > 0.0, x, 2 * x), [(3,)], ""),
    "reshaped twice": (lambda x: x.reshape(2, 3).reshape(3, 2) + 1, [(6,)], "reshape add"),
    "markers": (lambda x: x.detach().clone() + 1, [(3,)], "add"),
    "constants are computed": (lambda x: x * (sg.arange(3) * 2.0 + 1), [(3,)], "mul"),
    "reshape to the same": (
        lambda x: x.reshape(3, 1).reshape(3) + x,
        [(3,)],
        "add",
    ),
}


@pytest.mark.parametrize("case", SIMPLIFY)
def test_simplify(case):
    f, shapes, after = SIMPLIFY[case]
    check(simplify, f, shapes, after)


SHARE = {
    "equal products": (lambda x, y: (x * y) + (x * y), [(3,), (3,)], "mul add"),
    "other attributes": (lambda x: x.sum(axis=0).sum() + x.sum(axis=1).sum(), [(2, 2)], None),
    "equal constants": (lambda x: x * sg.full(2, 3.0) + x * sg.full(2, 3.0), [(2,)], "mul add"),
}


@pytest.mark.parametrize("case", SHARE)
def test_share(case):
    f, shapes, after = SHARE[case]
    if after is None:
        after = " ".join(ops_of(region_of(f, *shapes)))
    check(share, f, shapes, after)


def test_pipeline_of_a_gradient():
    f = sg.grad(lambda x: (x * x).sum())
    assert len(region_of(f, (4,))) > 4
    check(optimize, f, [(4,)], "add")


def test_passes_keep_random_draws_apart():
    region = region_of(lambda x: x + sg.random.uniform(3) - sg.random.uniform(3), (3,))
    assert ops_of(optimize(region)).count("random_bits") == 2


def test_verify_finds_a_wrong_type():
    region = region_of(lambda x: x + x, (3,))
    region.outputs[0].type = TensorType((4,), F32)
    with pytest.raises(InternalError, match="should have type"):
        verify(region)


def test_verify_finds_a_leaf_that_nobody_supplies():
    stray = Node(None, (), {}, None, False)
    stray.type = TensorType((3,), F32)
    with pytest.raises(InternalError, match="neither an input nor a constant"):
        verify(Region((), (stray,)))


def test_program_text_is_readable():
    text = str(Program(optimize(region_of(lambda x: sg.tanh(x) * 2, (3,)))))
    assert re.search(r"v\[\d+\] = tanh\(v\[0\]\)  # float32\[3\]", text)
    assert text.splitlines()[-1].startswith("return v[")


@pytest.mark.parametrize(
    ("exponent", "after"),
    [
        (1, ""),
        (2, "mul"),
        (3, "mul mul"),
        (-1, "div"),
        (0.5, "add sqrt equal where"),
        (-0.5, "add sqrt equal where div"),
        (2.5, "pow"),
    ],
)
def test_powers_need_no_logarithm(exponent, after):
    x = placeholder(TensorType((14,), F32))
    simplified = simplify(capture(lambda: x**exponent, [x], lambda y: [y]).region)
    assert ops_of(simplified) == after.split()
    values = [0.0, 1.0, 2.5, 1e-20, 1e20, 3e38, 1e-45, np.inf]
    values = np.array([*values, *(-v for v in values[:5]), np.nan], F32)
    values[-2] = -np.inf
    with np.errstate(all="ignore"):
        expected = np.power(values.astype(np.float64), np.full(14, exponent))
        np.testing.assert_allclose(Program(simplified)([values])[0], expected.astype(F32), 2.4e-7)
        zeros = np.signbit(expected) & (expected == 0)
    np.testing.assert_array_equal(np.signbit(Program(simplified)([values])[0])[zeros], True)
