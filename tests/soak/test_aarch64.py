"""Native code for AArch64, run by an emulator, against the NumPy target."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.capture import capture, placeholder
from slotgrad.graph.apply import apply
from slotgrad.graph.node import TensorType
from slotgrad.kernel.build import build
from slotgrad.kernel.form import calls
from slotgrad.kernel.memory import plan_memory
from slotgrad.ops.declare import ACCEPTS, RECORDS
from slotgrad.passes.pipeline import optimize
from slotgrad.runtime.host import Host
from slotgrad.runtime.llvm import assembly
from slotgrad.targets.llvm import Writer
from slotgrad.targets.numpy import Program as Reference
from slotgrad.targets.table import BUFFERS, OPERANDS

GCC, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ARM = Host("cortex-a72", has_fma=True, has_half=True, triple="aarch64-unknown-linux-gnu")
TOLERANCE = {"float32": 2e-5, "float64": 1e-11, "float16": 4e-3, "bfloat16": 4e-2}

pytestmark = pytest.mark.skipif(
    not (shutil.which(GCC) and shutil.which(QEMU)),
    reason="needs Debian's packages qemu-user and gcc-aarch64-linux-gnu",
)

# Reads the table's buffers, each with its size, place in the arena or content, and the calls, each
# with the numbers of its kernel and operands, entries and bytes; runs them, and writes all buffers.
MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int32_t run(void *first) __asm__("run.KEY");
DECLARATIONS
static int32_t (*kernels[])(void *) = {KERNELS};
static void *memory(size_t size) { return aligned_alloc(64, (size + 127) / 64 * 64); }
int main(void) {
    int64_t head[4], buffer[3], call[2];
    fread(head, 8, 4, stdin);
    void **table = calloc(8, BUFFERS + head[0]);
    char *arena = memory(head[1]);
    table[0] = memory(head[2]);
    int64_t sizes[head[0]];
    for (int i = 0; i < head[0]; i++) {
        fread(buffer, 8, 3, stdin);
        sizes[i] = buffer[0];
        table[BUFFERS + i] = buffer[1] < 0 ? memory(buffer[0]) : arena + buffer[1];
        if (buffer[2]) fread(table[BUFFERS + i], 1, buffer[0], stdin);
    }
    void **first = 0, ***next = &first;
    for (int i = 0; i < head[3]; i++) {
        fread(call, 8, 2, stdin);
        void **words = *next = calloc(8, OPERANDS + 2 * call[1]);
        words[0] = kernels[call[0]], words[2] = table, words[3] = (void *)(int64_t)i;
        next = (void ***)&words[1];
        fread(words + OPERANDS, 8, 2 * call[1], stdin);
        for (int j = 0; j < call[1]; j++)
            words[OPERANDS + 2 * j] = table + BUFFERS + (int64_t)words[OPERANDS + 2 * j];
    }
    if (run(first)) return 1;
    for (int i = 0; i < head[0]; i++) fwrite(table[BUFFERS + i], 1, sizes[i], stdout);
    return 0;
}
"""


def main(code, count):
    """The text of the main program for so many kernels."""
    key = re.search(r"^run\.(\w+):", code, re.MULTILINE)[1]
    names = [f"kernel{i}" for i in range(count)]
    text = "\n".join(f'int32_t {n}(void *call) __asm__("{n}.{key}");' for n in names)
    filled = MAIN.replace("KEY", key).replace("DECLARATIONS", text)
    filled = filled.replace("KERNELS", ", ".join(names))
    return filled.replace("BUFFERS", str(BUFFERS)).replace("OPERANDS", str(OPERANDS))


