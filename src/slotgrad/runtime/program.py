"""A program: one native function over one arena, which calls Python where it must.

The function gets a table of addresses: a scratch, the function for host calls, every buffer.
Arena and constants stay where they are; inputs and outputs are entered at each
call.  May import the floor, kernel, targets and the rest of runtime.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import capturing
from ..errors import InternalError
from ..graph.apply import reapply
from ..graph.node import leaf
from ..graph.region import Region
from ..kernel.build import build
from ..kernel.indexed import Check, failure
from ..kernel.ir import Buffer, HostCall, View
from ..kernel.memory import ALIGNMENT, plan_memory
from ..targets.llvm import BUFFERS, FIRST_CHECK, HOST, SCRATCH, Writer
from ..tensor import Tensor
from . import threads
from .host import host
from .llvm import compile_text

_HostFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)
_Native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)


class Program:
    """Computes the outputs of a region from arrays for its inputs.

    written   output number -> number of the input whose memory it goes to; a call returns None
              in its place
    """

    def __init__(self, region: Region, written: dict[int, int] | None = None) -> None:
        self.written = written or {}
        self.kernels = plan_memory(build(region, self.written))
        buffers = self.kernels.buffers
        self._arena = _aligned(self.kernels.arena_bytes)
        self._table = np.zeros(BUFFERS + len(buffers), np.uint64)
        self._inputs = [b for b in buffers if b.role == "input"]
        self._outputs = [v for v in self.kernels.outputs if v.buffer.role == "output"]
        self._entries = {b: i + BUFFERS for i, b in enumerate(buffers)}
        self._arrays: dict[Buffer, np.ndarray] = {}
        self._aliases = [b for b in buffers if b.alias is not None]
        self._given: list[Any] = [None] * len(self._inputs)
        self._fixed: dict[View, np.ndarray] = {}
        for b in buffers:
            if b.role == "constant":
                self._enter(b, np.ascontiguousarray(b.value).reshape(-1))
            elif b.role == "arena" and b.offset >= 0:
                part = self._arena[b.offset : b.offset + b.bytes]
                self._enter(b, part.view(b.dtype))
        writer = Writer(self.kernels, host())
        threads.start()
        self.library = compile_text(writer.program())
        self._scratch = _aligned(writer.scratch)
        self._table[SCRATCH] = _address(self._scratch)
        self._host = _HostFunction(self._host_call)
        self._table[HOST] = ctypes.cast(self._host, ctypes.c_void_p).value or 0
        self._native = _Native(self.library.address("run"))
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def _enter(self, buffer: Buffer, array: np.ndarray) -> None:
        self._arrays[buffer] = array
        self._table[self._entries[buffer]] = _address(array)

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """The outputs, in new arrays; inputs that are written to are changed in place."""
        with self._lock:
            given = [_readable(a, b) for a, b in zip(arrays, self._inputs)]
            for i, (buffer, array) in enumerate(zip(self._inputs, given)):
                if array is not self._given[i]:  # state is mostly the same array as before
                    self._enter(buffer, array.reshape(-1))
                    self._given[i] = array
            made = {}
            for view in self._outputs:
                made[view] = np.empty(view.shape, view.dtype)
                self._enter(view.buffer, made[view].reshape(-1))
            for b in self._aliases:
                self._enter(b, self._arrays[b.place])
            self._run()
            for number in self.written.values():
                if given[number] is not arrays[number]:  # it was not contiguous
                    arrays[number][...] = given[number]
            return [
                None if i in self.written else made[v] for i, v in enumerate(self.kernels.outputs)
            ]

    def _run(self) -> None:
        status = self._native(self._table.ctypes.data)
        if status >= FIRST_CHECK:
            check = self.kernels.statements[status - FIRST_CHECK]
            assert isinstance(check, Check)
            raise failure(check, self._array(check.index))
        if status:
            error, self._failure = self._failure, None
            assert error is not None
            raise error

    # -- host calls --------------------------------------------------------------------------------

    def _array(self, view: View) -> np.ndarray:
        """The elements of a view, in the memory where they are."""
        if view in self._fixed:
            return self._fixed[view]
        size = view.dtype.itemsize
        flat = self._arrays[view.buffer]
        strides = tuple(s * size for s in view.strides)
        array = np.ndarray(view.shape, view.dtype, flat, view.offset * size, strides)
        if view.buffer.role in ("arena", "constant") and view.buffer.alias is None:
            self._fixed[view] = array
        return array

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


def _aligned(bytes: int) -> np.ndarray:
    """Uninitialized memory that begins on a cache line."""
    raw = np.empty(bytes + ALIGNMENT, np.uint8)
    start = -_address(raw) % ALIGNMENT
    return raw[start : start + bytes]


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _readable(array: np.ndarray, buffer: Buffer) -> np.ndarray:
    """An array as native code reads it: contiguous, aligned, of the buffer's size and dtype."""
    if array.size != buffer.size or array.dtype != buffer.dtype:
        raise InternalError(
            f"a program got {array.dtype} of size {array.size} as input {buffer.index}; expected"
            f" {buffer.dtype} of size {buffer.size}"
        )
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.require(array, None, ("C", "A"))
