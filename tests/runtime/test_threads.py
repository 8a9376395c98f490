"""The pool of threads: each unit once, all of it seen, whoever comes late, forks or ends."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import config
from slotgrad.errors import OptionError
from slotgrad.runtime import threads
from slotgrad.runtime.host import Host, host
from slotgrad.runtime.llvm import assembly, compile_text

# A table holds the addresses of counts (how often a unit was computed) and of the threads that did.
JOBS = """
declare void @slotgrad_parallel(ptr, ptr, i64, i64)
declare i32 @usleep(i32)

define void @mark(ptr %table, i64 %thread, i64 %first, i64 %last) {
entry:
  %counts = load ptr, ptr %table
  %at_threads = getelementptr ptr, ptr %table, i64 1
  %threads = load ptr, ptr %at_threads
  br label %test
test:
  %i = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %body, label %end
body:
  %count = getelementptr i64, ptr %counts, i64 %i
  %old = atomicrmw add ptr %count, i64 1 monotonic
  %by = getelementptr i64, ptr %threads, i64 %i
  store i64 %thread, ptr %by
  %next = add i64 %i, 1
  br label %test
end:
  ret void
}

define void @slow(ptr %table, i64 %thread, i64 %first, i64 %last) {
  %r = call i32 @usleep(i32 2000)
  call void @mark(ptr %table, i64 %thread, i64 %first, i64 %last)
  ret void
}

define void @rows(ptr %table, i64 %thread, i64 %first, i64 %last) {  ; rows of 50 units, nested
entry:
  %inner = alloca [2 x ptr]
  %inner_threads = getelementptr ptr, ptr %inner, i64 1
  %counts = load ptr, ptr %table
  %at_threads = getelementptr ptr, ptr %table, i64 1
  %threads = load ptr, ptr %at_threads
  br label %test
test:
  %i = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %body, label %end
body:
  %start = mul i64 %i, 50
  %row_counts = getelementptr i64, ptr %counts, i64 %start
  %row_threads = getelementptr i64, ptr %threads, i64 %start
  store ptr %row_counts, ptr %inner
  store ptr %row_threads, ptr %inner_threads
  call void @slotgrad_parallel(ptr @mark, ptr %inner, i64 50, i64 3)
  %next = add i64 %i, 1
  br label %test
end:
  ret void
}

define void @reverse(ptr %table, i64 %thread, i64 %first, i64 %last) {  ; to[i] = from[99 - i] + 1
entry:
  %from = load ptr, ptr %table
  %at_to = getelementptr ptr, ptr %table, i64 1
  %to = load ptr, ptr %at_to
  br label %test
test:
  %i = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %body, label %end
body:
  %other = sub i64 99, %i
  %source = getelementptr i64, ptr %from, i64 %other
  %x = load i64, ptr %source
  %y = add i64 %x, 1
  %place = getelementptr i64, ptr %to, i64 %i
  store i64 %y, ptr %place
  %next = add i64 %i, 1
  br label %test
end:
  ret void
}

