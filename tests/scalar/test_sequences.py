"""Calls in any order, against a model in Python that computes formulas one operation at a time."""

from __future__ import annotations

import math
import random
from functools import partial

import pytest

from slotgrad.errors import ChangedValueError, GradientError
from slotgrad.passes.lift_tape import lift_tape
from slotgrad.runtime.background import wait
from slotgrad.scalar import ReferenceVariable, ValueStorage, Variable, lifted, storage, tiers

# name: value, and derivatives, of an operation
RULES = {
    "add": (lambda x, y: x + y, lambda x, y: (1.0, 1.0)),
    "sub": (lambda x, y: x - y, lambda x, y: (1.0, -1.0)),
    "mul": (lambda x, y: x * y, lambda x, y: (y, x)),
    "tanh": (math.tanh, lambda x: (1 - math.tanh(x) ** 2,)),
    "sin": (math.sin, lambda x: (math.cos(x),)),
    "atan": (math.atan, lambda x: (1 / (1 + x * x),)),
}
NAMES = [*RULES, "custom", "reference"]


def squash(x):
    """A function that storage.apply calls."""
    return (x * x + 1).log()


SQUASH = (lambda x: math.log(x * x + 1), lambda x: (2 * x / (x * x + 1),))


class Model:
    """A storage, and what its variables must say."""

    def __init__(self, rng, python):
        self.rng = rng
        self.python = python  # whether operations that Python computes take part
        self.storage = ValueStorage()
        self.variables, self.operations = [], []  # None, or a name and places
        self.values, self.gradients = [], []
        self.targets, self.weights = {}, {}
        self.programs = {}  # by place of an output: its outputs
        self.last = None  # compiled
        self.forwarded = {}  # outputs: how often anything had changed then
        self.changes = 0
        for _ in range(3):
            self.leaf()

    def _enter(self, variable, operation, value):
        self.variables.append(variable)
        self.operations.append(operation)
        self.values.append(value)
        self.gradients.append(0.0)

    # -- what is called ------------------------------------------------------------------------

    def leaf(self):
        value = self.rng.uniform(-1, 1)
        self._enter(Variable(self.storage, value=value), None, value)

    def record(self):
        """Some operations."""
        for _ in range(self.rng.choice([1, 5, 30])):
            n = len(self.variables)
            name = self.rng.choice(NAMES if self.python and self.rng.random() < 0.1 else [*RULES])
            i, j = self.rng.randrange(n), self.rng.randrange(max(0, n - 5), n)
            x, y = self.variables[i], self.variables[j]
            if name == "reference":
                self._enter(ReferenceVariable(self.storage), (name, i), math.nan)
                self.targets[n] = None
                self.retarget(n)
            elif name == "custom":
                self._enter(self.storage.apply(squash, x), (name, i), math.nan)
            elif name in ("tanh", "sin", "atan"):
                self._enter(getattr(x, name)(), (name, i), math.nan)
            else:
                self._enter(getattr(x, name)(y), (name, i, j), math.nan)

    def retarget(self, at=None):
        if not self.targets:
            return
        at = self.rng.choice([*self.targets]) if at is None else at
        chosen = self.rng.randrange(at)
        self.variables[at].target = self.variables[chosen]
        self.targets[at] = chosen
        self.changes += 1

    def set_value(self):
        i, value = self.rng.choice(self._leaves()), self.rng.uniform(-1, 1)
        self.variables[i].value = self.values[i] = value
        self.changes += 1

    def set_values(self):
        chosen = self.rng.sample(self._leaves(), 2)
        self.storage.group(self.variables[i] for i in chosen).values = [0.5, -0.25]
        self.values[chosen[0]], self.values[chosen[1]] = 0.5, -0.25
        self.changes += 1

    def set_gradient(self):
        i = self.rng.choice(self._leaves())
        self.variables[i].gradient = self.gradients[i] = 0.125

    def step(self):
        chosen = self.rng.sample(self._leaves(), 2)
        self.storage.gradient_step(0.01, [self.variables[i] for i in chosen])
        for i in chosen:
            self.values[i] -= 0.01 * self.gradients[i]
        self.changes += 1

    def zero(self):
        self.storage.zero_gradients()
        self.gradients = [0.0] * len(self.gradients)
        self.weights = {}

    def compile(self):
        made = [i for i, operation in enumerate(self.operations) if operation]
        outputs = tuple(self.rng.sample(made, min(len(made), self.rng.choice([1, 1, 2, 3]))))
        if not outputs:
            return
        self.storage.compile(*(self.variables[i] for i in outputs))
        self.last = outputs
        self.programs.update(dict.fromkeys(outputs, outputs))
        self.forwarded.pop(outputs, None)

    def forward(self):
        if not self.programs:
            return
        output = self.rng.choice([*self.programs])
        self.variables[output].forward()
        outputs = self.programs[output]
        for i in self._needed(outputs):
            if operation := self.operations[i]:
                self.values[i] = self._rule(operation[0])[0](*self._operands(i))
        self.forwarded[outputs] = self.changes

    def weigh(self):
        if self.programs:
            i = self.rng.choice([*self.programs])
            weight = self.rng.choice([0.0, 1.0, self.rng.uniform(-2, 2)])
            self.variables[i].gradient = self.gradients[i] = self.weights[i] = weight

    def backward(self):
        if not self.programs:
            return
        output = self.rng.choice([*self.programs])
        outputs = self.programs[output]
        if self.forwarded.get(outputs) != self.changes:
            with pytest.raises(ChangedValueError, match="call forward"):
                self.variables[output].backward()
            return
        if not self.weights.keys() & set(outputs):
            with pytest.raises(GradientError, match=r"f\.gradient = 1"):
                self.variables[output].backward()
            return
        self.variables[output].backward()
        needed = self._needed(outputs)
        found = dict.fromkeys(needed, 0.0)
        found.update({i: self.weights.get(i, 0.0) for i in outputs})
        for i in reversed(needed):
            if operation := self.operations[i]:
                derivatives = self._rule(operation[0])[1](*self._operands(i))
                for operand, derivative in zip(self._sources(i), derivatives):
                    found[operand] += derivative * found[i]
        for i, g in found.items():
            self.gradients[i] = g if self.operations[i] else self.gradients[i] + g

    def read(self):
        """The values and gradients of some, in any order."""
        for i in self.rng.sample(range(len(self.variables)), min(4, len(self.variables))):
            for what in self.rng.sample(["value", "gradient"], self.rng.choice([1, 2])):
                self._compare(i, what)

    def read_all(self):
        for i in range(len(self.variables)):
            self._compare(i, "value")
            self._compare(i, "gradient")
        for found, expected in (
            (self.storage.values, self.values),
            (self.storage.gradients, self.gradients),
        ):
            for i, x in enumerate(self.variables):
                assert found[x.slot] == pytest.approx(expected[i], 1e-9, 1e-12, nan_ok=True)

    def code_is_there(self):
        wait()

    # -- the model -----------------------------------------------------------------------------

    def _leaves(self):
        return [i for i, operation in enumerate(self.operations) if operation is None]

    @staticmethod
    def _rule(name):
        return {"custom": SQUASH, "reference": (lambda x: x, lambda x: (1.0,))}.get(
            name, RULES.get(name)
        )

    def _sources(self, i):
        name, *places = self.operations[i]
        return [self.targets[i]] if name == "reference" else places

    def _operands(self, i):
        return [self.values[j] for j in self._sources(i)]

    def _needed(self, outputs):
        """What a program computes; a reference has it compute all that may become its target."""
        seen, stack = set(), list(outputs)
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                if self.operations[i]:
                    stack += range(i) if i in self.targets else self.operations[i][1:]
        return sorted(seen)

    def _compare(self, i, what):
        shown = i
        while what == "value" and shown in self.targets:  # what it has now
            shown = self.targets[shown]
        expected = (self.values if what == "value" else self.gradients)[shown]
        found = getattr(self.variables[i], what)
        assert found == pytest.approx(expected, 1e-9, 1e-12, nan_ok=True), (i, what)


