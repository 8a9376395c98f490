"""Tensors and losses as pictures, and drawings made of characters."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import viz
from slotgrad.errors import CaptureError, FileError, OptionError, ShapeError, UsageError
from slotgrad.viz.pictures import _running_mean


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 2000
    return struct.unpack(">II", data[16:24])


# -- show ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((), (960, 480)),
        ((5,), (960, 480)),
        ((500,), (960, 480)),
        ((0, 3), (960, 480)),
        ((4, 6), (720, 457)),
        ((64, 32), (825, 1327)),
        ((5, 8, 8), (1425, 952)),
        ((2, 3, 4, 4), (1215, 810)),
    ],
)
def test_show_writes_a_picture(tmp_path, shape, size):
    values = np.random.default_rng(0).normal(size=shape)
    figure = viz.show(sg.tensor(values, name="<b>$x_{"), tmp_path / "x.png")
    assert png_size(tmp_path / "x.png") == pytest.approx(size, abs=2)
    assert figure.get_suptitle().startswith(f"<b>$x_{{  float64{list(shape)}\n")


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "bfloat16", "float16", "complex64"])
def test_show_takes_every_dtype(tmp_path, dtype):
    viz.show(sg.ones((3, 3), dtype=dtype), tmp_path / "x.png")
    png_size(tmp_path / "x.png")


def test_show_takes_values_that_are_not_finite(tmp_path):
    for values in ([[np.nan, np.inf], [1.0, -2.0]], [[np.nan]], [np.nan, 1.0]):
        viz.show(values, tmp_path / "x.png")
        png_size(tmp_path / "x.png")


def test_show_draws_an_image_of_the_values(tmp_path):
    values = np.array([[1.0, -3.0], [0.5, 2.0]])
    figure = viz.show(values, tmp_path / "x.png", title="weights")
    image = figure.axes[0].images[0]
    assert np.array_equal(image.get_array(), values)
    assert image.get_clim() == (-3.0, 3.0)  # centred on 0
    assert [t.get_text() for t in figure.axes[0].texts] == ["1", "-3", "0.5", "2"]
    assert figure.get_suptitle() == "weights"


def test_show_limits_the_number_of_slices(tmp_path):
    figure = viz.show(np.zeros((100, 2, 2)), tmp_path / "x.png")
    assert sum(bool(axes.images) for axes in figure.axes) == 36


def test_show_without_a_path_is_a_pyplot_figure():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = viz.show([1.0, 2.0])
    assert pyplot.fignum_exists(figure.number)
    pyplot.close(figure)


def test_show_inside_vmap():
    with pytest.raises(CaptureError):
        sg.vmap(lambda x: viz.show(x, "x.png"))(sg.ones((2, 3)))


def test_show_errors(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="show: got the file name 'x'; expected one that ends in"):
        viz.show([1.0], tmp_path / "x")
    with pytest.raises(FileError, match="show: cannot write"):
        viz.show([1.0], tmp_path / "missing" / "x.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"show: needs matplotlib.*pip install slotgrad\[viz\]"):
        viz.show([1.0], tmp_path / "x.png")


# -- loss curves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [2.0, 1.0, 0.5],
        np.exp(-np.arange(300.0)),
        [sg.tensor(1.0), sg.tensor(0.5)],
        sg.tensor([3.0, 1.0]),
        {"train": [2.0, 1.0], "te$t_": [2.5, 1.5, 1.0]},
        [float("nan"), float("inf")],
        [1.0],
    ],
)
def test_loss_curve_writes_a_picture(tmp_path, values):
    path = viz.loss_curve(values, tmp_path / "loss.png", title="l$o_ss", xlabel="ep$och_")
    assert png_size(path) == (960, 600)


def test_loss_curve_as_svg(tmp_path):
    assert b"<svg" in viz.loss_curve([1.0, 0.5], tmp_path / "loss.svg").read_bytes()


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], 3.0, {"train": []}, {}])
def test_loss_curve_of_nothing(tmp_path, bad):
    with pytest.raises(ShapeError, match=r"loss_curve: got .*; expected"):
        viz.loss_curve(bad, tmp_path / "loss.png")


def test_loss_curve_errors(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="loss_curve: got the file name 'loss.txt'"):
        viz.loss_curve([1.0], tmp_path / "loss.txt")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"loss_curve: needs matplotlib"):
        viz.loss_curve([1.0], tmp_path / "loss.png")


def test_the_running_mean_leaves_out_what_is_not_finite():
    smooth = _running_mean(np.array([1.0, 2.0, np.nan, 6.0, 7.0]), 1)
    assert smooth.tolist() == [1.0, 1.5, 4.0, 6.5, 6.5]
    assert np.isnan(_running_mean(np.array([np.nan, np.nan]), 0)).all()


# -- characters ----------------------------------------------------------------------------------


def test_characters():
    image = sg.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]])
    assert viz.as_characters(image) == "  ++@@\n@@"
    assert viz.as_characters(image, characters=".x", columns=1) == ".xx\nx.."
    assert viz.as_characters(image, characters="01", columns=1, low=0, high=4) == "000\n000"


def test_characters_of_strange_images():
    assert viz.as_characters([[float("nan"), 1.0, float("inf")]], columns=1) == "?@@"
    assert viz.as_characters([[-1.0, 0.0, 1.0]], " o@", columns=1) == " o@"
    assert viz.as_characters(np.zeros((2, 2))) == "\n"
    assert viz.as_characters(np.ones((1, 2), bool)) == "@@@@"
    assert viz.as_characters(np.zeros((0, 2))) == ""


def test_characters_errors():
    with pytest.raises(ShapeError, match=r"as_characters: got an image of shape \(2,\); expected"):
        viz.as_characters([1.0, 2.0])
    with pytest.raises(OptionError, match=r"as_characters: got characters='', columns=2"):
        viz.as_characters([[1.0]], characters="")
    with pytest.raises(OptionError, match="columns=0"):
        viz.as_characters([[1.0]], columns=0)


def test_importing_viz_does_not_import_matplotlib():
    code = "import sys, slotgrad.viz; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
