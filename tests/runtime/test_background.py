"""Work in the background: all of it, in order, also after errors, in children and at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from textwrap import dedent

import pytest

from slotgrad.runtime.background import later, use_at_once, wait, while_wanted
from slotgrad.runtime.llvm import compile_text


def text(number):
    return f"define i32 @number() {{\n  ret i32 {number}\n}}\n"


def test_jobs_are_done_in_order():
    done = []
    for i in range(100):
        later(lambda i=i: done.append(i))
    wait()
    assert done == list(range(100))
    wait()


def test_what_nobody_wants_any_more_is_not_done():
    class Work:
        def begin(self):
            done.append(self.name)

    done, gate = [], threading.Event()
    later(gate.wait)
    kept, dropped = Work(), Work()
    kept.name, dropped.name = "kept", "dropped"
    for work in (dropped, kept):
        later(while_wanted(work.begin))
    del work, dropped
    gate.set()
    wait()
    assert done == ["kept"]


def test_an_error_is_reported_and_the_next_job_done(monkeypatch):
    errors, done = [], []
    monkeypatch.setattr(threading, "excepthook", lambda told: errors.append(told.exc_type))
    later(lambda: 1 / 0)
    later(lambda: done.append(1))
    wait()
    assert errors == [ZeroDivisionError] and done == [1]


def test_better_code_comes(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", str(tmp_path))
    used, gate = [], threading.Event()
    later(gate.wait)
    use_at_once(text(107), used.append)
    assert [library.quick for library in used] == [True]
    gate.set()
    wait()
    assert [library.quick for library in used] == [True, False]
    assert used[1] is compile_text(text(107))
    use_at_once(text(107), used.append)
    wait()
    assert used[2:] == [used[1]]


def test_what_was_compiled_before_is_not_made_quickly(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", str(tmp_path))
    script = f"from slotgrad.runtime.llvm import compile_text\ncompile_text({text(108)!r})"
    python(script, tmp_path)
    used = []
    use_at_once(text(108), used.append)
    assert [(library.quick, library.cached) for library in used] == [(False, True)]


# -- in processes of their own ---------------------------------------------------------------------


def python(script, cache=""):
    """What a script prints, which must not fail or print errors."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(script)]
    variables = os.environ | {"SLOTGRAD_CACHE": str(cache)}
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)
    assert (child.returncode, child.stderr) == (0, "")
    return child.stdout


def test_interpreters_go_over_to_better_code():
    """With the same results; the tables of functions are new, and so are the sweeps."""
    python(
        """
        import threading
        import numpy as np
        from slotgrad.kernel.scalars import code_of
        from slotgrad.runtime import tape
        from slotgrad.runtime.background import later, wait
        gate = threading.Event()
        later(gate.wait)
        codes = [code_of[name] for name in ("add", "mul", "div", "tanh")] * 50
        code = np.array([0, 0, *codes], np.uint8)
        slots = np.arange(len(code), dtype=np.int32)
        first, second = slots - 1, np.where(code == code_of["tanh"], -1, slots - 2).astype(np.int32)
        first[:2] = second[:2] = -1
        machine = tape.Interpreter(code, first, second)

        def run():
            values, gradients = np.full(len(code), 0.5), np.zeros(len(code))
            gradients[-1] = 1.0
            values, gradients = machine.placed(values), machine.placed(gradients)
            machine.forward(values)
            machine.backward(values, gradients)
            return values.tobytes(), gradients.tobytes()

        before, tables = run(), [t.copy() for t in (tape._FORWARD, tape._BACKWARD)]
        gate.set()
        wait()
        assert run() == before
        for table, old in zip((tape._FORWARD, tape._BACKWARD), tables):
            assert (table[codes] != old[codes]).all()
        assert [library.quick for library in tape._libraries] == [True, False]
        """
    )


def test_the_end_does_not_wait_for_what_is_not_begun():
    printed = python(
        """
        import time
        from slotgrad.runtime.background import later
        later(lambda: (print("begun", flush=True), time.sleep(0.1)))
        for _ in range(100):
            later(lambda: (print("more"), time.sleep(1)))
        time.sleep(0.05)
        """
    )
    assert printed == "begun\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_goes_on():
    python(
        """
        import os, signal, time
        from slotgrad.runtime.background import later, wait
        done = []
        for i in range(3):
            later(lambda i=i: (time.sleep(0.1), done.append(i)))
        time.sleep(0.05)
        process = os.fork()
        if not process:
            signal.alarm(30)
            wait()
            os._exit(done != [0, 1, 2])
        assert os.waitpid(process, 0)[1] == 0
        wait()
        assert done == [0, 1, 2]
        """
    )
