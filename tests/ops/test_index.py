"""Every way to name elements, against NumPy: reading, writing in place, on the tape and copied."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import slotgrad as sg
from slotgrad import errors
from slotgrad.ops.gather import gather, scatter

X = np.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5)
MASK = np.arange(12).reshape(3, 4) % 5 < 2

BASIC = [
    1, -1, (0, -2), ..., (), None, slice(None), slice(1, None), slice(None, None, -1),
    slice(3, 0, -2), slice(5, 1), slice(-1, -9, -1), (..., 0), (0, ...), (0, ..., 0),
    (None, 0, None, ..., None), (slice(1), slice(2, None), slice(None, None, 3), slice(-2, None)),
    (slice(None), slice(-1, None, -1), 2), (1, 2, 3, 4), (1, 2, 3, 4, ...), np.int32(1),
    (np.int64(0), slice(None, None, -2)), (slice(None), ..., None, -1),
]  # fmt: skip

ADVANCED = [
    [1, 0, 1], [], [[0, 1], [1, 0]], ([0, 1], [2, 1]), ([0, 1], slice(None), [2, 1]),
    (slice(None), [0, 2], [1, 3]), (..., [0, 2], [1, 3]), (..., [4, 4, 0]), (0, [1, 2]),
    (slice(None), 0, slice(None), [1, 2]), ([[0], [1]], [[2, 0, 1]]), (None, [0, 1], None, [1, 2]),
    (slice(None, None, -1), [2, 0], slice(1, 3)), ([0, -1], None, slice(None, None, -2), [-1, -3]),
    ([1], slice(None), 2, ...), (np.array([1, 0], np.uint8), np.array(2)), np.array(1),
    (slice(None), np.array([[0, 1], [2, 2]]), slice(2)), ([0, 1], ..., [2, 3]), ([], [], ...),
    (slice(None), [], slice(None), [0]), (0, slice(None), [1, 2], 3), ([0, 1], 1, slice(None), 0),
]  # fmt: skip

MASKS = [
    np.array([True, False]), [False, True], [False, False], (slice(None), MASK),
    (slice(None), MASK, 1), (0, MASK), (..., np.array([1, 0, 0, 1, 1], bool)), X > 50,
    (slice(None), [True, False, True], [0, 2]), (MASK[:, 0][:2], slice(None), [1, 2]),
    ([True, True], None, [0, 1]), True, False, np.bool_(True), (True, 0), (0, False),
    (slice(None), True, [0, 1]), (..., None, X[0, 0] > 8),
]  # fmt: skip


def as_tensors(index):
    """The index with its arrays and lists made Tensors."""
    if isinstance(index, tuple):
        return tuple(as_tensors(i) for i in index)
    if isinstance(index, list):
        return sg.tensor(np.array(index, int if index == [] else None))
    return sg.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", BASIC + ADVANCED + MASKS, ids=lambda i: str(i)[:40])
def test_every_form_reads_as_numpy_does(index):
    expected = X[index]
    for way in (index, as_tensors(index)):
        found = sg.tensor(X)[way]
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found.numpy(), expected)


def test_basic_indices_share_memory_and_arrays_copy():
    x = sg.tensor(X)
    assert np.shares_memory(x[1, ::-1].numpy(), X)
    assert not np.shares_memory(x[[1, 0]].numpy(), X)


@pytest.mark.parametrize("index", BASIC + ADVANCED + MASKS, ids=lambda i: str(i)[:40])
def test_every_form_writes_as_numpy_does(index):
    values = -np.arange(1.0, 1 + X[index].size).reshape(X[index].shape)
    expected = X.copy()
    expected[index] = values
    for way in (index, as_tensors(index)):
        x = sg.tensor(X.copy())
        buffer = x.numpy()
        x[way] = values
        assert x.numpy() is buffer
        np.testing.assert_array_equal(x.numpy(), expected)
    np.testing.assert_array_equal(sg.tensor(X).at[index].set(values).numpy(), expected)


@pytest.mark.parametrize("index", BASIC + ADVANCED + MASKS, ids=lambda i: str(i)[:40])
def test_every_form_adds_as_numpy_does(index):
    values = np.arange(1.0, 1 + X[index].size).reshape(X[index].shape)
    expected = X.copy()
    np.add.at(expected, index, values)
    np.testing.assert_array_equal(sg.tensor(X).at[index].add(values).numpy(), expected)


@pytest.mark.parametrize("index", BASIC[::3] + ADVANCED + MASKS[::3], ids=lambda i: str(i)[:40])
def test_gradient_of_reading_counts_the_uses(index):
    x = sg.tensor(X, requires_grad=True)
    weights = np.cos(np.arange(X[index].size)).reshape(X[index].shape)
    (x[index] * weights).sum().backward()
    expected = np.zeros_like(X)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-12)


# -- random indices ------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)
slices = st.builds(
    slice,
    st.none() | st.integers(-6, 6),
    st.none() | st.integers(-6, 6),
    st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3]),
)


@st.composite
def indexed(draw):
    """A shape and an index of any mixture that NumPy takes for it."""
    shape = draw(shapes)
    group = draw(st.sampled_from([(), (1,), (2,), (2, 1), (3,), (0,)]))
    entries, axis, dots = [], 0, False
    while axis < len(shape) and draw(st.integers(0, 9)):
        n = shape[axis]
        kind = draw(st.sampled_from(["slice", "slice", "int", "array", "mask", "none", "dots"]))
        if kind == "none":
            entries.append(None)
            continue
        if kind == "dots":
            if not dots:
                entries.append(...)
                axis, dots = axis + draw(st.integers(0, len(shape) - axis)), True
            continue
        if kind == "int" and n:
            entries.append(draw(st.integers(-n, n - 1)))
        elif kind == "array" and n:
            places = st.integers(-n, n - 1)
            size = int(np.prod(group))
            array = np.array(draw(st.lists(places, min_size=size, max_size=size)), int)
            entries.append(array.reshape(group))
        elif kind == "mask" and not any(isinstance(e, np.ndarray) for e in entries):
            entries.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool))
        else:
            entries.append(draw(slices))
        axis += 1
    return shape, tuple(entries)


@settings(max_examples=100, deadline=None)
@given(indexed())
def test_random_mixtures_agree_with_numpy(case):
    shape, index = case
    array = np.arange(float(np.prod(shape))).reshape(shape)
    try:
        expected = array[index]
    except IndexError:  # index arrays that do not broadcast
        with pytest.raises((errors.ShapeError, errors.BoundsError)):
            sg.tensor(array)[index]
        return
    x = sg.tensor(array, requires_grad=True)
    try:
        found = x[index]
    except (
        errors.BoundsError
    ) as error:  # NumPy does not look at the size of a mask without elements
        assert "got a mask with 0 elements" in str(error) and expected.size == 0
        return
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)
    found.sum().backward()
    uses = np.zeros(shape)
    np.add.at(uses, index, 1.0)
    np.testing.assert_array_equal(x.grad.numpy(), uses)
    written = array.copy()
    written[index] = -1
    np.testing.assert_array_equal(sg.tensor(array).at[index].set(-1).numpy(), written)


# -- writing -------------------------------------------------------------------------------------


def test_duplicates_add_up_and_the_last_one_written_stays():
    x = sg.zeros(4)
    assert x.at[[1, 1, 3]].add([1.0, 2.0, 3.0]).tolist() == [0, 3, 0, 3]
    assert x.at[[1, 1, 3]].set([1.0, 2.0, 3.0]).tolist() == [0, 2, 0, 3]
    assert x.tolist() == [0, 0, 0, 0]
    assert sg.scatter_add(x, [2, 2], sg.ones(2)).tolist() == [0, 0, 2, 0]


def test_gradient_of_duplicates_goes_to_the_last_one_written():
    v = sg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = sg.tensor([1.0, 1.0, 1.0, 1.0], requires_grad=True)
    (x.at[[1, 1, 3]].set(v) * sg.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert v.grad.tolist() == [0, 10, 1000]
    assert x.grad.tolist() == [1, 0, 100, 0]


def test_values_broadcast_to_the_place():
    x = sg.zeros((2, 3))
    x[:, 1] = 5
    x[0] = sg.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [[1, 2, 3], [0, 5, 0]]
    assert x.at[...].set(sg.tensor([[7.0], [8.0]])).tolist() == [[7] * 3, [8] * 3]


def test_writing_on_the_tape_replaces_values_and_cuts_their_gradient():
    x = sg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = sg.tensor(4.0, requires_grad=True)
    y = x * 2
    y[1:] = v * v
    y[[0, 0]] = y[0] * 10
    (y * y).sum().backward()
    assert y.tolist() == [20, 16, 16]
    assert x.grad.tolist() == [2 * 20 * 20, 0, 0]
    assert v.grad.item() == 2 * (2 * 16 * 8)


def test_writing_keeps_the_dtype():
    x = sg.zeros(2, dtype="float16")
    x[0] = 1.5
    assert x.dtype == sg.float16
    assert x.at[1].set(2).dtype == sg.float16
    assert sg.zeros(2, dtype="int8").at[0].add(3).dtype == sg.int8
    for wrong in (1.5, sg.tensor(1.5, requires_grad=True)):
        with pytest.raises(errors.DTypeError, match=r"float32 into a tensor of dtype int64"):
            sg.zeros(2, dtype="int64").at[0].set(wrong)


# -- gather and scatter: derivatives and vmap ----------------------------------------------------

ROWS = np.array([[0, 2], [1, 1]])
COLUMNS = np.array([3, 0])


@pytest.mark.parametrize(
    "index",
    [0, [0, 2, 0], (ROWS, COLUMNS), (slice(None), COLUMNS), (ROWS, slice(None, None, -1)), MASK],
    ids=str,
)
def test_derivatives_to_second_order(index):
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    v = np.cos(np.arange(x[index].size)).reshape(x[index].shape)
    sg.check_grads(lambda a: a[index] ** 3, (x,), order=2)
    sg.check_grads(lambda a, b: a.at[index].add(b * a[index]) ** 2, (x, v), order=2)
    sg.check_grads(lambda a, b: a.at[index].set(b) ** 3 * a, (x, v), order=2)


def batches(rng, axes, flags):
    """x, index arrays and values for them, with a batch of three in front where a flag is set."""
    shape = (3, 4, 5)
    x = rng.standard_normal((3, *shape) if flags[0] else shape)
    indices = [
        rng.integers(-shape[a], shape[a], ((3,) if flags[1 + i] else ()) + (2, 2)[i:])
        for i, a in enumerate(axes)
    ]
    one = gather(
        sg.tensor(x[0] if flags[0] else x),
        [sg.tensor(i[0] if f else i) for i, f in zip(indices, flags[1:])],
        axes,
    )
    v = rng.standard_normal(((3,) if flags[-1] else ()) + one.shape)
    return x, indices, v


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_vmap_of_gather_and_scatter_equals_a_loop(axes):
    rng = np.random.default_rng(0)
    for flags in itertools.product([True, False], repeat=2 + len(axes)):
        if not any(flags):
            continue
        x, indices, v = batches(rng, axes, flags)
        for f in (
            lambda x, v, *i: gather(x, i, axes) * v,
            lambda x, v, *i: scatter(x, v, i, axes, "add"),
            lambda x, v, *i: scatter(x, v, i, axes, "set"),
        ):
            args = [sg.tensor(a) for a in (x, v, *indices)]
            batched = (flags[0], flags[-1], *flags[1:-1])
            mapped = sg.vmap(f, in_axes=tuple(0 if b else None for b in batched))(*args)
            rows = [f(*[a[n] if b else a for a, b in zip(args, batched)]).numpy() for n in range(3)]
            np.testing.assert_array_equal(mapped.numpy(), np.stack(rows))


def test_gradient_under_vmap_equals_a_loop():
    x = np.random.default_rng(1).standard_normal((3, 4))
    i = np.array([[0, 0], [1, 3], [-1, 2]])
    gradient = sg.grad(lambda x, i: (x[i] ** 3).sum())
    mapped = sg.vmap(gradient)(x, i)
    rows = [gradient(x[n], sg.tensor(i[n])).numpy() for n in range(3)]
    np.testing.assert_allclose(mapped.numpy(), np.stack(rows))


# -- functions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -2])
@pytest.mark.parametrize("indices", [1, [], [0, 1, -1], [[0], [1]]], ids=str)
def test_take(axis, indices):
    expected = np.take(X, np.array(indices, int), axis=axis)
    np.testing.assert_array_equal(sg.take(X, indices, axis=axis).numpy(), expected)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_take_along_axis_of_argsort_sorts(axis):
    x = np.sin(X)
    order = np.argsort(x, axis=axis)
    found = sg.take_along_axis(x, order, axis=axis)
    np.testing.assert_array_equal(found.numpy(), np.sort(x, axis=axis))
    top = np.argmax(x, axis=axis, keepdims=True)
    found = sg.take_along_axis(x, top, axis=axis)
    np.testing.assert_array_equal(found.numpy(), x.max(axis=axis, keepdims=True))


def test_take_along_axis_broadcasts_the_other_axes():
    indices = np.array([[[[3, 0, 1]]]])
    expected = np.take_along_axis(X, indices, axis=3)
    np.testing.assert_array_equal(sg.take_along_axis(X, indices, axis=3).numpy(), expected)
    sg.check_grads(
        lambda x: sg.take_along_axis(x, indices, axis=3) ** 2, (X[:1, :2] / 50,), order=2
    )


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_nonzero(dtype):
    x = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    for found, expected in zip(sg.nonzero(x), np.nonzero(x), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    assert sg.nonzero(np.zeros((0, 2)))[1].shape == (0,)


def test_one_hot():
    found = sg.one_hot([[0, 2], [1, 1]], 3)
    np.testing.assert_array_equal(found.numpy(), np.eye(3)[[[0, 2], [1, 1]]])
    assert found.dtype == sg.float32
    assert sg.one_hot([1], 2, dtype="bool").tolist() == [[False, True]]
    assert sg.one_hot([-1, 5], 2).tolist() == [[0, 0], [0, 0]]
    assert sg.one_hot(sg.tensor(np.zeros((2, 0), int)), 3).shape == (2, 0, 3)
    assert sg.vmap(lambda i: sg.one_hot(i, 2))(sg.tensor([0, 1])).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_nan_is_sorted_behind_everything(dtype):
    x = sg.tensor([3.0, np.nan, 1.0, 2.0, 0.0]).astype(dtype)
    assert sg.argsort(x).tolist() == [4, 2, 3, 0, 1]
    assert sg.argsort(x, descending=True).tolist() == [1, 0, 3, 2, 4]


# -- x.at with other operations ------------------------------------------------------------------

UPDATES = {
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "min": np.minimum,
    "max": np.maximum,
}
PLACES = [1, slice(1, 3), [0, 0, 3], [0, 2, 0, 0, 1, 2, 0], [], np.array([True, False, True, True])]


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("index", PLACES, ids=str)
def test_every_value_counts_in_updates(name, index):
    x = np.array([[1.5, 0.7], [2.0, 0.3], [0.9, 1.2], [0.4, 1.1]])
    v = np.linspace(0.5, 1.6, x[index].size).reshape(x[index].shape)
    expected = x.copy()
    for place, value in zip(np.arange(8).reshape(4, 2)[index].ravel(), v.ravel()):
        expected.ravel()[place] = UPDATES[name](expected.ravel()[place], value)

    def f(x, v):
        return getattr(x.at[index], name)(v)

    for g in (f, sg.compile(f)):
        np.testing.assert_allclose(g(sg.tensor(x), sg.tensor(v)).numpy(), expected, rtol=1e-14)
    if v.size:
        sg.check_grads(f, (x, v), order=2)
        both = sg.vmap(f)(sg.tensor(np.stack([x, x + 1])), sg.tensor(np.stack([v, v])))
        np.testing.assert_allclose(both[0].numpy(), expected, rtol=1e-14)


def test_products_of_zeros_have_derivatives():
    g = sg.grad(lambda v: sg.ones(2).at[[0, 0, 0]].multiply(v).sum())
    assert g(sg.tensor([0.0, 2.0, 3.0])).tolist() == [6, 0, 0]


def test_get_and_apply():
    x = sg.tensor([1.0, 4.0, 9.0])
    assert x.at[[2, 0]].get().tolist() == [9, 1]
    assert x.at[1:].apply(sg.sqrt).tolist() == [1, 2, 3]
    assert sg.grad(lambda x: x.at[1:].apply(sg.square).sum())(x).tolist() == [1, 8, 18]


def test_integers_have_no_place_for_quotients():
    x = sg.tensor([4, 6])
    assert x.at[0].multiply(3).tolist() == [12, 6] and x.at[0].power(2).tolist() == [16, 6]
    with pytest.raises(errors.DTypeError, match="divide: got a tensor of dtype int64"):
        x.at[0].divide(2)
