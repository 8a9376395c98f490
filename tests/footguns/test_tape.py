"""What is easy to get wrong is right here, or raises; it is never silently wrong."""

from __future__ import annotations

import _thread
import copy
import pickle
import re
import threading
import time

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors


def leaf(*values):
    return sg.tensor(np.array(values), requires_grad=True)


# -- changes in place ------------------------------------------------------------------------------


def test_changed_input_of_a_product_raises_and_names_both_places():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with sg.no_grad():
        x += 1.0
    with pytest.raises(errors.ChangedValueError) as caught:
        y.backward()
    lines = re.findall(r"test_tape\.py:(\d+)", str(caught.value))
    assert len(set(lines)) == 2 and "+=" in str(caught.value)


def test_an_operation_that_no_python_code_calls_is_nowhere():
    made = []
    _thread.start_new_thread(made.extend, (map(sg.exp, [leaf(1.0)]),))
    end = time.monotonic() + 5
    while not made and time.monotonic() < end:
        time.sleep(0.001)
    assert [y.node.site for y in made] == [None]


def test_changed_input_that_no_rule_reads_is_fine():
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()
    with sg.no_grad():
        x += 1.0
    y.backward()
    assert x.grad.tolist() == [1, 1]


def test_change_seen_through_a_view_raises():
    x = leaf(1.0, 2.0, 3.0)
    y = (x[1:] ** 2).sum()
    with sg.no_grad():
        x *= 2.0
    with pytest.raises(errors.ChangedValueError):
        y.backward()


def test_changed_data_that_a_weight_was_multiplied_by_raises():
    data, w = sg.tensor([1.0, 2.0]), sg.tensor([3.0, 4.0], requires_grad=True)
    y = (data[:] * w).sum()
    data += 1
    with pytest.raises(errors.ChangedValueError):
        y.backward()


def test_change_after_backward_is_the_usual_step():
    x = leaf(1.0)
    for _ in range(3):
        y = x * x
        y.backward()
        with sg.no_grad():
            x -= 0.25 * x.grad
        x.zero_grad()
    assert x.item() == 0.125


def test_step_keeps_the_buffer():
    values = np.array([1.0, 2.0])
    x = sg.tensor(values, requires_grad=True)
    with sg.no_grad():
        x -= 1.0
    assert x.numpy() is values and values.tolist() == [0, 1]


def test_leaf_on_the_tape_cannot_be_changed():
    x = leaf(1.0)
    with pytest.raises(errors.GradientError, match="no_grad"):
        x += 1.0
    with pytest.raises(errors.GradientError, match="no_grad"):
        x[0] = 1.0
    assert x.item() == 1.0


def test_in_place_on_the_tape_moves_on_to_a_new_value():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = y.exp()
    y += z
    y[0] = 5.0
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([0, 3 + 3 * np.exp(6.0)])


def test_writing_a_tracked_value_into_a_buffer():
    x = leaf(1.0, 2.0)
    buffer = sg.zeros(3, dtype="float64")
    buffer[1:] = x * 2
    (buffer * buffer).sum().backward()
    assert x.grad.tolist() == [8, 16]


def test_writing_to_a_view_writes_to_its_base():
    x = sg.tensor([1.0, 2.0, 3.0])
    row = x[:2]
    row += 1
    x[1:] *= 2
    assert x.tolist() == [2, 6, 6]
    assert row.tolist() == [2, 6]
    x.detach()[0] = 9.0
    assert x.tolist() == [9, 6, 6]


def test_writing_to_a_view_on_the_tape_writes_to_its_base():
    w = leaf(1.0, 2.0, 3.0)
    y = w * 1
    row = y[:2]
    row += w[1:]
    y[2] *= 10.0
    assert y.tolist() == [3, 5, 30] and row.tolist() == [3, 5]
    y.sum().backward()
    assert w.grad.tolist() == [1, 2, 11]
    with pytest.raises(errors.GradientError, match="view"):
        part = w[:2]
        part += 1


def test_backward_notices_a_change_through_a_view():
    data, w = sg.tensor([1.0, 2.0]), sg.tensor([3.0, 4.0], requires_grad=True)
    y = (data * w).sum()
    part = data[:1]
    part += 1
    with pytest.raises(errors.ChangedValueError):
        y.backward()


# -- the tape --------------------------------------------------------------------------------------


def test_second_backward_raises_unless_the_graph_was_retained():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12]
    with pytest.raises(errors.FreedGraphError, match="retain_graph"):
        y.backward()


def test_shared_part_that_was_freed_raises():
    x = leaf(3.0)
    shared = x * x
    (shared * 2).sum().backward()
    with pytest.raises(errors.FreedGraphError):
        (shared * 3).sum().backward()


