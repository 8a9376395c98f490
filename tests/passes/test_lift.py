"""Scalars to arrays: what is recognised, and that results and derivatives are those of the tape."""

from __future__ import annotations

import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.dtypes import float64
from slotgrad.graph.node import TensorType
from slotgrad.graph.region import verify
from slotgrad.kernel.scalars import (
    CODES,
    FIRST_OPERATION,
    LEAF,
    NUMBER,
    arity_of,
    code_of,
    name_of,
    record_of,
)
from slotgrad.passes.affine import Affine, affine, cuts_of, fits, sizes_of, view
from slotgrad.passes.lift_tape import lift_tape
from slotgrad.passes.pipeline import optimize
from slotgrad.runtime.program import Program

# -- a recorder ------------------------------------------------------------------------------------


class Tape:
    def __init__(self, seed=0):
        self.rows = []
        self.random = np.random.default_rng(seed)

    def new(self, code, first=-1, second=-1, value=0.0):
        self.rows.append((code, first, second, value))
        return Scalar(self, len(self.rows) - 1)

    def leaf(self):
        return self.new(LEAF, value=self.random.uniform(0.5, 1.5))

    def leaves(self, *shape):
        if not shape:
            return self.leaf()
        return [self.leaves(*shape[1:]) for _ in range(shape[0])]

    def columns(self):
        dtypes = np.uint8, np.int32, np.int32, np.float64
        return [np.array(column, dtype) for column, dtype in zip(zip(*self.rows), dtypes)]


class Scalar:
    def __init__(self, tape, slot):
        self.tape, self.slot = tape, slot

    def apply(self, name, *others):
        numbers = [
            x if isinstance(x, Scalar) else self.tape.new(NUMBER, value=float(x)) for x in others
        ]
        return self.tape.new(code_of[name], self.slot, *[x.slot for x in numbers])

    def __add__(self, other):
        return self if isinstance(other, int) and other == 0 else self.apply("add", other)

    __radd__ = __add__

    def __mul__(self, other):
        return self.apply("mul", other)

    __rmul__ = __mul__

    def __sub__(self, other):
        return self.apply("sub", other)

    def __truediv__(self, other):
        return self.apply("div", other)

    def __pow__(self, other):
        return self.apply("pow", other)

    def __neg__(self):
        return self * -1

    def relu(self):
        return self.apply("maximum", 0.0)

    def tanh(self):
        return self.apply("tanh")


PARTIALS = {
    "add": lambda x, y: (1, 1),
    "sub": lambda x, y: (1, -1),
    "mul": lambda x, y: (y, x),
    "div": lambda x, y: (1 / y, -x / y / y),
    "pow": lambda x, y: (y * x ** (y - 1), x**y * (math.log(x) if x > 0 else 0)),
    "maximum": lambda x, y: ((x > y) + (x == y) / 2, (y > x) + (x == y) / 2),
    "tanh": lambda x, _: (1 - math.tanh(x) ** 2,),
    "sin": lambda x, _: (math.cos(x),),
    "exp": lambda x, _: (math.exp(x),),
    "sqrt": lambda x, _: (0.5 / math.sqrt(x),),
}


def swept(columns, outputs):
    """The oracle: values of the outputs and the gradient of their sum, slot by slot."""
    code, first, second, given = columns
    values = given.tolist()
    gradients = [0.0] * len(values)
    made = np.flatnonzero(code > NUMBER).tolist()
    for i in made:
        operands = [np.float64(values[j]) for j in (first[i], second[i]) if j >= 0]
        values[i] = float(record_of(code[i]).value(*operands))
    for i in outputs:
        gradients[i] += 1.0
    for i in reversed(made):
        pair = first[i], second[i]
        partials = PARTIALS[name_of(code[i])](*[values[j] for j in pair])
        for j, partial in zip(pair, partials):
            gradients[j] += gradients[i] * partial
    return np.array(values)[outputs], np.array(gradients)


def derived(lifted):
    """The region of the outputs, and of the gradient of their sum with respect to variables."""
    sizes = lifted.variables.size, lifted.data.size
    variables, data = (placeholder(TensorType((n,), float64)) for n in sizes)

    def run():
        value, pullback = sg.vjp(lambda v: lifted(v, data), variables)
        return [value, *pullback(sg.ones_like(value))]

    return optimize(capture(run, [variables, data], list).region, check=True)