define void @repeat(ptr %job, ptr %table, ptr %swapped, i64 %units, i64 %grain, i64 %times) {
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  call void @slotgrad_parallel(ptr %job, ptr %table, i64 %units, i64 %grain)
  call void @slotgrad_parallel(ptr %job, ptr %swapped, i64 %units, i64 %grain)
  %next = add i64 %i, 2
  %more = icmp slt i64 %next, %times
  br i1 %more, label %body, label %end
end:
  ret void
}
"""
POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int64


class Run:
    """Counts and threads of the units, and calls that enter them there."""

    def __init__(self, units: int, parallel: int | None = None) -> None:
        threads.start()
        self.library = compile_text(JOBS)
        self.units = units
        self.counts, self.by = np.zeros(units, np.int64), np.full(units, -1)
        self.table = np.array([self.counts.ctypes.data, self.by.ctypes.data], np.uint64)
        self.swapped = self.table[::-1].copy()
        kind = ctypes.CFUNCTYPE(None, POINTER, POINTER, NUMBER, NUMBER)
        self.parallel = kind(parallel or threads.symbols()["slotgrad_parallel"])

    def __call__(self, job: str = "mark", grain: int = 1, units: int | None = None) -> Run:
        n = self.units if units is None else units
        self.parallel(self.library.address(job), self.table.ctypes.data, n, grain)
        return self

    def repeat(self, job: str, grain: int, times: int, swap: bool = False) -> Run:
        kind = ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, NUMBER, NUMBER, NUMBER)
        second = self.swapped if swap else self.table
        kind(self.library.address("repeat"))(
            self.library.address(job),
            self.table.ctypes.data,
            second.ctypes.data,
            self.units,
            grain,
            times,
        )
        return self

    def took_part(self) -> set[int]:
        return set(self.by.tolist())


def within(seconds, work):
    """Runs something in a thread, so that a hang is a failure."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, f"not done within {seconds} s" if thread.is_alive() else "raised"
    return done[0]


@pytest.fixture(autouse=True)
def number_of_threads():
    before = sg.get_num_threads()
    sg.set_num_threads(2)
    yield
    sg.set_num_threads(before)


# -- jobs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("grain", [1, 3, 64])
@pytest.mark.parametrize("units", [0, 1, 7, 1000, 100_000])
def test_each_unit_once(units, grain, count):
    sg.set_num_threads(count)
    run = within(60, lambda: Run(units)(grain=grain))
    assert (run.counts == 1).all()
    assert ((run.by >= 0) & (run.by < count)).all()


@pytest.mark.parametrize("grain", [-5, 0, 8, 2**62])
def test_any_grain(grain):
    run = within(60, lambda: Run(20)(grain=grain))
    assert (run.counts == 1).all()


@pytest.mark.parametrize("grain", [2, 5])
def test_chunks_begin_at_multiples_of_the_grain(grain):
    sg.set_num_threads(4)
    for _ in range(50):
        run = Run(21)(grain=grain)
        assert all(len(set(run.by[i : i + grain])) == 1 for i in range(0, 21, grain))


def test_each_thread_has_its_own_end():
    """The units of a thread stay next to each other, so the next job finds them in its cache."""
    for _ in range(50):
        odd = within(60, lambda: Run(60)(grain=2)).by % 2
        assert (np.diff(odd) >= 0).all()
    slow = within(60, lambda: Run(60)("slow"))
    assert slow.by[0] == 0 and slow.by[-1] == 1


def test_no_unit_beyond_the_last():
    run = Run(30)
    run(grain=4, units=22)
    run(units=-3)
    assert run.counts.tolist() == [1] * 22 + [0] * 8


def test_workers_take_part():
    sg.set_num_threads(4)
    run = within(60, lambda: Run(60)("slow"))
    assert (run.counts == 1).all()
    assert 0 in run.took_part() and len(run.took_part()) > 1


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("grain", [7, 34, 50])
def test_one_job_sees_what_the_job_before_wrote(grain, count):
    """And a worker that comes late does not take the next job for the one before."""
    sg.set_num_threads(count)
    run = Run(100)
    run.by[:] = 0
    within(240, lambda: run.repeat("reverse", grain, 300_000, swap=True))
    assert (run.counts == 300_000).all() and (run.by == 299_999).all()


@pytest.mark.parametrize("count", [2, 4])
def test_many_quick_jobs(count):
    sg.set_num_threads(count)
    run = within(240, lambda: Run(5).repeat("mark", 1, 100_000))
    assert (run.counts == 100_000).all()
    assert len(within(60, lambda: Run(60)("slow")).took_part()) > 1


def test_workers_wake_from_sleep():
    for _ in range(5):
        time.sleep(0.05)
        assert within(60, lambda: Run(40)("slow")).took_part() == {0, 1}


