"""A compiled function over the rows of its arguments, in native loops as far as that goes.

May import the back end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import Parameters
from .config import modes
from .errors import OptionError, ShapeError
from .graph.node import leaf
from .ops.declare import as_tensor
from .runtime.rows import Chunk, Stack
from .runtime.variant import Call, Variant, write_back
from .tensor import Tensor


class Mapped:
    """The method `map` of a compiled function."""

    __name__: str
    parameters: Parameters
    _calls: array

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _holding(self, key: Any) -> Variant | None:
        raise NotImplementedError

    def map(self, *xs: Any, progress: Callable[[int], object] | None = None, every: int = 1) -> Any:
        """The results of a call for each row of the arguments, stacked.

        progress  is told the number of calls done, after every `every` calls

        Most calls are done by one native loop, which lets Python look after other things 20 times
        a second.  An error or Ctrl-C leaves the state as it was after the last call that ended.
        """
        arrays = [np.ascontiguousarray(as_tensor(x).numpy()) for x in xs]
        sizes = {len(x) if x.ndim else -1 for x in arrays}
        if len(sizes) != 1 or sizes == {-1}:
            got = ", ".join(str(x.shape) for x in arrays) or "nothing"
            raise ShapeError(f"{self.__name__}.map: got {got}; expected equally many rows")
        if every < 1:
            raise OptionError(f"{self.__name__}.map: got every={every}; expected at least 1")
        count = sizes.pop()
        if not count:
            raise ShapeError(
                f"{self.__name__}.map: got arguments without rows; expected at least one"
            )
        stack, chunk = Stack(count), Chunk()
        try:
            while stack.done < count:
                row = tuple(Tensor(leaf(x[stack.done, ...])) for x in arrays)
                stack.put(self(*row))
                limit = count if progress is None else -(-stack.done // every) * every
                self._rows(row, arrays, stack, min(limit, count) - stack.done, chunk)
                if progress is not None and stack.done % every == 0:
                    progress(stack.done)
        except BaseException as error:
            error.add_note(
                f"{self.__name__}.map: stopped at row {stack.done} of {count}; no call is half done"
            )
            raise
        return stack.result()

    def _rows(
        self, row: tuple, arrays: list[np.ndarray], stack: Stack, most: int, chunk: Chunk
    ) -> None:
        """Do calls for the next rows natively, if calls such as the last one can be."""
        given = self.parameters.given(row, {})
        call = Call(row, {}, frozenset())
        if not most or call.fixed or self.parameters.static or modes.capture is not None:
            return
        variant = self._holding(given.key)
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
            self._calls[0] += done
            if done < rows:
                variant.program.fail()
            chunk.end(done)
            variant.plan.renew(variant)
