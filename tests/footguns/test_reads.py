"""What a captured function reads from Python by name is noticed when it changes."""

from __future__ import annotations

import functools
import types
import warnings

import hypothesis
import pytest

import slotgrad as sg
from slotgrad import nn
from slotgrad.reads import Reads

SCALE = 2.0
CONFIG = {"rate": 2.0, "calls": 0}


class Thing:
    factor = 2.0

    def __init__(self, value=2.0):
        self.value = value

    @property
    def doubled(self):
        return self.value * 2

    def scaled(self, x):
        return x * self.value


class Maker:
    def __init__(self):
        self.scale = SCALE

    def scaled(self, x):
        return x * self.scale


class Scaling(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = [2.0]

    def forward(self, x):
        return x * self.scales[0] * SCALE


class Times(sg.Function):
    @staticmethod
    def forward(ctx, x):
        return x * SCALE

    @staticmethod
    def backward(ctx, g):
        return g * CONFIG["rate"]


@sg.op
def times(x):
    return x * SCALE


@times.backward
def _(g, out, x):
    return g * CONFIG["rate"]


class Any:
    """Has every attribute."""

    def __getattr__(self, name):
        return Any()


def by_global(x):
    return x * SCALE


def by_default(x, things=[2.0]):  # noqa: B006 (a list as default is what is tested)
    return x * things[0]


def set_scale(value):
    global SCALE
    SCALE = value


def cases():
    """Name, function, and what changes something that it reads."""
    thing, other, numbers = Thing(), Thing(), [2.0]
    weights, named = [sg.tensor([2.0])], {"w": sg.tensor([2.0])}
    space, module, layers = types.SimpleNamespace(a=2.0), Scaling(), [nn.ReLU()]
    names, inner = {"a"}, Thing()
    inner.thing = Thing()
    k = 2.0

    def closure(x):
        return x * k

    def change_closure():
        nonlocal k
        k = 3.0

    def change(container, key, value):
        return lambda: container.__setitem__(key, value)

    def loop(x):
        return sum((w * x for w in weights), x)

    yield "global of a helper", lambda x: by_global(x), lambda: set_scale(3.0)
    yield (
        "global of a lambda inside",
        lambda x: sg.grad(lambda v: (v * SCALE).sum())(x),
        (lambda: set_scale(4.0)),
    )
    yield "closure of a helper", lambda x: closure(x), change_closure
    yield "item of a dict", lambda x: x * CONFIG["rate"], change(CONFIG, "rate", 3.0)
    yield "item of a list", lambda x: x * numbers[0], change(numbers, 0, 3.0)
    yield "list grows", lambda x: x * len(numbers), lambda: numbers.append(1.0)
    yield "weight in a list", loop, change(weights, 0, sg.tensor([3.0]))
    yield "weight in a dict", lambda x: x * named["w"], change(named, "w", sg.tensor([3.0]))
    yield "attribute", lambda x: x * thing.value, lambda: setattr(thing, "value", 3.0)
    yield (
        "attribute of an attribute",
        lambda x: x * inner.thing.value,
        (lambda: setattr(inner.thing, "value", 3.0)),
    )
    yield (
        "object bound anew",
        lambda x: x * inner.thing.value,
        (lambda: setattr(inner, "thing", Thing(5.0))),
    )
    yield "property", lambda x: x * other.doubled, lambda: setattr(other, "value", 3.0)
    yield "method", other.scaled, lambda: setattr(other, "value", 4.0)
    yield (
        "attribute of the class",
        lambda x: x * thing.factor,
        (lambda: setattr(Thing, "factor", 3.0)),
    )
    yield (
        "attribute that hides the class's",
        lambda x: x * thing.factor,
        (lambda: setattr(thing, "factor", 4.0)),
    )
    yield (
        "method bound anew",
        lambda x: thing.scaled(x),
        (lambda: setattr(Thing, "scaled", lambda self, x: x * 7)),
    )
    yield "namespace", lambda x: x * space.a, lambda: setattr(space, "a", 3.0)
    yield "list of a module", lambda x: module(x), change(module.scales, 0, 3.0)
    yield "global of a module's forward", lambda x: module(x), lambda: set_scale(5.0)
    yield (
        "layers in a list",
        lambda x: sum(layer(x) for layer in layers),
        (lambda: layers.append(nn.ReLU())),
    )
    yield "operation's forward", Times.apply, lambda: set_scale(6.0)
    yield (
        "operation's backward",
        sg.grad(lambda x: Times.apply(x).sum()),
        (change(CONFIG, "rate", 7.0)),
    )
    yield "decorated operation", lambda x: times(x), lambda: set_scale(8.0)
    yield (
        "decorated operation's backward",
        sg.grad(lambda x: times(x).sum()),
        (change(CONFIG, "rate", 9.0)),
    )
    yield "object made inside", lambda x: Maker().scaled(x), lambda: set_scale(9.0)
    yield "set", lambda x: x * 2 if "a" in names else x, lambda: names.discard("a")
    yield "default", by_default, change(by_default.__defaults__[0], 0, 3.0)
    yield "partial", functools.partial(by_default, things=numbers), change(numbers, 0, 9.0)


@pytest.mark.parametrize(
    "name, f, change", list(cases()), ids=lambda x: x if type(x) is str else ""
)
def test_change_is_noticed(name, f, change):
    x = sg.tensor([1.0])
    compiled = sg.compile(f)
    for _ in range(3):
        before = compiled(x).tolist()
        assert before == f(x).tolist()
    assert compiled.cache_info().misses == 1
    change()
    for _ in range(3):
        assert compiled(x).tolist() == f(x).tolist() != before
    assert compiled.cache_info().misses == 2


def test_object_as_argument_is_looked_into():
    thing = Thing()
    f = sg.compile(lambda x, thing: x * thing.value)
    x = sg.tensor([1.0])
    assert f(x, thing).tolist() == [2]
    thing.value = 3.0
    assert f(x, thing).tolist() == [3]


def test_equal_numbers_are_no_change():
    config = {"rate": 1.25}
    f = sg.compile(lambda x: x * config["rate"])
    for _ in range(3):
        config["rate"] = float("1.25")  # another object
        assert f(sg.tensor([1.0])).tolist() == [1.25]
    assert f.cache_info().misses == 1


def test_what_is_not_read_may_change():
    thing = Thing()
    f = sg.compile(lambda x: x * CONFIG["rate"] + thing.value)
    for i in range(3):
        CONFIG["calls"], thing.calls = i, i
        f(sg.tensor([1.0]))
    assert f.cache_info().misses == 1


def test_what_the_function_itself_changes_is_seen_and_warned_of():
    thing = Thing(0)

    @sg.compile
    def count(x):
        thing.value += 1
        return x * thing.value

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [count(sg.tensor(1.0)).item() for _ in range(8)] == [*range(1, 9)]
    with pytest.warns(UserWarning, match=r"count: compiled more than 8 times.*'value' changes"):
        assert count(sg.tensor(1.0)).item() == 9
    assert count.cache_info().size == 1


def test_lazy_attribute_settles():
    thing = Thing()

    def f(x):
        thing.shape = x.shape
        return x * len(thing.shape)

    compiled = sg.compile(f)
    for _ in range(4):
        assert compiled(sg.ones(2)).tolist() == [1, 1]
    assert compiled.cache_info().misses <= 2


def test_installed_packages_are_not_looked_into():
    found, _ = Reads.of(lambda x: hypothesis.given(x))
    assert [str(place) for place in found.places] == ["'hypothesis'"]


def test_an_installed_package_looks_into_itself():
    found, _ = Reads.of(hypothesis.given)
    assert "'HealthCheck'" in map(str, found.places)


def test_attributes_that_are_computed_are_not_asked_for():
    thing = Any()
    assert sg.compile(lambda x: x if thing else thing.other)(sg.ones(1)).tolist() == [1]


def test_own_code_and_that_of_libraries_is_not_looked_into():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    found, _ = Reads.of(lambda x: model(x))
    assert [str(place) for place in found.places] == ["'model'"]
