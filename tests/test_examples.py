"""The programs in examples/: each runs as a user would run it, and what it prints is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import rosen

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"(-?[\d.]+(?:e[-+]?\d+)?)"


def printed(name: str, *arguments: object) -> str:
    """What a program prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers that stand for # in a pattern, at all places where it is found."""
    found = re.findall(pattern.replace("#", NUMBER), text)
    assert found, f"{pattern!r} is not in\n{text}"
    return [float(x) for match in found for x in ([match] if isinstance(match, str) else match)]


def test_moons_learns_the_same_both_ways(tmp_path):
    picture = tmp_path / "moons.png"
    text = printed("moons.py", "--samples", 60, "--steps", 60, "--plot", picture)
    by_value, by_variable = numbers("accuracy #", text)
    assert by_value > 0.95
    assert by_variable > 0.95
    first, last, compiled_first, compiled_last = numbers("loss # -> #", text)
    assert last < first / 5
    assert (compiled_first, compiled_last) == pytest.approx((first, last), abs=2e-4)
    assert all(time > 0 for time in numbers("# us per step", text))
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("joints", [3, 4, 5, 6])
def test_robot_arm_reaches_its_targets(joints):
    text = printed("robot_arm.py", "--joints", joints, "--targets", 4, "--tolerance", 1e-7)
    assert numbers("largest error #", text)[0] < 1e-6
    assert numbers("# us per step", text)[0] > 0
    rows = re.findall(r"\((.*),(.*)\).*angles (.*)", text)
    assert len(rows) == 4
    for x, y, angles in rows:
        hand, direction = 0j, 0.0
        for angle in map(float, angles.split()):
            assert abs(angle) <= 100.1
            direction += angle
            hand += rotated(direction) / joints
        assert hand == pytest.approx(complex(float(x), float(y)), abs=2e-3)


def rotated(degrees: float) -> complex:
    """The point on the unit circle."""
    return 1j ** (degrees / 90)


@pytest.mark.parametrize("variables", [2, 150, 1000])
def test_rosenbrock_ends_in_the_minimum(variables):
    text = printed("rosenbrock.py", "--variables", variables)
    first, last = numbers("f from # to #", text)
    start = np.random.default_rng(0).uniform(0, 2, variables)
    assert first == pytest.approx(rosen(start), abs=0.1)
    assert last < 1e-8
    assert numbers("largest .x - 1. #", text)[0] < 1e-4
    assert numbers("# us per evaluation", text)[0] > 0
