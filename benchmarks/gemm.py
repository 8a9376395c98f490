"""Matrix products in float32 on one core, squares and the shapes of training steps.

slotgrad's kernel runs in a native loop, as it does inside a program; the peers are called from
Python.  May import arrays and case, and, in the process of slotgrad, native.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from .arrays import aligned, normal
from .case import Ahead, Case


@dataclass(frozen=True)
class Product(Case):
    """C = A B, (m, k) by (k, n); A is stored (k, m) if `transpose_a`, B (n, k) if `transpose_b`."""

    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False

    threads = (1,)

    @property
    def name(self) -> str:
        kind = " A'B" * self.transpose_a + " AB'" * self.transpose_b
        return f"gemm {self.m}x{self.n}x{self.k}{kind}"

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    def stored(self) -> tuple[Any, Any]:
        """A and B as they lie in memory."""
        a = (self.k, self.m) if self.transpose_a else (self.m, self.k)
        b = (self.n, self.k) if self.transpose_b else (self.k, self.n)
        return normal(*a), normal(*b, seed=1)

    def oriented(self, a: Any, b: Any) -> tuple[Any, Any]:
        """The factors (m, k) and (k, n), as views of what is stored."""
        return a.T if self.transpose_a else a, b.T if self.transpose_b else b

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        shape = (self.m, self.n, self.k, self.transpose_a, self.transpose_b)
        return import_module("benchmarks.native").product(shape, *self.stored())

    def peak(self, sg: Any) -> Callable[[], object]:
        return import_module("benchmarks.native").peak(self.flops)

    def jax(self, jax: Any) -> Callable[[], object]:
        f = jax.jit(lambda a, b: jax.numpy.matmul(*self.oriented(a, b)))
        stored = [jax.device_put(x) for x in self.stored()]
        return lambda: jax.block_until_ready(f(*stored))

    def torch(self, torch: Any) -> Callable[[], object]:
        factors = self.oriented(*map(torch.from_numpy, self.stored()))
        return partial(torch.matmul, *factors, out=torch.empty(self.m, self.n))

    def numpy(self, np: Any) -> Callable[[], object]:
        return partial(np.matmul, *self.oriented(*self.stored()), out=aligned((self.m, self.n)))


CASES = [Product(n, n, n, bar=Ahead()) for n in (16, 32, 64, 128, 256, 512)]
CASES += [
    Product(1024, 1024, 1024),
    Product(2048, 2048, 2048),
    Product(64, 256, 784),
    Product(784, 256, 64, transpose_a=True),
    Product(64, 784, 256, transpose_b=True),
    Product(128, 1024, 1024),
    Product(1024, 1024, 128, transpose_a=True),
    Product(128, 1024, 1024, transpose_b=True),
    *(Product(m, 256, 784, transpose_b=True) for m in (1, 4, 8)),
]
