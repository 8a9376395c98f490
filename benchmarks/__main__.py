"""Run the benchmarks, print the tables; of all suites, write results.md and results.png too."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from slotgrad.runtime.host import host

from . import calls, elements, functions, gemm, scalars, start, steps
from .case import PEERS, Row
from .measure import Crew, Disturbance
from .report import chart, line, markdown

SUITES = {
    "calls": calls,
    "scalars": scalars,
    "elements": elements,
    "steps": steps,
    "functions": functions,
    "gemm": gemm,
    "start": start,
}
RESULTS = Path(__file__).with_name("results.md")
QUIET = 0.05  # others' share of the cores that spoils nothing
INTRODUCTION = """\
# Benchmarks

Seconds are medians of alternating turns, each peer in a process of its own, with one thread bound
to one core, with two to two; beside a peer's time stands how many times ours it is. All peers
compute the same numbers, which is checked. `make bench` measures anew.

On {processor}: {versions}. {disturbance}

![How many times as fast as the best peer](results.png)

- *torch* and *numpy* run eagerly; *jax* is jitted, its training state donated; *eager* is slotgrad
  without `sg.compile`, *peak* the time that the processor's arithmetic needs at least. These two
  are shown, but are no peers to be ahead of.
- In matrix products slotgrad's kernel runs in a native loop, as inside a program, while the peers
  are called from Python: the small sizes tell what a call costs.
- Times of random graphs are those of one operation and of its share of the gradient, called from
  Python, or where it says so in a native loop around slotgrad's code. micrograd makes its graph
  anew in each step; slotgrad does so where it says so, and else records once, as casadi and
  simplegrad do. *simplegrad* runs in node, which repeats its code in a loop of JavaScript.
- A first call is timed alone, in a fresh process that has loaded the packages (slotgrad's with
  LLVM) and made the weights: cold with nothing on disk, then with what another process has left
  there, slotgrad and jax alike. Eager peers do not compile and are left out.
"""


def versions() -> str:
    """The packages measured, and their versions."""
    found = []
    for package in dict.fromkeys(PEERS.values()):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def title(suite: ModuleType) -> str:
    """The first sentence of its docstring."""
    return (suite.__doc__ or suite.__name__).splitlines()[0].rstrip(".")


def told(share: float) -> str:
    """What others have used meanwhile, as a sentence."""
    sentence = f"Other processes used {share:.0%} of the cores meanwhile"
    return f"{sentence}." if share <= QUIET else f"**{sentence}: do not trust these numbers.**"


def main() -> None:
    """Measure the suites named on the command line, or all."""
    chosen = sys.argv[1:] or list(SUITES)
    if unknown := set(chosen) - set(SUITES):
        sys.exit(f"got suites {sorted(unknown)}; expected some of {list(SUITES)}")
    sections: dict[str, list[Row]] = {}
    disturbance = Disturbance()
    with Crew() as crew:
        for name in chosen:
            suite = SUITES[name]
            rows = sections[title(suite)] = []
            for row in crew.rows(suite.CASES):
                rows.append(row)
                print(line(row), flush=True)
    tables, sentence = markdown(sections), told(disturbance.share())
    print(f"\n{tables}\n\n{sentence}")
    if not sys.argv[1:]:
        processor = f"{host().name}, {host().cores} cores"
        text = INTRODUCTION.format(processor=processor, versions=versions(), disturbance=sentence)
        RESULTS.write_text(f"{text}\n{tables}\n")
        chart(sections, RESULTS.with_suffix(".png"))


main()
