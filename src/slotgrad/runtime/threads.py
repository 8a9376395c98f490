"""The pool of threads: native code hands out parts of a loop to workers that wait for them.

A program's text declares `slotgrad_parallel` and calls it with a job:

    declare void @slotgrad_parallel(ptr job, ptr table, i64 units, i64 grain)
    define void @job(ptr %table, i64 %thread, i64 %first, i64 %last)  ; computes first..last-1

It computes units 0..units-1, each once, `grain` at a time, on the calling thread (number 0) and on
workers (1, 2, ...), and returns when all are done and everything they wrote can be seen.  It calls
`job(table, 0, 0, units)` itself if there is one thread or one grain, or if the pool is busy: with
another thread's job, or with the one that calls it again.  A thread's number is its own within one
call; calls at the same time must not share scratch memory.

One 64-bit word holds the number of the job and the interval of its chunks that nobody has claimed;
a chunk is claimed by exchanging the word for one with a shorter interval.  This succeeds only while
the job is not over, so what was read about the job between reading the word and claiming is true,
and a worker that comes late, however late, does nothing.  The caller claims too, then waits for the
chunks that workers have claimed, never for a worker that has claimed none.

Threads of even number claim the first chunk, the others the last one.  So of two threads each has
nearly the same part of the arrays in every job, and finds in its core's cache what it has written
there, which to fetch from another core takes longer than many loops compute.

Workers are daemon threads inside a native function that never returns: they watch the word for a
while, then sleep until the caller of a later job wakes them.  May import config and the rest of
runtime.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from string import Template
from typing import NamedTuple

from ..config import (
    MAX_THREADS as MAX_THREADS,
    get_num_threads as get_num_threads,
    set_num_threads as set_num_threads,
    threads as wanted,
)
from .host import host
from .llvm import compile_text, provide

_NAME = "slotgrad_parallel"
_BITS = 12  # of either end of the interval; the other 40 number the jobs, up to 10^12, then again
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}  # number of the system call on Linux

_POOL = Template("""
%fields = type { ptr, ptr, i64, i64, i64 }  ; job, table, units, grain, threads
@word = internal global i64 0, align 128
@fields = internal global %fields zeroinitializer, align 128
@finished = internal global i64 0, align 128  ; chunks of the job that workers have computed
@busy = internal global i64 0, align 128
@limit = internal global i64 0, align 128  ; threads that may take part in later jobs
@asleep = internal global [$max x i32] zeroinitializer, align 128

