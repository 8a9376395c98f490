"""Derivatives of linear algebra: against differences, vmap against a loop, compiled against eager.

Of real and of complex matrices; a function of complex numbers is tested as one of their parts.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.ops import linalg

close = np.testing.assert_allclose


def normal(*shape, seed=0):
    # not the generator of check_grads, whose directions would then be the inputs themselves
    return np.random.default_rng(100 + seed).standard_normal(shape)


def adjoint(x):
    return sg.conj(x).mT


def positive(x):
    """A Hermitian positive definite matrix from any matrix."""
    return x @ adjoint(x) + sg.eye(x.shape[-1], dtype=x.dtype)


def hermitian(x):
    return x + adjoint(x)


def regular(x):
    """A well-conditioned matrix from any square one."""
    return x + 3 * sg.eye(x.shape[-1], dtype=x.dtype)


def reduced_svd(x):
    return linalg.svd(x, full_matrices=False)


def projectors(v):
    """v_i v_i^H of the columns, which do not depend on the phase that LAPACK chose."""
    rows = v.mT
    return rows.expand_dims(-1) * sg.conj(rows).expand_dims(-2)


def svd_projectors(f):
    return lambda x: (lambda u, s, vh: (projectors(u), s, projectors(adjoint(vh))))(*f(x))


def eig_projectors(f):
    return lambda x: (lambda w, v: (w, projectors(v)))(*f(x))


def parts(result):
    return result if isinstance(result, tuple) else (result,)


# name -> (function of tensors, shapes of the arguments); each one is smooth at random points
SMOOTH = {
    "cholesky": (lambda x: linalg.cholesky(positive(x)), [(3, 3)]),
    "cholesky upper batch": (lambda x: linalg.cholesky(positive(x), upper=True), [(2, 2, 2)]),
    "solve": (lambda a, b: linalg.solve(regular(a), b), [(3, 3), (3, 2)]),
    "solve vector": (lambda a, b: linalg.solve(regular(a), b), [(3, 3), (3,)]),
    "solve broadcast a": (lambda a, b: linalg.solve(regular(a), b), [(2, 2), (3, 2, 1)]),
    "solve broadcast b": (lambda a, b: linalg.solve(regular(a), b), [(3, 1, 2, 2), (2, 2, 1)]),
    "solve batch vector": (lambda a, b: linalg.solve(regular(a), b), [(2, 3, 3), (3,)]),
    "triangular broadcast": (
        lambda a, b: linalg.solve_triangular(regular(a), b, lower=False),
        [(2, 2), (3, 2, 1)],
    ),
    "inv": (lambda x: linalg.inv(regular(x)), [(2, 3, 3)]),
    "slogdet": (lambda x: linalg.slogdet(regular(x)), [(2, 3, 3)]),
    "det 0": (lambda x: linalg.det(x) + x.sum(), [(2, 0, 0)]),
    "det 1": (linalg.det, [(1, 1)]),
    "det 2": (linalg.det, [(2, 2, 2)]),
    "det 3": (linalg.det, [(2, 3, 3)]),
    "det 4": (lambda x: linalg.det(regular(x)), [(4, 4)]),
    "qr square": (linalg.qr, [(3, 3)]),
    "qr tall": (linalg.qr, [(4, 2)]),
    "qr wide": (linalg.qr, [(3, 4)]),
    "qr batch": (linalg.qr, [(2, 3, 2)]),
    "qr complete": (lambda x: linalg.qr(x, mode="complete"), [(2, 3)]),
    "svd square": (svd_projectors(linalg.svd), [(3, 3)]),
    "svd tall": (svd_projectors(reduced_svd), [(4, 2)]),
    "svd wide": (svd_projectors(reduced_svd), [(2, 4)]),
    "svd product": (
        lambda x: (lambda u, s, vh: (u * s.sin().expand_dims(-2)) @ vh)(*reduced_svd(x)),
        [(2, 3, 2)],
    ),
    "svdvals": (linalg.svdvals, [(2, 3, 2)]),
    "eigh": (lambda x: eig_projectors(linalg.eigh)(hermitian(x)), [(3, 3)]),
    "eigh product": (
        lambda x: (lambda w, v: (v * w.exp().expand_dims(-2)) @ adjoint(v))(
            *linalg.eigh(hermitian(x))
        ),
        [(2, 2, 2)],
    ),
    "eigvalsh": (lambda x: linalg.eigvalsh(hermitian(x)), [(2, 3, 3)]),
    "eig": (eig_projectors(linalg.eig), [(3, 3)]),
    "eig product": (
        lambda x: (lambda w, v: (v * w.exp().expand_dims(-2)) @ linalg.inv(v))(*linalg.eig(x)),
        [(2, 2, 2)],
    ),
    "eigvals": (linalg.eigvals, [(2, 3, 3)]),
    "lstsq tall": (linalg.lstsq, [(4, 2), (4, 2)]),
    "lstsq wide": (linalg.lstsq, [(2, 4), (2, 2)]),
    "lstsq vector batch": (linalg.lstsq, [(2, 3, 2), (3,)]),
    "pinv tall": (linalg.pinv, [(2, 4, 2)]),
    "pinv wide": (linalg.pinv, [(2, 4)]),
    "pinv low rank": (lambda a, b: linalg.pinv(a @ b), [(4, 2), (2, 3)]),
    "norm": (linalg.norm, [(2, 3)]),
    "matrix_norm axes": (
        lambda x: linalg.matrix_norm(x, "nuc", axis=(2, 0), keepdims=True),
        [(3, 2, 2)],
    ),
    **{
        f"matrix_norm {ord}": (lambda x, ord=ord: linalg.matrix_norm(x, ord), [(2, 3, 2)])
        for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
    "matrix_power 5": (lambda x: linalg.matrix_power(x, 5), [(2, 2)]),
    "matrix_power -2": (lambda x: linalg.matrix_power(regular(x), -2), [(2, 2)]),
    "matrix_power 0": (lambda x: linalg.matrix_power(x, 0) * x, [(2, 2)]),
    "cross": (linalg.cross, [(2, 3), (3,)]),
    "trace": (linalg.trace, [(2, 3, 3)]),
}
for lower, unit, turn in itertools.product((0, 1), repeat=3):
    SMOOTH[f"triangular {lower}{unit}{turn}"] = (
        lambda a, b, lower=lower, unit=unit, turn=turn: linalg.solve_triangular(
            regular(a), b, lower=bool(lower), unit_diagonal=bool(unit), transpose=bool(turn)
        ),
        [(3, 3), (3, 2)],
    )


def of_parts(f, complex_inputs):
    """The function from real numbers to real numbers, the parts of complex ones."""

    def real_function(*xs):
        if complex_inputs:
            xs = [x + 1j * y for x, y in zip(xs[::2], xs[1::2])]
        results = parts(f(*xs))
        split = ((y.real, y.imag) if y.dtype.kind == "c" else (y,) for y in results)
        return tuple(part for pair in split for part in pair)

    return real_function


@pytest.fixture(params=[False, True], ids=["real", "complex"])
def complex_inputs(request):
    return request.param


@pytest.fixture(params=SMOOTH.values(), ids=SMOOTH)
def smooth(request, complex_inputs):
    f, shapes = request.param
    shapes = [shape for shape in shapes for _ in range(1 + complex_inputs)]
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    return of_parts(f, complex_inputs), arrays


def test_derivatives_to_order_two_in_both_modes(smooth):
    f, arrays = smooth
    sg.check_grads(f, arrays, order=2)


def test_vmap_is_a_loop(smooth):
    f, arrays = smooth
    batches = [np.stack([a, a[..., ::-1] * 0.7 + 0.1, a - 0.2]) for a in arrays]
    for first_only in (False, True)[: len(arrays)]:
        axes = (0, *[None if first_only else 0 for _ in arrays[1:]])
        inputs = [batches[0], *(arrays[1:] if first_only else batches[1:])]
        mapped = sg.tree_map(lambda y: y.numpy(), sg.vmap(f, in_axes=axes)(*map(sg.tensor, inputs)))
        for i in range(3):
            row = f(*[sg.tensor(x if a is None else x[i]) for x, a in zip(inputs, axes)])
            for got, expected in zip(parts(mapped), parts(row)):
                close(got[i], expected, rtol=1e-9, atol=1e-10)


def test_vmap_of_the_gradient_is_a_loop(smooth):
    f, arrays = smooth
    gradient = sg.grad(lambda x, *rest: sum((y * y).sum() for y in parts(f(x, *rest))))
    batch = np.stack([arrays[0], arrays[0] * 0.8])
    rest = [sg.tensor(a) for a in arrays[1:]]
    mapped = sg.vmap(lambda x: gradient(x, *rest))(sg.tensor(batch))
    for row, x in zip(mapped, batch):
        close(row, gradient(sg.tensor(x), *rest), rtol=1e-8, atol=1e-9)


def test_compiled_is_eager_with_the_gradient(smooth):
    f, arrays = smooth
    inputs = [sg.tensor(a) for a in arrays]
    gradient = sg.grad(lambda x, *rest: sum((y * y).sum() for y in parts(f(x, *rest))))
    for function in (f, gradient):
        for got, expected in zip(parts(sg.compile(function)(*inputs)), parts(function(*inputs))):
            close(got, expected, rtol=1e-9, atol=1e-10)


# -- derivatives at special points -----------------------------------------------------------------


def test_known_gradients():
    x = sg.tensor(normal(3, 3))
    inverse = np.linalg.inv(x.numpy())
    close(sg.grad(lambda x: linalg.slogdet(x).logabsdet)(x), inverse.T, rtol=1e-9)
    close(sg.grad(linalg.det)(x), np.linalg.det(x.numpy()) * inverse.T, rtol=1e-9)
    close(sg.grad(lambda x: linalg.matrix_norm(x, "nuc"))(sg.eye(3)), np.eye(3), atol=1e-6)
    close(sg.grad(linalg.trace)(x), np.eye(3))


def test_hessian_of_the_log_determinant():
    x = sg.tensor(normal(3, 3))
    inverse = np.linalg.inv(x.numpy())
    expected = -np.einsum("li,jk->ijkl", inverse, inverse)
    close(sg.hessian(lambda x: linalg.slogdet(x).logabsdet)(x), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("f", [linalg.qr, reduced_svd, lambda x: linalg.eigh(x[:2] + x[:2].mT)])
def test_jacobians_of_operations_with_several_results(f):
    x = sg.tensor(normal(3, 2))
    for backward, forward in zip(sg.jacrev(f)(x), sg.jacfwd(f)(x)):
        close(backward, forward, rtol=1e-9, atol=1e-12)


def test_equal_singular_values_and_eigenvalues_have_finite_first_derivatives():
    eye = sg.eye(3, dtype=sg.float64)
    weights = sg.tensor([1.0, 2.0, 3.0], dtype=sg.float64)
    close(sg.grad(lambda x: linalg.svdvals(x).sum())(eye), np.eye(3), atol=1e-12)
    close(sg.grad(lambda x: linalg.eigvalsh(x).sum())(eye), np.eye(3), atol=1e-12)
    sg.check_grads(linalg.pinv, (eye + 0.0,), order=2)
    with np.errstate(invalid="ignore"):
        lost = sg.grad(lambda x: (linalg.eigh(x).eigenvectors @ weights).sum())(eye)
    assert not np.isfinite(lost.numpy()).all()


def test_equal_eigenvalues_have_finite_first_derivatives():
    eye = sg.eye(3, dtype=sg.float64)
    close(sg.grad(lambda x: linalg.eigvals(x).real.sum())(eye), np.eye(3), atol=1e-12)
    with np.errstate(invalid="ignore"):
        lost = sg.grad(lambda x: linalg.eig(x).eigenvectors[0].abs().sum())(eye)
    assert not np.isfinite(lost.numpy()).all()


def test_eigenvalues_of_an_oscillator():
    """Those of [[0, 1], [-k, 0]] are +-1j * sqrt(k)."""

    def f(k):
        rows = sg.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=k.dtype)
        return linalg.eigvals(rows.at[1, 0].set(-k)).imag.max()

    k = sg.tensor(4.0, dtype=sg.float64)
    for expected in [2, 1 / 4, -1 / 32, 3 / 256]:
        close(f(k), expected, rtol=1e-12)
        f = sg.grad(f)


def test_eigenvectors_keep_their_length():
    def lengths(x, y):
        return linalg.eig(x + 1j * y).eigenvectors.abs().square().sum(axis=-2)

    for block in sg.jacrev(lengths, argnums=(0, 1))(normal(3, 3), normal(3, 3, seed=1)):
        close(block, np.zeros((3, 3, 3)), atol=1e-13)


def test_determinants_of_singular_matrices_have_derivatives_up_to_3():
    sg.check_grads(linalg.det, (np.ones((2, 2)),), order=2)
    sg.check_grads(linalg.det, (np.ones((3, 3)),), order=2)
    x = sg.tensor(np.ones((4, 4)), requires_grad=True)
    y = linalg.det(x)
    assert y.item() == 0
    with pytest.raises(sg.errors.MatrixError, match="solve, inv: .* singular"):
        y.backward()


def test_gradients_of_functions_of_symmetric_matrices_are_symmetric():
    x = positive(sg.tensor(normal(3, 3)))
    for f in (linalg.cholesky, linalg.eigvalsh, lambda x: linalg.eigh(x)[1] ** 2):
        g = sg.grad(lambda x, f=f: (f(x) * normal(3, 3)).sum())(x).numpy()
        assert abs(g[0, 1]) > 1e-3
        close(g, g.T, rtol=1e-12, atol=1e-14)


def test_matrix_rank_has_no_gradient():
    assert not linalg.matrix_rank(sg.eye(2).requires_grad_()).requires_grad


def test_gradient_through_the_stiffness_of_springs():
    """The compliance 1/2 f . K(d)^-1 f of two springs in a row, by hand: -f**2 / (2 d**2)."""

    def compliance(d):
        stiffness = sg.stack([sg.stack([d[0] + d[1], -d[1]]), sg.stack([-d[1], d[1]])])
        force = sg.tensor([0.0, 3.0])
        return 0.5 * (force * linalg.solve(stiffness, force)).sum()

    close(sg.grad(compliance)(sg.tensor([1.0, 2.0])), [-4.5, -1.125], rtol=1e-5)
