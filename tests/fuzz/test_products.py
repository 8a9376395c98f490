"""Random graphs in which products and elementwise code share operands: compiled against eager."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

import slotgrad as sg

# of matrices a and b (n, n), a value q for each row (n, 1), a row c (n,) and weights w (n, n)
MATRICES = [
    lambda a, b, q, c, w: a * 0.5 + b,
    lambda a, b, q, c, w: sg.tanh(a) * b,
    lambda a, b, q, c, w: a * q + c,
    lambda a, b, q, c, w: sg.where(a > q, b, c),
    lambda a, b, q, c, w: a @ w * 0.3,
    lambda a, b, q, c, w: a + a @ b.mT * 0.1,
    lambda a, b, q, c, w: b + a @ a * 0.1,
    lambda a, b, q, c, w: a.mT * 0.5,
    lambda a, b, q, c, w: sg.nn.functional.softmax(a, axis=-1) + b * 0.1,
    lambda a, b, q, c, w: a - sg.logsumexp(b, axis=1, keepdims=True),
]
ONE_FOR_EACH_ROW = [
    lambda a, b, q, c, w: a.sum(axis=1, keepdims=True) * 0.2,
    lambda a, b, q, c, w: sg.exp(-q * q),
    lambda a, b, q, c, w: (q * q + 0.5) ** -1.5,
    lambda a, b, q, c, w: sg.sqrt(q * q + 1) + a.max(axis=1, keepdims=True) * 0.1,
]
ROWS = [lambda a, b, q, c, w: a.mean(axis=0) + c * 0.5]
STEPS = [(kind, f) for kind, made in enumerate((MATRICES, ONE_FOR_EACH_ROW, ROWS)) for f in made]

_places = st.integers(0, 2**16)
graphs = st.lists(st.tuples(st.sampled_from(STEPS), _places, _places), min_size=4, max_size=22)


def value(graph, x, w, v):
    made = [x], [v[:, None]], [v]
    for (kind, f), i, j in graph:
        a, b = made[0][i % len(made[0])], made[0][j % len(made[0])]
        q, c = made[1][i % len(made[1])], made[2][j % len(made[2])]
        made[kind].append(f(a, b, q, c, w))
    matrices, numbers, rows = made
    return sum(
        [(a * a).mean() for a in matrices[-3:]]
        + [sg.sin(q).mean() for q in numbers[-2:]]
        + [c.mean() for c in rows[-2:]]
    )


@settings(max_examples=80, deadline=None)
@given(graphs, st.sampled_from([2, 3, 5, 8, 9, 17, 33]))
def test_compiled_graph_agrees_with_eager(graph, n):
    rng = np.random.default_rng(n)
    arrays = [sg.tensor(rng.normal(size=shape)) for shape in ((n, n), (n, n), (n,))]
    f = sg.value_and_grad(lambda *xs: value(graph, *xs), argnums=(0, 1, 2))
    for found, expected in zip(
        sg.tree.flatten(sg.compile(f)(*arrays))[0], sg.tree.flatten(f(*arrays))[0]
    ):
        scale = 1 + np.abs(expected.numpy()).max()
        np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-9, 1e-10 * scale)
