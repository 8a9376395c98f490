"""arrays: a program of array operations, described by where their operands lie.

    group     one array operation; a group "add" adds up its terms
    term      a product of one or two factors, added up over axes behind those of the group
    operand   a factor: a strided view of a source, or elements gathered from it
    source    an input, data, a group's results, or several operands one behind the other

`Reader` carries such a program out by the library's operations.  May import the floor, ops,
kernel.scalars and passes.affine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from ..graph.apply import apply
from ..kernel.scalars import Kind
from ..ops.contract import matmul
from ..ops.declare import constant
from ..ops.gather import gather, scatter
from ..ops.movement import broadcast_to, concat, permute_dims, reshape
from ..ops.reduce import sum as sum_over
from ..tensor import Tensor
from .affine import Affine, overlap, row_major, view

# Seconds for values and derivatives, roughly.
GROUP, ELEMENT, GATHERED = 120e-9, 0.2e-9, 2e-9


@dataclass(eq=False)
class Source:
    """An array that operands are read from: an input, or several others one behind the other."""

    name: str
    shape: tuple[int, ...]
    parts: list[Operand] = field(default_factory=list)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class Data(Source):
    """Slots that lie nowhere by themselves, in an order in which they are read."""

    slots: np.ndarray = field(kw_only=True)


@dataclass(eq=False)
class Group(Source):
    """One array operation: the results of a family.

    kind    the operation
    terms   what it applies to; a group of additions adds them up
    slots   where the results go on the tape
    sums    for sums of different lengths, whose terms are one vector: which sum each belongs to
    """

    kind: Kind = field(kw_only=True)
    terms: list[Term] = field(default_factory=list)
    sums: np.ndarray | None = None
    slots: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __str__(self) -> str:
        return f"{self.name} {self.shape}: {', '.join(map(str, self.terms))}"


@dataclass(eq=False)
class Operand:
    """Elements of a source, over the axes of the term they stand in.

    places   a strided view, or an array of places; axes of size 1 are broadcast
    number   a value that is known instead
    """

    source: Source
    places: Affine | np.ndarray
    number: np.generic | None = None

    @property
    def gathered(self) -> int:
        """The number of elements that have no regular places."""
        return 0 if isinstance(self.places, Affine) else self.places.size

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes, 1 for those that are broadcast."""
        if self.number is not None:
            return ()
        if isinstance(self.places, Affine):
            return tuple(n if s else 1 for n, s in zip(self.places.sizes, self.places.strides))
        return self.places.shape

    def at(self, axis: int, number: int) -> Operand:
        """What is number `number` along an axis, over the other axes."""
        if self.number is not None:
            return self
        if isinstance(self.places, Affine):
            return Operand(self.source, self.places.at(axis, number))
        place = number if self.places.shape[axis] > 1 else 0
        return Operand(self.source, self.places.take(place, axis))

    @property
    def overlap(self) -> int | None:
        """The axis along which windows move that overlap."""
        if self.number is not None or not isinstance(self.places, Affine):
            return None
        return overlap(self.places, self.source.size)

    def __str__(self) -> str:
        if self.number is not None:
            return str(self.number)
        if isinstance(self.places, Affine):
            return f"{self.source.name}+{self.places.offset}{list(self.places.strides)}"
        return f"{self.source.name}{list(self.places.shape)} gathered"


@dataclass(eq=False)
class Term:
    """A product of one or two factors, added up over the axes `inner` behind those of the group."""

    factors: list[Operand]
    inner: tuple[int, ...] = ()

    def along(self, rank: int, axis: int) -> list[Term]:
        """Terms that add up to this one, for each place along an inner axis."""
        inner = (*self.inner[: axis - rank], *self.inner[axis - rank + 1 :])
        count = self.inner[axis - rank]
        return [Term([x.at(axis, i) for x in self.factors], inner) for i in range(count)]

    def __str__(self) -> str:
        product = " * ".join(map(str, self.factors))
        return f"sum{list(self.inner)} {product}" if self.inner else product


def seconds(groups: Iterable[Group]) -> float:
    """An estimate of the time that values and derivatives take."""
    count = elements = gathered = 0
    for group in groups:
        count += 1
        for term in group.terms:
            elements += math.prod(group.shape) * math.prod(term.inner)
            gathered += sum(x.gathered for x in term.factors)
        gathered += 0 if group.sums is None else group.sums.size
    return count * GROUP + elements * ELEMENT + gathered * GATHERED