def test_no_grad_is_per_thread():
    seen = []
    with sg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(sg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_no_grad_as_decorator_and_nested():
    x = leaf(1.0)

    @sg.no_grad()
    def f():
        with sg.enable_grad():
            inside = (x * 2).requires_grad
        return inside, (x * 2).requires_grad

    assert f() == (True, False)
    assert f() == (True, False)


def test_detach_stops_the_gradient_and_shares_memory():
    x = leaf(2.0)
    y = x * x.detach()
    y.sum().backward()
    assert x.grad.tolist() == [2]
    assert np.shares_memory(x.detach().numpy(), x.numpy())


def test_a_detached_tensor_is_a_leaf_where_it_requires_gradients():
    x = leaf(2.0)
    y = (x * 3).detach().requires_grad_()
    assert y.is_leaf
    (y * y).sum().backward()
    assert y.grad.tolist() == [12]
    assert x.grad is None


def test_backward_twice_through_create_graph():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert (first.tolist(), x.grad.tolist()) == ([12], [12])


def test_backward_inside_grad_and_grad_inside_backward():
    def f(x):
        y = leaf(3.0)
        (y * y * x.detach()).sum().backward()
        return (y.grad * x).sum()

    assert sg.grad(f)(sg.tensor([2.0], dtype="float64")).tolist() == [12.0]
    x = leaf(2.0)
    sg.grad(lambda t: (t**3).sum())(x).sum().backward()
    assert x.grad.tolist() == [12.0]


def test_results_of_a_transformation_carry_no_tape_unless_an_outer_one_needs_it():
    x = sg.tensor([1.0, 2.0])
    value, gradient = sg.value_and_grad(lambda t: (t * t).sum())(x)
    assert not value.requires_grad and not gradient.requires_grad
    w = leaf(1.0, 2.0)
    inner = sg.grad(lambda t: (t * t * w).sum())(x.astype("float64"))
    inner.sum().backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_numpy_functions_on_tensors_do_not_lose_the_gradient():
    x = leaf(0.5)
    y = np.sin(x) * np.float64(2) + np.ones(1)
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([2 * np.cos(0.5)])
    with pytest.raises(errors.GradientError, match="numpy"):
        np.spacing(x)
    assert np.mean(x).requires_grad and np.concatenate([x, x]).shape == (2,)
    assert np.median(x.detach()) == 0.5
    buffer = sg.zeros(3)
    np.place(buffer, np.array([True, False, True]), [1.0, 2.0])  # not our own place
    assert buffer.tolist() == [1, 0, 2]


def test_python_numbers_do_not_widen():
    assert (sg.ones(2) * 2.0).dtype == sg.float32
    assert (sg.ones(2, dtype="float16") + 1).dtype == sg.float16
    assert (sg.arange(3) * 0.5).dtype == sg.float32
    assert (sg.arange(3) + 1).dtype == sg.int64
    assert (2.0 ** sg.arange(3)).dtype == sg.float32


def test_zero_and_minus_zero_are_different_constants():
    x = sg.tensor([1.0])
    assert np.signbit((x * 0.0).numpy())[0] == 0
    assert np.signbit((x * -0.0).numpy())[0] == 1


def test_where_does_not_leak_nan_from_the_branch_not_chosen():
    x = leaf(0.0, 4.0)
    y = sg.where(x > 0, x.sqrt(), 0.0)
    y.sum().backward()
    # the square root's own derivative at 0 is infinite: choose its input as well
    assert np.isnan(x.grad.numpy()[0]) or x.grad.numpy()[0] == 0
    x.zero_grad()
    safe = sg.where(x > 0, sg.where(x > 0, x, 1.0).sqrt(), 0.0)
    safe.sum().backward()
    assert x.grad.tolist() == [0, 0.25]


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_independent_leaves(copied):
    x = sg.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = copied(x)
    assert y.requires_grad and y.name == "x" and y.tolist() == [1, 2]
    (y * y).sum().backward()
    assert x.grad is None and y.grad.tolist() == [2, 4]
    assert not np.shares_memory(x.numpy(), y.numpy())


def test_array_is_shared_unless_a_copy_is_asked_for():
    a = np.ones(3)
    assert sg.tensor(a).numpy() is a
    assert not np.shares_memory(sg.tensor(a, copy=True).numpy(), a)
    assert sg.tensor(a, dtype="float32").dtype == sg.float32


def test_exchange_with_numpy_and_dlpack():
    x = sg.tensor([[1.0, 2.0]])
    assert np.from_dlpack(x).tolist() == [[1, 2]]
    assert x.__array_namespace__().permute_dims(x, (1, 0)).shape == (2, 1)
    assert np.asarray(x) is not None and np.asarray(x).dtype == np.float32
