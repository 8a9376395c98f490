"""Training steps of multilayer perceptrons: loss, gradients and update in one call.

The state is each peer's own (jax: donated, so that buffers are used again), the batch stays the
same.  May import NumPy, arrays and case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .arrays import normal
from .case import Ahead, Case

LR = {"SGD": 0.1, "Adam": 1e-3}


@dataclass(frozen=True)
class Training(Case):
    """A step of `optimiser`, "SGD" or "Adam", on a perceptron with layers of these sizes."""

    sizes: tuple[int, ...]
    batch: int
    optimiser: str

    @property
    def name(self) -> str:
        return f"MLP {'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.optimiser}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (batch, sizes[0]) and labels (batch,)."""
        labels = np.random.default_rng(1).integers(0, self.sizes[-1], self.batch)
        return normal(self.batch, self.sizes[0]), labels

    def weights(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each layer: (n, m), and biases (m,)."""
        for n, m in zip(self.sizes, self.sizes[1:]):
            yield normal(n, m) / np.float32(np.sqrt(n)), np.zeros(m, np.float32)

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        return partial(sg.compile(self._step(sg, sg.tensor)), *map(sg.tensor, self.data()))

    def eager(self, sg: Any) -> Callable[[], object]:
        return partial(self._step(sg, sg.tensor), *map(sg.tensor, self.data()))

    def torch(self, torch: Any) -> Callable[[], object]:
        return partial(self._step(torch, torch.tensor), *map(torch.tensor, self.data()))

    def _step(self, m: Any, tensor: Callable[[np.ndarray], Any]) -> Callable[..., Any]:
        """The step in the words that PyTorch and slotgrad share; `m` is one of the two."""
        layers: list[Any] = []
        state: dict[str, Any] = {}
        for i, (w, b) in enumerate(self.weights()):
            layers += [m.nn.Linear(*w.shape), m.nn.ReLU()]
            state |= {f"{2 * i}.weight": tensor(w.T.copy()), f"{2 * i}.bias": tensor(b)}
        model = m.nn.Sequential(*layers[:-1])
        model.load_state_dict(state)
        opt = getattr(m.optim, self.optimiser)(model.parameters(), lr=LR[self.optimiser])

        def step(x: Any, y: Any) -> Any:
            loss = m.nn.functional.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss

        return step

    def jax(self, jax: Any) -> Callable[[], object]:
        jnp = jax.numpy
        images, labels = self.data()
        x, y = jax.device_put(images), jax.device_put(labels.astype(np.int32))
        begin, update = {"SGD": jax_sgd, "Adam": jax_adam}[self.optimiser](jax)

        def loss_of(params: Any, x: Any, y: Any) -> Any:
            *hidden, (w, b) = params
            for v, c in hidden:
                x = jax.nn.relu(x @ v + c)
            scores = jax.nn.log_softmax(x @ w + b)
            return -jnp.take_along_axis(scores, y[:, None], 1).mean()

        def step(state: Any, x: Any, y: Any) -> Any:
            loss, g = jax.value_and_grad(loss_of)(state[0], x, y)
            return update(state, g), loss

        compiled = jax.jit(step, donate_argnums=0)
        state = begin([(jnp.asarray(w), jnp.asarray(b)) for w, b in self.weights()])

        def run() -> object:
            nonlocal state
            state, loss = compiled(state, x, y)
            return jax.block_until_ready(loss)

        return run


def jax_sgd(jax: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How the state begins, and what a step makes of it."""

    def update(state: Any, g: Any) -> Any:
        return (jax.tree.map(lambda p, d: p - LR["SGD"] * d, state[0], g),)

    return lambda params: (params,), update


def jax_adam(jax: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The same for Adam, with PyTorch's defaults."""
    jnp, b1, b2 = jax.numpy, 0.9, 0.999

    def begin(params: Any) -> Any:
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        return params, *zeros, jnp.zeros((), jnp.float32)

    def update(state: Any, g: Any) -> Any:
        params, m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, d: b1 * m + (1 - b1) * d, m, g)
        v = jax.tree.map(lambda v, d: b2 * v + (1 - b2) * d * d, v, g)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - LR["Adam"] * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + 1e-8)

        return jax.tree.map(moved, params, m, v), m, v, t

    return begin, update


CASES = [
    Training((64, 32, 10), 32, "SGD", bar=Ahead(8, "jax")),
    Training((784, 256, 256, 10), 64, "Adam", bar=Ahead(2, "jax")),
    Training((784, 1024, 1024, 10), 128, "Adam", bar=Ahead(1.15, "jax")),
]
