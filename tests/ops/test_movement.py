"""Operations that only move elements, against NumPy; the derivative is the transpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import slotgrad as sg
from slotgrad import errors

SHAPES = [(), (0,), (1,), (5,), (2, 3), (3, 1, 4), (2, 0, 3), (2, 3, 2, 2)]
DTYPES = ["bool", "int8", "uint16", "int64", "float16", "bfloat16", "float32", "float64"]


def numbers(shape, dtype="float64"):
    return np.arange(int(np.prod(shape))).reshape(shape).astype(sg.zeros(0, dtype=dtype).dtype)


def same(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.numpy(), expected)


def linear(f, *arrays):
    """f is linear: its derivatives agree with differences, and under vmap with a loop."""
    sg.check_grads(lambda *xs: f(*xs) ** 2, arrays, order=2)
    stacked = [np.stack([a, 2 * a + 1]) for a in arrays]
    mapped = sg.vmap(f)(*stacked)
    for i in range(2):
        np.testing.assert_array_equal(mapped[i].numpy(), f(*[s[i] for s in stacked]).numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_and_dtype(shape, dtype):
    x = numbers(shape, dtype)
    same(sg.reshape(x, (-1,)), x.reshape(-1))
    same(sg.transpose(x), x.transpose())
    same(sg.flip(x), np.flip(x))
    same(sg.roll(x, 2), np.roll(x, 2))
    same(sg.tile(x, 2), np.tile(x, 2))
    same(sg.repeat(x, 3), np.repeat(x, 3))
    same(sg.squeeze(x), np.squeeze(x))
    same(sg.expand_dims(x, -1), np.expand_dims(x, -1))
    same(sg.broadcast_to(x, (2, *shape)), np.broadcast_to(x, (2, *shape)))
    same(sg.stack([x, x]), np.stack([x, x]))
    same(sg.pad(x, 1), np.pad(x, 1))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
def test_every_axis(shape):
    x = numbers(shape)
    for axis in range(-len(shape), len(shape)):
        same(sg.flip(x, axis), np.flip(x, axis))
        same(sg.roll(x, -1, axis), np.roll(x, -1, axis))
        same(sg.roll(x, 7, axis), np.roll(x, 7, axis))
        same(sg.repeat(x, 2, axis), np.repeat(x, 2, axis))
        same(sg.concat([x, x[:0], x] if axis == 0 else [x, x], axis), np.concatenate([x, x], axis))
        same(sg.stack([x, x, x], axis), np.stack([x, x, x], axis))
        same(sg.moveaxis(x, axis, 0), np.moveaxis(x, axis, 0))
        same(sg.swapaxes(x, axis, -1), np.swapaxes(x, axis, -1))
        same(sg.expand_dims(x, axis), np.expand_dims(x, axis))
        parts = sg.unstack(x, axis)
        assert len(parts) == shape[axis]
        for i, part in enumerate(parts):
            same(part, np.take(x, i, axis))
        if shape[axis] == 1:
            same(sg.squeeze(x, axis), np.squeeze(x, axis))


def test_reshape():
    x = numbers((2, 6))
    for shape in [(12,), 12, (3, -1), (-1, 4), (1, 12, 1), [4, 3], (2, 2, 3)]:
        same(sg.reshape(x, shape), x.reshape(shape))
    t = sg.tensor(x)
    assert np.shares_memory(t.reshape(3, 4).numpy(), x)
    assert t.reshape(-1).shape == t.flatten().shape == (12,)
    assert sg.reshape(np.zeros((0, 3)), (3, -1)).shape == (3, 0)
    same(sg.flatten(numbers((2, 3, 4, 5)), 1, 2), numbers((2, 12, 5)))
    same(sg.flatten(np.float64(3)), np.array([3.0]))


def test_axes_in_every_order():
    x = numbers((2, 3, 4))
    for axes in [(0, 1, 2), (2, 0, 1), (-1, 1, 0), [1, 0, 2]]:
        same(sg.permute_dims(x, axes), x.transpose(axes))
    t = sg.tensor(x)
    same(t.transpose(2, 0, 1), x.transpose(2, 0, 1))
    same(t.permute_dims((1, 2, 0)), x.transpose(1, 2, 0))
    same(t.T, x.T)
    same(t.mT, np.swapaxes(x, -1, -2))
    same(sg.moveaxis(x, (0, 1), (-1, 0)), np.moveaxis(x, (0, 1), (-1, 0)))


def test_several_axes_at_once():
    x = numbers((1, 3, 1, 2))
    same(sg.flip(x, (1, -1)), np.flip(x, (1, -1)))
    same(sg.roll(x, (1, 2), (1, 3)), np.roll(x, (1, 2), (1, 3)))
    same(sg.roll(x, 1, (1, 3)), np.roll(x, 1, (1, 3)))
    same(sg.roll(x, (1, 1), 1), np.roll(x, (1, 1), 1))
    same(sg.squeeze(x, (0, -2)), np.squeeze(x, (0, -2)))
    same(sg.expand_dims(x, (0, -1)), np.expand_dims(x, (0, -1)))
    same(sg.expand_dims(x, [2]), np.expand_dims(x, 2))
    same(sg.tile(x, (2, 1, 1, 3, 1)), np.tile(x, (2, 1, 1, 3, 1)))


def test_concat_promotes_and_flattens():
    a, b = np.ones((2, 2), np.float32), np.arange(4).reshape(2, 2)
    found = sg.concat([a, b], axis=None)
    assert found.dtype == sg.float32
    assert found.tolist() == [1, 1, 1, 1, 0, 1, 2, 3]
    assert sg.concat(sg.tensor([[1], [2]])).tolist() == [1, 2]


def test_split():
    x = numbers((2, 6))
    for found, expected in zip(sg.split(x, 3, axis=1), np.split(x, 3, axis=1), strict=True):
        same(found, expected)
    sizes = [1, 0, 5]
    for found, expected in zip(sg.split(x, sizes, -1), np.split(x, [1, 1], -1), strict=True):
        same(found, expected)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("width", [0, 1, (2, 0), ((1, 2), (0, 3)), ((0, 0), (2, 2))], ids=str)
def test_pad(mode, width):
    x = numbers((3, 4))
    same(sg.pad(x, width, mode), np.pad(x, width, mode=mode))
    linear(lambda a: sg.pad(a, width, mode), x / 10)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64"])
def test_pad_keeps_the_dtype(dtype):
    x = numbers((2, 2), dtype)
    same(sg.pad(x, 1, constant_values=1), np.pad(x, 1, constant_values=1))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (2, 3, 4), (0, 2), (2, 0)], ids=str)
def test_triangles_and_diagonals(shape):
    x = numbers(shape)
    for k in range(-5, 6):
        same(sg.tril(x, k), np.tril(x, k))
        same(sg.triu(x, k), np.triu(x, k))
        same(sg.diagonal(x, k, -2, -1), np.diagonal(x, k, -2, -1))
        same(sg.diagonal(x, k, -1, -2), np.diagonal(x, k, -1, -2))
    assert sg.tril(x, 10**30).tolist() == x.tolist()
    same(sg.tril(x > 0), np.tril(x > 0))
    same(sg.triu(x > 0), np.triu(x > 0))


def test_diag_both_ways():
    for k in (-3, -1, 0, 2):
        same(sg.diag(np.array([1.0, 2.0]), k), np.diag([1.0, 2.0], k))
        same(sg.diag(numbers((3, 4)), k), np.diag(numbers((3, 4)), k))
    linear(lambda x: sg.diag(x, 1), np.array([0.5, 2.0]))
    linear(lambda x: sg.diag(x, -1), numbers((3, 3)) / 9)


def test_views_share_memory_with_their_base():
    x = sg.tensor(numbers((4, 3)))
    for view in (x.reshape(3, 4), x.T, sg.flip(x), sg.broadcast_to(x, (2, 4, 3)), x[1:]):
        assert np.shares_memory(view.numpy(), x.numpy())


def test_broadcast_arrays():
    found = sg.broadcast_arrays(numbers((2, 1)), numbers((3,)), 1.0)
    assert [x.shape for x in found] == [(2, 3)] * 3


@pytest.mark.parametrize(
    "f",
    [
        lambda x: sg.reshape(x, (4, 3)),
        lambda x: sg.transpose(x),
        lambda x: sg.flip(x, 0),
        lambda x: sg.roll(x, (1, -2), (0, 1)),
        lambda x: sg.tile(x, (2, 1, 2)),
        lambda x: sg.repeat(x, 2, 1),
        lambda x: sg.broadcast_to(sg.expand_dims(x, 1), (3, 2, 4)),
        lambda x: sg.tril(x, -1),
        lambda x: sg.triu(x, 1),
        lambda x: sg.concat([x, x[:1], 2 * x], axis=0),
        lambda x: sg.stack(sg.unstack(x, 1), 0),
        lambda x: sg.split(x, [1, 3], 1)[1],
        lambda x: sg.moveaxis(sg.squeeze(sg.expand_dims(x, (0, 2))), 0, 1),
    ],
)
def test_derivatives_and_vmap(f):
    linear(f, np.sin(numbers((3, 4))))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_chains_of_moves_agree_with_numpy(data):
    """A product of permutations and reshapes moves each element where NumPy moves it."""
    x = numbers(data.draw(st.sampled_from([(2, 3, 4), (6, 1, 4), (12,), (1, 24)])))
    t = sg.tensor(x, requires_grad=True)
    y = t
    for _ in range(data.draw(st.integers(1, 6))):
        move = data.draw(st.sampled_from(["permute", "flip", "roll", "reshape"]))
        if move == "permute":
            axes = data.draw(st.permutations(range(x.ndim)))
            x, y = x.transpose(axes), y.permute_dims(axes)
        elif move == "flip":
            axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
            x, y = np.flip(x, axis), y.flip(axis)
        elif move == "roll":
            shift, axis = data.draw(st.integers(-9, 9)), data.draw(st.integers(0, x.ndim - 1))
            x, y = np.roll(x, shift, axis), y.roll(shift, axis)
        else:
            first = data.draw(st.sampled_from([n for n in range(1, x.size + 1) if x.size % n == 0]))
            x, y = x.reshape(first, -1), y.reshape(first, -1)
    same(y, x)
    (y * x).sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), t.numpy())


def test_reshape_and_astype_say_whether_memory_is_shared():
    x = sg.tensor(np.arange(6.0).reshape(2, 3))
    assert np.shares_memory(x.reshape(3, 2).numpy(), x.numpy())
    assert np.shares_memory(x.reshape(3, 2, copy=False).numpy(), x.numpy())
    assert not np.shares_memory(x.reshape((2, 3), copy=True).numpy(), x.numpy())
    with pytest.raises(errors.UsageError, match=r"\(3, 2\) cannot be seen as \(6,\)"):
        sg.reshape(x.mT, (6,), copy=False)
    y = x.astype(x.dtype)
    y += 1
    assert x[0].tolist() == [0, 1, 2] and x.astype(x.dtype, copy=False) is x


def test_each_element_can_have_a_number_of_repeats():
    x = np.arange(6.0).reshape(3, 2)
    for repeats in ([0, 2, 1], np.array([1, 1, 3])):
        expected = np.repeat(x, repeats, axis=0)
        for way in (repeats, sg.tensor(repeats)):
            np.testing.assert_array_equal(sg.repeat(x, way, axis=0).numpy(), expected)
    assert sg.repeat(x, [1] * 6).shape == (6,) and sg.repeat(sg.zeros(0), []).shape == (0,)
    g = sg.grad(lambda x: sg.repeat(x, [0, 2, 1], axis=0).sum())(sg.tensor(x))
    assert g.tolist() == [[0, 0], [2, 2], [1, 1]]
    for wrong in ([1, 2], [1, 1, -1], [0.5, 1, 1]):
        with pytest.raises(errors.ShapeError, match="for 3 elements"):
            sg.repeat(x, wrong, axis=0)
    with pytest.raises(errors.CaptureError, match=r"repeat\(\), whose result has no shape"):
        sg.compile(lambda n: sg.repeat(x, n, axis=0))(sg.tensor([1, 2, 3]))