define void @slotgrad_parallel(ptr %job, ptr %table, i64 %units, i64 %grain) {
entry:
  %some = icmp sgt i64 %units, 0
  br i1 %some, label %split, label %end
split:
  %limit = load atomic i64, ptr @limit monotonic, align 8
  %several = icmp sgt i64 %limit, 1
  %long = icmp sgt i64 %units, %grain
  %worth = and i1 %several, %long
  br i1 %worth, label %enter, label %alone
enter:
  %entered = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic, align 8
  %free = extractvalue { i64, i1 } %entered, 1
  br i1 %free, label %publish, label %alone
alone:
  call void %job(ptr %table, i64 0, i64 0, i64 %units)
  br label %end

publish:
  %shifted = lshr i64 %units, $half_bits  ; a grain that leaves fewer chunks than the word counts
  %least = add i64 %shifted, 1
  %size = call i64 @llvm.smax.i64(i64 %grain, i64 %least)
  %before = sub i64 %units, 1
  %whole = udiv i64 %before, %size
  %chunks = add i64 %whole, 1
  store atomic ptr %job, ptr @fields monotonic, align 8
  store atomic ptr %table, ptr $table monotonic, align 8
  store atomic i64 %units, ptr $units monotonic, align 8
  store atomic i64 %size, ptr $grain monotonic, align 8
  store atomic i64 %limit, ptr $threads monotonic, align 8
  store atomic i64 0, ptr @finished monotonic, align 8
  %old = load atomic i64, ptr @word monotonic, align 8
  %used = or i64 %old, $left_mask
  %next = add i64 %used, 1
  %past = shl i64 %chunks, $bits
  %word = or i64 %next, %past
  ; before looking who sleeps; a worker says that it sleeps before it looks at the word
  store atomic i64 %word, ptr @word seq_cst, align 8
  %helpful = call i64 @llvm.smin.i64(i64 %limit, i64 %chunks)
  br label %worker
worker:
  %number = phi i64 [ 1, %publish ], [ %following, %awake ]
  %remain = icmp slt i64 %number, %helpful
  br i1 %remain, label %look, label %work
look:
  %flag = getelementptr i32, ptr @asleep, i64 %number
  %sleeps = load atomic i32, ptr %flag seq_cst, align 4
  %is_asleep = icmp ne i32 %sleeps, 0
  br i1 %is_asleep, label %rouse, label %awake
rouse:
  store atomic i32 0, ptr %flag seq_cst, align 4
  call void @wake(ptr %flag)
  br label %awake
awake:
  %following = add i64 %number, 1
  br label %worker

work:
  %own = call i64 @compute(i64 %word, i64 0)
  %others = sub i64 %chunks, %own
  br label %wait
wait:
  %pauses = phi i64 [ 0, %work ], [ %pauses_now, %patient ], [ %pauses, %impatient ]
  %finished = load atomic i64, ptr @finished acquire, align 8
  %complete = icmp eq i64 %finished, %others
  br i1 %complete, label %leave, label %longer
longer:
  %soon = icmp slt i64 %pauses, $spins
  br i1 %soon, label %patient, label %impatient
patient:
  call void @pause()
  %pauses_now = add i64 %pauses, 1
  br label %wait
impatient:
  call void @yield()  ; there may be more threads than cores
  br label %wait
leave:
  store atomic i64 0, ptr @busy release, align 8
  br label %end
end:
  ret void
}

; Claims and computes chunks of the job that %word was read of, and returns how many.
define internal i64 @compute(i64 %word, i64 %number) {
entry:
  %job = load atomic ptr, ptr @fields monotonic, align 8
  %table = load atomic ptr, ptr $table monotonic, align 8
  %units = load atomic i64, ptr $units monotonic, align 8
  %grain = load atomic i64, ptr $grain monotonic, align 8
  %odd = and i64 %number, 1
  %from_end = icmp ne i64 %odd, 0
  %step = select i1 %from_end, i64 $back, i64 1
  br label %claim
claim:
  %seen = phi i64 [ %word, %entry ], [ %now, %try ], [ %less, %claimed ]
  %done = phi i64 [ 0, %entry ], [ %done, %try ], [ %done_now, %claimed ]
  %first_left = and i64 %seen, $end_mask
  %shifted = lshr i64 %seen, $bits
  %past_left = and i64 %shifted, $end_mask
  %none = icmp eq i64 %first_left, %past_left
  %change = xor i64 %seen, %word
  %other_job = icmp ugt i64 %change, $left_mask
  %over = or i1 %none, %other_job
  br i1 %over, label %end, label %try
try:
  %less = add i64 %seen, %step
  %exchange = cmpxchg ptr @word, i64 %seen, i64 %less acq_rel acquire, align 8
  %now = extractvalue { i64, i1 } %exchange, 0
  %won = extractvalue { i64, i1 } %exchange, 1
  br i1 %won, label %claimed, label %claim
claimed:
  %last_left = sub i64 %past_left, 1
  %chunk = select i1 %from_end, i64 %last_left, i64 %first_left
  %first = mul i64 %chunk, %grain
  %rest = sub i64 %units, %first
  %count = call i64 @llvm.smin.i64(i64 %grain, i64 %rest)
  %last = add i64 %first, %count
  call void %job(ptr %table, i64 %number, i64 %first, i64 %last)
  %done_now = add i64 %done, 1
  br label %claim
end:
  ret i64 %done
}

