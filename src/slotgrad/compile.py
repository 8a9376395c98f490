"""`sg.compile`: a function of tensors, captured once for each kind of arguments, then replayed.

May import the back end.
"""

from __future__ import annotations

import sys
import threading
import warnings
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any, NamedTuple

from .arguments import Given, Parameters
from .capture import Captured, capture
from .config import changes, modes
from .errors import OptionError, UsageError, describe_site, user_site
from .graph.node import Tapeless, leaf
from .graph.region import Region
from .inspection import Inspected
from .mapping import map_rows
from .passes.lift_region import lift_region
from .passes.pipeline import optimize
from .reads import Reads
from .runtime.layout import NativeType, native_type
from .runtime.variant import (
    NUMBERS,
    Call,
    Variant,
    check_changed,
    check_fits,
    consumed,
    give_back,
    narrowed,
    rebind,
    returned,
    stand_in,
    value_of,
    write_back,
)
from .targets.numpy import Program as NumpyProgram
from .tensor import Tensor
from .tree import flatten, unflatten

CACHE_SIZE = 64
MANY_SHAPES = 8
MANY_VARIANTS = 8  # for one kind of arguments
MANY_PLANS = 4


class CacheInfo(NamedTuple):
    """How often a compiled function could use a program it had."""

    hits: int
    misses: int
    size: int
    maxsize: int


