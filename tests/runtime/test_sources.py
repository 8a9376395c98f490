"""The digest of the sources: another one for every edit, none where it would not tell."""

from __future__ import annotations

import shutil
import time

import pytest

from slotgrad.runtime.sources import PARTS, ROOT, digest


@pytest.fixture
def copy(tmp_path):
    """The package's sources."""
    return shutil.copytree(ROOT, tmp_path / "slotgrad", ignore=lambda *_: ["__pycache__"])


def test_copies_have_one_digest(copy):
    assert digest(copy, time.time()) == digest(ROOT, time.time())


@pytest.mark.parametrize("part", PARTS)
def test_an_edit_gives_another(copy, part):
    before = digest(copy, time.time())
    edited = sorted((copy / part).glob("*.py"))[-1]
    edited.write_text(edited.read_text() + "\n")
    assert digest(copy, time.time()) != before


def test_a_new_file_gives_another(copy):
    before = digest(copy, time.time())
    (copy / "targets" / "new.py").touch()
    assert digest(copy, time.time()) != before


def test_sources_that_changed_after_they_were_loaded_tell_nothing(copy):
    loaded = time.time()
    time.sleep(0.05)  # clocks of file systems are coarse
    (copy / "targets" / "llvm.py").touch()
    assert digest(copy, loaded) is None


def test_no_sources_tell_nothing(copy):
    for path in (copy / "targets").glob("*.py"):
        path.rename(path.with_suffix(".pyc"))
    assert digest(copy, time.time()) is None
