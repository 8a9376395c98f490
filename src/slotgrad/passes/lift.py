"""lift: scalars to arrays.

A program that computes with single numbers mostly does the same thing many times: its operations
fall into families (see families.py), and a family is one operation on arrays if its operands lie
regularly.

    1. Each family's results are an array, in the order in which they were recorded.
    2. The operands of a family are arrays of places in other families' results.  Places that count
       in even steps are a strided view (see affine.py), others are gathered; steps of 0 are
       broadcasting.
    3. A sum of many terms is cut into runs of terms from one family: sums over axes.  Where that
       family multiplies and is used for nothing else, the run is a sum of products: a matrix
       product, if each factor has an axis of its own.
    4. What comes out (see arrays.py) applies the library's operations to tensors.

Columns are those of a tape (see lift_tape.py) or are made of a region's nodes (lift_region.py).
May import the floor, kernel.scalars and the passes it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..kernel.scalars import FIRST_OPERATION, NUMBER, Kind, code_of
from .affine import Affine, affine, fits, row_major, sizes_of
from .arrays import Data, Group, Operand, Source, Term
from .families import ADD, Family

DATA = 0  # number of the source of numbers and other data
MUL, POW = code_of["mul"], code_of["pow"]
FEW_TERMS = 4  # terms that are added one by one; more are worth a sum over an axis
FEW_PRODUCTS = 2  # runs of products that are worth an operation each, however short
LONG_RUN = 4  # terms in a run that is worth an operation
MOST_RUNS = 16
ENOUGH = 1024  # elements that tell in which direction all go

Run = list[np.ndarray]  # terms of a sum: slots for (element, term), an array for each factor


@dataclass
class _Located:
    """Slots for (element, term), their places in a source, and the places in affine form.

    Data have no places yet; not all places have a form.
    """

    slots: np.ndarray
    source: Source
    places: np.ndarray | None
    form: Affine | None


class Lifting:
    """The sources of all slots, and the groups that have been described.

    code, values   of slots
    kinds          what the codes of operations stand for
    given          the sources of slots that are not computed; the first one is number 1
    home, place    of slots that are not computed: the number of the source, and where in it;
                   numbers and other data have the source DATA, and no place yet
    loose          data that are copied once, to where they are first read from; other data are
                   numbers then, which stay as they are, and can be everywhere
    """

    def __init__(
        self,
        code: np.ndarray,
        values: np.ndarray,
        kinds: Sequence[Kind],
        given: Sequence[Source],
        home: np.ndarray,
        place: np.ndarray,
        loose: np.ndarray | None = None,
    ) -> None:
        self.code = code
        self.values = values
        self.kinds = kinds
        self.known = loose is not None
        self.loose = np.zeros(code.size, bool) if loose is None else loose
        self.sources: list[Source] = [Source("data", (0,)), *given]
        self.home = home
        self.place = place
        self.family: dict[int, Family] = {}  # those with a source of their own, by number
        self.groups: list[Group] = []
        self.located: dict[int, _Located] = {}  # by id of the array, which it holds
        self.blocks: dict[bytes, Data] = {}  # by their slots
        self.equal: list[tuple[np.ndarray, np.ndarray]] = []  # numbers that must be equal
        self.fixed: list[int] = []  # numbers that must stay
        self.bits = values.view(f"i{values.itemsize}")

    # -- families to groups ------------------------------------------------------------------------

    def enter(self, family: Family) -> None:
        """Give a family its source.  Products that are only added up may never need it."""
        self.settle(family.operands)
        if self.descends(family.operands[:ENOUGH]):  # as in the derivative of a loop
            family.turn()
        kind, size = self.kinds[family.code - FIRST_OPERATION], family.slots.size
        group = Group(kind.op.name, (size,), kind=kind, slots=family.slots)
        number = len(self.sources)
        self.sources.append(group)
        self.home[family.slots] = number
        self.place[family.slots] = np.arange(family.slots.size)
        self.family[number] = family
        if not self.only_added(family):
            self.describe(number)

    def settle(self, operands: np.ndarray) -> None:
        """Put the loose data among operands one behind the other, in the order of reading."""
        slots = operands.T.reshape(-1)
        slots = slots[self.loose[slots]]
        if slots.size:
            slots = slots[np.sort(np.unique(slots, return_index=True)[1])]
            self.loose[slots] = False
            self.home[slots] = len(self.sources)
            self.place[slots] = np.arange(slots.size)
            self.sources.append(Data("data", (slots.size,), slots=slots))

    def descends(self, slots: np.ndarray) -> bool:
        """Whether the places of slots go down from row to row, more often than up."""
        steps = np.diff(self.position(slots), axis=0)
        return bool(np.count_nonzero(steps < 0) > np.count_nonzero(steps > 0))

    def only_added(self, family: Family) -> bool:
        goal = family.consumer
        added = goal is not None and goal.code == ADD and goal.sums is None
        return family.code == MUL and added

    def describe(self, number: int) -> None:
        """Find the terms of a group."""
        group = self.sources[number]
        if not isinstance(group, Group) or group.terms:
            return
        family = self.family[number]
        if family.sums is not None:
            self.describe_sums(group, family.operands[:, 0], family.sums)
        else:
            if family.code == ADD:
                runs = self.runs(family.operands)
            else:
                runs = [[column[:, None]] for column in family.operands.T]
            group.shape, group.terms = self.terms(family.slots.size, runs)
        self.located.clear()
        if self.known and family.sums is None:
            for term in group.terms:
                self.fix(term)
        elif family.code == POW:  # powers with known exponents are simpler
            self.fix(group.terms[1])
        self.groups.append(group)

    def describe_sums(self, group: Group, operands: np.ndarray, sums: np.ndarray) -> None:
        """Sums of different lengths: their terms in the order in which they lie."""
        order = np.argsort(self.position(operands), kind="stable")
        group.sums = sums[order]
        group.terms = [Term([self.operand(operands[order])])]

    def fix(self, term: Term) -> None:
        """Take a single number as known."""
        operand, *others = term.factors
        if isinstance(operand.source, Data) and operand.source.size == 1 and not others:
            slot = int(operand.source.slots[0])
            if self.code[slot] == NUMBER:
                operand.number = self.values[slot]
                self.fixed.append(slot)

    # -- sums --------------------------------------------------------------------------------------

    def runs(self, operands: np.ndarray) -> list[Run]:
        """The terms of sums, a row for each sum, by source."""
        homes = self.home[operands]
        one = (homes == homes[0]).all(0)
        head = np.where(one, homes[0], -1)
        order = np.argsort(head, kind="stable")  # the order of terms is free
        if self.descends(operands[:ENOUGH, order].T):
            order = head.size - 1 - np.argsort(head[::-1], kind="stable")
        operands, head = operands[:, order], head[order]
        starts = [0, *(np.flatnonzero(np.diff(head)) + 1).tolist(), head.size]
        found: list[Run] = []
        for start, end in zip(starts, starts[1:]):
            found += self.span(int(head[start]), operands[:, start:end])
        if self.known and any(run[0].shape[1] > 1 for run in found):
            return [run for run in found if not self.is_zero(run)]  # sums over axes begin with 0
        return found

    def is_zero(self, run: Run) -> bool:
        """Whether the terms are nothing but the number 0, as `sum` in Python begins with."""
        slots = run[0]
        return len(run) == 1 and bool(
            ((self.code[slots] == NUMBER) & (self.bits[slots] == 0)).all()
        )

    def span(self, home: int, terms: np.ndarray) -> list[Run]:
        """Runs of terms that come from one source (-1: from several)."""
        family = self.family.get(home)
        if family is None or not self.only_added(family):
            return self.regular([terms], FEW_TERMS, FEW_TERMS) or [[terms]]
        factors = [family.operands[self.place[terms], i] for i in (0, 1)]
        found = self.regular(factors, 1, FEW_PRODUCTS)
        if found is None and any(self.is_regular(x) for x in factors):
            found = [factors]  # the other one is gathered
        if found is None:
            self.describe(home)
            found = [[terms]]
        return found

    def regular(self, factors: list[np.ndarray], shortest: int, most: int) -> list[Run] | None:
        """One run or several, the places of each in even steps; None if there is no such order.

        shortest   terms that are worth a run
        most       runs that need not be long
        """
        width = factors[0].shape[1]
        if width >= shortest and all(self.is_regular(x) for x in factors):
            return [factors]
        changes = np.zeros(max(width - 1, 0), bool)
        steps = np.zeros((len(factors), max(width - 1, 0)), np.int64)
        for i, x in enumerate(factors):
            if (self.home[x] == DATA).all():
                continue  # data are laid out as needed
            ahead = np.diff(self.position(x), axis=1)
            steps[i] = ahead[0]
            changes |= (ahead != ahead[0]).any(0)
        found, start = [], 0
        while start < width:
            same = (steps[:, start:] == steps[:, start : start + 1]).all(0) & ~changes[start:]
            end = start + 1 + (int(np.argmin(same)) if not same.all() else same.size)
            if end - start < shortest:
                end = start + 1
            found.append([x[:, start:end] for x in factors])
            start = end
            if len(found) > max(most, min(width // LONG_RUN, MOST_RUNS)):
                return None
        return found

    def is_regular(self, slots: np.ndarray) -> bool:
        """Whether the places of the slots make a view."""
        homes = self.home[slots]
        if (homes != homes[0, 0]).any():
            return False
        x = self.locate(slots)
        if x.places is None or x.form is None:
            return x.places is None
        whole = sizes_of({*x.form.cuts, slots.shape[1]}) is not None
        return whole and fits(x.form, x.source.size)

    def position(self, slots: np.ndarray) -> np.ndarray:
        """Places, told apart by their sources."""
        return self.home[slots].astype(np.int64) << 32 | self.place[slots]

    # -- places ------------------------------------------------------------------------------------

    def terms(self, size: int, runs: Sequence[Run]) -> tuple[tuple[int, ...], list[Term]]:
        """Axes for `size` elements that suit all operands, and the operands over them."""
        outer = {size}
        found: list[tuple[set[int], list[_Located]]] = []
        for run in runs:
            width = run[0].shape[1]
            inner, factors = {width}, []
            for slots in run:
                x = self.locate(slots)
                agreed = x.form and _agree(x.form, width, outer, inner)
                if agreed:
                    outer, inner = agreed
                factors.append(x if agreed else replace(x, form=None))
            found.append((inner, factors))
        shape = sizes_of(outer) or ()
        terms = []
        for inner, factors in found:
            axes = sizes_of(inner) or ()
            terms.append(Term([self.over((*shape, *axes), x) for x in factors], axes))
        return shape, terms

    def over(self, sizes: tuple[int, ...], x: _Located) -> Operand:
        """Located slots over axes."""
        if x.places is None:
            return self.lay_out(x.slots.reshape(sizes))
        if x.form is not None and fits(x.form.over(sizes), x.source.size):
            return Operand(x.source, x.form.over(sizes))
        return Operand(x.source, _without_repeats(x.places.reshape(sizes)))

    def locate(self, slots: np.ndarray) -> _Located:
        """The source of slots and their places there; looked up once for each array."""
        found = self.located.get(id(slots))
        if found is None:
            source, places = self.find(slots.reshape(-1))
            form = None if places is None else affine(places)
            form = form and _in_axes_of(source, form)
            found = self.located[id(slots)] = _Located(slots, source, places, form)
        return found

    def find(self, slots: np.ndarray) -> tuple[Source, np.ndarray | None]:
        """The source of slots, and where in it they are; data have no places yet."""
        homes = self.home[slots]
        home = int(homes[0])
        if (homes == home).all():
            self.describe(home)
            return self.sources[home], None if home == DATA else self.place[slots]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(homes)) + 1])
        if starts.size <= MOST_RUNS:
            parts = [self.operand(part) for part in np.split(slots, starts[1:])]
            return Source("joined", (slots.size,), parts), np.arange(slots.size)
        return self.join(slots, homes)

    def join(self, slots: np.ndarray, homes: np.ndarray) -> tuple[Source, np.ndarray]:
        """All sources of some slots one behind the other, and the places there."""
        begins = np.zeros(len(self.sources), np.int64)
        places = self.place[slots]
        parts: list[Operand] = []
        begin = 0
        for home in np.unique(homes).tolist():
            begins[home] = begin
            mine = homes == home
            used, places[mine] = np.unique(slots[mine], return_inverse=True)
            parts.append(self.operand(used))
            begin += used.size
        return Source("joined", (begin,), parts), places + begins[homes]

    def operand(self, slots: np.ndarray) -> Operand:
        """Slots as a vector."""
        return self.terms(slots.size, [[slots[:, None]]])[1][0].factors[0]

    def lay_out(self, slots: np.ndarray) -> Operand:
        """Data in the order in which they are read, those that repeat along an axis only once."""
        kept = slots
        for axis in range(slots.ndim):
            begin = kept.take([0], axis)
            if self.same_data(kept, begin).all():
                kept = begin
        if kept.size < slots.size:
            full = np.broadcast_to(kept, slots.shape)
            other = full != slots
            if other.any():
                self.equal.append((slots[other], full[other]))
        key = kept.tobytes()
        if key not in self.blocks:
            self.blocks[key] = Data("data", (kept.size,), slots=kept.reshape(-1))
        strides = [s if n > 1 else 0 for n, s in zip(kept.shape, row_major(kept.shape))]
        return Operand(self.blocks[key], Affine(0, slots.shape, tuple(strides)))

    def same_data(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where slots are one and the same, or numbers of equal value."""
        numbers = (self.code[x] == NUMBER) & (self.code[y] == NUMBER)
        return (x == y) | numbers & (self.bits[x] == self.bits[y])


def _in_axes_of(source: Source, form: Affine) -> Affine:
    """A view of a whole source in the source's own axes; other forms as they are."""
    whole = form.offset == 0 and form.sizes == (source.size,) and form.strides == (1,)
    return form.over(source.shape) if whole else form


def _agree(
    form: Affine, width: int, outer: set[int], inner: set[int]
) -> tuple[set[int], set[int]] | None:
    """The cuts of elements and of terms, with those of the form; None where they do not fit."""
    cuts = {*form.cuts, width}
    wider = outer | {c // width for c in cuts if c >= width}
    deeper = inner | {c for c in cuts if c <= width}
    fit = all(sizes_of(c) is not None for c in (cuts, wider, deeper))
    return (wider, deeper) if fit else None


def _without_repeats(places: np.ndarray) -> np.ndarray:
    """An array of places with size 1 along the axes where it does not change."""
    for axis in range(places.ndim):
        begin = places.take([0], axis)
        if (places == begin).all():
            places = begin
    return places
