"""The families in which operations are declared.

A family supplies what its members share: broadcasting, type rule, un-broadcasting, forward
mode, vmap.  A declaration supplies the rest, in one place:

    tanh = elementwise("tanh",
        value    = np.tanh,                              # eager result
        partials = lambda x, *, out: (1 - out * out,),   # in our own operations
        kernel   = lambda k, x: k.tanh(x),               # scalar expression, for every target
        samples  = uniform(-3, 3))                       # domain of the generated tests

A partial is the derivative with respect to one input: a Tensor or number that multiplies the
(co)tangent, a function applied to it, or None.  The same text serves both modes.

May import the floor.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import (
    Scalar,
    bool_,
    default_float,
    float32,
    float64,
    floating,
    inexact,
    integral,
    real_dtype,
    result_type,
)
from ..errors import BoundsError, DTypeError, OptionError, ShapeError
from ..graph.apply import apply
from ..graph.node import TensorType, leaf
from ..graph.op import Op
from ..tensor import Tensor, tensor

RECORDS: dict[str, Op] = {}  # every declared operation, for the tests and the documentation

_NUMERIC = integral | inexact
ACCEPTS: dict[str, frozenset[np.dtype]] = {
    "any": _NUMERIC | {bool_},
    "numeric": _NUMERIC,
    "real": integral | floating,
    "ordered": integral | floating | {bool_},
    "inexact": inexact,
    "floating": floating,
    "wide": frozenset({float32, float64}),
    "complex": inexact - floating,
    "bitwise": integral | {bool_},
    "integral": integral,
}


def quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """The NumPy function without its warnings: inf and nan flow as IEEE 754 says."""
    return np.errstate(all="ignore")(f)


# -- samples: the domains of the generated tests ---------------------------------------------


def uniform(*bounds: float) -> tuple:
    """Domain of an elementwise operation: low, high for each input (the last pair repeats)."""
    return tuple(zip(bounds[::2], bounds[1::2]))


def rule(declared: Op) -> Op:
    """Enter an operation into RECORDS; a name stands for one operation only."""
    assert declared.name not in RECORDS, f"operation {declared.name} is declared twice"
    RECORDS[declared.name] = declared
    return declared


# -- inputs ----------------------------------------------------------------------------------


def as_tensor(x: Any, like: Any = None) -> Tensor:
    """`x` as a Tensor; a Python number takes the dtype that it would have beside `like`."""
    if type(x) is Tensor:
        return x
    if isinstance(x, Tensor):
        alone = like is None and x.node.weak is not None  # a captured number
        return x.astype(result_type(x), copy=False) if alone else x
    if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
        return number(x, result_type(x) if like is None else result_type(like, x))
    return tensor(x)


_numbers: dict[tuple, Tensor] = {}


def number(x: Scalar, dtype: np.dtype) -> Tensor:
    """A constant without axes; small ones are shared, since expressions repeat them."""
    # 0.0 and -0.0 are equal as keys, so they go by their text
    key = (x if x and type(x) is not complex else str(x), dtype)
    try:
        return _numbers[key]
    except KeyError:
        pass
    try:
        value = np.array(x, dtype)
    except OverflowError as error:
        raise DTypeError(f"{x} does not fit {dtype}: {error}; use a wider dtype") from None
    value.flags.writeable = False
    made = Tensor(leaf(value))
    if len(_numbers) < 1000:
        _numbers[key] = made
    return made


def promote(*xs: Any, accepts: str = "any", op: str = "promote") -> tuple[Tensor, ...]:
    """The arguments as tensors of their common dtype, cast up to one that the op accepts."""
    accepted = ACCEPTS[accepts]
    dtype = _common_dtype(xs)
    if dtype is not None and dtype in accepted:
        return tuple([x if isinstance(x, Tensor) else number(x, dtype) for x in xs])
    xs = tuple(x if isinstance(x, (Tensor, bool, int, float, complex)) else tensor(x) for x in xs)
    dtype = result_type(*xs)
    whole = dtype in integral or dtype == bool_
    if whole and accepts in ("inexact", "floating"):
        dtype = default_float
    if dtype not in accepted:
        raise _refused(op, dtype, accepts)
    return tuple([as_tensor(x, dtype).astype(dtype, copy=False) for x in xs])


def _common_dtype(xs: tuple) -> Any:
    """The dtype of tensors that have the same one, and of Python numbers beside floats.

    None for all other arguments, which take longer.
    """
    found, numbers = None, False
    for x in xs:
        if isinstance(x, Tensor):
            dtype = x.dtype
            if x.node.weak is not None or (found is not None and found is not dtype):
                return None
            found = dtype
        elif type(x) is float or type(x) is int:
            numbers = True
        else:
            return None
    return found if not numbers or found in floating else None


def _refused(op: str, dtype: np.dtype, accepts: str) -> DTypeError:
    expected = {
        "bitwise": "bool or integer",
        "floating": "real floating-point",
        "wide": "float32 or float64",
    }
    return DTypeError(
        f"{op}: got dtype {dtype}; expected a tensor of {expected.get(accepts, accepts)} dtype,"
        " convert with x.astype(...)"
    )


def check_dtype(op: str, dtype: np.dtype, accepts: str) -> None:
    """Raise unless the operation takes this dtype."""
    if dtype not in ACCEPTS[accepts]:
        raise _refused(op, dtype, accepts)


def normalize_axis(axis: Any, ndim: int, op: str) -> int:
    """A non-negative axis, or BoundsError."""
    try:
        from_end = operator.index(axis)
    except TypeError:
        raise OptionError(f"{op}: got axis={axis!r}; expected an int") from None
    if not -ndim <= from_end < ndim:
        expected = f"{-ndim} to {ndim - 1}" if ndim else "none, the tensor has no axes"
        raise BoundsError(f"{op}: got axis {from_end} for {ndim} axes; expected {expected}")
    return from_end % ndim


def normalize_axes(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """Sorted non-negative axes from None (all of them), one axis or a tuple."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(sorted([normalize_axis(a, ndim, op) for a in axes]))
    if len(set(found)) != len(found):
        raise ShapeError(f"{op}: axis {axis} names an axis twice; name each once")
    return found


