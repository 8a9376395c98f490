"""Compiled functions: the call of a formula, softmax, and whole training steps, beside jax.jit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import slotgrad as sg

from .measure import Row, alternate, available, split

# sizes of the layers, batch, optimiser, how many times faster than jax the step shall be
STEPS = [
    ((64, 32, 10), 32, "sgd", 8.0),
    ((784, 256, 256, 10), 64, "adam", 2.0),
    ((784, 1024, 1024, 10), 128, "adam", 1.15),
]


def formula() -> Row:
    f = sg.compile(sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
    runs: dict[str, Callable[[], object]] = {"slotgrad": lambda: f(2.0, 3.0)}
    if available("jax"):
        import jax

        g = jax.jit(jax.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
        runs["jax"] = lambda: jax.block_until_ready(g(2.0, 3.0))
    ours, peers = split(alternate(runs))
    return Row("(a + b) * a with gradient", ours, "us", peers, "0.10 us", ours <= 1e-7)


def softmax() -> Row:
    x = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)
    t = sg.tensor(x)
    f = sg.compile(lambda x: sg.nn.functional.softmax(x, axis=-1))
    runs: dict[str, Callable[[], object]] = {"slotgrad": lambda: f(t)}
    if available("jax"):
        import jax

        device, g = jax.device_put(x), jax.jit(lambda x: jax.nn.softmax(x, axis=-1))
        runs["jax"] = lambda: jax.block_until_ready(g(device))
    if available("torch"):
        import torch

        p = torch.from_numpy(x)
        runs["torch"] = lambda: torch.softmax(p, -1)
    ours, peers = split(alternate(runs))
    holds = all(2 * ours <= t for t in peers.values()) if peers else None
    return Row("softmax 64x1024 float32", ours, "us", peers, "2x the best", holds)


def batch(sizes: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size, sizes[0])).astype(np.float32)
    return x, rng.integers(0, sizes[-1], size)


def our_step(sizes: tuple[int, ...], optimiser: str, compiled: bool = True) -> Any:
    sg.random.seed(0)
    layers: list[Any] = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:])):
        layers += [sg.nn.ReLU()] * (i > 0) + [sg.nn.Linear(n, m)]
    model = sg.nn.Sequential(*layers)
    kind = {"sgd": sg.optim.SGD, "adam": sg.optim.Adam}[optimiser]
    opt = kind(model.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        loss = sg.nn.functional.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return sg.compile(step) if compiled else step


def jax_step(sizes: tuple[int, ...], optimiser: str) -> Any:
    """The same step for jax, its state donated so that buffers are used again."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.uniform(-1, 1, (n, m)) / np.sqrt(n), jnp.float32), jnp.zeros(m))
        for n, m in zip(sizes, sizes[1:])
    ]
    zeros = jax.tree.map(jnp.zeros_like, params)
    copies = jax.tree.map(jnp.copy, zeros)
    state = [params, zeros, copies, jnp.zeros(())] if optimiser == "adam" else [params]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for i, (w, b) in enumerate(params):
            x = x @ w + b if i == 0 else jax.nn.relu(x) @ w + b
        scores = jax.nn.log_softmax(x)
        return -jnp.take_along_axis(scores, y[:, None], 1).mean()

    def update(state: list[Any], x: Any, y: Any) -> tuple[list[Any], Any]:
        loss, g = jax.value_and_grad(loss_of)(state[0], x, y)
        if optimiser == "sgd":
            return [jax.tree.map(lambda p, d: p - 1e-3 * d, state[0], g)], loss
        params, m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, d: 0.9 * m + 0.1 * d, m, g)
        v = jax.tree.map(lambda v, d: 0.999 * v + 0.001 * d * d, v, g)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return [jax.tree.map(moved, params, m, v), m, v, t], loss

    run = jax.jit(update, donate_argnums=0)

    def step(x: Any, y: Any) -> Any:
        nonlocal state
        state, loss = run(state, x, y)
        return jax.block_until_ready(loss)

    return step


def training(sizes: tuple[int, ...], size: int, optimiser: str, factor: float) -> Iterator[Row]:
    x, y = batch(sizes, size)
    name = f"MLP {'-'.join(map(str, sizes))}, batch {size}, {optimiser}"
    xs, ys = sg.tensor(x), sg.tensor(y)
    runs: dict[str, Callable[[], object]] = {}
    first: dict[str, float] = {}
    step, eager = our_step(sizes, optimiser), our_step(sizes, optimiser, compiled=False)
    start = time.perf_counter()
    step(xs, ys)
    first["slotgrad"] = time.perf_counter() - start
    runs["slotgrad"] = lambda: step(xs, ys)
    runs["slotgrad eager"] = lambda: eager(xs, ys)
    if available("jax"):
        import jax

        other, xj, yj = jax_step(sizes, optimiser), jax.device_put(x), jax.device_put(y)
        start = time.perf_counter()
        other(xj, yj)
        first["jax"] = time.perf_counter() - start
        runs["jax"] = lambda: other(xj, yj)
    ours, peers = split(alternate(runs, rounds=11))
    holds = factor * ours <= peers["jax"] if "jax" in peers else None
    yield Row(name, ours, "us", peers, f"{factor}x jax", holds)
    ours, peers = split(first)
    yield Row(f"its first call, {len(sizes) - 1} layers", ours, "s", peers, "0.3 s", ours <= 0.3)


def rows() -> Iterator[Row]:
    yield formula()
    yield softmax()
    for case in STEPS:
        yield from training(*case)
