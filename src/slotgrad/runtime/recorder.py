"""Scalars that record in native code: a type whose operators write the columns of a tape.

A class written in Python is the model: it says what an object is and does, and the native type
does the same faster.  Both are made from their model once, when the class is defined:

    Tape = native_tape(PythonTape, 4096)        # None where native code cannot rely on this
    Recorded = native_recorded(PythonRecorded)  # Python: then the models must serve

    @compact
    class Variable(Recorded):                   # names, values, gradients: in Python
        __slots__ = ()

    tape.kind = Variable                        # of results of operators on this tape

A native object has two attributes, `tape` (or None) and `slot`, in 32 bytes, is not seen by the
garbage collector and holds a reference to its tape.  So a tape must not own scalars: such a ring
would never be freed.  The model of a tape has `count`, `capacity`, `code`, `first`, `second`,
`values`, `_numbers` and `number(x)`, and moves the columns in `_reserve(capacity)`.

Results are of type `tape.kind`.  Native code records operands that are of just this type and on one
tape, and Python's float and int; whatever else comes goes to the methods of the model.  The columns
are the same either way.

Loads LLVM.  May import the floor, kernel, targets and the rest of runtime.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from typing import Any

import numpy as np

from ..kernel.scalars import NUMBER, arity_of, code_of
from ..targets.recorder import HEADER, WORDS, recorder_text, slow_name
from .layout import Member, Slot, Spec, address_of, layout
from .llvm import Library, compile_text

_WORD = 8
_PLACE = {name: i for i, name in enumerate(HEADER)}

# numbers of slots in CPython's typeslots.h
_OPERATORS = {
    "add": ("__add__", "__radd__", 7),
    "mul": ("__mul__", "__rmul__", 29),
    "pow": ("__pow__", "__rpow__", 33),
    "sub": ("__sub__", "__rsub__", 36),
    "div": ("__truediv__", "__rtruediv__", 37),
}
_SIGNS = {"abs": ("__abs__", 6), "neg": ("__neg__", 30)}
_DEALLOC, _METHODS, _MEMBERS, _GETSET = 52, 64, 72, 73
_MAY_BE_BASE, _COLLECTED = 1 << 10, 1 << 14
_NO_ARGUMENTS, _ONE_ARGUMENT = 4, 8
_SIZE_MEMBER = 19  # T_PYSSIZET


# -- the tape --------------------------------------------------------------------------------------


def native_tape(model: Any, most_numbers: int) -> Any:
    """A subtype of a tape whose header native code reads and writes; None where there is none.

    most_numbers    how many constants `_numbers` may hold
    """
    if layout() is None:
        return None

    class NativeTape(model):
        """A tape with a header for native code."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.header = np.zeros(WORDS, np.int64)
            self.address = address_of(self.header)
            self._words = self.header.data  # one word is read in half the time
            self._words[_PLACE["TAPE"]] = id(self)
            self._words[_PLACE["MOST"]] = most_numbers
            self._words[_PLACE["ZERO"]] = -1
            self._result: type | None = None
            super().__init__(*arguments, **options)

        @property
        def count(self) -> int:
            """The number of slots."""
            return self._words[0]

        @count.setter
        def count(self, count: int) -> None:
            self._words[0] = count

        @property
        def kind(self) -> type | None:
            """The type of what operators return; None: Python makes all results."""
            return self._result

        @kind.setter
        def kind(self, kind: type | None) -> None:
            self._result = kind  # held, since an address is no reference
            self._words[_PLACE["KIND"]] = 0 if kind is None else id(kind)

        def number(self, x: float) -> int:
            """The slot of a constant."""
            slot: int = super().number(x)
            if str(x) == "0.0":
                self._words[_PLACE["ZERO"]] = slot
            return slot

        def _reserve(self, capacity: int) -> None:
            words = self._words
            words[_PLACE["NUMBERS"]] = id(self._numbers)
            try:
                super()._reserve(capacity)
            finally:  # some columns may have moved
                words[_PLACE["CAPACITY"]] = self.capacity
                for name in ("CODE", "FIRST", "SECOND", "VALUES"):
                    words[_PLACE[name]] = address_of(getattr(self, name.lower()))

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError("a tape cannot be copied or pickled: variables point into it")

    NativeTape.__name__ = model.__name__
    NativeTape.__qualname__ = model.__qualname__
    NativeTape.__module__ = model.__module__
    NativeTape.__doc__ = model.__doc__
    return NativeTape


# -- the type --------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class _Property(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("get", ctypes.c_void_p),
        ("set", ctypes.c_void_p),
        ("doc", ctypes.c_char_p),
        ("closure", ctypes.c_void_p),
    ]


_kept: list[Any] = []  # memory that types refer to; they live as long as the process


