"""Promotion: the table of the Array API standard, and what it leaves open."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import dtypes
from slotgrad.errors import DTypeError

STANDARD = [  # (a, b, common), from the standard's type promotion tables
    ("int8", "int16", "int16"),
    ("uint8", "int8", "int16"),
    ("uint16", "int32", "int32"),
    ("uint32", "int8", "int64"),
    ("float32", "float64", "float64"),
    ("complex64", "float64", "complex128"),
    ("float32", "complex64", "complex64"),
]
OURS = [
    ("bool", "int8", "int8"),
    ("int64", "float16", "float16"),
    ("uint64", "float32", "float32"),
    ("bfloat16", "float16", "float32"),
    ("bfloat16", "float32", "float32"),
]


@pytest.mark.parametrize(("a", "b", "common"), STANDARD + OURS)
def test_common_dtype(a, b, common):
    for x, y in ((a, b), (b, a)):
        assert sg.result_type(x, y).name == common
    xs = sg.ones(2, dtype=a), sg.ones(2, dtype=b)
    assert (xs[0] + xs[1]).dtype.name == common


def test_promotion_is_commutative_and_associative():
    names = ["bool", "int8", "int32", "uint8", "float16", "bfloat16", "float32", "float64"]
    for a, b in itertools.product(names, repeat=2):
        assert sg.result_type(a, b) == sg.result_type(b, a)
        assert sg.result_type(a, a) == dtypes.as_dtype(a)


def test_no_integer_holds_both():
    with pytest.raises(DTypeError, match="cast one"):
        sg.result_type("uint64", "int64")


def test_python_numbers_are_weak():
    assert sg.result_type("int8", 3) == sg.int8
    assert sg.result_type("int8", 3.0) == sg.float32
    assert sg.result_type("float64", 1j) == sg.complex128
    assert sg.result_type(1, 2.0) == sg.float32
    assert sg.result_type("bool", True) == sg.bool_


def test_names_and_kinds():
    assert sg.tensor([1], dtype=float).dtype == sg.float32
    assert sg.isdtype(sg.bfloat16, "real floating") and not sg.isdtype(sg.int8, "bool")
    assert sg.isdtype(sg.uint8, ("bool", "unsigned integer"))
    assert sg.can_cast("int8", "float32") and not sg.can_cast("float32", "int64")
    assert sg.finfo(sg.bfloat16).bits == 16 and sg.iinfo("int8").max == 127
    with pytest.raises(DTypeError, match="unknown dtype 'float31'"):
        sg.zeros(1, dtype="float31")


def test_defaults():
    assert sg.tensor([1.0]).dtype == sg.float32 and sg.tensor([1]).dtype == sg.int64
    assert sg.tensor([True]).dtype == sg.bool_ and sg.tensor([1j]).dtype == sg.complex64
    assert sg.tensor(np.array([1.0])).dtype == sg.float64
    assert sg.tensor([np.float64(1)]).dtype == sg.float64
