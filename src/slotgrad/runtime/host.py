"""What the processor offers: its name for LLVM, the width of its vectors, its cores.

`host()` describes this machine.  A `Host` made by hand lets one emit for another:

>>> haswell = Host("haswell", vector_bytes=32, has_fma=True)
>>> haswell.lanes("float32"), haswell.lanes("float64")
(8, 4)

May import llvmlite.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np


@dataclass(frozen=True, slots=True)
class Host:
    """A processor, as far as the code emitted for it depends on it.

    name          LLVM's name of it: "znver5", "haswell", "x86-64", "apple-m1"
    features      LLVM's list of features, "+avx2,-sse4a,..."; "" for those that go with the name
    vector_bytes  64 (AVX-512), 32 (AVX2) or 16 (SSE2, NEON)
    has_fma       a * b + c with one rounding in one instruction; else LLVM would call a function
    has_half      the same for conversions of float16
    cores         cores that this process may use
    triple        architecture, vendor and system: "x86_64-unknown-linux-gnu"
    """

    name: str
    features: str = ""
    vector_bytes: int = 16
    has_fma: bool = False
    has_half: bool = False
    cores: int = 1
    triple: str = "x86_64-unknown-linux-gnu"

    def lanes(self, dtype: Any) -> int:
        """How many elements of this dtype one vector register holds."""
        return self.vector_bytes // np.dtype(dtype).itemsize

    @property
    def processor(self) -> tuple[str, str, str]:
        """What LLVM is told: code runs wherever this is the same, however wide its vectors."""
        return self.triple, self.name, self.features

    @property
    def masks(self) -> bool:
        """Whether masked loads and stores of every element size cost what plain ones do."""
        return self.vector_bytes == 64


@cache
def host() -> Host:
    """This machine."""
    triple = llvm.get_process_triple()
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on some systems; the name implies the usual ones
        features = llvm.FeatureMap()
    arm = triple.startswith(("aarch64", "arm64"))
    return Host(
        name=llvm.get_host_cpu_name(),
        features=features.flatten(),
        vector_bytes=_vector_bytes(features),
        has_fma=arm or features.get("fma", False),
        has_half=arm or features.get("f16c", False),
        cores=_cores(),
        triple=triple,
    )


def _vector_bytes(features: dict[str, bool]) -> int:
    # All four: Knights Landing has avx512f alone, without masks for bytes and words.
    if all(features.get(f"avx512{part}") for part in ("f", "bw", "dq", "vl")):
        return 64
    return 32 if features.get("avx2") else 16


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
