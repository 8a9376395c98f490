"""In which order a loop of the kernel IR walks its axes, so that memory is read as it lies.

Axes of size 1 are left out, neighbours joined where all views allow it; the last axis is the row.
A long row is cut into pieces, and a loop that runs down a column goes in blocks.  May import the
floor and kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..graph.node import Node
from ..kernel.ir import Loop, View

PIECES = 512, 4096  # elements of the pieces of a long row
BLOCK = 32  # rows and columns at most of a block
LARGE = 1 << 13  # elements of a loop that is walked in blocks


@dataclass
class Walk:
    """A loop with axes of size 1 left out, in an order that memory likes, neighbours joined."""

    shape: tuple[int, ...]
    inputs: dict[Node, View]
    outputs: list[tuple[Node, View]]
    axes: dict[Node, tuple[int, ...]]  # of the folds


def walked(loop: Loop) -> Walk:
    """How the loop is walked."""
    views = [*loop.inputs.values(), *loop.writes]
    order = [i for i, n in enumerate(loop.shape) if n != 1]
    if not loop.phased:
        order = _for_memory(order, views)
    joined: list[list[int]] = []  # axes of the loop that are walked as one
    for i in order:
        if joined and _may_join(joined[-1][-1], i, loop, views):
            joined[-1].append(i)
        else:
            joined.append([i])
    shape = [math.prod(loop.shape[i] for i in axes) for axes in joined]
    strides = [[v.strides[axes[-1]] for axes in joined] for v in views]
    piece = _piece(shape[0]) if len(shape) == 1 and not loop.folds else 0
    if piece:  # rows that threads can share
        shape = [shape[0] // piece, piece]
        strides = [[s * piece, s] for [s] in strides]
    elif not loop.folds:
        shape, strides = _in_blocks(shape, strides)
    moved = [View(v.buffer, tuple(shape), tuple(each), v.offset) for v, each in zip(views, strides)]
    inputs = dict(zip(loop.inputs, moved))
    outputs = [(node, v) for (node, _), v in zip(loop.outputs, moved[len(inputs) :])]
    folds = {
        node: tuple(number for number, axes in enumerate(joined) if axes[0] in fold.axes)
        for node, fold in loop.folds.items()
    }
    return Walk(tuple(shape), inputs, outputs, folds)


def _piece(n: int) -> int:
    """The length of equal pieces of a long row; 0 if there are none."""
    if n < 2 * PIECES[-1]:
        return 0
    return next((p for p in range(PIECES[-1], PIECES[0], -64) if n % p == 0), 0)


def _in_blocks(shape: list[int], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """The axes in blocks of rows and columns, if a view runs down the columns of a large loop.

    A cache line of that view then serves all rows of a block while it is in the cache.
    """
    last = len(shape) - 1
    down = [i for i in range(last) if any(s[i] == 1 and s[last] > 1 for s in strides)]
    if not down or math.prod(shape) < LARGE:
        return shape, strides
    row = down[-1]
    rows, columns = (
        next((p for p in range(BLOCK, BLOCK // 4, -1) if n % p == 0), 0)
        for n in (shape[row], shape[last])
    )
    if not rows or not columns:
        return shape, strides
    outer = [i for i in range(last) if i != row]
    return [
        *(shape[i] for i in outer),
        shape[row] // rows,
        shape[last] // columns,
        rows,
        columns,
    ], [
        [*(s[i] for i in outer), s[row] * rows, s[last] * columns, s[row], s[last]] for s in strides
    ]


def _for_memory(order: list[int], views: list[View]) -> list[int]:
    """The axes with that one last along which most views are contiguous."""
    if len(order) < 2:
        return order
    near = {i: sum(v.strides[i] == 1 for v in views) for i in order}
    best = max(reversed(order), key=lambda i: near[i])
    return [*(i for i in order if i != best), best]


def _may_join(outer: int, inner: int, loop: Loop, views: list[View]) -> bool:
    folds = loop.folds.values()
    return all(v.strides[outer] == v.strides[inner] * loop.shape[inner] for v in views) and all(
        (outer in f.axes) == (inner in f.axes) for f in folds
    )
