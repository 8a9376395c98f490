"""Statements that go by an index, and how nodes become them.

    Check       every index of an array lies within an axis, or the program ends
    Gather      elements at arrays of indices
    Scatter     elements written or added there
    ArgReduce   where along an axis the largest or smallest element is
    Scan        the running sum along an axis
    RandomBits  numbers of the Philox stream
    Sort        the order of the elements along an axis

A rule of RULES takes the builder and a node, appends statements that write to the node's view and
returns that view, or None for what has no native form.  May import the floor, ops.gather for its
error, and kernel.ir.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from ..dtypes import integral, uint64
from ..graph.node import Node, TensorType
from ..ops.gather import refused_index
from .ir import Buffer, View


@dataclass
class Check:
    """Every element of `index`, for axis `axis` of `size` elements, is in [-size, size).

    The one statement here that can fail: the accesses behind it need not look again.
    """

    index: View
    size: int
    axis: int
    fails: ClassVar[bool] = True

    @property
    def reads(self) -> list[View]:
        return [self.index]

    @property
    def writes(self) -> list[View]:
        return []

    def __str__(self) -> str:
        return f"check {self.index.shape} within {self.size}"


def failure(check: Check, array: np.ndarray) -> Exception:
    """The error for a check that failed on this array: what eager code raises."""
    sizes = (1,) * check.axis + (check.size,)
    index = np.array(array, order="C")  # NumPy names the first one in memory
    try:
        np.broadcast_to(np.int8(0), sizes)[(slice(None),) * check.axis + (index,)]
    except IndexError as error:
        return refused_index(error, [index])
    raise AssertionError(f"{check} has not failed")


@dataclass(frozen=True)
class Index:
    """An array of indices for one axis, as a loop walks it.

    view     the array, in the shape of the loop
    size     of the axis: what a negative index is counted from
    stride   elements from one index to the next
    """

    view: View
    size: int
    stride: int


def places(x: View, indices: Sequence[View], axes: tuple[int, ...]) -> tuple[View, list[Index]]:
    """x[..., indices, ...] as a loop walks it: x where all indices are 0, and what they add.

    The view has the shape of the result, in which the index axes stand where the first of
    `axes` does if these are adjacent, else in front.  A constant array that counts in even
    steps, like one of `take_along_axis`, adds nothing but strides.
    """
    shape = np.broadcast_shapes(*[i.shape for i in indices])
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    at = axes[0] if adjacent else 0
    rest = [i for i in range(len(x.shape)) if i not in axes]
    before, after = rest[:at], rest[at:]
    strides, offset = [0] * len(shape), x.offset
    found: list[Index] = []
    full = (*(x.shape[i] for i in before), *shape, *(x.shape[i] for i in after))
    for axis, i in zip(axes, indices):
        size, stride, array = x.shape[axis], x.strides[axis], i.broadcast(shape)
        line = _line(array, size)
        if line is None:
            inside = (*[0] * len(before), *array.strides, *[0] * len(after))
            found.append(Index(View(i.buffer, full, inside, i.offset), size, stride))
        else:
            offset += line[0] * stride
            strides = [s + step * stride for s, step in zip(strides, line[1])]
    walked = (*(x.strides[i] for i in before), *strides, *(x.strides[i] for i in after))
    return View(x.buffer, full, walked, offset), found


def _line(index: View, size: int) -> tuple[int, list[int]] | None:
    """Start and steps of constant indices that are start + i * steps[0] + j * steps[1] ..."""
    values = _known(index)
    if values is None or not values.size or not _inside(values, size):
        return None
    values = np.where(values < 0, values + size, values)
    corner = (0,) * values.ndim
    start = values[corner]
    steps = [
        np.moveaxis(values, d, 0)[(1, *corner[1:])] - start if n > 1 else 0
        for d, n in enumerate(values.shape)
    ]
    grid: Any = np.indices(values.shape, sparse=True)
    line = sum((i * step for i, step in zip(grid, steps)), start)
    return (int(start), [int(s) for s in steps]) if (values == line).all() else None


def _inside(values: np.ndarray, size: int) -> bool:
    return bool(((values >= -size) & (values < size)).all())


def _known(index: View) -> np.ndarray | None:
    """The numbers in a view of a constant."""
    value = index.buffer.value
    if value is None:
        return None
    size = index.dtype.itemsize
    strides = tuple(s * size for s in index.strides)
    flat = value.reshape(-1)
    return np.ndarray(index.shape, index.dtype, flat, index.offset * size, strides).astype(np.int64)


class _Made:
    """What most of the statements have in common: they read x, write out and cannot fail."""

    x: View
    out: View
    fails: ClassVar[bool] = False

    @property
    def reads(self) -> list[View]:
        return [self.x]

    @property
    def writes(self) -> list[View]:
        return [self.out]


@dataclass
class Gather(_Made):
    """out = x at arrays of indices for `axes`; see `places`."""

    x: View
    indices: list[View]
    axes: tuple[int, ...]
    out: View

    @property
    def reads(self) -> list[View]:
        return [self.x, *self.indices]

    @property
    def walked(self) -> tuple[View, list[Index]]:
        """x as a loop over the elements of `out` walks it."""
        return places(self.x, self.indices, self.axes)

    def __str__(self) -> str:
        return f"gather {self.out.shape} from {self.x.shape} at {_listed(self.axes)}"


@dataclass
class Scatter(_Made):
    """out = x with v written ("set", the last wins) or added ("add") in its row-major order."""

    x: View
    v: View
    indices: list[View]
    axes: tuple[int, ...]
    mode: str
    out: View

    @property
    def reads(self) -> list[View]:
        return [self.x, self.v, *self.indices]

    @property
    def walked(self) -> tuple[View, list[Index]]:
        """out as a loop over the elements of `v` walks it."""
        return places(self.out, self.indices, self.axes)

    @property
    def in_place(self) -> bool:
        """Whether out is the memory of x, so that there is nothing to copy."""
        x, out = self.x, self.out
        return x.buffer.place is out.buffer.place and x.offset == out.offset and x.contiguous

    def may_replace(self, buffer: Buffer) -> bool:
        """Whether out may be the memory of `buffer`, though the statement reads that."""
        x = self.x
        whole = x.contiguous and x.offset == 0 and math.prod(x.shape) == buffer.size
        others = [v.buffer.place for v in (self.v, *self.indices)]
        return x.buffer.place is buffer.place and whole and buffer.place not in others

    def __str__(self) -> str:
        return f"scatter {self.mode} {self.v.shape} to {self.out.shape} at {_listed(self.axes)}"


def _listed(axes: tuple[int, ...]) -> str:
    return f"ax{'i' if len(axes) == 1 else 'e'}s {', '.join(map(str, axes))}"


@dataclass
class ArgReduce(_Made):
    """out = where the first "max" or "min" along axis `axis` is; nan is the best of all."""

    best: str
    x: View
    axis: int
    out: View

    def __str__(self) -> str:
        return f"arg{self.best} {self.x.shape} over axis {self.axis}"


@dataclass
class Scan(_Made):
    """out = the sums of the first 1, 2, ... elements of x along axis `axis`, in out's dtype."""

    x: View
    axis: int
    out: View

    def __str__(self) -> str:
        return f"scan {self.x.shape} along axis {self.axis}"


