"""Settings of all tests, and what several files of them use.

Hypothesis draws the same examples each time, so that a run can be had again; with SLOTGRAD_FUZZ
set, as `make soak` does, it looks for new ones.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", deadline=None)
settings.load_profile("new" if os.environ.get("SLOTGRAD_FUZZ") else "same")


@pytest.fixture
def garbage_of():
    """How many objects a call leaves to the garbage collector."""

    def count(call):
        gc.collect()
        call()
        return gc.collect()

    gc.disable()
    yield lambda call: min(count(call) for _ in range(5))  # other threads leave some, now and then
    gc.enable()
