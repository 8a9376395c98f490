"""The dtypes, and the rule that finds the common one.  May import NumPy and errors.

Promotion follows the Python Array API standard.  Where the standard leaves it open, the
kind decides and never widens: an integer tensor with a float tensor has the float tensor's
dtype.  Python numbers are weak: they take the dtype of the tensor they meet.

>>> result_type(int64, float32), result_type(float16, 2), result_type(int32, 0.5)
(dtype('float32'), dtype('float16'), dtype('float32'))
"""

from typing import Any

import ml_dtypes
import numpy as np

from .errors import DTypeError

bool_ = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))
bfloat16 = np.dtype(ml_dtypes.bfloat16)
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")

_KINDS = {
    "bool": (bool_,),
    "integer": (int8, int16, int32, int64, uint8, uint16, uint32, uint64),
    "floating": (float16, bfloat16, float32, float64),
    "complex": (complex64, complex128),
}
_RANK = {dtype: rank for rank, dtypes in enumerate(_KINDS.values()) for dtype in dtypes}
NAMED = {dtype.name: dtype for dtype in _RANK}

integral = frozenset(_KINDS["integer"])
floating = frozenset(_KINDS["floating"])
inexact = floating | frozenset(_KINDS["complex"])

default_float, default_int, default_complex = float32, int64, complex64
_OF_SCALAR = {bool: bool_, int: default_int, float: default_float, complex: default_complex}
Scalar = bool | int | float | complex


def as_dtype(dtype: Any) -> np.dtype:
    """The dtype named by a string, a NumPy dtype or a Python type.

    >>> as_dtype("bfloat16"), as_dtype(float), as_dtype(np.int8)
    (dtype(bfloat16), dtype('float32'), dtype('int8'))
    """
    if isinstance(dtype, str) and dtype in NAMED:
        return NAMED[dtype]
    if isinstance(dtype, type) and dtype in _OF_SCALAR:
        return _OF_SCALAR[dtype]
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found not in _RANK:
        raise DTypeError(f"unknown dtype {dtype!r}; expected one of {', '.join(NAMED)}")
    return found


def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest dtype that both take part in an operation with."""
    if a is b or a == b:
        return a
    low, high = sorted((a, b), key=_RANK.__getitem__)
    if _RANK[low] == _RANK[high]:
        if bfloat16 in (low, high):  # NumPy does not know how bfloat16 widens
            other = high if low == bfloat16 else low
            return float32 if other == float16 else other
        common = np.promote_types(low, high)
        if common in inexact and low in integral:
            raise DTypeError(
                f"no integer dtype holds both {a} and {b}; cast one of them with astype"
            )
        return common
    if high == complex64 and low == float64:
        return complex128
    return high


def real_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of complex numbers; that of real numbers itself."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def way_to_real(dtype: np.dtype) -> str:
    """What to do with numbers that have no gradients."""
    if dtype.kind == "c":
        return "compute with x + 1j * y and differentiate with respect to x and y"
    return "convert it with x.astype(sg.float32)"


def result_type(*args: Any) -> np.dtype:
    """The dtype in which an operation on these dtypes, tensors and Python numbers is done."""
    strong: np.dtype | None = None
    weak: list[type] = []
    whole = False  # whether there is an int that was computed
    for x in args:
        if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
            weak.append(type(x))
            continue
        node = getattr(x, "node", None)
        kind = getattr(node, "weak", None)  # a captured Python number
        whole = whole or (kind is int and getattr(node, "op", None) is not None)
        if kind is not None:
            weak.append(kind)
            continue
        dtype = as_dtype(getattr(x, "dtype", x))
        strong = dtype if strong is None else promote_types(strong, dtype)
    if whole and strong in integral:  # whether it fits a shorter dtype is not known
        strong = promote_types(strong, default_int)
    for kind in weak:
        dtype = _OF_SCALAR[kind]
        if strong is None or _RANK[dtype] > _RANK[strong]:
            strong = complex128 if strong == float64 and dtype == complex64 else dtype
    if strong is None:
        raise DTypeError("result_type: got no argument; expected a dtype, tensor or number")
    return strong


def can_cast(source: Any, target: Any) -> bool:
    """Whether promotion leads from `source` to `target` without loss of kind."""
    source, target = as_dtype(getattr(source, "dtype", source)), as_dtype(target)
    try:
        return promote_types(source, target) == target
    except DTypeError:
        return False


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether `dtype` is of a kind of the Array API standard, or one of a tuple of them.

    >>> isdtype(int32, "integral"), isdtype(bfloat16, ("complex floating", "real floating"))
    (True, True)
    """
    dtype = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    match kind:
        case "bool":
            return dtype == bool_
        case "signed integer":
            return dtype in integral and dtype.kind == "i"
        case "unsigned integer":
            return dtype in integral and dtype.kind == "u"
        case "integral":
            return dtype in integral
        case "real floating":
            return dtype in floating
        case "complex floating":
            return dtype in inexact - floating
        case "numeric":
            return dtype != bool_
    return dtype == as_dtype(kind)


def finfo(dtype: Any) -> Any:
    """Machine limits of a floating dtype, or of a tensor's."""
    dtype = as_dtype(getattr(dtype, "dtype", dtype))
    if dtype not in inexact:
        raise DTypeError(f"finfo: got dtype {dtype}; expected a floating-point dtype, or use iinfo")
    return ml_dtypes.finfo(dtype)


def iinfo(dtype: Any) -> Any:
    """Machine limits of an integer dtype, or of a tensor's."""
    dtype = as_dtype(getattr(dtype, "dtype", dtype))
    if dtype not in integral:
        raise DTypeError(f"iinfo: got dtype {dtype}; expected an integer dtype, or use finfo")
    return np.iinfo(dtype)
