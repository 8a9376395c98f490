"""Random programs of up to 20 operations: derivatives against differences, vmap against a loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

import slotgrad as sg

SHAPES = [(), (1,), (3,), (2, 1), (2, 3), (1, 3)]

UNARY = [  # smooth everywhere, and tame enough to be applied twenty times
    sg.sin,
    sg.tanh,
    sg.sigmoid,
    sg.atan,
    sg.softplus,
    sg.erf,
    lambda x: -x,
    lambda x: sg.sqrt(x * x + 1),
    lambda x: sg.exp(-x * x),
    lambda x: sg.log(x * x + 1.5),
    lambda x: x.sum(axis=-1, keepdims=True) if x.ndim else x,
    lambda x: x.mean() * 2,
    lambda x: x.logsumexp(axis=0) if x.ndim else x,
    lambda x: x.cumsum(-1) * 0.5 if x.ndim else x,
    lambda x: x.flip(),
    lambda x: x.mT @ x if x.ndim == 2 else x,
    lambda x: x[..., ::2] if x.ndim else x,
    lambda x: x[..., [0, -1, 0]] if x.ndim else x,
    lambda x: x.reshape(-1),
    lambda x: sg.stack([x, x * 2], axis=0).mean(axis=0),
    lambda x: x.norm(axis=0) if x.ndim else x,
]
BINARY = [
    sg.add,
    sg.sub,
    sg.mul,
    lambda x, y: x / (y * y + 1),
    lambda x, y: sg.logaddexp(x, y),
    lambda x, y: sg.hypot(x, y * y + 1),
    lambda x, y: sg.atan2(x, y * y + 1),
    lambda x, y: (x * x + 0.5) ** sg.tanh(y),
    lambda x, y: sg.where(sg.tensor(np.float64(1)) > 0, x, y),
]


@st.composite
def programs(draw):
    """A list of steps, each a function and the places of its inputs in the list of values."""
    count = draw(st.integers(1, 20))
    steps = []
    for i in range(count):
        if draw(st.booleans()):
            steps.append((draw(st.sampled_from(UNARY)), (draw(st.integers(0, i + 1)),)))
        else:
            places = draw(st.integers(0, i + 1)), draw(st.integers(0, i + 1))
            steps.append((draw(st.sampled_from(BINARY)), places))
    shapes = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(SHAPES))
    return steps, shapes, draw(st.integers(0, 2**16))


def fits(values, places):
    try:
        np.broadcast_shapes(*[values[i].shape for i in places])
    except ValueError:
        return False
    return True


def run(steps, *inputs):
    values = list(inputs)
    for f, places in steps:
        values.append(f(*[values[i] for i in places]) if fits(values, places) else values[0])
    return sum((v.mean() for v in values[-3:]), start=sg.tensor(np.float64(0)))


def inputs_for(shapes, seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, s) for s in shapes]


@settings(max_examples=150, deadline=None)
@given(programs())
def test_gradient_agrees_with_differences(program):
    steps, shapes, seed = program
    xs = inputs_for(shapes, seed)
    sg.check_grads(lambda *t: run(steps, *t), xs, order=1, rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(programs())
def test_second_derivative_agrees_with_differences(program):
    steps, shapes, seed = program
    steps = steps[:8]
    xs = inputs_for(shapes, seed)
    sg.check_grads(lambda *t: run(steps, *t), xs, order=2, rtol=1e-4, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(programs())
def test_vmap_agrees_with_a_loop(program):
    steps, shapes, seed = program
    xs = [sg.tensor(x) for x in inputs_for([(3, *s) for s in shapes], seed)]
    gradient = sg.grad(lambda a, b: run(steps, a, b), argnums=(0, 1))
    batched = sg.vmap(gradient)(*xs)
    for i in range(3):
        for whole, row in zip(batched, gradient(xs[0][i], xs[1][i])):
            np.testing.assert_allclose(whole[i].numpy(), row.numpy(), rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(programs())
def test_tape_and_transformation_agree(program):
    steps, shapes, seed = program
    arrays = inputs_for(shapes, seed)
    leaves = [sg.tensor(x, requires_grad=True) for x in arrays]
    y = run(steps, *leaves)
    if y.requires_grad:
        y.backward()
    expected = sg.grad(lambda a, b: run(steps, a, b), argnums=(0, 1))(*map(sg.tensor, arrays))
    for x, g in zip(leaves, expected):
        found = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
        np.testing.assert_allclose(found, g.numpy(), rtol=1e-12, atol=1e-15)


# -- compiled ------------------------------------------------------------------------------------

MORE = [  # reductions of all kinds, products and what moves elements, for matrices and vectors
    lambda x: x.sum(axis=0) if x.ndim else x,
    lambda x: x.sum(axis=0, keepdims=True) * x if x.ndim else x,
    lambda x: sg.tanh(x).max(axis=-1, keepdims=True) + x if x.ndim else x,
    lambda x: x.min(axis=0) if x.ndim else x,
    lambda x: x.mean(axis=-1) if x.ndim else x,
    lambda x: sg.nn.functional.softmax(x, axis=-1) if x.ndim else x,
    lambda x: sg.nn.functional.log_softmax(x, axis=0) if x.ndim else x,
    lambda x: (x - x.mean(axis=-1, keepdims=True)) if x.ndim else x,
    lambda x: sg.maximum(x, 0.1),
    lambda x: sg.where(x > 0, x, 0.2 * x),
    lambda x: x.mT @ sg.tanh(x) if x.ndim == 2 else x,
    lambda x: sg.maximum(x @ x.mT * 0.1 + 0.5, 0.0) if x.ndim == 2 else x,
    lambda x: sg.outer(x, x) if x.ndim == 1 and x.size < 40 else x,
    lambda x: x.mT if x.ndim == 2 else x,
    lambda x: sg.concat([x, -x]) if x.ndim and x.size < 200 else x,
    lambda x: x[1:] if x.ndim and x.shape[0] > 1 else x,
    lambda x: sg.broadcast_to(x.mean(), (3, 5)),
]
WIDE = [(), (1,), (17,), (5, 17), (17, 5), (1, 33), (33, 1), (3, 40)]


@st.composite
def long_programs(draw):
    """Programs of up to 40 operations on larger arrays."""
    steps = []
    for i in range(draw(st.integers(1, 40))):
        if draw(st.integers(0, 2)):
            steps.append((draw(st.sampled_from(UNARY + MORE)), (draw(st.integers(0, i + 1)),)))
        else:
            places = draw(st.integers(0, i + 1)), draw(st.integers(0, i + 1))
            steps.append((draw(st.sampled_from(BINARY)), places))
    shapes = draw(st.sampled_from(WIDE)), draw(st.sampled_from(WIDE))
    return steps, shapes, draw(st.integers(0, 2**16))


@settings(max_examples=500, deadline=None)
@given(long_programs())
def test_compiled_program_agrees_with_eager_and_numpy(program):
    steps, shapes, seed = program
    arrays = inputs_for(shapes, seed)
    both = sg.value_and_grad(lambda a, b: run(steps, a, b), argnums=(0, 1))
    value, gradients = both(*map(sg.tensor, arrays))
    for target in ("llvm", "numpy"):
        found, found_gradients = sg.compile(both, target=target)(*arrays)
        np.testing.assert_allclose(found.numpy(), value.numpy(), rtol=1e-9, atol=1e-11)
        for g, expected in zip(found_gradients, gradients):
            scale = 1 + np.abs(expected.numpy()).max(initial=0)
            np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-7, atol=1e-9 * scale)
