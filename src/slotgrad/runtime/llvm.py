"""LLVM text to machine code in this process.

>>> library = compile_text("define i32 @three() {\\n  ret i32 3\\n}")
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int32)(library.address("three"))()
3

The text comes with explicit vectors, so no pass of LLVM's middle end runs: code selection alone
gives the same speed in a third of the time.  All objects live in one MCJIT engine, which costs
0.04 ms an object, not 0.5 ms.  Functions of two texts may bear the same name: in the engine
each is followed by a digest of its text.

Threads compile at the same time, each in a context and with a target machine of its own; the engine
and the tables have a lock, which nobody holds for long.

May import config, errors, runtime.host, runtime.cache.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite.binding import ffi

from ..config import get_num_threads
from ..errors import InternalError
from . import cache as disk
from .host import Host, host

# Of code generation: 1 to 3 give the same speed, 0 half of it in an eighth of the time.
_QUICK, _TUNED = 0, 2
_DECLARED = re.compile(r"^declare [^\n]*?@([\w.$]+)\(", re.MULTILINE)
_POSITION = re.compile(r"<string>:(\d+):(\d+): error: ([^\n]*)")

_lock = threading.RLock()  # guards the engine and the tables
_made = threading.Condition(_lock)  # a library, or an error
_making: dict[str, int] = {}  # the keys of libraries that are being made, and the threads
_libraries: dict[str, Library] = {}  # MCJIT cannot let go of an object, so neither do we
_provided: dict[str, int] = {}  # addresses of our own functions that texts may declare


class Library:
    """The functions of a text, compiled.  Made by `compiled`; lives with the process.

    size    bytes of its objects
    cached  whether they came from the disk
    quick   whether better code can be had
    """

    def __init__(
        self, key: str, objects: Sequence[bytes], cached: bool = False, quick: bool = False
    ) -> None:
        self.size = sum(map(len, objects))
        self.cached = cached
        self.quick = quick
        self._key = key
        # The references own the memory that the engine reads.
        self._references = [llvm.ObjectFileRef.from_data(code) for code in objects]
        for reference in self._references:
            _engine().add_object_file(reference)
        _engine().finalize_object()

    def address(self, name: str) -> int:
        """Where a function starts."""
        with _lock:
            found = _engine().get_function_address(_symbol(name, self._key))
        if not found:
            raise InternalError(f"compile: the text defines no function @{name}")
        return found


def compile_text(text: str, quick: bool = False) -> Library:
    """The functions that LLVM text defines; see `compiled`."""
    return compiled(lambda: [text], quick=quick)


def compiled(
    write: Callable[[], Sequence[str]], facts: str | None = None, *, quick: bool = False
) -> Library:
    """The functions that the LLVM texts which `write` returns define, compiled and loaded.

    write  several texts are compiled side by side, and cannot call each other
    facts  what the texts depend on, so that they are written only if they were never compiled:
           equal facts, equal texts; None: the texts themselves
    quick  unless the best code is there already, make some that takes less time to make, and more
           to run

    Functions that the text declares must have been provided, or exist in this process or in the C
    mathematics library.
    The same facts give the same library.  Raises InternalError, with the offending line, for
    text that LLVM refuses; running such text would end the process.
    """
    texts = write() if facts is None else None
    kind, source = ("text", "\n".join(texts or ())) if facts is None else ("facts", facts)

    def make(effort: int) -> Library:
        nonlocal texts
        key = _key(kind, source, host(), effort)
        if texts is None:
            texts = write()
        objects = side_by_side([partial(_object, text, key, effort) for text in texts])
        needs = _needs(texts)
        if effort == _TUNED:
            disk.default().store(key, _packed(objects, needs))
        return _loaded(key, objects, needs, quick=effort == _QUICK)

    best = _key(kind, source, host(), _TUNED)
    if not quick:
        return _once(best, lambda: _found(best) or make(_TUNED))
    with _lock:
        known = _libraries.get(best)
    return known or _once(_key(kind, source, host(), _QUICK), lambda: _found(best) or make(_QUICK))


def _once(key: str, make: Callable[[], Library]) -> Library:
    """The library of a key; made by one thread, while others that want it wait."""
    with _made:
        while key in _making:
            _made.wait()
        if key in _libraries:
            return _libraries[key]
        _making[key] = threading.get_ident()
    try:
        made = make()
        with _lock:
            return _libraries.setdefault(made._key, made)
    finally:
        with _made:
            del _making[key]
            _made.notify_all()


def _found(key: str) -> Library | None:
    """The code that another process has made, if it has."""
    content = disk.default().load(key)
    return None if content is None else _loaded(key, *_unpacked(content), cached=True)


def _loaded(key: str, objects: Sequence[bytes], needs: Sequence[str], **how: bool) -> Library:
    with _lock:
        _provide(needs)
        return Library(key, objects, **how)


def _packed(objects: Sequence[bytes], needs: Sequence[str]) -> bytes:
    """As it is kept on disk: a line with names, one with sizes, then the objects."""
    head = f"{' '.join(needs)}\n{' '.join(str(len(code)) for code in objects)}\n"
    return head.encode() + b"".join(objects)


def _unpacked(content: bytes) -> tuple[list[bytes], list[str]]:
    needs, sizes, rest = content.split(b"\n", 2)
    objects, begin = [], 0
    for size in map(int, sizes.split()):
        objects.append(rest[begin : begin + size])
        begin += size
    return objects, needs.decode().split()


def _before_fork() -> None:
    """A child must find neither the lock taken nor LLVM at work for a thread that it lacks."""
    _lock.acquire()
    while any(thread != threading.get_ident() for thread in _making.values()):
        _made.wait()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def assembly(text: str, machine: Host) -> str:
    """The machine code of LLVM text for a machine, to read."""
    key = _key("text", text, machine, _TUNED)
    with _machine(machine, _TUNED) as writer:
        return writer.emit_assembly(_parse(text, key, machine, writer))


def _key(kind: str, source: str, machine: Host, effort: int) -> str:
    return disk.key(kind, source, *machine.processor, llvmlite.__version__, f"objects {effort}")


# -- text to object ------------------------------------------------------------------------------


def _needs(texts: Sequence[str]) -> list[str]:
    """The functions from outside that texts declare."""
    names = [name for text in texts for name in _DECLARED.findall(text)]
    return [name for name in dict.fromkeys(names) if not name.startswith("llvm.")]


def side_by_side(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """What functions return, called by this thread and as many others as may be used.

    All come to their end; then the first error is raised.
    """
    results: list[Any] = [None] * len(jobs)
    errors: list[BaseException] = []
    numbers, next_one = iter(range(len(jobs))), threading.Lock()

    def work() -> None:
        while True:
            with next_one:
                i = next(numbers, None)
            if i is None:
                return
            try:
                results[i] = jobs[i]()
            except BaseException as error:
                errors.append(error)

    count = min(get_num_threads(), host().cores, len(jobs))
    threads = [threading.Thread(target=work) for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _object(text: str, key: str, effort: int) -> bytes:
    with _machine(host(), effort) as writer:
        return _emitted(writer, _parse(text, key, host(), writer))


def _emitted(writer: Any, module: Any) -> bytes:
    """What `writer.emit_object` returns.

    llvmlite lets one thread at a time into LLVM, which itself compiles in several if each has a
    context and a target machine of its own: here we call what the lock of llvmlite guards.
    """
    emit = getattr(ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        return writer.emit_object(module)
    with ffi.OutputString() as report:
        buffer = emit(writer, module, 1, report)
        if not buffer:
            raise InternalError(f"compile: {report}")
    try:
        begin, size = ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(begin, size)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _parse(text: str, key: str, machine: Host, writer: Any) -> Any:
    """The verified module, its functions renamed to what they are called in the engine."""
    try:
        module = llvm.parse_assembly(text, context=llvm.create_context())
    except RuntimeError as error:
        raise _refused(text, str(error)) from None
    module.triple = machine.triple
    module.data_layout = str(writer.target_data)
    try:
        module.verify()
    except RuntimeError as error:
        module.close()  # before its context, whoever keeps the error
        raise _refused(text, str(error)) from None
    for function in module.functions:
        if not function.is_declaration and function.linkage == llvm.Linkage.external:
            function.name = _symbol(function.name, key)
    return module


def _symbol(name: str, key: str) -> str:
    return f"{name}.{key[:16]}"


def _refused(text: str, report: str) -> InternalError:
    """The error for a text, naming the line.

    The parser tells the position; the verifier quotes instructions, and we look for the first.
    """
    lines = text.splitlines()
    position = _POSITION.search(report)
    if position:
        number, reason = int(position[1]), position[3]
    else:
        reason, *quoted = [line.strip() for line in report.splitlines()]
        stripped = [line.strip() for line in lines]
        number = next((stripped.index(q) + 1 for q in quoted if q and q in stripped), 0)
        if not number:
            return InternalError(f"compile: LLVM refuses the text: {'; '.join([reason, *quoted])}")
    line = lines[number - 1].strip() if number <= len(lines) else ""
    return InternalError(f"compile: LLVM refuses line {number}, `{line}`: {reason}")


# -- functions from outside ----------------------------------------------------------------------


# Where a declared function may come from: this process, then the mathematics library by its usual
# names.  Asking the system for its name would start a process.
_C_LIBRARIES = (None, "libm.so.6", "libSystem.dylib", "ucrtbase", "libm.so")


@cache
def _c_library(name: str | None) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except (OSError, TypeError):  # Windows has no library of the process
        return None


def provide(name: str, address: int) -> None:
    """Let texts compiled from now on declare a function of ours, by its address."""
    with _lock:
        _provided[name] = address


def _provide(names: Sequence[str]) -> None:
    """Tell LLVM the addresses of functions; a missing one would end the process at linking."""
    for name in names:
        if name in _provided:
            llvm.add_symbol(name, _provided[name])
            continue
        for library in map(_c_library, _C_LIBRARIES):
            function = getattr(library, name, None)
            if function is not None:
                llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
                break
        else:
            raise InternalError(f"compile: there is no function {name} in this process or libm")


# -- LLVM's own objects --------------------------------------------------------------------------


@cache
def _initialize(here: bool) -> None:
    if here:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:  # takes a millisecond
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()


_idle: dict[tuple[Host, int], list[Any]] = {}  # target machines that nobody uses


@contextmanager
def _machine(machine: Host, effort: int) -> Iterator[Any]:
    """A target machine, which writes objects and assembly, for one thread at a time."""
    idle = _idle.setdefault((machine, effort), [])
    try:
        writer = idle.pop()
    except IndexError:
        writer = _new_machine(machine, effort)
    try:
        yield writer
    finally:
        idle.append(writer)


def _new_machine(machine: Host, effort: int) -> Any:
    here = machine.processor == host().processor
    with _lock:
        _initialize(here)
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.name,
        features=machine.features,
        opt=effort,
        # Position-independent code for x86 refers to its constants in ways that MCJIT mislinks.
        reloc="static" if machine.triple.startswith("x86") else "default",
        codemodel="jitdefault" if here else "default",
        jit=here,
    )


@cache
def _engine() -> Any:
    """The engine that holds all code.

    It owns its target machine, which compiles nothing: using that after the engine is gone would
    crash, and so would collecting it, hence a machine of its own.
    """
    _initialize(here=True)
    machine = llvm.Target.from_triple(host().triple).create_target_machine(jit=True)
    module = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.remove_module(module)  # it would be compiled, though empty, which takes a millisecond
    return engine
