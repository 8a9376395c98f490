"""Derivatives that do not exist and transformations used wrongly: what the message says."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import (
    BoundsError,
    CaptureError,
    ChangedValueError,
    DTypeError,
    FreedGraphError,
    GradientError,
    OptionError,
    ShapeError,
    UsageError,
)


def leaf(*values):
    return sg.tensor(np.array(values), requires_grad=True)


def here(offset=0):
    """A pattern for a line of the test that calls, counted from the call's own."""
    frame = sys._getframe(1)
    return rf"test_bad_derivatives\.py:{frame.f_lineno + offset} in {frame.f_code.co_name}"


X = sg.ones((2, 3))
INTS = sg.tensor([1, 2])


# -- the tape ------------------------------------------------------------------------------------

TAPE = [
    (lambda: sg.tensor([1], requires_grad=True), r"requires_grad: .*dtype int64; .*astype"),
    (lambda: INTS.requires_grad_(), r"only floating-point tensors have gradients"),
    (lambda: sg.grad(sg.abs)(1j), r"complex128; compute with x \+ 1j \* y"),
    (lambda: sg.tensor([1j]).requires_grad_(), r"dtype complex64"),
    (lambda: sg.zeros(2, dtype="bool", requires_grad=True), r"dtype bool"),
    (lambda: (leaf(1.0) * 2).requires_grad_(False), r"cannot be switched off; use x\.detach\(\)"),
    (lambda: X.retain_grad(), r"retain_grad: .*does not require gradients; make one of its inputs"),
    (lambda: (leaf(1.0, 2.0) * 2).backward(), r"backward: .*\(2,\) and no gradient; .*\.sum\(\)"),
    (lambda: X.sum().backward(), r"depends on no tensor that requires gradients; .*no_grad"),
    (lambda: leaf(1.0, 2.0).backward(sg.ones(3)), r"gradient of shape \(3,\) .* shape \(2,\)"),
    (lambda: leaf(1.0).__setitem__(0, 2.0), r"changes a leaf .*with sg\.no_grad\(\):"),
    (lambda: leaf(1.0).__iadd__(2.0), r"x \+= \.\.\. at .*test_bad_derivatives.*changes a leaf"),
    (lambda: leaf(1.0).assign(2.0), r"assign at .*changes a leaf that requires gradients"),
    (lambda: (leaf(1.0) * 2).assign(2.0), r"result of mul .*x\.detach\(\)\.clone\(\)"),
    (lambda: np.spacing(leaf(1.0)), r"numpy\.spacing has no derivative here.*@sg\.op"),
    (lambda: np.percentile(leaf(1.0), 50), r"numpy\.percentile has no derivative here"),
    (lambda: np.asarray(leaf(1.0)), r"conversion to a NumPy array would lose the gradient"),
]


@pytest.mark.parametrize(("call", "message"), TAPE)
def test_gradient_that_does_not_exist(call, message):
    with pytest.raises(GradientError, match=message):
        call()


def test_second_backward_names_the_first():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    first = here(-1)
    with pytest.raises(FreedGraphError, match=rf"freed by backward\(\) at .*{first}.*retain_graph"):
        y.backward()


def test_changed_value_names_use_and_change():
    x = leaf(1.0, 2.0)
    x.name = "x"
    y = (x * x).sum()
    used = here(-1)
    with sg.no_grad():
        x += 1
        changed = here(-1)
    with pytest.raises(ChangedValueError) as caught:
        y.backward()
    message = str(caught.value)
    assert re.search(rf"tensor 'x' that mul at .*{used} used", message)
    assert re.search(rf"x \+= \.\.\. at .*{changed} has changed it in place", message)
    assert "make the change after backward(), or on a copy: x = x.clone()" in message


# -- transformations -----------------------------------------------------------------------------

