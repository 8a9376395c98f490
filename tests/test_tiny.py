"""The whole library in a few seconds: one small test for each thing it does."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg


def test_tape():
    x = sg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_every_derivative_of_a_cube():
    f = lambda x: x**3  # noqa: E731
    third = sg.grad(sg.grad(sg.grad(f)))
    assert (sg.grad(f)(2.0).item(), third(2.0).item()) == (12, 6)


def test_both_modes_agree():
    f = lambda x: sg.tanh(x @ x.mT).sum(axis=0)  # noqa: E731
    x = sg.tensor(np.linspace(-1, 1, 6).reshape(2, 3))
    assert np.allclose(sg.jacrev(f)(x), sg.jacfwd(f)(x))


def test_hessian_of_a_quadratic_form():
    a = sg.tensor([[2.0, 1.0], [1.0, 4.0]])
    assert sg.hessian(lambda x: 0.5 * x @ a @ x)(sg.ones(2)).tolist() == a.tolist()


def test_vmap_of_grad():
    xs = sg.tensor([1.0, 2.0, 3.0])
    assert sg.vmap(sg.grad(lambda x: x * x))(xs).tolist() == [2, 4, 6]


def test_tree_arguments():
    loss = lambda p: (p["w"] * 3 + p["b"][0]).sum()  # noqa: E731
    g = sg.grad(loss)({"w": sg.ones(2), "b": [sg.tensor(1.0)]})
    assert g["w"].tolist() == [3, 3] and g["b"][0].item() == 2


def test_custom_operation():
    @sg.op
    def cube(x):
        return np.power(x, 3)

    @cube.backward
    def _(g, out, x):
        return 3 * x * x * g

    assert sg.grad(cube)(2.0).item() == 12
    sg.check_grads(cube, (np.array([0.5, 2.0]),), order=2)


def test_indexing_and_broadcasting():
    x = sg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    (x[:, [0, 0, 2]] * x[0]).sum().backward()
    assert x.grad.tolist() == [[4, 3, 9], [1, 0, 2]]


def test_linear_algebra():
    a = sg.tensor([[4.0, 1.0], [1.0, 3.0]])
    assert np.allclose(sg.linalg.solve(a, sg.ones(2)) @ a, 1)
    assert np.allclose(sg.grad(lambda m: sg.linalg.slogdet(m)[1])(a), np.linalg.inv(a.numpy()).T)


def test_random_numbers_are_reproducible():
    sg.random.seed(3)
    first = sg.random.normal(5).tolist()
    sg.random.seed(3)
    assert sg.random.normal(5).tolist() == first


def test_model_learns():
    sg.random.seed(0)
    x = sg.random.normal((64, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype("int64")
    model = sg.nn.Sequential(sg.nn.Linear(2, 16), sg.nn.Tanh(), sg.nn.Linear(16, 2))
    opt = sg.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        loss = sg.nn.functional.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert (model(x).argmax(axis=1) == y).astype("float32").mean().item() > 0.95


def test_save_and_load(tmp_path):
    sg.save({"a": sg.arange(3), "b": [sg.ones(1)]}, tmp_path / "x.safetensors")
    assert sg.load(tmp_path / "x.safetensors")["a"].tolist() == [0, 1, 2]


def test_errors_teach():
    with pytest.raises(ValueError, match="transpose one operand"):
        sg.ones((2, 3)) @ sg.ones((2, 3))
