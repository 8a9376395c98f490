"""A program: one native function over one arena, which calls Python where it must.

The function does a chain of calls of kernels, which find buffers in a table of addresses (see
`targets/table.py`).  Arena and constants stay where they are; inputs and outputs are entered at
each call, here or by native code that has taken over (see `runtime/plan.py`).  Three words say who
may run it:

    BUSY     the thread in which it runs, or 0
    WANTED   not 0 while Python waits to run it or does: native code keeps out
    EMPTY    not 0 while the table has no outputs that native code could fill

Native code looks and enters without letting go of the interpreter's lock, so it needs no other.
May import the floor, kernel, targets and the rest of runtime.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ..config import capturing, get_num_threads
from ..errors import InternalError, UsageError
from ..graph.apply import reapply
from ..graph.node import leaf
from ..graph.region import Region
from ..kernel.build import build
from ..kernel.form import calls
from ..kernel.indexed import Check, failure
from ..kernel.ir import Buffer, HostCall, Product, View
from ..kernel.memory import plan_memory
from ..memory import aligned_empty
from ..targets.table import BUFFERS, FAILED, HOST, OPERANDS, ROWS, SCRATCH
from ..tensor import Tensor
from . import threads
from .host import Host, host
from .layout import address_of
from .llvm import compile_text, compiled
from .sources import sources

BUSY, WANTED, EMPTY = range(3)
LONG = 20e-6  # seconds; programs that take longer let other Python threads run meanwhile
_BYTES, _OPERATIONS = 2e10, 5e10  # a second, roughly
_PAUSE = 50e-6  # between two looks whether native code has come to its end

_HostFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)
_Scratch = ctypes.CFUNCTYPE(ctypes.c_int64)
_Native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_Rows = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)


class Program:
    """Computes the outputs of a region from arrays for its inputs.

    written   output number -> number of the input whose memory it goes to; a call returns None
              in its place
    """

    def __init__(self, region: Region, written: dict[int, int] | None = None) -> None:
        self.region = region
        self.written = written or {}
        self.kernels = plan_memory(build(region, self.written))
        buffers = self.kernels.buffers
        self.inputs = [b for b in buffers if b.role == "input"]
        self.outputs = [v for v in self.kernels.outputs if v.buffer.role == "output"]
        self.words = array("q", [0, 0, 1])
        self.table = array("Q", bytes(8 * (BUFFERS + len(buffers))))
        self.place = {b: i + BUFFERS for i, b in enumerate(buffers)}
        self._places = [self.place[b] for b in self.inputs]
        self._bytes = np.array([b.bytes for b in self.inputs], np.int64)
        self._changing = sorted(set(self.written.values()))
        self._aliases = [b for b in buffers if b.alias is not None]
        self._arena = aligned_empty((self.kernels.arena_bytes,), np.uint8)
        self._constants: list[np.ndarray] = []
        self._views: dict[View, tuple[int, np.ndarray]] = {}
        for b in buffers:
            if b.role == "constant":
                self._constants.append(np.ascontiguousarray(b.value))
                self.table[self.place[b]] = address_of(self._constants[-1])
            elif b.role == "arena" and b.offset >= 0:
                self.table[self.place[b]] = address_of(self._arena) + b.offset
        self.threads = get_num_threads()
        threads.start()
        self.calls, self.forms = calls(self.kernels.statements)
        self.library = compiled(self.texts, self.facts())
        scratch = _Scratch(self.library.address("scratch"))()
        self._scratch = aligned_empty((scratch,), np.uint8)
        self.table[SCRATCH] = address_of(self._scratch)
        self._host = _HostFunction(self._host_call)
        self.table[HOST] = ctypes.cast(self._host, ctypes.c_void_p).value or 0
        self._calls = self._chain()
        self.first = self._calls.buffer_info()[0] if self._calls else 0
        self.address = self.runner()
        self._native = _Native(self.address)
        self._failure: BaseException | None = None
        self._lock = threading.RLock()

    @property
    def host(self) -> Host:
        """The machine that the native code is for."""
        return host()

    def facts(self) -> str | None:
        """What the text of the native code depends on; None where only the text tells."""
        known = sources()
        if known is None or self.forms is None:
            return None
        return repr((known, replace(self.host, cores=0), self.threads, self.forms))

    def text(self) -> str:
        """The LLVM text of the native code."""
        return "\n".join(self._writer().program(1))

    def texts(self) -> list[str]:
        """The same in parts, for as many threads as may be used to compile them."""
        return self._writer().program(min(self.threads, self.host.cores))

    def _writer(self) -> Any:
        """What writes the text is loaded when it is first needed."""
        from ..targets.llvm import Writer

        return Writer(self.calls, self.host, self.threads)

    def runner(self) -> int:
        """The address of the function that does the calls."""
        return self.library.address("run")

    def _chain(self) -> array:
        """The calls, one behind the other; they stay as they are."""
        count = 1 + max((call.kernel for call in self.calls), default=-1)
        kernels = [self.library.address(f"kernel{i}") for i in range(count)]
        sizes = [OPERANDS + 2 * len(call.operands) for call in self.calls]
        chain = array("Q", bytes(8 * sum(sizes)))
        table, at = self.table.buffer_info()[0], chain.buffer_info()[0]
        words: list[int] = []
        for number, call in enumerate(self.calls):
            at += 8 * sizes[number]
            following = at if number + 1 < len(sizes) else 0
            words += (kernels[call.kernel], following, table, number)
            for buffer, first in call.operands.items():
                words += (table + 8 * self.place[buffer], first * buffer.dtype.itemsize)
        chain[:] = array("Q", words)
        return chain

    @property
    def long(self) -> bool:
        """Whether a run takes so long that other Python threads should run meanwhile."""
        seconds = 0.0
        for statement in self.kernels.statements:
            views = (*statement.reads, *statement.writes)
            seconds += sum(math.prod(v.shape) * v.dtype.itemsize for v in views) / _BYTES
            if isinstance(statement, Product):
                size = math.prod(statement.a.shape) * statement.b.shape[-1]
                seconds += 2 * size / _OPERATIONS
        return seconds > LONG

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """The outputs, in new arrays; inputs that are written to are changed in place."""
        with self.claimed():
            return self.run(arrays)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Nobody else runs the program inside.

        Raises UsageError if it is running in this very thread, which would wait for itself.
        """
        me = threading.get_ident()
        if self.words[BUSY] == me:
            raise UsageError(
                "a compiled function was called by an operation inside it, while it runs; call the"
                " plain function there: f.function(...)"
            )
        with self._lock:
            self.words[WANTED] += 1
            try:
                while self.words[BUSY]:
                    time.sleep(_PAUSE)
                self.words[BUSY] = me
                try:
                    yield
                finally:
                    self.words[BUSY] = 0
            finally:
                self.words[WANTED] -= 1

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """What a call does; the caller has claimed the program."""
        threads.start()
        self.words[EMPTY] = 1
        given = [_readable(a, b) for a, b in zip(arrays, self.inputs)]
        starts = [address_of(x) for x in given]
        for i in self._mixed(starts):
            given[i] = given[i].copy()
            starts[i] = address_of(given[i])
        for place, start in zip(self._places, starts):
            self.table[place] = start
        made = {}
        for view in self.outputs:
            made[view] = np.empty(view.shape, view.dtype)
            self.table[self.place[view.buffer]] = address_of(made[view])
        self.enter_aliases()
        if self._native(self.first):
            self.fail()
        for number in self.written.values():
            if given[number] is not arrays[number]:  # it was not contiguous
                arrays[number][...] = given[number]
        return [None if i in self.written else made[v] for i, v in enumerate(self.kernels.outputs)]

    def rows(
        self, given: Sequence[np.ndarray], made: Sequence[np.ndarray], states: int, count: int
    ) -> int:
        """Calls for `count` rows, or until one fails; how many went well.

        given   contiguous inputs, those before the last `states` with an axis of rows in front
        made    contiguous arrays for the outputs, with an axis of rows in front

        The caller has claimed the program.
        """
        self.words[EMPTY] = 1
        for place, x in zip(self._places, given):
            self.table[place] = address_of(x)
        for view, x in zip(self.outputs, made):
            self.table[self.place[view.buffer]] = address_of(x)
        self.enter_aliases()
        begin = self.table.buffer_info()[0]
        buffers = [*self.inputs[: len(self.inputs) - states], *(v.buffer for v in self.outputs)]
        moves = array("q", [w for b in buffers for w in (begin + 8 * self.place[b], b.bytes)])
        run = _Rows(compile_text(ROWS).address("rows"))
        return run(self.address, self.first, moves.buffer_info()[0], len(buffers), count)

    def _mixed(self, starts: list[int]) -> list[int]:
        """The inputs that are only read, but lie in memory that is written to."""
        if not self.written:
            return []
        begins = np.array(starts)
        ends = begins + self._bytes
        shared = (begins[:, None] < ends[self._changing]) & (begins[self._changing] < ends[:, None])
        shared[self._changing] = False
        return np.flatnonzero(shared.any(1)).tolist()

    def enter_aliases(self) -> None:
        """Enter the arena buffers that are an input's memory after all."""
        for b in self._aliases:
            self.table[self.place[b]] = self.table[self.place[b.place]]

    def fail(self) -> None:
        """Raise the error of the statement that ended the run."""
        statement = self.kernels.statements[self.table[FAILED]]
        if isinstance(statement, Check):
            raise failure(statement, self._array(statement.index))
        error, self._failure = self._failure, None
        if error is None:
            raise InternalError(f"a program ended at `{statement}`, which did not fail")
        raise error

    # -- host calls --------------------------------------------------------------------------------

    def _array(self, view: View) -> np.ndarray:
        """The elements of a view, in the memory where they are."""
        if 0 in view.shape:
            return np.empty(view.shape, view.dtype)
        address = self.table[self.place[view.buffer]]
        found = self._views.get(view)
        if found is None or found[0] != address:
            size = view.dtype.itemsize
            memory: Any = (ctypes.c_char * view.buffer.bytes).from_address(address)
            strides = tuple(s * size for s in view.strides)
            x: np.ndarray = np.ndarray(view.shape, view.dtype, memory, view.offset * size, strides)
            found = self._views[view] = address, x
        return found[1]

    def _host_call(self, number: int) -> int:
        """What native code calls; errors wait until it has returned."""
        try:
            call = self.kernels.statements[number]
            assert isinstance(call, HostCall)
            self._call(call)
        except BaseException as error:
            self._failure = error
            return 1
        return 0

    def _call(self, call: HostCall) -> None:
        node, op = call.node, call.node.op
        assert op is not None
        values = [self._array(v) for v in call.inputs]
        if op.again is None:
            with np.errstate(all="ignore"):
                result = op.value(*values, **node.attrs)
        else:  # a user's function: it runs as in eager mode
            with capturing(None):
                out = reapply(op, tuple(Tensor(leaf(v.copy())) for v in values), node.attrs)
            result = tuple(y.numpy() for y in out) if isinstance(out, tuple) else out.numpy()
        results = result if isinstance(result, tuple) else (result,)
        for view, value in zip(call.outs, results):
            self._array(view)[...] = value

    def __str__(self) -> str:
        return str(self.kernels)


def _readable(x: np.ndarray, buffer: Buffer) -> np.ndarray:
    """An array as native code reads it: contiguous, aligned, of the buffer's size and dtype."""
    if x.size != buffer.size or x.dtype != buffer.dtype:
        raise InternalError(
            f"a program got {x.dtype} of size {x.size} as input {buffer.index}; expected"
            f" {buffer.dtype} of size {buffer.size}"
        )
    x = np.asarray(x)  # a scalar has no memory that stays
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else np.require(x, None, ("C", "A"))
