"""The names and arguments of the Python Array API standard 2025.12, in `sg` and on tensors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors

OF_ONE = """
    abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag
    isfinite isinf isnan log log10 log1p log2 logical_not matrix_transpose negative nonzero
    positive real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc unique_all
    unique_counts unique_inverse unique_values
"""
OF_TWO = """
    add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign
    divide equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and
    logical_or logical_xor matmul maximum minimum multiply nextafter not_equal pow remainder
    subtract
"""
OTHERS = """
    __array_namespace_info__()
    all(x, /, *, axis=None, keepdims=False)
    any(x, /, *, axis=None, keepdims=False)
    arange(start, /, stop=None, step=1, *, dtype=None, device=None)
    argmax(x, /, *, axis=None, keepdims=False)
    argmin(x, /, *, axis=None, keepdims=False)
    argsort(x, /, *, axis=-1, descending=False, stable=True)
    asarray(obj, /, *, dtype=None, device=None, copy=None)
    astype(x, dtype, /, *, copy=True, device=None)
    broadcast_arrays(*arrays)
    broadcast_shapes(*shapes)
    broadcast_to(x, /, shape)
    can_cast(from_, to, /)
    clip(x, /, min=None, max=None)
    concat(arrays, /, *, axis=0)
    count_nonzero(x, /, *, axis=None, keepdims=False)
    cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
    cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
    diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
    empty(shape, *, dtype=None, device=None)
    empty_like(x, /, *, dtype=None, device=None)
    expand_dims(x, /, axis)
    eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
    finfo(type, /)
    flip(x, /, *, axis=None)
    from_dlpack(x, /, *, device=None, copy=None)
    full(shape, fill_value, *, dtype=None, device=None)
    full_like(x, /, fill_value, *, dtype=None, device=None)
    iinfo(type, /)
    isdtype(dtype, kind)
    isin(x1, x2, /, *, invert=False)
    linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
    max(x, /, *, axis=None, keepdims=False)
    mean(x, /, *, axis=None, keepdims=False)
    meshgrid(*arrays, indexing='xy')
    min(x, /, *, axis=None, keepdims=False)
    moveaxis(x, source, destination, /)
    ones(shape, *, dtype=None, device=None)
    ones_like(x, /, *, dtype=None, device=None)
    permute_dims(x, /, axes)
    prod(x, /, *, axis=None, dtype=None, keepdims=False)
    repeat(x, repeats, /, *, axis=None)
    reshape(x, /, shape, *, copy=None)
    result_type(*arrays_and_dtypes)
    roll(x, /, shift, *, axis=None)
    searchsorted(x1, x2, /, *, side='left', sorter=None)
    sort(x, /, *, axis=-1, descending=False, stable=True)
    squeeze(x, /, axis)
    stack(arrays, /, *, axis=0)
    std(x, /, *, axis=None, correction=0.0, keepdims=False)
    sum(x, /, *, axis=None, dtype=None, keepdims=False)
    take(x, indices, /, *, axis=None)
    take_along_axis(x, indices, /, *, axis=-1)
    tensordot(x1, x2, /, *, axes=2)
    tile(x, repetitions, /)
    tril(x, /, *, k=0)
    triu(x, /, *, k=0)
    unstack(x, /, *, axis=0)
    var(x, /, *, axis=None, correction=0.0, keepdims=False)
    vecdot(x1, x2, /, *, axis=-1)
    where(condition, x1, x2, /)
    zeros(shape, *, dtype=None, device=None)
    zeros_like(x, /, *, dtype=None, device=None)
"""
LINALG_OF_ONE = """
    det eig eigh eigvals eigvalsh inv slogdet svdvals
"""
LINALG = """
    cholesky(x, /, *, upper=False)
    cross(x1, x2, /, *, axis=-1)
    diagonal(x, /, *, offset=0)
    matrix_norm(x, /, *, keepdims=False, ord='fro')
    matrix_power(x, n, /)
    matrix_rank(x, /, *, rtol=None)
    outer(x1, x2, /)
    pinv(x, /, *, rtol=None)
    qr(x, /, *, mode='reduced')
    solve(x1, x2, /)
    svd(x, /, *, full_matrices=True)
    trace(x, /, *, offset=0, dtype=None)
    vector_norm(x, /, *, axis=None, keepdims=False, ord=2)
