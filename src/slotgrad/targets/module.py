"""A module: LLVM text in the making, functions and what they declare.

May import, for its types, runtime.host.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..runtime.host import Host

_FUNCTION = re.compile(r"^define [^\n]*?@([\w.]+)\(.*?^}\n", re.MULTILINE | re.DOTALL)


class Module:
    """LLVM text in the making: declarations, then functions, each once."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._declarations: dict[str, None] = {}
        self._functions: dict[str, str] = {}

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join([*self._declarations, "", *self._functions.values()])

    def declare(self, signature: str) -> None:
        """Name a function that exists elsewhere."""
        self._declarations[f"declare {signature}"] = None

    def define(self, name: str, write: Callable[[], str]) -> None:
        """Add a function, unless there is one of this name."""
        if name not in self._functions:
            self._functions[name] = write()

    @property
    def length(self) -> int:
        """Characters of the functions."""
        return sum(map(len, self._functions.values()))

    def add(self, other: Module) -> None:
        """Take in another module."""
        self._declarations |= other._declarations
        self._functions = {**other._functions, **self._functions}

    def take(self, text: str) -> None:
        """Add the functions of a text, each unless there is one of its name."""
        for function in _FUNCTION.finditer(text):
            self._functions.setdefault(function[1], function[0])
