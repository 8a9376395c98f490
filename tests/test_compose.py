"""Transformations of transformations: every order gives the same numbers."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

X = sg.tensor(np.array([0.3, -0.7, 1.1]))
V = sg.tensor(np.array([1.0, 2.0, -1.0]))


def f(x):
    return (x.sin() * x[::-1].exp()).sum() + x.prod()


COMPILED = sg.compile(lambda p: (p["x"] * 2, {"x": p["x"] * 3}))


def dense_hessian():
    h = 1e-5
    rows = [(sg.grad(f)(X + h * e) - sg.grad(f)(X - h * e)) / (2 * h) for e in sg.eye(3)]
    return np.stack([r.numpy() for r in rows])


SECOND = {
    "jacfwd of jacrev": lambda: sg.jacfwd(sg.jacrev(f))(X),
    "jacrev of jacfwd": lambda: sg.jacrev(sg.jacfwd(f))(X),
    "jacrev of jacrev": lambda: sg.jacrev(sg.jacrev(f))(X),
    "jacfwd of jacfwd": lambda: sg.jacfwd(sg.jacfwd(f))(X),
    "jacrev of grad": lambda: sg.jacrev(sg.grad(f))(X),
    "hessian": lambda: sg.hessian(f)(X),
    "vmap of hvp": lambda: sg.vmap(lambda v: sg.hvp(f, (X,), (v,))[0])(sg.eye(3, dtype="float64")),
    "grad of sum of grad": lambda: sg.stack(
        [sg.grad(lambda x, e=e: (sg.grad(f)(x) * e).sum())(X) for e in sg.eye(3, dtype="float64")]
    ),
    "jvp of grad": lambda: sg.stack(
        [sg.jvp(sg.grad(f), (X,), (e,))[1] for e in sg.eye(3, dtype="float64")]
    ),
    "grad of jvp": lambda: sg.stack(
        [sg.grad(lambda x, e=e: sg.jvp(f, (x,), (e,))[1])(X) for e in sg.eye(3, dtype="float64")]
    ),
}


@pytest.mark.parametrize("way", SECOND)
def test_second_derivative(way):
    np.testing.assert_allclose(SECOND[way]().numpy(), dense_hessian(), rtol=1e-6, atol=1e-8)


def test_backward_of_a_gradient():
    x = sg.tensor(X.numpy(), requires_grad=True)
    (sg.grad(f)(x) * V).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), dense_hessian() @ V.numpy(), rtol=1e-6)


def test_third_derivative():
    third = sg.jacfwd(sg.hessian(lambda x: (x**4).sum()))(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X.numpy()
    np.testing.assert_allclose(third.numpy(), expected, rtol=1e-12)


def test_perturbation_confusion():
    """d/dx (x * d/dy (x + y)) = 1, not 2; and with forward mode inside reverse and so on."""

    def derivative_forward(g):
        return lambda t: sg.jvp(g, (t,), (sg.ones_like(t),))[1]

    for outer in (sg.grad, derivative_forward):
        for inner in (sg.grad, derivative_forward):
            h = outer(lambda x, inner=inner: x * inner(lambda y: x + y)(sg.tensor(1.0)))
            assert h(sg.tensor(1.0)).item() == 1.0
            h = outer(lambda x, inner=inner: x * inner(lambda y: x * y)(sg.tensor(3.0)))
            assert h(sg.tensor(2.0)).item() == 4.0


def test_vmap_of_vmap():
    a, b = sg.tensor(np.arange(6.0).reshape(2, 3)), sg.tensor(np.arange(4.0))
    table = sg.vmap(sg.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_array_equal(table(a[:, 0], b).numpy(), np.outer(a.numpy()[:, 0], b.numpy()))


def test_grad_of_vmap_and_vmap_of_grad():
    xs = sg.tensor(np.linspace(-1, 1, 6).reshape(2, 3))
    each = sg.vmap(sg.grad(f))(xs)
    total = sg.grad(lambda t: sg.vmap(f)(t).sum())(xs)
    loop = np.stack([sg.grad(f)(x).numpy() for x in xs])
    np.testing.assert_allclose(each.numpy(), loop, rtol=1e-12)
    np.testing.assert_allclose(total.numpy(), loop, rtol=1e-12)


def test_backward_inside_vmap():
    w = sg.tensor(np.array([2.0, 3.0]), requires_grad=True)

    def per_example(x):
        y = (x * w).sum()
        return sg.grad(lambda t: (t * w).sum() ** 2)(x) + y

    sg.vmap(per_example)(sg.ones((4, 2), dtype="float64")).sum().backward()
    loop = sg.tensor(w.numpy(), requires_grad=True)
    out = (2 * (loop.sum()) * loop + loop.sum()).sum() * 4
    out.backward()
    np.testing.assert_allclose(w.grad.numpy(), loop.grad.numpy())


def test_vmap_axes_and_trees():
    xs = {"a": sg.tensor(np.arange(6.0).reshape(3, 2)), "b": sg.tensor(np.arange(3.0))}
    out = sg.vmap(lambda t: {"s": t["a"] + t["b"], "p": t["b"] * 2}, out_axes={"s": 1, "p": 0})(xs)
    assert out["s"].shape == (2, 3) and out["p"].tolist() == [0, 2, 4]
    moved = sg.vmap(lambda x: x, in_axes=1)(xs["a"])
    assert moved.shape == (2, 3)
    named = sg.vmap(lambda t: t["a"].sum(), in_axes=({"a": 0, "b": None},))(xs)
    assert named.tolist() == [1, 5, 9]


def test_vmap_of_random_draws_differ():
    sg.random.seed(0)
    drawn = sg.vmap(lambda x: x * 0 + sg.random.normal(3))(sg.zeros((5, 3)))
    assert len(set(drawn.flatten().tolist())) == 15


def test_vmap_keeps_no_grad_and_detach():
    w = sg.tensor(np.array(2.0), requires_grad=True)

    def g(x):
        with sg.no_grad():
            frozen = x * w
        return x * w + frozen + (x * w).detach()

    sg.vmap(g)(sg.ones(3, dtype="float64")).sum().backward()
    assert w.grad.item() == 3


class Double(sg.Function):
    """Its backward is deliberately not the derivative, so that it is seen to be used."""

    @staticmethod
    def forward(ctx, x):
        return np.asarray(x) * 2

    @staticmethod
    def backward(ctx, g):
        return g * 100


def test_custom_function_under_vmap_and_grad():
    xs = sg.tensor(np.arange(3.0))
    assert sg.vmap(Double.apply)(xs).tolist() == [0, 2, 4]
    assert sg.vmap(sg.grad(Double.apply))(xs).tolist() == [100] * 3
    assert sg.grad(lambda t: sg.vmap(Double.apply)(t).sum())(xs).tolist() == [100] * 3


def test_vjp_and_jvp_of_trees():
    def g(p, q):
        return {"s": p["x"] * q, "t": [q.sum()]}

    p, q = {"x": sg.tensor(np.array([1.0, 2.0]))}, sg.tensor(np.array([3.0, 4.0]))
    out, pullback = sg.vjp(g, p, q)
    gp, gq = pullback({"s": sg.ones(2, dtype="float64"), "t": [sg.tensor(np.float64(10))]})
    assert gp["x"].tolist() == [3, 4] and gq.tolist() == [11, 12]
    assert out["t"][0].item() == 7
    _, tangent = sg.jvp(g, (p, q), ({"x": q}, q))
    assert tangent["s"].tolist() == [3 * 3 + 1 * 3, 4 * 4 + 2 * 4]


def test_jacobian_with_respect_to_several_arguments_and_trees():
    def g(a, b):
        return {"y": a * b["k"], "n": b["k"].sum()}

    a, b = sg.tensor([1.0, 2.0]), {"k": sg.tensor([3.0, 4.0])}
    for jac in (sg.jacrev, sg.jacfwd):
        j = jac(g, argnums=(0, 1))(a, b)
        assert j["y"][0].tolist() == [[3, 0], [0, 4]]
        assert j["y"][1]["k"].tolist() == [[1, 0], [0, 2]]
        assert j["n"][0].tolist() == [0, 0] and j["n"][1]["k"].tolist() == [1, 1]


def test_unused_argument_has_zero_gradient():
    assert sg.grad(lambda x, y: y, argnums=0)(sg.ones(2), sg.tensor(1.0)).tolist() == [0, 0]
    assert sg.grad(lambda x: sg.tensor(1.0))(2.0).item() == 0
    assert sg.jvp(lambda x: sg.ones(2), (1.0,), (1.0,))[1].tolist() == [0, 0]


def test_aux_goes_around_every_transformation():
    def g(x):
        return x**2, {"x": x + 1}

    x, v = sg.tensor([1.0, 2.0]), sg.tensor([1.0, 10.0])
    y, pullback, aux = sg.vjp(g, x, has_aux=True)
    assert (y.tolist(), pullback(v)[0].tolist(), aux["x"].tolist()) == ([1, 4], [2, 40], [2, 3])
    y, tangent, aux = sg.jvp(g, (x,), (v,), has_aux=True)
    assert (y.tolist(), tangent.tolist(), aux["x"].tolist()) == ([1, 4], [2, 40], [2, 3])
    for jac in (sg.jacrev, sg.jacfwd):
        j, aux = jac(g, has_aux=True)(x)
        assert (j.tolist(), aux["x"].tolist()) == ([[2, 0], [0, 4]], [2, 3])
    for h in (sg.hessian, lambda g, has_aux: sg.compile(sg.hessian(g, has_aux=has_aux))):
        hessian, aux = h(lambda x: ((x**3).sum(), x + 1), has_aux=True)(x)
        assert (hessian.tolist(), aux.tolist()) == ([[6, 0], [0, 12]], [2, 3])
        assert not aux.requires_grad
    with pytest.raises(errors.UsageError, match="jvp: the function returned a Tensor"):
        sg.jvp(lambda x: x, (x,), (v,), has_aux=True)


def test_vmap_of_arguments_by_keyword_and_of_none():
    x = sg.tensor([1.0, 2.0])
    assert sg.vmap(lambda x, *, k: x * k["a"], in_axes=(None,))(x, k={"a": x}).shape == (2, 2)
    assert sg.vmap(lambda: sg.ones(2), axis_size=3)().shape == (3, 2)
    assert sg.vmap(lambda x: x, in_axes=None, axis_size=3)(x).shape == (3, 2)
    with pytest.raises(errors.ShapeError, match="and axis_size=3"):
        sg.vmap(lambda x: x, axis_size=3)(x)


def test_gradients_that_do_not_exist_are_refused():
    x = sg.tensor([1.0, 2.0])
    for f in (lambda x: x.argmax(), lambda x: (x > 1).any()):
        with pytest.raises(errors.GradientError, match="returned a tensor of dtype (int64|bool)"):
            sg.grad(f)(x)
    with pytest.raises(errors.UsageError, match=r"argnums=\(0, -2\), which names .* twice"):
        sg.grad(lambda a, b: (a * b).sum(), argnums=(0, -2))(x, x)


def test_has_aux():
    (value, aux), g = sg.value_and_grad(lambda x: (x * x, {"x": x + 1}), has_aux=True)(3.0)
    assert (value.item(), aux["x"].item(), g.item()) == (9, 4, 6)
    assert not aux["x"].requires_grad


@pytest.mark.parametrize(
    "g",
    [
        *SECOND.values(),
        lambda: sg.vmap(sg.grad(f))(sg.stack([X, V])),
        lambda: sg.vjp(f, X)[1](sg.tensor(1.0)),
        lambda: COMPILED({"x": X}),
        lambda: COMPILED(OrderedDict(x=X)),
    ],
)
def test_memory_is_free_at_once(g, garbage_of):
    assert garbage_of(g) == 0
