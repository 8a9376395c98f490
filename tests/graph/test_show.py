"""The graph as text, as a tree and in DOT."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.config import capturing
from slotgrad.errors import OptionError, UsageError
from slotgrad.graph.show import Graph, card, graph, kind, summarize, to_dot

HOSTILE = '<b>"|{}\\n\n&amp;  $x$'


def formula():
    a = sg.tensor(2.0, requires_grad=True, name="a")
    b = sg.tensor(3.0, name="b")
    return a, b, (a + b) * a


def doubled(times):
    x = sg.tensor(1.0, requires_grad=True)
    for _ in range(times):
        x = x + x
    return x


def chain(length):
    x = sg.tensor(0.0, requires_grad=True)
    for _ in range(length):
        x = x + 1.0
    return x


def lines(shown):
    return [line.rstrip() for line in str(shown).splitlines()]


def test_text_of_a_list():
    a, b, y = formula()
    y.name = "y"
    y.backward(retain_graph=True)
    assert lines(graph(y)) == [
        "%0 a = parameter    float32[]  2.   grad=7.",
        "%1 b = input        float32[]  3.",
        "%2 = add(%0, %1)    float32[]  5.   requires_grad",
        "%3 y = mul(%2, %0)  float32[]  10.  requires_grad",
    ]


def test_text_with_attrs_and_matrices():
    x = sg.tensor(np.array([[1.0, 2.0], [3.0, 4.5]]), requires_grad=True, name="x")
    y = (x * x).sum(axis=1, keepdims=True)
    assert lines(graph(y)) == [
        "%0 x = parameter                      float64[2, 2]  [[1. 2.] [3. 4.5]]    requires_grad",
        "%1 = mul(%0, %0)                      float64[2, 2]  [[1. 4.] [9. 20.25]]  requires_grad",
        "%2 = sum(%1) axis=(1,) keepdims=True  float64[2, 1]  [[5.] [29.25]]        requires_grad",
    ]


def test_nested_text_refers_to_what_was_printed():
    _, _, y = formula()
    assert lines(graph(y, nested=True)) == [
        "%3 = mul(%2, %0)      float32[]  10.  requires_grad",
        "  %2 = add(%0, %1)    float32[]  5.   requires_grad",
        "    %0 a = parameter  float32[]  2.   requires_grad",
        "    %1 b = input      float32[]  3.",
        "  %0 a (above)",
    ]


def test_depth_keeps_the_nearest_nodes():
    _, _, y = formula()
    assert lines(graph(y, depth=0)) == ["%0 = mul(..., ...)  float32[]  10.  requires_grad"]
    assert lines(graph(y, depth=1)) == [
        "%0 a = parameter   float32[]  2.   requires_grad",
        "%1 = add(%0, ...)  float32[]  5.   requires_grad",
        "%2 = mul(%1, %0)   float32[]  10.  requires_grad",
    ]
    assert lines(graph(y, depth=1, nested=True))[2:] == [
        "    %0 a = parameter  float32[]  2.   requires_grad",
        "    ...",
        "  %0 a (above)",
    ]
    assert len(graph(y, depth=99)) == len(graph(y)) == 4


def test_the_numbers_of_a_formula_do_not_depend_on_constants_used_before():
    def text():
        return str(graph(sg.tensor([1.0], requires_grad=True) * 0.7071 + 1.4142))

    first = text()
    assert first.splitlines()[1].startswith("%1 = constant")
    assert text() == first


def test_trees_and_iteration():
    a, b, y = formula()
    shown = graph({"y": y, "more": [b, (a,)], "none": None, "number": 3})
    assert isinstance(shown, Graph)
    assert shown.roots == (y.node, b.node, a.node)
    assert list(shown) == shown.nodes and len(shown) == 4
    assert a.node in shown and (a + 1).node not in shown
    assert [kind(n) for n in shown] == ["parameter", "input", "operation", "operation"]
    assert list(shown.edges()) == [(0, 2), (1, 2), (2, 3), (0, 3)]
    assert repr(shown) == str(shown)
    assert lines(graph([b, b])) == ["%0 b = input  float32[]  3."]


def test_a_constant_and_an_untracked_result():
    assert lines(graph(sg.tensor([1, 2]) * 2)) == ["%0 = constant  int64[2]  [2 4]"]


def test_a_freed_tape():
    a, _, y = formula()
    y.backward()
    assert lines(graph(y)) == ["%0 = mul(<freed by backward>)  float32[]  10.  requires_grad"]


def test_a_changed_value():
    a, _, y = formula()
    with sg.no_grad():
        a.assign(5.0)
    assert lines(graph(y))[0] == "%0 a = parameter  float32[]  <changed by assign>  requires_grad"


def test_recorded_nodes_have_no_value():
    class Capture:
        def record(self, op, inputs, attrs):
            from slotgrad.graph.apply import symbolic

            return sg.Tensor(symbolic(op, tuple(x.node for x in inputs), attrs))

    x = sg.tensor([[1.0, 2.0]], requires_grad=True, name="x")
    with capturing(Capture()):
        y = sg.exp(x)
    assert lines(graph(y)) == [
        "%0 x = parameter  float32[1, 2]  [[1. 2.]]   requires_grad",
        "%1 = exp(%0)      float32[1, 2]  <recorded>  requires_grad",
    ]
    assert card(y.node) == ["exp", "float32[1, 2]", "<recorded>"]


def test_inside_vmap_an_argument_is_an_input():
    seen = []

    def f(x):
        seen.append(str(graph(x * 2)))
        return x * 2

    sg.vmap(f)(sg.ones((3, 2)))
    assert seen[0].splitlines()[0].split() == ["%0", "=", "input", "float32[2]", "<recorded>"]


def test_several_results():
    class Halves(sg.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:1], x[1:]

        @staticmethod
        def backward(ctx, g, h):
            return sg.concat([g, h])

    top, rest = Halves.apply(sg.tensor([1.0, 2.0, 3.0], requires_grad=True))
    assert lines(graph(rest))[1] == (
        "%1 = Halves(%0) call=<Call>  (float32[1], float32[2])  [1.]; [2. 3.]  requires_grad"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(2.5), "2.5"),
        (np.array([[7]]), "[[7]]"),
        (np.array(True), "True"),
        (np.array([np.nan, -np.inf, 1e-9]), "[nan -inf 1e-09]"),
        (np.array([1 + 2j, 3.0]), "[1+2j 3+0j]"),
        (np.zeros((0, 3)), "[]"),
        (np.arange(8), "[0 1 2 3 4 5 6 7]"),
        (np.arange(9), "min 0 mean 4. max 8"),
        (np.arange(10) % 2 == 0, "5 of 10 true"),
        (np.array([np.nan] * 4 + [np.inf] * 4 + [1.0, 3.0]), "4 nan 4 inf min 1. mean 2. max 3."),
        (np.full(20, np.nan), "20 nan"),
        (np.full(9, 3 + 4j), "abs min 5. mean 5. max 5."),
        (np.ones(9, sg.bfloat16), "min 1. mean 1. max 1."),
        (np.full(3, 0.5, sg.bfloat16), "[0.5 0.5 0.5]"),
        (np.full(100, 6e4, np.float16), "min 6e+04 mean 6e+04 max 6e+04"),
        (np.full(9, 1.7e308), "min 1.7e+308 mean inf max 1.7e+308"),
    ],
)
def test_summaries(value, text):
    assert summarize(np.asarray(value)) == text


def test_long_things_are_cut():
    x = sg.tensor(np.linspace(0.111111, 0.999999, 8), requires_grad=True, name="n" * 100)
    y = x[np.arange(3)] * 2
    y = y.sum()
    text = str(graph(y))
    assert max(map(len, text.splitlines())) < 200
    assert "n" * 29 + "..." in text and "n" * 33 not in text
    assert " at 0x" not in text


def test_an_unprintable_name_stays_on_its_line():
    x = sg.tensor(1.0, name="a\nb\0")
    assert lines(graph(x)) == ["%0 a\\nb\\x00 = input  float32[]  1."]


@pytest.mark.parametrize("bad", [3.0, None, [], {"a": "text"}])
def test_without_a_tensor(bad):
    with pytest.raises(UsageError, match=r"graph: got a \w+ without a tensor in it; expected a"):
        graph(bad)


@pytest.mark.parametrize("bad", [-1, 1.5, "2"])
def test_a_bad_depth(bad):
    with pytest.raises(OptionError, match=r"graph: got depth=.*; expected None or an integer"):
        graph(sg.ones(2), depth=bad)


# -- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_very_many_paths_are_printed_once(nested):
    y = doubled(30)  # 2 ** 30 paths
    started = time.perf_counter()
    text, dot = str(graph(y, nested=nested)), to_dot(y)
    assert time.perf_counter() - started < 0.2
    assert len(text.splitlines()) == (61 if nested else 31)
    assert dot.count("->") == 60


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_chain_needs_no_recursion(nested):
    y = chain(100_000)
    shown = graph(y, nested=nested)
    assert len(shown) == 100_002
    text = str(shown)
    assert max(map(len, text.splitlines())) < 160
    assert "float32[]  1e+05   requires_grad" in text
    assert len(graph(y, depth=3)) == 5
    if nested:
        assert f"{'  ' * 24}(99999) %" in text


# -- DOT -----------------------------------------------------------------------------------------

STRING = r'"(?:[^"\\]|\\.)*"'
VALUE = rf"(?:{STRING}|\w+|[\d.]+)"
ATTRS = rf"\[\w+={VALUE}(?:, \w+={VALUE})*\]"
STATEMENT = re.compile(rf"  (?:\w+={VALUE}|\w+ {ATTRS}|\w+ -> \w+(?: {ATTRS})?);")


def check_dot(text):
    """The statements of a DOT text, every one of them well-formed; labels balanced records."""
    first, *statements, last = text.splitlines()
    assert first == "digraph slotgrad {" and last == "}" and text.endswith("}\n")
    for statement in statements:
        assert STATEMENT.fullmatch(statement), statement
    declared = {s.split()[0] for s in statements if re.match(r"  (n|cut)\d+ \[", s)}
    for a, b in re.findall(r"^  (\w+) -> (\w+)", text, re.M):
        assert {a, b} <= declared
    for label in re.findall(rf"label=({STRING})", text):
        if label != '"..."':
            bare = re.sub(r"\\.", "", label[1:-1])
            assert re.fullmatch(r"\{[^{}<>]*\}", bare), label
            assert 3 <= bare.count("|") + 1 <= 4
    return statements


def test_dot_of_a_formula():
    a, _, y = formula()
    y.backward(retain_graph=True)
    statements = check_dot(to_dot(y))
    assert statements[3:] == [
        '  n0 [label="{a = parameter|float32[]|2.|grad=7.}", shape=record, style="filled,bold",'
        ' fillcolor="#d9f2de"];',
        '  n1 [label="{b = input|float32[]|3.}", shape=record, style=filled, fillcolor="#dcebfb"];',
        '  n2 [label="{add|float32[]|5.}", shape=Mrecord, style=filled, fillcolor="#fff6dd"];',
        '  n3 [label="{mul|float32[]|10.}", shape=Mrecord, style=filled, fillcolor="#fff6dd"];',
        "  n0 -> n2;",
        "  n1 -> n2;",
        "  n2 -> n3;",
        "  n0 -> n3;",
    ]


def test_dot_keeps_both_edges_of_a_square():
    x = sg.tensor(2.0, requires_grad=True)
    assert check_dot(to_dot(x * x)).count("  n0 -> n1;") == 2


def test_dot_cut_at_a_depth():
    _, _, y = formula()
    statements = check_dot(graph(y, depth=1).to_dot())
    assert '  cut1 [label="...", shape=plaintext];' in statements
    assert "  cut1 -> n1 [style=dashed];" in statements


def test_dot_escapes_hostile_names():
    x = sg.tensor(1.0, requires_grad=True, name=HOSTILE)
    text = to_dot(x * 2)
    check_dot(text)
    assert r"\<b\>\"\|\{\}\\n\\n&amp;amp;\ \ $x$ = parameter" in text
