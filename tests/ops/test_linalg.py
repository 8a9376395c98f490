"""Linear algebra: values against NumPy, derivatives against differences, vmap against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.graph.node import TensorType
from slotgrad.ops import linalg
from slotgrad.ops.reference import k

close = np.testing.assert_allclose


def normal(*shape, seed=0):
    # not the generator of check_grads, whose directions would then be the inputs themselves
    return np.random.default_rng(100 + seed).standard_normal(shape)


def spd(x):
    """A symmetric positive definite matrix from any matrix."""
    return x @ x.mT + sg.eye(x.shape[-1], dtype=x.dtype)


def symmetric(x):
    return x + x.mT


def regular(x):
    """A well-conditioned matrix from any square one."""
    return x + 3 * sg.eye(x.shape[-1], dtype=x.dtype)


def triangle(x, lower):
    return np.tril(x) if lower else np.triu(x)


def reduced_svd(x):
    return linalg.svd(x, full_matrices=False)


def signless(f):
    """Squares of the vectors, which do not depend on the sign that LAPACK chose."""
    return lambda x: tuple(part * part for part in f(x))


# name -> (function of tensors, shapes of the arguments); each one is smooth at random points
SMOOTH = {
    "cholesky": (lambda x: linalg.cholesky(spd(x)), [(3, 3)]),
    "cholesky upper batch": (lambda x: linalg.cholesky(spd(x), upper=True), [(2, 2, 2)]),
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
    "slogdet": (lambda x: linalg.slogdet(regular(x)).logabsdet, [(2, 3, 3)]),
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
    "svd square": (signless(linalg.svd), [(3, 3)]),
    "svd tall": (signless(reduced_svd), [(4, 2)]),
    "svd wide": (signless(reduced_svd), [(2, 4)]),
    "svd product": (
        lambda x: (lambda u, s, vh: (u * s.sin().expand_dims(-2)) @ vh)(*reduced_svd(x)),
        [(2, 3, 2)],
    ),
    "svdvals": (linalg.svdvals, [(2, 3, 2)]),
    "eigh": (lambda x: signless(linalg.eigh)(symmetric(x)), [(3, 3)]),
    "eigh product": (
        lambda x: (lambda w, v: (v * w.exp().expand_dims(-2)) @ v.mT)(*linalg.eigh(symmetric(x))),
        [(2, 2, 2)],
    ),
    "eigvalsh": (lambda x: linalg.eigvalsh(symmetric(x)), [(2, 3, 3)]),
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
_OPTIONS = [(lower, unit, turn) for lower in (0, 1) for unit in (0, 1) for turn in (0, 1)]
for lower, unit, turn in _OPTIONS:
    SMOOTH[f"triangular {lower}{unit}{turn}"] = (
        lambda a, b, lower=lower, unit=unit, turn=turn: linalg.solve_triangular(
            regular(a), b, lower=bool(lower), unit_diagonal=bool(unit), transpose=bool(turn)
        ),
        [(3, 3), (3, 2)],
    )


@pytest.fixture(params=SMOOTH.values(), ids=SMOOTH)
def smooth(request):
    f, shapes = request.param
    return f, [normal(*shape, seed=i) for i, shape in enumerate(shapes)]


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


def parts(result):
    return result if isinstance(result, tuple) else (result,)


# -- values --------------------------------------------------------------------------------------

SAME_AS_NUMPY = {
    "cholesky": lambda la, x: la.cholesky(x @ np.swapaxes(x, -1, -2)),
    "solve": lambda la, x: la.solve(x, x[..., :2]),
    "inv": lambda la, x: la.inv(x),
    "det": lambda la, x: la.det(x),
    "slogdet": lambda la, x: la.slogdet(x),
    "qr": lambda la, x: la.qr(x),
    "qr tall": lambda la, x: la.qr(x[..., :2]),
    "qr wide": lambda la, x: la.qr(x[..., :2, :]),
    "qr complete": lambda la, x: la.qr(x[..., :2], mode="complete"),
    "svd": lambda la, x: la.svd(x[..., :2], full_matrices=False),
    "svd full": lambda la, x: la.svd(x[..., :2], full_matrices=True),
    "svdvals": lambda la, x: la.svdvals(x),
    "eigh": lambda la, x: la.eigh(x),
    "eigvalsh": lambda la, x: la.eigvalsh(x),
    "pinv": lambda la, x: la.pinv(x[..., :2]),
    "pinv wide": lambda la, x: la.pinv(x[..., :2, :]),
    "pinv rtol": lambda la, x: la.pinv(x, rtol=0.5),
    "matrix_rank": lambda la, x: la.matrix_rank(x[..., :2] @ x[..., :2, :]),
    "matrix_power 3": lambda la, x: la.matrix_power(x, 3),
    "matrix_power -1": lambda la, x: la.matrix_power(x, -1),
    "matrix_power 0": lambda la, x: la.matrix_power(x, 0),
    "cross": lambda la, x: la.cross(x[..., :3], x[..., :1, :3]),
    "trace": lambda la, x: la.trace(x, offset=1),
    "diagonal": lambda la, x: la.diagonal(x, offset=-1),
    "matrix_transpose": lambda la, x: la.matrix_transpose(x),
    "matmul": lambda la, x: la.matmul(x, x),
    "vecdot": lambda la, x: la.vecdot(x, x),
    "vector_norm": lambda la, x: la.vector_norm(x, axis=-1, ord=3),
    **{
        f"matrix_norm {ord}": lambda la, x, ord=ord: la.matrix_norm(x, ord=ord, keepdims=True)
        for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
}


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (0, 4, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("call", SAME_AS_NUMPY.values(), ids=SAME_AS_NUMPY)
def test_the_value_is_that_of_numpy(call, dtype, shape):
    x = normal(*shape).astype(dtype)
    tolerance = {"float64": 1e-10, "float32": 2e-3}[dtype]
    for got, expected in zip(parts(call(linalg, x)), parts(call(np.linalg, x))):
        assert got.shape == np.shape(expected) and got.dtype == np.asarray(expected).dtype
        close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 70])
def test_triangular_substitution_in_blocks(n):
    a, b = normal(2, n, n) / (n + 1) + 2 * np.eye(n), normal(n, 3)
    for lower, unit, turn in _OPTIONS:
        full = triangle(a, lower)
        if unit:
            full = full - full * np.eye(n) + np.eye(n)
        expected = np.linalg.solve(np.swapaxes(full, -1, -2) if turn else full, b)
        got = linalg.solve_triangular(
            a, b, lower=bool(lower), unit_diagonal=bool(unit), transpose=bool(turn)
        )
        close(got, expected, rtol=1e-12, atol=1e-12)


def test_substitution_does_not_read_the_other_triangle():
    a = np.array([[2.0, np.nan], [1.0, 4.0]])
    close(linalg.solve_triangular(a, np.array([2.0, 9.0])), [1, 2])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)], ids=str)
def test_lstsq_is_that_of_numpy(shape):
    a, b = normal(*shape), normal(shape[0], 2)
    close(linalg.lstsq(a, b), np.linalg.lstsq(a, b)[0], rtol=1e-10)
    close(linalg.lstsq(a, b[:, 0]), np.linalg.lstsq(a, b[:, 0])[0], rtol=1e-10)


def test_a_right_hand_side_is_a_vector_only_if_it_has_one_axis():
    a = normal(2, 3, 3)
    assert linalg.solve(a, np.ones(3)).shape == (2, 3)
    assert linalg.solve(a, np.ones((3, 2))).shape == (2, 3, 2)
    with pytest.raises(sg.errors.ShapeError):
        linalg.solve(a, np.ones((2, 3)))


def test_integers_become_float32():
    assert linalg.inv([[2, 0], [0, 4]]).tolist() == [[0.5, 0], [0, 0.25]]
    assert linalg.det([[1, 2], [3, 4]]).dtype == sg.float32
    assert linalg.cross([1, 0, 0], [0, 1, 0]).tolist() == [0, 0, 1]


def test_empty_batches_have_empty_gradients():
    x = np.zeros((0, 2, 2))
    for f in (linalg.inv, linalg.det, linalg.svdvals, linalg.pinv, linalg.eigvalsh):
        assert sg.grad(lambda x, f=f: f(x).sum())(x).shape == (0, 2, 2)
    for f in (linalg.qr, linalg.svd, linalg.eigh):
        assert sg.grad(lambda x, f=f: f(x)[1].sum())(x).shape == (0, 2, 2)
    assert linalg.lstsq(np.zeros((0, 3, 2)), np.ones(3)).shape == (0, 2)


def test_named_results():
    x = sg.tensor([[2.0, 1.0], [1.0, 3.0]])
    sign, logabsdet = linalg.slogdet(x)
    assert (sign * logabsdet.exp()).item() == pytest.approx(5)
    f = linalg.svd(x)
    close((f.U * f.S) @ f.Vh, x, rtol=1e-5)
    e = linalg.eigh(x)
    close((e.eigenvectors * e.eigenvalues) @ e.eigenvectors.mT, x, rtol=1e-5)
    q = linalg.qr(x)
    close(q.Q @ q.R, x, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("cholesky", {}),
        ("slogdet", {}),
        ("qr", {"mode": "complete"}),
        ("svd", {"full_matrices": True, "vectors": True}),
        ("svd", {"full_matrices": False, "vectors": False}),
        ("eigh", {"vectors": True}),
        ("eigh", {"vectors": False}),
    ],
    ids=str,
)
def test_records_have_types_and_kernels_that_fit_the_value(name, attrs):
    op = sg.ops.declare.RECORDS[name]
    x = normal(2, 3, 2) if name in ("qr", "svd") else spd(sg.tensor(normal(2, 3, 3))).numpy()
    values = op.value(x, **attrs)
    types = op.type(TensorType(x.shape, x.dtype), **attrs)
    if name == "cholesky":
        values, types, kernel = (values,), (types,), (op.kernel(k, x),)
    else:
        kernel = op.kernel(k, x, **attrs)
    assert type(types) is tuple and len(values) == len(types) == len(kernel)
    for value, expected, from_kernel in zip(values, types, kernel):
        assert (value.shape, value.dtype) == tuple(expected)
        close(from_kernel, value)


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


def test_determinants_of_singular_matrices_have_derivatives_up_to_3():
    sg.check_grads(linalg.det, (np.ones((2, 2)),), order=2)
    sg.check_grads(linalg.det, (np.ones((3, 3)),), order=2)
    x = sg.tensor(np.ones((4, 4)), requires_grad=True)
    y = linalg.det(x)
    assert y.item() == 0
    with pytest.raises(sg.errors.MatrixError, match="solve, inv: .* singular"):
        y.backward()


def test_gradients_of_functions_of_symmetric_matrices_are_symmetric():
    x = spd(sg.tensor(normal(3, 3)))
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


# -- bad input -------------------------------------------------------------------------------------

E = sg.errors
BAD = {
    "cholesky indefinite": (
        lambda: linalg.cholesky([[1.0, 2.0], [2.0, 1.0]]),
        E.MatrixError,
        r"cholesky: got shape \(2, 2\) with a matrix that is not positive definite",
    ),
    "solve singular": (
        lambda: linalg.solve(np.ones((2, 2)), np.ones(2)),
        E.MatrixError,
        r"solve, inv: got shape \(2, 2\) and \(2, 1\) with a singular matrix",
    ),
    "one singular of a batch": (
        lambda: linalg.inv(np.stack([np.eye(2), np.ones((2, 2))])),
        E.MatrixError,
        "singular",
    ),
    "triangular singular": (
        lambda: linalg.solve_triangular(np.diag([1.0, 0.0]), np.ones(2)),
        E.MatrixError,
        "solve_triangular: .* zero on the diagonal",
    ),
    "solve rows": (
        lambda: linalg.solve(np.eye(3), np.ones(2)),
        E.ShapeError,
        r"solve: got \(3, 3\) and a right-hand side of shape \(2,\); expected \(3,\) or",
    ),
    "solve scalar": (lambda: linalg.solve(np.eye(2), 1.0), E.ShapeError, "right-hand side"),
    "solve batches": (
        lambda: linalg.solve(np.stack([np.eye(2)] * 3), np.ones((2, 2, 1))),
        E.ShapeError,
        r"solve: cannot broadcast \(3,\) and \(2,\)",
    ),
    "lstsq rows": (lambda: linalg.lstsq(np.ones((3, 2)), np.ones(2)), E.ShapeError, "lstsq: got"),
    "lstsq rank tall": (
        lambda: linalg.lstsq(np.ones((3, 2)), np.ones(3)),
        E.MatrixError,
        r"lstsq: got shape \(3, 2\) with linearly dependent rows or columns; expected full rank 2",
    ),
    "lstsq rank wide": (
        lambda: linalg.lstsq(np.zeros((2, 3)), np.ones(2)),
        E.MatrixError,
        "expected full rank 2, use",
    ),
    "svd nan": (
        lambda: linalg.svd(np.full((2, 2), np.nan)),
        E.MatrixError,
        "svd: got .* without convergence; expected finite numbers",
    ),
    "half": (
        lambda: linalg.inv(sg.ones((2, 2), dtype="float16")),
        E.DTypeError,
        "inv: got dtype float16; expected float32 or float64",
    ),
    "complex": (lambda: linalg.det(np.ones((2, 2), complex)), E.DTypeError, "det: got dtype"),
    "qr mode": (lambda: linalg.qr(np.eye(2), mode="raw"), E.OptionError, "qr: got mode 'raw'"),
    "norm ord": (lambda: linalg.matrix_norm(np.eye(2), ord=3), E.OptionError, "got ord=3; expect"),
    "norm axes": (
        lambda: linalg.matrix_norm(np.eye(2), axis=(0, -2)),
        E.ShapeError,
        "two different axes",
    ),
    "norm axis": (lambda: linalg.matrix_norm(np.eye(2), axis=(0, 2)), E.BoundsError, "axis 2"),
    "power": (lambda: linalg.matrix_power(np.eye(2), 0.5), E.OptionError, "got exponent 0.5"),
    "cross": (lambda: linalg.cross(np.ones(3), np.ones(2)), E.ShapeError, "expected size 3"),
    "rtol": (lambda: linalg.pinv(np.eye(2), rtol=math.nan), E.OptionError, "got rtol=nan"),
    "rank rtol": (lambda: linalg.matrix_rank(np.eye(2), rtol=-1), E.OptionError, "got rtol=-1"),
    "qr completed": (
        lambda: sg.grad(lambda x: linalg.qr(x, mode="complete").R.sum())(np.ones((3, 1))),
        E.GradientError,
        "qr: mode 'complete' .* no derivative",
    ),
    "svd completed": (
        lambda: sg.grad(lambda x: linalg.svd(x, full_matrices=True).S.sum())(np.ones((3, 1))),
        E.GradientError,
        "svd: full_matrices=True .* no derivative",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


SQUARE = ["cholesky", "inv", "det", "slogdet", "eigh", "eigvalsh"]


@pytest.mark.parametrize("name", SQUARE)
def test_only_square_matrices(name):
    with pytest.raises(E.ShapeError, match=rf"{name}: got shape \(2, 3\); expected square"):
        getattr(linalg, name)(np.ones((2, 3)))


@pytest.mark.parametrize("name", [*SQUARE, "qr", "svd", "svdvals", "pinv", "matrix_norm"])
def test_only_matrices(name):
    with pytest.raises(E.ShapeError, match=rf"{name}: got shape \(3,\); expected a matrix"):
        getattr(linalg, name)(np.ones(3))


def test_lstsq_of_dependent_columns_under_vmap():
    """There is no value to look at while recording: an exact zero is still found."""
    with pytest.raises(E.MatrixError, match="zero on the diagonal"):
        sg.vmap(linalg.lstsq)(np.zeros((2, 3, 2)), np.ones((2, 3)))
