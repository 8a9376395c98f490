"""What was measured, to read: tables in Markdown and a chart.

May import case, and matplotlib when a chart is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .case import OURS, PEERS, Row, show, times

Sections = Mapping[str, Sequence[Row]]  # by title
COLOURS = {1: "#1f5f8b", 2: "#8fc1e3"}  # by number of threads
MARK = "#d1495b"
THICK = 0.4  # a bar, of the distance between works
GAP = 0.6  # between sections


def table(rows: Sequence[Row]) -> str:
    """A line for each row, a column for each peer that occurs, with its time over ours."""
    peers = [peer for peer in PEERS if any(peer in row.peers for row in rows)]
    lines = [["work", "threads", OURS, *peers, "at least", "holds"]]
    lines += [["---"] + ["---:"] * (2 + len(peers)) + ["---", "---"]]
    lines += [cells(row, peers) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row, peers: Sequence[str]) -> list[str]:
    """A row's cells in the table."""
    theirs = [compared(row, peer) if peer in row.peers else "" for peer in peers]
    holds = {None: "", True: "yes", False: "NO"}[row.holds]
    bar = "" if row.bar is None else str(row.bar)
    return [row.work, str(row.threads), show(row.ours), *theirs, bar, holds]


def compared(row: Row, peer: str) -> str:
    """A peer's time, and how many times ours it is."""
    seconds = row.peers[peer]
    return f"{show(seconds)} ({times(seconds / row.ours)})"


def line(row: Row) -> str:
    """A row as it is printed while the others are measured."""
    peers = ", ".join(f"{peer} {compared(row, peer)}" for peer in row.peers)
    return f"{row.work:42} {row.threads}  {show(row.ours):>8}  {peers}"


def markdown(sections: Sections) -> str:
    """All tables, each under its title."""
    return "\n\n".join(f"## {title}\n\n{table(rows)}" for title, rows in sections.items())


# -- the chart -------------------------------------------------------------------------------------


def chart(sections: Sections, path: Path) -> None:
    """Draw for each work how many times as fast as the best peer we are, and the bar to reach."""
    figure_module, ticker = import_module("matplotlib.figure"), import_module("matplotlib.ticker")
    works = [grouped(rows) for rows in sections.values()]
    height = sum(map(len, works)) + GAP * len(works)
    figure = figure_module.Figure(figsize=(8.5, 1.1 + 0.26 * height), layout="constrained")
    axes = figure.subplots()
    labels = {}
    at = 0.0
    for group in works:
        for work, rows in group.items():
            labels[at] = work
            for i, row in enumerate(rows):
                draw(axes, row, at + (i - (len(rows) - 1) / 2) * THICK)
            at += 1
        at += GAP
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_yticks(list(labels), list(labels.values()))
    axes.set_ylim(at - GAP - 0.4, -0.6)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axvline(1, color="#444444", linewidth=0.8)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set_title("times as fast as the best peer", fontsize=10, loc="left")
    handles = [axes.barh(0, 0, color=c, label=count(n)) for n, c in COLOURS.items()]
    handles += axes.plot([], [], "|", color=MARK, markersize=9, markeredgewidth=2, label="at least")
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows that have a peer, by their work."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.ratio is not None:
            groups.setdefault(row.work, []).append(row)
    return groups


def draw(axes: Any, row: Row, place: float) -> None:
    """A bar from 1 to the ratio, the ratio in numbers at the right, a mark at the one to reach."""
    assert row.ratio is not None
    colour = COLOURS[row.threads]
    axes.barh(place, row.ratio - 1, THICK, left=1, color=colour)
    side, align = (4, "left") if row.ratio >= 1 else (-4, "right")
    right = axes.get_yaxis_transform()  # x from 0 to 1, y as the bars
    axes.text(1.01, place, times(row.ratio), transform=right, va="center", fontsize=7)
    if row.wanted is not None:
        axes.plot([row.wanted] * 2, [place - THICK / 2, place + THICK / 2], color=MARK, linewidth=2)


def count(threads: int) -> str:
    """The number of threads in words."""
    return f"{threads} thread{'s' * (threads > 1)}"