CALLS = [
    (GradientError, lambda: sg.grad(sg.sin)(3), r"grad: .*dtype int64; .*argnums"),
    (GradientError, lambda: sg.jacfwd(sg.sin)(INTS), r"jacfwd: cannot differentiate .*int64"),
    (GradientError, lambda: sg.grad(sg.sin)(X), r"returned shape \(2, 3\); .*one element.*jacrev"),
    (GradientError, lambda: sg.grad(lambda x: None)(1.0), r"the function returned NoneType"),
    (UsageError, lambda: sg.grad(sg.sin, argnums=1)(1.0), r"argnums=1 for 1 positional .*0 to 0"),
    (UsageError, lambda: sg.grad(sg.sin, argnums="a")(1.0), r"grad: got argnums=a"),
    (UsageError, lambda: sg.grad(lambda: 1.0)(), r"argnums=0 for 0 positional arguments"),
    (UsageError, lambda: sg.grad(sg.sin, has_aux=True)(1.0), r"returned a Tensor; with has_aux"),
    (
        UsageError,
        lambda: sg.vjp(lambda x: (x, x), 1.0)[1](1.0),
        r"vjp: got a tree \*; expected tup",
    ),
    (ShapeError, lambda: sg.vjp(sg.sin, X)[1](sg.ones(2)), r"vjp: got shape \(2,\); .*\(2, 3\)"),
    (
        UsageError,
        lambda: sg.jvp(sg.sin, (1.0,), (1.0, 2.0)),
        r"jvp: got a tree list.*expected list",
    ),
    (
        ShapeError,
        lambda: sg.jvp(sg.sin, (X,), (INTS,)),
        r"jvp: got shape \(2,\); expected \(2, 3\)",
    ),
    (DTypeError, lambda: sg.jacrev(lambda x: "a")(1.0), r"expected numbers"),
    (ShapeError, lambda: sg.vmap(sg.add)(sg.ones(2), sg.ones(3)), r"\(2,\) \(axis 0\), \(3,\)"),
    (
        UsageError,
        lambda: sg.vmap(sg.sin, in_axes=None)(X),
        r"no argument has a batch axis; in_axes",
    ),
    (UsageError, lambda: sg.vmap(sg.sin, in_axes=(0, 0))(X), r"in_axes \(0, 0\) for 1 arguments"),
    (UsageError, lambda: sg.vmap(sg.sin, in_axes="ab")(X), r"vmap: got in_axes ab|vmap: got axes"),
    (UsageError, lambda: sg.vmap(sg.sum, in_axes=((0,),))((X, X)), r"vmap: got axes \(0,\)"),
    (UsageError, lambda: sg.vmap(sg.sin, in_axes=({"c": 0},))({"b": X}), r"vmap: got axes .*dict"),
    (BoundsError, lambda: sg.vmap(sg.sin, in_axes=2)(X), r"vmap: got axis 2 for 2 axes"),
    (BoundsError, lambda: sg.vmap(sg.sin)(1.0), r"vmap: got axis 0 for 0 axes; expected none"),
    (UsageError, lambda: sg.vmap(sg.sin, out_axes=None)(X), r"out_axes is None for a result that"),
    (BoundsError, lambda: sg.vmap(sg.sin, out_axes=2)(X), r"vmap: got axis 2 for 2 axes"),
    (
        OptionError,
        lambda: sg.check_grads(sg.sin, (1.0,), modes=("up",)),
        r"modes \['up'\]; expected",
    ),
    (OptionError, lambda: sg.check_grads(sg.sin, ()), r"check_grads: got no arguments"),
    (
        OptionError,
        lambda: sg.check_grads(sg.sin, 1.0),
        r"check_grads: got a float; expected a tuple",
    ),
]


