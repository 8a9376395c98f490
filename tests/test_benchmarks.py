"""The benchmarks measure what they say: cases, bars, turns, tables and chart, at tiny sizes."""

from __future__ import annotations

import operator
import os
import time

import pytest

from benchmarks import calls, elements, functions, gemm, scalars, simplegrad, start, steps
from benchmarks.case import OURS, PEERS, Ahead, All, Row, Within, show, times
from benchmarks.measure import (
    STATISTICS,
    Crew,
    Disturbance,
    Worker,
    agree,
    cores_worked,
    environment,
)
from benchmarks.report import chart, markdown, table

SUITES = (calls, scalars, elements, steps, functions, gemm, start)
CASES = [c for suite in SUITES for c in suite.CASES]
TINY = [
    calls.Formula(),
    calls.Chain(3),
    steps.Training((4, 3, 2), 5, "SGD"),
    steps.Training((4, 3, 2), 5, "Adam"),
    functions.Elementwise("sigmoid(a)", "float64", 8),
    functions.Softmax(2, 5),
    gemm.Product(3, 5, 4, transpose_a=True),
    gemm.Product(3, 5, 4, transpose_b=True),
    scalars.Demo(3),
    scalars.Anew(3),
    scalars.Random(10),
    scalars.Random(3000),
    scalars.Straight(10),
    scalars.Recording(scalars.LINES),
    scalars.FirstResult(3),
    elements.Elements("convolution", 9),
    elements.Recorded("polynomial", 5),
]
ROWS = [
    Row("slow", 1, 2e-3, {"jax": 1e-3, "torch": 4e-3}, Ahead(2, "jax")),
    Row("slow", 2, 1e-3, {"jax": 2e-3, "eager": 1e-6}, Ahead(2)),
    Row("alone", 1, 1e-7, {}, Within(1e-6)),
]


def test_names_are_different_and_we_take_part_in_every_case():
    assert len({c.name for c in CASES}) == len(CASES)
    for case in CASES:
        assert OURS in case.peers() and set(case.peers()) <= set(PEERS)


def test_workers_take_turns_and_compute_the_same():
    peers = [OURS, "eager", "peak", "numpy"]
    with Crew(peers, rounds=1, seconds=1e-4) as crew:
        rows = list(crew.rows(TINY))
    assert {row.work for row in rows} == {case.name for case in TINY}
    for row in rows:
        assert row.ours > 0 and all(seconds > 0 for seconds in row.peers.values())
    products = [row for row in rows if row.work.startswith("gemm")]
    assert all(set(row.peers) == {"numpy", "peak"} for row in products)


@pytest.mark.parametrize("count", [1, 10, 2500])
def test_random_graphs_have_as_many_operations_as_they_say_and_need_all(count):
    leaves, operations = scalars.graph(count)
    assert len(operations) == count
    results = range(len(leaves), len(leaves) + count)
    read = {slot for _, *operands in operations for slot in operands}
    assert set(results) - read == {results[-1]}
    assert all(max(operands) < slot for slot, (_, *operands) in zip(results, operations))


@pytest.mark.skipif(not simplegrad.present(), reason="needs node and simplegrad")
def test_simplegrad_computes_the_same():
    cases = [scalars.Demo(3), scalars.Straight(10)]
    with Crew([OURS, "simplegrad"], rounds=1, seconds=1e-4) as crew:
        assert all(row.peers["simplegrad"] > 0 for row in crew.rows(cases))


def test_formulas_for_simplegrad_are_lists_of_operations():
    leaves = simplegrad.variables([0.5, -2.0])
    work = scalars.Graph([], [(operator.mul, 0, 1), (operator.sub, 2, 0)])
    output = 3 + work(leaves).relu()
    assert output.trace.operations == [
        ("mul", 0, 1, None),
        ("sub", 2, 0, None),
        ("ReLU", 3, None, None),
        ("add", 4, None, 3),
    ]
    assert output.slot == 5


def test_an_error_in_a_worker_is_an_error_here():
    with Worker("numpy", 1) as worker:
        with pytest.raises(
            RuntimeError, match=r"(?s)numpy failed at prepare.*no attribute 'numpy'"
        ):
            worker.prepare(calls.Formula())
        assert worker.prepare(functions.Softmax(1, 1))["sample"] == [1.0]


def test_different_results_raise():
    agree("work", {OURS: [1.0], "jax": [1.0001], "peak": []})
    for other in ([1.1], [1.0, 1.0]):
        with pytest.raises(RuntimeError, match="work: jax computes"):
            agree("work", {OURS: [1.0], "jax": other})


def test_workers_do_not_inherit_what_slows_blas_down(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = environment(2, {"SLOTGRAD_CACHE": "0"})
    assert "OPENBLAS_CORETYPE" not in found
    assert found["OMP_NUM_THREADS"] == "2" and found["SLOTGRAD_CACHE"] == "0"


def test_what_others_use_is_what_we_have_not_used(monkeypatch):
    # the time, what the cores have worked, what we have
    readings = iter([(100.0, 5.0, 1.0), (110.0, 10.0, 4.0)])
    monkeypatch.setattr(Disturbance, "_now", lambda self: next(readings))
    assert Disturbance().share() * os.cpu_count() == pytest.approx(0.2)


def test_cores_work_while_we_do():
    before, end = cores_worked(), time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert cores_worked() > before or not STATISTICS.exists()


def test_bars():
    slow, fast, alone = ROWS
    assert (slow.ratio, slow.wanted, slow.holds) == (0.5, 2.0, False)
    assert (fast.ratio, fast.wanted, fast.holds) == (2.0, 2.0, True)  # eager is no peer
    assert (alone.ratio, alone.wanted, alone.holds) == (None, None, True)
    assert Ahead(2, "torch").limit({"jax": 1.0}) is None
    both = All(Within(3.0), Ahead(2, "jax"))
    limits = [both.limit(peers) for peers in ({"jax": 4.0}, {"jax": 8.0}, {})]
    assert (limits, str(both)) == ([2.0, 3.0, 3.0], "3.00 s, 2x jax")
    assert [str(bar) for bar in (Ahead(), Ahead(1.15, "jax"), Within(0.03))] == [
        "ahead of the best",
        "1.15x jax",
        "30.0 ms",
    ]


def test_three_digits():
    assert [show(s) for s in (2.5, 0.9999, 9.996e-3, 1e-7)] == [
        "2.50 s",
        "1.00 s",
        "10.0 ms",
        "100 ns",
    ]
    assert [times(x) for x in (0.123, 12.34, 315.2)] == ["0.12x", "12.3x", "315x"]


def test_table_has_a_column_for_each_peer_that_occurs():
    head, _, *lines = table(ROWS).splitlines()
    assert head == "| work | threads | slotgrad | jax | torch | eager | at least | holds |"
    assert lines[0] == (
        "| slow | 1 | 2.00 ms | 1.00 ms (0.50x) | 4.00 ms (2.00x) |  | 2x jax | NO |"
    )
    assert lines[2] == "| alone | 1 | 100 ns |  |  |  | 1.00 us | yes |"
    assert markdown({"First": ROWS, "Second": ROWS[2:]}).count("\n## ") == 1


def test_chart_is_drawn(tmp_path):
    chart({"First": ROWS, "Second": ROWS[:1]}, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
