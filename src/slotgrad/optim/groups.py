"""Groups of parameters with options of their own.  May import the floor and ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np

from ..config import modes, no_grad
from ..errors import CaptureError, OptionError, ShapeError, describe_site, user_site
from ..ops.numbers import Number
from ..tensor import Tensor

_NUMBER = (int, float, np.integer, np.floating)


def check_at_least_0(value: Any, name: str, op: str) -> float:
    """`value` as a float, or OptionError unless it is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, _NUMBER) or not 0 <= value < math.inf:
        raise OptionError(f"{op}: got {name}={value!r}; expected a finite number >= 0")
    return float(value)


def check_fraction(value: Any, name: str, op: str) -> float:
    """`value` as a float, or OptionError unless 0 <= value < 1."""
    if isinstance(value, bool) or not isinstance(value, _NUMBER) or not 0 <= value < 1:
        raise OptionError(f"{op}: got {name}={value!r}; expected a number >= 0 and below 1")
    return float(value)


def set_rate(rate: Tensor, value: Any, op: str) -> None:
    """Write a number or a tensor without axes into a learning rate."""
    if isinstance(value, Tensor):
        if value.shape != ():
            raise ShapeError(f"{op}: got lr of shape {value.shape}; expected a tensor without axes")
        if value.node.value is not None:  # while a function is captured there is none to check
            check_at_least_0(value.item(), "lr", op)
    else:
        value = check_at_least_0(value, "lr", op)
    with no_grad():
        rate.assign(value)


class ParamGroup(MutableMapping[str, Any]):
    """Parameters with options of their own, as a dict of the options by name.

    group["params"]   the parameters, a tuple; `Optimizer.add_param_group` adds more
    group["lr"]       the learning rate, a float.  Steps read it from a tensor, so compiled ones
                      take a new one as they are; they may set it, too: group["lr"] *= 0.99
    others            are built into compiled steps, which are compiled again when they change

    Raises OptionError for names that the optimizer does not have and impossible values, and
    CaptureError where a compiled function sets an option other than "lr": that would happen when
    it is captured, not at each call.

    rate      the tensor of the learning rate, float64 without axes
    options   the other options by name
    """

    def __init__(
        self,
        params: tuple[Tensor, ...],
        rate: Tensor,
        options: dict[str, Any],
        accept: Callable[[ParamGroup, dict[str, Any]], None],
    ) -> None:
        self.params, self.rate, self.options, self._accept = params, rate, options, accept

    def __getitem__(self, name: str) -> Any:
        if name == "lr":
            if modes.capture is not None:
                return Number(self.rate.clone().node, float)
            return float(self.rate)
        if name == "params":
            return self.params
        if modes.capture is not None:
            modes.capture.depend(self, "an option of an optimizer", self.told)
        if name not in self.options:
            raise KeyError(name)
        return self.options[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "lr":
            set_rate(self.rate, value, "param_groups")
            return
        if name not in self.options:
            raise OptionError(
                f"param_groups: got {name!r} to set; expected lr, {', '.join(self.options)}"
            )
        if modes.capture is not None:
            raise CaptureError(
                f"param_groups: {name!r} is set at {describe_site(user_site())} by a captured"
                " function, which would do it once only; set it between the calls"
            )
        self._accept(self, {**self.options, name: value})

    def __delitem__(self, name: str) -> None:
        raise OptionError(f"param_groups: {name!r} cannot be deleted; set it to another value")

    def __iter__(self) -> Iterator[str]:
        return iter(["params", "lr", *self.options])

    def __len__(self) -> int:
        return 2 + len(self.options)

    def told(self, before: Any = None) -> list[Any]:
        """What a captured function that steps depends on."""
        return [self, *self.options.items()]

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"ParamGroup(lr={float(self.rate)}, {options}, {len(self.params)} parameters)"
