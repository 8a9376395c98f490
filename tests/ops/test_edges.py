"""Binary operations at the edges of every dtype: as NumPy, and compiled as eager."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import dtypes, errors
from slotgrad.ops.declare import promote

WHOLE = ["bool", "int8", "int32", "int64", "uint8", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
OPERATIONS = {  # name -> NumPy's function
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "pow": np.power,
    "maximum": np.maximum, "minimum": np.minimum, "atan2": np.arctan2, "hypot": np.hypot,
    "logaddexp": np.logaddexp, "copysign": np.copysign, "nextafter": np.nextafter,
    "equal": np.equal, "less": np.less, "less_equal": np.less_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "not_equal": np.not_equal,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


def edges(name):
    dtype = dtypes.as_dtype(name)
    if name == "bool":
        return np.array([False, True])
    if dtype in dtypes.integral:
        info = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, 7, info.min, info.max] + [-1, -3, -7] * (info.min < 0), dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan]
    return np.array([*special, 1, -1, 0.5, -2.5, 3, -7, 1e-4], dtype)


def pairs(name, a, b):
    x, y = (part.ravel() for part in np.meshgrid(edges(a), edges(b)))
    whole = {*dtypes.integral, dtypes.bool_}
    if name == "pow" and {x.dtype, y.dtype} <= whole:
        y = (np.abs(y) % 9).astype(y.dtype)  # negative ones are refused
    return x, y


def same(found, expected, signs=True):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if found.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
        return
    tolerance = {"float64": 1e-13, "float32": 1e-5}.get(found.dtype.name, 1e-2)
    found, expected = found.astype(float), expected.astype(float)
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    zero = expected == 0
    if signs:
        np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


def taken(name, a, b):
    try:
        return getattr(sg, name)(sg.tensor(edges(a)[:1]), sg.tensor(edges(b)[:1])).dtype
    except errors.DTypeError:
        return None


ALIKE = [(a, a) for a in WHOLE + FLOATS]
MIXED = [
    ("bool", "int8"), ("int8", "uint8"), ("uint8", "int64"), ("int32", "float16"),
    ("uint64", "float32"), ("float16", "bfloat16"), ("bfloat16", "float32"), ("float64", "float16"),
]  # fmt: skip


@np.errstate(all="ignore")
@pytest.mark.parametrize("a, b", ALIKE + MIXED)
def test_eager_is_numpy_and_compiled_is_eager(a, b):
    names = [name for name in OPERATIONS if taken(name, a, b) is not None]
    inputs = [tuple(map(sg.tensor, pairs(name, a, b))) for name in names]

    def f(inputs):
        return [getattr(sg, name)(x, y) for name, (x, y) in zip(names, inputs)]

    for name, (x, y), eager, compiled in zip(names, inputs, f(inputs), sg.compile(f)(inputs)):
        signs = name not in ("maximum", "minimum")  # of 0.0 and -0.0 either may be the larger
        same(compiled.numpy(), eager.numpy(), signs)
        if a == b != "bfloat16":
            x, y = x.numpy(), y.numpy()
            if a in WHOLE and eager.dtype == dtypes.default_float:
                x, y = x.astype("float32"), y.astype("float32")
            same(eager.numpy(), OPERATIONS[name](x, y), signs)


def test_mixtures_without_a_common_dtype_are_refused():
    for name in ("add", "less", "bitwise_and"):
        assert taken(name, "uint64", "int8") is None and taken(name, "bool", "uint8") is not None


def test_the_square_root_as_a_power():
    x = sg.tensor(np.array([-0.0, -np.inf, 4.0, -1.0], np.float32))
    for found in (
        x**0.5,
        sg.compile(lambda x: x**0.5)(x),
        sg.compile(lambda x, n: x**n)(x, 0.5),
    ):
        np.testing.assert_array_equal(found.numpy(), np.array([0.0, np.inf, 2.0, np.nan], "f"))
        assert not np.signbit(found.numpy()[0])


def test_python_ints_must_fit():
    x = sg.tensor(np.array([1, 2], np.int8))
    f = sg.compile(lambda x, n: x + n)
    assert f(x, 3).tolist() == (x + 3).tolist() == [4, 5]
    for n in (300, -129, 2**63, 2**70):
        for add in (lambda x, n: x + n, f):
            with pytest.raises(errors.DTypeError, match=f"{n}.* does not fit int"):
                add(x, n)
    assert f(x, 4).tolist() == [5, 6]
    with pytest.raises(errors.DTypeError, match="does not fit float64"):
        f(10**400, 1)


@pytest.mark.parametrize("name", ["float64", "complex128"])
def test_python_numbers_keep_the_signs_of_their_zeros(name):
    numbers = [0, 0.0, -0.0] + [complex(-1, 0.0), complex(-1, -0.0)] * (name == "complex128")
    one = sg.ones((), dtype=name)
    for number in numbers * 2:  # in the second round they are known already
        found, _ = promote(number, one)
        assert str(found.numpy()) == str(np.array(number, name))


@np.errstate(all="ignore")
def test_complex_infinities_times_one():
    z = sg.tensor(np.array([complex(np.inf, 1), complex(2, np.nan)]))
    for f in (lambda z: z * 1, lambda z: 1 * z, lambda z: z / 1):
        np.testing.assert_array_equal(sg.compile(f)(z).numpy(), f(z).numpy())


def test_results_without_elements():
    z = sg.tensor(np.zeros((0, 3), np.complex64))
    assert sg.compile(lambda z: sg.prod(z, axis=1))(z).shape == (0,)


def test_derivatives_of_powers_where_the_base_or_exponent_is_zero():
    def hessian(x, y):
        return sg.hessian(lambda p: p[0] ** p[1])(sg.tensor(np.array([x, y]))).tolist()

    assert hessian(0.0, 2.0) == [[2, 0], [0, 0]] and hessian(0.0, 3.0) == [[0, 0], [0, 0]]
    assert hessian(2.0, 0.0) == [[0, 0.5], [0.5, np.log(2) ** 2]]
    assert hessian(1.0, 0.0) == [[0, 1], [1, 0]]
