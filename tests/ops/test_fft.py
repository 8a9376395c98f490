"""Fourier transforms: as NumPy's, eager, compiled and under vmap, with derivatives."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((3, 5, 4))
COMPLEX = REAL + 1j * RNG.standard_normal(REAL.shape)
ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fftn", "ifftn", "rfftn", "irfftn"]
FROM_REAL = ("rfft", "ihfft", "rfftn")


def same_as_numpy(name, x, **options):
    f = partial(getattr(sg.fft, name), **options)
    expected = getattr(np.fft, name)(x, **options)
    tolerance = 1e-5 if x.dtype.itemsize in (4, 8) and x.dtype != np.float64 else 1e-12
    for g in (f, sg.compile(f)):
        found = g(sg.tensor(x)).numpy()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def array_for(name):
    return REAL if name in FROM_REAL else COMPLEX


@pytest.mark.parametrize("name", ONE_AXIS)
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("n", [None, 3, 6, 1])
def test_along_one_axis(name, norm, axis, n):
    same_as_numpy(name, array_for(name), n=n, axis=axis, norm=norm)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize(
    "options",
    [{}, {"axes": (0, 2)}, {"s": (2, 7), "axes": (1, 0)}, {"axes": (1,), "norm": "ortho"}],
    ids=str,
)
def test_along_several_axes(name, options):
    same_as_numpy(name, array_for(name), **options)


@pytest.mark.parametrize("name", ONE_AXIS)
def test_single_precision_stays(name):
    x = array_for(name)
    same_as_numpy(name, x.astype("float32" if x is REAL else "complex64"))


@pytest.mark.parametrize("name", ONE_AXIS + SEVERAL)
def test_derivatives(name):
    def f(x, y):
        z = x if name in FROM_REAL else x.astype(sg.complex128) + y * 1j
        w = getattr(sg.fft, name)(z)
        return sg.real(w * w) + sg.imag(w * w)

    sg.check_grads(f, (REAL[0], REAL[1]), order=2)


def test_vmap():
    f = sg.vmap(lambda x: sg.fft.rfft(x, n=6))
    np.testing.assert_allclose(f(sg.tensor(REAL)).numpy(), np.fft.rfft(REAL, n=6), atol=1e-12)


def test_frequencies_and_shifts():
    for n in (1, 4, 5):
        for name in ("fftfreq", "rfftfreq"):
            found = getattr(sg.fft, name)(n, 0.5, dtype="float64").numpy()
            np.testing.assert_array_equal(found, getattr(np.fft, name)(n, 0.5))
    for name in ("fftshift", "ifftshift"):
        for axes in (None, 1, (0, 1)):
            found = getattr(sg.fft, name)(sg.tensor(REAL), axes=axes).numpy()
            np.testing.assert_array_equal(found, getattr(np.fft, name)(REAL, axes=axes))


def test_numpy_functions_are_ours():
    x = sg.tensor(REAL, requires_grad=True)
    assert np.fft.rfft(x).requires_grad


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda: sg.fft.fft(sg.ones((2, 0))), errors.ShapeError, "without elements along axis 1"),
        (lambda: sg.fft.fft(sg.ones(3), n=0), errors.OptionError, "n=0; expected an int >= 1"),
        (lambda: sg.fft.fft(sg.ones(3), norm="both"), errors.OptionError, "norm='both'"),
        (lambda: sg.fft.hfft(sg.ones(3), norm="both"), errors.OptionError, "norm='both'"),
        (lambda: sg.fft.rfft(COMPLEX), errors.DTypeError, "expected real numbers"),
        (lambda: sg.fft.fftn(REAL, s=(2,), axes=(0, 1)), errors.ShapeError, "a length for each"),
        (lambda: sg.fft.fftfreq(4, d=0), errors.OptionError, "d=0"),
    ],
)
def test_bad_arguments(f, error, message):
    with pytest.raises(error, match=message):
        f()
