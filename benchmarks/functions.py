"""Elementwise functions and softmax.

May import NumPy, arrays and case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from .arrays import normal
from .case import Ahead, Case

SIZE = 1 << 16
FORMULAS: dict[str, Callable[..., Any]] = {  # of a namespace and three arrays
    "a * b + c": lambda m, a, b, c: a * b + c,
    "tanh(a * b + c)": lambda m, a, b, c: m.tanh(a * b + c),
    "exp(a)": lambda m, a, b, c: m.exp(a),
    "tanh(a)": lambda m, a, b, c: m.tanh(a),
    "log(abs(a))": lambda m, a, b, c: m.log(m.abs(a)),
    "sin(a)": lambda m, a, b, c: m.sin(a),
    "erf(a)": lambda m, a, b, c: m.erf(a),
    "sigmoid(a)": lambda m, a, b, c: m.sigmoid(a),
}
FLOAT32 = ["a * b + c", "tanh(a * b + c)", "exp(a)", "log(abs(a))", "sin(a)", "erf(a)"]
FLOAT32 += ["sigmoid(a)"]
FLOAT64 = ["exp(a)", "tanh(a)", "log(abs(a))", "sin(a)"]


@dataclass(frozen=True)
class Elementwise(Case):
    """A formula of FORMULAS, on arrays that stay in the second-level cache."""

    formula: str
    dtype: str
    size: int = SIZE

    @property
    def name(self) -> str:
        return f"{self.formula}, {self.size} {self.dtype}"

    def peers(self) -> list[str]:
        """All but NumPy, where it lacks the function."""
        return [p for p in super().peers() if p != "numpy" or "erf" not in self.formula]

    def bound(self, namespace: Any, array: Callable[..., Any]) -> tuple[Any, list[Any]]:
        """The formula in a namespace, and the arrays it is called with."""
        f = partial(FORMULAS[self.formula], namespace)
        return f, [array(normal(self.size, dtype=self.dtype, seed=i)) for i in range(3)]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        f, arguments = self.bound(sg, sg.tensor)
        return partial(sg.compile(f), *arguments)

    def jax(self, jax: Any) -> Callable[[], object]:
        special = {"erf": jax.scipy.special.erf, "sigmoid": jax.nn.sigmoid}
        names = SimpleNamespace(**{**vars(jax.numpy), **special})
        f, arguments = self.bound(names, jax.device_put)
        compiled = jax.jit(f)
        return lambda: jax.block_until_ready(compiled(*arguments))

    def torch(self, torch: Any) -> Callable[[], object]:
        f, arguments = self.bound(torch, torch.from_numpy)
        return partial(f, *arguments)

    def numpy(self, np: Any) -> Callable[[], object]:
        names = SimpleNamespace(**{**vars(np), "sigmoid": lambda x: 1 / (1 + np.exp(-x))})
        f, arguments = self.bound(names, np.asarray)
        return partial(f, *arguments)


@dataclass(frozen=True)
class Softmax(Case):
    """Softmax of each row."""

    rows: int = 64
    columns: int = 1024

    @property
    def name(self) -> str:
        return f"softmax {self.rows}x{self.columns} float32"

    def data(self) -> Any:
        return normal(self.rows, self.columns)

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        f = sg.compile(partial(sg.nn.functional.softmax, axis=-1))
        return partial(f, sg.tensor(self.data()))

    def jax(self, jax: Any) -> Callable[[], object]:
        f, x = jax.jit(partial(jax.nn.softmax, axis=-1)), jax.device_put(self.data())
        return lambda: jax.block_until_ready(f(x))

    def torch(self, torch: Any) -> Callable[[], object]:
        return partial(torch.softmax, torch.from_numpy(self.data()), -1)

    def numpy(self, np: Any) -> Callable[[], object]:
        x = self.data()

        def run() -> object:
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            return e / e.sum(axis=-1, keepdims=True)

        return run


CASES: list[Case] = [Elementwise(formula, "float32", bar=Ahead()) for formula in FLOAT32]
CASES += [Elementwise(formula, "float64", bar=Ahead()) for formula in FLOAT64]
CASES += [Softmax(bar=Ahead(2))]
