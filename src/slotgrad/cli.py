"""The command line: `slotgrad demo`, `predict`, `info`.  May import every face."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import demo, viz, word2vec
from .data.digits import SIDE
from .errors import FileError, SlotgradError
from .io import save
from .tensor import Tensor

app = typer.Typer(
    help="Automatic differentiation and deep learning on one graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()


@app.command("demo")
def run_demo(
    out: Annotated[Path, typer.Option(help="Folder for model and pictures.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers.")] = 0,
    eager: Annotated[bool, typer.Option("--eager", help="Do not compile the step.")] = False,
) -> None:
    """Train a classifier on 1797 handwritten digits, and write what comes of it."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=epochs, loss=float("nan"))
        trained = demo.train(
            epochs, seed, lambda loss: bar.update(task, advance=1, loss=loss), eager
        )
    total, first = sum(trained.seconds), trained.seconds[0]
    how, compiling = ("eager", "") if eager else ("compiled", f", {first:.1f} s until compiled")
    console.print(f"trained in {total:.1f} s{compiling}: {trained.speed:.0f} {how} steps a second")
    console.print(f"accuracy: train {trained.train_accuracy:.2%}, test {trained.test_accuracy:.2%}")
    _show_predictions(trained)
    for path in demo.write(trained, out):
        console.print(f"wrote {path}")


def _show_predictions(trained: demo.Training, count: int = 4) -> None:
    """Some test images as characters, with what the model says and what is right."""
    trained.model.eval()
    named = trained.model(trained.test_images).argmax(axis=1).tolist()
    table = Table.grid(padding=(0, 3))
    cells = []
    for image, said, right in zip(trained.test_images, named[:count], trained.test_labels):
        cells.append(f"{_drawn(image)}\nsays {said}, is {right.item()}")
    table.add_row(*cells)
    console.print(table)


def _drawn(image: Tensor) -> str:
    return viz.as_characters(image.numpy().reshape(SIDE, SIDE))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model that `slotgrad demo` wrote.")],
    image: Annotated[Path, typer.Argument(help="Picture of one digit.")],
) -> None:
    """Say which digit a picture shows."""
    seen, probabilities = demo.predict(model, image)
    console.print(_drawn(seen))
    best = probabilities.argsort(descending=True).tolist()[:3]
    for digit in best:
        console.print(f"{digit}  {probabilities[digit].item():6.1%}")


@app.command("word2vec")
def run_word2vec(
    text: Annotated[
        Path | None, typer.Argument(help="Text file; default: the manual inside Python.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for vectors and map.")] = Path("word2vec"),
    dimension: Annotated[int, typer.Option(min=2, help="Numbers in a vector.")] = 48,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the text.")] = 5,
    like: Annotated[list[str] | None, typer.Option(help="Words to print neighbours of.")] = None,
) -> None:
    """Learn vectors of the words of a text, and draw a map of the most frequent ones."""
    words = word2vec.tokens(_read(text) if text is not None else word2vec.manual())
    console.print(f"{len(words)} words, {len(set(words))} different ones")
    learned = word2vec.train(
        words, dimension, epochs=epochs, progress=lambda loss: console.print(f"loss {loss:.4f}")
    )
    console.print(f"{learned.pairs_per_second:.0f} pairs a second")
    for word in like or learned.words[40:200:20]:
        near = ", ".join(f"{w} {c:.2f}" for w, c in learned.nearest(word))
        console.print(f"{word}: {near}", highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    vectors, picture = out / "vectors.safetensors", out / "map.png"
    save({"words": learned.words, "vectors": learned.vectors}, vectors)
    shown = slice(30, 150)  # the most frequent words are everywhere
    viz.embedding(learned.vectors[shown], learned.words[shown], picture, "words of the text")
    console.print(f"wrote {vectors}\nwrote {picture}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as text ({error}); expected UTF-8") from None


@app.command()
def info() -> None:
    """Print versions and what the processor offers."""
    table = Table(show_header=False)
    for name, value in facts().items():
        table.add_row(name, value)
    console.print(table)


def facts() -> dict[str, str]:
    """Names and values that `info` prints."""
    found = {"slotgrad": metadata.version("slotgrad"), "Python": platform.python_version()}
    for package in ("numpy", "llvmlite", "ml_dtypes", "safetensors"):
        found[package] = metadata.version(package)
    found["system"] = f"{platform.system()} {platform.machine()}"
    found["cores"] = str(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    try:
        from llvmlite import binding
    except ImportError as error:
        return {**found, "processor": f"unknown: llvmlite does not load ({error})"}
    features = binding.get_host_cpu_features()
    known = ("avx512f", "avx512bf16", "avx2", "fma", "avx", "sse4.2", "neon", "sve")
    found["processor"] = binding.get_host_cpu_name()
    found["vectors"] = ", ".join(f for f in known if features.get(f)) or "none"
    return found


def main() -> None:
    """Run the command line; our own errors become one line and exit code 2."""
    try:
        app()
    except SlotgradError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
