"""The cost of one eager operation on small arrays, and of the import."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import slotgrad as sg

from .measure import Row, alternate, available, processes, split


def tracked_add() -> Row:
    runs: dict[str, Callable[[], object]] = {}
    a, b = sg.tensor(np.ones(8, np.float32), requires_grad=True), sg.ones(8)
    runs["slotgrad"] = lambda: a + b
    x, y = np.ones(8, np.float32), np.ones(8, np.float32)
    runs["numpy, untracked"] = lambda: x + y
    if available("torch"):
        import torch

        p, q = torch.ones(8, requires_grad=True), torch.ones(8)
        runs["torch"] = lambda: p + q
    ours, peers = split(alternate(runs))
    return Row("tracked eager add, 8 float32", ours, "us", peers, "2 us", ours <= 2e-6)


def backward_of_a_chain() -> Row:
    x = sg.tensor(np.float64(1), requires_grad=True)

    def run() -> None:
        y = x
        for _ in range(1000):
            y = y * 0.999
        y.backward()

    runs: dict[str, Callable[[], object]] = {"slotgrad": run}
    if available("torch"):
        import torch

        p = torch.ones((), dtype=torch.float64, requires_grad=True)

        def run_torch() -> None:
            y = p
            for _ in range(1000):
                y = y * 0.999
            y.backward()

        runs["torch"] = run_torch
    ours, peers = split(alternate(runs, rounds=9))
    return Row("1000 scalar products and backward", ours, "ms", peers)


def import_time() -> Row:
    codes = {"slotgrad": "import slotgrad", "numpy": "import numpy"}
    codes |= {name: f"import {name}" for name in ("jax", "torch") if available(name)}
    ours, peers = split(processes(codes))
    return Row("import, whole process", ours, "s", peers, "0.25 s", ours <= 0.25)


def rows() -> Iterator[Row]:
    yield tracked_add()
    yield backward_of_a_chain()
    yield import_time()