def lifted_of(tape, *outputs, **options):
    return lift_tape(*tape.columns(), np.array([y.slot for y in outputs]), **options)


def check(tape, *outputs):
    """Native code of the lifted tape computes what the tape does; returns what was lifted."""
    columns, slots = tape.columns(), [y.slot for y in outputs]
    lifted = lifted_of(tape, *outputs, always=True)
    verify(lifted.region)
    value, gradients = swept(columns, slots)
    arrays = columns[3][lifted.variables], columns[3][lifted.data]
    (forward,) = Program(optimize(lifted.region))(arrays)
    np.testing.assert_allclose(forward, value, rtol=1e-12)
    found_value, found = Program(derived(lifted))(arrays)
    np.testing.assert_allclose(found_value, value, rtol=1e-12)
    scale = np.abs(gradients).max()
    np.testing.assert_allclose(found, gradients[lifted.variables], rtol=1e-12, atol=1e-13 * scale)
    unused = np.setdiff1d(np.flatnonzero(columns[0] == LEAF), lifted.variables)
    assert not gradients[unused].any()
    return lifted


def products(lifted):
    """The matrix products in the region, by the shapes of their operands."""
    nodes = lifted.region.nodes
    found = [n for n in nodes if n.op is not None and n.op.name == "matmul"]
    return [tuple(i.type.shape for i in n.inputs) for n in found]


def gathers(lifted):
    return sum(n.op is not None and n.op.name == "gather" for n in lifted.region.nodes)


# -- programs --------------------------------------------------------------------------------------


def layer_of(tape, inputs, outputs):
    return [(tape.leaves(inputs), tape.leaf()) for _ in range(outputs)]


def apply_layer(layer, x, activation):
    return [activation(sum((w * v for w, v in zip(ws, x)), b)) for ws, b in layer]


def perceptron(samples=20, sizes=(2, 16, 16, 1), activation=Scalar.relu, seed=0):
    """micrograd's demo: a net, the hinge loss and a penalty on the parameters."""
    tape = Tape(seed)
    layers = [layer_of(tape, m, n) for m, n in zip(sizes, sizes[1:])]
    parameters = [p for layer in layers for ws, b in layer for p in (*ws, b)]
    labels = np.sign(tape.random.standard_normal(samples)).tolist()
    labels[:2] = [1.0, -1.0]
    data = tape.leaves(samples, sizes[0])
    scores = []
    for x in data:
        for layer in layers[:-1]:
            x = apply_layer(layer, x, activation)
        scores.append(apply_layer(layers[-1], x, lambda y: y)[0])
    losses = [(-label * y + 1).relu() for label, y in zip(labels, scores)]
    penalty = 1e-4 * sum(p * p for p in parameters)
    return tape, sum(losses) * (1.0 / samples) + penalty


def test_perceptron():
    tape, loss = perceptron()
    lifted = check(tape, loss)
    assert products(lifted) == [((20, 2), (2, 16)), ((20, 16), (16, 16))]
    assert len(lifted.groups) == 10
    assert gathers(lifted) == 0
    assert lifted.data.size < 3 * 20  # the labels, some numbers


def test_perceptron_with_tanh_and_other_sizes():
    lifted = check(*perceptron(7, (3, 5, 4, 2), Scalar.tanh))
    assert products(lifted) == [((7, 3), (3, 5)), ((7, 5), (5, 4))]


def test_neuron_by_neuron():
    """The outer loop goes over neurons, the inner one over samples."""
    tape = Tape()
    layers = [layer_of(tape, 3, 8), layer_of(tape, 8, 4)]
    columns = tape.leaves(6, 3)
    for layer in layers:
        rows = [[sum((w * v for w, v in zip(ws, x)), b).tanh() for x in columns] for ws, b in layer]
        columns = list(zip(*rows))
    lifted = check(tape, sum(sum(row) for row in columns))
    assert products(lifted) == [((8, 3), (3, 6)), ((4, 8), (8, 6))]
    assert gathers(lifted) == 0


