"""Loops over elements.

Programs that compute with one number after the other, as one writes them down at first: compiled
over elements of arrays, beside jax, which traces the same loop, and recorded by variables, beside
casadi.  May import NumPy, arrays, case and scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .arrays import normal
from .case import Ahead, Case
from .scalars import pulled

WIDTH = 5  # of the convolution's kernel

Vector = Sequence[Any]


def convolution(tanh: Callable[[Any], Any], x: Vector, k: Vector, size: int) -> Any:
    """The sum of tanh(k[0] x[i] + ... + k[4] x[i + 4]) for all i."""
    return sum(tanh(sum(k[a] * x[i + a] for a in range(WIDTH))) for i in range(size - WIDTH + 1))


def rosenbrock(tanh: Callable[[Any], Any], x: Vector, k: Vector, size: int) -> Any:
    """The sum of k (x[i + 1] - x[i]^2)^2 + (1 - x[i])^2 for all i."""
    pairs = [(x[i], x[i + 1]) for i in range(size - 1)]
    return sum(k[0] * (b - a * a) * (b - a * a) + (1 - a) * (1 - a) for a, b in pairs)


def polynomial(tanh: Callable[[Any], Any], x: Vector, k: Vector, size: int) -> Any:
    """The sum of tanh of sums of ten products of elements picked at random."""
    places = np.random.default_rng(0).integers(0, size, (size, 10, 2)).tolist()
    return sum(tanh(sum(k[0] * x[a] * x[b] for a, b in row)) for row in places)


LOOPS = {f.__name__: f for f in (convolution, rosenbrock, polynomial)}


@dataclass(frozen=True)
class Elements(Case):
    """Value and gradient of a loop over the elements of two arrays, compiled."""

    work: str
    size: int
    threads = (1,)

    @property
    def name(self) -> str:
        return f"{self.work} over {self.size} elements"

    def arrays(self) -> list[np.ndarray]:
        """x and k."""
        return [normal(n, dtype="float64", seed=n) for n in (self.size, WIDTH)]

    def loop(self, tanh: Callable[[Any], Any]) -> Callable[..., Any]:
        """The program, a function of x and k."""
        return partial(LOOPS[self.work], tanh, size=self.size)

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        f = sg.compile(sg.value_and_grad(self.loop(sg.tanh), argnums=(0, 1)))
        return partial(f, *map(sg.tensor, self.arrays()))

    def jax(self, jax: Any) -> Callable[[], object]:
        f = jax.jit(jax.value_and_grad(self.loop(jax.numpy.tanh), argnums=(0, 1)))
        arrays = [jax.device_put(x) for x in self.arrays()]
        return lambda: jax.block_until_ready(f(*arrays))


@dataclass(frozen=True)
class Recorded(Elements):
    """The same loop over variables."""

    @property
    def name(self) -> str:
        return f"{super().name}, recorded"

    def peers(self) -> list[str]:
        return ["slotgrad", "casadi"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        storage = sg.ValueStorage()
        x, k = ([sg.Variable(storage, value=v) for v in array] for array in self.arrays())
        y = self.loop(lambda v: v.tanh())(x, k)
        return pulled(y, k)

    def casadi(self, casadi: Any) -> Callable[[], object]:
        symbols = [casadi.SX.sym("x", self.size), casadi.SX.sym("k", WIDTH)]
        y = self.loop(casadi.tanh)(*map(casadi.vertsplit, symbols))
        x, k = symbols
        f = casadi.Function("f", symbols, [y, casadi.gradient(y, k), casadi.gradient(y, x)])
        arrays = [casadi.DM(v) for v in self.arrays()]
        return lambda: [np.asarray(v).ravel() for v in f(*arrays)[:2]]


CASES: list[Case] = [
    Elements("convolution", 100, bar=Ahead(2, "jax")),
    Elements("rosenbrock", 100, bar=Ahead(2, "jax")),
    Elements("polynomial", 20, bar=Ahead(2, "jax")),
    Recorded("convolution", 1000, bar=Ahead(1.5, "casadi")),
    Recorded("rosenbrock", 1000, bar=Ahead(1.5, "casadi")),
    Recorded("polynomial", 200, bar=Ahead(1.5, "casadi")),
]
