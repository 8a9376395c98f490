"""What can be seen of a compiled function: its graph, its steps, its kernels, its memory.

>>> import slotgrad as sg
>>> f = sg.compile(lambda x: sg.sin(x) * 2)
>>> f(1.0)
1.682941969615793
>>> print(f.code)
v[0] = input
v[1] = constant  # float64[]
v[2] = sin(v[0])  # float64[]
v[3] = mul(v[2], v[1])  # float64[]
return v[3]

May import the back end.
"""

from __future__ import annotations

from .capture import State
from .errors import OptionError
from .graph.show import Graph, graph
from .runtime.slots import Memory, memory_of
from .runtime.variant import Variant
from .targets.numpy import Program as NumpyProgram
from .tensor import Tensor


class Inspected:
    """The properties of a compiled function that show its newest program."""

    __name__: str
    target: str
    _newest: Variant | None

    def _inspected(self) -> Variant:
        if self._newest is None:
            raise OptionError(f"{self.__name__}: nothing to look at yet; call the function first")
        return self._newest

    @property
    def graph(self) -> Graph:
        """The captured graph, before the passes."""
        return graph([Tensor(n) for n in self._inspected().captured.region.outputs])

    @property
    def code(self) -> str:
        """The steps of the program over its slots: `v[12] = tanh(v[10])  # float32[64, 256]`."""
        return str(NumpyProgram(self._inspected().region))

    @property
    def kernels(self) -> str:
        """What the machine code does, a line for each kernel."""
        return str(self._inspected().program)

    @property
    def llvm(self) -> str:
        """The newest program's LLVM text; empty if nothing in it is native."""
        program = self._inspected().program
        return "" if isinstance(program, NumpyProgram) else program.text()

    @property
    def state(self) -> list[State]:
        """The tensors from outside that the program reads or writes."""
        return self._inspected().captured.state

    @property
    def memory(self) -> Memory:
        """The slots of the newest program's arena, and what else it keeps; print it."""
        variant = self._inspected()
        kernels = getattr(variant.program, "kernels", None)
        if kernels is None:
            raise OptionError(f"{self.__name__}: the target {self.target!r} plans no memory")
        return memory_of(kernels, len(variant.captured.state))
