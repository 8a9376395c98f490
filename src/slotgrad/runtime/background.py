"""Work that nobody waits for: a thread does it, one job after the other.

    later(job)                # calls job(), soon
    use_at_once(text, use)    # use(library) with code that is made quickly, and once more with the
                              # best code, later
    wait()                    # until all is done

The thread comes with the first job and goes with the last one.  What is not begun when the program
ends is not done, and the child of a fork goes on with its next job.

May import the rest of runtime.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from weakref import WeakMethod

from .llvm import Library, compile_text

# Seconds that results of quick code have to themselves: threads share a lock, and perhaps a core.
_HEAD_START = 0.02

_Job = Callable[[], None]


class _Worker:
    """Jobs in the order in which they came, and the thread that does them."""

    def __init__(self) -> None:
        self.jobs: list[_Job] = []  # the first one may be under way
        self.forget()

    def forget(self) -> None:
        """Have no thread, as in the child of a fork."""
        self.lock = threading.Lock()  # guards the thread
        self.thread: threading.Thread | None = None

    def begin(self) -> threading.Thread | None:
        """The thread that does the jobs, if there are any."""
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = None
                if self.jobs and _running():
                    self.thread = threading.Thread(target=self._work, name="slotgrad-background")
                    self.thread.start()
            return self.thread

    def _work(self) -> None:
        while job := self._next():
            try:
                job()
            finally:
                del self.jobs[0]

    def _next(self) -> _Job | None:
        with self.lock:
            if self.jobs and _running():
                return self.jobs[0]
            self.thread = None
            return None


def _running() -> bool:
    """Whether the program has not come to its end."""
    return threading.main_thread().is_alive()


_worker = _Worker()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_worker.forget)


def later(job: _Job) -> None:
    """Call a function in the thread; an error there is reported as one of any thread is."""
    _worker.jobs.append(job)
    _worker.begin()


def while_wanted(method: Callable[[], None]) -> _Job:
    """A job that calls a method, unless nobody has its object any more."""
    found = WeakMethod(method)

    def job() -> None:
        call = found()
        if call is not None:
            call()

    return job


def wait() -> None:
    """Wait until all jobs are done."""
    while thread := _worker.begin():
        thread.join()


def use_at_once(text: str, use: Callable[[Library], None]) -> None:
    """Call a function with the library of a text, and once more, from the thread, with a better
    one, unless the best one is there already.
    """
    library = compile_text(text, quick=True)
    use(library)
    if library.quick:
        if not _worker.jobs:
            later(partial(time.sleep, _HEAD_START))
        later(partial(_improve, text, use))


def _improve(text: str, use: Callable[[Library], None]) -> None:
    use(compile_text(text))
