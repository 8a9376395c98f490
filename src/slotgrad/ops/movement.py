"""Operations that move elements and compute nothing.  May import the floor and declare.

All are linear: each one's derivative is its transpose.  Cutting (slice) and placing into zeros
(place) are each other's transpose; what is made of these operations stands in arrange.py.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import modes
from ..errors import OptionError, ShapeError, UsageError
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import (
    TensorType,
    as_tensor,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    promote,
    structured,
)

Shape = int | Sequence[int]


MOST_ELEMENTS = 2**59  # elements of 16 bytes that 63 bits can address


def as_shape(shape: Any, op: str, lowest: int = 0) -> tuple[int, ...]:
    """A shape as a tuple of ints; an int is a shape of one axis."""
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    try:
        sizes = tuple(map(operator.index, given))
    except TypeError:
        raise ShapeError(f"{op}: got shape {shape!r}; expected integers") from None
    if min(sizes, default=lowest) < lowest:
        raise ShapeError(f"{op}: got shape {sizes}; expected sizes >= {lowest}")
    if math.prod([n for n in sizes if n > 0]) > MOST_ELEMENTS:
        raise ShapeError(f"{op}: got shape {sizes}; expected at most 2**59 elements")
    return sizes


def as_int(value: Any, name: str, op: str, lowest: int | None = None) -> int:
    """The argument `name` of an operation as an int."""
    try:
        found = operator.index(value)
    except TypeError:
        raise OptionError(f"{op}: got {name}={value!r}; expected an int") from None
    if lowest is not None and found < lowest:
        raise OptionError(f"{op}: got {name}={found}; expected an int >= {lowest}")
    return found


def as_number(value: Any, name: str, op: str) -> int | float:
    """The argument `name` of an operation as a real Python number that is not nan."""
    if isinstance(value, (float, np.floating)) and value == value:
        return float(value)
    try:
        found = operator.index(value)
        float(found)  # raises where no float is as large
    except (TypeError, OverflowError):
        raise OptionError(f"{op}: got {name}={value!r}; expected a number") from None
    return found


def as_list(xs: Any, op: str) -> list[Any]:
    """The tensors that an operation joins."""
    if not isinstance(xs, (list, tuple, Tensor, np.ndarray)):
        raise OptionError(f"{op}: got a {type(xs).__name__}; expected a list or tuple of tensors")
    return list(as_tensor(xs) if isinstance(xs, np.ndarray) else xs)


@structured("reshape", accepts="any", view=True)
class _reshape:
    def type(x: TensorType, shape: tuple) -> TensorType:
        return TensorType(shape, x.dtype)

    def value(x: np.ndarray, shape: tuple) -> np.ndarray:
        return x.reshape(shape)

    linear = True
    samples = [([(2, 3)], {"shape": (3, 2)}), ([(4,)], {"shape": (1, 2, 2)})]

    def vjp(g: Tensor, out: Tensor, x: Tensor, shape: tuple) -> tuple:
        return (lambda: reshape(g, x.shape),)

    def batch(batched: tuple, x: Tensor, shape: tuple) -> Tensor:
        return apply(_reshape, (x,), {"shape": (x.shape[0], *shape)})

    def kernel(k: Any, x: Any, shape: tuple) -> Any:
        return k.reshape(x, shape)


@structured("permute_dims", accepts="any", view=True)
class _permute_dims:
    def type(x: TensorType, axes: tuple) -> TensorType:
        return TensorType(tuple(x.shape[i] for i in axes), x.dtype)

    def value(x: np.ndarray, axes: tuple) -> np.ndarray:
        return x.transpose(axes)

    linear = True
    samples = [([(2, 3)], {"axes": (1, 0)}), ([(2, 3, 4)], {"axes": (2, 0, 1)})]

    def vjp(g: Tensor, out: Tensor, x: Tensor, axes: tuple) -> tuple:
        inverse = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return (lambda: apply(_permute_dims, (g,), {"axes": inverse}),)

    def batch(batched: tuple, x: Tensor, axes: tuple) -> Tensor:
        return apply(_permute_dims, (x,), {"axes": (0, *(i + 1 for i in axes))})

    def kernel(k: Any, x: Any, axes: tuple) -> Any:
        return k.permute(x, axes)


@structured("broadcast_to", accepts="any", view=True)
class _broadcast_to:
    def type(x: TensorType, shape: tuple) -> TensorType:
        if broadcast_shapes("broadcast_to", x.shape, shape) != shape:
            raise ShapeError(
                f"broadcast_to: cannot broadcast {x.shape} to {shape}: only axes of size 1 grow"
            )
        return TensorType(shape, x.dtype)

    def value(x: np.ndarray, shape: tuple) -> np.ndarray:
        return np.broadcast_to(x, shape)

    linear = True
    samples = [([(3,)], {"shape": (2, 3)}), ([(2, 1)], {"shape": (2, 4)}), ([()], {"shape": (3,)})]

    def vjp(g: Tensor, out: Tensor, x: Tensor, shape: tuple) -> tuple:
        added = len(shape) - x.ndim
        grown = [i + added for i, n in enumerate(x.shape) if n == 1]
        axes = (*range(added), *grown)
        return (lambda: g.sum(axis=axes, keepdims=True).reshape(x.shape),)

    def batch(batched: tuple, x: Tensor, shape: tuple) -> Tensor:
        aligned = x.reshape((x.shape[0], *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]))
        return apply(_broadcast_to, (aligned,), {"shape": (x.shape[0], *shape)})

    def kernel(k: Any, x: Any, shape: tuple) -> Any:
        return k.broadcast(x, shape)


@structured("slice", accepts="any", view=True)
class _slice:
    """out[i, ...] = x[starts[0] + i * steps[0], ...]; steps may be negative."""

    def type(x: TensorType, starts: tuple, sizes: tuple, steps: tuple) -> TensorType:
        return TensorType(sizes, x.dtype)

    def value(x: np.ndarray, starts: tuple, sizes: tuple, steps: tuple) -> np.ndarray:
        return x[slices(starts, sizes, steps)]

    linear = True
    samples = [
        ([(5,)], {"starts": (1,), "sizes": (2,), "steps": (2,)}),
        ([(3, 4)], {"starts": (2, 1), "sizes": (3, 2), "steps": (-1, 1)}),
    ]

    def vjp(g: Tensor, out: Tensor, x: Tensor, starts: tuple, sizes: tuple, steps: tuple) -> tuple:
        return (lambda: place(g, x.shape, starts, steps),)

    def batch(batched: tuple, x: Tensor, starts: tuple, sizes: tuple, steps: tuple) -> Tensor:
        return cut(x, (0, *starts), (x.shape[0], *sizes), (1, *steps))

    def kernel(k: Any, x: Any, starts: tuple, sizes: tuple, steps: tuple) -> Any:
        return k.slice(x, starts, sizes, steps)


def slices(starts: tuple, sizes: tuple, steps: tuple) -> tuple[slice, ...]:
    """The box of `cut` and `place` as an index of NumPy."""
    found = []
    for start, size, step in zip(starts, sizes, steps):
        stop = start + size * step
        found.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(found)


@structured("place", accepts="any")
class _place:
    """Zeros of `shape` with out[starts[0] + i * steps[0], ...] = x[i, ...]."""

    def type(x: TensorType, shape: tuple, starts: tuple, steps: tuple) -> TensorType:
        return TensorType(shape, x.dtype)

    def value(x: np.ndarray, shape: tuple, starts: tuple, steps: tuple) -> np.ndarray:
        out = np.zeros(shape, x.dtype)
        out[slices(starts, x.shape, steps)] = x
        return out

    linear = True
    samples = [
        ([(2,)], {"shape": (5,), "starts": (1,), "steps": (2,)}),
        ([(2, 2)], {"shape": (3, 2), "starts": (2, 0), "steps": (-1, 1)}),
    ]

    def vjp(g: Tensor, out: Tensor, x: Tensor, shape: tuple, starts: tuple, steps: tuple) -> tuple:
        return (lambda: cut(g, starts, x.shape, steps),)

    def batch(batched: tuple, x: Tensor, shape: tuple, starts: tuple, steps: tuple) -> Tensor:
        return place(x, (x.shape[0], *shape), (0, *starts), (1, *steps))

    def kernel(k: Any, x: Any, shape: tuple, starts: tuple, steps: tuple) -> Any:
        return k.place(x, shape, starts, steps)


@structured("concat", accepts="any")
class _concat:
    def type(*xs: TensorType, axis: int) -> TensorType:
        rest = [(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs]
        if any(r != rest[0] for r in rest):
            got = ", ".join(str(x.shape) for x in xs)
            raise ShapeError(
                f"concat: cannot join shapes {got} along axis {axis}: the other sizes must agree"
            )
        size = sum(x.shape[axis] for x in xs)
        return TensorType((*xs[0].shape[:axis], size, *xs[0].shape[axis + 1 :]), xs[0].dtype)

    def value(*xs: np.ndarray, axis: int) -> np.ndarray:
        return np.concatenate(xs, axis=axis)

    linear = True
    samples = [([(2, 3), (1, 3)], {"axis": 0}), ([(2, 1), (2, 2), (2, 3)], {"axis": 1})]

    def vjp(g: Tensor, out: Tensor, *xs: Tensor, axis: int) -> tuple:
        ends = np.cumsum([x.shape[axis] for x in xs])

        def part(x: Tensor, end: int) -> Any:
            return lambda: narrow(g, axis, int(end) - x.shape[axis], x.shape[axis])

        return tuple([part(x, end) for x, end in zip(xs, ends)])

    def batch(batched: tuple, *xs: Tensor, axis: int) -> Tensor:
        size = next(x.shape[0] for x, b in zip(xs, batched) if b)
        full = [x if b else x.broadcast_to((size, *x.shape)) for x, b in zip(xs, batched)]
        return apply(_concat, tuple(full), {"axis": axis + 1})

    def kernel(k: Any, *xs: Any, axis: int) -> Any:
        return k.concat(xs, axis)


# -- the primitives with checked arguments -----------------------------------------------------


def reshape(x: Any, /, shape: Shape, *, copy: bool | None = None) -> Tensor:
    """The elements in row-major order in another shape; one size may be -1.

    copy    True: in memory of its own; False: raise if memory cannot be shared; default: share
            it where possible

    >>> import slotgrad as sg
    >>> sg.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = as_tensor(x)
    wanted = as_shape(shape, "reshape", lowest=-1)
    if -1 in wanted:
        known = math.prod(n for n in wanted if n != -1)
        if wanted.count(-1) == 1 and known and x.size % known == 0:
            wanted = tuple(x.size // known if n == -1 else n for n in wanted)
    if -1 in wanted or math.prod(wanted) != x.size:
        raise ShapeError(
            f"reshape: cannot reshape {x.shape} with {x.size} elements to {tuple(wanted)}; the"
            " product of the sizes must agree, and one size may be -1"
        )
    made = x if wanted == x.shape else apply(_reshape, (x,), {"shape": wanted})
    if copy:
        return made.clone()
    in_memory = copy is not None and x.size and modes.capture is None
    if in_memory and not np.may_share_memory(made.node.value, x.node.value):
        raise UsageError(
            f"reshape: copy=False, but {x.shape} cannot be seen as {wanted} in the same memory;"
            " leave copy out"
        )
    return made


def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis axes[i] of `x`."""
    x = as_tensor(x)
    order = tuple([normalize_axis(a, x.ndim, "permute_dims") for a in _axes(axes, "permute_dims")])
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(
            f"permute_dims: got axes {tuple(axes)} for shape {x.shape}; expected each of the"
            f" {x.ndim} axes once"
        )
    return apply(_permute_dims, (x,), {"axes": order})


def _axes(axes: Any, op: str) -> tuple:
    if not isinstance(axes, (tuple, list, range)):
        raise OptionError(f"{op}: got axes={axes!r}; expected a tuple of ints")
    return tuple(axes)


def broadcast_to(x: Any, /, shape: Shape) -> Tensor:
    """`x` repeated along new leading axes and along its axes of size 1."""
    x = as_tensor(x)
    shape = as_shape(shape, "broadcast_to")
    return x if shape == x.shape else apply(_broadcast_to, (x,), {"shape": shape})


def cut(x: Tensor, starts: tuple, sizes: tuple, steps: tuple) -> Tensor:
    """A strided box of `x`: the primitive behind basic indexing."""
    if sizes == x.shape and steps == (1,) * len(steps):
        return x
    return apply(_slice, (x,), {"starts": starts, "sizes": sizes, "steps": steps})


def place(x: Tensor, shape: tuple, starts: tuple, steps: tuple) -> Tensor:
    """Zeros of `shape` with `x` at a strided box: the transpose of `cut`."""
    return apply(_place, (x,), {"shape": shape, "starts": starts, "steps": steps})


def narrow(x: Tensor, axis: int, start: int, size: int) -> Tensor:
    """`size` elements of one axis from `start` on."""
    starts, sizes = [0] * x.ndim, list(x.shape)
    starts[axis], sizes[axis] = start, size
    return cut(x, tuple(starts), tuple(sizes), (1,) * x.ndim)


def concat(xs: Sequence[Any], /, axis: int | None = 0) -> Tensor:
    """Tensors one behind the other along an axis; None: flattened."""
    xs = as_list(xs, "concat")
    if not xs:
        raise ShapeError("concat: got no tensors; expected at least one")
    tensors = promote(*xs, op="concat")
    if axis is None:
        tensors, axis = tuple(x.reshape((-1,)) for x in tensors), 0
    ranks = {x.ndim for x in tensors}
    if len(ranks) > 1 or ranks == {0}:
        got = ", ".join(str(x.shape) for x in tensors)
        raise ShapeError(f"concat: cannot join shapes {got}: expected equal numbers of axes, not 0")
    return apply(_concat, tensors, {"axis": normalize_axis(axis, tensors[0].ndim, "concat")})


# -- axes --------------------------------------------------------------------------------------


def expand_dims(x: Any, /, axis: int | tuple[int, ...] = 0) -> Tensor:
    """`x` with axes of size 1 inserted so that they stand at `axis` in the result."""
    x = as_tensor(x)
    if axis is None:
        raise OptionError("expand_dims: got axis=None; expected an int or a tuple of ints")
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    places = normalize_axes(axis, x.ndim + count, "expand_dims")
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if i in places else next(sizes) for i in range(x.ndim + count)))


def squeeze(x: Any, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """`x` without axes of size 1: the named ones, or all of them."""
    x = as_tensor(x)
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    axes = normalize_axes(axis, x.ndim, "squeeze")
    if any(x.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: got shape {x.shape} and axis {axis}; expected sizes of 1 there")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def moveaxis(x: Any, source: Any, destination: Any, /) -> Tensor:
    """The axes `source` moved to `destination`, the others in their order."""
    x = as_tensor(x)
    sources = source if isinstance(source, (tuple, list)) else (source,)
    targets = destination if isinstance(destination, (tuple, list)) else (destination,)
    sources = [normalize_axis(a, x.ndim, "moveaxis") for a in sources]
    targets = [normalize_axis(a, x.ndim, "moveaxis") for a in targets]
    if len(sources) != len(targets) or len(set(sources)) != len(sources):
        raise ShapeError(
            f"moveaxis: got source {source} and destination {destination}; expected as many of"
            " each, no axis twice"
        )
    order = [i for i in range(x.ndim) if i not in sources]
    for target, s in sorted(zip(targets, sources)):
        order.insert(target, s)
    return x if order == list(range(x.ndim)) else permute_dims(x, order)


def swapaxes(x: Any, a: int, b: int, /) -> Tensor:
    """`x` with two axes exchanged."""
    x = as_tensor(x)
    a, b = normalize_axis(a, x.ndim, "swapaxes"), normalize_axis(b, x.ndim, "swapaxes")
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return apply(_permute_dims, (x,), {"axes": tuple(order)})


def transpose(x: Any, /, axes: Sequence[int] | None = None) -> Tensor:
    """The axes reversed, or in the given order, as in NumPy."""
    x = as_tensor(x)
    if axes is not None:
        return permute_dims(x, axes)
    return apply(_permute_dims, (x,), {"axes": tuple(range(x.ndim))[::-1]})


def matrix_transpose(x: Any, /) -> Tensor:
    """The last two axes exchanged; also `x.mT`."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: got shape {x.shape}; expected at least two axes")
    *front, i, j = range(x.ndim)
    return apply(_permute_dims, (x,), {"axes": (*front, j, i)})
