"""A layered layout for directed graphs: who stands where, and how the edges run.

Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures"
(1981): layers by longest path, edges over several layers through bends of their own, order
within a layer by barycentres, then positions as close to the neighbours' as the sizes allow.
May import NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
Edge = tuple[int, int]

_SWEEPS = 24


@dataclass(frozen=True)
class Layout:
    """Centres of the boxes and courses of the edges; y grows downwards, both start at 0."""

    centres: list[Point]
    courses: list[list[Point]]
    width: float
    height: float


def layered(
    sizes: Sequence[Point], edges: Sequence[Edge], gap: float = 0.3, between: float = 0.4
) -> Layout:
    """Place boxes so that every edge leads down.

    sizes     width and height of each box
    edges     (from, to) with from < to: boxes are numbered in topological order; an edge
              given several times has several courses
    gap       free space between neighbours in a layer
    between   free space between layers

    >>> layered([(1.0, 1.0), (1.0, 1.0)], [(0, 1)]).centres
    [(0.5, 0.5), (0.5, 1.9)]
    """
    layer = _layers(len(sizes), edges)
    chains, links, layer = _with_bends(layer, edges)
    wide = np.array([w for w, _ in sizes] + [gap / 3] * (len(layer) - len(sizes)))
    rows = _ordered(layer, links)
    x = _positions(rows, links, wide + gap, bends_from=len(sizes))
    x -= (x - wide / 2).min(initial=np.inf) if len(x) else 0.0
    tall = [max(sizes[v][1] for v in row if v < len(sizes)) for row in rows]
    tops = np.cumsum([0.0, *(h + between for h in tall)])
    bands = [(top, top + h) for top, h in zip(tops.tolist(), tall)]
    centres = [(float(x[v]), sum(bands[layer[v]]) / 2) for v in range(len(sizes))]
    ports = _ports(sizes, edges, centres, chains, x)
    courses = [
        _course(chain, layer, bands, x, centres, sizes, port) for chain, port in zip(chains, ports)
    ]
    width = float((x + wide / 2).max(initial=0.0))
    return Layout(centres, courses, width, bands[-1][1] if bands else 0.0)


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """The longest path to each node; sources move down to just above their first user."""
    layer = [0] * count
    for source, user in sorted(edges, key=lambda edge: edge[1]):
        layer[user] = max(layer[user], layer[source] + 1)
    inner = {user for _, user in edges}
    users: dict[int, int] = {}
    for source, user in edges:
        users[source] = min(users.get(source, count), layer[user])
    return [n if v in inner else users.get(v, 1) - 1 for v, n in enumerate(layer)]


def _with_bends(
    layer: list[int], edges: Sequence[Edge]
) -> tuple[list[list[int]], list[Edge], list[int]]:
    """Edges cut into links from layer to layer; edges from one node share their bends.

    Returns the nodes and bends that each edge passes, the links, and the layer of each node
    and bend.
    """
    layer, bends = list(layer), dict[tuple[int, int], int]()
    chains, links = [], dict[Edge, None]()
    for source, user in edges:
        chain = [source]
        for at in range(layer[source] + 1, layer[user]):
            if (source, at) not in bends:
                bends[source, at] = len(layer)
                layer.append(at)
            chain.append(bends[source, at])
        chain.append(user)
        chains.append(chain)
        links.update(dict.fromkeys(zip(chain, chain[1:])))
    return chains, list(links), layer


def _neighbours(links: Sequence[Edge], upwards: bool) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for a, b in links:
        found.setdefault(b if upwards else a, []).append(a if upwards else b)
    return found


def _ordered(layer: list[int], links: Sequence[Edge]) -> list[list[int]]:
    """The rows from top to bottom, each from left to right with few crossings."""
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for v, at in enumerate(layer):
        rows[at].append(v)
    above, below = _neighbours(links, upwards=True), _neighbours(links, upwards=False)
    best, fewest = rows, _crossings(rows, above)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        down = sweep % 2 == 0
        neighbours = above if down else below
        place: dict[int, float] = {}
        for row in rows if down else reversed(rows):
            now = {v: i / len(row) for i, v in enumerate(row)}
            wish = {v: _mean([place[n] for n in neighbours.get(v, ())], now[v]) for v in row}
            row.sort(key=wish.__getitem__)
            place |= {v: (i + 0.5) / len(row) for i, v in enumerate(row)}
        crossings = _crossings(rows, above)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: list[list[int]], above: dict[int, list[int]]) -> int:
    """How many pairs of links cross: inversions of their upper ends, taken in lower order."""
    total = 0
    for upper, lower in zip(rows, rows[1:]):
        place = {v: i for i, v in enumerate(upper)}
        ends = np.array([p for v in lower for p in sorted(place[n] for n in above.get(v, ()))])
        total += int(np.triu(ends[:, None] > ends, 1).sum()) if len(ends) else 0
    return total


def _positions(
    rows: list[list[int]], links: Sequence[Edge], room: np.ndarray, bends_from: int
) -> np.ndarray:
    """x of nodes and bends: near the mean of the neighbours, in order, `room` wide each."""
    x = np.zeros(len(room))
    for row in rows:
        x[row] = np.cumsum(room[row]) - room[row] / 2 - room[row].sum() / 2
    above, below = _neighbours(links, upwards=True), _neighbours(links, upwards=False)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in rows if down else reversed(rows):
            wish = np.array([_mean([x[n] for n in neighbours.get(v, ())], x[v]) for v in row])
            weight = np.array([3.0 if v >= bends_from else 1.0 for v in row])  # straight bends
            x[row] = _apart(wish, room[row], weight)
    return x


def _apart(wish: np.ndarray, room: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The positions nearest to the wishes (least squares) that keep the order and the room.

    With the room taken off, an isotonic regression: pool adjacent violators.
    """
    offset = np.cumsum(room) - room / 2
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for value, w in zip((wish - offset).tolist(), weight.tolist()):
        members = 1
        while pools and pools[-1][0] > value:
            before, its, count = pools.pop()
            value, w, members = (value * w + before * its) / (w + its), w + its, members + count
        pools.append((value, w, members))
    return np.repeat([p[0] for p in pools], [p[2] for p in pools]) + offset


