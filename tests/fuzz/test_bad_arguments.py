"""Arguments of any type at any place: only slotgrad's own errors come out, and no InternalError.

A TypeError of Python's own is right for a wrong number of arguments and unknown keywords; those
calls are not made here.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import slotgrad as sg
from slotgrad.errors import UsageError

X = np.arange(6.0).reshape(2, 3)

# each with arguments that it takes; one or two of them are then replaced
CALLS = {
    "tensor": (sg.tensor, (X,), {"dtype": "float32"}),
    "add": (sg.add, (X, X), {}),
    "pow": (sg.pow, (X, 2), {}),
    "maximum": (sg.maximum, (X, 1.0), {}),
    "where": (sg.where, (X > 1, X, 0.0), {}),
    "clip": (sg.clip, (X, 0, 1), {}),
    "astype": (sg.astype, (X, "int32"), {}),
    "less": (sg.less, (X, 1), {}),
    "bitwise_and": (sg.bitwise_and, (np.arange(3), 1), {}),
    "exp": (sg.exp, (X,), {}),
    "sum": (sg.sum, (X,), {"axis": 0, "keepdims": True, "dtype": "float64"}),
    "max": (sg.max, (X,), {"axis": 0, "keepdims": True}),
    "argmax": (sg.argmax, (X,), {"axis": 0, "keepdims": True}),
    "var": (sg.var, (X,), {"axis": 0, "correction": 1, "keepdims": False}),
    "prod": (sg.prod, (X,), {"axis": 0}),
    "cumsum": (sg.cumsum, (X,), {"axis": 0}),
    "logsumexp": (sg.logsumexp, (X,), {"axis": 0}),
    "norm": (sg.norm, (X,), {"ord": 2, "axis": 0}),
    "sort": (sg.sort, (X,), {"axis": 0, "descending": False}),
    "topk": (sg.topk, (X, 1), {"axis": 0, "largest": True}),
    "reshape": (sg.reshape, (X, (3, 2)), {}),
    "permute_dims": (sg.permute_dims, (X, (1, 0)), {}),
    "broadcast_to": (sg.broadcast_to, (X, (2, 2, 3)), {}),
    "expand_dims": (sg.expand_dims, (X,), {"axis": 0}),
    "squeeze": (sg.squeeze, (X[:1],), {"axis": 0}),
    "moveaxis": (sg.moveaxis, (X, 0, 1), {}),
    "flatten": (sg.flatten, (X,), {"start_axis": 0, "end_axis": 1}),
    "flip": (sg.flip, (X,), {"axis": 0}),
    "roll": (sg.roll, (X, 1), {"axis": 0}),
    "concat": (sg.concat, ([X, X],), {"axis": 0}),
    "stack": (sg.stack, ([X, X],), {"axis": 0}),
    "split": (sg.split, (X, 3), {"axis": 1}),
    "tile": (sg.tile, (X, (2, 1)), {}),
    "repeat": (sg.repeat, (X, 2), {"axis": 0}),
    "pad": (sg.pad, (X, 1), {"mode": "constant", "constant_values": 0.0}),
    "tril": (sg.tril, (X,), {"k": 0}),
    "diagonal": (sg.diagonal, (X,), {"offset": 0, "axis1": 0, "axis2": 1}),
    "diag": (sg.diag, (X,), {"k": 0}),
    "take": (sg.take, (X, [0]), {"axis": 0}),
    "take_along_axis": (sg.take_along_axis, (X, np.zeros((2, 1), int)), {"axis": 1}),
    "scatter_add": (sg.scatter_add, (X, 0, 1.0), {}),
    "one_hot": (sg.one_hot, ([0, 1], 2), {"dtype": "float32"}),
    "nonzero": (sg.nonzero, (X,), {}),
    "getitem": (lambda x, i: sg.tensor(x)[i], (X, 0), {}),
    "setitem": (lambda i, v: sg.tensor(X.copy()).__setitem__(i, v), (0, 1.0), {}),
    "at": (lambda i, v: sg.tensor(X).at[i].set(v), (0, 1.0), {}),
    "matmul": (sg.matmul, (X, X.T), {}),
    "dot": (sg.dot, (X, X.T), {}),
    "vecdot": (sg.vecdot, (X, X), {"axis": -1}),
    "outer": (sg.outer, (X, X), {}),
    "tensordot": (sg.tensordot, (X, X), {"axes": 2}),
    "einsum": (sg.einsum, ("ij,ij", X, X), {}),
    "full": (sg.full, ((2,), 1.0), {"dtype": "float32"}),
    "zeros": (sg.zeros, ((2,),), {"dtype": "float32"}),
    "full_like": (sg.full_like, (X, 1.0), {"dtype": "float32"}),
    "arange": (sg.arange, (0, 3, 1), {"dtype": "float32"}),
    "linspace": (sg.linspace, (0, 1, 3), {"dtype": "float32"}),
    "eye": (sg.eye, (2, 3), {"k": 0, "dtype": "float32"}),
    "meshgrid": (sg.meshgrid, ([1, 2], [3]), {"indexing": "xy"}),
    "seed": (sg.random.seed, (1,), {}),
    "uniform": (sg.random.uniform, ((2,),), {"low": 0.0, "high": 1.0, "dtype": "float32"}),
    "normal": (sg.random.normal, ((2,),), {"mean": 0.0, "std": 1.0, "dtype": "float32"}),
    "randint": (sg.random.randint, (0, 5), {"shape": (2,), "dtype": "int32"}),
    "permutation": (sg.random.permutation, (3,), {}),
    "bernoulli": (sg.random.bernoulli, (0.5,), {"shape": (2,)}),
    "choice": (sg.random.choice, (3,), {"shape": (2,), "replace": True, "p": None}),
    "grad": (lambda x, n: sg.grad(lambda a: sg.sin(a).sum(), argnums=n)(x), (X, 0), {}),
    "vjp": (lambda x, g: sg.vjp(sg.sin, x)[1](g), (X, X), {}),
    "vmap": (lambda x, i, o: sg.vmap(sg.sin, in_axes=i, out_axes=o)(x), (X, 0, 0), {}),
    "backward": (lambda g: sg.tensor(X, requires_grad=True).backward(g), (X,), {}),
}

WRONG = [
    None, True, -1, 3, 2**70, -(2**70), 0.5, float("nan"), float("inf"), 1j, "abc", "", b"x",
    (), [], {}, set(), (0, 0), (1, -1), [None], ["a"], [[1], [1, 2]], slice(0.5), slice(None),
    ..., range(3), object(), int, len, np.float32(2), np.array("a"), np.array([None]),
    np.datetime64(0, "s"), sg.ones((2, 3)), sg.ones((0, 3)), sg.tensor(1), sg.tensor([True, False]),
]  # fmt: skip


def call_refused_or_right(name, replaced):
    """Call with some arguments replaced; an error must be the user's, from slotgrad."""
    f, args, options = CALLS[name]
    values = [*args, *options.values()]
    for place, wrong in replaced.items():
        values[place] = wrong
    try:
        with np.errstate(all="ignore"):  # 0 * inf is not the subject here
            f(*values[: len(args)], **dict(zip(options, values[len(args) :])))
    except UsageError as error:
        assert str(error), "an error without a message"


@pytest.fixture(autouse=True)
def stream():
    saved = sg.random.get_state()
    yield
    sg.random.set_state(saved)


@pytest.mark.parametrize("name", CALLS)
def test_one_argument_of_any_type(name):
    _, args, options = CALLS[name]
    for place in range(len(args) + len(options)):
        for wrong in WRONG:
            call_refused_or_right(name, {place: wrong})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_several_arguments_of_any_type(data):
    name = data.draw(st.sampled_from(sorted(CALLS)))
    _, args, options = CALLS[name]
    count = len(args) + len(options)
    places = st.sets(st.integers(0, count - 1), min_size=min(2, count), max_size=3)
    drawn = {p: data.draw(st.integers(0, len(WRONG) - 1)) for p in sorted(data.draw(places))}
    call_refused_or_right(name, {place: WRONG[i] for place, i in drawn.items()})


def test_the_calls_as_they_stand_succeed():
    for f, args, options in CALLS.values():
        f(*args, **options)
