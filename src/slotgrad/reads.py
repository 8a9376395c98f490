"""What a function may read from Python by name: variables, attributes, items of lists and dicts.

A captured program has these values built in, so it holds as long as each stands for what it stood
for.  They are found in the bytecode, without running it: from the function's own names on to the
functions it can reach; those of this package, NumPy, the standard library and of installed packages
other than the function's own are left out.

    x * SCALE              the name in the module
    config["rate"]         the item, and the name
    self.rate              the item in the object's __dict__
    for w in weights       all items of the list

What is found by computing, as in `getattr(x, name)`, `random.random()` or `float(array.sum())`,
is not seen.  May import the floor.
"""

from __future__ import annotations

import dis
import gc
import os
import site
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from types import CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from .config import nothing
from .tensor import Tensor

PLAIN = (type(None), str, bytes, int, float, bool, complex)
_INSTALLED = [*site.getsitepackages(), site.getusersitepackages()]
_UNNAMED = ("forward", "backward")  # what modules and operations of one's own are made of
_FUNCTIONS = (FunctionType, MethodType, staticmethod, classmethod)
_OPAQUE = (*PLAIN, Tensor, np.ndarray, np.generic, np.dtype, CodeType)


@dataclass(frozen=True)
class Entry:
    """What a key stands for in a dict: of a module, of an object, or any other."""

    scope: Any
    key: Any

    def now(self) -> list[Any]:
        return [self.scope.get(self.key, nothing)]

    def __str__(self) -> str:
        return repr(self.key)


@dataclass(frozen=True)
class Content:
    """What is in a variable of an enclosing function."""

    cell: CellType
    name: str

    def now(self) -> list[Any]:
        try:
            return [self.cell.cell_contents]
        except ValueError:
            return [nothing]

    def __str__(self) -> str:
        return repr(self.name)


@dataclass(frozen=True)
class Items:
    """All that is in a list, a set or a dict."""

    container: Any

    def now(self) -> list[Any]:
        if isinstance(self.container, dict):
            return [*self.container, *self.container.values()]
        return list(self.container)

    def __str__(self) -> str:
        return f"a {type(self.container).__name__}"


@dataclass(frozen=True)
class Told:
    """What an object says of itself."""

    what: str
    say: Callable[[], list[Any]]

    def now(self) -> list[Any]:
        return self.say()

    def __str__(self) -> str:
        return self.what


Read = Entry | Content | Items | Told


@dataclass(frozen=True)
class Reads:
    """Places in Python, and what stood there when a function was captured."""

    places: list[Read]
    seen: list[list[Any]]

    @classmethod
    def of(cls, f: Callable[..., Any], arguments: Iterable[Any] = ()) -> tuple[Reads, Reads]:
        """The places that a call of `f` may read; objects among the arguments are looked into.

        First those to be compared at each call, then those that tell when they change.
        """
        search = _Search(f, arguments)
        reads, told = cls([], []), cls([], [])
        for place in search.found.values():
            reads.add(place)
        for x in search.telling:
            told.add(Told(f"an attribute of {type(x).__name__}", x._configuration))
        return reads, told

    def add(self, place: Read, seen: list[Any] | None = None) -> None:
        """One more place, and what stands there now, or stood there."""
        self.places.append(place)
        self.seen.append(place.now() if seen is None else seen)

    def now(self) -> list[Any]:
        """The objects that stand there now, one place after the other."""
        return [x for place in self.places for x in place.now()]

    def hold(self) -> bool:
        """Whether everything stands for what it stood for."""
        return self.changed() is None

    def changed(self) -> Read | None:
        """The first place where something else stands now."""
        for place, seen in zip(self.places, self.seen):
            now = place.now()
            if len(now) != len(seen) or not all(map(_same, now, seen)):
                return place
        return None


def _same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if type(x) is tuple:
        return len(x) == len(y) and all(map(_same, x, y))
    if isinstance(x, Tensor):  # what captures left: no values, only the same reason
        return x.node.value is y.node.value is None
    return isinstance(x, PLAIN) and repr(x) == repr(y)


