"""Whole programs on memory that ends, and on memory that begins, where access is forbidden.

Run as a script, every buffer of a program, be it input, output, constant, value in the arena or
scratch, has pages of its own; a program that touches a byte outside ends the process.  Its results
are those of the NumPy target, though all memory is full of nan before.
"""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import mmap
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.graph.apply import apply
from slotgrad.ops.declare import ACCEPTS, RECORDS
from slotgrad.runtime import program, threads
from slotgrad.runtime.host import Host, host
from slotgrad.targets import llvm
from slotgrad.targets.numpy import Program as Reference

F = sg.nn.functional
HOSTS = {
    "host": host(),
    "half": replace(host(), vector_bytes=32),
    "narrow": replace(host(), vector_bytes=16, has_fma=False, has_half=False),
}
SHAPES = [(), (0,), (1,), (3,), (63,), (65, 7)]
DTYPES = ["float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool"]
TOLERANCE = {"float32": 1e-4, "float64": 1e-9, "float16": 1e-2, "bfloat16": 1e-1}


# -- memory ----------------------------------------------------------------------------------------


def guarded(size: int, border: str) -> np.ndarray:
    """Memory that ends or begins beside a page that may not be touched."""
    page = mmap.PAGESIZE
    pages = -(-max(size, 1) // page) * page
    memory = mmap.mmap(-1, pages + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for wall in (start, start + page + pages):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(wall), page, 0) == 0
    inside = np.frombuffer(memory, np.uint8, pages, page)
    inside[:] = 0xFF
    return inside[pages - size :] if border == "end" else inside[:size]


class Guarded(program.Program):
    """A program whose buffers are guarded, and whose results are checked."""

    machine = ""
    made = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Guarded.made += 1

    @property
    def host(self) -> Host:
        return HOSTS[self.machine]

    def run(self, arrays: Any) -> list[np.ndarray | None]:
        threads.start()
        expected = Reference(self.region)([np.array(a) for a in arrays])
        for border in ("end", "begin"):
            found = self.run_beside(border, arrays)
            for x, y in zip(found, expected):
                agree(x, y, f"{border}\n{self}")
        for number, place in self.written.items():
            arrays[place][...] = found[number].reshape(arrays[place].shape)
        return [None if i in self.written else x for i, x in enumerate(found)]

    def run_beside(self, border: str, arrays: Any) -> list[np.ndarray]:
        """The results of a run in which a border of each buffer is one of forbidden memory."""
        values = {b: np.asarray(a) for b, a in zip(self.inputs, arrays)}
        kept = []
        for buffer, place in self.place.items():
            if buffer.alias is None:
                kept.append(guarded(buffer.bytes, border).view(buffer.dtype))
                self.table[place] = kept[-1].ctypes.data
                value = values.get(buffer, buffer.value)
                if value is not None:
                    kept[-1][...] = value.reshape(-1)
        kept.append(guarded(len(self._scratch), border))
        self.table[program.SCRATCH] = kept[-1].ctypes.data
        self.enter_aliases()
        if self._native(self.first):
            self.fail()
        return [self._array(v).copy() for v in self.kernels.outputs]


def agree(found: np.ndarray, expected: np.ndarray, text: str) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), text
    tolerance = TOLERANCE.get(found.dtype.name)
    if tolerance is None:
        np.testing.assert_array_equal(found, expected, text)
        return
    found, expected = found.astype(float), expected.astype(float)
    size = 1 + np.abs(expected[np.isfinite(expected)]).max(initial=0)
    np.testing.assert_allclose(found, expected, tolerance, tolerance * size, err_msg=text)


def run(name: str, f: Any, *arrays: np.ndarray) -> None:
    """Compile and run a function that returns a list; the name is what a dead process leaves."""
    print(name, *(f"{a.dtype}{list(a.shape)}" for a in arrays), file=sys.stderr, flush=True)
    before = Guarded.made
    sg.compile(f)(*arrays)
    assert Guarded.made == before + 1


