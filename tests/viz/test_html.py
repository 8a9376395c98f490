"""Tensors in notebooks."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.graph.node import Node, TensorType
from slotgrad.viz import as_html


class Checker(HTMLParser):
    """Collects cells and texts; every tag must be closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.cells, self.rows = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        assert tag in {"div", "b", "i", "table", "tr", "td"}
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.cells if self.open[-1] == "td" else self.texts).append(data)


def checked(t):
    checker = Checker()
    checker.feed(as_html(t))
    checker.close()
    assert not checker.open
    return checker


def test_a_parameter_with_its_gradient():
    x = sg.tensor([[1.0, -2.0]], requires_grad=True, name="x")
    (x * x).sum().backward()
    seen = checked(x)
    assert "".join(seen.texts) == "x = parameter float32[1, 2] · grad=[[2. -4.]]"
    assert seen.cells == ["1", "-2"] and seen.rows == 1


def test_the_whole_text_of_a_small_tensor():
    cell = "text-align:right;padding:2px 6px;border:1px solid #ddd"
    assert as_html(sg.tensor([0, 7])) == (
        '<div><div style="font:12px monospace">constant int64[2]</div>'
        '<table style="border-collapse:collapse;font:12px monospace;margin:2px 0">'
        f'<tr><td style="{cell}">0</td><td style="{cell}">7</td></tr></table></div>'
    )


def test_an_operation():
    y = sg.exp(sg.tensor([0.0], requires_grad=True))
    assert checked(y).texts == ["exp float32[1] · requires_grad"]


def test_colours_run_from_blue_over_white_to_red():
    text = as_html(sg.tensor([-4.0, 0.0, 2.0, 4.0, float("nan")]))
    backgrounds = re.findall(r"background:(#\w+);color:(#\w+)", text)
    assert backgrounds == [
        ("#3b4cc0", "#fff"), ("#f7f7f7", "#000"), ("#d67e8e", "#000"), ("#b40426", "#fff"),
        ("#ffd54a", "#000"),
    ]  # fmt: skip


def test_integers_and_booleans_have_no_colours():
    assert "background" not in as_html(sg.tensor([1, 2])) + as_html(sg.tensor([True]))


def test_a_large_matrix_is_cut():
    seen = checked(sg.tensor(np.arange(10_000.0).reshape(100, 100)))
    assert seen.rows == 11 and len(seen.cells) == 11 * 13
    assert seen.cells[0] == "0" and seen.cells[-1] == "9999" and "⋯" in seen.cells


def test_more_than_two_axes_show_the_first_matrix():
    seen = checked(sg.tensor(np.arange(24).reshape(2, 3, 2, 2)))
    assert seen.texts[0].endswith("shown: [0, 0, :, :]") and seen.cells == ["0", "1", "2", "3"]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (2, 0, 3, 3)])
def test_nothing_in_it(shape):
    assert checked(sg.zeros(shape)).texts[-1] == "no elements"


def test_a_number_and_other_dtypes():
    assert checked(sg.tensor(2.5)).cells == ["2.5"]
    assert checked(sg.tensor([0.5], dtype="bfloat16")).cells == ["0.5"]
    assert checked(sg.tensor([1 + 2j])).cells == ["1+2j"]


def test_a_recorded_tensor():
    node = Node(None, (), {}, None, False)
    node.type = TensorType((2,), np.dtype("float32"))
    assert checked(sg.Tensor(node)).texts == ["input float32[2]", "recorded, no value yet"]


def test_hostile_names_are_text():
    name = '<script>alert("1")</script>&|{}'
    text = as_html(sg.tensor([1.0], name=name))
    assert "<script" not in text
    assert checked(sg.tensor([1.0], name=name)).texts[0] == name
