"""Matrix products, tensordot and einsum, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import slotgrad as sg


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def close(found, expected, rtol=1e-12):
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=rtol)


def loop(f, xs, flags):
    """vmap over the flagged arguments equals a Python loop."""
    mapped = sg.vmap(f, in_axes=tuple(0 if flag else None for flag in flags))(*xs)
    size = next(len(x) for x, flag in zip(xs, flags) if flag)
    rows = [f(*[x[i] if flag else x for x, flag in zip(xs, flags)]).numpy() for i in range(size)]
    close(mapped, np.stack(rows))


# -- matmul and its relatives --------------------------------------------------------------------

PAIRS = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 2)), ((5, 2, 3), (3,)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 1)), ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_matmul(left, right):
    a, b = numbers(*left), numbers(*right, seed=1)
    close(sg.matmul(a, b), a @ b)
    close(sg.tensor(a) @ b, a @ b)
    close(a @ sg.tensor(b), a @ b)
    if a.size and b.size:
        sg.check_grads(sg.matmul, (a, b), order=2)
    for flags in ((True, True), (True, False), (False, True)):
        xs = [np.stack([x, x + 1, 2 * x]) if f else x for x, f in zip((a, b), flags)]
        loop(sg.matmul, xs, flags)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16", "bfloat16", "float32", "complex64"])
def test_matmul_dtypes(dtype):
    a = sg.tensor(np.arange(6).reshape(2, 3), dtype=dtype)
    found = a @ a.T
    assert found.dtype == a.dtype
    assert found.astype("complex128").tolist() == [[5, 14], [14, 50]]


def test_half_precision_multiplies_in_single():
    a = sg.full((1, 4096), 1.0, dtype="float16")
    assert (a @ a.T).item() == 4096
    a.requires_grad_()
    (a @ a.T).sum().backward()
    assert a.grad.dtype == sg.float16


def test_infinity_flows_without_a_warning():
    a = sg.tensor([[3e38, 3e38]])
    assert (a @ a.T).item() == np.inf


@pytest.mark.parametrize(
    ("left", "right"), [*PAIRS[:5], ((), (3,)), ((2, 3), (5, 3, 4)), ((3,), (5, 3, 2))], ids=str
)
def test_dot(left, right):
    a, b = numbers(*left), numbers(*right, seed=1)
    close(sg.dot(a, b), np.dot(a, b))


@pytest.mark.parametrize("axis", [-1, -2])
def test_vecdot(axis):
    a, b = numbers(4, 1, 3, 3), numbers(2, 3, 3, seed=1)
    expected = (a * b).sum(axis)
    close(sg.vecdot(a, b, axis=axis), expected)
    sg.check_grads(lambda a, b: sg.vecdot(a, b, axis=axis), (a, b), order=2)


def test_vecdot_counts_the_axis_in_each():
    a, b = numbers(3, 2), numbers(3, seed=1)
    close(sg.vecdot(a, b, axis=0), a.T @ b)


def test_outer():
    a, b = numbers(3), numbers(2, 2, seed=1)
    close(sg.outer(a, b), np.outer(a, b))
    sg.check_grads(sg.outer, (a, b), order=2)


@pytest.mark.parametrize(
    "axes",
    [
        0,
        1,
        2,
        ([0], [2]),
        ([1, 0], [1, 2]),
        ((-1,), (0,)),
        (2, 0),
        ((), ()),
        ([2, 1, 0], [0, 1, 2]),
    ],
    ids=str,
)
def test_tensordot(axes):
    a, b = numbers(2, 3, 4), numbers(4, 3, 2, seed=1)
    if axes == 2:
        b = numbers(3, 4, 2, seed=1)
    close(sg.tensordot(a, b, axes), np.tensordot(a, b, axes))
    sg.check_grads(lambda a, b: sg.tensordot(a, b, axes), (a, b), order=2)


# -- einsum --------------------------------------------------------------------------------------

SUBSCRIPTS = [
    ("i->i", (3,)), ("i->", (3,)), ("i", (3,)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("iii->i", (2, 2, 2)), ("ijij->ji", (2, 3, 2, 3)), ("iij->j", (2, 2, 3)), ("ji", (2, 3)),
    ("ij->ji", (2, 3)), ("ba", (2, 3)), ("Ba", (2, 3)), ("...", (2, 3)), ("i...->...i", (2, 3, 4)),
    ("...ii->...", (2, 3, 3)), ("i...j->ij...", (2, 3, 4)), ("ij->", (0, 3)), ("->", ()),
    ("i,i", (3,), (3,)), ("i,j", (3,), (2,)), ("i,j->ji", (3,), (2,)), ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 1)), ("ij,ij->", (2, 3), (2, 3)),
    ("ij,ij->ij", (2, 3), (2, 3)), ("ij,ij->j", (2, 3), (1, 3)), ("ij,jk->ik", (2, 1), (3, 4)),
    ("ii,i->i", (3, 3), (3,)), ("ii,ij->j", (3, 3), (3, 2)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("...ij,...jk->...ik", (5, 1, 2, 3), (6, 3, 4)),
    ("...,...", (2, 3), (3,)), ("...i,...i->...", (2, 3), (4, 1, 3)),
    ("a...,b...->ba...", (2, 3), (5, 1)), (",i->i", (), (3,)), (" i j , j -> i ", (2, 3), (3,)),
    ("ij,k->k", (2, 3), (4,)), ("ij,jk->ik", (2, 0), (0, 3)), ("i,ij,j->", (2,), (2, 3), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("ij,ik,il->jkl", (2, 3), (2, 4), (2, 5)),
    ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)), ("i,i,i->i", (3,), (1,), (3,)),
    ("...i,ij,...j->...", (4, 2), (2, 3), (4, 3)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 2), (2, 4), (4, 1)), ("ij,ij,jk->k", (1, 3), (2, 3), (3, 4)),
    ("Z...a,aZ", (2, 5, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", SUBSCRIPTS, ids=lambda c: c[0])
def test_einsum(case):
    subscripts, *shapes = case
    xs = [np.asarray(numbers(*s, seed=i)) for i, s in enumerate(shapes)]
    close(sg.einsum(subscripts, *xs), np.einsum(subscripts, *xs))
    whole = [np.arange(x.size).reshape(x.shape) for x in xs]
    found = sg.einsum(subscripts, *whole)
    assert found.dtype == sg.int64
    close(found, np.einsum(subscripts, *whole))


@pytest.mark.parametrize("case", SUBSCRIPTS[1::3], ids=lambda c: c[0])
def test_einsum_derivatives_and_vmap(case):
    subscripts, *shapes = case
    xs = [np.asarray(numbers(*s, seed=i)) for i, s in enumerate(shapes)]

    def f(*operands):
        return sg.einsum(subscripts, *operands)

    if all(x.size for x in xs):
        sg.check_grads(f, xs, order=2)
    for flags in itertools.product([True, False], repeat=len(xs)):
        if any(flags):
            loop(f, [np.stack([x, x + 1]) if flag else x for x, flag in zip(xs, flags)], flags)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_random_einsums_agree_with_numpy(data):
    sizes = {c: data.draw(st.integers(1, 3)) for c in "abcde"}
    terms, operands = [], []
    for i in range(data.draw(st.integers(1, 3))):
        term = data.draw(st.text("abcde", max_size=4))
        stretched = {c for c in term if data.draw(st.booleans())} if i else set()
        terms.append(term)
        operands.append(numbers(*[1 if c in stretched else sizes[c] for c in term], seed=i))
    letters = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(letters))[: data.draw(st.integers(0, len(letters)))])
    subscripts = ",".join(terms)
    for spelled in (subscripts, f"{subscripts}->{output}"):
        close(sg.einsum(spelled, *operands), np.einsum(spelled, *operands), 1e-10)


def test_vecdot_conjugates_the_first_and_keeps_integers():
    z = np.array([1 + 2j, -0.5j, 3])
    assert sg.vecdot(z, z * 1j).item() == np.vecdot(z, z * 1j)
    found = sg.vecdot(np.array([100, 3], np.int8), np.array([2, 1], np.int8))
    assert found.dtype == sg.int8 and found.item() == 203 - 256
