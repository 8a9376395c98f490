"""Rosenbrock's valley in 1000 variables, walked down by SciPy's L-BFGS-B.

    f(x) = sum over i of 100 * (x[i+1] - x[i]**2)**2 + (1 - x[i])**2

The formula is a Python loop over variables.  It is recorded and compiled once; each evaluation
copies the point into the storage, and the gradient out of it.

    python examples/rosenbrock.py --variables 1000
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import minimize

from slotgrad import ValueStorage, Variable


class Rosenbrock:
    """The function of `count` variables, and how long each of its evaluations took."""

    def __init__(self, count: int) -> None:
        self.storage = ValueStorage()
        x = [Variable(self.storage) for _ in range(count)]
        self.x = self.storage.group(x)
        self.f: Any = sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))
        self.f.compile()
        self.seconds: list[float] = []

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and the gradient at a point."""
        begin = time.perf_counter()
        self.x.values = point
        self.storage.zero_gradients()
        self.f.gradient = 1
        self.f.forward()
        self.f.backward()
        result = self.f.value, self.x.gradients
        self.seconds.append(time.perf_counter() - begin)
        return result


def main() -> None:
    """Minimize, print what came out."""
    parser = argparse.ArgumentParser(description="Rosenbrock's function, minimized by SciPy.")
    parser.add_argument("--variables", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the point to start from")
    options = parser.parse_args()
    if options.variables < 2:
        parser.error(f"got {options.variables} variables; expected at least 2")

    begin = time.perf_counter()
    rosenbrock = Rosenbrock(options.variables)
    print(f"recorded and compiled in {1e3 * (time.perf_counter() - begin):.1f} ms")

    start = np.random.default_rng(options.seed).uniform(0, 2, options.variables)
    first = rosenbrock(start)[0]
    begin = time.perf_counter()
    found = minimize(
        rosenbrock,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 10_000, "ftol": 0, "gtol": 1e-7},
    )
    seconds = time.perf_counter() - begin
    print(
        f"{found.nit} iterations, {found.nfev} evaluations in {1e3 * seconds:.0f} ms:"
        f" f from {first:.1f} to {found.fun:.1e},"
        f" largest |x - 1| {np.abs(found.x - 1).max():.1e}"
    )
    each = median(rosenbrock.seconds)
    print(f"{1e6 * each:.1f} us per evaluation with its gradient; the rest is SciPy's")


if __name__ == "__main__":
    main()
