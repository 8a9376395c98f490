"""Small calls: a formula, eager operations on small arrays.

May import NumPy and case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .case import Case, Within


def formula(a: Any, b: Any) -> Any:
    return (a + b) * a


class Formula(Case):
    """Value and both derivatives of (a + b) * a, from Python numbers, in float64."""

    name = "(a + b) * a with its gradient"
    threads = (1,)

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        return partial(sg.compile(sg.value_and_grad(formula, argnums=(0, 1))), 2.0, 3.0)

    def jax(self, jax: Any) -> Callable[[], object]:
        f = jax.jit(jax.value_and_grad(formula, argnums=(0, 1)))
        return lambda: jax.block_until_ready(f(2.0, 3.0))

    def torch(self, torch: Any) -> Callable[[], object]:
        a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (2.0, 3.0))

        def run() -> object:
            y = formula(a, b)
            return y, torch.autograd.grad(y, (a, b))

        return run

    def casadi(self, casadi: Any) -> Callable[[], object]:
        a, b = casadi.SX.sym("a"), casadi.SX.sym("b")
        y = formula(a, b)
        f = casadi.Function("f", [a, b], [y, casadi.gradient(y, a), casadi.gradient(y, b)])
        return partial(f, 2.0, 3.0)


class TrackedAdd(Case):
    """An eager operation that leaves its trace on the tape."""

    name = "eager tracked add, 8 float32"
    threads = (1,)

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        a = sg.tensor(np.ones(8, np.float32), requires_grad=True)
        b = sg.ones(8)
        return lambda: a + b

    def torch(self, torch: Any) -> Callable[[], object]:
        a, b = torch.ones(8, requires_grad=True), torch.ones(8)
        return lambda: a + b


@dataclass(frozen=True)
class Chain(Case):
    """Many eager products of scalars, and their derivative."""

    threads = (1,)
    length: int = 1000

    @property
    def name(self) -> str:
        return f"eager chain of {self.length} products, backward"

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        return partial(self._backward, sg.tensor(np.float64(1), requires_grad=True))

    def torch(self, torch: Any) -> Callable[[], object]:
        x = torch.ones((), dtype=torch.float64, requires_grad=True)
        return partial(self._backward, x)

    def _backward(self, x: Any) -> object:
        x.grad = None
        y = x
        for _ in range(self.length):
            y = y * 0.999
        y.backward()
        return x.grad


CASES = [Formula(bar=Within(0.1e-6)), TrackedAdd(bar=Within(2e-6)), Chain()]
