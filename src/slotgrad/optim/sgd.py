"""Stochastic gradient descent.  May import the floor, ops and base."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import OptionError
from ..ops.arithmetic import where
from ..tensor import Tensor
from .base import Optimizer, State, counter, moment
from .groups import check_at_least_0


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as in PyTorch.

        g = g + weight_decay * p
        b = g                                   at the first step of a parameter
        b = momentum * b + (1 - dampening) * g  at the others
        p = p - lr * b                          nesterov: p - lr * (g + momentum * b)

    lr             learning rate; default 1e-3
    momentum       0: none, and no b is kept; default 0
    dampening      default 0
    weight_decay   factor of the L2 penalty weight_decay / 2 * |p|**2; default 0
    nesterov       needs momentum > 0 and dampening 0

    Raises what `Optimizer` says.  Source: Sutskever, Martens, Dahl and Hinton, ICML 2013.

    >>> import slotgrad as sg
    >>> from slotgrad.optim import SGD
    >>> w = sg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.5, 1. ], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = {
            name: check_at_least_0(options[name], name, "SGD")
            for name in ("momentum", "dampening", "weight_decay")
        }
        nesterov = checked["nesterov"] = bool(options["nesterov"])
        if nesterov and (checked["momentum"] == 0 or checked["dampening"] != 0):
            raise OptionError(
                f"SGD: got nesterov=True with momentum={checked['momentum']} and"
                f" dampening={checked['dampening']}; expected momentum > 0 and dampening 0"
            )
        return checked

    def init(self, p: Tensor, options: dict[str, Any]) -> State:
        if not options["momentum"]:
            return {}
        return {"momentum_buffer": moment(p), "step": counter()}

    def update(
        self, p: Tensor, g: Tensor, state: State, lr: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, State]:
        momentum, dampening = options["momentum"], options["dampening"]
        if options["weight_decay"]:
            g = g + p * options["weight_decay"]
        changed: State = {}
        if momentum:
            b = state["momentum_buffer"] * momentum + g * (1 - dampening)
            if dampening:  # otherwise the rule gives b = g at the first step by itself
                b = where(state["step"] == 0, g, b)
            changed = {"momentum_buffer": b, "step": state["step"] + 1}
            g = g + b * momentum if options["nesterov"] else b
        return p - g * lr.astype(p.dtype, copy=False), changed
