"""A tape with requires_grad and backward; a library from scratch; AD to hold in one's head."""

from __future__ import annotations

import time

import numpy as np
import pytest

import slotgrad as sg


def leaf(value, name=None):
    return sg.tensor(value, requires_grad=True, name=name)


def test_sum_times_number():
    x, y, z = leaf(-2.0, "x"), leaf(5.0, "y"), leaf(-4.0, "z")
    q = (x + y).retain_grad()
    q.name = "q"
    f = q * z
    assert f.item() == -12
    f.backward(1.0)
    assert [t.grad.item() for t in (x, y, q, z)] == [-4, -4, -4, 3]


def test_a_frozen_input_keeps_no_gradient():
    x, y, z = sg.tensor(-2.0), leaf(5.0), leaf(-4.0)
    ((x + y) * z).backward()
    assert x.grad is None
    assert (y.grad.item(), z.grad.item()) == (-4, 3)


def test_gradients_of_a_variable_used_twice_add_up():
    x = leaf(3.0)
    (x * x + 2 * x).backward()
    assert x.grad.item() == 8


def test_leaf_gradients_accumulate_over_calls_and_intermediate_ones_do_not():
    x = leaf(3.0)
    for expected in (6.0, 12.0):
        y = x * x
        y.backward()
        assert x.grad.item() == expected
        assert y.grad is None


def test_graph_has_names_and_can_be_drawn():
    x, y = leaf(-2.0, "x"), leaf(5.0, "y")
    f = x * y
    f.name = "f"
    f.backward(retain_graph=True)
    text = str(sg.graph(f))
    assert all(word in text for word in ("x", "y", "f", "mul", "-10"))
    assert f.to_dot().startswith("digraph")
    assert "f" in repr(f) and "<" in f._repr_html_()
    nested = str(sg.graph(f, nested=True))
    assert all(word in nested for word in ("mul", "x", "-2", "5"))


def test_tensors_of_rows_and_columns():
    m = sg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert m[1, 2].item() == 6
    m[0, 1] = 20.0
    m[1] = [7.0, 8.0, 9.0]
    assert m.tolist() == [[1, 20, 3], [7, 8, 9]]
    assert m.numpy().flags.c_contiguous and m.numpy().size == 6
    sg.random.seed(0)
    m.assign(sg.random.normal((2, 3)))
    assert len(set(m.flatten().tolist())) == 6


def test_matrix_product():
    a = leaf([[2.0, 3, 4], [5, 6, 7]])
    b = leaf([[4.0, 5, 6, 7], [8, 9, 1, 2], [4, 7, 1, 4]])
    c = a @ b
    assert c.tolist() == [[48, 65, 19, 36], [96, 128, 43, 75]]
    c.backward(sg.ones_like(c))
    assert a.grad.tolist() == [[22, 20, 16], [22, 20, 16]]
    assert b.grad.tolist() == [[7.0] * 4, [9.0] * 4, [11.0] * 4]


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(sg.errors.ShapeError, match=r"\(3, 4\) by \(5, 2\).*transpose"):
        sg.zeros((3, 4)) @ sg.zeros((5, 2))
    with pytest.raises(sg.errors.ShapeError, match=r"\(3,\) and \(4,\)"):
        sg.zeros(3) + sg.zeros(4)


def test_row_times_column():
    x, y = leaf([[1.0, 2.0, 3.0]]), leaf([[0.0], [1.0], [1.0]])
    z = x @ y
    z.backward()
    assert z.tolist() == [[5.0]]
    assert x.grad.tolist() == [[0, 1, 1]]
    assert y.grad.tolist() == [[1], [2], [3]]


def test_function_class_with_forward_and_backward():
    class MatMul(sg.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x @ y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved
            return g @ y.T, x.T @ g

    x, y = leaf([[1.0, 2.0, 3.0]]), leaf([[0.0], [1.0], [1.0]])
    MatMul.apply(x, y).backward()
    assert x.grad.tolist() == [[0, 1, 1]]
    assert y.grad.tolist() == [[1], [2], [3]]


def test_graph_with_two_to_the_thirty_paths():
    x = leaf(1.0)
    y = x
    for _ in range(30):
        y = y + y
    start = time.perf_counter()
    y.backward()
    assert time.perf_counter() - start < 0.1
    assert x.grad.item() == 2.0**30


def test_million_operations_run_backward_without_recursion():
    x = leaf(np.float64(0))
    y = x
    for _ in range(10**6):
        y = y + 1.0
    y.backward()
    assert y.item() == 1e6 and x.grad.item() == 1


# -- a deep-learning library from scratch ----------------------------------------------------------


def test_sequential_learns_xor():
    sg.random.seed(1)
    model = sg.nn.Sequential(
        sg.nn.Linear(2, 8), sg.nn.ReLU(), sg.nn.Linear(8, 2), sg.nn.LogSoftmax()
    )
    x = sg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    labels = sg.tensor([0, 1, 1, 0])
    opt = sg.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(400):
        loss = sg.nn.functional.nll_loss(model(x), labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert loss.item() < 0.05
    assert model(x).argmax(axis=1).tolist() == labels.tolist()
    probabilities = sg.nn.Softmax()(model(x))
    assert np.allclose(probabilities.sum(axis=1).tolist(), 1)


def test_seeing_tensors(tmp_path):
    drawn = sg.viz.as_characters(sg.eye(3).numpy())
    assert len(drawn.splitlines()) == 3 and len(set(drawn)) > 2
    sg.viz.show(sg.eye(3), tmp_path / "eye.png")
    assert (tmp_path / "eye.png").read_bytes().startswith(b"\x89PNG")


def test_saving_and_loading_models(tmp_path):
    model = sg.nn.Sequential(sg.nn.Linear(2, 3), sg.nn.Tanh())
    other = sg.nn.Sequential(sg.nn.Linear(2, 3), sg.nn.Tanh())
    sg.save(model, tmp_path / "model.safetensors")
    sg.load(tmp_path / "model.safetensors", into=other)
    x = sg.random.normal((5, 2))
    assert model(x).tolist() == other(x).tolist()
