"""Linear algebra: values against NumPy, dtypes and shapes, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import ShapeError
from slotgrad.graph.node import TensorType
from slotgrad.ops import linalg
from slotgrad.ops.reference import k

close = np.testing.assert_allclose


SQUARE = ["cholesky", "inv", "det", "slogdet", "eigh", "eigvalsh", "eig", "eigvals"]
OF_ANY_SHAPE = ["qr", "svd", "svdvals", "pinv", "matrix_norm"]


def numbers(*shape, dtype="float64"):
    """Random numbers, of which complex ones have both parts."""
    rng = np.random.default_rng(100)
    x, y = rng.standard_normal((2, *shape))
    return (x + 1j * y if np.dtype(dtype).kind == "c" else x).astype(dtype)


def triangle(x, lower):
    return np.tril(x) if lower else np.triu(x)


def parts(result):
    return result if isinstance(result, tuple) else (result,)


SAME_AS_NUMPY = {
    "cholesky": lambda la, x: la.cholesky(x @ np.swapaxes(x.conj(), -1, -2)),
    "cholesky upper": lambda la, x: la.cholesky(x @ np.swapaxes(x.conj(), -1, -2), upper=True),
    "solve": lambda la, x: la.solve(x, x[..., :2]),
    "solve with real": lambda la, x: la.solve(x, x[..., :2].real),
    "inv": lambda la, x: la.inv(x),
    **{f"det {n}": lambda la, x, n=n: la.det(x[..., :n, :n]) for n in (1, 2, 3, 4)},
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
    "norm": lambda la, x: la.norm(x),
    "norm of rows": lambda la, x: la.norm(x, 3, axis=-1, keepdims=True),
    **{
        f"norm {ord}": lambda la, x, ord=ord: la.norm(x, ord, axis=(-1, -2), keepdims=True)
        for ord in (None, "fro", "nuc", 1, -2, math.inf)
    },
    **{
        f"matrix_norm {ord}": lambda la, x, ord=ord: la.matrix_norm(x, ord=ord, keepdims=True)
        for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
}


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, 2, -2, math.inf])
def test_a_matrix_has_the_norm_of_numpy(ord):
    x = numbers(3, 4)
    close(linalg.norm(x, ord).numpy(), np.linalg.norm(x, ord))
    close(linalg.norm([3, 4]).numpy(), 5)
    with pytest.raises(ShapeError, match="vector_norm"):
        linalg.norm(numbers(2, 3, 4), 1)


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (0, 4, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
@pytest.mark.parametrize("call", SAME_AS_NUMPY.values(), ids=SAME_AS_NUMPY)
def test_the_value_is_that_of_numpy(call, dtype, shape):
    x = numbers(*shape, dtype=dtype)
    tolerance = 1e-10 if dtype in ("float64", "complex128") else 2e-3
    for got, expected in zip(parts(call(linalg, x)), parts(call(np.linalg, x))):
        assert got.shape == np.shape(expected) and got.dtype == np.asarray(expected).dtype
        close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 70])
def test_triangular_substitution_in_blocks(n):
    a, b = numbers(2, n, n) / (n + 1) + 2 * np.eye(n), numbers(n, 3)
    for lower, unit, turn in itertools.product((0, 1), repeat=3):
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


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)], ids=str)
def test_lstsq_is_that_of_numpy(shape, dtype):
    a, b = numbers(*shape, dtype=dtype), numbers(shape[0], 2, dtype=dtype)
    close(linalg.lstsq(a, b), np.linalg.lstsq(a, b)[0], rtol=1e-10)
    close(linalg.lstsq(a, b[:, 0]), np.linalg.lstsq(a, b[:, 0])[0], rtol=1e-10)


def test_a_right_hand_side_is_a_vector_only_if_it_has_one_axis():
    a = numbers(2, 3, 3)
    assert linalg.solve(a, np.ones(3)).shape == (2, 3)
    assert linalg.solve(a, np.ones((3, 2))).shape == (2, 3, 2)
    with pytest.raises(sg.errors.ShapeError):
        linalg.solve(a, np.ones((2, 3)))


def test_integers_become_float32():
    assert linalg.inv([[2, 0], [0, 4]]).tolist() == [[0.5, 0], [0, 0.25]]
    assert linalg.det([[1, 2], [3, 4]]).dtype == sg.float32
    assert linalg.cross([1, 0, 0], [0, 1, 0]).tolist() == [0, 0, 1]


WITHOUT_ELEMENTS = {
    **{name: (lambda la, x, name=name: getattr(la, name)(x)) for name in (*SQUARE, *OF_ANY_SHAPE)},
    "solve": lambda la, x: la.solve(x, x[..., :0]),
    "matrix_rank": lambda la, x: la.matrix_rank(x),
    "nuclear norm": lambda la, x: la.matrix_norm(x, ord="nuc"),
    "matrix_power": lambda la, x: la.matrix_power(x, -2),
}


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("call", WITHOUT_ELEMENTS.values(), ids=WITHOUT_ELEMENTS)
def test_matrices_without_elements(call, dtype, shape):
    x = np.zeros(shape, dtype)
    for got, expected in zip(parts(call(linalg, x)), parts(call(np.linalg, x))):
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "complex64"])
def test_eigenvectors_have_length_one_and_are_scaled_by_the_matrix(dtype):
    x = numbers(2, 5, 4, 4, dtype=dtype)
    w, v = linalg.eig(x)
    assert w.dtype == v.dtype == np.result_type(dtype, np.complex64)
    tolerance = 1e-12 if w.dtype == np.complex128 else 1e-5
    close(x @ v.numpy(), (v * w.expand_dims(-2)).numpy(), rtol=tolerance, atol=tolerance)
    close(linalg.vector_norm(v, axis=-2), np.ones((2, 5, 4)), rtol=tolerance)
    np.testing.assert_array_equal(w.numpy(), np.linalg.eig(x).eigenvalues)


def test_eigenvalues_are_complex_where_all_have_no_imaginary_part():
    w, v = linalg.eig([[1, 2], [0, 4]])
    assert w.dtype == v.dtype == linalg.eigvals([[1, 2], [0, 4]]).dtype == sg.complex64
    assert linalg.eigvals(np.diag([1.0, 2.0])).dtype == sg.complex128


def test_eigvals_has_the_order_of_eig():
    x = numbers(200, 200)  # large enough for LAPACK to go another way without vectors
    np.testing.assert_array_equal(linalg.eigvals(x).numpy(), linalg.eig(x).eigenvalues.numpy())


def test_rtol_for_each_matrix():
    x = np.stack([np.diag([4.0, 2.0, 1.0])] * 3)
    rtol = np.array([0.1, 0.3, 0.6])
    assert linalg.matrix_rank(x, rtol=rtol).tolist() == [3, 2, 1]
    close(linalg.pinv(x, rtol=sg.tensor(rtol)), np.linalg.pinv(x, rcond=rtol), rtol=1e-12)


def test_empty_batches_have_empty_gradients():
    x = np.zeros((0, 2, 2))
    for f in (linalg.inv, linalg.det, linalg.svdvals, linalg.pinv, linalg.eigvalsh):
        assert sg.grad(lambda x, f=f: f(x).sum())(x).shape == (0, 2, 2)
    for f in (linalg.qr, linalg.svd, linalg.eigh, linalg.eig):
        assert sg.grad(lambda x, f=f: f(x)[1].real.sum())(x).shape == (0, 2, 2)
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
    e = linalg.eig(x)
    close((e.eigenvectors * e.eigenvalues) @ linalg.inv(e.eigenvectors), x, rtol=1e-5)


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
        ("eig", {"vectors": True}),
        ("eig", {"vectors": False}),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_records_have_types_and_kernels_that_fit_the_value(name, attrs, dtype):
    op = sg.ops.declare.RECORDS[name]
    x = numbers(2, 3, 2 if name in ("qr", "svd") else 3, dtype=dtype)
    x = x @ np.swapaxes(x.conj(), -1, -2) if name == "cholesky" else x
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
    "half": (
        lambda: linalg.inv(sg.ones((2, 2), dtype="float16")),
        E.DTypeError,
        "inv: got dtype float16; expected float32, float64, complex64 or complex128",
    ),
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


@pytest.mark.parametrize(
    ("name", "number"),
    [("svd", np.nan), ("svdvals", np.nan), ("eig", np.nan), ("eig", np.inf), ("eigvals", np.inf)],
)
def test_only_finite_numbers(name, number):
    with pytest.raises(E.MatrixError, match=r": got .* convergence; expected finite numbers, look"):
        getattr(linalg, name)(np.full((2, 2), number))


@pytest.mark.parametrize("name", SQUARE)
def test_only_square_matrices(name):
    with pytest.raises(E.ShapeError, match=rf"{name}: got shape \(2, 3\); expected square"):
        getattr(linalg, name)(np.ones((2, 3)))


@pytest.mark.parametrize("name", [*SQUARE, *OF_ANY_SHAPE])
def test_only_matrices(name):
    with pytest.raises(E.ShapeError, match=rf"{name}: got shape \(3,\); expected a matrix"):
        getattr(linalg, name)(np.ones(3))


def test_lstsq_of_dependent_columns_under_vmap():
    """There is no value to look at while recording: an exact zero is still found."""
    with pytest.raises(E.MatrixError, match="zero on the diagonal"):
        sg.vmap(linalg.lstsq)(np.zeros((2, 3, 2)), np.ones((2, 3)))
