"""Real part, imaginary part and conjugate, and the derivatives of real functions through them."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

Z = np.array([[1 + 2j, -0.5j], [3.0, complex(np.inf, np.nan)]])


@pytest.mark.parametrize("name", ["real", "imag", "conj"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float32", "int64"])
def test_as_numpy(name, dtype):
    z = Z.astype(dtype) if dtype.startswith("c") else np.arange(4.0).reshape(2, 2).astype(dtype)
    f, expected = getattr(sg, name), getattr(np, name)(z)
    for found in (f(sg.tensor(z)), sg.compile(f)(sg.tensor(z)), sg.vmap(f)(sg.tensor(z))):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def test_attributes_and_numpy_functions():
    z = sg.tensor(Z)
    np.testing.assert_array_equal(z.real.numpy(), Z.real)
    np.testing.assert_array_equal(z.imag.numpy(), Z.imag)
    np.testing.assert_array_equal(np.conj(z).numpy(), z.conj().numpy())


def test_sign_and_round_of_complex_numbers():
    z = np.array([3 - 4j, 0, 2j, -1.5 + 2.5j])
    np.testing.assert_allclose(sg.sign(z).numpy(), np.sign(z), rtol=1e-15)
    np.testing.assert_array_equal(sg.round(z).numpy(), np.round(z))


def test_no_part_is_lost_by_a_cast():
    z = sg.tensor([2j, 0])
    assert z.astype(bool).tolist() == [True, False]
    assert z.astype(sg.complex128).dtype == sg.complex128
    for dtype in ("float32", "int64"):
        with pytest.raises(errors.DTypeError, match=f"complex64 to {dtype}; take a part first"):
            z.astype(dtype)


def through_complex(x, y):
    z = x.astype(sg.complex128) * (1 + 2j) + y * 1j
    w = sg.exp(z * 0.3) * sg.conj(z) / (z - 4)
    return sg.real(w) * sg.imag(w * z) + sg.abs(w * z) * sg.abs(w).sum()


def test_derivatives_of_real_functions():
    x, y = np.array([0.3, -0.7]), np.array([1.1, 0.4])
    sg.check_grads(through_complex, (x, y), order=2)
    f = sg.grad(lambda x: through_complex(x, sg.tensor(y)).sum())
    each = sg.vmap(f)(sg.tensor(np.stack([x, x + 1])))
    np.testing.assert_allclose(each[0].numpy(), f(sg.tensor(x)).numpy(), rtol=1e-12)
    np.testing.assert_allclose(sg.compile(f)(x).numpy(), f(sg.tensor(x)).numpy(), rtol=1e-12)


def test_forward_mode_of_ones_own_operation_with_complex_results():
    class Turn(sg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1j

        @staticmethod
        def backward(ctx, g):
            return (g * 1j).real

    assert sg.jvp(Turn.apply, (2.0,), (3.0,))[1].tolist() == 3j


def test_the_derivative_of_the_absolute_value_at_zero_is_zero():
    f = sg.grad(lambda x: sg.abs(x.astype(sg.complex64)).sum())
    assert f(sg.tensor([0.0, -2.0])).tolist() == [0, -1]


def test_gradients_by_complex_numbers_are_refused():
    with pytest.raises(errors.GradientError, match="dtype complex128"):
        sg.grad(lambda z: sg.real(z).sum())(sg.tensor(Z))
