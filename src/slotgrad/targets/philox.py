"""Random bits: Philox 4x32-10 on vectors of counters (see `ops/random.py`).

May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..dtypes import bool_, uint32, uint64
from ..kernel.indexed import (
    RandomBits,
)
from ..kernel.ir import View
from .lanes import Value
from .module import Module
from .nest import Pointers
from .vector import Vector
from .walk import Walk, buffers

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def random_bits(s: RandomBits, name: str, module: Module, pointers: Pointers) -> str:
    """Philox 4x32-10: one block of four words in each lane, words in the low halves of 64 bits."""
    walk = Walk(module, pointers, 8)
    k, total = walk.k, math.prod(s.out.shape)
    words = 4 * k.lanes
    state, out = s.state, replace(s.out, shape=(total,), strides=(1,))
    key = k.spread(uint64, walk.base(state, ["0"]))
    numbers = k.spread(uint64, walk.base(state, ["1"])) + walk.iota(uint64)
    keys = [(key & _LOW, key >> 32)]
    for _ in range(9):
        keys.append(((keys[-1][0] + _WEYL[0]) & _LOW, (keys[-1][1] + _WEYL[1]) & _LOW))

    def block(i: str, count: int) -> None:
        n = numbers + walk.counted(i, uint64)
        a, b, c, d = n, n >> 32, k.constant(0, uint64), k.constant(0, uint64)
        for k0, k1 in keys:  # high halves are of no meaning until the end
            p0, p1 = (a & _LOW) * _MULTIPLIERS[0], (c & _LOW) * _MULTIPLIERS[1]
            a, b, c, d = (p1 >> 32) ^ b ^ k0, p1, (p0 >> 32) ^ d ^ k1, p0
        first, second = (a & _LOW) | (b << 32), (c & _LOW) | (d << 32)
        start = walk.index(i, 4, 0)
        for half in range(2):
            left = min(count - 2 * half * k.lanes, 2 * k.lanes)
            if left > 0:
                lanes = range(half * k.lanes // 2, (half + 1) * k.lanes // 2)
                _store_words(walk, out, start, [x for i in lanes for x in (i, k.lanes + i)],
                             (first, second), 2 * half * k.lanes, left)  # fmt: skip

    full = total // words
    if full:
        with walk.loops([full]) as (trip,):
            block(walk.index(trip, k.lanes, 0), words)
    if total % words:
        block(str(full * k.lanes), total % words)
    return walk.function(name, buffers(s))


def _store_words(
    walk: Walk, out: View, start: str, order: list[int], pair: tuple[Value, Value],
    skipped: int, count: int,
) -> None:  # fmt: skip
    """Lanes of two vectors in an order, as twice as many words; the first `count` are stored."""
    k = walk.k
    lanes = f"<{k.lanes} x i32> <{', '.join(f'i32 {i}' for i in order)}>"
    mixed = k.emit(uint64, f"shufflevector {pair[0]}, {pair[1]}, {lanes}")
    wide = Vector(walk.module, 2 * k.lanes)
    text = wide.type(uint32)
    x = walk.value(f"bitcast {mixed} to {text}")
    at = walk.base(out, [walk.index(start, 1, skipped)])
    if count == wide.lanes:
        k.line(f"store {text} {x}, ptr {at}, align 4")
        return
    mask = ", ".join(f"i1 {str(lane < count).lower()}" for lane in range(wide.lanes))
    function = f"@llvm.masked.store.{wide.memory_suffix(uint32)}"
    walk.module.declare(f"void {function}({text}, ptr, i32, {wide.type(bool_)})")
    k.line(f"call void {function}({text} {x}, ptr {at}, i32 4, {wide.type(bool_)} <{mask}>)")
