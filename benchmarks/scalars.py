"""Graphs of scalars: micrograd's demo, random graphs, recording and compiling.

The demo's formula is written once, in operators, for all that compute with scalars; jax gets it in
arrays.  Times of random graphs are those of one operation, and of what it adds to the gradient.
May import NumPy, case, measure and start, and, in the process of slotgrad, slotgrad.
"""

from __future__ import annotations

import ctypes
import operator
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .case import Ahead, All, Case, Crew, Loop, Within
from .measure import Worker
from .start import ROUNDS, caches

# -- micrograd's demo ------------------------------------------------------------------------------

SIZES = (2, 16, 16, 1)
RATE, DECAY = 1e-3, 1e-4

relu = operator.methodcaller("relu")


def moons(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (samples, 2) of two half circles that reach into each other, and labels -1 or 1."""
    rng = np.random.default_rng(0)
    angle, upper = rng.uniform(0, np.pi, samples), np.arange(samples) % 2
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], 1) + rng.normal(0, 0.1, (samples, 2)), 2.0 * upper - 1


def weights() -> list[np.ndarray]:
    """Of each layer, (outputs, inputs + 1): a row for each neuron, its bias at the end."""
    rng = np.random.default_rng(1)
    return [rng.uniform(-1, 1, (m, n + 1)) for n, m in zip(SIZES, SIZES[1:])]


def parameters() -> list[float]:
    """All weights, neuron by neuron."""
    return np.concatenate([w.ravel() for w in weights()]).tolist()


def total_loss(
    parameters: Sequence[Any],
    points: Iterable[Sequence[Any]],
    labels: Sequence[float],
    relu: Callable[[Any], Any],
) -> Any:
    """The mean hinge loss of the network, and the squares of its parameters, scalar by scalar."""
    rest = iter(parameters)
    layers = [
        [([next(rest) for _ in range(n)], next(rest)) for _ in range(m)]
        for n, m in zip(SIZES, SIZES[1:])
    ]

    def neuron(w: list[Any], b: Any, x: Sequence[Any]) -> Any:
        return sum((wi * xi for wi, xi in zip(w, x)), b)

    def score(x: Sequence[Any]) -> Any:
        for layer in layers[:-1]:
            x = [relu(neuron(w, b, x)) for w, b in layer]
        return neuron(*layers[-1][0], x)

    losses = [relu(1 + -label * score(x)) for x, label in zip(points, labels)]
    return sum(losses) * (1 / len(losses)) + DECAY * sum(p * p for p in parameters)


@dataclass(frozen=True)
class Demo(Case):
    """A step: loss, gradients and update, of what was recorded or compiled before."""

    samples: int
    threads = (1,)

    @property
    def name(self) -> str:
        return f"micrograd's demo, {self.samples} samples"

    def peers(self) -> list[str]:
        """jax alone where building a scalar for each operation takes the others very long."""
        scalar = {"casadi", "micrograd"} if self.samples > 100 else set()
        return [peer for peer in super().peers() if peer not in scalar]

    def recorded(self, sg: Any) -> tuple[Any, list[Any]]:
        """The loss and the parameters as variables."""
        storage, (points, labels) = sg.ValueStorage(), moons(self.samples)
        variables = [sg.Variable(storage, value=p) for p in parameters()]
        inputs = [[sg.Variable(storage, value=x) for x in row] for row in points.tolist()]
        return total_loss(variables, inputs, labels.tolist(), relu), variables

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        loss, variables = self.recorded(sg)
        storage = compiled(loss)
        group = storage.group(variables)

        def step() -> float:
            storage.zero_gradients()
            loss.gradient = 1.0
            loss.forward()
            loss.backward()
            group.gradient_step(RATE)
            return loss.value

        return step

    def micrograd(self, micrograd: Any) -> Callable[[], object]:
        return self._anew(import_module("micrograd.engine").Value)

    def _anew(self, value: Any) -> Callable[[], object]:
        """A step that makes all scalars once more; `value` is micrograd's class, or ours."""
        (points, labels), variables = moons(self.samples), [value(p) for p in parameters()]
        rows, signs = points.tolist(), labels.tolist()

        def step() -> float:
            loss = total_loss(variables, [list(map(value, row)) for row in rows], signs, relu)
            for p in variables:
                p.grad = 0
            loss.backward()
            result = loss.data
            for p in variables:
                p.data -= RATE * p.grad
            return result

        return step

    def symbolic(self, casadi: Any) -> Any:
        """The function from parameters to loss and new parameters."""
        points, labels = moons(self.samples)
        p = casadi.SX.sym("p", len(parameters()))
        scalars = casadi.vertsplit(p)
        loss = total_loss(scalars, points.tolist(), labels.tolist(), lambda x: casadi.fmax(x, 0))
        return casadi.Function("step", [p], [loss, p - RATE * casadi.gradient(loss, p)])

    def casadi(self, casadi: Any) -> Callable[[], object]:
        f, state = self.symbolic(casadi), casadi.DM(parameters())

        def step() -> object:
            nonlocal state
            loss, state = f(state)
            return loss

        return step

    def jax(self, jax: Any) -> Callable[[], object]:
        jnp = jax.numpy
        x, y = map(jax.device_put, moons(self.samples))

        def loss_of(layers: Any, x: Any, y: Any) -> Any:
            *hidden, last = layers
            for w in hidden:
                x = jax.nn.relu(x @ w[:, :-1].T + w[:, -1])
            score = x @ last[0, :-1] + last[0, -1]
            decay = sum((w * w).sum() for w in layers)
            return jax.nn.relu(1 - y * score).mean() + DECAY * decay

        def step(layers: Any, x: Any, y: Any) -> Any:
            loss, g = jax.value_and_grad(loss_of)(layers, x, y)
            return [w - RATE * d for w, d in zip(layers, g)], loss

        f, state = jax.jit(step, donate_argnums=0), [jnp.asarray(w) for w in weights()]

        def run() -> object:
            nonlocal state
            state, loss = f(state, x, y)
            return jax.block_until_ready(loss)

        return run


@dataclass(frozen=True)
class Anew(Demo):
    """A step that records the formula, as programs for micrograd do."""

    @property
    def name(self) -> str:
        return f"{super().name}, recorded in each step"

    def peers(self) -> list[str]:
        return ["slotgrad", "micrograd"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        return self._anew(import_module("slotgrad.micrograd").Value)


@dataclass(frozen=True)
class RecordingDemo(Demo):
    """The demo's formula written down, not computed: some 10^6 operations for 1500 samples."""

    @property
    def name(self) -> str:
        return f"recording the demo, {self.samples} samples"

    def peers(self) -> list[str]:
        return ["slotgrad"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        return lambda: self.recorded(sg)[0].slot


def compiled(output: Any) -> Any:
    """The storage of a formula, when the best code that there will be for it is there."""
    output.compile()
    for step in output.storage._recent.steps:
        if hasattr(step, "wait"):  # a thread makes it
            step.wait()
    return output.storage


def pulled(output: Any, leaves: Sequence[Any]) -> Callable[[], object]:
    """A call that computes a formula and the gradients of the variables that it depends on.

    It returns the value, and the gradients of the leaves given.
    """
    storage = compiled(output)

    def run() -> object:
        storage.zero_gradients()
        output.gradient = 1.0
        output.forward()
        output.backward()
        return output.value, [x.gradient for x in leaves]

    return run


# -- first results, each in a fresh process --------------------------------------------------------


@dataclass(frozen=True)
class First(Demo):
    """A first call; `cached`: a process before has compiled the same."""

    cached: bool = False

    @property
    def state(self) -> str:
        return "from disk cache" if self.cached else "cold"

    def measure(self, crew: Crew, threads: int) -> dict[str, float]:
        found: dict[str, list[float]] = {peer: [] for peer in crew.present(self)}
        for _ in range(ROUNDS):
            for peer, times in found.items():
                with tempfile.TemporaryDirectory() as root:
                    for _ in range(1 + self.cached):
                        with Worker(peer, threads, caches(Path(root))) as worker:
                            seconds = worker.prepare(self)["first"]
                    times.append(seconds)
        return {peer: statistics.median(times) for peer, times in found.items()}


@dataclass(frozen=True)
class Building(First):
    """The demo recorded and compiled; jax traces and compiles it, and takes a step."""

    @property
    def name(self) -> str:
        return f"building and compiling the demo, {self.state}"

    def peers(self) -> list[str]:
        return ["slotgrad", "jax", "casadi"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        sg.Variable(sg.ValueStorage())  # loads what scalars need
        return lambda: len(compiled(self.recorded(sg)[0]))

    def casadi(self, casadi: Any) -> Callable[[], object]:
        return lambda: self.symbolic(casadi).n_instructions()


@dataclass(frozen=True)
class FirstResult(First):
    """The demo's loss, once it is recorded: `compile`, `forward` and `value`."""

    @property
    def name(self) -> str:
        return f"first loss of the recorded demo, {self.state}"

    def peers(self) -> list[str]:
        return ["slotgrad"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        loss = self.recorded(sg)[0]

        def run() -> float:
            loss.compile()
            loss.forward()
            return loss.value

        return run


# -- random graphs ---------------------------------------------------------------------------------

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
NEAR, NEIGHBOURS = 0.3, 64  # the share of operands that are among so many made just before
SMALLEST, LARGEST, DIVISOR = 1e-3, 3.0, 0.5  # magnitudes: of results, and of what is divided by


class Graph(NamedTuple):
    """Numbers of the leaves, and operations on what stands before: function, two places."""

    leaves: list[float]
    operations: list[tuple[Callable[[Any, Any], Any], int, int]]

    def __call__(self, leaves: Iterable[Any]) -> Any:
        """The last result."""
        slots = list(leaves)
        for f, a, b in self.operations:
            slots.append(f(slots[a], slots[b]))
        return slots[-1]


@cache
def graph(count: int) -> Graph:
    """Operations on earlier results, and at the end the sum of those that nothing else uses."""
    rng = random.Random(0)
    values = [rng.uniform(0.5, 1.5) for _ in range(max(2, min(count // 10, 1000)))]
    made = Graph(values.copy(), [])
    unused: dict[int, None] = {}

    def earlier() -> int:
        low = max(0, len(values) - NEIGHBOURS) if rng.random() < NEAR else 0
        return low + int(rng.random() * (len(values) - low))

    # As many operations as there are, and one less than are unused, for their sum.
    while len(made.operations) + len(unused) <= count:
        f, a, b = rng.choice(ARITHMETIC), earlier(), earlier()
        used = {a, b} & unused.keys()
        if len(made.operations) + len(unused) + 1 - len(used) > count:
            continue
        if f is operator.truediv and abs(values[b]) < DIVISOR:
            continue
        value = f(values[a], values[b])
        if SMALLEST < abs(value) < LARGEST:
            for slot in used:
                del unused[slot]
            unused[len(values)] = None
            values.append(value)
            made.operations.append((f, a, b))
    total, *others = unused
    for end, slot in enumerate(others, len(values)):
        made.operations.append((operator.add, total, slot))
        total = end
    return made


@dataclass(frozen=True)
class Random(Case):
    """Value and gradient of a random graph of arithmetic, called from Python."""

    count: int
    threads = (1,)

    @property
    def name(self) -> str:
        return f"{self.count} random operations, of each"

    def peers(self) -> list[str]:
        """We alone where building takes the others very long."""
        return super().peers() if self.count <= 1000 else ["slotgrad"]

    def recorded(self, sg: Any) -> tuple[Any, list[Any]]:
        """The result and the leaves as variables."""
        storage, work = sg.ValueStorage(), graph(self.count)
        leaves = [sg.Variable(storage, value=x) for x in work.leaves]
        return work(leaves), leaves

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        y, leaves = self.recorded(sg)
        return Loop(pulled(y, leaves[:1]), self.count)

    def casadi(self, casadi: Any) -> Callable[[], object]:
        work = graph(self.count)
        x = casadi.SX.sym("x", len(work.leaves))
        y, point = work(casadi.vertsplit(x)), casadi.DM(work.leaves)
        g = casadi.gradient(y, x)
        f = casadi.Function("f", [x], [y, g[0], g])
        return Loop(lambda: list(f(point)[:2]), self.count)


REPEAT = """
define void @repeat(ptr %forward, ptr %backward, ptr %arrays, i64 %times) {
entry:
  br label %again
again:
  %i = phi i64 [0, %entry], [%next, %again]
  call void %forward(ptr %arrays)
  call void %backward(ptr %arrays)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %again, label %done
done:
  ret void
}
"""
LOOP_OPERATIONS = 10**6  # of one call from Python, so that its cost is lost among them


@dataclass(frozen=True)
class Straight(Random):
    """The native code for a random graph in a native loop."""

    @property
    def name(self) -> str:
        return f"{super().name}, in a native loop"

    def peers(self) -> list[str]:
        return ["slotgrad"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        y, _ = self.recorded(sg)
        storage = compiled(y)
        [step] = storage._recent.steps
        library = import_module("slotgrad.runtime.llvm").compile_text(REPEAT)
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
        repeat = kind(library.address("repeat"))
        y.gradient = 1.0
        y.forward()
        y.backward()  # so that the step knows the arrays
        code = [ctypes.cast(f, ctypes.c_void_p) for f in (step._forward, step._backward)]
        times = max(1, LOOP_OPERATIONS // self.count)

        def run() -> float:
            repeat(*code, step._at, times)
            return y.value

        return Loop(run, times * self.count)


@dataclass(frozen=True)
class Recording(Random):
    """Operators called in a Python loop, which takes most of the time."""

    @property
    def name(self) -> str:
        return f"recording {self.count} operations"

    def peers(self) -> list[str]:
        return ["slotgrad"]

    def slotgrad(self, sg: Any) -> Callable[[], object]:
        graph(self.count)
        return lambda: self.recorded(sg)[0].slot


CASES: list[Case] = [
    Demo(100, bar=All(Within(40e-6), Ahead(5, "casadi"), Ahead(2000, "micrograd"))),
    Demo(1500, bar=Within(0.6e-3)),
    Anew(100),
    *(Random(count) for count in (10, 100, 1000)),
    *(Straight(count, bar=Within(0.6e-9)) for count in (10, 100, 1000)),
    Random(10**5, bar=Within(3e-9)),
    Random(10**6, bar=Within(6e-9)),
    Recording(10**6, bar=Within(0.3)),
    RecordingDemo(1500, bar=Within(0.3)),
    Building(100, bar=Within(0.4)),
    Building(100, cached=True, bar=Within(0.4)),
    FirstResult(100, bar=Within(20e-3)),
    FirstResult(100, cached=True, bar=Within(20e-3)),
]
