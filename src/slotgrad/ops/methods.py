"""The table that binds operations to Tensor as methods and operators.

May import every file of ops; is imported once, by the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import modes
from ..errors import DTypeError, GradientError, ShapeError, UsageError
from ..tensor import Tensor, is_tensor
from ..tree import flatten, unflatten
from . import (
    arithmetic,
    arrange,
    compare,
    contract,
    creation,
    fft,
    functions,
    index,
    movement,
    order,
    parts,
    reduce,
    stop,
    update,
)

METHODS = {
    arithmetic: "add sub mul div neg pow maximum minimum atan2 hypot logaddexp remainder"
    " floor_divide copysign nextafter clip astype",
    functions: "abs sign sqrt exp expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh"
    " tanh asinh acosh atanh sigmoid erf erfc lgamma digamma floor round ceil trunc square"
    " reciprocal rsqrt exp2 relu softplus",
    compare: "equal less less_equal greater greater_equal not_equal isnan isinf isfinite"
    " logical_not logical_and logical_or logical_xor",
    reduce: "sum max min argmax argmin any all mean var std prod logsumexp norm",
    order: "cumsum cumprod argsort sort topk",
    movement: "expand_dims squeeze moveaxis swapaxes broadcast_to",
    arrange: "flatten flip roll split unstack repeat tril triu diagonal",
    index: "take take_along_axis nonzero",
    update: "scatter_add",
    contract: "matmul dot vecdot outer tensordot",
    parts: "conj",
    stop: "detach clone",
}

OPERATORS = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.div,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.pow,
    "matmul": contract.matmul,
    "and": compare.bitwise_and,
    "or": compare.bitwise_or,
    "xor": compare.bitwise_xor,
    "lshift": compare.bitwise_left_shift,
    "rshift": compare.bitwise_right_shift,
}

_WRITTEN = ["+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>"]
SYMBOLS = dict(zip(OPERATORS, _WRITTEN))

COMPARISONS = {
    "eq": compare.equal,
    "ne": compare.not_equal,
    "lt": compare.less,
    "le": compare.less_equal,
    "gt": compare.greater,
    "ge": compare.greater_equal,
}

_OPERANDS = (Tensor, bool, int, float, complex, np.ndarray, np.generic, list, tuple)


def _operator(f: Any) -> Any:
    """A binary function as an operator, which leaves operands of foreign types to Python."""

    def operator(x: Any, y: Any) -> Any:
        return f(x, y) if isinstance(x, _OPERANDS) and isinstance(y, _OPERANDS) else NotImplemented

    return f.of(_OPERANDS) if hasattr(f, "of") else operator


def _reflected(operator: Any) -> Any:
    return lambda self, other: operator(other, self)


def _of_same_shape(new: Tensor, x: Tensor, action: str) -> Tensor:
    """`new`, refused if its shape is not that of the tensor it shall be written to."""
    if new.shape != x.shape:
        raise ShapeError(
            f"{action}: the result has shape {new.shape}; expected {x.shape}, the tensor's own"
        )
    return new


def _in_place(name: str, f: Any) -> Any:
    """x += y: into the buffer where no tape runs, otherwise to a new value."""
    action = f"x {SYMBOLS[name]}= ..."

    def operator(self: Tensor, other: Any) -> Tensor:
        new = f(self, other)
        if modes.grad and new.requires_grad:
            update.move_on(self, _of_same_shape(new, self, action), action)
            return self
        fits = new.dtype == self.dtype or np.can_cast(new.dtype, self.dtype, "same_kind")
        if new.shape == self.shape and not fits:
            raise DTypeError(
                f"{action}: the result has dtype {new.dtype}, which a tensor of dtype {self.dtype}"
                " cannot hold; convert with astype"
            )
        return self.write(action, ..., new)

    return operator


def _reshape(self: Tensor, *shape: Any, copy: bool | None = None) -> Tensor:
    """`sg.reshape`; the shape may also be given as separate sizes."""
    return movement.reshape(self, shape[0] if len(shape) == 1 else shape, copy=copy)


def _permute(self: Tensor, *axes: Any) -> Tensor:
    """`sg.permute_dims`; the axes may also be given separately."""
    single = len(axes) == 1 and not isinstance(axes[0], int)
    return movement.permute_dims(self, axes[0] if single else axes)


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    """`sg.transpose`; the axes may also be given separately."""
    return _permute(self, *axes) if axes else movement.transpose(self)


# -- NumPy's functions on tensors ----------------------------------------------------------------

_NUMPY: dict[str, Any] = {
    "place": None,  # our own means something else
    "subtract": arithmetic.sub, "multiply": arithmetic.mul, "true_divide": arithmetic.div,
    "divide": arithmetic.div, "negative": arithmetic.neg, "power": arithmetic.pow,
    "arctan2": arithmetic.atan2, "absolute": functions.abs, "rint": functions.round,
    "arcsin": functions.asin, "arccos": functions.acos, "arctan": functions.atan,
    "arcsinh": functions.asinh, "arccosh": functions.acosh, "arctanh": functions.atanh,
    "invert": compare.bitwise_invert, "left_shift": compare.bitwise_left_shift,
    "right_shift": compare.bitwise_right_shift, "concatenate": movement.concat,
    "ravel": arrange.flatten, "conjugate": parts.conj,
}  # fmt: skip
_MODULES = (
    arithmetic, functions, compare, contract, reduce, order, movement, arrange, index, creation,
    parts, fft,
)  # fmt: skip


def _counterpart(name: str) -> Any:
    """Our function for one of NumPy's."""
    if name in _NUMPY:
        return _NUMPY[name]
    return next((vars(m)[name] for m in _MODULES if name in vars(m)), None)