@dataclass
class RandomBits(_Made):
    """out = the uint32 numbers that a state, key and next block, determines."""

    state: View
    out: View

    @property
    def reads(self) -> list[View]:
        return [self.state]

    def __str__(self) -> str:
        return f"random bits {self.out.shape}"


@dataclass
class Sort(_Made):
    """out = the stable order of x along axis `axis`; nan is the largest.

    Scratch is twice the words of one line: key and index in one uint64, or each in its own.
    """

    x: View
    axis: int
    descending: bool
    out: View
    scratch: View

    @staticmethod
    def parts(x: View, axis: int) -> int:
        """How many uint64 key and index take together."""
        return 1 if x.dtype.itemsize <= 4 and x.shape[axis] <= 2**32 else 2

    @property
    def writes(self) -> list[View]:
        return [self.out, self.scratch]

    def __str__(self) -> str:
        return f"sort {self.x.shape} along axis {self.axis}{' descending' * self.descending}"


Indexed = Check | Gather | Scatter | ArgReduce | Scan | RandomBits | Sort

# -- rules -----------------------------------------------------------------------------------------


class Builder(Protocol):
    """What the rules need of the builder of kernels."""

    views: dict[Node, View]
    statements: list[Any]

    def buffer(self, type: TensorType) -> View:
        """A new buffer of the arena."""


