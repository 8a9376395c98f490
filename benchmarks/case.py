"""A case, the bar it shall reach, and the row of the table that it becomes.

A case describes one piece of work.  For each peer that can do it, it has a method of the peer's
name, which gets the peer's module and returns the callable to time:

    class Sine(Case):
        name = "sin of 65536 numbers"

        def slotgrad(self, sg):
            return partial(sg.compile(sg.sin), sg.tensor(normal(65536)))

        def numpy(self, np):
            return partial(np.sin, normal(65536))

The callable returns numbers, so that the parent can see that all peers compute the same.  Workers
make a case from its class and fields, which therefore must be what JSON can tell.

May import the standard library only: a worker shall load nothing but its peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

# Peer -> the package it lives in.  "eager" is slotgrad without compilation, "peak" the least time
# that the processor's arithmetic needs.
PEERS = {
    "slotgrad": "slotgrad",
    "jax": "jax",
    "torch": "torch",
    "numpy": "numpy",
    "casadi": "casadi",
    "micrograd": "micrograd",
    "eager": "slotgrad",
    "peak": "slotgrad",
}
OURS = "slotgrad"
REFERENCES = {"eager", "peak"}  # shown beside the peers, but nobody to be ahead of


def show(seconds: float) -> str:
    """Three digits and a unit.

    >>> show(0.0123), show(4.56e-7)
    ('12.3 ms', '456 ns')
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 0.9995:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds * 1e9)} ns"


def times(ratio: float) -> str:
    """A ratio with two digits at least: 0.35x, 1.42x, 24.7x, 315x."""
    return f"{ratio:.2f}x" if ratio < 9.995 else f"{_three_digits(ratio)}x"


def _three_digits(number: float) -> str:
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{decimals}f}"


def best(peers: Mapping[str, float]) -> float | None:
    """The time of the fastest peer; None where there is none."""
    return min((t for peer, t in peers.items() if peer not in REFERENCES), default=None)


class Bar(Protocol):
    """What a case shall reach."""

    def limit(self, peers: Mapping[str, float]) -> float | None:
        """The longest time that reaches it; None if it hangs on a peer that is not here."""


@dataclass(frozen=True)
class Within:
    """A bar in seconds."""

    seconds: float

    def limit(self, peers: Mapping[str, float]) -> float | None:
        return self.seconds

    def __str__(self) -> str:
        return show(self.seconds)


@dataclass(frozen=True)
class Ahead:
    """A bar of so many times the speed of a peer, or of the best one.

    >>> Ahead(2, "jax").limit({"jax": 6.0, "torch": 1.0}), Ahead(2).limit({"jax": 6.0})
    (3.0, 3.0)
    """

    factor: float = 1
    of: str = ""  # empty: the best

    def limit(self, peers: Mapping[str, float]) -> float | None:
        other = peers.get(self.of) if self.of else best(peers)
        return None if other is None else other / self.factor

    def __str__(self) -> str:
        other = self.of or "the best"
        return f"ahead of {other}" if self.factor == 1 else f"{self.factor:g}x {other}"


class All:
    """Several bars, each to be reached.

    >>> bar = All(Within(40e-6), Ahead(5, "casadi"))
    >>> print(bar)
    40.0 us, 5x casadi
    >>> bar.limit({"casadi": 1e-4}), bar.limit({"casadi": 1e-3})
    (2e-05, 4e-05)
    """

    def __init__(self, *bars: Bar) -> None:
        self.bars = bars

    def limit(self, peers: Mapping[str, float]) -> float | None:
        limits = [limit for bar in self.bars if (limit := bar.limit(peers)) is not None]
        return min(limits, default=None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.bars))


@dataclass(frozen=True)
class Row:
    """One line of the table: the work, our time and the peers' in seconds, the bar."""

    work: str
    threads: int
    ours: float
    peers: Mapping[str, float]
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the best peer we are."""
        other = best(self.peers)
        return None if other is None else other / self.ours

    @property
    def wanted(self) -> float | None:
        """The ratio at which the bar is reached."""
        other, limit = best(self.peers), self.bar.limit(self.peers) if self.bar else None
        return None if other is None or limit is None else other / limit

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        limit = self.bar.limit(self.peers) if self.bar else None
        return None if limit is None else self.ours <= limit


class Crew(Protocol):
    """What measures a case; `measure.Crew` is the one there is."""

    def present(self, case: Case) -> list[str]:
        """The peers that can do the work and are installed."""

    def alternate(self, case: Case, threads: int) -> dict[str, float]:
        """Median seconds of one call for each peer, measured in turns."""


@dataclass(frozen=True)
class Case:
    """One piece of work; see the module's docstring.  `threads`: with how many it is measured."""

    name: ClassVar[Any]  # the work, as the table calls it: a string or a property
    threads: ClassVar[tuple[int, ...]] = (1, 2)
    bar: Bar | None = field(default=None, kw_only=True)

    def peers(self) -> list[str]:
        """The peers that can do it."""
        return [peer for peer in PEERS if hasattr(self, peer)]

    def measure(self, crew: Crew, threads: int) -> dict[str, float]:
        """Seconds for each peer."""
        return crew.alternate(self, threads)

    def description(self) -> dict[str, Any]:
        """What a worker needs to make the case again."""
        kind = type(self)
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "bar"}
        return {"module": kind.__module__, "kind": kind.__name__, "fields": told}


@dataclass(frozen=True)
class Loop:
    """A callable that does the work of a case `times` times in one call, in a native loop."""

    run: Callable[[], object]
    times: float

    def __call__(self) -> object:
        return self.run()