def test_permuted_inputs_are_gathered_once():
    tape = Tape()
    layers = [layer_of(tape, 4, 8), layer_of(tape, 8, 8), layer_of(tape, 8, 1)]
    order = [3, 1, 6, 0, 2, 7, 5, 4]
    scores = []
    for x in tape.leaves(10, 4):
        x = apply_layer(layers[0], x, Scalar.tanh)
        x = apply_layer(layers[1], [x[i] for i in order], Scalar.tanh)
        scores += apply_layer(layers[2], x, Scalar.tanh)
    lifted = check(tape, sum(scores))
    assert len(products(lifted)) == 2
    assert gathers(lifted) == 1


def test_numbers_are_data():
    """Samples as plain numbers, each recorded anew wherever it is used."""
    tape = Tape()
    layer = layer_of(tape, 3, 5)
    samples = tape.random.integers(0, 3, (8, 3)).astype(float).tolist()  # many are equal
    scores = [y for x in samples for y in apply_layer(layer, x, Scalar.tanh)]
    lifted = check(tape, sum(scores))
    assert products(lifted) == [((8, 3), (3, 5))]
    assert lifted.data.size == 24


def test_leaves_that_are_no_variables_are_data():
    tape, loss = perceptron(5)
    columns = tape.columns()
    every = np.flatnonzero(columns[0] == LEAF)
    lifted = lifted_of(tape, loss, variables=every[:-10])  # all but the samples
    np.testing.assert_array_equal(lifted.variables, every[:-10])
    assert np.isin(every[-10:], lifted.data).all()
    arrays = columns[3][lifted.variables], columns[3][lifted.data]
    _, found = Program(derived(lifted))(arrays)
    np.testing.assert_allclose(found, swept(columns, [loss.slot])[1][every[:-10]], rtol=1e-12)


def test_convolution():
    tape = Tape()
    kernel, x, b = tape.leaves(5), tape.leaves(40), tape.leaf()
    out = [sum((k * v for k, v in zip(kernel, x[i:])), b).tanh() for i in range(36)]
    lifted = check(tape, sum(out))
    assert len(lifted.groups) == 3
    assert gathers(lifted) == 0


def test_convolution_with_channels():
    tape = Tape()
    kernels, x = tape.leaves(3, 2, 4), tape.leaves(2, 20)  # (out, in, width), (in, length)
    out = [
        sum(k * v for row, xs in zip(ks, x) for k, v in zip(row, xs[i:])).relu()
        for i in range(17)
        for ks in kernels
    ]
    lifted = check(tape, sum(out))
    assert len(products(lifted)) == 1


def test_convolution_in_the_plane():
    tape = Tape()
    kernels, x, biases = tape.leaves(2, 3, 3), tape.leaves(7, 9), tape.leaves(2)
    out = [
        sum((k[a][b] * x[i + a][j + b] for a in range(3) for b in range(3)), bias).tanh()
        for k, bias in zip(kernels, biases)
        for i in range(5)
        for j in range(7)
    ]
    lifted = check(tape, sum(out))
    assert products(lifted) == [((2, 9), (9, 35))]
    assert len(lifted.groups) == 3
    assert gathers(lifted) == 0


@pytest.mark.parametrize("sizes", [(2, 2), (3, 2), (2, 3), (6, 4)])
def test_batched_products(sizes):
    """Products of many matrices, each with its own."""
    m, n = sizes
    tape = Tape()
    a, b = tape.leaves(5, m, 3), tape.leaves(5, 3, n)
    out = [
        sum(x[i][k] * y[k][j] for k in range(3)).tanh()
        for x, y in zip(a, b)
        for i in range(m)
        for j in range(n)
    ]
    assert products(check(tape, sum(out))) == [((5, m, 3), (5, 3, n))]


def test_recurrence():
    tape = Tape()
    layer = layer_of(tape, 4 + 2, 4)
    h, steps = tape.leaves(4), 12
    for x in tape.leaves(steps, 2):
        h = apply_layer(layer, [*h, *x], Scalar.tanh)
    lifted = check(tape, sum(h))
    assert len(lifted.groups) == 2 * steps + 1
    assert gathers(lifted) == 0


