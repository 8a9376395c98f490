"""`save`, `load` and `read_metadata`: safetensors files.  May import the floor.

The format: an 8-byte header length, a JSON header, the data; see
https://github.com/huggingface/safetensors.  Any reader of the format finds the tensors under
their paths; what the format cannot say stands in its metadata, under the key "slotgrad".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FileError, OptionError, UsageError
from ..tensor import Tensor, tensor
from .atomic import write_atomically
from .layout import flatten, unflatten

_KEY = "slotgrad"
_FORMAT = 1
_DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64,
    "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (a PyTorch .pt or NumPy .npz file?)",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x02": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file itself with `git lfs pull`)",
}


def save(tree: Any, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a safetensors file, as a whole or not at all.

    tree       a Module, an Optimizer, a state dict, or dicts (keys: str or int), lists and
               tuples of these, of tensors, arrays, numbers, strings and None
    path       the file; one that is there is replaced only when the new one is complete
    metadata   strings to keep with it, for `read_metadata`

    Raises FileError if the file cannot be written; UsageError, or DTypeError for complex
    numbers, if the tree cannot be saved.

    >>> import slotgrad as sg, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.save({"w": sg.tensor([1.0, 2.0]), "epoch": 3}, f"{folder}/a.safetensors")
    ...     sg.load(f"{folder}/a.safetensors")
    {'w': tensor([1., 2.]), 'epoch': 3}
    """
    path = os.fspath(path)
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str) or key == _KEY:
            raise OptionError(
                f"save: got metadata {key!r}: {value!r}; expected strings, and a key other than"
                f" {_KEY!r}"
            )
    arrays, described = flatten(tree)
    note = json.dumps({"format": _FORMAT, "tree": described})
    data = safetensors.numpy.save(arrays, {**(metadata or {}), _KEY: note})
    try:
        write_atomically(path, data)
    except OSError as error:
        raise FileError(
            f"save: cannot write {path}: {error.strerror or error}; what was there before is"
            " untouched; check that the folder exists, may be written to and has room for"
            f" {len(data)} bytes"
        ) from error


def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """Read what `save` wrote, or the dict of tensors in any other safetensors file.

    into   a Module or an Optimizer: its `load_state_dict` gets what was read, and it is
           returned

    Tensors come back without gradients; arrays come back as tensors, Modules and Optimizers
    as their state dicts.  Raises FileError if the file is missing, truncated or something
    else, StateError if it does not fit `into`; in both cases nothing has been loaded.

    >>> import slotgrad as sg, tempfile
    >>> model = sg.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.save(model, f"{folder}/a.safetensors")
    ...     other = sg.load(f"{folder}/a.safetensors", into=sg.nn.Linear(2, 1))
    >>> bool((other.weight == model.weight).all())
    True
    """
    if into is not None and not hasattr(into, "load_state_dict"):
        raise UsageError(
            f"load: got a {type(into).__name__} as into; expected an object with"
            " load_state_dict(), such as a Module or an Optimizer"
        )
    path = os.fspath(path)
    header, tensors = _read(path)
    note = header.get(_KEY)
    loaded = tensors if note is None else _restored(note, tensors, path)
    if into is None:
        return loaded
    into.load_state_dict(loaded)
    return into


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that were saved with a file.  Raises FileError as `load` does.

    >>> import slotgrad as sg, tempfile
    >>> from slotgrad.io import read_metadata
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.save([], f"{folder}/a.safetensors", metadata={"classes": "10"})
    ...     read_metadata(f"{folder}/a.safetensors")
    {'classes': '10'}
    """
    return {k: v for k, v in _read(os.fspath(path))[0].items() if k != _KEY}


# -- reading -------------------------------------------------------------------------------------


def _read(path: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a file, which is read whole and checked first."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise FileError(f"load: there is no file {path}; check the path") from error
    except IsADirectoryError as error:
        raise FileError(f"load: {path} is a folder; expected a safetensors file in it") from error
    except OSError as error:
        raise FileError(f"load: cannot read {path}: {error.strerror or error}") from error
    try:
        entries = safetensors.deserialize(data)
        metadata = _header(data).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError) as error:
        raise FileError(f"load: {path} is {_what(data, error)}; nothing was loaded") from error
    return metadata, {name: _tensor(name, entry, path) for name, entry in entries}


def _tensor(name: str, entry: Mapping[str, Any], path: str) -> Tensor:
    if entry["dtype"] not in _DTYPES:
        raise FileError(
            f"load: {path} holds {name!r} of dtype {entry['dtype']}; slotgrad reads"
            f" {', '.join(_DTYPES)}; convert it with the program that wrote the file"
        )
    values = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
    if values.dtype == np.bool_:  # a byte other than 0 and 1 would make a third truth value
        values = values.view(np.uint8) != 0
    try:
        return tensor(values.reshape(entry["shape"]))
    except ValueError as error:  # an empty array with sizes that NumPy cannot count
        raise FileError(
            f"load: {path} holds {name!r} of shape {entry['shape']}, which is too large ({error})"
        ) from error


def _restored(note: str, tensors: Mapping[str, Tensor], path: str) -> Any:
    """The tree that the file was made from."""
    try:
        described = json.loads(note)
        if described["format"] == _FORMAT:
            return unflatten(described["tree"], tensors)
        found = f"is of format {described['format']!r}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"has a damaged description ({type(error).__name__}: {error})"
    raise FileError(
        f"load: {path} {found}; expected format {_FORMAT}, as sg.save of this version writes it;"
        " save it again, or read it with safetensors.numpy.load_file"
    )


def _header(data: bytes) -> dict[str, Any]:
    """The JSON header; ValueError if there is none."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 + length or length < 2:
        raise ValueError("no header")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    return header


def _what(data: bytes, error: Exception) -> str:
    """What a file that is not a whole safetensors file seems to be, and what to do."""
    again = "copy or download it again, or save it again"
    if not data:
        return f"empty (0 bytes); {again}"
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return f"{kind}, not a safetensors file; expected one that sg.save wrote"
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        if len(data) < 8 or data[8:10] in (b"", b"{", b'{"'):
            announced = f", its header alone should have {length}" if len(data) >= 8 else ""
            return f"truncated: it has {len(data)} bytes{announced}; {again}"
    elif (expected := _announced(data, length)) > len(data):
        return f"truncated: it has {len(data)} of {expected} bytes; {again}"
    return (
        f"not a safetensors file ({error}): it has {len(data)} bytes and begins with"
        f" {data[:8]!r}; expected one that sg.save wrote"
    )


def _announced(data: bytes, length: int) -> int:
    """The size that the header says the file has; 0 if it cannot be read."""
    try:
        entries = [v for k, v in _header(data).items() if k != "__metadata__"]
        return 8 + length + max((int(entry["data_offsets"][1]) for entry in entries), default=0)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return 0