# -- shapes ----------------------------------------------------------------------------------


def broadcast_shapes(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape under NumPy's broadcasting rule, or ShapeError naming all of them."""
    if len(different := {*shapes} - {()}) <= 1:
        return next(iter(different), ())
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        got = " and ".join(str(s) for s in shapes)
        raise ShapeError(
            f"{op}: cannot broadcast {got}: sizes must agree or be 1, counted from the last axis;"
            " use reshape or expand_dims"
        ) from None


def unbroadcast(g: Tensor, x: Tensor) -> Tensor:
    """The cotangent of `x` from that of x broadcast to g's shape: sums over the added axes."""
    if g.shape == x.shape:
        return g
    added = g.ndim - x.ndim
    stretched = [i + added for i, n in enumerate(x.shape) if n == 1 and g.shape[i + added] != 1]
    axes = (*range(added), *stretched)
    return g.sum(axis=axes, keepdims=bool(stretched)).reshape(x.shape)


def align(batched: tuple[bool, ...], xs: tuple[Tensor, ...]) -> list[Tensor]:
    """Batched inputs with axes of size 1 behind the batch axis, so that broadcasting fits."""
    rank = max(x.ndim - b for b, x in zip(batched, xs))
    return [
        x.reshape((x.shape[0], *(1,) * (rank - x.ndim + 1), *x.shape[1:])) if b else x
        for b, x in zip(batched, xs)
    ]


# -- the elementwise family --------------------------------------------------------------------


def scale(g: Tensor, partial: Any) -> Tensor:
    """A (co)tangent times a partial, in whichever form the partial is given."""
    if callable(partial):
        return partial(g)
    if isinstance(partial, Tensor):
        return g * partial
    if partial == 1:
        return g
    return -g if partial == -1 else g * partial


def elementwise(
    name: str,
    value: Callable[..., Any],
    kernel: Callable[..., Any],
    partials: Callable[..., tuple] | None = None,
    samples: tuple = uniform(-2, 2),
    accepts: str = "numeric",
    result: str = "same",
    doc: str = "",
    oracle: Callable[..., Any] | None = None,
) -> Any:
    """Declare an operation that computes each element from the elements at the same place.

    Inputs are promoted to a common dtype that `accepts` names (see ACCEPTS) and broadcast;
    `result` is "same" (that dtype) or "bool".  Returns the public function; its record is the
    attribute `op`.  A binary one has `of(types)`: the same function, which returns NotImplemented
    for operands of other types, as operators do.
    """
    arity = kernel.__code__.co_argcount - 1
    accepted = ACCEPTS[accepts]
    takes_numbers = accepted & floating  # beside these a Python number has their dtype
    wants_out = partials is not None and partials.__code__.co_kwonlyargcount > 0

    def type_rule(*types: TensorType, **attrs: Any) -> TensorType:
        last = types[-1]
        if types.count(last) == len(types):
            check_dtype(name, last.dtype, accepts)
            if result == "same":
                return last
            shape = last.shape
        else:
            for t in types:
                check_dtype(name, t.dtype, accepts)
            shape = broadcast_shapes(name, *[t.shape for t in types])
        if result == "bool":
            return TensorType(shape, bool_)
        return TensorType(shape, real_dtype(last.dtype) if result == "real" else last.dtype)

    def parts(out: Tensor, xs: tuple[Tensor, ...], attrs: dict[str, Any]) -> tuple:
        assert partials is not None
        return partials(*xs, **attrs, out=out) if wants_out else partials(*xs, **attrs)

    def pullback(g: Tensor, out: Tensor, *xs: Tensor, **attrs: Any) -> list:
        found: list[Any] = []
        for x, p in zip(xs, parts(out, xs, attrs)):
            found.append(p if p is None else lambda x=x, p=p: unbroadcast(scale(g, p), x))
        return found

    def pushforward(tangents: tuple, out: Tensor, *xs: Tensor, **attrs: Any) -> Tensor | None:
        total: Tensor | None = None
        for v, partial in zip(tangents, parts(out, xs, attrs)):
            if v is not None and partial is not None:
                term = scale(v, partial)
                total = term if total is None else total + term
        return total if total is None else total.broadcast_to(out.shape)

    def batch(batched: tuple[bool, ...], *xs: Tensor, **attrs: Any) -> Tensor:
        return apply(op, tuple(align(batched, xs)), attrs)

    op = rule(
        Op(
            name,
            value,
            type_rule,
            pullback=pullback if partials else None,
            reads_out=wants_out,
            pushforward=pushforward if partials else None,
            batch=batch,
            kernel=kernel,
            family="elementwise",
            samples=samples,
            accepts=accepts,
            oracle=oracle,
        )
    )

    def promoted(*xs: Any) -> Tensor:
        return apply(op, promote(*xs, accepts=accepts, op=name))

    def unary(x: Any, /) -> Tensor:
        try:
            if x.node.value.dtype in accepted:
                return apply(op, (x,))
        except AttributeError:  # not a Tensor, or a Tensor without a value
            pass
        return promoted(x)

    def of(types: Any) -> Any:
        def binary(x: Any, y: Any, /) -> Any:
            try:
                if type(x) is not type(y):
                    if type(y) is float or type(y) is int:
                        dtype = x.node.value.dtype
                        if dtype in takes_numbers:
                            return apply(op, (x, number(y, dtype)))
                    elif type(x) is float or type(x) is int:
                        dtype = y.node.value.dtype
                        if dtype in takes_numbers:
                            return apply(op, (number(x, dtype), y))
                dtype = x.node.value.dtype
                if dtype is y.node.value.dtype and dtype in accepted:
                    return apply(op, (x, y))
            except AttributeError:  # an operand is not a Tensor, or has no value
                pass
            fit = isinstance(x, types) and isinstance(y, types)
            return promoted(x, y) if fit else NotImplemented

        return binary

    function: Any = {1: unary, 2: of(object)}.get(arity, promoted)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.op = op
    if arity == 2:
        function.of = of
    return function


# -- every other family ------------------------------------------------------------------------


def structured(name: str, **options: Any) -> Callable[[type], Any]:
    """Declare an operation by a class whose functions are the entries of its record.

    type, value    required
    vjp            (g, out, *inputs, **attrs): see `Op.pullback`; absent: not differentiable
    jvp            (tangents, out, *inputs, **attrs); absent: the vjp of the vjp
    linear = True  linear in all inputs together: the jvp is the operation itself
    batch          (batched, *inputs, **attrs); absent: example by example
    kernel         (k, *inputs, **attrs)
    samples        list of (shapes, attrs) for the generated tests
    """

    def declare(body: type) -> Op:
        entries = {name: getattr(body, name) for name in dir(body)}
        pushforward = entries.get("jvp")
        op = Op(
            name,
            entries["value"],
            entries["type"],
            pullback=entries.get("vjp"),
            pushforward=pushforward,
            batch=entries.get("batch"),
            kernel=entries.get("kernel"),
            samples=entries.get("samples", ()),
            oracle=entries.get("oracle"),
            **options,
        )
        if entries.get("linear"):
            op.pushforward = _linear_pushforward(op)
        return rule(op)

    return declare


def _linear_pushforward(op: Op) -> Callable[..., Tensor | None]:
    def pushforward(tangents: tuple, out: Tensor, *xs: Tensor, **attrs: Any) -> Tensor | None:
        if all(v is None for v in tangents):
            return None
        filled = [zeros_of(x) if v is None else v for v, x in zip(tangents, xs)]
        return apply(op, tuple(filled), attrs)

    return pushforward


def zeros_of(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of `x`."""
    return constant(np.zeros(x.shape, x.dtype))


def constant(value: Any) -> Tensor:
    """A tensor without a gradient around a NumPy value."""
    return Tensor(leaf(np.asarray(value)))