def test_sums_of_all_kinds():
    tape = Tape()
    x, y = tape.leaves(30), tape.leaves(30)
    total = sum(x)
    for v in y:
        total = v.tanh() + total  # the sum stands on the right
    pairs = sum((a + b) * (a + b) for a, b in zip(x, y))
    neighbours = sum((a + b).tanh() for a, b in zip(x, x[1:]))
    backwards = sum(a * b for a, b in zip(x, reversed(y)))
    thirds = sum(x[::3])
    lifted = check(tape, total, pairs, neighbours, backwards, thirds)
    assert gathers(lifted) == 0


def test_squares_and_repeated_operands():
    tape = Tape()
    x = tape.leaf()
    ys = [x * x for _ in range(9)]
    zs = [(y + x * 3.0 + x).tanh() for y in ys]
    check(tape, *zs, sum(zs), x)


def test_equal_results_enter_a_product():
    """All neurons of the first layer are the same, and so each is computed once."""
    tape = Tape()
    (ws, b), second = layer_of(tape, 3, 1)[0], layer_of(tape, 4, 5)
    scores = []
    for x in tape.leaves(6, 3):
        h = apply_layer([(ws, b)] * 4, x, Scalar.tanh)
        scores += apply_layer(second, h, Scalar.tanh)
    lifted = check(tape, sum(scores))
    assert products(lifted) == [((6, 4), (4, 5))]


def test_powers_with_a_known_exponent():
    tape = Tape()
    x, y = tape.leaves(9), tape.leaves(9)
    lifted = check(tape, sum((a - b) ** 2 for a, b in zip(x, y)), sum(a**b for a, b in zip(x, y)))
    powers = [g for g in lifted.groups if g.name == "pow"]
    assert sorted(g.terms[1].factors[0].number or 0.0 for g in powers) == [0.0, 2.0]
    columns = tape.columns()
    assert lifted.holds(columns[3])
    columns[3][(columns[0] == NUMBER) & (columns[3] == 2.0)] = 3.0
    assert not lifted.holds(columns[3])


def test_other_numbers_need_no_other_program_unless_equal_ones_differ():
    tape, loss = perceptron(6)
    columns = tape.columns()
    lifted = lifted_of(tape, loss)
    values = columns[3].copy()
    labels = (columns[0] == NUMBER) & (np.abs(values) == 1.0)
    first = np.flatnonzero(labels)[0]
    values[columns[0] == LEAF] += 0.1
    values[first] = 5.0  # a label
    assert lifted.holds(values)
    arrays = values[lifted.variables], values[lifted.data]
    (found,) = Program(optimize(lifted.region))(arrays)
    expected, _ = swept([*columns[:3], values], [loss.slot])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    zeros = np.flatnonzero((columns[0] == NUMBER) & (columns[3] == 0.0))
    values[zeros[1]] = 1.0  # one relu of many has another threshold
    assert not lifted.holds(values)


def test_numbers_among_variables():
    tape = Tape()
    x = tape.leaves(7)
    padded = [tape.new(NUMBER, value=2.0), *x, tape.new(NUMBER, value=3.0)]
    check(tape, sum((a * b).tanh() for a, b in zip(padded, padded[1:])))


def test_outputs_of_many_kinds():
    tape = Tape()
    x = tape.leaves(5)
    ys = [v.tanh() for v in x]
    check(tape, *reversed(ys), x[3], x[3] * 2.0, tape.new(NUMBER, value=4.0))
    check(tape, *x)


def test_what_outputs_do_not_need_is_left_out():
    tape = Tape()
    x = tape.leaves(5)
    ys = [v.tanh() for v in x]
    unused = [y * z for y, z in zip(ys, tape.leaves(5))]
    assert len(unused) == 5
    lifted = check(tape, sum(ys))
    assert [g.name for g in lifted.groups] == ["tanh", "add"]
    assert lifted.variables.size == 5


# -- irregular programs ----------------------------------------------------------------------------

OPERATIONS = ["add", "sub", "mul", "div", "tanh", "sin", "exp", "maximum", "sqrt"]


