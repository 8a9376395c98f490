"""LLVM text to machine code in this process.

>>> library = compile_text("define i32 @three() {\\n  ret i32 3\\n}")
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int32)(library.address("three"))()
3

The text comes with explicit vectors, so no pass of LLVM's middle end runs: code selection alone
gives the same speed in a third of the time.  All objects live in one MCJIT engine, which costs
0.04 ms an object, not 0.5 ms.  Functions of two texts may bear the same name: in the engine
each is followed by a digest of its text.

May import errors, runtime.host, runtime.cache.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ..errors import InternalError
from . import cache as disk
from .host import Host, host

# Of code generation: 1 to 3 give the same speed, 0 half of it in an eighth of the time.
_QUICK, _TUNED = 0, 2
_DECLARED = re.compile(r"^declare [^\n]*?@([\w.$]+)\(", re.MULTILINE)
_POSITION = re.compile(r"<string>:(\d+):(\d+): error: ([^\n]*)")

_lock = threading.RLock()  # guards the engine and the table of libraries
if hasattr(os, "register_at_fork"):  # a child must not find it taken by a thread that it lacks
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
_libraries: dict[str, Library] = {}  # MCJIT cannot let go of an object, so neither do we
_provided: dict[str, int] = {}  # addresses of our own functions that texts may declare


class Library:
    """The functions of one text, compiled.  Made by `compiled`; lives with the process.

    size    bytes of the object
    cached  whether the object came from the disk
    quick   whether better code can be had
    """

    def __init__(self, key: str, code: bytes, cached: bool = False, quick: bool = False) -> None:
        self.size = len(code)
        self.cached = cached
        self.quick = quick
        self._key = key
        # The reference owns the memory that the engine reads.
        self._reference = llvm.ObjectFileRef.from_data(code)
        _engine().add_object_file(self._reference)
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
    return compiled(lambda: text, quick=quick)


def compiled(write: Callable[[], str], facts: str | None = None, *, quick: bool = False) -> Library:
    """The functions that the LLVM text which `write` returns defines, compiled and loaded.

    facts  what the text depends on, so that it is written only if it was never compiled: equal
           facts, equal texts; None: the text itself
    quick  unless the best code is there already, make some that takes less time to make, and more
           to run

    Functions that the text declares must have been provided, or exist in this process or in the C
    mathematics library.
    The same facts give the same library.  Raises InternalError, with the offending line, for
    text that LLVM refuses; running such text would end the process.
    """
    kind, source = ("text", write()) if facts is None else ("facts", facts)
    with _lock:
        found = _ready(_key(kind, source, host(), _TUNED))
        if found is not None:
            return found
        text = source if facts is None else write()
        effort = _QUICK if quick else _TUNED
        return _made(text, _key(kind, source, host(), effort), effort)


def _ready(key: str) -> Library | None:
    """The best code, if this process or another one has made it."""
    if key not in _libraries:
        content = disk.default().load(key)
        if content is None:
            return None
        _libraries[key] = _loaded(key, content, cached=True)
    return _libraries[key]


def _made(text: str, key: str, effort: int) -> Library:
    if key not in _libraries:
        content = _object(text, key, effort)
        if effort == _TUNED:
            disk.default().store(key, content)
        _libraries[key] = _loaded(key, content, quick=effort == _QUICK)
    return _libraries[key]


def _loaded(key: str, content: bytes, cached: bool = False, quick: bool = False) -> Library:
    needs, code = content.split(b"\n", 1)
    _provide(needs.decode().split())
    return Library(key, code, cached, quick)


def assembly(text: str, machine: Host) -> str:
    """The machine code of LLVM text for a machine, to read."""
    key = _key("text", text, machine, _TUNED)
    with _lock:
        return _machine(machine, _TUNED).emit_assembly(_parse(text, key, machine))


def _key(kind: str, source: str, machine: Host, effort: int) -> str:
    return disk.key(kind, source, *machine.processor, llvmlite.__version__, f"opt {effort}")


# -- text to object ------------------------------------------------------------------------------


def _object(text: str, key: str, effort: int) -> bytes:
    """A line with the names of the functions that the text needs, then the object."""
    needs = [name for name in _DECLARED.findall(text) if not name.startswith("llvm.")]
    code = _machine(host(), effort).emit_object(_parse(text, key, host()))
    return " ".join(needs).encode() + b"\n" + code


def _parse(text: str, key: str, machine: Host) -> Any:
    """The verified module, its functions renamed to what they are called in the engine."""
    try:
        module = llvm.parse_assembly(text, context=llvm.create_context())
    except RuntimeError as error:
        raise _refused(text, str(error)) from None
    module.triple = machine.triple
    module.data_layout = str(_machine(machine, _TUNED).target_data)
    try:
        module.verify()
    except RuntimeError as error:
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


def _provide(names: list[str]) -> None:
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


@cache
def _machine(machine: Host, effort: int) -> Any:
    """The target machine that writes objects and assembly."""
    here = machine.processor == host().processor
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
