"""A planar robot arm reaches for points on a circle: inverse kinematics by gradient descent.

The cost is the squared distance of the hand from the target, written as a loop over the joints,
and a penalty where a joint turns beyond its limit.  Angles and target are variables, so the one
formula that was recorded and compiled serves all targets; each begins where the last one ended.

    python examples/robot_arm.py --joints 4 --targets 8
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from slotgrad import ValueStorage, Variable


class Arm:
    """Links of equal lengths, 1 together, each turned against the one before it.

    joints   how many
    limit    how far each may turn either way, in radians
    """

    def __init__(self, joints: int, limit: float) -> None:
        self.storage = ValueStorage()
        angles = [Variable(self.storage, f"angle{i}", 0.1) for i in range(joints)]
        target = [Variable(self.storage, f"target_{axis}") for axis in "xy"]
        self.angles, self.target = map(self.storage.group, (angles, target))
        x, y, direction, beyond = 0.0, 0.0, 0.0, 0.0
        for angle in angles:
            direction = direction + angle
            x = x + direction.cos() / joints
            y = y + direction.sin() / joints
            beyond = beyond + (abs(angle) - limit).relu() ** 2
        self.squared_distance = (x - target[0]) ** 2 + (y - target[1]) ** 2
        self.cost = self.squared_distance + beyond
        self.storage.compile(self.cost, self.squared_distance)
        self.squared_distance.gradient = 0

    def step(self, learning_rate: float) -> float:
        """Turn the joints a little; the distance of the hand from the target before that."""
        self.storage.zero_gradients()
        self.cost.gradient = 1
        self.storage.forward()
        self.storage.backward()
        self.angles.gradient_step(learning_rate)
        return math.sqrt(self.squared_distance.value)


def main() -> None:
    """Follow the targets, print how near the hand came."""
    parser = argparse.ArgumentParser(description="Inverse kinematics of a planar arm.")
    parser.add_argument("--joints", type=int, default=4, choices=range(3, 7))
    parser.add_argument("--limit", type=float, default=100.0, help="of a joint, in degrees")
    parser.add_argument("--targets", type=int, default=8, help="points on the circle")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="length of the arm: 1")
    parser.add_argument("--steps", type=int, default=10_000, help="for each target, at most")
    options = parser.parse_args()

    arm = Arm(options.joints, math.radians(options.limit))
    largest, steps, begin = 0.0, 0, time.perf_counter()
    for k in range(options.targets):
        turn = 2 * math.pi * k / options.targets
        x, y = 0.5 + 0.25 * math.cos(turn), 0.3 + 0.25 * math.sin(turn)
        arm.target.values = x, y
        error, taken = math.inf, 0
        while error >= options.tolerance and taken < options.steps:
            error = arm.step(learning_rate=0.25)
            taken += 1
        steps += taken
        largest = max(largest, error)
        angles = " ".join(f"{angle:7.2f}" for angle in np.degrees(arm.angles.values))
        print(f"({x:6.3f}, {y:6.3f})  {taken:5} steps, error {error:.1e}, angles {angles}")
    seconds = time.perf_counter() - begin
    print(f"largest error {largest:.1e}, {steps} steps, {1e6 * seconds / steps:.1f} us per step")


if __name__ == "__main__":
    main()