Rule = Callable[[Builder, Node], View | None]


def _check(builder: Builder, x: TensorType, indices: Sequence[View], axes: tuple) -> None:
    """One check for each array and size that is not known to be right."""
    if 0 in np.broadcast_shapes(*[i.shape for i in indices]):
        return  # nothing is looked up
    for axis, i in zip(axes, indices):
        size, known = x.shape[axis], _known(i)
        if known is not None and _inside(known, size):
            continue
        shape = tuple(1 if stride == 0 else n for n, stride in zip(i.shape, i.strides))
        i = View(i.buffer, shape, i.strides, i.offset)
        checks = (s for s in builder.statements if isinstance(s, Check))
        if not any(c.index == i and c.size == size for c in checks):
            builder.statements.append(Check(i, size, axis))


def _gather(builder: Builder, node: Node) -> View | None:
    x, *indices = (builder.views[i] for i in node.inputs)
    if x.dtype.kind == "c" or any(i.dtype not in integral for i in indices):
        return None
    axes = node.attrs["axes"]
    _check(builder, node.inputs[0].type, indices, axes)
    out = builder.views[node]
    if 0 not in out.shape:
        builder.statements.append(Gather(x, indices, axes, out))
    return out


def _scatter(builder: Builder, node: Node) -> View | None:
    x, v, *indices = (builder.views[i] for i in node.inputs)
    if x.dtype.kind == "c" or v.dtype != x.dtype or any(i.dtype not in integral for i in indices):
        return None
    axes = node.attrs["axes"]
    _check(builder, node.inputs[0].type, indices, axes)
    out = builder.views[node]
    if 0 not in out.shape:
        v = v.broadcast(places(out, indices, axes)[0].shape)
        builder.statements.append(Scatter(x, v, indices, axes, node.attrs["mode"], out))
    return out


def _arg_reduce(best: str) -> Rule:
    def rule(builder: Builder, node: Node) -> View | None:
        x, axis = builder.views[node.inputs[0]], node.attrs["axis"]
        if x.dtype.kind == "c":
            return None
        out = builder.views[node]
        if 0 not in out.shape:
            row = out.reshaped((*x.shape[:axis], *x.shape[axis + 1 :]))
            builder.statements.append(ArgReduce(best, x, axis, row))
        return out

    return rule


def _cumsum(builder: Builder, node: Node) -> View | None:
    x = builder.views[node.inputs[0]]
    if x.dtype.kind == "c":
        return None
    out = builder.views[node]
    if 0 not in out.shape:
        builder.statements.append(Scan(x, node.attrs["axis"], out))
    return out


def _random_bits(builder: Builder, node: Node) -> View:
    out = builder.views[node]
    if 0 not in out.shape:
        builder.statements.append(RandomBits(builder.views[node.inputs[0]], out))
    return out


def _argsort(builder: Builder, node: Node) -> View | None:
    x, axis = builder.views[node.inputs[0]], node.attrs["axis"]
    if x.dtype.kind == "c":
        return None
    out = builder.views[node]
    if 0 not in out.shape:
        words = 2 * x.shape[axis] * Sort.parts(x, axis)
        scratch = builder.buffer(TensorType((words,), uint64))
        builder.statements.append(Sort(x, axis, node.attrs["descending"], out, scratch))
    return out


RULES: dict[str, Rule] = {
    "gather": _gather,
    "scatter": _scatter,
    "argmax": _arg_reduce("max"),
    "argmin": _arg_reduce("min"),
    "cumsum": _cumsum,
    "random_bits": _random_bits,
    "argsort": _argsort,
}
