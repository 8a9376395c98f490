"""Where CPython and NumPy keep what native code reads, and a type whose calls are native.

Offsets are found by looking into real objects, and nothing is assumed that was not found: where
the search fails, on another Python or without the GIL, there is no layout, no such type, and
every call goes through Python.  May import the floor.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import CellType
from typing import Any

import numpy as np

from ..graph.node import Node, leaf
from ..tensor import Tensor

_WORD = ctypes.sizeof(ctypes.c_void_p)
_MEMBERS = 72  # Py_tp_members
_SIZE_MEMBER, _READ_ONLY = 19, 1  # T_PYSSIZET, READONLY
_HAS_VECTORCALL = 1 << 11


@dataclass(frozen=True)
class Layout:
    """Offsets in bytes from the beginning of an object.

    kind                                the object's type, in every object
    number, items, length, content      of a float, a tuple (its first item; its size) and a cell
    list_items, dict_length             of a list, whose length is where that of a tuple is; a dict
    node, gradient, base                of a Tensor
    value, tracked                      of a Node
    data, ndim, sizes, dtype, flags     of an array
    """

    kind: int
    number: int
    items: int
    length: int
    content: int
    list_items: int
    dict_length: int
    node: int
    gradient: int
    base: int
    value: int
    tracked: int
    data: int
    ndim: int
    sizes: int
    dtype: int
    flags: int


@cache
def layout() -> Layout | None:
    """The layout of objects in this process; None where native code cannot rely on one."""
    if (
        sys.implementation.name != "cpython"
        or sysconfig.get_config_var("Py_GIL_DISABLED")
        or hasattr(sys, "gettotalrefcount")  # a debug build has other headers and assertions
        or ctypes.sizeof(ctypes.c_void_p) != 8
        or sys.byteorder != "little"
    ):
        return None
    try:
        return _found()
    except LookupError:
        return None


def _found() -> Layout:
    sign = object()
    node = Node(None, (), {}, None, False)
    node.value, node.requires_grad = sign, object()  # type: ignore[assignment]
    tensor = Tensor(node)
    tensor._grad, tensor.base = Tensor(node), Tensor(node)
    pair = (sign, node)
    x = np.zeros((3, 5), np.float32)
    fields = object.__basicsize__
    found = Layout(
        kind=_place(x, id(np.ndarray)),
        number=_place(0.1, int(np.float64(0.1).view(np.int64))),
        items=_place(pair, id(sign), 2 * _WORD),
        length=_place(pair, 2),
        content=_place(CellType(sign), id(sign)),
        list_items=_list_items(),
        dict_length=_place(dict.fromkeys("abcdefg"), 7),
        node=_place(tensor, id(node)),
        gradient=_place(tensor, id(tensor._grad)),
        base=_place(tensor, id(tensor.base)),
        value=_place(node, id(sign)),
        tracked=_place(node, id(node.requires_grad)),
        data=_place(x, x.__array_interface__["data"][0]),
        ndim=fields + _WORD,
        sizes=fields + 2 * _WORD,
        dtype=_place(x, id(np.dtype(np.float32))),
        flags=fields + 6 * _WORD,
    )
    _check_array(found, x)
    _check_array(found, np.zeros((2, 3, 4), np.int8)[:, 1:])
    _check_array(found, np.zeros(()))
    empty = leaf(x)
    if word_at(id(empty) + found.tracked) != id(False) or word_at(id(CellType()) + found.content):
        raise LookupError("requires_grad")
    return found


def _place(x: Any, target: int, more: int = 0) -> int:
    """Where in an object a word stands."""
    size = type(x).__basicsize__ + more
    for offset in range(_WORD, size - _WORD + 1, _WORD):
        if word_at(id(x) + offset) == target:
            return offset
    raise LookupError(f"{type(x).__name__}")


def _list_items() -> int:
    """Where a list has the address of its first item."""
    x = [object() for _ in range(5)]
    length = _place(x, 5)
    for offset in range(length + _WORD, list.__basicsize__, _WORD):
        begin = word_at(id(x) + offset)
        if begin > 4096 and [word_at(begin + _WORD * i) for i in range(5)] == [*map(id, x)]:
            return offset
    raise LookupError("list")


def word_at(address: int) -> int:
    """The word that stands at an address."""
    return ctypes.c_size_t.from_address(address).value


def _check_array(found: Layout, x: np.ndarray) -> None:
    sizes = word_at(id(x) + found.sizes)
    told = [
        ctypes.c_int32.from_address(id(x) + found.ndim).value,
        [word_at(sizes + _WORD * i) for i in range(x.ndim)],
        ctypes.c_int32.from_address(id(x) + found.flags).value,
        word_at(id(x) + found.dtype),
        word_at(id(x) + found.data),
    ]
    data = x.__array_interface__["data"][0]
    if told != [x.ndim, list(x.shape), x.flags.num, id(np.dtype(x.dtype.type)), data]:
        raise LookupError("array")


def address_of(array: np.ndarray) -> int:
    """Where an array's elements begin."""
    found = layout()
    if found is None or type(array) is not np.ndarray:
        return array.__array_interface__["data"][0]
    return word_at(id(array) + found.data)


# -- the type --------------------------------------------------------------------------------------


class Member(ctypes.Structure):
    """CPython's PyMemberDef: an attribute at an offset."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Slot(ctypes.Structure):
    """CPython's PyType_Slot: a function of a type."""

    _fields_ = [("slot", ctypes.c_int), ("value", ctypes.c_void_p)]


class Spec(ctypes.Structure):
    """CPython's PyType_Spec: what a type is made from."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(Slot)),
    ]


@dataclass(frozen=True)
class NativeType:
    """A subtype whose objects hold two more words: the function called, and its plan."""

    type: Any
    offset: int
    members: Iterable[Any]  # memory that the type refers to

    def point(self, x: Any, function: int, plan: int) -> None:
        """Let calls of `x` go to `function`, which finds `plan` in the object."""
        ctypes.c_size_t.from_address(id(x) + self.offset + _WORD).value = plan
        ctypes.c_size_t.from_address(id(x) + self.offset).value = function


@cache
def native_type(base: type) -> NativeType | None:
    """A subtype of `base` whose calls can be native; until they are, `__call__` is called."""
    if layout() is None:
        return None
    api, offset = ctypes.pythonapi, base.__basicsize__
    members = (Member * 2)(Member(b"__vectorcalloffset__", _SIZE_MEMBER, offset, _READ_ONLY))
    slots = (Slot * 2)(Slot(_MEMBERS, ctypes.addressof(members)))
    name = f"{base.__module__}.{base.__qualname__}".encode()
    spec = Spec(name, offset + 2 * _WORD, 0, _HAS_VECTORCALL, slots)
    make = api.PyType_FromSpecWithBases
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object]
    made = make(ctypes.addressof(spec), (base,))
    made.__doc__ = base.__doc__
    if made.__basicsize__ != offset + 2 * _WORD or made.__call__ is not base.__call__:
        return None
    return NativeType(made, offset, (members, slots, spec))