"""
VALUES = """
    bool complex128 complex64 e float32 float64 inf int16 int32 int64 int8 nan newaxis pi uint16
    uint32 uint64 uint8
"""
ATTRIBUTES = """
    T device dtype mT ndim shape size to_device __abs__ __add__ __and__ __array_namespace__ __bool__
    __complex__ __dlpack__ __dlpack_device__ __eq__ __float__ __floordiv__ __ge__ __getitem__
    __gt__ __iadd__ __iand__ __ifloordiv__ __ilshift__ __imatmul__ __imod__ __imul__ __index__
    __int__ __invert__ __ior__ __ipow__ __irshift__ __isub__ __iter__ __itruediv__ __ixor__ __le__
    __len__ __lshift__ __lt__ __matmul__ __mod__ __mul__ __ne__ __neg__ __or__ __pos__ __pow__
    __radd__ __rand__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__ __rmul__ __ror__ __rpow__
    __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __setitem__ __sub__ __truediv__ __xor__
"""
ALIASES = """
    absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh concatenate conjugate invert
    left_shift power ravel right_shift
"""


def standard():
    """(our function, its signature in the standard)"""
    for of_one, others, module in ((OF_ONE, OTHERS, sg), (LINALG_OF_ONE, LINALG, sg.linalg)):
        texts = [f"{name}(x, /)" for name in of_one.split()]
        texts += [line.strip() for line in others.split("\n") if line.strip()]
        texts += [f"{name}(x1, x2, /)" for name in OF_TWO.split() if module is sg]
        for text in texts:
            made = {}
            exec(f"def {text}: ...", made)
            name = text.partition("(")[0]
            yield pytest.param(getattr(module, name), inspect.signature(made[name]), id=name)


@pytest.mark.parametrize("ours, wanted", list(standard()))
def test_function_takes_the_arguments_of_the_standard(ours, wanted):
    found = list(inspect.signature(ours).parameters.values())
    by_name = {p.name: p for p in found if p.kind != p.POSITIONAL_ONLY}
    for place, p in enumerate(wanted.parameters.values()):
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            assert found[place].kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            assert p.default in (p.empty, found[place].default)
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD):
            assert p.default in (p.empty, by_name[p.name].default)
        if p.kind == p.VAR_POSITIONAL:
            assert found[place].kind == p.VAR_POSITIONAL


def test_values_aliases_and_attributes_are_there():
    for name in (VALUES + ALIASES).split():
        assert hasattr(sg, name), name
    for name in ATTRIBUTES.split():
        assert hasattr(sg.Tensor, name), name


def test_a_tensor_knows_its_namespace():
    x = sg.ones(2)
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2025.12") is sg
    with pytest.raises(errors.OptionError, match="at most '2025.12'"):
        x.__array_namespace__(api_version="2031.12")


def test_the_namespace_tells_about_itself():
    info = sg.__array_namespace_info__()
    assert info.default_device() == sg.ones(1).device == info.devices()[0]
    assert info.default_dtypes()["integral"] == sg.arange(3).dtype
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    assert len(info.dtypes()) == 13 and info.capabilities()["boolean indexing"]


MAKERS = {
    "arange": lambda **o: sg.arange(3, **o),
    "asarray": lambda **o: sg.asarray([1.0], **o),
    "astype": lambda **o: sg.astype(sg.ones(2), sg.int8, **o),
    "empty": lambda **o: sg.empty(2, **o),
    "empty_like": lambda **o: sg.empty_like(sg.ones(2), **o),
    "eye": lambda **o: sg.eye(2, **o),
    "from_dlpack": lambda **o: sg.from_dlpack(np.ones(2), **o),
    "full": lambda **o: sg.full(2, 1.0, **o),
    "full_like": lambda **o: sg.full_like(sg.ones(2), 1.0, **o),
    "linspace": lambda **o: sg.linspace(0, 1, 3, **o),
    "ones": lambda **o: sg.ones(2, **o),
    "ones_like": lambda **o: sg.ones_like(sg.ones(2), **o),
    "zeros": lambda **o: sg.zeros(2, **o),
    "zeros_like": lambda **o: sg.zeros_like(sg.ones(2), **o),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_only_device_is_the_cpu(name):
    assert MAKERS[name](device="cpu").device == "cpu"
    with pytest.raises(errors.OptionError, match=f"{name}: got device='cuda'; expected 'cpu'"):
        MAKERS[name](device="cuda")