def _with_arrays(name: str, f: Any, args: Any, options: dict[str, Any]) -> Any:
    """A NumPy function that we lack: it computes, where no tape runs."""
    leaves, structure = flatten((args, options))
    if any(map(is_tensor, flatten(options.get("out"))[0])):
        raise UsageError(
            f"numpy.{name}: got a tensor as out, which would change unseen by the tape; assign the"
            " result instead: x[...] = ..."
        )
    if modes.grad and any(is_tensor(x) and x.requires_grad for x in leaves):
        raise GradientError(
            f"numpy.{name} has no derivative here and would lose the gradient; use an sg function,"
            " x.detach().numpy(), or make it an operation with @sg.op"
        )
    plain = [x.numpy() if is_tensor(x) else x for x in leaves]
    args, options = unflatten(structure, plain)
    return f(*args, **options)


def _ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """np.sin(tensor) is sg.sin(tensor)."""
    ours = _counterpart(ufunc.__name__)
    if ours is not None and method == "__call__" and not options:
        return ours(*inputs)
    return _with_arrays(ufunc.__name__, getattr(ufunc, method), inputs, options)


def _array_function(self: Tensor, f: Any, types: Any, args: Any, options: Any) -> Any:
    """np.mean(tensor) is sg.mean(tensor)."""
    ours = _counterpart(f.__name__)
    if ours is not None:
        return ours(*args, **options)
    return _with_arrays(f.__name__, f, args, options)


def bind() -> None:
    """Give Tensor its methods and operators."""
    for module, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for name, f in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _operator(f))
        setattr(Tensor, f"__r{name}__", _reflected(_operator(f)))
        setattr(Tensor, f"__i{name}__", _in_place(name, f))
    for name, f in COMPARISONS.items():
        setattr(Tensor, f"__{name}__", _operator(f))
    for name, method in {
        "__neg__": arithmetic.neg,
        "__pos__": stop.clone,
        "__abs__": functions.abs,
        "__invert__": compare.bitwise_invert,
        "__round__": functions.round,
        "__floor__": functions.floor,
        "__ceil__": functions.ceil,
        "__trunc__": functions.trunc,
        "__getitem__": index.getitem,
        "__setitem__": update.setitem,
        "__array_ufunc__": _ufunc,
        "__array_function__": _array_function,
        "reshape": _reshape,
        "permute_dims": _permute,
        "permute": _permute,
        "transpose": _transpose,
        "concat": lambda self, xs, axis=0: movement.concat(xs, axis),
        "real": property(parts.real, doc="The real part."),
        "imag": property(parts.imag, doc="The imaginary part."),
        "mT": property(movement.matrix_transpose, doc="The last two axes exchanged."),
        "T": property(movement.transpose, doc="The axes reversed."),
        "at": property(
            update.AtFactory, doc="`x.at[index].set(v)`, `.add(v)` and so on: changed copies."
        ),
    }.items():
        setattr(Tensor, name, method)