@cache
def native_recorded(model: type) -> Any:
    """A type with the attributes of a model and native operators; None where there is none.

    All operations of kernel/scalars.py that the model has methods for are native, under their own
    name and as operators.
    """
    found = layout()
    if found is None:
        return None
    size = object.__basicsize__
    entries = dict(model.__dict__)
    names = [name for name in code_of if name in entries]
    binary = [name for name in names if arity_of(code_of[name]) == 2]
    unary = [name for name in names if arity_of(code_of[name]) == 1]
    words = {
        "kind": found.kind // _WORD,
        "number": found.number // _WORD,
        "header": size // _WORD,
        "slot": size // _WORD + 1,
    }
    library = compile_text(recorder_text(list(_OPERATORS), binary, unary, words))
    _install(library)

    slots = [(_DEALLOC, library.address("dealloc"))]
    for name, (special, reflected, slot) in _OPERATORS.items():
        slots.append((slot, library.address(f"operator_{name}")))
        entries[slow_name("operator", name)] = entries.pop(special)
        entries[slow_name("reflected", name)] = entries.pop(reflected)
    methods = []
    for name in names:
        function = entries[slow_name("method", name)] = entries.pop(name)
        takes = _ONE_ARGUMENT if name in binary else _NO_ARGUMENTS
        address = library.address(f"method_{name}")
        methods.append((name.encode(), address, takes, (function.__doc__ or "").encode()))
    for name, (special, slot) in _SIGNS.items():
        del entries[special]
        slots.append((slot, library.address(f"method_{name}")))  # which uses only self
    tape = (b"tape", library.address("get_tape"), library.address("set_tape"), b"", None)
    slots += [
        (_METHODS, _array(_Method, methods)),
        (_MEMBERS, _array(Member, [(b"slot", _SIZE_MEMBER, size + _WORD, 0, b"")])),
        (_GETSET, _array(_Property, [tape])),
    ]
    made = _type(model, entries, size + 2 * _WORD, slots, (object,))
    return made if _works(made) else None


# what every type has of its own, and the places of the model's attributes in its objects
_OWN = {"__dict__", "__weakref__", "__slots__", "tape", "slot"}


def compact(cls: Any) -> Any:
    """The class with objects that the garbage collector does not see; a decorator.

    For classes derived from a native one, without attributes of their own in objects; others are
    returned as they are.  A class statement always makes objects that the collector watches, which
    makes recording half as fast again.
    """
    base = cls.__base__
    if base not in _deallocators or cls.__dictoffset__ or cls.__weakrefoffset__:
        return cls
    if cls.__basicsize__ != base.__basicsize__:
        return cls
    deallocate = _deallocators[base]
    return _type(cls, dict(cls.__dict__), 0, [(_DEALLOC, deallocate)], cls.__bases__)


_deallocators: dict[type, int] = {}  # of native types


def _install(library: Library) -> None:
    """Tell the code the objects that it compares with."""
    words = [ctypes.c_void_p] * 3
    install = ctypes.PYFUNCTYPE(None, *words)(library.address("install"))
    install(id(float), id(int), id(None))


def _type(model: type, entries: dict, size: int, slots: list, bases: tuple) -> Any:
    """A heap type with the name and the attributes of a model, by CPython's stable interface."""
    memory = (Slot * (len(slots) + 1))(*slots)
    spec = Spec(f"{model.__module__}.{model.__name__}".encode(), size, 0, _MAY_BE_BASE, memory)
    make = ctypes.pythonapi.PyType_FromSpecWithBases
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object]
    _kept.append((memory, spec))
    made = make(ctypes.addressof(spec), bases)
    made.__qualname__ = model.__qualname__
    for name, entry in entries.items():
        if name not in _OWN:
            setattr(made, name, entry)
            _move(entry, model, made)
    _deallocators[made] = dict(slots)[_DEALLOC]
    return made


def _move(entry: Any, model: type, made: type) -> None:
    """Let `super()` in the functions of a class mean another class."""
    parts = [getattr(entry, name, None) for name in ("fget", "fset", "fdel", "__func__")]
    for function in (entry, *parts):
        for cell in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # the cell is empty
                if cell.cell_contents is model:
                    cell.cell_contents = made


def _array(kind: Any, entries: list[tuple]) -> int:
    """The address of structures, ended by an empty one."""
    memory = (kind * (len(entries) + 1))(*[kind(*e) for e in entries])
    _kept.append((memory, entries))
    return ctypes.addressof(memory)


class _Holder:
    """Stands for a tape while a type is tried out."""

    address: int


def _works(made: Any) -> bool:
    """Whether objects are laid out as the code assumes, and record."""
    kind = compact(type("Probe", (made,), {"__slots__": ()}))
    if kind.__basicsize__ != object.__basicsize__ + 2 * _WORD or kind.__flags__ & _COLLECTED:
        return False
    columns: list[np.ndarray] = [np.zeros(4, np.uint8), np.zeros(4, np.int32)]
    columns += [np.zeros(4, np.int32), np.zeros(4)]
    code, first, second, values = columns
    header, holder = np.zeros(WORDS, np.int64), _Holder()
    numbers: dict[float, int] = {}
    holder.address = address_of(header)
    given = [2, 4, *[address_of(x) for x in columns], id(holder), id(kind), id(numbers), 1, -1]
    header[: len(given)] = given
    x = kind()
    x.tape, x.slot = holder, 0
    y = x - 2.5
    found = [header[0], *code[2:], first[3], second[3], values[2], numbers.get(2.5), y.slot]
    return found == [4, NUMBER, code_of["sub"], 0, 2, 2.5, 2, 3] and y.tape is holder
