"""sg.compile: the same numbers as without it, whatever the function does."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors


def leaf(shape, seed=0, name=None):
    values = np.random.default_rng(seed).standard_normal(shape)
    return sg.tensor(values, requires_grad=True, name=name)


# -- arguments and results -------------------------------------------------------------------------


def test_formula_on_python_numbers():
    f = sg.compile(lambda a, b: (a + b) * a)
    assert f(2.0, 3.0) == 10.0 and type(f(2.0, 3.0)) is float
    assert f(2, 3) == 10.0
    g = sg.compile(sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
    assert g(2.0, 3.0) == (10.0, (7.0, 2.0))


def test_trees_in_and_out():
    f = sg.compile(lambda p, k=1: {"s": p["a"] + p["b"][0], "k": [k, None, "text"]})
    out = f({"a": sg.ones(2), "b": (np.ones(2, np.float32),)}, k=3.0)
    assert out["s"].tolist() == [2, 2]
    assert out["k"][0].item() == 3.0 and out["k"][1:] == [None, "text"]


def test_python_numbers_are_inputs_and_weak():
    f = sg.compile(lambda x, s: x * s)
    assert [f(sg.ones(2, dtype="float16"), s).tolist() for s in (2.0, 3.0)] == [[2, 2], [3, 3]]
    assert f(sg.ones(2, dtype="float16"), 2.0).dtype == sg.float16
    assert f(sg.ones(2, dtype="float64"), 0.1).tolist() == [0.1, 0.1]
    assert f.cache_info().misses == 2


def _scaled(x, a):
    a *= 3
    return x * a


NUMBERS_OF_NUMBERS = {
    "1 - a": (lambda x, a: x * (1 - a), 0.1),
    "x + a / 2": (lambda x, a: x + a / 2, 0.1),
    "n / 7": (lambda x, n: x * (n**2 / 7), 3),
    "n // 2": (lambda x, n: x + (n + 1) // 2 % 5, 8),
    "0.9**n": (lambda x, n: x * 0.9**n, 7),
    "-abs(a)": (lambda x, a: x * -abs(+a), 0.1),
    "a *= 3": (_scaled, 0.1),
    "a > b": (lambda x, a: x * (a + 1e-10 > a), 0.1),
    "full": (lambda x, a: sg.full((2,), a) + sg.stack([a, 1.0]) + sg.tensor(a), 0.1),
    "function": (lambda x, a: sg.exp(a) * sg.maximum(a, 0.2), 0.1),
    "complex": (lambda x, a: x * (1 - a), 0.1 + 1j),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int64"])
@pytest.mark.parametrize("name", NUMBERS_OF_NUMBERS)
def test_numbers_made_of_python_numbers_are_as_exact_and_as_weak(name, dtype):
    f, a = NUMBERS_OF_NUMBERS[name]
    x = sg.ones(2, dtype=dtype)
    for _ in range(2):
        got, expected = sg.compile(f)(x, a), f(x, a)
        assert got.dtype == expected.dtype and got.tolist() == expected.tolist()


def test_ints_made_of_python_ints_do_not_overflow_silently():
    x = sg.ones(2, dtype="int8")
    assert sg.compile(lambda x, n: x + n * 100)(x, 2).tolist() == [201, 201]


@pytest.mark.parametrize("mode", ["add", "set"])
def test_rows_are_changed_in_place_without_a_table_of_all_elements(mode):
    table, rows = sg.zeros((50, 4)), sg.tensor([[1, -1], [1, 7]])

    @sg.compile
    def change(rows, values):
        table.assign(getattr(table.at[rows], mode)(values))

    expected = getattr(table.at[rows], mode)(sg.ones(4))
    change(rows, sg.ones(4))
    assert table.tolist() == expected.tolist()
    assert "int64[50, 4]" not in change.code
    with pytest.raises(sg.errors.BoundsError, match="index 50 is out of bounds"):
        change(rows + 43, sg.ones(4))


@pytest.mark.parametrize("mode", ["set", "add", "multiply", "divide", "power", "min", "max"])
def test_masks_may_be_computed_where_all_their_places_get_the_same_values(mode):
    x, mask = leaf((4, 3)), sg.tensor([True, False, True, False])
    row = sg.tensor([0.5, 2.0, 3.0], dtype="float64")

    def f(x, mask):
        y = getattr(sg.abs(x).at[x > 0.5], mode)(2.0)
        return getattr(y.at[mask], mode)(row)

    for g in (f, sg.grad(lambda x, mask: f(x, mask).sum())):
        np.testing.assert_allclose(sg.compile(g)(x.detach(), mask).numpy(), g(x, mask).numpy())
    for values in (sg.ones((2, 3)), sg.ones(2)):
        with pytest.raises((sg.errors.CaptureError, sg.errors.ShapeError)):
            sg.compile(lambda x, m, v: getattr(x.at[m], mode)(v))(x.detach(), mask, values)


def test_elements_that_a_mask_names_are_set_in_place():
    w = leaf((4, 3), name="w")

    @sg.compile
    def clamp(limit):
        with sg.no_grad():
            w[w > limit] = 0.0
        scores = w * 1
        scores[w == 0] = -np.inf
        return scores.max()

    expected = w.numpy()[w.numpy() <= 0.3]
    assert clamp(sg.tensor(0.3)).item() == expected.max()
    assert sorted(w.numpy()[w.numpy() != 0]) == sorted(expected)


def test_static_arguments_are_built_in():
    f = sg.compile(lambda x, n: x * n if n > 2 else x, static_argnums=1)
    assert f(sg.ones(1), 3).tolist() == [3] and f(sg.ones(1), 1).tolist() == [1]
    assert f.cache_info().misses == 2


def test_new_shapes_and_dtypes_compile_anew():
    f = sg.compile(lambda x: x.sum())
    for shape in ((2,), (3,), (2, 2)):
        assert f(sg.ones(shape)).item() == np.prod(shape)
    assert f(sg.ones(2, dtype="int64")).dtype == sg.int64
    assert f.cache_info()[:3] == (0, 4, 4)


def test_many_shapes_warn_with_the_name():
    @sg.compile
    def wobbly(x):
        return x + 1

    with pytest.warns(UserWarning, match="wobbly: compiled for more than 8"):
        for n in range(10):
            wobbly(sg.ones(n))


def test_results_do_not_share_memory():
    f = sg.compile(lambda x: (x, x.reshape(-1), x))
    x = sg.ones((2, 2))
    a, b, c = f(x)
    a += 1
    assert x.sum().item() == 4 and b.sum().item() == 4 and c.sum().item() == 4


def test_decorator_with_and_without_options():
    @sg.compile(static_argnums=0)
    def f(n, x):
        return x * n

    assert f(2, sg.ones(1)).tolist() == [2]
    assert "f" in repr(f) and f.__name__ == "f"
    with pytest.raises(errors.OptionError, match="expected a function"):
        sg.compile(3)


# -- training --------------------------------------------------------------------------------------


def make_step(compiled):
    w, b = leaf((3, 2), 1, "w"), leaf(2, 2, "b")

    def step(x, y):
        loss = ((sg.tanh(x @ w + b) - y) ** 2).mean()
        w.zero_grad()
        b.zero_grad()
        loss.backward()
        with sg.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad
        return loss

    return (sg.compile(step) if compiled else step), w, b


def test_training_step_equals_eager():
    x, y = np.random.default_rng(3).standard_normal((2, 50, 4, 3))
    y = y[..., :2]
    results = []
    for compiled in (False, True):
        step, w, b = make_step(compiled)
        buffer = w.numpy()
        losses = [step(xb, yb).item() for xb, yb in zip(x, y)]
        assert w.numpy() is buffer and w.requires_grad
        results.append((losses, w.tolist(), b.tolist()))
    for eager, native in zip(*results):
        np.testing.assert_allclose(native, eager, rtol=1e-12)


def test_state_without_elements_is_written():
    w = sg.zeros((0, 3))

    @sg.compile
    def step(x):
        w.assign(w + x)
        return x.sum()

    assert step(sg.ones(3)).item() == 3 and w.shape == (0, 3)


def test_state_is_found_and_shown():
    step, w, b = make_step(compiled=True)
    step(np.ones((4, 3)), np.ones((4, 2)))
    assert {str(s).split("  ")[0] for s in step.state} == {"w", "b"}
    assert all("written" in str(s) for s in step.state)
    assert "matmul" in step.code and "tanh" in str(step.graph)


def test_gradients_accumulate_without_zero_grad():
    w = leaf(3)

    @sg.compile
    def accumulate(x):
        (w * x).sum().backward()

    for _ in range(3):
        accumulate(np.ones(3))
    assert w.grad.tolist() == [3, 3, 3]
    w.zero_grad()
    accumulate(np.ones(3))
    assert w.grad.tolist() == [1, 1, 1]


def test_map_runs_over_rows():
    step, w, _ = make_step(compiled=True)
    x, y = np.random.default_rng(3).standard_normal((2, 6, 4, 3))
    seen = []
    losses = step.map(x, y[..., :2], progress=seen.append, every=2)
    assert losses.shape == (6,) and seen == [2, 4, 6]
    other, v, _ = make_step(compiled=False)
    assert losses.tolist() == pytest.approx([other(a, b[:, :2]).item() for a, b in zip(x, y)])
    with pytest.raises(errors.ShapeError, match="equally many rows"):
        step.map(x, y[:2])


def test_failed_step_leaves_everything_as_it_was():
    w = leaf((2, 2))
    before = w.tolist()

    @sg.compile
    def step(a):
        with sg.no_grad():
            w.assign(w * 2)
        return sg.linalg.solve(a, w)

    step(np.eye(2))
    doubled = w.tolist()
    with pytest.raises(errors.MatrixError):
        step(np.zeros((2, 2)))
    assert w.tolist() == doubled != before


# -- randomness ------------------------------------------------------------------------------------


def test_random_stream_is_the_same_compiled():
    def draw(x):
        return x + sg.random.normal(3), sg.random.randint(0, 10, 4)

    compiled = sg.compile(draw)
    streams = []
    for f in (draw, compiled):
        sg.random.seed(11)
        streams.append([[y.numpy() for y in f(sg.zeros(3))] for _ in range(3)])
    for (a, b), (c, d) in zip(*streams):
        np.testing.assert_allclose(c, a, rtol=1e-5)
        np.testing.assert_array_equal(d, b)
    assert streams[1][0][0].tolist() != streams[1][1][0].tolist()


# -- composition -----------------------------------------------------------------------------------


def f(x):
    return (x.sin() * x[::-1]).sum()


def test_compose_with_transformations():
    x = sg.tensor(np.array([0.1, 0.5, 0.9]))
    g, h = sg.grad(f)(x).tolist(), sg.hessian(f)(x)
    assert sg.compile(sg.grad(f))(x).tolist() == pytest.approx(g)
    assert sg.grad(sg.compile(f))(x).tolist() == pytest.approx(g)
    np.testing.assert_allclose(sg.compile(sg.hessian(f))(x).numpy(), h.numpy())
    np.testing.assert_allclose(sg.hessian(sg.compile(f))(x).numpy(), h.numpy())
    xs = sg.stack([x, x * 2])
    np.testing.assert_allclose(sg.vmap(sg.compile(f))(xs), sg.vmap(f)(xs))
    np.testing.assert_allclose(sg.compile(sg.vmap(sg.grad(f)))(xs), sg.vmap(sg.grad(f))(xs))
    assert sg.compile(sg.compile(sg.compile(f)))(x).item() == pytest.approx(f(x).item())
    inner = sg.compile(f)
    assert sg.compile(lambda t: inner(t) * 2)(x).item() == pytest.approx(2 * f(x).item())


def test_custom_operations_inside():
    @sg.op
    def cube(x):
        return np.power(np.asarray(x), 3)

    @cube.backward
    def _(g, out, x):
        return 3 * np.asarray(x) ** 2 * np.asarray(g)

    assert sg.compile(cube)(sg.tensor([2.0])).tolist() == [8]
    assert sg.compile(sg.grad(lambda x: cube(x).sum()))(sg.tensor([2.0])).tolist() == [12]


def test_two_threads_compile_one_function():
    compiled = sg.compile(f)
    x = sg.tensor(np.linspace(0, 1, 5))
    found = []
    threads = [threading.Thread(target=lambda: found.append(compiled(x).item())) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == pytest.approx([f(x).item()] * 4)
    assert compiled.cache_info().misses == 1
