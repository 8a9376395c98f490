"""A compiled function over the rows of its arguments, in native loops as far as that goes.

May import the back end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .arguments import Parameters
from .config import modes
from .errors import OptionError, ShapeError
from .graph.node import leaf
from .ops.declare import as_tensor
from .runtime.rows import Chunk, Stack
from .runtime.variant import Call, Variant, write_back
from .tensor import Tensor


class Mappable(Protocol):
    """What is needed of a compiled function."""

    __name__: str
    parameters: Parameters
    _calls: array  # the first word counts those that native code has done

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call."""

    def _holding(self, key: Any) -> Variant | None:
        """The program for such a call, if there is one."""


def map_rows(f: Mappable, xs: tuple, progress: Callable[[int], object] | None, every: int) -> Any:
    """What `Compiled.map` says."""
    arrays = [np.ascontiguousarray(as_tensor(x).numpy()) for x in xs]
    sizes = {len(x) if x.ndim else -1 for x in arrays}
    if len(sizes) != 1 or sizes == {-1}:
        got = ", ".join(str(x.shape) for x in arrays) or "nothing"
        raise ShapeError(f"{f.__name__}.map: got {got}; expected equally many rows")
    if every < 1:
        raise OptionError(f"{f.__name__}.map: got every={every}; expected at least 1")
    count = sizes.pop()
    if not count:
        raise ShapeError(f"{f.__name__}.map: got arguments without rows; expected at least one")
    stack, chunk = Stack(count), Chunk()
    try:
        while stack.done < count:
            row = tuple(Tensor(leaf(x[stack.done, ...])) for x in arrays)
            stack.put(f(*row))
            limit = count if progress is None else -(-stack.done // every) * every
            _do_rows(f, row, arrays, stack, min(limit, count) - stack.done, chunk)
            if progress is not None and stack.done % every == 0:
                progress(stack.done)
    except BaseException as error:
        error.add_note(
            f"{f.__name__}.map: stopped at row {stack.done} of {count}; no call is half done"
        )
        raise
    return stack.result()


def _do_rows(
    f: Mappable, row: tuple, arrays: list[np.ndarray], stack: Stack, most: int, chunk: Chunk
) -> None:
    """Do calls for the next rows natively, if calls such as the last one can be."""
    given = f.parameters.given(row, {})
    call = Call(row, {}, frozenset())
    if not most or f.parameters.static or modes.capture is not None:
        return
    variant = f._holding(given.key)
    if variant is None or variant.plan is None or not variant.plan.current(variant, call):
        return
    written = variant.captured.written
    if any(np.may_share_memory(x, s.value()) for x in arrays for s in written):
        return
    values = [s.value() for s in variant.captured.state]
    inputs = [*(x[stack.done :] for x in arrays), *values]
    with variant.program.claimed():
        chunk.begin()
        rows = min(chunk.rows, most)
        try:
            done = variant.program.rows(inputs, stack.tensors(), len(values), rows)
        finally:
            for state in written:
                write_back(state, None)
        stack.filled(done)
        f._calls[0] += done
        if done < rows:
            variant.program.fail()
        chunk.end(done)
        variant.plan.renew(variant)
