"""What holds for the current thread: whether the tape runs, and which capture is open.

May import nothing but errors.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Modes(threading.local):
    """The modes of one thread.  `capture` is None, or the recorder that `apply` feeds."""

    grad: bool = True
    capture: Any = None


modes = Modes()


class Changes:
    """Counts the changes of Python objects that captured programs may depend on."""

    count: int = 0


changes = Changes()


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Switch the tape on or off inside a `with` block or a decorated function."""
    before, modes.grad = modes.grad, enabled
    try:
        yield
    finally:
        modes.grad = before


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
    before, modes.capture = modes.capture, capture
    try:
        yield capture
    finally:
        modes.capture = before
