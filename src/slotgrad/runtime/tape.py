"""The interpreter of tapes: values and gradients of scalar graphs of any size, without compiling.

A tape is three columns (see kernel/scalars.py).  What an operation does is native code that is
generated once from its record, runs over a stretch of slots and is found on the disk the next
time; the first time it is made quickly, and a thread makes the best.

The tape is sorted by level and kind, so that the slots of a stretch lie one behind the other and do
not depend on each other; places in that order are what `forward` and `backward` work with.  Those
of a long tape lie in the order in which they are read, too, which halves the time that goes with
waiting for memory.

>>> import numpy as np
>>> from slotgrad.kernel.scalars import LEAF
>>> code = np.array([LEAF, LEAF, code_of["add"], code_of["mul"]], np.uint8)  # (a + b) * a
>>> first, second = np.array([-1, -1, 0, 2], np.int32), np.array([-1, -1, 1, 0], np.int32)
>>> f = Interpreter(code, first, second)
>>> values = f.placed(np.array([2.0, 3.0, 0.0, 0.0]))
>>> f.forward(values)
>>> f.restored(values)
array([ 2.,  3.,  5., 10.])
>>> gradients = f.placed(np.array([0.0, 0.0, 0.0, 1.0]))
>>> f.backward(values, gradients)
>>> f.restored(gradients)
array([7., 2., 2., 1.])

May import the floor, kernel, targets and the rest of runtime.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import numpy as np

from ..dtypes import float64
from ..errors import InternalError
from ..kernel.scalars import CODES, FIRST_OPERATION, arity_of, code_of
from ..targets.sweeps import sweeps_text
from ..targets.tape import CHEAP, backward_name, backward_text, forward_text
from .background import use_at_once
from .host import host
from .layout import address_of
from .llvm import Library, side_by_side

# A kind is a code, or one of these with the operands that are numbers and want no gradient.
FIRST_IS_NUMBER, SECOND_IS_NUMBER, KINDS = 32, 64, 128
UNKNOWN = 255

NEAR = (2 << 20) // 24  # slots whose values, gradients and operands a cache of 2 MiB holds
assert FIRST_OPERATION + len(CODES) <= FIRST_IS_NUMBER
_CODES = set(code_of.values())
_CHEAP = {code_of[name] for name in CHEAP}


class Interpreter:
    """Runs a tape.

    code, first, second    the columns, which must not change
    outputs                slots that are wanted: nothing is done for those that they do not
                           depend on; None: all

    count       number of slots
    place       of each slot, by slot
    leaves      how many places come first that no operation computes, in the order of recording
    """

    def __init__(
        self, code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Any = None
    ) -> None:
        self.count = n = len(code)
        code = _column(code, np.uint8, n, "code")
        first, second = _column(first, np.int32, n, "first"), _column(second, np.int32, n, "second")
        kinds, counts = _classified(code, first, second, outputs)
        self.leaves = int(counts[0])
        self._codes = {kind % FIRST_IS_NUMBER for kind in np.flatnonzero(counts).tolist() if kind}
        _prepare(_forward, self._codes)
        begins, kinds, self.place, first, second = self._sort(kinds, counts, first, second)
        self._turns = len(kinds)
        self._columns = begins, kinds, first, second  # their addresses are passed
        self._up, self._down = (
            _words((begins, kinds, table, first, second)) for table in (_FORWARD, _BACKWARD)
        )

    def _sort(
        self, kinds: np.ndarray, counts: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """By level and kind, otherwise in the order of recording or, of many, that of readers.

        Returns where stretches begin, their kinds, the places, and the operands by place.
        """
        n = self.count
        levels, sizes = np.empty(n, np.int32), np.zeros(n + 1, np.int32)
        _call("level", kinds, first, second, levels, sizes, n)
        order, place = np.empty(n, np.int32), np.empty(n, np.int32)
        _call("by_kind", kinds, np.cumsum(counts) - counts, order, n)
        depth = int(levels.max(initial=0)) + 1
        ends = np.cumsum(sizes[:depth], dtype=np.int32) - sizes[:depth]
        del sizes
        _call("by_level", order, levels, ends, place, n)  # the begin of each level becomes its end
        del levels, order
        columns = np.empty(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32)
        _call("arrange", kinds, first, second, place, *columns, n)
        begins, kinds = np.empty(n + 1 - self.leaves, np.int32), np.empty(n - self.leaves, np.uint8)
        number = _call("divide", columns[0], ends, self.leaves, begins, kinds, n)
        operands = columns[1:]
        if n > NEAR:
            operands = self._sort_by_reader(begins[: number + 1], place, *operands)
        number = _call("join", begins, kinds, _least(), number)
        return begins[: number + 1].copy(), kinds[:number].copy(), place, *operands

    def _sort_by_reader(
        self, begins: np.ndarray, place: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change the places to the order of readers within stretches; returns the operands."""
        n = self.count
        leaves, stretches = np.arange(self.leaves), np.arange(len(begins) - 1)
        moved = np.concatenate([leaves, np.repeat(~stretches, np.diff(begins))], dtype=np.int32)
        at = np.full(n, -1, np.int32)
        operands = np.empty(n, np.int32), np.empty(n, np.int32)
        ends = begins[1:].copy()
        _call("by_reader", first, second, ends, at, moved, *operands, self.leaves, n)
        _call("rename", place, moved, n)
        return operands

    def forward(self, values: np.ndarray) -> None:
        """Compute the values of all places, but for leaves and numbers."""
        self._run("up", self._up, values, values)

    def backward(self, values: np.ndarray, gradients: np.ndarray) -> None:
        """Add to the gradient of every place what follows from those that depend on it.

        Gradients of numbers are left as they are.
        """
        _prepare(_backward, self._codes)
        self._run("down", self._down, values, gradients)

    def _run(
        self, name: str, columns: list[int], values: np.ndarray, gradients: np.ndarray
    ) -> None:
        for x, what in ((values, "values"), (gradients, "gradients")):
            if x.dtype != float64 or x.shape != (self.count,) or not x.flags.c_contiguous:
                raise InternalError(
                    f"tape: got {what} of shape {x.shape} and dtype {x.dtype}; expected a"
                    f" contiguous array of {self.count} float64"
                )
        _call(name, *columns, values, gradients, self._turns)

    # -- slots and places --------------------------------------------------------------------------

    def placed(self, x: np.ndarray) -> np.ndarray:
        """An array by slots as one by places."""
        x = np.ascontiguousarray(x[: self.count], float64)
        out = np.empty(self.count)
        _call("scatter", x, self.place, out, self.count)
        return out

    def restored(self, x: np.ndarray) -> np.ndarray:
        """An array by places as one by slots."""
        out = np.empty(self.count)
        _call("gather", x, self.place, out, self.count)
        return out