class _Search:
    """Follows names through functions and objects.

    An attribute of something that the bytecode alone does not tell may be one of any object that
    was met: then all objects are asked for it.
    """

    def __init__(self, f: Callable[..., Any], arguments: Iterable[Any]) -> None:
        self.found: dict[tuple, Read] = {}
        self.met: dict[Any, Any] = {}  # by id; they live as long as the search
        self.objects: list[Any] = []
        self.telling: list[Any] = []  # objects that note their changes
        self.attributes: dict[str, None] = {}
        self.waiting: list[tuple[FunctionType, Any]] = []
        self.package = _package(getattr(f, "__module__", None))
        for x in (f, *arguments):
            self.use(x)
        asked: set[tuple[int, str]] = set()
        while True:
            while self.waiting:
                self.scan(*self.waiting.pop())
            new = [
                (x, name)
                for x in self.objects
                for name in self.attributes
                if (id(x), name) not in asked
            ]
            if not new:
                break
            for x, name in new:
                asked.add((id(x), name))
                self.use(self.attribute(x, name))

    def is_users(self, module: Any) -> bool:
        """Whether code of the module may read what changes from call to call."""
        package = _package(module)
        theirs = package == self.package or not _is_library(package)
        return theirs and not _is_ours(package)

    # -- places ------------------------------------------------------------------------------------

    def entry(self, scope: Any, key: Any) -> Any:
        """What the key stands for, which is noted as read."""
        self.found.setdefault((id(scope), key), Entry(scope, key))
        return scope.get(key, nothing)

    def items(self, container: Any) -> Iterable[Any]:
        place = self.found.setdefault((id(container), Items), Items(container))
        return place.now()

    # -- objects -----------------------------------------------------------------------------------

    def use(self, x: Any) -> None:
        """Something is done with an object, and it is not known what: it may be read as a whole."""
        if isinstance(x, _OPAQUE) or x is nothing or id(x) in self.met:
            return
        self.met[id(x)] = x
        if isinstance(x, tuple):
            self.use_all(x)
        elif isinstance(x, (dict, list, set)):
            self.use_all(self.items(x))
        elif isinstance(x, MethodType):
            if isinstance(x.__func__, FunctionType):
                self.follow(x.__func__, x.__self__)
            else:
                self.use(x.__func__)
            self.use(x.__self__)
        elif isinstance(x, partial):
            self.use_all((x.func, x.args, x.keywords))
        elif isinstance(x, FunctionType):
            self.follow(x, nothing)
        elif "__wrapped__" in _attributes(x):
            self.use_all(v for v in _attributes(x).values() if isinstance(v, (*_FUNCTIONS, type)))
        elif isinstance(x, type):
            self.use_object(x, x.__mro__)
        elif _notes_changes(x) or not (isinstance(x, ModuleType) or _is_ours(type(x).__module__)):
            self.use_object(x, type(x).__mro__)

    def use_all(self, objects: Iterable[Any]) -> None:
        for x in objects:
            self.use(x)

    def use_object(self, x: Any, kinds: tuple[type, ...]) -> None:
        """An object or a class with attributes; some methods may be called without their names."""
        kinds = tuple(kind for kind in kinds if self.is_users(kind.__module__))
        if kinds or not isinstance(x, type):
            self.objects.append(x)
        for kind in kinds:
            for name, value in vars(kind).items():
                unnamed = name in _UNNAMED or name.startswith("__")
                made = name in ("__new__", "__init__") and not isinstance(x, type)
                if isinstance(value, _FUNCTIONS) and unnamed and not made:
                    self.use(self.bound(value, x))
        if _notes_changes(x):
            self.telling.append(x)
            self.use_all(v for v in vars(x).values() if _notes_changes(v))

    def attribute(self, x: Any, name: str) -> Any:
        """`x.name`, noted as read; `nothing` if that cannot be told."""
        scope = _attributes(x)
        if isinstance(x, ModuleType):
            return (
                self.entry(scope, name) if self.is_users(x.__name__) else vars(x).get(name, nothing)
            )
        kinds = x.__mro__ if isinstance(x, type) else type(x).__mro__
        if isinstance(scope, dict) and name in scope:
            return scope[name] if _notes_changes(x) else self.entry(scope, name)
        for kind in kinds:
            if name in vars(kind) and self.is_users(kind.__module__):
                value = self.entry(_dict_of(kind), name)
                if isinstance(scope, dict) and isinstance(value, PLAIN):
                    self.entry(scope, name)  # where a value of its own may come
                return self.bound(value, x)
        return nothing

    def bound(self, value: Any, x: Any) -> Any:
        """What an attribute of a class is for an object."""
        if isinstance(value, FunctionType) and not isinstance(x, type):
            return MethodType(value, x)
        if isinstance(value, property):
            self.use(MethodType(value.fget, x) if value.fget else None)
            return nothing
        if isinstance(value, (staticmethod, classmethod)):
            return value.__func__
        if isinstance(getattr(value, "__wrapped__", None), FunctionType):
            return MethodType(value.__wrapped__, x)
        return value

    # -- code --------------------------------------------------------------------------------------

    def follow(self, f: FunctionType, owner: Any) -> None:
        """The function may be called, for an owner as its first argument."""
        key = (id(f), id(owner))
        if key in self.met:
            return
        self.met[key] = (f, owner)
        if self.is_users(f.__globals__.get("__name__", "")):
            self.use_all((*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()))
            self.waiting.append((f, owner))
        else:  # what others made around a function of the user's
            for cell in f.__closure__ or ():
                self.use_all(Content(cell, "").now())

    def scan(self, f: FunctionType, owner: Any) -> None:
        """Note what the function's code names."""
        code = f.__code__
        cells = dict(zip(code.co_freevars, f.__closure__ or ()))
        known = {code.co_varnames[0]: owner} if code.co_argcount else {}
        for part in _parts(code):
            self.scan_code(part, f.__globals__, cells, known if part is code else {})

    def scan_code(
        self, code: CodeType, scope: dict[str, Any], cells: dict[str, CellType], known: dict
    ) -> None:
        top: Any = nothing  # what the last instruction has put on the stack, if that is known
        key: Any = nothing
        for kind, argument, shown in _instructions(code):
            if kind in ("LOAD_ATTR", "LOAD_METHOD"):
                self.attributes[argument] = None
                top = self.loaded(top, argument)
            elif kind == "BINARY_SUBSCR" or shown == "[]":
                if type(top) is dict and key is not nothing:
                    top = self.entry(top, key)
                else:
                    self.use(top)
                    top = nothing
            elif kind in ("LOAD_CONST", "LOAD_SMALL_INT"):
                key = argument
                continue
            else:
                self.use(top)
                top = self.named(kind, argument, scope, cells, known)
            key = nothing
        self.use(top)

    def loaded(self, x: Any, name: str) -> Any:
        """`x.name` where `x` is on the stack."""
        if isinstance(x, (dict, list, tuple, set)):
            self.use(x)
            return nothing
        if isinstance(x, type) or _notes_changes(x):
            self.use(x)
        elif isinstance(x, _OPAQUE) or x is nothing or _is_ours(type(x).__module__):
            return nothing
        return self.attribute(x, name)

    def named(self, kind: str, name: Any, scope: dict, cells: dict, known: dict) -> Any:
        """What an instruction loads by name."""
        if kind in ("LOAD_GLOBAL", "LOAD_NAME"):
            return self.entry(scope, name) if name in scope else nothing
        if "DEREF" in kind and name in cells:
            place = Content(cells[name], name)
            self.found.setdefault((id(cells[name]), Content), place)
            return place.now()[0]
        return known.get(name, nothing) if kind.startswith("LOAD_FAST") else nothing


