"""What a captured function could silently freeze is seen anew, or raises and names the line."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

FACTOR = 2.0


def test_reading_a_value_raises_and_names_the_line():
    state = sg.tensor([1.0])

    def by_argument(x):
        return x if x.sum() > 0 else -x

    def by_state(x):
        return x * state.item()

    for f in (by_argument, by_state):
        with pytest.raises(errors.CaptureError, match=r"test_captured\.py:\d+ in by_.*sg\.where"):
            sg.compile(f)(sg.ones(1))


@pytest.mark.parametrize(
    "f",
    [
        lambda n: sg.zeros(n),
        lambda n: sg.arange(n),
        lambda n: sg.ones((2, 2)).sum(axis=n),
        lambda n: sg.ones(8)[:n],
    ],
)
def test_numbers_that_shapes_depend_on_are_asked_for_as_static(f):
    with pytest.raises(errors.CaptureError, match="static_argnums"):
        sg.compile(f)(1)
    assert sg.compile(f, static_argnums=0)(1).tolist() == f(1).tolist()


def test_tensor_from_outside_is_read_at_each_call():
    w = sg.tensor([1.0, 2.0])
    f = sg.compile(lambda x: x * w)
    assert f(sg.ones(2)).tolist() == [1, 2]
    w += 1
    assert f(sg.ones(2)).tolist() == [2, 3]
    assert f.cache_info().misses == 1


def test_elements_are_read_at_each_call_and_written_in_order():
    """Also where the loop becomes operations on arrays."""
    w, total = sg.ones(60), sg.zeros(())

    @sg.compile
    def f(x):
        nonlocal total
        y = sum(w[i] * x[i] for i in range(60))
        for i in range(60):
            w[i] = w[i] + x[59 - i] * y
        total += w[0] * w[1]
        return y, w[0] - w[59]

    weights, expected = np.ones(60), 0.0
    for step in range(3):
        x = np.arange(60.0) / 100 - step
        y = weights @ x
        weights = weights + x[::-1] * y
        expected += weights[0] * weights[1]
        found = f(x.astype(np.float32))
        np.testing.assert_allclose(found[0].item(), y, rtol=1e-4)
        np.testing.assert_allclose(found[1].item(), weights[0] - weights[59], rtol=1e-3)
    np.testing.assert_allclose(w.numpy(), weights, rtol=1e-3)
    np.testing.assert_allclose(total.item(), expected, rtol=1e-3)
    assert f.cache_info().misses == 1
    assert "scatter" not in f.code


def test_array_from_outside_is_read_at_each_call():
    a = np.array([1.0, 2.0], np.float32)
    f = sg.compile(lambda x: x * a)
    assert f(sg.ones(2)).tolist() == [1, 2]
    a[:] = 5
    assert f(sg.ones(2)).tolist() == [5, 5]


def test_global_bound_anew_is_noticed():
    global FACTOR
    f = sg.compile(lambda x: x * FACTOR)
    FACTOR = 2.0
    assert f(sg.ones(1)).tolist() == [2]
    FACTOR = 3.0
    assert f(sg.ones(1)).tolist() == [3]


def test_closure_bound_anew_is_noticed():
    scale = 2.0
    f = sg.compile(lambda x: x * scale)
    assert f(sg.ones(1)).tolist() == [2]
    scale = 4.0
    assert f(sg.ones(1)).tolist() == [4]


def test_tensor_of_another_shape_bound_anew_is_noticed():
    w = sg.ones(2)
    f = sg.compile(lambda x: x + w)
    assert f(sg.ones(1)).tolist() == [2, 2]
    w = sg.ones(3)
    assert f(sg.ones(1)).tolist() == [2, 2, 2]


def test_leaked_tensor_says_what_happened():
    kept = []
    sg.compile(lambda x: kept.append(x * 2) or x)(sg.ones(1))
    with pytest.raises(errors.CaptureError, match="capture"):
        kept[0] + 1
    with pytest.raises(errors.CaptureError, match="recorded"):
        kept[0].numpy()


def test_tape_from_outside_cannot_be_continued_inside():
    w = sg.tensor([1.0], requires_grad=True)
    y = w * 2
    with pytest.raises(errors.CaptureError, match=r"detach"):
        sg.compile(lambda x: (x * y).sum())(sg.ones(1))
    detached = y.detach()
    assert sg.compile(lambda x: (x * detached).sum())(sg.ones(1)).item() == 2


def test_view_of_a_tensor_that_changed_raises():
    w = sg.tensor([1.0, 2.0])

    def f(x):
        row = w[:1]
        w.assign(w * x)
        return row + 1

    with pytest.raises(errors.CaptureError, match="view"):
        sg.compile(f)(sg.ones(2))
    assert w.tolist() == [1, 2]


@pytest.mark.parametrize("whole_is_written", [True, False])
@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 3), slice(3, 4)])
def test_two_states_in_one_memory_raise(part, whole_is_written):
    array = np.ones(4)
    whole, other = sg.tensor(array), sg.tensor(array[part])
    a, b = (whole, other) if whole_is_written else (other, whole)

    def f(x):
        a.assign(a * x)
        return b + 1

    with pytest.raises(errors.CaptureError, match="memory"):
        sg.compile(f)(2.0)


def test_two_states_side_by_side_in_an_array():
    array = np.ones(4)
    a, b = sg.tensor(array[2:]), sg.tensor(array[:2])

    @sg.compile
    def f(x):
        a.assign(a * x)
        return b + 1

    assert f(2.0).tolist() == [2, 2]
    assert array.tolist() == [1, 1, 2, 2]


def test_in_place_on_a_row_inside():
    def f(x):
        x = x.clone()
        x[0] += 10
        row = x[1]
        row *= 2
        return x

    expected = f(sg.ones((2, 2))).tolist()
    assert sg.compile(f)(sg.ones((2, 2))).tolist() == expected == [[11, 11], [2, 2]]


def test_derivatives_know_values_from_before_a_change_in_place():
    def f(x):
        y = x.clone()
        y[1:] += x[:-1]
        y[0] *= 2.0
        y[2] = y[0] * x[1]
        return (y * y).sum()

    x = sg.tensor([0.5, 1.0, 2.0])
    assert sg.compile(sg.grad(f))(x).tolist() == sg.grad(f)(x).tolist() == [11, 5, 0]


def test_views_from_before_a_change_in_place_are_refused():
    def f(x):
        y = x.clone()
        view = y[1:]
        y += 1.0
        return view.sum()

    with pytest.raises(errors.CaptureError, match="take it again"):
        sg.compile(f)(sg.ones(3))


def test_eager_tape_notices_what_a_compiled_step_changed():
    w = sg.tensor([2.0], requires_grad=True)
    y = (w * w).sum()

    @sg.compile
    def step(x):
        with sg.no_grad():
            w.assign(w * x)

    step(3.0)
    with pytest.raises(errors.ChangedValueError, match="compiled"):
        y.backward()


def test_leaf_on_the_tape_cannot_be_changed_inside_either():
    w = sg.tensor([2.0], requires_grad=True)

    def f(x):
        nonlocal w
        w += x

    with pytest.raises(errors.GradientError, match="no_grad"):
        sg.compile(f)(1.0)
    assert w.tolist() == [2]


def test_error_inside_leaves_no_trace():
    w = sg.tensor([2.0], requires_grad=True)

    def f(x):
        (w * x).sum().backward()
        with sg.no_grad():
            w.assign(w + 1)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        sg.compile(f)(sg.ones(1))
    assert w.grad is None and w.tolist() == [2]
    assert (w * 2).tolist() == [4]


def test_no_grad_around_is_part_of_the_key():
    w = sg.tensor([2.0], requires_grad=True)
    f = sg.compile(lambda x: sg.grad(lambda t: (t * w).sum())(x))
    with sg.no_grad():
        a = f(sg.ones(1)).tolist()
    assert f(sg.ones(1)).tolist() == a == [2]
