"""The layered layout of graph pictures."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings, strategies as st

from slotgrad.viz.layout import _apart, _crossings, _ordered, layered


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    pairs = draw(st.lists(pair, max_size=25))
    size = st.tuples(st.floats(0.3, 3.0), st.floats(0.2, 1.0))
    sizes = draw(st.lists(size, min_size=count, max_size=count))
    return sizes, [(min(p), max(p)) for p in pairs if p[0] != p[1]]


def rectangles(sizes, places):
    for (w, h), (x, y) in zip(sizes, places.centres):
        yield x - w / 2, x + w / 2, y - h / 2, y + h / 2


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_boxes_are_apart_and_edges_lead_down(drawn):
    sizes, edges = drawn
    places = layered(sizes, edges)
    boxes = list(rectangles(sizes, places))
    for i, (left, right, top, bottom) in enumerate(boxes):
        assert left > -1e-6 and top > -1e-6
        assert right < places.width + 1e-6 and bottom < places.height + 1e-6
        for other in boxes[:i]:
            beside = left >= other[1] + 0.29 or other[0] >= right + 0.29
            above = top >= other[3] + 0.29 or other[2] >= bottom + 0.29
            assert beside or above
    assert len(places.courses) == len(edges)
    for (source, user), course in zip(edges, places.courses):
        heights = [y for _, y in course]
        assert heights == sorted(heights)
        assert course[0] == pytest.approx((places.centres[source][0], boxes[source][3]))
        assert heights[-1] == pytest.approx(boxes[user][2])
        assert boxes[user][0] < course[-1][0] < boxes[user][1]


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_edges_pass_no_box(drawn):
    sizes, edges = drawn
    places = layered(sizes, edges)
    for course in places.courses:
        for (x0, y0), (x1, y1) in zip(course, course[1:]):
            if x0 != x1:
                continue  # between two layers, where no box is
            for left, right, top, bottom in rectangles(sizes, places):
                crosses = y0 < bottom - 1e-6 and y1 > top + 1e-6
                assert not (crosses and left < x0 < right)


def test_a_source_stands_just_above_its_first_user():
    places = layered([(1.0, 1.0)] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert places.centres[3][1] == places.centres[2][1]


def test_edges_of_a_ladder_do_not_cross():
    layer = [0, 0, 0, 1, 1, 1]
    links = [(0, 5), (1, 4), (2, 3)]
    above = {5: [0], 4: [1], 3: [2]}
    assert _crossings([[0, 1, 2], [3, 4, 5]], above) == 3
    assert _crossings(_ordered(layer, links), above) == 0


def test_two_edges_into_one_box_end_side_by_side():
    first, second = layered([(1.0, 1.0), (1.0, 1.0)], [(0, 1), (0, 1)]).courses
    assert second[-1][0] - first[-1][0] == pytest.approx(0.35)


def test_positions_nearest_to_the_wishes():
    import numpy as np

    wish, ones = np.array([0.0, 0.0, 10.0]), np.ones(3)
    assert _apart(wish, ones, ones).tolist() == [-0.5, 0.5, 10.0]


def test_nothing_to_lay_out():
    places = layered([], [])
    assert (places.centres, places.courses, places.width, places.height) == ([], [], 0.0, 0.0)


def test_a_long_chain_needs_no_recursion():
    started = time.perf_counter()
    places = layered([(1.0, 1.0)] * 2000, [(i, i + 1) for i in range(1999)])
    assert len({x for x, _ in places.centres}) == 1
    assert time.perf_counter() - started < 10
