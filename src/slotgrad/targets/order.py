"""Sorting: the order of the elements along an axis, stable, by radix or by merging.

May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

from dataclasses import replace

from ..dtypes import int64, uint64
from ..kernel.indexed import (
    Sort,
)
from ..kernel.ir import View
from .along import beside, sortable
from .lanes import Value, computed
from .module import Module
from .nest import Pointers
from .walk import Walk, buffers

_SHORT = 24  # lines of fewer elements for each byte of the keys are merged


def sort(s: Sort, name: str, module: Module, pointers: Pointers) -> str:
    """Lines one after the other: keys and indices to words, which are sorted, and back."""
    n, parts = s.x.shape[s.axis], Sort.parts(s.x, s.axis)
    word, digits = f"i{64 * parts}", computed(s.x.dtype).itemsize
    text = _merge_sort if n < _SHORT * digits else _radix_sort
    sorter = f"slotgrad{text.__name__}.{word}"
    module.define(sorter, lambda: text(sorter, word))
    rows = s.out.permuted((*(i for i in range(len(s.out.shape)) if i != s.axis), s.axis))
    rest = View(rows.buffer, rows.shape[:-1], rows.strides[:-1], rows.offset)
    shape, x, rest = beside(s.x, s.axis, rest)
    x = View(x.buffer, (*shape, n), (*x.strides[1:], x.strides[0]), x.offset)
    out = View(rows.buffer, (*shape, n), (*rest.strides, rows.strides[-1]), rows.offset)
    walk = Walk(module, pointers, 8)
    k = walk.k
    words = View(s.scratch.buffer, (n,), (parts,), s.scratch.offset)
    with walk.loops(list(shape)) as indices:
        start, to = walk.base(x, indices), walk.base(out, indices)
        low, high = walk.base(words, []), walk.base(replace(words, offset=words.offset + 1), [])

        def fill(i: str, mask: Value | None) -> None:
            key = sortable(k, walk.load(x, start, i, mask))
            key = k.cast(~key if s.descending else key, uint64)
            here = walk.counted(i, uint64) + walk.iota(uint64)
            if parts == 1:
                walk.store((key << 32) | here, words, low, i, mask)
            else:
                walk.store(here, words, low, i, mask)
                walk.store(key, words, high, i, mask)

        walk.each(n, fill)
        spare = walk.value(f"getelementptr {word}, ptr {low}, i64 {n}")
        found = walk.value(f"call ptr @{sorter}(ptr {low}, ptr {spare}, i64 {n}, i64 {digits})")

        def read(i: str, mask: Value | None) -> None:
            place = walk.load(words, found, i, mask)
            place = place & 0xFFFFFFFF if parts == 1 else place
            walk.store(k.cast(place, int64), out, to, i, mask)

        walk.each(n, read)
    return walk.function(name, buffers(s))


def _merge_sort(name: str, word: str) -> str:
    """The text of a function that sorts n words of which no two are equal.

    It returns the one of two arrays in which they are at last.  Runs of 1, 2, 4 ... words are
    merged in pairs from one array to the other, without a branch that depends on the words.
    """
    return f"""\
define internal ptr @{name}(ptr %first, ptr %second, i64 %n, i64 %digits) nounwind {{
entry:
  br label %pass
pass:
  %width = phi i64 [1, %entry], [%twice, %pass.end]
  %from = phi ptr [%first, %entry], [%to, %pass.end]
  %to = phi ptr [%second, %entry], [%from, %pass.end]
  %unsorted = icmp ult i64 %width, %n
  br i1 %unsorted, label %pair, label %end
pair:
  %start = phi i64 [0, %pass], [%stop, %pair.end]
  %middle.far = add nuw i64 %start, %width
  %middle = call i64 @llvm.umin.i64(i64 %middle.far, i64 %n)
  %stop.far = add nuw i64 %middle, %width
  %stop = call i64 @llvm.umin.i64(i64 %stop.far, i64 %n)
  br label %look
look:
  %i = phi i64 [%start, %pair], [%i.next, %take]
  %j = phi i64 [%middle, %pair], [%j.next, %take]
  %o = phi i64 [%start, %pair], [%o.next, %take]
  %left = icmp ult i64 %i, %middle
  %right = icmp ult i64 %j, %stop
  %both = and i1 %left, %right
  br i1 %both, label %take, label %rest
take:
  %i.at = getelementptr {word}, ptr %from, i64 %i
  %j.at = getelementptr {word}, ptr %from, i64 %j
  %x = load {word}, ptr %i.at, align 8
  %y = load {word}, ptr %j.at, align 8
  %later = icmp ult {word} %y, %x
  %smaller = select i1 %later, {word} %y, {word} %x
  %o.at = getelementptr {word}, ptr %to, i64 %o
  store {word} %smaller, ptr %o.at, align 8
  %step = zext i1 %later to i64
  %j.next = add nuw i64 %j, %step
  %o.next = add nuw i64 %o, 1
  %gone = sub i64 %o.next, %j.next
  %i.next = add i64 %gone, %middle
  br label %look
rest:
  %r = phi i64 [%o, %look], [%r.next, %copy]
  %r.more = icmp ult i64 %r, %stop
  br i1 %r.more, label %copy, label %pair.end
copy:
  %ahead = sub i64 %r, %o
  %base = select i1 %left, i64 %i, i64 %j
  %r.from = add i64 %base, %ahead
  %r.at = getelementptr {word}, ptr %from, i64 %r.from
  %z = load {word}, ptr %r.at, align 8
  %z.at = getelementptr {word}, ptr %to, i64 %r
  store {word} %z, ptr %z.at, align 8
  %r.next = add nuw i64 %r, 1
  br label %rest
pair.end:
  %again = icmp ult i64 %stop, %n
  br i1 %again, label %pair, label %pass.end
pass.end:
  %twice = shl i64 %width, 1
  br label %pass
end:
  ret ptr %from
}}
"""


def _radix_sort(name: str, word: str) -> str:
    """The text of a function that sorts n words by the lowest `digits` bytes of their upper half.

    It returns the one of two arrays in which they are at last.  Words of equal digits keep their
    order, so the lowest digit comes first; one that is the same everywhere is left out.
    """
    size = int(word[1:]) // 8
    return f"""\
