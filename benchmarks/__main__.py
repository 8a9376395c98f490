"""Run the benchmarks, print the table and write it to benchmarks/results.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import llvmlite.binding

from . import eager, gemm, steps
from .measure import Row

SUITES = {"eager": eager.rows, "steps": steps.rows, "gemm": gemm.rows}
HEAD = ["work", "slotgrad", "peers (times ours)", "at least", "holds"]


def table(rows: list[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *[row.cells() for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    chosen = sys.argv[1:] or list(SUITES)
    if unknown := set(chosen) - set(SUITES):
        sys.exit(f"unknown suite {sorted(unknown)}; expected some of {list(SUITES)}")
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if variable in os.environ:
            sys.exit(f"{variable} is set and slows the peers down; run `make bench`")
    rows = []
    for name in chosen:
        for row in SUITES[name]():
            rows.append(row)
            print("  ".join(row.cells()), flush=True)
    processor = f"{llvmlite.binding.get_host_cpu_name()}, {os.cpu_count()} cores"
    text = f"# Benchmarks\n\nMedians, both sides in one run, on {processor}.\n\n{table(rows)}\n"
    if not sys.argv[1:]:
        Path(__file__).with_name("results.md").write_text(text)
    print(f"\n{table(rows)}")


main()
