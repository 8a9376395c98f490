"""The generator: known answers, reproducible streams, and the statistics of what is drawn."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.ops.random import philox, philox_rounds

N = 40_000


@pytest.fixture(autouse=True)
def seeded():
    saved = sg.random.get_state()
    sg.random.seed(12345)
    yield
    sg.random.set_state(saved)


def agrees(x, mean, variance):
    """Mean and variance within five standard errors; the fourth moment sets that of the latter."""
    x = np.asarray(x.numpy(), np.float64).ravel()
    assert abs(x.mean() - mean) <= 5 * math.sqrt(variance / x.size)
    fourth = ((x - mean) ** 4).mean()
    assert abs(x.var() - variance) <= 5 * math.sqrt(fourth / x.size)


# -- the stream ----------------------------------------------------------------------------------


def words(block):
    return [f"{int(w):08x}" for w in block]


def test_published_answer_of_philox_4x32_10():
    assert words(philox(0, 0, 1)[0]) == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_published_answers_of_the_rounds(counter, key, expected):
    counter = [np.array([int(w, 16)], np.uint64) for w in counter.split()]
    low, high = (int(w, 16) for w in key.split())
    assert words(philox_rounds(counter, low | high << 32)[0]) == expected.split()


def test_any_part_of_the_stream_can_be_had_alone():
    whole = philox(99, 0, 20)
    np.testing.assert_array_equal(philox(99, 7, 5), whole[7:12])
    beyond = philox(99, 2**32 - 1, 2)  # the counter's second word takes the carry
    assert len({tuple(b) for b in (*whole, *beyond)}) == 22


def test_seed_and_state_repeat_the_stream():
    first = [sg.random.normal(5), sg.random.uniform((2, 2))]
    saved = sg.random.get_state()
    after = sg.random.randint(100, shape=9)
    sg.random.seed(12345)
    again = [sg.random.normal(5), sg.random.uniform((2, 2))]
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    sg.random.set_state(saved)
    np.testing.assert_array_equal(sg.random.randint(100, shape=9).numpy(), after.numpy())
    sg.random.seed(12346)
    assert (sg.random.normal(5) != first[0]).all()


def test_draws_do_not_overlap():
    parts = [sg.random.randint(-(2**63), 2**63 - 1, shape=n).numpy() for n in (1, 2, 3, 5, 1)]
    assert len(set(np.concatenate(parts))) == 12


def test_threads_never_draw_the_same_numbers():
    drawn: list[np.ndarray] = []

    def draw():
        mine = [sg.random.randint(2**62, shape=50).numpy() for _ in range(40)]
        drawn.append(np.concatenate(mine))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    everything = np.concatenate(drawn)
    assert everything.size == 4 * 40 * 50 == len(set(everything))


# -- distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform(dtype):
    x = sg.random.uniform((N,), dtype=dtype)
    assert x.dtype == sg.zeros(0, dtype=dtype).dtype
    values = np.asarray(x.numpy(), float)
    assert values.min() >= 0 and values.max() < 1
    bits = {"float16": 11, "bfloat16": 8}.get(dtype, 24)
    agrees(sg.tensor(values + 2.0 ** -(bits + 1)), 0.5, 1 / 12)


def test_uniform_between_limits():
    x = sg.random.uniform((200, 200), -3.0, 5.0)
    assert x.min().item() >= -3 and x.max().item() <= 5
    agrees(x, 1, 64 / 12)


def test_float64_uses_53_bits():
    x = sg.random.uniform(1000, dtype="float64").numpy()
    scaled = x * 2.0**53
    assert (scaled == np.floor(scaled)).all()
    assert (x * 2.0**32 != np.floor(x * 2.0**32)).any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_normal(dtype):
    x = sg.random.normal((N,), dtype=dtype)
    assert x.dtype == np.dtype(dtype)
    agrees(x, 0, 1)
    values = x.numpy().astype(float)
    assert abs((values**3).mean()) < 5 * math.sqrt(15 / N)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / N)
    assert abs((values[: N // 2] * values[N // 2 :]).mean()) < 5 / math.sqrt(N / 2)
    agrees(sg.random.normal((N,), 10.0, 0.5), 10, 0.25)


def test_normal_of_any_shape():
    for shape in ((), 0, 1, 7, (2, 3), (3, 0)):
        assert sg.random.normal(shape).shape == np.zeros(shape).shape
    assert sg.random.normal(3, 2.0, 0.0).tolist() == [2, 2, 2]


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-5, 6), (0, 1000), (-(2**63), 2**63 - 1)])
def test_randint(low, high):
    x = sg.random.randint(low, high, (N,))
    assert x.dtype == sg.int64
    assert x.min().item() >= low and x.max().item() < high
    n = high - low
    if n < 2**32:
        agrees(x, (low + high - 1) / 2, (n * n - 1) / 12)
    else:
        agrees(sg.tensor(x.numpy() / n), -0.5 / n, 1 / 12)


def test_randint_with_one_limit_and_a_dtype():
    x = sg.random.randint(256, shape=(1000,), dtype="uint8")
    assert x.dtype == sg.uint8
    assert sorted(set(sg.random.randint(3, shape=100).tolist())) == [0, 1, 2]


def test_bernoulli():
    for p in (0.0, 0.1, 0.7, 1.0):
        x = sg.random.bernoulli(p, (N,))
        assert x.dtype == sg.bool_
        agrees(x.astype("float64"), p, p * (1 - p))
    each = sg.random.bernoulli([0.0, 1.0, 0.5], (1000, 3)).astype("float64").mean(axis=0)
    assert each.tolist()[:2] == [0, 1]
    assert sg.random.bernoulli([0.0, 1.0]).tolist() == [False, True]


def test_permutation_is_one_and_each_is_as_likely():
    assert sorted(sg.random.permutation(100).tolist()) == list(range(100))
    assert sg.random.permutation(0).shape == (0,)
    rows = sg.random.permutation(sg.arange(12).reshape(6, 2))
    assert sorted(rows.tolist()) == [[2 * i, 2 * i + 1] for i in range(6)]
    orders = [tuple(sg.random.permutation(3).tolist()) for _ in range(3000)]
    counts = [orders.count(o) for o in set(orders)]
    assert len(counts) == 6
    assert all(abs(c - 500) < 5 * math.sqrt(500 * 5 / 6) for c in counts)


def test_choice():
    assert sorted(sg.random.choice(7, 7, replace=False).tolist()) == list(range(7))
    assert sg.random.choice(3, (2, 5)).shape == (2, 5)
    rows = sg.random.choice(sg.tensor([[1.0, 2.0], [3.0, 4.0]]), 50)
    assert {tuple(r) for r in rows.tolist()} == {(1, 2), (3, 4)}
    picked = sg.random.choice(4, (N,), p=[0.1, 0.0, 0.6, 0.3]).numpy()
    for value, p in enumerate([0.1, 0.0, 0.6, 0.3]):
        assert abs((picked == value).mean() - p) <= 5 * math.sqrt(p * (1 - p) / N)
    assert sg.random.choice(2, 100, p=[1.0, 0.0]).sum().item() == 0


# -- under transformations -----------------------------------------------------------------------


def test_vmap_draws_anew_for_each_example():
    x = sg.zeros((50, 3))
    drawn = sg.vmap(lambda row: row + sg.random.normal(3))(x)
    assert len({tuple(r) for r in drawn.tolist()}) == 50
    agrees(sg.vmap(lambda row: sg.random.uniform(200))(sg.zeros(200)), 0.5, 1 / 12)
    again = sg.vmap(lambda row: row + sg.random.normal(3))(x)
    assert (again != drawn).all()


def test_draws_carry_no_gradient_and_can_be_scaled_by_what_does():
    scale = sg.tensor(2.0, requires_grad=True)
    z = sg.random.normal(4)
    (z * scale).sum().backward()
    assert scale.grad.item() == pytest.approx(z.sum().item())
    w = sg.random.normal(3, requires_grad=True)
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.numpy())


@pytest.mark.parametrize(
    "draw",
    [
        lambda p: sg.random.bernoulli(p),
        lambda p: sg.random.choice(3, (5,), p=p),
        lambda p: sg.random.choice(sg.arange(3) * 2, (2, 2), p=p),
    ],
)
def test_probabilities_may_be_state_of_a_compiled_function(draw):
    p = sg.tensor([0.2, 0.3, 0.5])
    sg.random.seed(3)
    expected = [draw(p).tolist() for _ in range(2)]
    compiled = sg.compile(lambda: draw(p))
    sg.random.seed(3)
    assert [compiled().tolist() for _ in range(2)] == expected
