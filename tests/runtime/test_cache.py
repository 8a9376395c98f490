"""Objects on disk: what was stored comes back, or nothing does; nothing raises."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from slotgrad.runtime import cache as disk
from slotgrad.runtime.cache import Cache, key


def names(directory):
    return sorted(os.listdir(directory))


def test_stores_and_loads(tmp_path):
    cache = Cache(tmp_path / "new" / "directory")
    assert cache.load("a") is None
    cache.store("a", b"code")
    cache.store("b", b"")
    assert cache.load("a") == b"code"
    assert cache.load("b") == b""
    cache.store("a", b"newer")
    assert cache.load("a") == b"newer"
    assert names(cache.directory) == ["a.object", "b.object"]


def test_key_separates_its_parts():
    assert key("a", "bc") == key("a", "bc")
    assert len({key("a", "bc"), key("ab", "c"), key("abc"), key("abc", "")}) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: content + b"x",
        lambda content: content[:40] + b"?" + content[41:],
        lambda content: b"?" + content[1:],
    ],
)
def test_a_damaged_entry_is_a_miss(tmp_path, damage):
    cache = Cache(tmp_path)
    cache.store("a", b"0123456789" * 10)
    path = tmp_path / "a.object"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load("a") is None
    assert names(tmp_path) == []
    cache.store("a", b"again")
    assert cache.load("a") == b"again"


def test_the_oldest_entries_go(tmp_path):
    cache = Cache(tmp_path, limit=10_000)
    for i in range(20):
        cache.store(f"{i:02}", bytes(900))
        stamp = time.time() - 1000 + i
        if (tmp_path / f"{i:02}.object").exists():
            os.utime(tmp_path / f"{i:02}.object", (stamp, stamp))
        cache.load("00")  # what is used stays
    left = names(tmp_path)
    assert cache.info().size <= cache.limit + cache.limit // 16
    assert "00.object" in left and "19.object" in left and "01.object" not in left


def test_an_object_larger_than_the_cache_is_not_kept(tmp_path):
    cache = Cache(tmp_path, limit=100)
    cache.store("a", bytes(101))
    assert names(tmp_path) == []


def test_info_and_clear(tmp_path):
    cache = Cache(tmp_path)
    (tmp_path / "note.txt").write_text("not ours")
    cache.store("a", bytes(100))
    info = cache.info()
    assert (info.directory, info.entries, info.limit) == (tmp_path, 1, disk.DEFAULT_LIMIT)
    assert info.size > 100
    cache.clear()
    assert cache.info().entries == 0
    assert names(tmp_path) == ["note.txt"]


def test_abandoned_temporary_files_go(tmp_path):
    (tmp_path / "x.unfinished").write_bytes(b"")
    os.utime(tmp_path / "x.unfinished", (0, 0))
    (tmp_path / "y.unfinished").write_bytes(b"")  # perhaps being written
    Cache(tmp_path, limit=1000).store("a", bytes(100))
    assert names(tmp_path) == ["a.object", "y.unfinished"]


def test_a_full_directory_is_rarely_looked_at(tmp_path, monkeypatch):
    looks = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda directory: looks.append(directory) or scan(directory))
    for i in range(400):  # 50 bytes on disk each, of which 200 entries fit
        Cache(tmp_path, limit=10_000).store(f"{i}", bytes(18))
    assert 5 <= len(looks) <= 80  # 32 on average
    looks.clear()
    cache = Cache(tmp_path, limit=10_000)
    for i in range(400, 800):
        cache.store(f"{i}", bytes(18))
    assert 25 <= len(looks) <= 40
    assert cache.info().size <= 10_000 + 10_000 // 16


def test_no_directory_means_no_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for directory in (None, tmp_path / "file", tmp_path / "file" / "below"):
        cache = Cache(directory)
        cache.store("a", b"code")
        assert cache.load("a") is None
        assert cache.info().entries == 0
        cache.clear()


def test_a_full_disk_means_no_cache(tmp_path, monkeypatch):
    def replace(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "replace", replace)
    cache = Cache(tmp_path)
    cache.store("a", b"code")
    assert cache.load("a") is None
    assert names(tmp_path) == []


def test_an_interrupted_store_leaves_nothing(tmp_path, monkeypatch):
    def replace(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(disk.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).store("a", b"code")
    assert names(tmp_path) == []


def test_default_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOTGRAD_CACHE", str(tmp_path / "own"))
    assert disk.info().directory == tmp_path / "own"
    for off in ("", "0"):
        monkeypatch.setenv("SLOTGRAD_CACHE", off)
        assert disk.info().directory is None
        disk.clear()
    monkeypatch.delenv("SLOTGRAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert disk.info().directory == tmp_path / "slotgrad"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert disk.info().directory == tmp_path / ".cache" / "slotgrad"


WRITER = """
import sys
from pathlib import Path
from slotgrad.runtime.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=60_000)
for i in range(300):
    name, data = str(i % 7), str(i % 7).encode() * 10_000
    cache.store(name, data)
    assert cache.load(name) in (None, data)
"""


def test_two_processes_write_at_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = Cache(tmp_path)
    found = [cache.load(str(i)) for i in range(7)]
    assert all(data is None or data == str(i).encode() * 10_000 for i, data in enumerate(found))
    assert not [name for name in names(tmp_path) if name.endswith(".unfinished")]
