"""How much memory recording takes, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="this system does not tell what a process takes")

SCRIPT = """
import resource, sys
import slotgrad as sg

def taken():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

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
