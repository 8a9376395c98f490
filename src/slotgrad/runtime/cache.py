"""Compiled objects on disk, so that a second process need not compile.

    $SLOTGRAD_CACHE, or $XDG_CACHE_HOME/slotgrad, or ~/.cache/slotgrad
        <key>.object     digest of the rest, then the object; written whole, by renaming

`SLOTGRAD_CACHE=0` (or empty) switches it off.  Nothing here raises for what the disk does: where
it is full or may not be written there is no cache, and a damaged entry is a miss.

>>> import tempfile
>>> cache = Cache(Path(tempfile.mkdtemp()))
>>> cache.store("00ff", b"code")
>>> cache.load("00ff"), cache.load("abcd"), cache.info().entries
(b'code', None, 1)

May import nothing of the package.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DEFAULT_LIMIT = 256 << 20  # bytes
_SUFFIX, _UNFINISHED = ".object", ".unfinished"
_ABANDONED = 3600.0  # seconds after which the writer of an unfinished file must have died


def key(*parts: str) -> str:
    """The name of an entry: a digest of all that the object depends on.

    >>> key("ab", "c") != key("a", "bc")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache holds: its directory (None: switched off), entries, bytes and their limit."""

    directory: Path | None
    entries: int
    size: int
    limit: int


class Cache:
    """A directory of objects, `limit` bytes at most, or 1/16 more for each process that is writing.

    The object that was not used for longest goes first.
    """

    def __init__(self, directory: Path | None, limit: int = DEFAULT_LIMIT) -> None:
        self.directory = directory
        self.limit = limit
        # Looking at every file at every store would cost more than the store: bytes that may still
        # be written before the next look.  By chance in the beginning: many processes that write
        # little together look as often as one that writes much.
        self._unwatched = int.from_bytes(os.urandom(8), "little") % (self._share + 1)

    @property
    def _share(self) -> int:
        """What a look leaves free, and how much a process then writes before the next one."""
        return self.limit // 16

    def load(self, key: str) -> bytes | None:
        """The object stored under a key; None if there is none, or not as it was stored."""
        if self.directory is None:
            return None
        path = self.directory / (key + _SUFFIX)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        size = hashlib.sha256().digest_size
        data = content[size:]
        if hashlib.sha256(data).digest() != content[:size]:
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # file systems do not all record when a file is read
        return data

    def store(self, key: str, data: bytes) -> None:
        """Keep an object under a key, if the disk lets us."""
        if self.directory is None or len(data) > self.limit:
            return
        content = hashlib.sha256(data).digest() + data
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.directory, suffix=_UNFINISHED, delete=False
            ) as file:
                path = Path(file.name)
                try:
                    file.write(content)
                    file.close()  # Windows does not rename an open file
                    os.replace(path, self.directory / (key + _SUFFIX))
                except BaseException:  # Ctrl-C too: leave nothing behind
                    file.close()
                    _remove(path)
                    raise
        except OSError:
            return
        self._unwatched -= len(content)
        if self._unwatched < 0:
            self._evict()

    def clear(self) -> None:
        """Remove every entry."""
        for _, _, path in self._entries():
            _remove(path)

    def info(self) -> CacheInfo:
        """How much there is."""
        entries = self._entries()
        return CacheInfo(self.directory, len(entries), sum(e[1] for e in entries), self.limit)

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of every entry, the one not used for longest first."""
        found = []
        try:
            files = list(os.scandir(self.directory)) if self.directory else []
        except OSError:
            files = []
        for file in files:
            try:
                status = file.stat()
            except OSError:  # another process removed it just now
                continue
            if file.name.endswith(_SUFFIX):
                found.append((status.st_mtime, status.st_size, Path(file.path)))
            elif file.name.endswith(_UNFINISHED) and status.st_mtime < time.time() - _ABANDONED:
                _remove(Path(file.path))
        return sorted(found)

    def _evict(self) -> None:
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit - self._share:
                break
            _remove(path)
            total -= size
        self._unwatched = self._share


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _default_directory() -> Path | None:
    named = os.environ.get("SLOTGRAD_CACHE")
    if named is not None:
        return None if named in ("", "0") else Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "slotgrad"
    except RuntimeError:  # a user without a home
        return None


@lru_cache(maxsize=8)
def _cache_in(directory: Path | None) -> Cache:
    return Cache(directory)


def default() -> Cache:
    """The cache that the environment names now."""
    return _cache_in(_default_directory())


def clear() -> None:
    """Remove every entry of the default cache."""
    default().clear()


def info() -> CacheInfo:
    """How much the default cache holds."""
    return default().info()