@lru_cache(256)
def _instructions(code: CodeType) -> list[tuple[str, Any, str]]:
    return [(i.opname, i.argval, i.argrepr) for i in dis.get_instructions(code)]


def _parts(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions written inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _package(module: Any) -> str:
    return (module or "").partition(".")[0]


def _is_ours(module: str) -> bool:
    return _package(module) in ("slotgrad", "numpy", "builtins")


@cache
def _is_library(package: str) -> bool:
    """Whether a package came with Python, or was installed."""
    if package in sys.stdlib_module_names and package != "__main__":
        return True
    place = getattr(sys.modules.get(package), "__file__", None) or ""
    return any(place.startswith(path + os.sep) for path in _INSTALLED)


def _attributes(x: Any) -> Any:
    """The object's own attributes, without asking its class for any."""
    found = getattr(x, "__dict__", None)
    return found if isinstance(found, (dict, MappingProxyType)) else {}


def _notes_changes(x: Any) -> bool:
    """Whether the object tells of its changes itself, as a module of layers does."""
    return hasattr(type(x), "_configuration")


def _dict_of(kind: type) -> Any:
    """The dict of a class, which `vars` shows only."""
    [*found] = gc.get_referents(vars(kind))
    return found[0] if found and type(found[0]) is dict else vars(kind)