@pytest.mark.parametrize(("kind", "call", "message"), CALLS)
def test_transformation_used_wrongly(kind, call, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert type(caught.value) is kind


READS = [
    (lambda x: x if x > 0 else -x, r"bool\(\)"),
    (lambda x: x.item(), r"item\(\)"),
    (lambda x: float(x), r"item\(\)"),
    (lambda x: np.exp(x.numpy()), r"numpy\(\)"),
    (lambda x: x.tolist(), r"tolist\(\)"),
    (lambda x: np.array(x), r"conversion to a NumPy array"),
    (lambda x: sg.nonzero(x[None]), r"nonzero\(\)"),
    (lambda x: x[None][x[None] > 0], r"an index with a mask, whose result has no shape yet,"),
]


@pytest.mark.parametrize(("f", "asked"), READS)
def test_reading_a_recorded_value_names_the_line(f, asked):
    line = f.__code__.co_firstlineno
    with pytest.raises(CaptureError) as caught:
        sg.vmap(f)(sg.ones(2))
    pattern = rf"{asked} at .*test_bad_derivatives\.py:{line} in .*sg\.where\(condition, a, b\)"
    assert re.search(pattern, str(caught.value))


def test_a_function_under_vmap_cannot_change_what_is_outside():
    outside = sg.zeros(2)

    def f(x):
        outside[0] = x
        return x

    with pytest.raises(CaptureError, match=r"outside a function under vmap.*return the new value"):
        sg.vmap(f)(sg.ones(2))
    assert outside.tolist() == [0, 0]


def test_a_recorded_value_that_was_kept_cannot_be_used_later():
    kept = []
    sg.vmap(lambda x: kept.append(x * 2) or x)(sg.ones(2))
    with pytest.raises(CaptureError, match=r"belongs to a capture that has ended.*return it"):
        kept[0] + 1


# -- operations of one's own ---------------------------------------------------------------------


def function(forward, backward=None):
    """A Function with these bodies."""
    methods = {"forward": staticmethod(forward)}
    if backward is not None:
        methods["backward"] = staticmethod(backward)
    return type("Mine", (sg.Function,), methods)


def pulled(forward, backward=None, count=1):
    function(forward, backward).apply(*[leaf(1.0, 2.0)] * count).sum().backward()


CUSTOM = [
    (GradientError, lambda: pulled(lambda ctx, a, b: a * b, lambda ctx, g: g, 2),
     r"Mine\.backward: returned 1 gradients; expected 2, one for each argument"),
    (GradientError, lambda: pulled(lambda ctx, a: a * 2, lambda ctx, g: (g, None)),
     r"Mine\.backward: returned 2 gradients; expected 1"),
    (GradientError, lambda: pulled(lambda ctx, a: a * 2, lambda ctx, g: g.sum()),
     r"gradient 0 has shape \(\); expected \(2,\), the shape of argument 0"),
    (DTypeError, lambda: pulled(lambda ctx, a: a * 2, lambda ctx, g: "abc"), r"got a str"),
    (GradientError, lambda: pulled(lambda ctx, a: a * 2), r"without backward; define it"),
    (UsageError, lambda: pulled(lambda ctx, a: None), r"Mine\.forward: returned None; expected"),
    (DTypeError, lambda: pulled(lambda ctx, a: "abc"), r"got a str; expected numbers"),
    (UsageError, lambda: type("Empty", (sg.Function,), {}).apply(leaf(1.0)), r"without forward"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "call", "message"), CUSTOM)
def test_function_that_is_wrong(kind, call, message):
    with pytest.raises(kind, match=message):
        call()


def test_op_with_a_wrong_rule():
    @sg.op
    def double(x):
        return 2 * x

    @double.backward
    def _(g, out, x):
        return 2 * g, 2 * g

    with pytest.raises(GradientError, match=r"double\.backward: returned 2 gradients; expected 1"):
        double(leaf(1.0)).sum().backward()


@pytest.mark.parametrize("factor", [1, 1 + 0j], ids=["real", "complex"])
def test_second_derivative_through_a_saved_intermediate_value(factor):
    def forward(ctx, x):
        between = np.exp(x.numpy())
        ctx.save_for_backward(between)
        return between * between

    def backward(ctx, g):
        return 2 * g * ctx.saved[0] ** 2

    f = function(forward, backward).apply
    first = sg.grad(lambda x: f(x * factor).real.sum())
    assert first(sg.zeros(1)).tolist() == [2]
    with pytest.raises(GradientError, match=r"second derivative through a value .*save.*inputs"):
        sg.grad(lambda x: first(x).sum())(sg.zeros(1))


def test_check_grads_finds_a_wrong_rule():
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    wrong = function(forward, lambda ctx, g: 3 * g * ctx.saved[0])
    right = function(forward, lambda ctx, g: 2 * g * ctx.saved[0])
    x = np.array([0.5, 2.0])
    sg.check_grads(right.apply, (x,), order=2)
    for mode in ("reverse", "forward"):
        message = rf"check_grads: {mode} mode gives .*central differences .*rule is wrong"
        with pytest.raises(GradientError, match=message):
            sg.check_grads(wrong.apply, (x,), modes=(mode,))


def test_check_grads_looks_at_both_parts_of_complex_results():
    def times(factor, backward_factor):
        return function(lambda ctx, x: x * factor, lambda ctx, g: (g * backward_factor).real)

    for factor in (1, 1j):
        right, wrong = times(factor, factor), times(factor, -factor)
        sg.check_grads(lambda x, f=right: f.apply(x) * (1 + 2j), (np.ones(2),))
        with pytest.raises(GradientError, match="rule is wrong"):
            sg.check_grads(wrong.apply, (np.ones(2),))


def test_check_grads_finds_a_wrong_second_derivative():
    @sg.op
    def cube(x):
        return x**3

    @cube.backward
    def _(g, out, x):
        return 3 * g * x * x.detach()  # right once, wrong the second time

    x = np.array([0.5, 2.0])
    sg.check_grads(cube, (x,), order=1)
    with pytest.raises(GradientError, match=r"check_grads: .*, then "):
        sg.check_grads(cube, (x,), order=2)
