"""Trees: flatten and unflatten are inverse on every kind of container."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from slotgrad.errors import UsageError
from slotgrad.tree import flatten, leaves_of, tree_map, unflatten


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Layer:
    weight: Any
    bias: Any


trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Layer, inner, inner)
    ),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_unflatten_undoes_flatten(tree):
    leaves, structure = flatten(tree)
    assert unflatten(structure, leaves) == tree
    assert all(isinstance(x, int) for x in leaves)
    assert hash(structure) == hash(flatten(tree)[1])


def test_kinds_of_containers_are_kept():
    tree = OrderedDict(b=Point(1, (2,)), a=Layer([3], None))
    doubled = tree_map(lambda x: 2 * x, tree)
    assert doubled == OrderedDict(b=Point(2, (4,)), a=Layer([6], None))
    assert type(doubled) is OrderedDict and type(doubled["b"]) is Point
    assert leaves_of(tree) == [1, 2, 3]


def test_trees_of_different_structure_are_refused():
    with pytest.raises(UsageError, match=r"list\(0: \*, 1: \*\).*expected one structure"):
        tree_map(lambda a, b: a, [1, 2], [1])


def test_trees_are_not_kept_until_garbage_is_collected(garbage_of):
    tree = {"a": [1, (2, None)], "b": Point(3, Layer(4, 5))}
    assert garbage_of(lambda: tree_map(lambda x: x + 1, tree)) == 0
