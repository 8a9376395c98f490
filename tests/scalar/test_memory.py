"""How much memory recording takes, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="Linux tells what a process took")

SCRIPT = """
import re, sys
import slotgrad as sg

def taken():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

def held(x, y):
    return [x * y for _ in range(COUNT)]

def dropped(x, y):
    for _ in range(COUNT):
        x = x * y
    return x

COUNT = 10**6
storage = sg.ValueStorage()
x, y = sg.Variable(storage), sg.Variable(storage)
before = taken()
made = globals()[sys.argv[1]](x, y)
assert len(storage) == COUNT + 2
print((taken() - before) / COUNT)
"""


@pytest.mark.parametrize("variables, most", [("held", 64), ("dropped", 24)])
def test_bytes_of_a_node(variables, most):
    """Columns take 17; what a program holds on to takes 32 more, and 8 in its list."""
    command = [sys.executable, "-c", SCRIPT, variables]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 10 < float(child.stdout) < most
