"""slotgrad: automatic differentiation and deep learning on one graph.

>>> import slotgrad as sg
>>> x = sg.tensor([1.0, 2.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

from . import data as data
from . import errors as errors
from . import nn as nn
from . import optim as optim
from . import viz as viz
from .autodiff.backward import backward as _backward
from .autodiff.batch import vmap as vmap
from .autodiff.check import check_grads as check_grads
from .autodiff.custom import (
    Function as Function,
)
from .autodiff.custom import (
    op as op,
)
from .autodiff.transforms import (
    grad as grad,
)
from .autodiff.transforms import (
    hessian as hessian,
)
from .autodiff.transforms import (
    hvp as hvp,
)
from .autodiff.transforms import (
    jacfwd as jacfwd,
)
from .autodiff.transforms import (
    jacrev as jacrev,
)
from .autodiff.transforms import (
    jvp as jvp,
)
from .autodiff.transforms import (
    value_and_grad as value_and_grad,
)
from .autodiff.transforms import (
    vjp as vjp,
)
from .compile import compile as compile
from .config import (
    enable_grad as enable_grad,
)
from .config import (
    is_grad_enabled as is_grad_enabled,
)
from .config import (
    no_grad as no_grad,
)
from .dtypes import (
    bfloat16 as bfloat16,
)
from .dtypes import (
    bool_ as bool_,
)
from .dtypes import (
    can_cast as can_cast,
)
from .dtypes import (
    complex64 as complex64,
)
from .dtypes import (
    complex128 as complex128,
)
from .dtypes import (
    finfo as finfo,
)
from .dtypes import (
    float16 as float16,
)
from .dtypes import (
    float32 as float32,
)
from .dtypes import (
    float64 as float64,
)
from .dtypes import (
    iinfo as iinfo,
)
from .dtypes import (
    int8 as int8,
)
from .dtypes import (
    int16 as int16,
)
from .dtypes import (
    int32 as int32,
)
from .dtypes import (
    int64 as int64,
)
from .dtypes import (
    isdtype as isdtype,
)
from .dtypes import (
    result_type as result_type,
)
from .dtypes import (
    uint8 as uint8,
)
from .dtypes import (
    uint16 as uint16,
)
from .dtypes import (
    uint32 as uint32,
)
from .dtypes import (
    uint64 as uint64,
)
from .graph.show import graph as graph
from .graph.show import to_dot as _to_dot
from .io import load as load
from .io import save as save
from .ops import linalg as linalg
from .ops import methods as _methods
from .ops import random as random
from .ops.arithmetic import (
    add as add,
)
from .ops.arithmetic import (
    astype as astype,
)
from .ops.arithmetic import (
    atan2 as atan2,
)
from .ops.arithmetic import (
    clip as clip,
)
from .ops.arithmetic import (
    copysign as copysign,
)
from .ops.arithmetic import (
    div as div,
)
from .ops.arithmetic import (
    floor_divide as floor_divide,
)
from .ops.arithmetic import (
    hypot as hypot,
)
from .ops.arithmetic import (
    logaddexp as logaddexp,
)
from .ops.arithmetic import (
    maximum as maximum,
)
from .ops.arithmetic import (
    minimum as minimum,
)
from .ops.arithmetic import (
    mul as mul,
)
from .ops.arithmetic import (
    neg as neg,
)
from .ops.arithmetic import (
    pow as pow,
)
from .ops.arithmetic import (
    remainder as remainder,
)
from .ops.arithmetic import (
    sub as sub,
)
from .ops.arithmetic import (
    where as where,
)
from .ops.arrange import (
    broadcast_arrays as broadcast_arrays,
)
from .ops.arrange import (
    diag as diag,
)
from .ops.arrange import (
    diagonal as diagonal,
)
from .ops.arrange import (
    flatten as flatten,
)
from .ops.arrange import (
    flip as flip,
)
from .ops.arrange import (
    pad as pad,
)
from .ops.arrange import (
    repeat as repeat,
)
from .ops.arrange import (
    roll as roll,
)
from .ops.arrange import (
    split as split,
)
from .ops.arrange import (
    stack as stack,
)
from .ops.arrange import (
    tile as tile,
)
from .ops.arrange import (
    tril as tril,
)
from .ops.arrange import (
    triu as triu,
)
from .ops.arrange import (
    unstack as unstack,
)
from .ops.compare import (
    bitwise_and as bitwise_and,
)
from .ops.compare import (
    bitwise_invert as bitwise_invert,
)
from .ops.compare import (
    bitwise_left_shift as bitwise_left_shift,
)
from .ops.compare import (
    bitwise_or as bitwise_or,
)
from .ops.compare import (
    bitwise_right_shift as bitwise_right_shift,
)
from .ops.compare import (
    bitwise_xor as bitwise_xor,
)
from .ops.compare import (
    equal as equal,
)
from .ops.compare import (
    greater as greater,
)
from .ops.compare import (
    greater_equal as greater_equal,
)
from .ops.compare import (
    isfinite as isfinite,
)
from .ops.compare import (
    isinf as isinf,
)
from .ops.compare import (
    isnan as isnan,
)
from .ops.compare import (
    less as less,
)
from .ops.compare import (
    less_equal as less_equal,
)
from .ops.compare import (
    logical_and as logical_and,
)
from .ops.compare import (
    logical_not as logical_not,
)
from .ops.compare import (
    logical_or as logical_or,
)
from .ops.compare import (
    logical_xor as logical_xor,
)
from .ops.compare import (
    not_equal as not_equal,
)
from .ops.contract import (
    dot as dot,
)
from .ops.contract import (
    einsum as einsum,
)
from .ops.contract import (
    matmul as matmul,
)
from .ops.contract import (
    outer as outer,
)
from .ops.contract import (
    tensordot as tensordot,
)
from .ops.contract import (
    vecdot as vecdot,
)
from .ops.creation import (
    arange as arange,
)
from .ops.creation import (
    empty as empty,
)
from .ops.creation import (
    empty_like as empty_like,
)
from .ops.creation import (
    eye as eye,
)
from .ops.creation import (
    full as full,
)
from .ops.creation import (
    full_like as full_like,
)
from .ops.creation import (
    linspace as linspace,
)
from .ops.creation import (
    meshgrid as meshgrid,
)
from .ops.creation import (
    ones as ones,
)
from .ops.creation import (
    ones_like as ones_like,
)
from .ops.creation import (
    zeros as zeros,
)
from .ops.creation import (
    zeros_like as zeros_like,
)
from .ops.functions import (
    abs as abs,
)
from .ops.functions import (
    acos as acos,
)
from .ops.functions import (
    acosh as acosh,
)
from .ops.functions import (
    asin as asin,
)
from .ops.functions import (
    asinh as asinh,
)
from .ops.functions import (
    atan as atan,
)
from .ops.functions import (
    atanh as atanh,
)
from .ops.functions import (
    ceil as ceil,
)
from .ops.functions import (
    cos as cos,
)
from .ops.functions import (
    cosh as cosh,
)
from .ops.functions import (
    digamma as digamma,
)
from .ops.functions import (
    erf as erf,
)
from .ops.functions import (
    erfc as erfc,
)
from .ops.functions import (
    exp as exp,
)
from .ops.functions import (
    exp2 as exp2,
)
from .ops.functions import (
    expm1 as expm1,
)
from .ops.functions import (
    floor as floor,
)
from .ops.functions import (
    lgamma as lgamma,
)
from .ops.functions import (
    log as log,
)
from .ops.functions import (
    log1p as log1p,
)
from .ops.functions import (
    log2 as log2,
)
from .ops.functions import (
    log10 as log10,
)
from .ops.functions import (
    polygamma as polygamma,
)
from .ops.functions import (
    reciprocal as reciprocal,
)
from .ops.functions import (
    relu as relu,
)
from .ops.functions import (
    round as round,
)
from .ops.functions import (
    rsqrt as rsqrt,
)
from .ops.functions import (
    sigmoid as sigmoid,
)
from .ops.functions import (
    sign as sign,
)
from .ops.functions import (
    sin as sin,
)
from .ops.functions import (
    sinh as sinh,
)
from .ops.functions import (
    softplus as softplus,
)
from .ops.functions import (
    sqrt as sqrt,
)
from .ops.functions import (
    square as square,
)
from .ops.functions import (
    tan as tan,
)
from .ops.functions import (
    tanh as tanh,
)
from .ops.functions import (
    trunc as trunc,
)
from .ops.index import (
    nonzero as nonzero,
)
from .ops.index import (
    one_hot as one_hot,
)
from .ops.index import (
    scatter_add as scatter_add,
)
from .ops.index import (
    take as take,
)
from .ops.index import (
    take_along_axis as take_along_axis,
)
from .ops.movement import (
    broadcast_to as broadcast_to,
)
from .ops.movement import (
    concat as concat,
)
from .ops.movement import (
    expand_dims as expand_dims,
)
from .ops.movement import (
    matrix_transpose as matrix_transpose,
)
from .ops.movement import (
    moveaxis as moveaxis,
)
from .ops.movement import (
    permute_dims as permute_dims,
)
from .ops.movement import (
    reshape as reshape,
)
from .ops.movement import (
    squeeze as squeeze,
)
from .ops.movement import (
    swapaxes as swapaxes,
)
from .ops.movement import (
    transpose as transpose,
)
from .ops.order import (
    argsort as argsort,
)
from .ops.order import (
    cumprod as cumprod,
)
from .ops.order import (
    cumsum as cumsum,
)
from .ops.order import (
    sort as sort,
)
from .ops.order import (
    topk as topk,
)
from .ops.reduce import (
    all as all,
)
from .ops.reduce import (
    any as any,
)
from .ops.reduce import (
    argmax as argmax,
)
from .ops.reduce import (
    argmin as argmin,
)
from .ops.reduce import (
    logsumexp as logsumexp,
)
from .ops.reduce import (
    max as max,
)
from .ops.reduce import (
    mean as mean,
)
from .ops.reduce import (
    min as min,
)
from .ops.reduce import (
    norm as norm,
)
from .ops.reduce import (
    prod as prod,
)
from .ops.reduce import (
    std as std,
)
from .ops.reduce import (
    sum as sum,
)
from .ops.reduce import (
    var as var,
)
from .ops.stop import (
    clone as clone,
)
from .ops.stop import (
    detach as detach,
)
from .tensor import (
    Tensor as Tensor,
)
from .tensor import (
    is_tensor as is_tensor,
)
from .tensor import (
    tensor as tensor,
)
from .tree import tree_map as tree_map
from .viz.html import as_html as _as_html

_methods.bind()
for _name, _method in {"backward": _backward, "to_dot": _to_dot, "_repr_html_": _as_html}.items():
    setattr(Tensor, _name, _method)

__version__ = "0.1.0"

# the other names of NumPy and the Array API standard
divide, multiply, negative, subtract = div, mul, neg, sub
concatenate, ravel = concat, flatten
newaxis = None
e, pi, inf, nan = 2.718281828459045, 3.141592653589793, float("inf"), float("nan")