def test_workers_about_to_sleep():
    """Jobs at all distances from the moment when workers go to sleep lose none of them."""
    run = Run(4)
    for i in range(2000):
        until = time.perf_counter() + i * 1e-7
        while time.perf_counter() < until:
            pass
        run()
    assert (run.counts == 2000).all()
    assert within(60, lambda: Run(40)("slow")).took_part() == {0, 1}


def test_callers_at_once():
    sg.set_num_threads(4)
    runs = [Run(50) for _ in range(6)]
    callers = [threading.Thread(target=r.repeat, args=("mark", 3, 5000), daemon=True) for r in runs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(120)
    assert all((r.counts == 5000).all() for r in runs)


def test_a_job_that_calls_again():
    sg.set_num_threads(4)
    run = within(60, lambda: Run(40 * 50)("rows", units=40))
    assert (run.counts == 1).all()
    assert (run.by == 0).all()  # by the inner call: nobody else was free
    assert within(60, lambda: Run(40)("slow")).took_part() > {0}


# -- the number of threads -------------------------------------------------------------------------


def test_more_and_fewer_threads():
    for count in (1, 4, 2, 1, 3, 4, 1):
        sg.set_num_threads(count)
        assert sg.get_num_threads() == count
        took_part: set[int] = set()
        for _ in range(50):  # a busy machine may leave the caller alone for a while
            run = within(60, lambda: Run(40)("slow"))
            assert (run.counts == 1).all()
            took_part |= run.took_part()
            if len(took_part) > 1:
                break
        assert took_part <= set(range(count))
        assert (len(took_part) > 1) == (count > 1)
    names = [t.name for t in threading.enumerate() if t.name.startswith("slotgrad-")]
    assert len(names) == len(set(names)) >= 3  # there may have been more before


def test_workers_too_many_leave_the_next_job_alone():
    """Even those that are still awake."""
    before, after = Run(8), Run(8)
    slow, first, second = (
        before.library.address("slow"),
        before.table.ctypes.data,
        after.table.ctypes.data,
    )
    for _ in range(30):
        sg.set_num_threads(4)
        before.parallel(slow, first, 8, 1)
        sg.set_num_threads(2)
        after.parallel(slow, second, 8, 1)
        assert after.took_part() <= {0, 1}


def test_the_number_changes_while_jobs_run():
    run = Run(50)
    caller = threading.Thread(target=run.repeat, args=("mark", 3, 50_000), daemon=True)
    caller.start()
    changes = 0
    while caller.is_alive() and changes < 100_000:
        sg.set_num_threads(1 + changes % 4)
        changes += 1
    caller.join(120)
    assert (run.counts == 50_000).all()


@pytest.mark.parametrize("n", [0, -1, 65, 2.0, "2", None, True])
def test_bad_numbers(n):
    with pytest.raises(OptionError, match=repr(n)):
        sg.set_num_threads(n)
    assert sg.get_num_threads() == 2


@pytest.mark.parametrize(
    "ours, shared, number",
    [
        ("3", None, 3),
        ("3", "5", 3),
        (None, "5", 5),
        ("", " 5 ", 5),
        (None, "5,2", 5),
        (None, "1000", threads.MAX_THREADS),
        (None, None, min(host().cores, threads.MAX_THREADS)),
    ],
)
def test_numbers_in_the_environment(monkeypatch, ours, shared, number):
    for name, value in (("SLOTGRAD_NUM_THREADS", ours), ("OMP_NUM_THREADS", shared)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(config.threads, "number", None)
    assert sg.get_num_threads() == number


@pytest.mark.parametrize("name", ["SLOTGRAD_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5"])
def test_bad_numbers_in_the_environment(monkeypatch, name, value):
    for each in ("SLOTGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(config.threads, "number", None)
    with pytest.warns(UserWarning, match=f"{name}.*{value}"):
        assert sg.get_num_threads() == min(host().cores, threads.MAX_THREADS)


def test_the_environment_of_a_process():
    assert python("print(sg.get_num_threads())", SLOTGRAD_NUM_THREADS="3").stdout == "3\n"


# -- systems ---------------------------------------------------------------------------------------


def test_workers_that_sleep_by_polling():
    child = python(
        """
        pool = threads.Pool(host().triple.split("-")[0] + "-apple-darwin")
        sg.set_num_threads(3)
        pool.start()
        for _ in range(3):
            time.sleep(0.05)
            run = Run(60, pool.symbols()["slotgrad_parallel"])("slow")
            assert (run.counts == 1).all() and len(run.took_part()) > 1
        run.repeat("mark", 1, 1000)
        assert (run.counts == 1001).all()
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_without_workers():
    pool = threads.Pool("x86_64-pc-windows-msvc")
    sg.set_num_threads(4)
    pool.start()
    run = within(60, lambda: Run(100, pool.symbols()["slotgrad_parallel"])())
    assert (run.counts == 1).all() and run.took_part() == {0}


def test_no_more_threads_to_be_had(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool = threads.Pool("x86_64-unknown-freebsd")
    sg.set_num_threads(2)
    pool.start()
    run = Run(100, pool.symbols()["slotgrad_parallel"])()
    assert (run.counts == 1).all() and run.took_part() == {0}


def test_the_text_for_another_processor():
    arm = Host("cortex-a72", has_fma=True, triple="aarch64-unknown-linux-gnu")
    code = assembly(threads.pool_text(arm.triple), arm)
    assert all(part in code for part in ("yield", "ldaxr", "stlr", "syscall"))


# -- fork and exit ---------------------------------------------------------------------------------


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script, with all names of this module."""
    here = Path(__file__)
    head = f"import sys\nsys.path.insert(0, {str(here.parent)!r})\nfrom {here.stem} import *\n"
    return subprocess.run(
        [sys.executable, "-c", head + dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def test_fork():
    """Also while another thread is in the middle of a job, and again in the child's child."""
    child = python(
        """
        import signal, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads

        def check(depth):
            run = Run(40)("slow")
            assert (run.counts == 1).all() and run.took_part() == {0, 1}
            run.repeat("mark", 1, 1000)
            assert (run.counts == 1001).all()
            if depth:
                fork(depth - 1)

        def fork(depth):
            process = os.fork()
            if not process:
                signal.alarm(60)
                try:
                    check(depth)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(process, 0)[1] == 0

        sg.set_num_threads(2)
        busy = Run(10)
        threading.Thread(target=busy.repeat, args=("mark", 1, 10**15), daemon=True).start()
        while not busy.counts.any():
            time.sleep(0.001)
        for _ in range(10):
            fork(1)
        assert (Run(100)().counts == 1).all()
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_a_fork_before_new_workers_runs_alone():
    child = python(
        """
        import signal, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        sg.set_num_threads(2)
        run = Run(40)
        process = os.fork()
        if not process:
            signal.alarm(60)
            run("slow")
            os._exit(0 if (run.counts == 1).all() and run.took_part() == {0} else 1)
        assert os.waitpid(process, 0)[1] == 0
        assert Run(40)("slow").took_part() == {0, 1}
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.parametrize("state", ["awake", "asleep", "at work"])
@pytest.mark.parametrize(
    "end, code", [("pass", 0), ("sys.exit(3)", 3), ("1 / 0", 1), ("signal.raise_signal(15)", -15)]
)
def test_the_process_ends(state, end, code):
    child = python(
        f"""
        import signal
        sg.set_num_threads(4)
        run = Run(10)
        if {state!r} == "at work":
            threading.Thread(target=run.repeat, args=("mark", 1, 10**15), daemon=True).start()
        else:
            run()
        if {state!r} != "awake":
            time.sleep(0.05)
        {end}
        """
    )
    assert child.returncode == code
    assert child.stderr == "" or code == 1 and child.stderr.strip().endswith("division by zero")
