"""`sg.compile`: a function of tensors, captured once for each kind of arguments, then replayed.

May import the back end.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, NamedTuple

import numpy as np

from .capture import Captured, State, capture, placeholder
from .config import changes, modes
from .dtypes import as_dtype, default_complex, default_int, float64
from .errors import OptionError, ShapeError, describe_site, user_site
from .graph.node import NO_ATTRS, Changed, Consumed, Node, TensorType, leaf
from .graph.region import Region
from .graph.show import Graph, graph
from .ops.declare import as_tensor
from .passes.pipeline import optimize
from .targets.numpy import Program as NumpyProgram
from .tensor import Tensor, tensor
from .tree import Structure, flatten, unflatten

CACHE_SIZE = 64
MANY_SHAPES = 8
_NUMBERS = {bool: as_dtype(bool), int: default_int, float: float64, complex: default_complex}


class CacheInfo(NamedTuple):
    """How often a compiled function could use a program it had."""

    hits: int
    misses: int
    size: int
    maxsize: int


@dataclass
class Variant:
    """The program for one kind of arguments, and what it holds for."""

    captured: Captured
    region: Region  # after the passes
    program: Any
    structure: Structure
    outputs: list[Tensor | None]  # the result's leaves: a tensor, or None for what is below
    others: list[Any]  # the result's leaves that are no tensors
    numbers: bool  # called with Python numbers only: returns Python numbers
    names: tuple[Callable[[], Any], Any]  # what the function's names stood for
    used_up: list[tuple[Tensor, Tensor]]  # tensors, and the .grad that says it was used up
    checked: int  # state of `changes.count` when the guards held

    def holds(self) -> bool:
        """Whether what was read from outside is as it was when the function was captured."""
        read_names, seen_names = self.names
        return (
            all(s.value() is not None and _type_of(s) == s.type for s in self.captured.state)
            and all(x._grad is None for x in self.captured.absent)
            and read_names() == seen_names
            and self._guards_hold()
        )

    def _guards_hold(self) -> bool:
        """Modules are asked again only after some module has changed."""
        if self.checked != changes.count:
            if any(read() != seen for read, seen in self.captured.guards):
                return False
            self.checked = changes.count
        return True


def _type_of(state: State) -> TensorType:
    value = state.value()
    assert value is not None
    return TensorType(value.shape, value.dtype)


class Compiled:
    """What `sg.compile` returns: call it like the function.

    graph, code, state    the newest program's graph, its steps as text, and its state
    kernels, llvm         its kernels, and its LLVM text
    cache_info()          hits, misses and number of programs
    map(*xs)              one call for each row of the arguments
    """

    def __init__(self, f: Callable[..., Any], static_argnums: Sequence[int], target: str) -> None:
        self.function = f
        self.static = frozenset(static_argnums)
        self.target = target
        self._variants: OrderedDict[Any, list[Variant]] = OrderedDict()
        self._lock = threading.RLock()
        self._hits = self._misses = 0
        self._newest: Variant | None = None
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        update_wrapper(self, f, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        dynamic, key = self._sorted(args, leaves, structure)
        # under another recording, or for an outer tape, the function is a part of that
        if modes.capture is not None or _tracked(dynamic):
            return self.function(*args, **kwargs)
        variant = self._find(key)
        if variant is None:
            variant = self._compile(key, leaves, structure, dynamic)
        return self._run(variant, [x for _, x in dynamic])

    # -- finding the program -------------------------------------------------------------------

    def _sorted(
        self, args: tuple, leaves: list[Any], structure: Structure
    ) -> tuple[list[tuple[int, Any]], Any]:
        """The leaves that are inputs, with their places, and the key of the program."""
        fixed: set[int] = set()
        place = 0
        for number, arg in enumerate(args):
            count = len(flatten(arg)[0])
            if number in self.static:
                fixed |= set(range(place, place + count))
            place += count
        dynamic: list[tuple[int, Any]] = []
        kinds: list[Any] = []
        for i, x in enumerate(leaves):
            if i in fixed or not isinstance(x, (Tensor, np.ndarray, np.generic, *_NUMBERS)):
                kinds.append((type(x), _hashable(x)))
            elif isinstance(x, (Tensor, np.ndarray, np.generic)):
                dynamic.append((i, x))
                kinds.append((x.dtype, x.shape))
            else:
                dynamic.append((i, x))
                kinds.append(type(x))
        return dynamic, (structure, tuple(kinds), modes.grad)

    def _find(self, key: Any) -> Variant | None:
        for variant in self._variants.get(key, ()):
            if variant.holds():
                self._hits += 1
                return variant
        return None

    # -- making it -----------------------------------------------------------------------------

    def _compile(
        self, key: Any, leaves: list[Any], structure: Structure, dynamic: list[tuple[int, Any]]
    ) -> Variant:
        with self._lock:
            found = self._find(key)  # another thread may have been faster
            if found is not None:
                return found
            self._misses += 1
            numbers = bool(dynamic) and all(type(x) in _NUMBERS for _, x in dynamic)
            stand_ins = {i: _placeholder(x, numbers) for i, x in dynamic}
            filled = [stand_ins.get(i, x) for i, x in enumerate(leaves)]

            def run() -> Any:
                args, kwargs = unflatten(structure, filled)
                return self.function(*args, **kwargs)

            captured = capture(run, list(stand_ins.values()), _tensors)
            region = optimize(captured.region)
            result_leaves, result_structure = flatten(captured.result)
            variant = Variant(
                captured,
                region,
                self._program(captured, region),
                result_structure,
                [x if isinstance(x, Tensor) else None for x in result_leaves],
                [None if isinstance(x, Tensor) else x for x in result_leaves],
                numbers,
                _names_of(self.function),
                [(x, _consumed(x, self.__name__)) for x in captured.used_up],
                changes.count,
            )
            self._keep(key, variant)
            return variant

    def _program(self, captured: Captured, region: Region) -> Any:
        if self.target == "numpy":
            return NumpyProgram(region)
        place = {node: i for i, node in enumerate(captured.region.inputs)}
        written = {captured.results + i: place[s.node] for i, s in enumerate(captured.written)}
        return native_program(region, written)

    def _keep(self, key: Any, variant: Variant) -> None:
        self._newest = variant
        self._variants.setdefault(key, []).insert(0, variant)
        self._variants.move_to_end(key)
        if len(self._variants) > CACHE_SIZE:
            self._variants.popitem(last=False)
        if len(self._variants) == MANY_SHAPES + 1:
            warnings.warn(
                f"{self.__name__}: compiled for more than {MANY_SHAPES} kinds of arguments; if"
                " shapes vary from call to call, pad them to a few sizes",
                stacklevel=4,
            )

    # -- running it ----------------------------------------------------------------------------

    def _run(self, variant: Variant, inputs: list[Any]) -> Any:
        captured = variant.captured
        arrays: list[Any] = [_array(x, n) for x, n in zip(inputs, captured.region.inputs)]
        arrays += [s.value() for s in captured.state]
        values = variant.program(arrays)
        count = captured.results
        written = values[count : count + len(captured.written)]
        for state, value in zip(captured.written, written):
            _write_back(state, value)
        gradients = iter(values[count + len(captured.written) :])
        for x, g in captured.gradients:
            x._grad = None if g is None else Tensor(leaf(next(gradients)))
        for x, marker in variant.used_up:
            x._grad = marker
        results = iter(values[:count])
        filled = [
            other if y is None else _returned(next(results), variant.numbers)
            for y, other in zip(variant.outputs, variant.others)
        ]
        return unflatten(variant.structure, filled)

    def map(self, *xs: Any, progress: Callable[[int], object] | None = None, every: int = 1) -> Any:
        """The results of a call for each row of the arguments, stacked.

        progress  is told the number of calls done, after every `every` calls
        """
        tensors = [as_tensor(x) for x in xs]
        sizes = {len(x) for x in tensors}
        if len(sizes) != 1:
            got = ", ".join(str(x.shape) for x in tensors) or "nothing"
            raise ShapeError(f"{self.__name__}.map: got {got}; expected equally many rows")
        rows = []
        for i in range(sizes.pop()):
            leaves, structure = flatten(self(*[Tensor(leaf(x.numpy()[i])) for x in tensors]))
            rows.append([np.asarray(y) for y in leaves])
            if progress is not None and (i + 1) % every == 0:
                progress(i + 1)
        if not rows:
            raise ShapeError(
                f"{self.__name__}.map: got arguments without rows; expected at least one"
            )
        return unflatten(structure, [tensor(np.stack(column)) for column in zip(*rows)])

    # -- looking inside ------------------------------------------------------------------------

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
        library = getattr(self._inspected().program, "library", None)
        return "" if library is None else library.text

    @property
    def state(self) -> list[State]:
        """The tensors from outside that the program reads or writes."""
        return self._inspected().captured.state

    def cache_info(self) -> CacheInfo:
        """Hits and misses so far, the number of kinds of arguments kept, and the most kept."""
        return CacheInfo(self._hits, self._misses, len(self._variants), CACHE_SIZE)

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}>"


def compile(
    f: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    target: str = "llvm",
) -> Any:
    """Capture a function of tensors and run it as one program from then on.

    f               takes tensors, arrays, Python numbers and trees of them; may call backward(),
                    an optimiser's step(), sg.grad, and change tensors in place
    static_argnums  arguments whose value is built into the program
    target          "llvm": machine code; "numpy": operation by operation, to compare with

    The first call with arguments of new shapes, dtypes or static values captures; later calls
    replay.  Tensors from outside are read when the program runs and written back to their own
    buffers.  With Python numbers as the only arguments, results are Python numbers, computed in
    float64.

    >>> import slotgrad as sg
    >>> f = sg.compile(sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
    >>> f(2.0, 3.0)
    (10.0, (7.0, 2.0))
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    if target not in ("llvm", "numpy"):
        raise OptionError(f"compile: got target {target!r}; expected 'llvm' or 'numpy'")
    if f is None:
        return lambda g: Compiled(g, numbers, target)
    if isinstance(f, Compiled):
        f = f.function
    if not callable(f):
        raise OptionError(
            f"compile: got {f!r} at {describe_site(user_site())}; expected a function"
        )
    return Compiled(f, numbers, target)


def native_program(region: Region, written: dict[int, int]) -> Any:
    """The machine code for a region.  LLVM is loaded when the first one is made."""
    from .runtime.program import Program

    return Program(region, written)


# -- arguments and results -------------------------------------------------------------------------


def _tracked(dynamic: list[tuple[int, Any]]) -> bool:
    return modes.grad and any(isinstance(x, Tensor) and x.requires_grad for _, x in dynamic)


def _hashable(x: Any) -> Any:
    try:
        hash(x)
    except TypeError:
        return id(x)
    return x


def _placeholder(x: Any, numbers: bool) -> Tensor:
    if type(x) in _NUMBERS:
        made = placeholder(TensorType((), _NUMBERS[type(x)]))
        if type(x) is int and numbers:
            made = placeholder(TensorType((), float64))
        made.node.weak = None if numbers else type(x)
        return made
    return placeholder(TensorType(x.shape, as_dtype(x.dtype)))


def _array(x: Any, node: Node) -> np.ndarray:
    if isinstance(x, Tensor):
        return x._value("a compiled function")
    return np.asarray(x, node.type.dtype)


def _consumed(x: Tensor, function: str) -> Tensor:
    """What `.grad` is after a call that used the gradient up: reading it raises."""
    node = Node(None, (), NO_ATTRS, None, False)
    node.type, node.fate = x.node.type, Consumed(function)
    return Tensor(node)


def _returned(value: np.ndarray, numbers: bool) -> Any:
    return value.item() if numbers and value.ndim == 0 else Tensor(leaf(value))


def _tensors(result: Any) -> list[Tensor]:
    return [x for x in flatten(result)[0] if isinstance(x, Tensor)]


def _write_back(state: State, value: np.ndarray | None) -> None:
    """Into the state's own buffer; tapes that still need the old value notice."""
    holder = state.tensor._grad if state.gradient else state.tensor
    assert holder is not None
    if value is not None:  # else the program has written it
        holder.node.value[...] = value
    holder._renew(Changed("a compiled function", None))


def _names_of(f: Callable[..., Any]) -> tuple[Callable[[], Any], Any]:
    """What a function reads from its closure and its globals by name, which may be bound anew."""
    f = inspect.unwrap(f)
    code = getattr(f, "__code__", None)
    if code is None:
        return tuple, ()
    scope, cells = getattr(f, "__globals__", {}), getattr(f, "__closure__", None) or ()
    names = [n for n in code.co_names if n in scope]

    def read() -> tuple:
        return tuple(id(scope.get(n)) for n in names) + tuple(id(c.cell_contents) for c in cells)

    return read, read()
