"""A digest of the package's own sources, which stands for what they write.

From equal facts equal sources write equal texts, so a text need not be written to find its object
on disk.  A text that depends on anything else, such as a constant that is changed while the process
runs, must not be looked for in this way.  May import config.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from ..config import LOADED

ROOT = Path(__file__).parents[1]
PARTS = ("", "graph", "ops", "kernel", "targets", "runtime")  # what the writers of texts may import


@cache
def sources() -> str | None:
    """The digest; None where the sources cannot tell what the code that runs would write.

    They cannot if they are not there to be read (in an archive, or compiled ahead), or have changed
    since they were loaded.
    """
    try:
        return digest(ROOT, LOADED)
    except OSError:
        return None


def digest(root: Path, loaded: float) -> str | None:
    """The digest of the sources below `root`; None if one is newer than `loaded`."""
    found = hashlib.sha256()
    for part in PARTS:
        directory = os.path.join(root, part)
        names = sorted(name for name in os.listdir(directory) if name.endswith(".py"))
        if not names:
            return None
        for name in names:
            with open(os.path.join(directory, name), "rb", buffering=0) as file:
                status, text = os.fstat(file.fileno()), file.read()
            if max(status.st_mtime, status.st_ctime) > loaded:
                return None
            found.update(f"{part}/{name} {len(text)}\n".encode())
            found.update(text)
    return found.hexdigest()
