"""What `slotgrad demo` does: train a classifier on handwritten digits and leave the results.

May import the faces.  The training loop is the one of the README.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from . import data, nn, optim, viz
from .compile import compile
from .config import no_grad
from .errors import FileError
from .io import load, save
from .ops import random
from .ops.arithmetic import where
from .ops.arrange import pad
from .ops.creation import arange
from .tensor import Tensor

CLASSES = 10


@dataclass
class Training:
    """A trained model and how it came about."""

    model: nn.Module
    test_images: Tensor
    test_labels: Tensor
    train_accuracy: float = 0.0
    test_accuracy: float = 0.0
    seconds: list[float] = field(default_factory=list)  # of each epoch; the first one compiles
    steps: int = 0  # of each epoch
    losses: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Steps a second, once everything is compiled."""
        running = self.seconds[1:] or self.seconds
        return self.steps * len(running) / sum(running)


def classifier() -> nn.Sequential:
    """Image of 64 numbers -> scores of the ten digits."""
    return nn.Sequential(
        nn.Linear(data.PIXELS, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, CLASSES),
    )


def shifted(images: Tensor) -> Tensor:
    """The images, half of them moved by up to a pixel in each direction, at random."""
    count, side = len(images), data.SIDE
    framed = images.reshape(count, side, side)
    framed = pad(framed, ((0, 0), (1, 1), (1, 1)))
    move = where(random.bernoulli(0.5, (count,)), 1, random.randint(0, 3, (2, count)))
    rows = move[0][:, None, None] + arange(side)[:, None]
    columns = move[1][:, None, None] + arange(side)
    return framed[arange(count)[:, None, None], rows, columns].reshape(count, -1)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that the model names correctly."""
    model.eval()
    with no_grad():
        right = model(images).argmax(axis=1) == labels
    model.train()
    return right.astype("float32").mean().item()


def train(
    epochs: int, seed: int, progress: Callable[[float], object], eager: bool = False
) -> Training:
    """Train on four fifths of the digits; `progress` is told the loss of each epoch."""
    random.seed(seed)
    images, labels = data.digits()
    x, y, x_test, y_test = data.split(images, labels, fraction=0.8)
    model = classifier()
    rate = 3e-3
    opt = optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)

    def step(xb: Tensor, yb: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(model(shifted(xb)), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    run = step if eager else compile(step)
    result = Training(model, x_test, y_test)
    for epoch in range(epochs):
        start = time.perf_counter()
        opt.lr = rate * (1 - epoch / epochs)
        losses = [run(*batch) for batch in data.batches(x, y, batch_size=64, shuffle=True)]
        result.losses.append(sum(loss.item() for loss in losses) / len(losses))
        result.steps = len(losses)
        result.seconds.append(time.perf_counter() - start)
        progress(result.losses[-1])
    result.train_accuracy = accuracy(model, x, y)
    result.test_accuracy = accuracy(model, x_test, y_test)
    return result


def write(training: Training, folder: Path) -> list[Path]:
    """Model, loss curve and a picture of the graph of one loss; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    model, curve, graph = (folder / name for name in ("model.safetensors", "loss.png", "graph.png"))
    save(training.model, model, metadata={"slotgrad.demo": "digits"})
    viz.loss_curve(training.losses, curve, xlabel="epoch")
    training.model.eval()
    few = training.test_images[:4].clone()
    few.name = "images"
    scores = training.model(few)
    viz.draw(nn.functional.cross_entropy(scores, training.test_labels[:4].clone()), graph)
    return [model, curve, graph]


def predict(model_path: str | PathLike[str], image: str | PathLike[str]) -> tuple[Tensor, Tensor]:
    """The picture as the model sees it, and the probabilities of the ten digits."""
    model = classifier()
    try:
        load(model_path, into=model)
    except KeyError as error:
        raise FileError(
            f"{model_path}: not a model of `slotgrad demo` ({error}); train one first"
        ) from None
    model.eval()
    seen = data.digit_from_image(image)
    with no_grad():
        scores = model(seen.reshape(1, -1))
    return seen, nn.functional.softmax(scores, axis=-1)[0]
