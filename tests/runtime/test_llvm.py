"""Text to machine code: it runs, its faults are told, its objects are found again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from slotgrad.errors import InternalError
from slotgrad.runtime import cache as disk
from slotgrad.runtime.host import Host, host
from slotgrad.runtime.llvm import _key, _making, assembly, compile_text, compiled


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", str(tmp_path))


def constant(number: int) -> str:
    return f"define i32 @number() {{\n  ret i32 {number}\n}}\n"


def run(library, name="number", *arguments, kind=ctypes.c_int32):
    return ctypes.CFUNCTYPE(kind, *[kind] * len(arguments))(library.address(name))(*arguments)


def test_host():
    machine = host()
    assert host() is machine
    assert machine.name and machine.cores >= 1
    assert machine.vector_bytes in (16, 32, 64)
    assert machine.lanes("float32") * 4 == machine.vector_bytes
    assert Host("haswell", vector_bytes=32).lanes("float64") == 4


def test_runs_and_is_shared():
    library = compile_text(constant(101))
    assert run(library) == 101
    assert compile_text(constant(101)) is library
    assert library.size > 0 and not library.cached


def test_texts_do_not_share_names():
    first, second = compile_text(constant(102)), compile_text(constant(103))
    assert (run(first), run(second)) == (102, 103)


ROOT = """declare double @cbrt(double)
define double @root(double %x) {
  %y = call double @cbrt(double %x)
  ret double %y
}
"""


def test_a_function_of_libm():
    assert run(compile_text(ROOT), "root", 27.0, kind=ctypes.c_double) == pytest.approx(3)


def test_a_missing_function_is_an_error_not_the_end():
    text = """declare double @no_such_function(double)
define double @f(double %x) {
  %y = call double @no_such_function(double %x)
  ret double %y
}
"""
    with pytest.raises(InternalError, match="no_such_function"):
        compile_text(text)


def test_an_unknown_name_is_an_error():
    with pytest.raises(InternalError, match="@other"):
        compile_text(constant(105)).address("other")


def test_a_syntax_error_names_the_line():
    text = "define i32 @f() {\n  %x = add i32 1, 2\n  ret i64 %x\n}"
    with pytest.raises(InternalError, match=r"line 3, `ret i64 %x`: .*i32"):
        compile_text(text)


def test_a_malformed_module_names_the_line():
    text = """define i32 @f(i1 %c) {
entry:
  br i1 %c, label %a, label %b
a:
  %x = add i32 1, 2
  br label %b
b:
  ret i32 %x
}"""
    with pytest.raises(InternalError, match=r"line 5, `%x = add i32 1, 2`: .*dominate"):
        compile_text(text)


def test_other_machines_show_assembly():
    text = """define <4 x float> @twice(<4 x float> %x) {
  %y = fadd <4 x float> %x, %x
  ret <4 x float> %y
}
"""
    assert "addps" in assembly(text, host())
    arm = Host("cortex-a72", has_fma=True, triple="aarch64-unknown-linux-gnu")
    assert "fadd\tv0.4s" in assembly(text, arm)


def test_threads():
    def work(i):
        return run(compile_text(constant(200 + i % 10)))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [200 + i % 10 for i in range(40)]


def long(number: int, length: int = 3000) -> str:
    """A text that takes a long time to compile."""
    lines = [f"  %x{i} = mul i32 %x{i - 1}, %x{i // 2}" for i in range(1, length)]
    lines = ["define i32 @long(i32 %x0) {", *lines, f"  ret i32 %x{length - 1}", "}"]
    return f"; {number}\n" + "\n".join(lines)


def test_nobody_waits_for_what_another_thread_compiles():
    compile_text(constant(300))
    slow = threading.Thread(target=compile_text, args=(long(0),))
    slow.start()
    while not _making:
        time.sleep(1e-4)
    assert [run(compile_text(constant(i))) for i in range(301, 306)] == [*range(301, 306)]
    assert slow.is_alive()
    slow.join()


def test_what_several_threads_want_is_made_once():
    written, gate = [], threading.Barrier(8)

    def write():
        written.append(long(1, 800))
        return written

    def work(_):
        gate.wait()
        return compiled(write, "wanted by all")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 1
    assert len(written) == 1


def test_threads_that_wait_try_themselves_after_an_error():
    gate = threading.Barrier(4)

    def work(_):
        gate.wait()
        with pytest.raises(InternalError, match="line 1"):
            compile_text("no text")
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_several_texts_are_one_library():
    other = constant(110).replace("number", "other")
    library = compiled(lambda: [constant(109), other], "two texts")
    assert (run(library), run(library, "other")) == (109, 110)
    command = [sys.executable, "-c", FINDER.replace("root", "other").replace("double", "int32")]
    found = subprocess.run([*command, "two texts"], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 110


def test_an_error_in_any_of_several_texts_is_told():
    with pytest.raises(InternalError, match="no text"):
        compiled(lambda: [constant(111), "no text"], "a text and none")
    assert run(compiled(lambda: [constant(111)], "a text and none")) == 111


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_compiles_whatever_threads_did():
    slow = threading.Thread(target=compile_text, args=(long(2, 2000),))
    slow.start()
    while not _making:
        time.sleep(1e-4)
    child = os.fork()
    if not child:
        os._exit(run(compile_text(constant(112))) != 112)
    assert os.waitpid(child, 0)[1] == 0
    slow.join()


def test_equal_facts_are_written_once():
    written = []

    def write():
        written.append(constant(107))
        return written

    library = compiled(write, "107")
    assert run(library) == 107
    assert compiled(write, "107") is library and len(written) == 1
    assert compiled(write, "the same by another name") is not library


def test_facts_are_no_text():
    """Neither stands for the other, whatever is in them."""
    library = compiled(lambda: [constant(108)], constant(109))
    assert run(library) == 108 and run(compile_text(constant(109))) == 109


@pytest.mark.parametrize("field", ["triple", "name", "features"])
def test_code_for_another_processor_is_not_found(field):
    """Objects may lie in a directory that several machines share."""
    other = replace(host(), **{field: "another"})
    keys = {
        _key(kind, "x", machine, 2) for kind in ("facts", "text") for machine in (host(), other)
    }
    assert len(keys) == 4


CHILD = """
import ctypes
from slotgrad.runtime.llvm import compile_text
library = compile_text("define i32 @number() {\\n  ret i32 106\\n}\\n")
value = ctypes.CFUNCTYPE(ctypes.c_int32)(library.address("number"))()
print(value, library.cached)
"""


def child() -> str:
    command = [sys.executable, "-c", CHILD]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_objects_are_found_on_disk():
    compile_text(constant(106))
    assert disk.info().entries == 1
    assert child() == "106 True"
    (entry,) = disk.info().directory.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert child() == "106 False"
    assert child() == "106 True"


FINDER = """
import ctypes, sys
from slotgrad.runtime.llvm import compiled
library = compiled(lambda: ["no text"], sys.argv[1])
print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("root"))(27))
"""


def test_what_is_on_disk_is_not_written():
    """It needs nothing but the object, which names the functions from outside."""
    compiled(lambda: [ROOT], "a root")
    command = [sys.executable, "-c", FINDER, "a root"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(found) == pytest.approx(3)


def test_two_processes_compile_the_same():
    command = [sys.executable, "-c", CHILD]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all(c.communicate(timeout=60)[0].startswith("106 ") for c in children)
    assert disk.info().entries == 1
