"""Calls that native code takes: the same as those through Python, whatever changes in between."""

from __future__ import annotations

import copy
import gc
import importlib
import inspect
import pickle
import sys
import threading
import weakref
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors, nn, optim
from slotgrad.compile import Compiled
from slotgrad.config import unusual_threads
from slotgrad.runtime.layout import layout, native_type
from slotgrad.tree import leaves_of, tree_map

FACTOR = 2.0


def native_calls(f):
    """How many calls native code has done."""
    return f._calls[0]


def taken(f, *args, **kwargs):
    """The result of a call, which native code must take."""
    before = native_calls(f)
    result = f(*args, **kwargs)
    assert native_calls(f) == before + 1
    return result


def refused(f, *args, **kwargs):
    """The result of a call, which must go through Python."""
    before = native_calls(f)
    result = f(*args, **kwargs)
    assert native_calls(f) == before
    return result


def product(a, b):
    return (a + b) * a


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def make_step(count=2, **options):
    sg.random.seed(0)
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(count)))
    opt = optim.SGD(model.parameters(), lr=0.1, **options)

    def step(x, y):
        loss = ((model(x) - y) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


# -- numbers ---------------------------------------------------------------------------------------


def test_numbers_in_and_out():
    f = sg.compile(product)
    f(1.0, 1.0)
    assert taken(f, 2.0, 3.0) == 10.0 and type(taken(f, 2.0, 3.0)) is float
    g = sg.compile(sg.value_and_grad(product, argnums=(0, 1)))
    g(1.0, 1.0)
    assert taken(g, 2.0, 3.0) == (10.0, (7.0, 2.0))
    assert taken(g, -1.5, 1e300) == (product(-1.5, 1e300), (-3.0 + 1e300, -1.5))


@pytest.mark.parametrize("values", [(2, 3), (True, 2.0), (2, 3.5), (0.5, 2)])
def test_other_kinds_of_numbers(values):
    f = sg.compile(product)
    expected = f(*values)
    assert expected == product(*values)
    assert taken(f, *values) == expected and type(taken(f, *values)) is type(expected)


def test_numbers_that_are_no_plain_floats_go_through_python():
    f = sg.compile(product)
    f(1.0, 1.0)
    for other in (np.float64(2.0), 2, True, np.float32(2.0)):
        assert refused(f, other, 3.0) == pytest.approx(10.0 if other == 2 else 4.0)
    f(2, 3)
    big = 10**400
    with pytest.raises(errors.DTypeError, match="does not fit float64"):
        f(big, 3)
    assert taken(f, 2**53 + 1, 0) == float(2**53 + 1) ** 2
    assert refused(f, 2**64, 0) == float(2**64) ** 2


def test_results_of_every_structure():
    def f(a, b):
        flag = a > b
        return [a, (b, None)], {"text": "x", "sum": a + b}, (), flag, (a * 3).astype("int64")

    compiled = sg.compile(f)
    expected = ([2.0, (3.0, None)], {"text": "x", "sum": 5.0}, (), False, 6)
    assert compiled(2.0, 3.0) == expected
    for _ in range(3):
        result = taken(compiled, 2.0, 3.0)
        assert result == expected
        assert [type(x) for x in result[3:]] == [bool, int]
    plain = sg.compile(lambda a, b: [a, (b, [None, a + b])])
    plain(1.0, 1.0)
    assert taken(plain, 2.0, 3.0) == [2.0, (3.0, [None, 5.0])]
    nothing = sg.compile(lambda a: None)
    nothing(1.0)
    assert taken(nothing, 2.0) is None


# -- arrays and tensors ----------------------------------------------------------------------------


def test_arrays_tensors_and_numbers():
    f = sg.compile(lambda x, s: x * s)
    x = array(3, 4)
    f(x, 1.0)
    for given in (x, sg.tensor(x), array(3, 4, seed=1), np.zeros((3, 4), np.float32)):
        result = taken(f, given, 3.0)
        assert type(result) is sg.Tensor and result.dtype == sg.float32
        np.testing.assert_array_equal(result.numpy(), np.asarray(given) * np.float32(3))


class Marked(np.ndarray):
    """An array of a subclass."""


@pytest.mark.parametrize(
    "other",
    [
        array(3, 4, dtype=np.float64),
        array(4, 3),
        array(3, 4, 1),
        array(12),
        array(4, 3).T,
        array(6, 8)[::2, ::2],
        array(3, 4).view(Marked),
        sg.tensor(array(4, 3).T),
        np.float64(2.0),
    ],
    ids=["dtype", "shape", "ndim", "flat", "transposed", "strided", "subclass", "tensor", "scalar"],
)
def test_other_arrays_are_right_too(other):
    f = sg.compile(lambda x: (x * 2).sum())
    f(array(3, 4))
    for _ in range(2):
        result = f(other)
        assert float(result) == pytest.approx(2 * np.sum(np.asarray(other)), rel=1e-5)
    assert taken(f, array(3, 4)).item() == pytest.approx(2 * array(3, 4).sum(), rel=1e-5)


def test_other_byte_order_is_refused():
    f = sg.compile(lambda x: x * 2)
    f(array(3))
    with pytest.raises(errors.DTypeError, match=">f4"):
        f(array(3).astype(">f4"))


def test_read_only_and_zero_dimensional_arguments():
    f = sg.compile(lambda x: x + 1)
    x = np.array(2.0)
    x.flags.writeable = False
    f(x)
    assert taken(f, x).item() == 3 and taken(f, sg.tensor(np.array(4.0))).item() == 5
    f(np.zeros((0, 3)))
    assert taken(f, np.ones((0, 3))).shape == (0, 3)


def test_scalars_of_numpy_are_read_where_they_stay():
    f = sg.compile(lambda x, y: x * 2 + y)
    for i in range(20):
        assert f(np.float32(i), np.ones(2, np.float32)).tolist() == [2 * i + 1] * 2


def test_tracked_arguments_are_on_the_tape():
    f = sg.compile(lambda x: (x * x).sum())
    x = sg.tensor(array(3))
    f(x)
    taken(f, x)
    tracked = sg.tensor(array(3), requires_grad=True)
    refused(f, tracked).backward()
    np.testing.assert_allclose(tracked.grad.numpy(), 2 * array(3))
    with sg.no_grad():
        f(tracked)
        assert not taken(f, tracked).requires_grad
    assert refused(f, tracked).requires_grad


def test_results_have_memory_of_their_own():
    f = sg.compile(lambda x: (x, {"y": x.reshape(-1)}, x + 1))
    x = np.zeros((2, 2), np.float32)
    f(x)
    results = []
    for i in range(5):
        x[...] = i
        results.append(taken(f, x))
    every = [y.numpy() for a, b, c in results for y in (a, b["y"], c)]
    for i, y in enumerate(every):
        assert (y == i // 3 + (i % 3 == 2)).all()
        assert not any(np.shares_memory(y, z) for z in [x, *every[:i]])
    assert len({id(y) for y in every}) == len(every)


# -- how it is called ------------------------------------------------------------------------------


def test_wrong_calls_raise_what_python_raises():
    f = sg.compile(product)
    f(1.0, 1.0)
    for args, kwargs in [((), {}), ((1.0,), {}), ((1.0, 2.0, 3.0), {}), ((1.0, 2.0), {"c": 1.0})]:
        with pytest.raises(TypeError) as plain:
            product(*args, **kwargs)
        with pytest.raises(TypeError) as compiled:
            f(*args, **kwargs)
        assert str(compiled.value) == str(plain.value)
    assert taken(f, 2.0, 3.0) == 10.0


def test_keyword_arguments():
    def power(x, factor=1.0, *, text="no", again=None):
        return x * factor if text == "no" else x - factor

    f = sg.compile(power)
    assert f(2.0, factor=3.0) == taken(f, 2.0, factor=3.0) == 6.0
    assert f(2.0, text="yes", factor=3.0) == taken(f, 2.0, text="yes", factor=3.0) == -1.0
    assert f(2.0) == taken(f, 2.0) == 2.0
    assert taken(f, 2.0, factor=4.0) == 8.0
    assert f(2.0, factor=3.0, text="yes") == -1.0
    assert f(x=2.0) == taken(f, x=3.0) - 1.0


def test_static_arguments_are_compared():
    f = sg.compile(lambda x, n, how: x * n if how == "times" else x + n, static_argnums=1)
    assert f(2.0, 3, "times") == taken(f, 2.0, 3, "times") == 6.0
    assert f(2.0, 4, "times") == taken(f, 2.0, 4, "times") == 8.0
    assert f(2.0, 4, "plus") == taken(f, 2.0, 4, "plus") == 6.0
    assert taken(f, 2.0, 3, "times") == 6.0
    sizes = [1, 2]
    g = sg.compile(lambda x, sizes: x * sum(sizes), static_argnums=1)
    assert g(2.0, sizes) == refused(g, 2.0, sizes) == 6.0
    sizes.append(3)
    assert g(2.0, sizes) == 12.0


Pair = namedtuple("Pair", "a b")


@dataclass
class Record:
    a: float
    b: float


TREES = [
    (2.0, 3.0),
    [2.0, 3.0],
    Pair(2.0, 3.0),
    {"a": 2.0, "b": 3.0},
    {1: [], "a": [(2.0,), {}], "b": {"c": ("text", None, 3.0)}},
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_trees_of_arguments(tree):
    def weighted(tree, by=1.0, more=()):
        numbers = [x for x in leaves_of((tree, more)) if x != "text"]
        return sum((i + 1.0) * x for i, x in enumerate(numbers)) * by

    f = sg.compile(weighted)
    assert f(tree) == taken(f, tree) == taken(f, copy.deepcopy(tree)) == 8.0
    assert f(tree, 2.0, more=[4.0]) == taken(f, tree, 2.0, more=[4.0]) == 40.0
    twice = tree_map(lambda x: x if x == "text" else 2.0 * x, tree)
    assert taken(f, twice) == 16.0
    assert taken(f, twice, 2.0, more=[5.0]) == 62.0


def test_trees_of_tensors():
    f = sg.compile(sg.value_and_grad(lambda p, x: (p["w"] @ x + p["b"]).sum()))
    x, p = array(3), {"w": sg.tensor(array(2, 3)), "b": sg.tensor(array(2))}
    f(p, x)
    for seed in range(3):
        p = {"w": sg.tensor(array(2, 3, seed=seed)), "b": array(2, seed=seed)}
        value, gradient = taken(f, p, x)
        expected = f.function(p, x)
        assert value.item() == pytest.approx(expected[0].item())
        assert list(gradient) == ["w", "b"]
        np.testing.assert_allclose(gradient["w"], expected[1]["w"])
    refused(f, {"w": sg.ones((4, 3)), "b": sg.ones(4)}, x)
    p["b"] = sg.ones(2, requires_grad=True)
    assert refused(f, p, x)[0].requires_grad


def test_dicts_are_compared_in_order():
    f = sg.compile(lambda d: list(d.values())[0] - list(d.values())[1])
    assert f({"a": 2.0, "b": 3.0}) == taken(f, {"a": 2.0, "b": 3.0}) == -1.0
    assert refused(f, {"b": 2.0, "a": 4.0}) == -2.0
    assert taken(f, {"b": 2.0, "a": 5.0}) == -3.0
    assert refused(f, {"a": 2.0, "c": 3.0}) == -1.0
    assert refused(f, {"a": 2.0, "b": 3.0, "c": 4.0}) == -1.0
    assert refused(f, {1: 2.0, 1.5: 3.0}) == taken(f, {1: 2.0, 1.5: 3.0}) == -1.0
    assert refused(f, {True: 2.0, 1.5: 3.0}) == -1.0


def test_keys_that_were_made_anew():
    f = sg.compile(lambda d: d["layer 0"] - d["layer 1"])
    made = [{f"layer {i}": i + n for i in range(2)} for n in (0.0, 1.0)]
    assert f(made[0]) == taken(f, made[1]) == -1.0


@pytest.mark.parametrize(
    "tree",
    [Record(2.0, 3.0), OrderedDict(a=2.0, b=3.0), {"a": 2.0, "b": Record(1.0, 3.0)}],
    ids=str,
)
def test_other_trees_go_through_python(tree):
    f = sg.compile(lambda p: sum(leaves_of(p)))
    for _ in range(3):
        assert refused(f, tree) == sum(leaves_of(tree))


def test_containers_of_other_kinds_are_told_apart():
    f = sg.compile(lambda p: p[0] * 2.0 if isinstance(p, list) else p[0])
    assert f([3.0]) == taken(f, [3.0]) == 6.0
    assert refused(f, (3.0,)) == taken(f, (3.0,)) == 3.0
    assert taken(f, [3.0]) == 6.0
    assert f([3.0, 1.0]) == taken(f, [3.0, 1.0]) == 6.0


def test_static_trees_go_through_python():
    f = sg.compile(lambda x, sizes: x * len(sizes), static_argnums=1)
    for _ in range(2):
        assert refused(f, 2.0, (1, 2)) == 4.0


# -- what must hold --------------------------------------------------------------------------------


def test_names_bound_anew_are_noticed():
    global FACTOR
    scale = 2.0
    f = sg.compile(lambda x: x * FACTOR + scale)
    FACTOR = 2.0
    f(1.0)
    assert taken(f, 1.0) == 4.0
    FACTOR = 3.0
    assert refused(f, 1.0) == taken(f, 1.0) == 5.0
    scale = 4.0
    assert refused(f, 1.0) == taken(f, 1.0) == 7.0
    FACTOR, scale = 2.0, 2.0


def test_variable_of_the_closure_without_a_value():
    def f(x):
        return x if x is not None else later

    g = sg.compile(f)
    assert g(1.0) == taken(g, 1.0) == 1.0
    later = 3.0
    assert refused(g, 2.0) == taken(g, 2.0) == 2.0
    assert later == 3.0


def test_train_and_eval_stay_native():
    sg.random.seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    f = sg.compile(lambda x: model(x))
    x = sg.ones((4, 3))
    f(x)
    model.eval()
    f(x)
    quiet = taken(f, x).tolist()
    model.train()
    assert refused(f, x).tolist() != taken(f, x).tolist()
    model.eval()
    assert f(x).tolist() == taken(f, x).tolist() == quiet
    assert f.cache_info().misses == 2


def test_shapes_alternate_natively():
    f = sg.compile(lambda x: x.sum())
    inputs = [array(n) for n in (2, 3, 4)]
    for x in inputs:
        f(x)
    for x in inputs * 3:
        assert taken(f, x).item() == pytest.approx(x.sum(), rel=1e-6)
    info = f.cache_info()
    assert (info.hits, info.misses) == (9, 3)


def test_no_grad_has_its_own_program():
    w = sg.tensor([2.0], requires_grad=True)
    f = sg.compile(lambda x: x * w)
    x = sg.ones(1)
    f(x)
    assert taken(f, x).tolist() == [2]
    with sg.no_grad():
        f(x)
        assert taken(f, x).tolist() == [2]
        with sg.enable_grad():
            taken(f, x)
        taken(f, x)
    taken(f, x)
    assert f.cache_info().misses == 2


def test_modes_of_another_thread_do_not_matter_here():
    f = sg.compile(product)
    f(1.0, 1.0)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with sg.no_grad():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10) and unusual_threads[0] == 1
    assert taken(f, 2.0, 3.0) == 10.0
    with sg.no_grad():  # now two threads are in an unusual mode, so native code cannot tell
        assert refused(f, 2.0, 3.0) == 10.0
    leave.set()
    thread.join()
    assert unusual_threads[0] == 0


def test_captures_record_the_function():
    f = sg.compile(product)
    f(sg.ones(2), sg.ones(2))
    outer = sg.compile(lambda x: f(x, x) * 2)
    before = native_calls(f)
    assert outer(sg.ones(2)).tolist() == taken(outer, sg.ones(2)).tolist() == [4, 4]
    assert sg.vmap(f)(sg.ones((3, 2)), sg.ones((3, 2))).tolist() == [[2, 2]] * 3
    assert native_calls(f) == before
    assert unusual_threads[0] == 0


# -- state -----------------------------------------------------------------------------------------


def test_steps_equal_eager_ones():
    x, y = array(5, 3), array(5, 3, seed=1)
    ends = []
    for compiled in (False, True):
        model, _, step = make_step(momentum=0.9)
        run = sg.compile(step) if compiled else step
        losses = [run(x, y).item() for _ in range(30)]
        ends.append([*losses, *(p.numpy() for p in model.parameters())])
    assert native_calls(run) >= 27
    for eager, native in zip(*ends):
        np.testing.assert_allclose(native, eager, rtol=1e-4, atol=1e-6)


def test_state_that_is_bound_anew_is_noticed():
    model, opt, step = make_step()
    run = sg.compile(step)
    x, y = array(5, 3), array(5, 3, seed=1)
    for _ in range(3):
        run(x, y)
    taken(run, x, y)
    opt.lr = 0.0
    before = [p.tolist() for p in model.parameters()]
    taken(run, x, y)
    assert [p.tolist() for p in model.parameters()] == before
    model.load_state_dict(model.state_dict())
    run(x, y)
    model[0].weight.zero_grad()
    refused(run, x, y)
    taken(run, x, y)
    model[0].weight.requires_grad_(False)
    opt.lr = 0.1
    frozen, other = model[0].weight.tolist(), model[0].bias.tolist()
    refused(run, x, y)
    assert model[0].weight.tolist() == frozen and model[0].bias.tolist() != other


def test_tape_that_needs_an_old_value_is_noticed():
    model, _, step = make_step()
    run = sg.compile(step)
    x, y = sg.tensor(array(5, 3)), sg.tensor(array(5, 3, seed=1))
    for _ in range(3):
        run(x, y)
    loss = ((model(x) - y) ** 2).mean()
    refused(run, x, y)
    with pytest.raises(errors.ChangedValueError, match="compiled"):
        loss.backward()
    del loss
    taken(run, x, y)


def test_argument_in_the_memory_of_the_state():
    memory = array(8)
    w = sg.tensor(memory[:4])

    def f(x):
        w.assign(w + 1)
        return x * 2 + w

    run = sg.compile(f)
    run(array(4))
    for start, call in [(0, refused), (2, refused), (4, taken)]:
        x = memory[start : start + 4]
        expected = x * 2 + w.numpy() + 1
        np.testing.assert_allclose(call(run, x).numpy(), expected, rtol=1e-6)
        x = memory[start : start + 4]
        expected = x * 2 + w.numpy() + 1
        np.testing.assert_allclose(call(run, sg.tensor(x)).numpy(), expected, rtol=1e-6)


def test_read_only_state_raises():
    w = sg.tensor(array(3), name="w")

    def f(x):
        w.assign(w * x)

    run = sg.compile(f)
    run(2.0)
    taken(run, 2.0)
    w.numpy().flags.writeable = False
    before = w.tolist()
    with pytest.raises(errors.UsageError, match="w  float32.*read-only"):
        run(2.0)
    assert w.tolist() == before
    w.numpy().flags.writeable = True
    run(2.0)
    taken(run, 2.0)


def test_kept_gradients_accumulate():
    w = sg.tensor(array(3), requires_grad=True)
    run = sg.compile(lambda x: (w * x).sum().backward())
    for i in range(4):
        run(np.ones(3, np.float32))
        assert w.grad.tolist() == [i + 1] * 3
    w.grad = None
    run(np.ones(3, np.float32))
    assert w.grad.tolist() == [1, 1, 1]


def test_random_stream_is_the_same():
    f = sg.compile(lambda x: x + sg.random.normal(3))
    streams = []
    for draw in (f.function, f):
        sg.random.seed(7)
        streams.append([draw(sg.zeros(3)).numpy() for _ in range(5)])
    assert native_calls(f) >= 3
    np.testing.assert_allclose(streams[1], streams[0], rtol=1e-5)


# -- what goes wrong -------------------------------------------------------------------------------


def test_failed_run_leaves_everything_as_it_was():
    w = sg.tensor(array(2, 2))

    def f(a):
        w.assign(w + 1)
        return sg.linalg.solve(a, w)

    run = sg.compile(f)
    run(np.eye(2, dtype=np.float32))
    kept = taken(run, np.eye(2, dtype=np.float32))
    values, state = kept.tolist(), w.tolist()
    for _ in range(3):
        with pytest.raises(errors.MatrixError):
            run(np.zeros((2, 2), np.float32))
    assert w.tolist() == state and kept.tolist() == values
    taken(run, np.eye(2, dtype=np.float32))
    assert w.tolist() == (np.array(state, np.float32) + 1).tolist()


def test_program_that_is_called_while_it_runs_raises():
    f = sg.compile(product)
    f(1.0, 1.0)
    with f._newest.program.claimed(), pytest.raises(errors.UsageError, match=r"f\.function"):
        f(2.0, 3.0)
    f(2.0, 3.0)
    assert taken(f, 2.0, 3.0) == 10.0


def test_operation_may_call_another_program():
    inner = sg.compile(lambda x: x * 3)

    @sg.op
    def thrice(x):
        return inner(sg.tensor(np.array(x))).numpy()

    thrice.backward(lambda g, out, x: np.asarray(g) * 3)
    run = sg.compile(lambda x: thrice(x) + 1)
    run(sg.ones(2))
    assert taken(run, sg.ones(2)).tolist() == [4, 4]


# -- threads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 400])
def test_threads_call_one_program(size):
    """Long programs run without the interpreter's lock, short ones with it."""
    f = sg.compile(lambda x: (x @ x.mT).sum(axis=1))
    inputs = [array(size, size, seed=i) for i in range(4)]
    f(inputs[0])
    assert f._newest.program.long == (size == 400)
    expected = [(x @ x.T).sum(axis=1) for x in inputs]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.allclose(f(inputs[i]).numpy(), expected[i], rtol=1e-3, atol=1e-2):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    taken(f, inputs[0])


# -- the object ------------------------------------------------------------------------------------


def test_object_is_as_any_other():
    def f(a, b=1.0):
        """Adds."""
        return a + b

    g = sg.compile(f)
    g(1.0)
    assert isinstance(g, Compiled) and callable(g) and g.__wrapped__ is f
    assert g.__name__ == "f" and g.__doc__ == "Adds." and repr(g) == "<compiled f>"
    assert inspect.signature(g) == inspect.signature(f)
    assert g.__call__(2.0) == 3.0
    g.note = 3
    assert g.note == 3

    class Holder:
        add = staticmethod(g)

    assert Holder().add(2.0) == 3.0
    assert copy.copy(g)(2.0) == 3.0 and native_calls(copy.copy(g)) == 0
    with pytest.raises(AttributeError, match="local object"):
        pickle.dumps(g)  # as any function inside another


def test_objects_are_collected():
    f = sg.compile(lambda x: x * 2)
    f(sg.ones(2))
    f(sg.ones(2))
    program = weakref.ref(f._newest.program)
    function = weakref.ref(f)
    f.itself = f
    del f
    gc.collect()
    assert function() is None and program() is None


def test_calls_leak_nothing():
    f = sg.compile(lambda x, y, s: (x * y, [y.sum(), None], s + 1))
    g = sg.compile(sg.value_and_grad(product, argnums=(0, 1)))
    h = sg.compile(lambda p: p["x"] * p["y"][0])
    x, y, s, text = sg.tensor(array(3)), array(3), 1234.5, "text"
    tree = {"x": x, "y": [y, text]}
    counted = (x, x.node, x.numpy(), y, s, text, None, True, product, tree, tree["y"])

    def run(count):
        for _ in range(count):
            f(x, y, s)
            g(s, 2.0)
            h(tree)
            h({"".join("x"): x, "y": [y, text]})
            with pytest.raises(TypeError):
                f(text)

    run(10)
    gc.collect()
    before, blocks = [sys.getrefcount(o) for o in counted], sys.getallocatedblocks()
    run(2000)
    gc.collect()
    after = [sys.getrefcount(o) for o in counted]
    assert max(abs(a - b) for a, b in zip(after, before)) < 20
    assert sys.getallocatedblocks() - blocks < 200


def test_python_without_a_known_layout(monkeypatch):
    module = importlib.import_module("slotgrad.compile")
    monkeypatch.setattr(module, "native_type", lambda base: None)
    f = sg.compile(sg.value_and_grad(product, argnums=(0, 1)))
    assert type(f) is Compiled
    for _ in range(3):
        assert f(2.0, 3.0) == (10.0, (7.0, 2.0))
    assert f.cache_info()[:2] == (2, 1) and native_calls(f) == 0


def test_layout_is_known_here():
    assert layout() is not None
    native = native_type(Compiled)
    assert native is not None and issubclass(native.type, Compiled)


# -- results that are used again -------------------------------------------------------------------


def test_what_somebody_has_of_a_result_never_changes():
    f = sg.compile(sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
    f(2.0, 3.0)
    whole = f(2.0, 3.0)
    inner, number = f(1.0, 5.0)[1], f(4.0, 1.0)[1][0]
    value, (da, _) = f(6.0, 7.0)
    for x in range(100):
        assert f(float(x), 1.0) == (x * x + x, (2 * x + 1, x))
    assert whole == (10, (7, 2))
    assert (inner, number, value, da) == ((7, 1), 9, 78, 19)


def test_results_in_a_list_are_different_objects():
    f = sg.compile(lambda a: a * a)
    assert [f(float(x)) for x in range(50)] == [float(x * x) for x in range(50)]
    g = sg.compile(lambda a: (a * a, (a, a + 1)))
    assert [g(float(x)) for x in range(50)] == [(x * x, (x, x + 1)) for x in range(50)]


def test_a_result_that_is_an_argument_of_the_next_call():
    f = sg.compile(lambda a, b: (a + b, a))
    pair = (1.0, 1.0)
    for _ in range(20):
        pair = f(*pair)
    assert pair == (17711.0, 10946.0)