define internal ptr @{name}(ptr %first, ptr %second, i64 %n, i64 %digits) nounwind {{
entry:
  %counts = alloca [256 x i64], align 64
  br label %digit
digit:
  %d = phi i64 [0, %entry], [%d.next, %moved], [%d.next.same, %counted]
  %from = phi ptr [%first, %entry], [%to, %moved], [%from, %counted]
  %to = phi ptr [%second, %entry], [%from, %moved], [%to, %counted]
  %unsorted = icmp ult i64 %d, %digits
  br i1 %unsorted, label %clear, label %end
clear:
  store <256 x i64> zeroinitializer, ptr %counts, align 64
  %byte = add i64 %d, {size // 2}
  %bytes = getelementptr i8, ptr %from, i64 %byte
  br label %count
count:
  %i = phi i64 [0, %clear], [%i.next, %count]
  %i.byte = mul nuw i64 %i, {size}
  %i.at = getelementptr i8, ptr %bytes, i64 %i.byte
  %i.digit = load i8, ptr %i.at, align 1
  %i.place = zext i8 %i.digit to i64
  %i.count = getelementptr i64, ptr %counts, i64 %i.place
  %before = load i64, ptr %i.count, align 8
  %after = add nuw i64 %before, 1
  store i64 %after, ptr %i.count, align 8
  %i.next = add nuw i64 %i, 1
  %i.more = icmp ult i64 %i.next, %n
  br i1 %i.more, label %count, label %counted
counted:
  %same = icmp eq i64 %after, %n
  %d.next.same = add nuw i64 %d, 1
  br i1 %same, label %digit, label %sum
sum:
  %b = phi i64 [0, %counted], [%b.next, %sum]
  %total = phi i64 [0, %counted], [%total.next, %sum]
  %b.at = getelementptr i64, ptr %counts, i64 %b
  %here = load i64, ptr %b.at, align 8
  store i64 %total, ptr %b.at, align 8
  %total.next = add nuw i64 %total, %here
  %b.next = add nuw i64 %b, 1
  %b.more = icmp ult i64 %b.next, 256
  br i1 %b.more, label %sum, label %move
move:
  %j = phi i64 [0, %sum], [%j.next, %move]
  %j.byte = mul nuw i64 %j, {size}
  %j.at = getelementptr i8, ptr %bytes, i64 %j.byte
  %j.digit = load i8, ptr %j.at, align 1
  %j.place = zext i8 %j.digit to i64
  %j.start = getelementptr i64, ptr %counts, i64 %j.place
  %place = load i64, ptr %j.start, align 8
  %place.next = add nuw i64 %place, 1
  store i64 %place.next, ptr %j.start, align 8
  %x.at = getelementptr {word}, ptr %from, i64 %j
  %x = load {word}, ptr %x.at, align 8
  %y.at = getelementptr {word}, ptr %to, i64 %place
  store {word} %x, ptr %y.at, align 8
  %j.next = add nuw i64 %j, 1
  %j.more = icmp ult i64 %j.next, %n
  br i1 %j.more, label %move, label %moved
moved:
  %d.next = add nuw i64 %d, 1
  br label %digit
end:
  ret ptr %from
}}
"""