; The life of a worker.
define void @work(i64 %number) {
entry:
  %flag = getelementptr i32, ptr @asleep, i64 %number
  br label %watch
watch:
  %pauses = phi i64 [ 0, %entry ], [ %pauses_now, %idle ], [ 0, %report ], [ 0, %rise ]
  %word = load atomic i64, ptr @word acquire, align 8
  %is_wanted = call i1 @wanted(i64 %word, i64 %number)
  br i1 %is_wanted, label %help, label %idle
help:
  %done = call i64 @compute(i64 %word, i64 %number)
  %some = icmp ne i64 %done, 0
  br i1 %some, label %report, label %idle
report:
  %reported = atomicrmw add ptr @finished, i64 %done release, align 8
  br label %watch
idle:
  call void @pause()
  %pauses_now = add i64 %pauses, 1
  %soon = icmp slt i64 %pauses_now, $spins
  br i1 %soon, label %watch, label %tire
tire:
  store atomic i32 1, ptr %flag seq_cst, align 4
  %again = load atomic i64, ptr @word seq_cst, align 8
  %is_wanted_now = call i1 @wanted(i64 %again, i64 %number)
  br i1 %is_wanted_now, label %rise, label %doze
doze:
  call void @sleep(ptr %flag)
  %still = load atomic i32, ptr %flag acquire, align 4
  %sleeps = icmp ne i32 %still, 0
  br i1 %sleeps, label %doze, label %rise
rise:
  store atomic i32 0, ptr %flag monotonic, align 4
  br label %watch
}

define internal i1 @wanted(i64 %word, i64 %number) {
  %threads = load atomic i64, ptr $threads monotonic, align 8
  %first_left = and i64 %word, $end_mask
  %shifted = lshr i64 %word, $bits
  %past_left = and i64 %shifted, $end_mask
  %some = icmp ne i64 %first_left, %past_left
  %may = icmp slt i64 %number, %threads
  %both = and i1 %some, %may
  ret i1 %both
}

define void @restrict(i64 %threads) {
  store atomic i64 %threads, ptr @limit monotonic, align 8
  ret void
}

define void @forget() {
  store i64 0, ptr @word
  store i64 0, ptr @finished
  store i64 0, ptr @busy
  store i64 0, ptr @limit
  store [$max x i32] zeroinitializer, ptr @asleep
  ret void
}

declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
""")

# A worker sleeps while its flag is 1; it may also wake for no reason.
_FUTEX_SLEEP = Template("""
declare i64 @syscall(i64, ...)
define internal void @sleep(ptr %flag) {
  %r = call i64 (i64, ...) @syscall(i64 $futex, ptr %flag, i64 128, i64 1, ptr null)
  ret void
}
define internal void @wake(ptr %flag) {
  %r = call i64 (i64, ...) @syscall(i64 $futex, ptr %flag, i64 129, i64 1, ptr null)
  ret void
}
""")
_POLLING_SLEEP = """
declare i32 @usleep(i32)
define internal void @sleep(ptr %flag) {
  %r = call i32 @usleep(i32 1000)
  ret void
}
define internal void @wake(ptr %flag) {
  ret void
}
"""
_NO_SLEEP = """
define internal void @sleep(ptr %flag) {
  ret void
}
define internal void @wake(ptr %flag) {
  ret void
}
"""
_YIELD = """
declare i32 @sched_yield()
define internal void @yield() {
  %r = call i32 @sched_yield()
  ret void
}
"""
_NO_YIELD = """
define internal void @yield() {
  ret void
}
"""
_PAUSE = Template("""
$declaration
define internal void @pause() {
  $call
  ret void
}
""")


def pool_text(triple: str) -> str:
    """The pool as LLVM text, as workers wait and sleep on a system.

    On Linux they sleep by futex; on other systems they look every millisecond; on Windows there
    are none, since neither way exists in the C library there.
    """
    processor = triple.split("-")[0]
    if processor.startswith(("x86", "i386", "i686")):
        spins = 2_000  # 20 to 100 us
        declaration = "declare void @llvm.x86.sse2.pause()"
        call = "call void @llvm.x86.sse2.pause()"
    elif processor.startswith(("aarch64", "arm64")):
        spins = 20_000  # the hint takes about a nanosecond
        declaration = "declare void @llvm.aarch64.hint(i32)"
        call = "call void @llvm.aarch64.hint(i32 1)"
    else:
        spins, declaration, call = 20_000, "", ""
    if not has_workers(triple):
        waiting = _NO_SLEEP + _NO_YIELD
    elif "linux" in triple and processor in _FUTEX:
        waiting = _FUTEX_SLEEP.substitute(futex=_FUTEX[processor]) + _YIELD
    else:
        waiting = _POLLING_SLEEP + _YIELD
    fields = {
        name: f"getelementptr (%fields, ptr @fields, i32 0, i32 {i})"
        for i, name in enumerate(["table", "units", "grain", "threads"], 1)
    }
    pool = _POOL.substitute(
        fields,
        max=MAX_THREADS,
        spins=spins,
        bits=_BITS,
        end_mask=(1 << _BITS) - 1,
        left_mask=(1 << 2 * _BITS) - 1,
        back=-(1 << _BITS),
        half_bits=_BITS - 1,
    )
    return pool + waiting + _PAUSE.substitute(declaration=declaration, call=call)


def has_workers(triple: str) -> bool:
    """Whether workers can sleep on a system; without, everything runs on the calling thread."""
    return "windows" not in triple


class _Native(NamedTuple):
    """The functions of a pool: found once, since a fork may find the compiler's lock taken."""

    parallel: int  # address
    work: Callable[[int], None]
    restrict: Callable[[int], None]
    forget: Callable[[], None]


