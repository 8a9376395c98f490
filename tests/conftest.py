"""Settings of all tests: Hypothesis draws the same examples each time, so that a run can be had
again; with SLOTGRAD_FUZZ set, as `make soak` does, it looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", deadline=None)
settings.load_profile("new" if os.environ.get("SLOTGRAD_FUZZ") else "same")
