"""Trees as a flat table of arrays and a description that leads back.  May import the floor.

The names in the table are the paths, joined by "."; what they cannot say (which containers, the
order, keys with a "." in them, plain numbers) stands in the description, which is JSON.

>>> import slotgrad as sg
>>> arrays, described = flatten({"layer": [sg.tensor([1.0])], "epoch": 3})
>>> list(arrays), described
(['layer.0'], {'dict': [['layer', {'list': ['layer.0']}], ['epoch', {'value': 3}]]})
>>> unflatten(described, {"layer.0": "the tensor"})
{'layer': ['the tensor'], 'epoch': 3}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DTypeError, UsageError
from ..tensor import Tensor, tensor

_RESERVED = "__metadata__"  # the key under which the format keeps something else


def flatten(tree: Any) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of a tree by name, and its description.

    tree   dicts (keys: str or int), lists and tuples of tensors, arrays, numbers, strings and
           None; an object with `state_dict()` stands for what that returns
    """
    arrays: dict[str, np.ndarray] = {}

    def walk(x: Any, path: tuple[str, ...], inside: tuple[int, ...]) -> Any:
        where = ".".join(path)
        if isinstance(x, (Tensor, np.ndarray)):
            name = _free_name(where or "tensor", arrays)
            arrays[name] = _savable(x, name)
            return name
        if x is None:
            return None
        if isinstance(x, (bool, int, float, str)) and not isinstance(x, np.generic):
            return {"value": x}
        if id(x) in inside:
            raise UsageError(f"save: the tree contains itself at {where!r}")
        inside = (*inside, id(x))
        if hasattr(x, "state_dict") and not isinstance(x, type):
            return walk(x.state_dict(), path, inside)
        if isinstance(x, Mapping):
            items = [(_key(k, where), v) for k, v in x.items()]
            return {"dict": [[k, walk(v, (*path, str(k)), inside)] for k, v in items]}
        if type(x) in (list, tuple):
            children = [walk(v, (*path, str(i)), inside) for i, v in enumerate(x)]
            return {type(x).__name__: children}
        raise UsageError(
            f"save: got a {type(x).__name__} at {where or 'the top'!r}; expected tensors, numbers,"
            " strings or None in dicts, lists and tuples, or an object with state_dict()"
        )

    return arrays, walk(tree, (), ())


def unflatten(described: Any, arrays: Mapping[str, Any]) -> Any:
    """The tree again; ValueError, KeyError or TypeError for what `flatten` cannot have made."""
    if described is None:
        return None
    if isinstance(described, str):
        return arrays[described]
    ((kind, content),) = described.items()
    match kind:
        case "value":
            return content
        case "dict":
            return {key: unflatten(child, arrays) for key, child in content}
        case "list":
            return [unflatten(child, arrays) for child in content]
        case "tuple":
            return tuple(unflatten(child, arrays) for child in content)
    raise ValueError(f"unknown container {kind!r}")


def _key(key: Any, where: str) -> str | int:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise UsageError(
            f"save: got the key {key!r} in the dict at {where or 'the top'!r}; expected a str or"
            " an int"
        )
    return key


def _free_name(wanted: str, taken: Mapping[str, Any]) -> str:
    """`wanted`, or with a number behind it if another path reads the same."""
    name, count = wanted, 1
    while name in taken or name == _RESERVED:
        count += 1
        name = f"{wanted}~{count}"
    return name


def _savable(x: Tensor | np.ndarray, name: str) -> np.ndarray:
    """The array in C order (one without axes stays so), of a dtype that the format has."""
    array = np.asarray(tensor(x).numpy(), order="C")
    if array.dtype.kind == "c":
        raise DTypeError(
            f"save: got dtype {array.dtype} at {name!r}; safetensors files hold no complex"
            " numbers, save x.numpy().real and x.numpy().imag"
        )
    return array
