"""Initial values: functions that fill a tensor in place and return it.  Names follow PyTorch.

They draw from `sg.random` and leave no trace on the tape.  May import the floor and ops.

>>> import slotgrad as sg
>>> sg.nn.init.constant_(sg.zeros(2), 3.0)
tensor([3., 3.])
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..config import no_grad
from ..errors import OptionError, ShapeError
from ..ops import random
from ..ops.creation import eye, full_like
from ..tensor import Tensor

_GAINS = {
    "linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75,
}  # fmt: skip


def calculate_gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """The factor by which weights before a nonlinearity should be larger.

    nonlinearity   "linear" 1, "sigmoid" 1, "tanh" 5/3, "relu" sqrt(2), "selu" 3/4,
                   "leaky_relu" sqrt(2 / (1 + negative_slope**2))

    Raises OptionError for another name.  Source: He et al., ICCV 2015.

    >>> calculate_gain("relu") ** 2
    2.0000000000000004
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + negative_slope**2))
    if nonlinearity not in _GAINS:
        raise OptionError(
            f"calculate_gain: got {nonlinearity!r}; expected leaky_relu, {', '.join(_GAINS)}"
        )
    return _GAINS[nonlinearity]


def _fans(weight: Tensor, op: str) -> tuple[int, int]:
    """The numbers of inputs and outputs of one unit, for a weight (out, in, *window)."""
    if weight.ndim < 2:
        raise ShapeError(
            f"{op}: got a tensor of shape {weight.shape}; expected at least two axes, (out, in)"
        )
    window = math.prod(weight.shape[2:])
    return weight.shape[1] * window, weight.shape[0] * window


def _fill(t: Tensor, values: Callable[[], Tensor]) -> Tensor:
    with no_grad():
        return t.assign(values())


def uniform_(t: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniformly distributed in [a, b).

    >>> import slotgrad as sg
    >>> bool((sg.nn.init.uniform_(sg.zeros(9), 2, 3) >= 2).all())
    True
    """
    if not (math.isfinite(a) and math.isfinite(b) and a <= b):
        raise OptionError(f"init.uniform_: got [{a}, {b}); expected finite numbers, a <= b")
    return _fill(t, lambda: random.uniform(t.shape, dtype=t.dtype) * (b - a) + a)


def normal_(t: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normally distributed.

    >>> import slotgrad as sg
    >>> sg.nn.init.normal_(sg.zeros(2), mean=5.0, std=0.0)
    tensor([5., 5.])
    """
    if not (math.isfinite(mean) and 0 <= std < math.inf):
        raise OptionError(f"init.normal_: got mean={mean}, std={std}; expected finite, std >= 0")
    return _fill(t, lambda: random.normal(t.shape, dtype=t.dtype) * std + mean)


def constant_(t: Tensor, value: float) -> Tensor:
    """One value everywhere.

    >>> import slotgrad as sg
    >>> sg.nn.init.constant_(sg.zeros(2), 3.0)
    tensor([3., 3.])
    """
    return _fill(t, lambda: full_like(t, value))


def zeros_(t: Tensor) -> Tensor:
    """Zeros.

    >>> import slotgrad as sg
    >>> sg.nn.init.zeros_(sg.ones(2))
    tensor([0., 0.])
    """
    return constant_(t, 0)


def ones_(t: Tensor) -> Tensor:
    """Ones.

    >>> import slotgrad as sg
    >>> sg.nn.init.ones_(sg.zeros(2))
    tensor([1., 1.])
    """
    return constant_(t, 1)


def eye_(t: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix of zeros: a layer that begins as the identity.

    >>> import slotgrad as sg
    >>> sg.nn.init.eye_(sg.zeros((2, 3)))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if t.ndim != 2:
        raise ShapeError(f"init.eye_: got a tensor of shape {t.shape}; expected two axes")
    return _fill(t, lambda: eye(*t.shape, dtype=t.dtype))


def xavier_uniform_(t: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in +-gain * sqrt(6 / (in + out)), for a weight (out, in, ...).

    Source: Glorot and Bengio, AISTATS 2010.

    >>> import slotgrad as sg
    >>> bool((sg.nn.init.xavier_uniform_(sg.zeros((4, 2))).abs() <= 1).all())
    True
    """
    bound = gain * math.sqrt(6 / max(sum(_fans(t, "init.xavier_uniform_")), 1))
    return uniform_(t, -bound, bound)


def xavier_normal_(t: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with standard deviation gain * sqrt(2 / (in + out)), for a weight (out, in, ...).

    Source: Glorot and Bengio, AISTATS 2010.

    >>> import slotgrad as sg
    >>> sg.nn.init.xavier_normal_(sg.ones((1, 2)), gain=0.0)
    tensor([[0., 0.]])
    """
    return normal_(t, 0.0, gain * math.sqrt(2 / max(sum(_fans(t, "init.xavier_normal_")), 1)))


def _kaiming_std(t: Tensor, a: float, mode: str, nonlinearity: str, op: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise OptionError(f"{op}: got mode={mode!r}; expected 'fan_in' or 'fan_out'")
    fan = _fans(t, op)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    t: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform in +-gain * sqrt(3 / fan), for a weight (out, in, ...).

    a              the slope below 0 of a leaky_relu that follows
    mode           whether fan is the number of inputs, "fan_in", or of outputs, "fan_out"
    nonlinearity   what follows, see `calculate_gain`

    Source: He et al., ICCV 2015.

    >>> import slotgrad as sg
    >>> bool((sg.nn.init.kaiming_uniform_(sg.zeros((2, 6))).abs() <= 1).all())
    True
    """
    bound = math.sqrt(3) * _kaiming_std(t, a, mode, nonlinearity, "init.kaiming_uniform_")
    return uniform_(t, -bound, bound)


def kaiming_normal_(
    t: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan); arguments as in `kaiming_uniform_`.

    Source: He et al., ICCV 2015.

    >>> import slotgrad as sg
    >>> sg.nn.init.kaiming_normal_(sg.zeros((2, 6))).shape
    (2, 6)
    """
    return normal_(t, 0.0, _kaiming_std(t, a, mode, nonlinearity, "init.kaiming_normal_"))
