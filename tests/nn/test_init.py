import math

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn
from slotgrad.errors import OptionError, ShapeError
from slotgrad.nn import init


@pytest.fixture(autouse=True)
def seeded():
    sg.random.seed(11)


def test_values_are_filled_in_place_and_leave_no_trace():
    p = nn.Parameter(sg.ones((3, 4)))
    for f in (init.zeros_, init.ones_, init.eye_, init.uniform_, init.normal_,
              init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_,
              init.kaiming_normal_):  # fmt: skip
        assert f(p) is p and p.is_leaf and p.requires_grad
    assert init.constant_(p, 2).tolist() == [[2.0] * 4] * 3


@pytest.mark.parametrize(
    "f, std",
    [
        (lambda t: init.uniform_(t, -3, 3), math.sqrt(3)),
        (lambda t: init.normal_(t, 0, 0.5), 0.5),
        (init.xavier_uniform_, math.sqrt(2 / 500)),
        (lambda t: init.xavier_normal_(t, gain=2), 2 * math.sqrt(2 / 500)),
        (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), math.sqrt(1 / 3 / 200)),
        (lambda t: init.kaiming_normal_(t, mode="fan_out"), math.sqrt(2 / 300)),
    ],
)
def test_spread(f, std):
    values = f(sg.zeros((300, 200), dtype="float64")).numpy()
    assert values.std() == pytest.approx(std, rel=0.02) and abs(values.mean()) < 0.02 * std


def test_a_window_counts_as_inputs_and_outputs():
    bound = math.sqrt(6 / (3 * 25 + 2 * 25))
    values = np.abs(init.xavier_uniform_(sg.zeros((2, 3, 5, 5))).numpy())
    assert bound * 0.9 < values.max() <= bound


def test_gains():
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    with pytest.raises(OptionError, match="calculate_gain: got 'swish'; expected leaky_relu"):
        init.calculate_gain("swish")


def test_what_is_refused():
    for f in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_):
        with pytest.raises(ShapeError, match=rf"init\.{f.__name__}: got a tensor of shape \(3,\)"):
            f(sg.zeros(3))
    with pytest.raises(ShapeError, match="init.eye_"):
        init.eye_(sg.zeros(3))
    with pytest.raises(OptionError, match="mode='fan'"):
        init.kaiming_normal_(sg.zeros((2, 2)), mode="fan")
    for a, b in ((1, 0), (0, math.inf), (math.nan, 1)):
        with pytest.raises(OptionError, match="init.uniform_"):
            init.uniform_(sg.zeros(3), a, b)
    for std in (-1, math.nan):
        with pytest.raises(OptionError, match="init.normal_"):
            init.normal_(sg.zeros(3), std=std)
