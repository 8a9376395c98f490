"""slotgrad: automatic differentiation and deep learning on one graph.

>>> import slotgrad as sg
>>> x = sg.tensor([1.0, 2.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

import importlib as _importlib
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING, Any as _Any

if _TYPE_CHECKING:
    from .scalar import (
        ReferenceVariable as ReferenceVariable,
        ValueStorage as ValueStorage,
        Variable as Variable,
    )

from . import data as data, errors as errors, nn as nn, optim as optim, viz as viz
from .autodiff.backward import backward as _backward
from .autodiff.batch import vmap as vmap
from .autodiff.check import check_grads as check_grads
from .autodiff.custom import (
    Function as Function,
    op as op,
)
from .autodiff.transforms import (
    grad as grad,
    hessian as hessian,
    hvp as hvp,
    jacfwd as jacfwd,
    jacrev as jacrev,
    jvp as jvp,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from .compile import compile as compile
from .config import (
    enable_grad as enable_grad,
    get_num_threads as get_num_threads,
    is_grad_enabled as is_grad_enabled,
    no_grad as no_grad,
    set_num_threads as set_num_threads,
)
from .dtypes import (
    bfloat16 as bfloat16,
    bool_ as bool_,
    can_cast as can_cast,
    complex64 as complex64,
    complex128 as complex128,
    finfo as finfo,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    isdtype as isdtype,
    result_type as result_type,
    uint8 as uint8,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
)
from .graph.show import graph as graph, to_dot as _to_dot
from .io import load as load, save as save
from .namespace import NamespaceInfo as _NamespaceInfo
from .ops import fft as fft, linalg as linalg, methods as _methods, random as random
from .ops.arithmetic import (
    add as add,
    astype as astype,
    atan2 as atan2,
    clip as clip,
    copysign as copysign,
    div as div,
    floor_divide as floor_divide,
    hypot as hypot,
    logaddexp as logaddexp,
    maximum as maximum,
    minimum as minimum,
    mul as mul,
    neg as neg,
    nextafter as nextafter,
    pow as pow,
    remainder as remainder,
    sub as sub,
    where as where,
)
from .ops.arrange import (
    broadcast_arrays as broadcast_arrays,
    diag as diag,
    diagonal as diagonal,
    flatten as flatten,
    flip as flip,
    pad as pad,
    repeat as repeat,
    roll as roll,
    split as split,
    stack as stack,
    tile as tile,
    tril as tril,
    triu as triu,
    unstack as unstack,
)
from .ops.compare import (
    bitwise_and as bitwise_and,
    bitwise_invert as bitwise_invert,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    less as less,
    less_equal as less_equal,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    not_equal as not_equal,
)
from .ops.contract import (
    dot as dot,
    einsum as einsum,
    matmul as matmul,
    outer as outer,
    tensordot as tensordot,
    vecdot as vecdot,
)
from .ops.creation import (
    arange as arange,
    asarray as asarray,
    empty as empty,
    empty_like as empty_like,
    eye as eye,
    from_dlpack as from_dlpack,
    full as full,
    full_like as full_like,
    linspace as linspace,
    meshgrid as meshgrid,
    ones as ones,
    ones_like as ones_like,
    zeros as zeros,
    zeros_like as zeros_like,
)
from .ops.functions import (
    abs as abs,
    acos as acos,
    acosh as acosh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atanh as atanh,
    ceil as ceil,
    cos as cos,
    cosh as cosh,
    digamma as digamma,
    erf as erf,
    erfc as erfc,
    exp as exp,
    exp2 as exp2,
    expm1 as expm1,
    floor as floor,
    lgamma as lgamma,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    polygamma as polygamma,
    reciprocal as reciprocal,
    relu as relu,
    round as round,
    rsqrt as rsqrt,
    sigmoid as sigmoid,
    sign as sign,
    sin as sin,
    sinh as sinh,
    softplus as softplus,
    sqrt as sqrt,
    square as square,
    tan as tan,
    tanh as tanh,
    trunc as trunc,
)
from .ops.index import (
    nonzero as nonzero,
    one_hot as one_hot,
    take as take,
    take_along_axis as take_along_axis,
)
from .ops.movement import (
    broadcast_to as broadcast_to,
    concat as concat,
    expand_dims as expand_dims,
    matrix_transpose as matrix_transpose,
    moveaxis as moveaxis,
    permute_dims as permute_dims,
    reshape as reshape,
    squeeze as squeeze,
    swapaxes as swapaxes,
    transpose as transpose,
)
from .ops.order import (
    argsort as argsort,
    cumprod as cumprod,
    cumsum as cumsum,
    sort as sort,
    topk as topk,
)
from .ops.parts import (
    conj as conj,
    imag as imag,
    real as real,
)
from .ops.reduce import (
    all as all,
    any as any,
    argmax as argmax,
    argmin as argmin,
    logsumexp as logsumexp,
    max as max,
    mean as mean,
    min as min,
    norm as norm,
    prod as prod,
    std as std,
    sum as sum,
    var as var,
)
from .ops.standard import (
    broadcast_shapes as broadcast_shapes,
    count_nonzero as count_nonzero,
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
    diff as diff,
    isin as isin,
    positive as positive,
    searchsorted as searchsorted,
    signbit as signbit,
)
from .ops.stop import (
    clone as clone,
    detach as detach,
)
from .ops.unique import (
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)
from .ops.update import scatter_add as scatter_add
from .tensor import (
    Tensor as Tensor,
    is_tensor as is_tensor,
    tensor as tensor,
)
from .tree import tree_map as tree_map
from .viz.html import as_html as _as_html

_methods.bind()


__array_api_version__ = "2025.12"


def __array_namespace_info__() -> _NamespaceInfo:
    """Devices, dtypes and limits, as the Array API standard asks for them.

    >>> import slotgrad as sg
    >>> list(sg.__array_namespace_info__().dtypes(kind="real floating"))
    ['float32', 'float64']
    """
    return _NamespaceInfo()


def _array_namespace(self: Tensor, *, api_version: str | None = None) -> object:
    """This module: where the Array API standard looks for functions on tensors."""
    if api_version is not None and api_version > __array_api_version__:
        raise errors.OptionError(
            f"__array_namespace__: got api_version={api_version!r}; expected at most"
            f" {__array_api_version__!r}"
        )
    return _sys.modules[__name__]


_METHODS = {
    "backward": _backward,
    "to_dot": _to_dot,
    "_repr_html_": _as_html,
    "__array_namespace__": _array_namespace,
}
for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)

# loaded when first asked for, since they need LLVM
_LATER = {"ReferenceVariable": "scalar", "ValueStorage": "scalar", "Variable": "scalar"}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(_importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


__version__ = "0.1.0"

# the other names of NumPy and the Array API standard
divide, multiply, negative, subtract, power = div, mul, neg, sub, pow
arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
arccosh, arcsinh, arctanh = acosh, asinh, atanh
absolute, conjugate = abs, conj
invert, left_shift, right_shift = bitwise_invert, bitwise_left_shift, bitwise_right_shift
concatenate, ravel = concat, flatten
bool = bool_
newaxis = None
e, pi, inf, nan = 2.718281828459045, 3.141592653589793, float("inf"), float("nan")
