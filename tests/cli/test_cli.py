"""The command line in processes of its own, as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

import slotgrad as sg
from slotgrad import data


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "slotgrad", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("demo", "--out", folder / "out", cwd=folder)


def test_demo_reaches_its_accuracy_and_writes_its_files(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert "compiled steps a second" in done.stdout
    accuracy = float(re.search(r"test ([\d.]+)%", done.stdout).group(1))
    seconds = float(re.search(r"trained in ([\d.]+) s", done.stdout).group(1))
    assert accuracy >= 97 and seconds < 20
    assert re.search(r"says \d, is \d", done.stdout) and "@@" in done.stdout
    names = {p.name for p in (folder / "out").iterdir()}
    assert names == {"model.safetensors", "loss.png", "graph.png"}
    for name in ("loss.png", "graph.png"):
        with Image.open(folder / "out" / name) as picture:
            assert min(picture.size) > 300


def test_eager_demo_does_the_same_steps(tmp_path):
    accuracies = []
    for option in ((), ("--eager",)):
        done = run("demo", "--out", tmp_path / "out", "--epochs", 2, *option)
        assert done.returncode == 0, done.stderr
        line = re.search(r"accuracy: train ([\d.]+)%, test ([\d.]+)%", done.stdout)
        accuracies.append([float(number) for number in line.groups()])
    # sums are rounded in another order
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.3)


@pytest.mark.parametrize("dark_on_light", [True, False])
def test_predict_names_the_digits_of_the_test_set(trained, tmp_path, dark_on_light):
    images, labels = data.digits()
    right = 0
    for i in range(10):
        ink = images[i].numpy().reshape(8, 8)
        grey = np.kron(1 - ink if dark_on_light else ink, np.ones((10, 10)))
        framed = np.pad(grey, 20, constant_values=float(dark_on_light))
        Image.fromarray((framed * 255).astype(np.uint8)).save(tmp_path / "digit.png")
        done = run("predict", trained[0] / "out" / "model.safetensors", tmp_path / "digit.png")
        assert done.returncode == 0, done.stderr
        said = re.search(r"^(\d)\s+([\d.]+)%", done.stdout, re.MULTILINE)
        right += int(said.group(1)) == labels[i].item()
    assert right >= 8


def test_predict_explains_what_is_wrong(trained, tmp_path):
    model = trained[0] / "out" / "model.safetensors"
    Image.new("L", (20, 20), 255).save(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    sg.save({"other": sg.ones(2)}, tmp_path / "other.safetensors")
    for arguments, words in {
        (model, tmp_path / "blank.png"): "blank",
        (model, tmp_path / "text.png"): "cannot be read as a picture",
        (model, tmp_path / "missing.png"): "no such file",
        (tmp_path / "missing.safetensors", tmp_path / "blank.png"): "missing.safetensors",
        (tmp_path / "text.png", tmp_path / "blank.png"): "safetensors",
        (tmp_path / "other.safetensors", tmp_path / "blank.png"): "slotgrad demo",
    }.items():
        done = run("predict", *arguments)
        assert done.returncode == 2
        assert words in done.stderr and "Traceback" not in done.stderr


def test_a_line_drawn_with_a_brush_is_a_one(trained, tmp_path):
    picture = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(picture).line([(100, 30), (100, 170)], fill="black", width=24)
    picture.save(tmp_path / "one.png")
    done = run("predict", trained[0] / "out" / "model.safetensors", tmp_path / "one.png")
    assert re.search(r"^1 ", done.stdout, re.MULTILINE), done.stdout


def test_info_and_help():
    done = run("info")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("slotgrad", "numpy", "processor", "cores"))
    assert "demo" in run("--help").stdout
    assert run("unknown").returncode == 2