CALLS = (
    ["forward"] * 6 + ["backward"] * 6 + ["weigh"] * 4 + ["read"] * 4 + ["set_value"] * 2
    + ["set_values", "set_gradient", "step", "zero", "compile", "record", "leaf", "retarget"]
    + ["read_all", "code_is_there"]
)  # fmt: skip
SIZES = {  # SHORT, STRAIGHT, WORTH_LIFTING
    "straight": (10**9, 10**9, 10**9),
    "later straight": (0, 10**9, 10**9),
    "interpreted": (0, 0, 10**9),
    "arrays": (0, 0, 1),
}


def called(seed, count):
    """A model after random calls."""
    rng = random.Random(seed)
    model = Model(rng, python=rng.random() < 0.5)
    model.record()
    model.compile()
    for _ in range(count):
        getattr(model, rng.choice(CALLS))()
    model.read_all()


@pytest.mark.parametrize("sizes", [*SIZES])
def test_calls_in_any_order(sizes, monkeypatch):
    short, straight, worth = SIZES[sizes]
    monkeypatch.setattr(tiers, "SHORT", short)
    monkeypatch.setattr(tiers, "STRAIGHT", straight)
    monkeypatch.setattr(lifted, "WORTH_LIFTING", worth)
    monkeypatch.setattr(lifted, "lift_tape", partial(lift_tape, always=True))
    for seed in range(40 if sizes == "interpreted" else 4):
        monkeypatch.setattr(storage, "_FEW", 0 if seed % 2 else 10**9)
        called(f"{sizes} {seed}", 150)


def test_outputs_inside_each_other_have_no_gradient_left_after_zeroing(monkeypatch):
    monkeypatch.setattr(storage, "_FEW", 0)
    slots = ValueStorage()
    x = Variable(slots, value=2.0)
    f = x * x
    g = f * x
    slots.compile(f, g)
    slots.forward()
    g.gradient = 1
    slots.backward()
    assert (f.gradient, g.gradient, x.gradient) == (2.0, 1.0, 12.0)
    slots.zero_gradients()
    assert (f.gradient, g.gradient, x.gradient) == (0.0, 0.0, 0.0)


def test_refused_backward_changes_nothing():
    slots = ValueStorage()
    x = Variable(slots, value=2.0)
    f = x * x
    g = f * x
    f.compile()
    g.compile()
    f.forward()
    g.forward()
    g.gradient = 1
    g.backward()
    with pytest.raises(GradientError):
        f.backward()
    assert (f.gradient, x.gradient) == (2.0, 12.0)


def test_a_new_variable_leaves_computed_formulas_as_they_are():
    slots = ValueStorage()
    x = Variable(slots, value=2.0)
    f = x * x
    f.compile()
    f.forward()
    Variable(slots, value=5.0)
    f.gradient = 1
    f.backward()
    assert x.gradient == 4.0