def same(f, arrays, folder):
    """The results of a function there and here."""
    inputs = [placeholder(TensorType(a.shape, a.dtype)) for a in arrays]
    region = optimize(capture(lambda: f(*inputs), inputs, list).region)
    kernels = plan_memory(build(region, {}))
    made, _ = calls(kernels.statements)
    writer = Writer(made, ARM, 1)
    code = assembly("".join(writer.program(1)), ARM)
    (folder / "program.s").write_text(code)
    (folder / "main.c").write_text(main(code, len(writer.calls)))
    sources = [folder / "main.c", folder / "program.s"]
    subprocess.run([GCC, "-O1", "-w", "-static", *sources, "-lm", "-o", folder / "a"], check=True)
    buffers = kernels.buffers
    given = struct.pack("4q", len(buffers), kernels.arena_bytes, writer.scratch, len(made))
    for b in buffers:
        value = arrays[b.index] if b.role == "input" else b.value
        given += struct.pack("3q", b.bytes, b.offset, value is not None)
        given += b"" if value is None else np.ascontiguousarray(value).tobytes()
    for call in made:
        given += struct.pack("2q", call.kernel, len(call.operands))
        for b, first in call.operands.items():
            given += struct.pack("2q", buffers.index(b), first * b.dtype.itemsize)
    found = subprocess.run([QEMU, folder / "a"], input=given, capture_output=True, check=True)
    starts = dict(zip(buffers, np.cumsum([0, *(b.bytes for b in buffers)])))
    for view, expected in zip(kernels.outputs, Reference(region)(arrays)):
        raw = np.frombuffer(found.stdout, np.uint8)[starts[view.buffer] :][: view.buffer.bytes]
        start = raw.view(view.dtype)[view.offset :]
        strides = [s * view.dtype.itemsize for s in view.strides]
        result = np.lib.stride_tricks.as_strided(start, view.shape, strides)
        tolerance = TOLERANCE.get(view.dtype.name)
        if tolerance is None:
            np.testing.assert_array_equal(result, expected)
        else:
            result, expected = result.astype(float), expected.astype(float)
            np.testing.assert_allclose(result, expected, tolerance, tolerance)


@pytest.mark.parametrize("dtype", [*TOLERANCE, "int32", "int64", "uint8", "bool"])
def test_every_elementwise_operation(dtype, tmp_path):
    kind, rng = sg.tensor([], dtype=dtype).dtype, np.random.default_rng(0)
    calls, arrays = [], []
    for op in RECORDS.values():
        if op.family != "elementwise" or isinstance(op.samples, list):
            continue
        if kind not in ACCEPTS[op.accepts]:
            continue
        count = op.kernel.__code__.co_argcount - 1 - (op.name == "polygamma")
        calls.append((op, slice(len(arrays), len(arrays) + count)))
        for i in range(count):
            low, high = op.samples[min(i, len(op.samples) - 1)]
            values = rng.uniform(low, high, (5, 7))
            if kind.kind in "iub":
                values = rng.integers(1, 4, (5, 7))
            arrays.append(values > 0 if op.name == "where" and not i else values.astype(kind))
    same(lambda *xs: [apply(op, xs[at]) for op, at in calls], arrays, tmp_path)


def rand(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def network(x, w, v):
    hidden = sg.nn.functional.gelu(x @ w)
    return (sg.nn.functional.log_softmax(hidden @ v, axis=-1) ** 2).mean()


PROGRAMS = {
    "products": (
        lambda a, b: [a @ b, b.mT @ a.mT, a.mT @ a, b @ b.mT, sg.relu(a @ b + 1)],
        [rand(33, 17), rand(17, 65, seed=1)],
    ),
    "products in float64": (
        lambda a, b: [a @ b, b.mT @ a.mT, a.mT @ a, b @ b.mT],
        [rand(13, 7, dtype=np.float64), rand(7, 29, seed=1, dtype=np.float64)],
    ),
    "packed": (lambda a, b: [a @ b.mT], [rand(3, 300), rand(90, 300, seed=1)]),
    "a network's gradient": (
        lambda *xs: list(sg.grad(network, argnums=(0, 1, 2))(*xs)),
        [rand(9, 12), rand(12, 20, seed=1), rand(20, 5, seed=2)],
    ),
    "reductions": (
        lambda x: [x.sum(0), x.max(1), x.var(-1), x.logsumexp(0), x.T + 1, x[::2, ::-1] * 2],
        [rand(37, 19)],
    ),
    "indices": (
        lambda x, i: [sg.sort(x, axis=1), x.argmax(0), x.cumsum(1), x[i], x.at[i].add(x[i] * 2)],
        [rand(9, 31), np.array([0, 3, 8, 3])],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, tmp_path):
    same(*PROGRAMS[name], tmp_path)
