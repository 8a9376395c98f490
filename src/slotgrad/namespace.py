"""What the library tells about itself, as the Array API standard asks.

>>> info = NamespaceInfo()
>>> info.default_dtypes()["real floating"], info.devices()
(dtype('float32'), ['cpu'])

May import dtypes and errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import (
    NAMED,
    bfloat16,
    default_complex,
    default_float,
    default_int,
    float16,
    isdtype,
)
from .errors import OptionError

CPU = "cpu"


class NamespaceInfo:
    """Devices, dtypes and limits: what `sg.__array_namespace_info__()` returns."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves open: masks as indices, shapes that depend on values."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Always "cpu"."""
        return CPU

    def devices(self) -> list[str]:
        """The devices that tensors can be on."""
        return [CPU]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """The dtypes of what is made without one, by kind."""
        check_device(device, "default_dtypes")
        return {
            "real floating": default_float,
            "complex floating": default_complex,
            "integral": default_int,
            "indexing": default_int,
        }

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype]:
        """The standard's dtypes by name: all, or those of a kind (see `isdtype`)."""
        check_device(device, "dtypes")
        standard = {n: d for n, d in NAMED.items() if d not in (float16, bfloat16)}
        return {n: d for n, d in standard.items() if kind is None or isdtype(d, kind)}


def check_device(device: Any, op: str) -> None:
    """Raise unless the device is the one there is, or None."""
    if device is not None and device != CPU:
        raise OptionError(f"{op}: got device={device!r}; expected 'cpu' or None")
