"""The graph as a picture file."""

from __future__ import annotations

import shutil
import struct
import sys
import types

import pytest

import slotgrad as sg
from slotgrad import viz
from slotgrad.errors import FileError, OptionError, UsageError


@pytest.fixture(autouse=True)
def no_graphviz(monkeypatch):
    """The drawing must not depend on what the machine has."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


def loss():
    x = sg.tensor([[0.5, -1.0]], name="x")
    w = sg.tensor([[1.0], [2.0]], requires_grad=True, name="w")
    y = (sg.tanh(x @ w) ** 2).mean()
    y.name = "loss"
    y.backward(retain_graph=True)
    return y


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 2000
    return struct.unpack(">II", data[16:24])


def test_png(tmp_path):
    path = viz.draw(loss(), tmp_path / "graph.png")
    assert path == tmp_path / "graph.png"
    width, height = png_size(path)
    assert 300 < width < 1500 and 600 < height < 2500


def test_svg_and_pdf(tmp_path):
    assert b"<svg" in viz.draw(loss(), str(tmp_path / "graph.svg")).read_bytes()
    assert viz.draw(loss(), tmp_path / "graph.PDF").read_bytes().startswith(b"%PDF")


def test_depth_makes_it_smaller(tmp_path):
    whole = png_size(viz.draw(loss(), tmp_path / "whole.png"))
    part = png_size(viz.draw(loss(), tmp_path / "part.png", depth=1))
    assert part[1] < whole[1]


def test_hostile_names_and_several_roots(tmp_path):
    x = sg.tensor(1.0, requires_grad=True, name='<b>"|{}$x_$ \n\\frac{')
    png_size(viz.draw([x * x, x + 1], tmp_path / "graph.png"))


def test_a_single_tensor(tmp_path):
    png_size(viz.draw(sg.ones(3), tmp_path / "one.png"))


def test_too_many_nodes(tmp_path):
    y = sg.tensor(0.0, requires_grad=True)
    for _ in range(500):
        y = y + 1.0
    with pytest.raises(UsageError, match=r"draw: the graph has 502 nodes; expected at most 400"):
        viz.draw(y, tmp_path / "graph.png")
    png_size(viz.draw(y, tmp_path / "graph.png", depth=4))


def test_an_unknown_suffix(tmp_path):
    with pytest.raises(OptionError, match=r"draw: got the file name 'graph.bmp'; expected one"):
        viz.draw(loss(), tmp_path / "graph.bmp")


def test_a_missing_directory(tmp_path):
    with pytest.raises(FileError, match=r"draw: cannot write .*graph.png: No such file"):
        viz.draw(loss(), tmp_path / "missing" / "graph.png")


def test_without_matplotlib(tmp_path, monkeypatch):
    for module in ("matplotlib.figure", "matplotlib.patches", "matplotlib.path"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"draw: needs matplotlib.*pip install slotgrad\[viz\]"):
        viz.draw(loss(), tmp_path / "graph.png")
    assert not list(tmp_path.iterdir())


def test_graphviz_draws_where_it_is_installed(tmp_path, monkeypatch):
    class Source:
        def __init__(self, text):
            self.text = text

        def pipe(self, format):
            return f"{format}: {self.text}".encode()

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setitem(sys.modules, "graphviz", types.SimpleNamespace(Source=Source))
    drawn = viz.draw(loss(), tmp_path / "graph.svg").read_text()
    assert drawn.startswith("svg: digraph slotgrad {") and "loss = div" in drawn


def test_the_program_dot_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setitem(sys.modules, "graphviz", None)
    png_size(viz.draw(loss(), tmp_path / "graph.png"))
