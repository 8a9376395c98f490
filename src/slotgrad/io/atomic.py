"""Writing a file so that it is there as a whole or not at all.  Imports nothing of the package."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat


def write_atomically(path: str, data: bytes) -> None:
    """Put `data` into the file `path`, or raise OSError and leave what was there before.

    Writes a temporary file beside it, syncs it to the disk, renames it over `path` and syncs
    the directory, so that not even a power failure leaves a part of the file.  The temporary
    file is removed on failure.  A file that is replaced keeps its permissions, and one behind
    a symbolic link stays where it is.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(beside, flags, 0o666)  # less what the umask takes away
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
