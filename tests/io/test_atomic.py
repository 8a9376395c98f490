import os
import stat

import pytest

from slotgrad.io.atomic import write_atomically


def test_a_file_is_written_and_replaced(tmp_path):
    path = str(tmp_path / "a")
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert (tmp_path / "a").read_bytes() == b"two" and os.listdir(tmp_path) == ["a"]


def test_the_order_of_the_steps(tmp_path, monkeypatch):
    steps = []

    def noted(name):
        real = getattr(os, name)

        def call(*args):
            steps.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, call)

    noted("fsync")
    noted("replace")
    write_atomically(str(tmp_path / "a"), b"data")
    assert steps == ["fsync", "replace", "fsync"]  # the file, the rename, the folder


def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path):
    path = tmp_path / "a"
    before = os.umask(0o027)
    try:
        write_atomically(str(path), b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    write_atomically(str(path), b"two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_symbolic_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a", tmp_path / "link"
    target.write_bytes(b"one")
    link.symlink_to(target)
    write_atomically(str(link), b"two")
    assert link.is_symlink() and target.read_bytes() == b"two"
    assert os.listdir(tmp_path / "there") == ["a"]


def test_a_relative_path_and_a_long_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "n" * 250
    write_atomically(name, b"data")
    assert os.listdir() == [name]


def test_a_failure_is_raised_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(str(tmp_path / "a"), b"data")
    assert os.listdir(tmp_path) == []