def rand(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# -- every operation -------------------------------------------------------------------------------


def elementwise() -> None:
    every = [op for op in RECORDS.values() if op.family == "elementwise"]
    rng = np.random.default_rng(0)
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        kind = sg.tensor([], dtype=dtype).dtype
        arrays: list[np.ndarray] = []
        calls = []
        for op in every:
            if isinstance(op.samples, list) or kind not in ACCEPTS[op.accepts]:
                continue
            first = len(arrays)
            count = op.kernel.__code__.co_argcount - 1 - (op.name == "polygamma")
            for i in range(count):
                low, high = op.samples[min(i, len(op.samples) - 1)]
                values = np.asarray(rng.uniform(low, high, shape))
                if kind.kind in "iub":
                    values = np.asarray(rng.integers(1, 4, shape))
                arrays.append(values > 0 if op.name == "where" and not i else values.astype(kind))
            calls.append((op, slice(first, len(arrays))))
        run("elementwise", lambda *xs, c=calls: [apply(op, xs[at]) for op, at in c], *arrays)


def structured() -> None:
    rng = np.random.default_rng(0)
    for op, dtype in itertools.product(RECORDS.values(), ("float32", "float64", "int32", "bool")):
        kind = sg.tensor([], dtype=dtype).dtype
        if not isinstance(op.samples, list) or kind not in ACCEPTS[op.accepts]:
            continue
        for shapes, attrs in op.samples:
            arrays = [np.asarray(rng.integers(-3, 4, s) * 1.5).astype(kind) for s in shapes]
            run(op.name, lambda *xs, op=op, attrs=attrs: [apply(op, xs, attrs)], *arrays)


def reduced(x: Any) -> list[Any]:
    """Reductions over all sets of axes, and what goes along one."""
    axes = [a for n in range(1, x.ndim + 1) for a in itertools.combinations(range(x.ndim), n)]
    found = [f(x, axis=a) for a in axes for f in (sg.sum, sg.max, sg.min)]
    for a in range(x.ndim):
        found += [sg.argmax(x, axis=a), sg.argmin(x, axis=a), sg.argsort(x, axis=a)]
        found.append(sg.cumsum(x, axis=a))
    return found


def softened(x: Any) -> list[Any]:
    """Rows and columns of exponentials, and their derivatives."""

    def loss(x: Any) -> Any:
        return sum((F.log_softmax(x, a) * F.softmax(x, a)).mean() for a in range(x.ndim))

    rows = [x - x.mean(axis=a, keepdims=True) for a in range(x.ndim)]
    return [*sg.value_and_grad(loss)(x), *rows, x.var(axis=-1), x.logsumexp()]


def moved(x: Any) -> list[Any]:
    """What only moves elements, and something computed from that."""
    n, found = x.shape[0], [sg.concat([x, x * 2, x[:1]]), sg.pad(x, 1), sg.roll(x, 1), x.flip() * 2]
    found += [sg.stack([x, x + 1], axis=-1), x[::2] * 3, x[::-1].reshape(-1), x.at[n // 2 :].set(7)]
    found += [sg.broadcast_to(x, (2, *x.shape)).sum(axis=0), x.T * 1 + x.T, x.T.reshape(-1) - 1]
    index = np.arange(3 * n) % n
    return [*found, x[index], x.at[index].add(x[index]), x[..., -1] * x[..., 0]]


def turned(x: Any) -> list[Any]:
    """What runs down the columns of an array large enough to be walked in blocks."""
    return [x.T + 1, sg.permute_dims(x[None], (2, 0, 1)) * 2, x.T * x.T[:, :1]]


def arrays_of_odd_shapes() -> None:
    shapes = [(1,), (3,), (63,), (65, 7), (7, 130), (2, 3, 17), (33, 1, 5)]
    for dtype, shape in itertools.product(("float32", "float64", "float16", "int8"), shapes):
        x = (rand(*shape) * 3).astype(dtype)
        run("moved", moved, x)
        run("reduced", reduced, x)
        if x.dtype.kind == "f":
            run("softened", softened, x)
    run("turned", turned, rand(150, 93))
    half = (rand(5, 33) * 3).astype(sg.bfloat16)
    run("reduced", lambda x: [x.sum(0), x.sum(1), x.max(0), x.argmax(1), x[::2].T + 1], half)


def products() -> None:
    def every(a: Any, b: Any) -> list[Any]:
        found = [a @ b, b.mT @ a.mT, a.mT @ a, b @ b.mT, a[..., ::2, :] @ b, sg.tanh(a @ b + b[0])]
        return [*found, (a @ b).sum(axis=-1), sg.maximum(a @ b, 0) * (a @ b > 0), a @ b[..., 0]]

    sizes = [(1, 1, 1), (1, 5, 33), (33, 17, 1), (7, 3, 13), (65, 31, 47), (130, 9, 66)]
    for dtype, (m, k, n) in itertools.product(("float32", "float64"), sizes):
        run("products", every, rand(m, k, dtype=dtype), rand(k, n, seed=1, dtype=dtype))
    batches = lambda a, b: [a @ b, a.mT @ a, a @ b[0], (a @ b).sum(0)]  # noqa: E731
    run("batches", batches, rand(3, 5, 7), rand(3, 7, 19, seed=1))
    large = lambda a, b: [a @ b, b.mT @ a.mT, sg.tanh(a @ b)]  # noqa: E731
    run("packed", large, rand(67, 1037), rand(1037, 515, seed=1))
    run("packed", large, rand(9, 1500), rand(1500, 333, seed=1))
    run("packed", lambda a, b: [a @ b.mT], rand(67, 1037), rand(515, 1037, seed=1))


# -- programs --------------------------------------------------------------------------------------

STEPS: list[Any] = [
    sg.sin,
    sg.tanh,
    lambda x: sg.exp(-x * x),
    lambda x: x.sum(axis=0, keepdims=True) * x if x.ndim else x,
    lambda x: x.mean(axis=-1) if x.ndim else x,
    lambda x: x.max(axis=-1, keepdims=True) + x if x.ndim else x,
    lambda x: F.softmax(x, axis=-1) if x.ndim else x,
    lambda x: F.log_softmax(x, axis=0) if x.ndim else x,
    lambda x: x.cumsum(-1) * 0.5 if x.ndim else x,
    lambda x: x.mT @ sg.tanh(x) * 0.1 if x.ndim == 2 else x,
    lambda x: sg.maximum(x @ x.mT * 0.1 + 0.5, 0.0) if x.ndim == 2 else x,
    lambda x: x[..., ::2] if x.ndim else x,
    lambda x: x[..., [0, -1, 0]] if x.ndim else x,
    lambda x: x.flip().reshape(-1),
    lambda x: sg.concat([x, -x]) if x.ndim and x.size < 200 else x,
    lambda x: sg.outer(x, x) if x.ndim == 1 and x.size < 40 else x,
]
PAIRS: list[Any] = [sg.add, sg.mul, lambda x, y: x / (y * y + 1), lambda x, y: sg.logaddexp(x, y)]


def random_programs() -> None:
    shapes = [(), (1,), (17,), (5, 17), (17, 5), (1, 33), (33, 1), (3, 40)]
    for seed in range(16):
        rng = np.random.default_rng(seed)
        steps = [(rng.integers(len(STEPS)), rng.integers(i + 2)) for i in range(24)]
        pairs = [(rng.integers(len(PAIRS)), rng.integers(i + 2)) for i in range(24)]

        def f(x: Any, y: Any, steps: Any = steps, pairs: Any = pairs) -> Any:
            values = [x, y]
            for (step, a), (pair, b) in zip(steps, pairs):
                made, other = STEPS[step](values[a]), values[b]
                fits = made.shape == other.shape or 1 in (made.size, other.size)
                values.append(sg.tanh(PAIRS[pair](made, other) if fits else made))
            return sum(v.mean() for v in values[2:])

        arrays = [rng.uniform(-1, 1, shapes[i]) for i in rng.integers(len(shapes), size=2)]
        run(f"random {seed}", sg.value_and_grad(f, argnums=(0, 1)), *arrays)


def training(sizes: tuple[int, ...], batch: int) -> None:
    """Steps of a network with Adam; parameters and moments are guarded like all inputs."""
    sg.random.seed(0)
    layers: list[Any] = []
    for m, n in itertools.pairwise(sizes):
        layers += [sg.nn.Linear(m, n), sg.nn.GELU(), sg.nn.Dropout(0.2)]
    model = sg.nn.Sequential(*layers[:-2])
    optimizer = sg.optim.Adam(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> list[Any]:
        scores = model(x)
        loss = F.cross_entropy(scores, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return [loss, F.softmax(scores).argmax(axis=-1)]

    before = [p.numpy().copy() for p in model.parameters()]
    labels = np.arange(batch) % sizes[-1]
    run(f"training {sizes}", step, rand(batch, sizes[0]), labels)
    assert all((p.numpy() != b).any() for p, b in zip(model.parameters(), before))


def states() -> None:
    """Tables of which rows are written in place."""
    table = sg.tensor(rand(37, 5))

    def step(i: Any, v: Any) -> list[Any]:
        table.assign(table.at[i].add(v))
        return [table[i].sum(), sg.random.normal((3, 7)), sg.random.permutation(9)]

    run("states", step, np.arange(11) % 7, rand(11, 5))


# -- the processes ---------------------------------------------------------------------------------


def everything(machine: str, count: int) -> None:
    """All programs; with several threads, all that can be shared among them is."""
    Guarded.machine = machine
    program.Program = Guarded  # type: ignore[misc]
    sys.modules["slotgrad.compile"].native_type = lambda base: None  # type: ignore[attr-defined]
    sg.set_num_threads(count)
    program.sources = lambda: None  # they do not tell what is written now
    llvm.MAX_THREADS = count  # no scratch for more
    if count > 1:
        llvm.WORTH_SHARING = 0
    for each in (elementwise, structured, arrays_of_odd_shapes, products, random_programs, states):
        each()
    training((13, 37, 11), 9)
    training((70, 130, 67, 10), 33)


def outside(border: str) -> None:
    """Reads the byte beside guarded memory."""
    memory = guarded(100, border)
    ctypes.string_at(memory.ctypes.data + (100 if border == "end" else -1), 1)


def process(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="pages are forbidden with mprotect")
@pytest.mark.parametrize(
    ("machine", "count"), [("host", 1), ("host", 2), ("half", 1), ("narrow", 1)]
)
def test_no_byte_outside_is_touched(machine, count):
    ended = process(machine, str(count))
    assert ended.returncode == 0, ended.stderr[-5000:]


@pytest.mark.skipif(sys.platform == "win32", reason="pages are forbidden with mprotect")
@pytest.mark.parametrize("border", ["end", "begin"])
def test_a_byte_outside_would_be_noticed(border):
    assert process("outside", border).returncode < 0


if __name__ == "__main__":
    faulthandler.enable()
    if sys.argv[1] == "outside":
        outside(sys.argv[2])
    else:
        everything(sys.argv[1], int(sys.argv[2]))