class Compiled(Inspected):
    """What `sg.compile` returns: call it like the function.

    graph, code, state    the newest program's graph, its steps as text, and its state
    kernels, llvm         its kernels, and its LLVM text
    cache_info()          hits, misses and number of programs
    map(*xs)              one call for each row of the arguments
    memory                where the newest program keeps its values
    profile(*args)        how long each of its kernels takes
    """

    def __init__(self, f: Callable[..., Any], static_argnums: Sequence[int], target: str) -> None:
        self.function = f
        self.parameters = Parameters(f, static_argnums)
        self.target = target
        self._variants: OrderedDict[Any, list[Variant]] = OrderedDict()
        self._lock = threading.RLock()
        self._hits = self._misses = 0
        self._warned = False
        self._calls = array("q", [0])  # those that native code has done
        self._plans: list[Any] = []  # those that native code tries, in this order
        self._newest: Variant | None = None
        self.__name__ = self.__qualname__ = getattr(f, "__name__", type(f).__name__)
        update_wrapper(self, f, updated=())
        self._tapeless = Tapeless(self.__name__)
        self._attribute = self.__name__  # what it is called in the class that it is a method of

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self.parameters.given(args, kwargs)
        # under another recording, or for an outer tape, the function is a part of that
        if modes.capture is not None or given.tracked:
            return self.function(*args, **kwargs)
        variant = self._find(given.key) or self._compile(given)
        result = self._run(variant, [x for _, x in given.inputs])
        native = native_type(Compiled)
        if native is not None and type(self) is native.type and self.target == "llvm":
            self._plan(variant, Call(args, kwargs, self.parameters.fixed(args, kwargs)), native)
        return result

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name

    def __get__(self, instance: Any, owner: type | None = None) -> Compiled:
        """As a method: the compiled function of one object, which keeps it."""
        if instance is None:
            return self
        if not hasattr(instance, "__dict__"):
            raise UsageError(
                f"{self.__qualname__}: objects of {type(instance).__name__} have no __dict__, where"
                " a compiled method is kept; compile a function instead"
            )
        static = tuple(n - 1 for n in self.parameters.static if n)
        bound = type(self)(MethodType(self.function, instance), static, self.target)
        bound._attribute = self._attribute
        return vars(instance).setdefault(self._attribute, bound)

    def __copy__(self) -> Compiled:
        return type(self)(self.function, tuple(self.parameters.static), self.target)

    def __reduce__(self) -> str | tuple:
        """By name, as functions are pickled and copied; else the function, to be compiled anew."""
        owner = getattr(self.function, "__self__", None)
        if owner is not None and getattr(owner, "__dict__", {}).get(self._attribute) is self:
            return getattr, (owner, self._attribute)
        if getattr(sys.modules.get(self.__module__), self.__name__, None) is self:
            return self.__name__
        return _compiled, (self.function, tuple(self.parameters.static), self.target)

    # -- finding the program -------------------------------------------------------------------

    def _find(self, key: Any) -> Variant | None:
        variant = self._holding(key)
        self._hits += variant is not None
        return variant

    def _holding(self, key: Any) -> Variant | None:
        return next((v for v in self._variants.get(key, ()) if v.holds()), None)

    # -- making it -----------------------------------------------------------------------------

    def _compile(self, given: Given) -> Variant:
        with self._lock:
            found = self._find(given.key)  # another thread may have been faster
            if found is not None:
                return found
            self._misses += 1
            inputs = given.inputs
            numbers = bool(inputs) and all(type(x) in NUMBERS for _, x in inputs)
            stand_ins = {i: stand_in(x, numbers) for i, x in inputs}
            filled = [stand_ins.get(i, x) for i, x in enumerate(given.leaves)]

            def run() -> Any:
                args, kwargs = unflatten(given.structure, filled)
                return self.function(*args, **kwargs)

            checked = changes.count
            reads, told = Reads.of(self.function, given.built_in)
            captured = capture(run, list(stand_ins.values()), _tensors, lift_region, told)
            region = optimize(captured.region)
            result_leaves, result_structure = flatten(captured.result)
            variant = Variant(
                captured,
                region,
                self._program(captured, region),
                result_structure,
                [x if isinstance(x, Tensor) else None for x in result_leaves],
                [None if isinstance(x, Tensor) else x for x in result_leaves],
                [on and self._tapeless for on in captured.tracked],
                numbers,
                reads,
                [(x, consumed(x, self.__name__)) for x in captured.used_up],
                checked,
                narrowed(captured.region),
            )
            self._keep(given.key, variant)
            return variant

    def _program(self, captured: Captured, region: Region) -> Any:
        if self.target == "numpy":
            return NumpyProgram(region)
        place = {node: i for i, node in enumerate(captured.region.inputs)}
        written = {captured.results + i: place[s.node] for i, s in enumerate(captured.written)}
        return native_program(region, written)

    def _keep(self, key: Any, variant: Variant) -> None:
        self._newest = variant
        variants = self._variants.setdefault(key, [])
        variants.insert(0, variant)
        self._variants.move_to_end(key)
        if len(variants) > MANY_VARIANTS:
            changed = variants.pop().changed
            if not self._warned and changed is not None:
                self._warned = True
                warnings.warn(
                    f"{self.__name__}: compiled more than {MANY_VARIANTS} times for arguments of"
                    f" one kind, since {changed} changes from call to call; make it a tensor or an"
                    " argument",
                    stacklevel=4,
                )
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
        check_fits(inputs, variant.narrow)
        arrays: list[Any] = [value_of(x, n) for x, n in zip(inputs, captured.region.inputs)]
        arrays += [s.value() for s in captured.state]
        for s in captured.written:
            value = s.value()
            if value is not None and not value.flags.writeable:
                raise UsageError(
                    f"{self.__name__}: would write to {s}, whose memory is read-only;"
                    " make the tensor with memory of its own: x.clone()"
                )
        for i in captured.changed:
            check_changed(self.__name__, i, arrays)
        values = variant.program(arrays)
        count = captured.results
        written = values[count : count + len(captured.written)]
        for state, value in zip(captured.written, written):
            write_back(state, value)
        gradients = iter(values[count + len(captured.written) :])
        for x, g in captured.gradients:
            x._grad = None if g is None else Tensor(leaf(next(gradients)))
        for i, value in zip(captured.changed, gradients):
            give_back(inputs[i], value)
        for x, marker in variant.used_up:
            x._grad = marker
        rebind(captured.rebound)
        results = zip(values[:count], variant.tracked)
        filled = [
            other if y is None else returned(*next(results), variant.numbers)
            for y, other in zip(variant.outputs, variant.others)
        ]
        return unflatten(variant.structure, filled)

    def _plan(self, variant: Variant, call: Call, native: NativeType) -> None:
        """Let native code do calls like this one, which went well."""
        plan, old = variant.plan, variant.plan
        if not call.is_plain or variant.narrow:
            return
        with variant.program.claimed():
            if plan is None or not plan.current(variant, call):
                plan = variant.plan = native_plan(variant, call, self._calls)
            if plan is not None:
                plan.renew(variant)
        if plan is None or self._plans[:1] == [plan]:
            return
        with self._lock:
            others = [p for p in self._plans if p is not plan and p is not old]
            before, self._plans = self._plans, [plan, *others][:MANY_PLANS]
            for p, after in zip(self._plans, [*self._plans[1:], None]):
                p.before(after)
            native.point(self, native_entry(native), plan.address)
            del before  # native code could look there until now

    def map(self, *xs: Any, progress: Callable[[int], object] | None = None, every: int = 1) -> Any:
        """The results of a call for each row of the arguments, stacked.

        progress  is told the number of calls done, after every `every` calls

        Most calls are done by one native loop, which lets Python look after other things 20 times
        a second.  An error or Ctrl-C leaves the state as it was after the last call that ended.
        """
        return map_rows(self, xs, progress, every)

    def profile(self, *args: Any, repeat: int | None = None, **kwargs: Any) -> Any:
        """How long each kernel of a call with these arguments takes; print the result.

        repeat  number of calls whose median counts; by default as many as fit in 0.2 s

        Works on copies: the state stays as it is.  Rows have the fields kernel, seconds, share,
        operations and bytes a second, and for products of_peak.
        """
        if self.target != "llvm" or (repeat is not None and repeat < 1):
            raise OptionError(
                f"{self.__name__}.profile: got target {self.target!r} and repeat={repeat}; expected"
                " 'llvm' and at least 1"
            )
        given = self.parameters.given(args, kwargs)
        variant = self._holding(given.key) or self._compile(given)
        inputs = variant.captured.region.inputs
        arrays: list[Any] = [value_of(x, n) for (_, x), n in zip(given.inputs, inputs)]
        arrays += [s.value() for s in variant.captured.state]
        return native_profile(variant.program, arrays, repeat)

    def cache_info(self) -> CacheInfo:
        """Hits and misses so far, the number of kinds of arguments kept, and the most kept."""
        return CacheInfo(self._hits + self._calls[0], self._misses, len(self._variants), CACHE_SIZE)

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
    static_argnums  numbers of the arguments whose value is built into the program, by position or
                    by name
    target          "llvm": machine code; "numpy": operation by operation, to compare with

    The first call with arguments of new shapes, dtypes or static values captures; later calls
    replay.  Tensors from outside are read when the program runs and written back to their own
    buffers, and so are arguments that the function changes in place.  What it and the functions it
    calls read from Python by name (variables, attributes, items of lists and dicts) is compared at
    each call, except in installed packages; what Python or NumPy computes, such as
    `random.random()` or `float(array.sum())`, is built in.  What it does to Python objects
    (`losses.append(loss)`, `print`) happens when it is captured; only attributes of modules, such
    as the mode that `train()` and `eval()` set, are set at each call.  A method is compiled for
    each object.

    Gradients are computed inside: a function of tensors that require gradients runs uncompiled,
    as part of their tape, and a backward that gets to a result which depends on tensors from
    outside that do raises GradientError.  Under `sg.no_grad()` results are constants.

    With Python numbers as the only arguments, results are Python numbers, computed in float64.
    Beside tensors, operators on Python numbers compute in float64 or int64, and what comes out
    takes the dtype of the tensor that it meets.

    >>> import slotgrad as sg
    >>> f = sg.compile(sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1)))
    >>> f(2.0, 3.0)
    (10.0, (7.0, 2.0))
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    if not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise OptionError(
            f"compile: got static_argnums={static_argnums!r}; expected the numbers of arguments,"
            " counted from 0"
        )
    if target not in ("llvm", "numpy"):
        raise OptionError(f"compile: got target {target!r}; expected 'llvm' or 'numpy'")
    if f is None:
        return lambda g: compile(g, static_argnums=numbers, target=target)
    if isinstance(f, Compiled):
        f = f.function
    if not callable(f):
        raise OptionError(
            f"compile: got {f!r} at {describe_site(user_site())}; expected a function"
        )
    native = native_type(Compiled)
    return (Compiled if native is None else native.type)(f, numbers, target)


def native_program(region: Region, written: dict[int, int]) -> Any:
    """The machine code for a region.  LLVM is loaded when the first one is made."""
    from .runtime.program import Program

    return Program(region, written)


def native_profile(program: Any, arrays: list[Any], repeat: int | None) -> Any:
    """Where the time of a program goes."""
    from .runtime.profile import profile_of

    return profile_of(program, arrays, repeat)


def native_plan(variant: Variant, call: Call, calls: array) -> Any:
    """What native code needs for calls like this one; None where Python must do them."""
    from .runtime.plan import plan_for

    return plan_for(variant, call, calls, Compiled.__call__)


def native_entry(native: NativeType) -> int:
    """The function that CPython calls for objects of the native type."""
    from .runtime.plan import entry

    return entry(native.offset + 8)


# -- pieces ----------------------------------------------------------------------------------------


def _compiled(f: Callable[..., Any], static: tuple[int, ...], target: str) -> Compiled:
    return compile(f, static_argnums=static, target=target)


def _tensors(result: Any) -> list[Tensor]:
    return [x for x in flatten(result)[0] if isinstance(x, Tensor)]