# -- the columns -----------------------------------------------------------------------------------


def _column(x: np.ndarray, dtype: Any, n: int, name: str) -> np.ndarray:
    if x.dtype != dtype or x.shape != (n,):
        raise InternalError(
            f"tape: got a column {name} of shape {x.shape} and dtype {x.dtype}; expected {n}"
            f" elements of {np.dtype(dtype)}"
        )
    return np.ascontiguousarray(x)


def _classified(
    code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The kind of each slot, 0 where nothing is to be done, and how often each occurs."""
    n, arity = len(code), _arities()
    live = _live(code, first, second, outputs)
    kinds, counts = np.empty(n, np.uint8), np.zeros(256, np.int64)
    _call("classify", code, first, second, arity, live, kinds, counts, n)
    return kinds, counts


def needed_of(code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Any) -> np.ndarray:
    """The slots that outputs depend on, ascending."""
    return np.flatnonzero(_live(code, first, second, outputs))


def _live(code: np.ndarray, first: np.ndarray, second: np.ndarray, outputs: Any) -> np.ndarray:
    """1 for each slot that outputs depend on, 0 for others."""
    n = len(code)
    if not _libraries:  # what is needed first is compiled side by side
        _prepare(_forward, np.flatnonzero(np.bincount(code)).tolist(), _make_sweeps)
    live = np.zeros(n, np.uint8)
    live[... if outputs is None else outputs] = 1
    bad = _call("need", code, first, second, _arities(), live, n)
    if bad >= 0:
        raise InternalError(
            f"tape: slot {bad} has code {code[bad]} and operands {first[bad]}, {second[bad]};"
            " expected a known code, and as many operands as it has, which come before"
        )
    return live


@cache
def _arities() -> np.ndarray:
    """By code; 0 for what is no operation."""
    found = np.full(256, UNKNOWN, np.uint8)
    found[:FIRST_OPERATION] = 0
    found[FIRST_OPERATION : FIRST_OPERATION + len(CODES)] = [arity_of(c) for c in code_of.values()]
    return found


@cache
def _least() -> np.ndarray:
    """By kind: the number of slots from which on it is worth to make vectors of them."""
    cheap = [kind for kind in range(KINDS) if kind % FIRST_IS_NUMBER in _CHEAP]
    found = np.full(KINDS, host().lanes(float64), np.int32)
    found[cheap] = np.iinfo(np.int32).max
    return found


# -- native code -----------------------------------------------------------------------------------

# The addresses of what computes values and gradients, by kind; sweeps read them as they run.
_FORWARD, _BACKWARD = np.zeros(KINDS, np.int64), np.zeros(KINDS, np.int64)


_prepared: set[tuple[Callable[[int], None], int]] = set()


def _prepare(fill: Callable[[int], None], codes: Iterable[int], *more: Callable[[], None]) -> None:
    """Fill a table at the kinds of codes, where that has not been done, and do more beside."""
    missing = [c for c in codes if c in _CODES and (fill, c) not in _prepared]
    if missing or more:
        side_by_side([*more, *(partial(fill, c) for c in missing)])
        _prepared.update((fill, c) for c in missing)


def _forward(code: int) -> None:
    """Fill the table of values at the kinds of a code."""

    def enter(library: Library) -> None:
        _FORWARD[code::FIRST_IS_NUMBER] = library.address("forward")

    use_at_once(forward_text(code, host()), enter)


def _backward(code: int) -> None:
    """Fill the table of gradients at the kinds of a code."""

    def enter(library: Library) -> None:
        for kind in range(code, KINDS, FIRST_IS_NUMBER):
            numbers = (kind & FIRST_IS_NUMBER, kind & SECOND_IS_NUMBER)
            wanted = [j for j in range(arity_of(code)) if not numbers[j]]
            _BACKWARD[kind] = library.address(backward_name(wanted))

    use_at_once(backward_text(code, host()), enter)


_libraries: list[Library] = []  # of the sweeps, the best one last


def _make_sweeps() -> None:
    use_at_once(sweeps_text(host().lanes(float64)), _libraries.append)


def _sweeps() -> Library:
    if not _libraries:
        _make_sweeps()
    return _libraries[-1]


@cache
def _sweep(library: Library, name: str, arguments: int) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(library.address(name))


def _call(name: str, *arguments: Any) -> int:
    """Call a sweep with arrays and numbers."""
    return _sweep(_sweeps(), name, len(arguments))(*_words(arguments))


def _words(arguments: Iterable[Any]) -> list[int]:
    return [address_of(x) if isinstance(x, np.ndarray) else x for x in arguments]