def irregular(count, seed):
    tape = Tape(seed)
    nodes = tape.leaves(max(3, count // 10))
    r = tape.random
    while len(tape.rows) < count:
        name = str(r.choice(OPERATIONS))
        x, y = (nodes[int(i)] for i in r.integers(0, len(nodes), 2))
        if name in ("exp", "sqrt"):
            x = (x * 0.1).apply("sin") + 1.5
        if name == "div":
            y = y.tanh() + 2.0
        nodes.append(x.apply(name, *[y][: arity_of(code_of[name]) - 1]))
        if abs(r.normal()) < 0.3:
            nodes.append(nodes[-1].tanh())
    return tape, nodes


@pytest.mark.parametrize("seed", range(8))
def test_irregular(seed):
    tape, nodes = irregular(120, seed)
    check(tape, sum(n.tanh() for n in nodes[-20:]), nodes[-1], nodes[5])


@pytest.mark.parametrize("seed", range(3))
def test_sparse_polynomials(seed):
    tape = Tape(seed)
    r = tape.random
    x = tape.leaves(12)
    results = []
    for _ in range(15):
        terms = []
        for _ in range(8):
            i, j = r.integers(0, 12, 2)
            terms.append(tape.leaf() * x[int(i)] * x[int(j)])
        results.append(sum(terms))
    check(tape, *results)


def test_too_irregular_to_pay():
    tape, nodes = irregular(3000, 0)
    lifted = lifted_of(tape, sum(n.tanh() for n in nodes))
    assert lifted is None


def test_a_long_chain_does_not_pay():
    tape = Tape()
    x = tape.leaf()
    y = x
    for _ in range(5000):
        y = (y * x).tanh()
    assert lifted_of(tape, y) is None


def test_a_deep_tape_does_not_pay():
    tape = Tape()
    states = tape.leaves(100)
    for _ in range(300):
        states = [(x * y).tanh() for x, y in zip(states, states[1:] + states[:1])]
    assert lifted_of(tape, *states) is None


def test_operations_without_a_code_are_not_lifted():
    tape, loss = perceptron(20)
    x = tape.new(len(CODES) + FIRST_OPERATION, loss.slot)
    assert lifted_of(tape, x, always=True) is None


def test_gathering_does_not_pay():
    tape = Tape()
    x = tape.leaves(20)
    terms = [x[int(i)] * x[int(j)] for i, j in tape.random.integers(0, 20, (3000, 2))]
    assert lifted_of(tape, sum(terms)) is None


def test_regular_pays():
    assert lifted_of(*perceptron(50)) is not None


# -- index arrays ----------------------------------------------------------------------------------


def forms(seed, count):
    r = np.random.default_rng(seed)
    steps = [0, 1, 1, 2, 3, 5, -1, -3, 17, 34, 60]
    for _ in range(count):
        rank = int(r.integers(0, 5))
        sizes = tuple(int(n) for n in r.integers(2, 5, rank))
        strides = tuple(int(s) for s in r.choice(steps, rank))
        low = sum(s * (n - 1) for s, n in zip(strides, sizes) if s < 0)
        yield Affine(int(r.integers(0, 4)) - low, sizes, strides), int(r.integers(0, 6))


def test_affine_arrays_are_found_and_read():
    read = 0
    for form, spare in forms(0, 400):
        index = np.broadcast_to(form.array(), form.sizes)
        found = affine(index.reshape(-1))
        assert found is not None
        sizes = sizes_of({*found.cuts, *cuts_of(form.sizes)})
        assert sizes is not None
        again = found.over(sizes)
        np.testing.assert_array_equal(
            np.broadcast_to(again.array(), sizes).reshape(-1), index.reshape(-1)
        )
        length = int(index.max()) + 1 + spare
        if fits(again, length):
            read += 1
            seen = view(sg.arange(length), again).numpy()
            assert [n for n, s in zip(seen.shape, again.strides) if s == 0 and n != 1] == []
            np.testing.assert_array_equal(
                np.broadcast_to(seen, sizes).reshape(-1), index.reshape(-1)
            )
    assert read > 200


def test_other_arrays_have_no_form():
    for form, _ in forms(1, 200):
        index = np.broadcast_to(form.array(), form.sizes).reshape(-1).copy()
        if index.size > 3:
            index[index.size // 2] += 1
            found = affine(index)
            assert found is None or np.array_equal(
                np.broadcast_to(found.array(), found.sizes).reshape(-1), index
            )
    assert affine(np.array([0, 1, 2, 10, 11])) is None
    assert affine(np.array([0, 1, 3, 4, 6, 8])) is None
