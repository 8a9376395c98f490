"""Which nodes share a kernel, and that what they compute together is right."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg

RNG = np.random.default_rng(0)


def rand(*shape, dtype=np.float32):
    return sg.tensor(RNG.standard_normal(shape).astype(dtype))


def kernels(f, *xs, rtol=2e-5, atol=2e-5):
    """The kernels of a compiled function, whose results are compared with eager ones."""
    compiled = sg.compile(f)
    for _ in range(2):  # the second time over a used arena
        found, expected = compiled(*xs), f(*xs)
        pairs = zip(found, expected) if isinstance(found, tuple) else [(found, expected)]
        for y, e in pairs:
            np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=rtol, atol=atol)
    return compiled.kernels.splitlines()


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 10, 16, 63, 64, 200, 1024])
def test_softmax_is_one_loop_over_rows(n):
    assert len(kernels(lambda x: sg.nn.functional.softmax(x, axis=-1), rand(7, n))) == 1


@pytest.mark.parametrize("n", [5, 64, 300])
def test_layer_norm_is_one_loop_over_rows(n):
    def f(x, g, b):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred / sg.sqrt(variance + 1e-5) * g + b

    assert len(kernels(f, rand(2, 3, n), rand(n), rand(n))) == 1


def distances(x):
    return ((x[:, None] - x) ** 2).sum(axis=-1)


@pytest.mark.parametrize("f", [sg.exp, lambda d: sg.sqrt(d + 1), lambda d: (d + 1) ** -1.5])
def test_functions_of_what_a_row_has_found_are_computed_in_vectors(f):
    assert len(kernels(lambda x: f(distances(x)), rand(9, 3))) == 2
    assert len(kernels(lambda x: f(distances(x)), rand(2, 3))) == 1
    assert len(kernels(lambda x: distances(x) * 2 + 1, rand(9, 3))) == 1


@pytest.mark.parametrize(("size", "expected"), [(3, 3), (40, 1)])
def test_what_goes_back_into_long_rows_stays_with_them(size, expected):
    def f(x):
        return x * sg.pow((x * x).sum(axis=1, keepdims=True), -1.5)

    assert len(kernels(f, rand(9, size))) == expected


def test_log_sum_exp_without_kept_axes():
    assert kernels(lambda x: x.logsumexp(axis=1), rand(9, 40)) != []


def test_what_a_row_has_alone_is_one_value_for_all_of_it():
    def f(x, s):
        scale = sg.exp(s.reshape(-1, 1)) / x.sum(axis=1, keepdims=True)
        return x * scale, scale.reshape(-1)

    kernels(f, sg.abs(rand(6, 33)) + 1, rand(6))


def test_a_vector_is_a_row():
    def f(x):
        e = sg.exp(x - x.max())
        return e / e.sum(), x.mean()

    for n in (1, 3, 64, 100, 5000, 20000):
        kernels(f, rand(n))


# -- sums that are complete after the loop ---------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 70, 33), (64, 1, 20), (2, 3, 1)])
def test_folds_over_any_axes_join_their_producers(axis, shape):
    def f(x, y):
        return (
            (x * y).sum(axis=axis),
            (x - y).max(axis=axis, keepdims=True),
            sg.abs(x).min(axis=axis),
            x * y,
        )

    lines = kernels(f, rand(*shape), rand(*shape))
    assert len(lines) <= 4 + 2 * (1 in shape)  # keeping an axis of size 1 may cost a copy


def test_sums_over_both_axes_of_one_loop():
    lines = kernels(lambda x: (x.sum(axis=0), x.sum(axis=1), x.sum(), sg.tanh(x)), rand(20, 30))
    assert sum("tanh" in line for line in lines) == 1


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.bool_, np.float64])
def test_folds_in_other_dtypes(dtype):
    x = sg.tensor((RNG.random((9, 21)) * 3).astype(dtype))
    kernels(lambda x: (x.max(axis=0), x.min(axis=1), x.max()), x)
    if dtype != np.bool_:
        kernels(lambda x: (x.sum(axis=0), x.sum(axis=1), x.sum()), x)


def test_transposed_inputs_are_walked_along_memory():
    x = rand(40, 50)
    kernels(lambda x: (x.mT * 2, x.mT.sum(axis=0), x.mT.sum(axis=1)), x)
    kernels(lambda x: sg.nn.functional.softmax(x.mT, axis=-1), x)


# -- products --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "m, n, k", [(5, 7, 3), (64, 256, 20), (33, 65, 130), (1, 40, 9), (6, 1, 8)]
)
def test_a_dense_layer_is_one_product(m, n, k):
    def f(x, w, b):
        z = x @ w.mT + b
        return sg.where(z > 0, z, 0.0), z > 0

    lines = kernels(f, rand(m, k), rand(n, k), rand(n))
    assert len(lines) == 1 if n > 1 else 2


def test_batched_products_have_epilogues():
    kernels(lambda x, w, b: (x @ w) * 2 + b, rand(3, 4, 5), rand(3, 5, 6), rand(3, 4, 6))
    kernels(lambda x, w, b: (x @ w) * 2 + b, rand(3, 4, 5), rand(5, 6), rand(6))
    kernels(lambda x, w, b: (x @ w) * b, rand(3, 4, 5), rand(5, 6), rand(3, 1, 6))
    kernels(lambda x, w, b: (x @ w) * b, rand(3, 4, 5), rand(5, 6), rand(4, 1))


def test_a_product_that_is_wanted_too_is_stored():
    def f(x, w):
        p = x @ w
        return p * 2, p, p.sum()

    kernels(f, rand(20, 30), rand(30, 40))


def test_transcendentals_stay_out_of_products():
    lines = kernels(lambda x, w: sg.tanh(x @ w + 1), rand(8, 8), rand(8, 8))
    assert [line.split(":")[0].split()[0] for line in lines] == ["product", "loop"]


def test_operands_of_a_product_are_there_before_it_begins():
    def f(x):
        b = x * 0.5
        return b + 1 + b @ b / 2

    assert len(kernels(f, rand(3, 3))) == 2
    assert len(kernels(lambda x: x @ x + (x * 0.5 + 1), rand(3, 3))) == 1


def test_two_products_of_one_value_do_not_join():
    def f(x, w):
        a = sg.maximum(x @ w, 0.0)
        return a @ w + a

    kernels(f, rand(8, 8), rand(8, 8))


# -- order -----------------------------------------------------------------------------------------


def test_groups_never_wait_for_each_other():
    def f(x):
        a = x * 2
        s = a.cumsum(0)  # between two uses of a
        return a + s, s.sum(axis=0) * a

    kernels(f, rand(6, 6))


def test_an_update_waits_for_the_readers_of_the_old_value():
    w, b = rand(8, 8), rand(8)
    first_w, first_b = w.numpy().copy(), b.numpy().copy()

    @sg.compile
    def step(x):
        y = x @ w
        w.assign(w - 0.1 * (x.mT @ y))
        b.assign(b + y.sum(axis=0))
        return (y @ w.mT) + b

    x = rand(5, 8)
    found = step(x).numpy()
    y = x.numpy() @ first_w
    new_w, new_b = first_w - 0.1 * (x.numpy().T @ y), first_b + y.sum(axis=0)
    np.testing.assert_allclose(w.numpy(), new_w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.numpy(), new_b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, y @ new_w.T + new_b, rtol=1e-3, atol=1e-4)


def test_a_row_that_is_walked_twice_is_not_overwritten_between():
    w = rand(5, 100)
    before = w.numpy().copy()

    @sg.compile
    def normalize():
        e = sg.exp(w - w.max(axis=1, keepdims=True))
        w.assign(w - e / e.sum(axis=1, keepdims=True))

    normalize()
    e = np.exp(before - before.max(axis=1, keepdims=True))
    np.testing.assert_allclose(w.numpy(), before - e / e.sum(axis=1, keepdims=True), rtol=1e-5)


def test_swapped_states():
    a, b = rand(30), rand(30)
    old_a, old_b = a.numpy().copy(), b.numpy().copy()

    @sg.compile
    def swap():
        new_a, new_b = b * 1, a * 1
        a.assign(new_a)
        b.assign(new_b)

    swap()
    np.testing.assert_array_equal(a.numpy(), old_b)
    np.testing.assert_array_equal(b.numpy(), old_a)


def test_a_state_without_elements():
    empty, w = rand(0, 3), rand(3)
    old = w.numpy().copy()

    @sg.compile
    def step():
        empty.assign(empty * 2)
        w.assign(w + empty.sum(axis=0))

    step()
    np.testing.assert_array_equal(w.numpy(), old)


def test_long_vectors_in_pieces():
    kernels(lambda x, y: sg.tanh(x) * y, rand(1 << 16), rand(1 << 16))
    kernels(lambda x, y: sg.tanh(x) * y, rand(3, 8009), rand(3, 8009))