def _ports(
    sizes: Sequence[Point],
    edges: Sequence[Edge],
    centres: list[Point],
    chains: list[list[int]],
    x: np.ndarray,
) -> list[float]:
    """Where on the upper side of its user each edge ends: side by side, as they come."""
    arriving: dict[int, list[int]] = {}
    for number, (_, user) in enumerate(edges):
        arriving.setdefault(user, []).append(number)
    ports = [0.0] * len(edges)
    for user, numbers in arriving.items():
        numbers.sort(key=lambda number: x[chains[number][-2]])
        step = min(0.35, 0.8 * sizes[user][0] / len(numbers))
        for i, number in enumerate(numbers):
            ports[number] = centres[user][0] + (i - (len(numbers) - 1) / 2) * step
    return ports


def _course(
    chain: list[int],
    layer: list[int],
    bands: list[Point],
    x: np.ndarray,
    centres: list[Point],
    sizes: Sequence[Point],
    port: float,
) -> list[Point]:
    """The points of an edge; it crosses layers vertically, clear of the boxes in them."""
    source, user = chain[0], chain[-1]
    at = centres[source][0]
    points = [(at, centres[source][1] + sizes[source][1] / 2), (at, bands[layer[source]][1])]
    for bend in chain[1:-1]:
        points += [(float(x[bend]), y) for y in bands[layer[bend]]]
    points += [(port, bands[layer[user]][0]), (port, centres[user][1] - sizes[user][1] / 2)]
    return [p for p, q in zip(points, points[1:]) if not np.allclose(p, q)] + points[-1:]
