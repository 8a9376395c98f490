"""What holds for the current thread: whether the tape runs, and which capture is open.

Native code cannot see variables of threads, so both are announced in plain memory as well.  May
import nothing but errors.
"""

import itertools
import os
import threading
import time
import warnings
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import OptionError

LOADED = time.time()  # sources that changed later are not those that run
MAX_THREADS = 64  # each has scratch memory of its own
USUAL, NO_GRAD, CAPTURING = range(3)  # what native code is told of a thread


class Modes(threading.local):
    """The modes of one thread.  `capture` is None, or the recorder that `apply` feeds."""

    grad: bool = True
    capture: Any = None


modes = Modes()

# how many threads are not in the usual mode; if it is one: which, and its mode
unusual_threads = array("q", [0, 0, 0])
_unusual: dict[int, int] = {}
_lock = threading.RLock()


def _switch(name: str, value: Any) -> None:
    """Set a mode of this thread, and tell native code if that changes it."""
    if getattr(modes, name) is value:
        return
    setattr(modes, name, value)
    mode = CAPTURING if modes.capture is not None else USUAL if modes.grad else NO_GRAD
    with _lock:
        if mode == USUAL:
            _unusual.pop(threading.get_ident(), None)
        else:
            _unusual[threading.get_ident()] = mode
        if len(_unusual) == 1:
            [(unusual_threads[1], unusual_threads[2])] = _unusual.items()
        unusual_threads[0] = len(_unusual)  # last: now the others may be read


nothing = object()  # what a name stands for that is not there


class Changes:
    """Counts the changes of Python objects that captured programs may depend on."""

    def __init__(self) -> None:
        self.cell = array("q", [0])  # where native code reads the count
        self._next = itertools.count(1).__next__

    @property
    def count(self) -> int:
        """A number that was never there before whenever something has changed."""
        return self.cell[0]

    def note(self) -> None:
        """Something has changed."""
        self.cell[0] = self._next()


changes = Changes()


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Switch the tape on or off inside a `with` block or a decorated function."""
    before = modes.grad
    try:
        _switch("grad", enabled)
        yield
    finally:
        _switch("grad", before)


def no_grad() -> Any:
    """Inside, operations compute and leave no trace on the tape.

    A context manager and a decorator.

    >>> import slotgrad as sg
    >>> w = sg.tensor([1.0, 2.0], requires_grad=True)
    >>> with sg.no_grad():
    ...     w -= 0.5
    >>> w.requires_grad, (w * 2).requires_grad
    (True, True)
    """
    return grad_mode(False)


def enable_grad() -> Any:
    """Undo an enclosing `no_grad()`; a context manager and a decorator."""
    return grad_mode(True)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded in this thread."""
    return modes.grad


@contextmanager
def capturing(capture: Any) -> Iterator[Any]:
    """Send every operation of this thread to `capture` (or to nobody: None)."""
    before = modes.capture
    try:
        _switch("capture", capture)
        yield capture
    finally:
        _switch("capture", before)


# -- threads of native code ------------------------------------------------------------------------


class Threads:
    """How many threads native code may use.

    number    None until somebody asks
    changed   what to call when the number changes, once there is a pool
    """

    number: int | None = None
    changed: Callable[[], object] | None = None


threads = Threads()


def set_num_threads(n: int) -> None:
    """Let compiled functions use `n` threads, from their next parallel loop on.

    Raises OptionError unless 1 <= n <= 64.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_THREADS:
        raise OptionError(f"set_num_threads: got {n!r}; expected an int from 1 to {MAX_THREADS}")
    threads.number = n
    if threads.changed is not None:
        threads.changed()


def get_num_threads() -> int:
    """How many threads compiled functions may use.

    By default what SLOTGRAD_NUM_THREADS says, else OMP_NUM_THREADS, else the cores that this
    process may use.  A value that is no number of threads is passed over with a warning.
    """
    if threads.number is None:
        threads.number = _default_threads()
    return threads.number


def _default_threads() -> int:
    for name in ("SLOTGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()  # OpenMP has a number per level
        if text.isdecimal() and int(text) >= 1:
            return min(int(text), MAX_THREADS)
        if text:
            warnings.warn(
                f"{name}={text!r} is not a number of threads; expected 1 to {MAX_THREADS}",
                stacklevel=3,
            )
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return min(cores, MAX_THREADS)