class Pool:
    """The native pool and its workers.

    triple   the system whose way to wait is used; None: this one's
    threads  how many threads it was last told to use; 0: it has not been started
    """

    def __init__(self, triple: str | None = None) -> None:
        self.threads = 0
        self._triple = triple
        self._workers = 0
        self._made: _Native | None = None
        self._lock = threading.Lock()

    def symbols(self) -> dict[str, int]:
        """Addresses of the functions that texts may declare."""
        with self._lock:
            return {_NAME: self._native().parallel}

    def start(self) -> None:
        """Use as many threads as `get_num_threads` says, from the next job on.

        There are fewer where the system grants no more.  Workers that are too many sleep on.
        """
        with self._lock:
            native = self._native()
            threads = get_num_threads()
            while self._workers < threads - 1 and self._hire(native):
                pass
            native.restrict(min(threads, self._workers + 1))
            self.threads = threads

    def forget(self) -> None:
        """Be as new, in the child of a fork: no worker is there, and no job under way."""
        self._lock = threading.Lock()
        self.threads = self._workers = 0
        if self._made is not None:
            self._made.forget()

    def _hire(self, native: _Native) -> bool:
        """Start the next worker, if the system lets us."""
        if not has_workers(self._triple or host().triple):
            return False
        self._workers += 1  # first: Ctrl-C while it starts must not let two bear one number
        worker = threading.Thread(
            target=native.work, args=(self._workers,), name=f"slotgrad-{self._workers}", daemon=True
        )
        try:
            worker.start()
        except RuntimeError:  # too many threads, or the interpreter is about to end
            self._workers -= 1
            return False
        return True

    def _native(self) -> _Native:
        if self._made is None:
            library = compile_text(pool_text(self._triple or host().triple))
            of_number = ctypes.CFUNCTYPE(None, ctypes.c_int64)
            self._made = _Native(
                library.address(_NAME),
                of_number(library.address("work")),
                of_number(library.address("restrict")),
                ctypes.CFUNCTYPE(None)(library.address("forget")),
            )
        return self._made


_pool = Pool()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.forget)


def start() -> None:
    """Make sure that the pool runs with `get_num_threads()` threads; cheap when it does.

    To be called before a text that declares `slotgrad_parallel` is compiled, and before each run:
    in the child of a fork it makes new workers.  From the first call on, `set_num_threads` has its
    effect at once.
    """
    if _pool.threads != get_num_threads():
        if wanted.changed is None:
            for name, address in symbols().items():
                provide(name, address)
            wanted.changed = _pool.start
        _pool.start()


def symbols() -> dict[str, int]:
    """Addresses of the functions that a program's text may declare: `slotgrad_parallel`."""
    return _pool.symbols()
