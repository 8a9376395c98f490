"""Forms: equal for statements that the same code computes, different for all others."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations
from typing import get_args

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.graph.apply import apply
from slotgrad.graph.node import TensorType
from slotgrad.kernel.build import build
from slotgrad.kernel.form import Unknown, calls, form
from slotgrad.kernel.indexed import Indexed
from slotgrad.kernel.ir import Buffer, HostCall, Loop, Product, View, whole
from slotgrad.ops.declare import RECORDS
from slotgrad.ops.gather import scatter
from slotgrad.passes.pipeline import optimize

X = TensorType((6, 8), np.dtype(np.float32))
SQUARE = TensorType((8, 8), np.dtype(np.float32))
PLACES = TensorType((5,), np.dtype(np.int64))
STATE = TensorType((2,), np.dtype(np.uint64))


def statements(f, *types):
    """What computes a function of tensors."""
    xs = [placeholder(t) for t in types]
    region = optimize(capture(lambda: f(*xs), xs, lambda y: [y]).region)
    return build(region, {}).statements


def forms(f, *types):
    return [form(s)[0] for s in statements(f, *types)]


def make_foreign(loop):
    """Let the kernel expression of a loop's only node be somebody else's."""
    [node] = loop.nodes
    node.op = replace(node.op, kernel=lambda k, x: k.exp(x))


def softmax(x):
    return sg.nn.functional.softmax(x, axis=-1)


ROWS = {
    "an operation": lambda x: sg.exp(x),
    "another one": lambda x: sg.expm1(x),
    "inputs": lambda x: x - x.sum(axis=0),
    "inputs, exchanged": lambda x: x.sum(axis=0) - x,
    "an attribute": lambda x: sg.polygamma(1, x),
    "another attribute": lambda x: sg.polygamma(2, x),
    "a dtype": lambda x: x.astype(sg.float64),
    "another dtype": lambda x: x.astype(sg.float16),
    "a row that is used twice": softmax,
    "a fold": lambda x: x.sum(axis=1),
    "a fold over other axes": lambda x: x.sum(axis=0),
    "another fold": lambda x: x.max(axis=1),
    "kept axes": lambda x: sg.exp(x).sum(axis=1, keepdims=True) + x,
    "a view": lambda x: sg.exp(x[1:3]),
    "a view with steps": lambda x: sg.exp(x[1:5:2]),
    "an order": lambda x: sg.exp(x.mT + 0),
    "a product": lambda x: x @ x.mT,
    "a product, continued": lambda x: sg.maximum(x @ x.mT, 0),
    "a product, continued otherwise": lambda x: sg.minimum(x @ x.mT, 0),
}


def test_what_is_computed_otherwise_has_another_form():
    found = {name: str(forms(f, X)) for name, f in ROWS.items()}
    for a, b in combinations(found, 2):
        assert found[a] != found[b], f"{a} and {b}"


@pytest.mark.parametrize("name", ROWS)
def test_what_is_computed_alike_has_one_form(name):
    assert forms(ROWS[name], X) == forms(ROWS[name], X)


def test_shapes_and_dtypes_are_told():
    wider = TensorType((6, 9), X.dtype)
    double = TensorType(X.shape, np.dtype(np.float64))
    assert len({str(forms(softmax, t)) for t in (X, wider, double)}) == 3


def test_buffers_are_not_told_apart_but_which_are_the_same():
    a, b, c = (whole(Buffer(X.dtype, 48, "arena"), X.shape) for _ in range(3))

    def copy(*views):
        nodes = [placeholder(X).node for _ in views]
        return form(Loop(X.shape, dict(zip(nodes, views)), [], list(zip(nodes, (c, c)))))

    assert copy(a, b)[0] == copy(b, a)[0]
    assert copy(a, b)[0] != copy(a, a)[0]
    assert list(copy(a, b)[1]) == [a.buffer, b.buffer, c.buffer]


def test_places_in_a_buffer_are_told_from_the_first_one():
    def rows(i, j):
        return forms(lambda x: sg.exp(x[i]) + x[j], X)

    assert rows(1, 2) == rows(3, 4) == rows(0, 1)
    assert len({str(rows(1, j)) for j in (0, 1, 2, 3)}) == 4


def test_calls_of_one_form_have_one_kernel():
    made, told = calls(statements(lambda x, y: sg.stack([x[1:3] @ y, x[2:4] @ y]), X, SQUARE))
    products = [c for c in made if isinstance(c.statement, Product)]
    assert [c.kernel for c in products] == [0, 0] and len(told) < len(made)
    assert [c.operands[c.statement.a.buffer] for c in products] == [8, 16]


def test_what_has_no_form_has_a_kernel_of_its_own():
    found = [*statements(sg.exp, X), *statements(sg.exp, X)]
    assert [c.kernel for c in calls(found)[0]] == [0, 0]
    for loop in found:
        make_foreign(loop)
    made, told = calls(found)
    assert told is None and [c.kernel for c in made] == [0, 1]


def test_constant_indices_in_a_line_are_told():
    """Their code adds strides; that of others reads them, whatever they are."""

    def rows(*numbers):
        return forms(lambda x: x[np.array(numbers)], X)

    assert len({str(rows(*numbers)) for numbers in [(0, 1), (1, 2), (0, 2)]}) == 3
    assert rows(0, 1, 3) == rows(5, 1, 1)


def test_an_alias_is_told():
    """Whether a scatter copies first depends on it."""
    *_, scatter = statements(lambda x, i, v: sg.scatter_add(x, i, v), PLACES, PLACES, PLACES)
    before = form(scatter)[0]
    scatter.out.buffer.alias = scatter.x.buffer
    assert form(scatter)[0] != before


# -- statements by index ---------------------------------------------------------------------------

PROGRAMS = [
    (lambda x, i, v: scatter(x, v, (i,), (0,), "add"), X, PLACES, TensorType((5, 8), X.dtype)),
    (lambda x, i: x[i], X, PLACES),
    (lambda x: sg.argmax(x, axis=1), X),
    (lambda x: sg.cumsum(x, axis=1), X),
    (lambda x: sg.argsort(x, axis=1), X),
    (lambda x: apply(RECORDS["random_bits"], (x,), {"shape": (6,)}), STATE),
]


def changed(value):
    """Something else of the same kind."""
    if isinstance(value, View):
        return replace(value, offset=value.offset + 1)
    if isinstance(value, (list, tuple)):
        return type(value)(map(changed, value))
    if isinstance(value, str):
        return {"max": "min", "min": "max", "set": "add", "add": "set"}[value]
    return value + 1 if type(value) is int else not value


@pytest.mark.parametrize("kind", get_args(Indexed))
def test_every_field_is_told(kind):
    statement = next(s for f, *types in PROGRAMS for s in statements(f, *types) if type(s) is kind)
    for field in fields(statement):
        other = replace(statement, **{field.name: changed(getattr(statement, field.name))})
        assert form(other) != form(statement), field.name


# -- what has no form ------------------------------------------------------------------------------


def test_what_python_computes_has_no_code():
    [call] = [s for s in statements(sg.linalg.inv, SQUARE) if isinstance(s, HostCall)]
    assert form(call)[0] == "HostCall"


def test_operations_from_elsewhere_cannot_be_told():
    [loop] = statements(sg.exp, X)
    make_foreign(loop)
    with pytest.raises(Unknown, match="exp"):
        form(loop)
