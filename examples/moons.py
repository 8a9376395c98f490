"""Two half moons, told apart by 337 parameters, each of them a variable of its own.

The network, the loss and the training loop are those of micrograd's demo.  They run twice, from
the same first parameters:

    Value      the loop as it is written for micrograd: each step records its formula anew
    Variable   the same neurons, but what they compute is recorded and compiled once

    python examples/moons.py --samples 100 --steps 100 --plot moons.png

The first steps with variables run while their formula is made into native code for vectors; the
time of a step is therefore taken at the end, with a learning rate of 0.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from sklearn.datasets import make_moons

from slotgrad import ValueStorage, Variable
from slotgrad.micrograd import Value
from slotgrad.micrograd.nn import MLP

Step = Callable[[float], float]  # from the learning rate to the loss before the step
Score = Callable[[np.ndarray], float]  # of a point: above 0 for the label 1


def main() -> None:
    """Train both ways, print what came out."""
    parser = argparse.ArgumentParser(description="Two half moons, by networks of scalars.")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--plot", metavar="FILE", help="a picture of the decision boundary")
    options = parser.parse_args()

    points, labels = make_moons(options.samples, noise=0.1, random_state=1337)
    labels = 2 * labels - 1  # -1 or 1
    for kind, step_of, score_of in (
        ("Value", step_of_values, score_of_values),
        ("Variable", step_of_variables, score_of_variables),
    ):
        random.seed(1337)
        model = MLP(2, [16, 16, 1])
        begin = time.perf_counter()
        step = step_of(model, points, labels)
        prepared = time.perf_counter()
        losses = [step(1.0 - 0.9 * k / options.steps) for k in range(options.steps)]
        done = time.perf_counter()
        score = score_of(model)
        accuracy = np.mean([(score(p) > 0) == (y > 0) for p, y in zip(points, labels)])
        print(
            f"{kind:9} prepared in {1e3 * (prepared - begin):.1f} ms,"
            f" {options.steps} steps in {1e3 * (done - prepared):.1f} ms:"
            f" loss {losses[0]:.4f} -> {losses[-1]:.4f}, accuracy {accuracy:.3f},"
            f" {1e6 * time_of(step):.0f} us per step"
        )
    if options.plot:
        plot(options.plot, score, points, labels)


def loss_of(model: MLP, inputs: Sequence[Any], labels: np.ndarray) -> Any:
    """The margin that each score lacks, on average, and a little of the squared parameters."""
    scores = [model(x) for x in inputs]
    losses = [(1 + -y * score).relu() for y, score in zip(labels.tolist(), scores)]
    return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())


def step_of_values(model: MLP, points: np.ndarray, labels: np.ndarray) -> Step:
    """A step of training that records the loss whenever it is called."""

    def step(learning_rate: float) -> float:
        inputs = [[Value(x) for x in point] for point in points.tolist()]
        total = loss_of(model, inputs, labels)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        return total.data

    return step


def score_of_values(model: MLP) -> Score:
    """The output of the network."""
    return lambda point: model(point.tolist()).data


def step_of_variables(model: Any, points: np.ndarray, labels: np.ndarray) -> Step:
    """The same step, recorded and compiled here; the model has variables from now on."""
    storage = ValueStorage()
    for neuron in (n for layer in model.layers for n in layer.neurons):
        neuron.w = [Variable(storage, value=w.data) for w in neuron.w]
        neuron.b = Variable(storage, value=neuron.b.data)
    parameters = model.parameters()
    total = loss_of(model, points.tolist(), labels)
    total.compile()

    def step(learning_rate: float) -> float:
        storage.zero_gradients()
        total.gradient = 1
        total.forward()
        total.backward()
        storage.gradient_step(learning_rate, parameters)
        return total.value

    return step


def score_of_variables(model: Any) -> Score:
    """The output of the network, recorded and compiled here."""
    storage = model.parameters()[0].storage
    inputs = Variable(storage, name="x"), Variable(storage, name="y")
    output = model(inputs)
    output.compile()

    def score(point: np.ndarray) -> float:
        inputs[0].value, inputs[1].value = point
        output.forward()
        return output.value

    return score


def time_of(step: Step) -> float:
    """Seconds per step, once all that is to be compiled is compiled."""
    times: list[float] = []
    begin = last = time.perf_counter()
    while last - begin < 1.0:
        step(0.0)
        times.append(time.perf_counter() - last)
        last += times[-1]
    return median(times[len(times) // 2 :])


def plot(file: str, score: Score, points: np.ndarray, labels: np.ndarray) -> None:
    """The sign of the score over the plane, and the points."""
    import matplotlib.pyplot as plt

    (left, low), (right, high) = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    scores = np.array([score(p) for p in np.column_stack([x.ravel(), y.ravel()])])
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    axes.contourf(x, y, scores.reshape(x.shape) > 0, levels=1, cmap="coolwarm", alpha=0.4)
    axes.scatter(
        points[:, 0], points[:, 1], c=labels, cmap="coolwarm", edgecolors="black", linewidths=0.5
    )
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