class Reader:
    """The values of sources, and what has been read of them.

    data    makes a vector of slots
    """

    def __init__(self, values: dict[Source, Tensor], data: Callable[[Data], Tensor]) -> None:
        self.values = values
        self.data = data
        self.read: dict[tuple, Tensor] = {}

    def run(self, groups: Iterable[Group]) -> None:
        """Compute groups from what they read, which comes before them."""
        for group in groups:
            self.values[group] = _computed(group, self)

    def __call__(self, operand: Operand) -> Tensor:
        """The elements of an operand; axes of size 1 are broadcast."""
        if operand.number is not None:
            return constant(np.array(operand.number))
        source, places = operand.source, operand.places
        if isinstance(places, np.ndarray):
            return gather(self.flat(source), (constant(places),), (0,))
        whole = Affine(0, source.shape, row_major(source.shape))
        if places == whole and source in self.values:
            return self.values[source]
        key = (source, places)
        if key not in self.read:
            self.read[key] = view(self.flat(source), places)
        return self.read[key]

    def changing(self, operand: Operand) -> tuple[Tensor, list[int]]:
        """The elements of an operand, and which axes it has: those that are not broadcast."""
        axes = [i for i, n in enumerate(operand.shape) if n > 1]
        places = operand.places
        if isinstance(places, Affine):
            sizes = tuple(places.sizes[i] for i in axes)
            places = Affine(places.offset, sizes, tuple(places.strides[i] for i in axes))
        else:
            places = places.reshape([n for n in places.shape if n > 1])
        return self.full(Operand(operand.source, places)), axes

    def full(self, operand: Operand) -> Tensor:
        """The elements of an operand, none left to be broadcast."""
        places = operand.places
        sizes = places.sizes if isinstance(places, Affine) else places.shape
        return broadcast_to(self(operand), sizes)

    def flat(self, source: Source) -> Tensor:
        """All elements of a source along one axis."""
        if (source,) not in self.read:
            if isinstance(source, Data):
                x = self.data(source)
            elif source.parts:
                x = concat([reshape(self.full(p), (-1,)) for p in source.parts])
            else:
                x = reshape(broadcast_to(self.values[source], source.shape), (-1,))
            self.read[(source,)] = x
        return self.read[(source,)]


def _computed(group: Group, read: Reader) -> Tensor:
    """The results of a group; axes of size 1 are broadcast."""
    if group.sums is not None:
        all_terms = read.full(group.terms[0].factors[0])
        zeros = constant(np.zeros(group.shape, all_terms.dtype))
        return scatter(zeros, all_terms, (constant(group.sums),), (0,), "add")
    values = [_added_up(term, read, len(group.shape)) for term in group.terms]
    if group.name != "add":
        return apply(group.kind.op, tuple(values), group.kind.attrs)
    return _sum(values)


def _sum(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _added_up(term: Term, read: Reader, rank: int) -> Tensor:
    """The product of a term's factors, added up over the axes from `rank` on."""
    inner = list(range(rank, rank + len(term.inner)))
    if inner and len(term.factors) == 2:
        a, b = term.factors
        rows, columns = ([i for i, n in enumerate(x.shape) if n > 1] for x in (a, b))
        shared = [i for i in rows if i in columns]
        rows, columns = ([i for i in axes if i not in shared] for axes in (rows, columns))
        if rows and columns and shared[len(shared) - len(inner) :] == inner:
            if columns[0] < rows[0]:
                a, b, rows, columns = b, a, columns, rows
            each = [[i] for i in shared if i < rank]
            left = _laid_out(a, read, [*each, rows, inner])
            right = _laid_out(b, read, [*each, inner, columns])
            sizes = [max(m, n) for m, n in zip(a.shape, b.shape)][:rank]
            return _in_order(matmul(left, right), [*sum(each, []), *rows, *columns], sizes)
    moving = [x.overlap for x in term.factors if inner]
    axis = next((i for i in moving if i is not None and i >= rank), None)
    if axis is not None:  # one window after the other, instead of a copy of all of them
        return _sum([_added_up(t, read, rank) for t in term.along(rank, axis)])
    product = math.prod([read(x) for x in term.factors[1:]], start=read(term.factors[0]))
    if not inner:
        return product
    full = broadcast_to(product, (*product.shape[:rank], *term.inner))
    return sum_over(full, axis=tuple(inner))


def _in_order(x: Tensor, axes: list[int], sizes: list[int]) -> Tensor:
    """Elements that lie over the axes `axes`, in that order, over all axes, of these sizes."""
    x = reshape(x, tuple(sizes[i] for i in axes))
    if axes != sorted(axes):
        x = permute_dims(x, [axes.index(i) for i in sorted(axes)])
    return reshape(x, tuple(sizes))


def _laid_out(operand: Operand, read: Reader, axes: list[list[int]]) -> Tensor:
    """The operand with one axis for each list of its axes, the others left out."""
    x, present = read.changing(operand)
    order = [present.index(i) for each in axes for i in each]
    if order != sorted(order):
        x = permute_dims(x, order)
    return reshape(x, tuple(math.prod(operand.shape[i] for i in each) for each in axes))
