"""Adam and AdamW.  May import the floor, ops and base."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import OptionError
from ..tensor import Tensor
from .base import Optimizer, State, counter, moment
from .groups import check_at_least_0, check_fraction


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square, as in PyTorch.

        g = g + weight_decay * p
        t = t + 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    lr             learning rate; default 1e-3
    betas          the two factors, 0 <= beta < 1; default (0.9, 0.999)
    eps            default 1e-8
    weight_decay   factor of the L2 penalty weight_decay / 2 * |p|**2; default 0

    t counts the steps of each parameter, those without a gradient left out.  Raises what
    `Optimizer` says.  Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1.

    >>> import slotgrad as sg
    >>> from slotgrad.optim import Adam
    >>> w = sg.tensor([1.0, -2.0], requires_grad=True)
    >>> opt = Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> opt.step()  # the first step is lr times the sign of the gradient
    >>> [f"{x:.3f}" for x in w]
    ['0.500', '-1.500']
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        name, betas = self._name, options["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise OptionError(f"{name}: got betas={betas!r}; expected two numbers")
        return {
            "betas": tuple(check_fraction(b, f"betas[{i}]", name) for i, b in enumerate(betas)),
            "eps": check_at_least_0(options["eps"], "eps", name),
            "weight_decay": check_at_least_0(options["weight_decay"], "weight_decay", name),
        }

    def init(self, p: Tensor, options: dict[str, Any]) -> State:
        return {"step": counter(), "exp_avg": moment(p), "exp_avg_sq": moment(p)}

    def decay(self, p: Tensor, g: Tensor, lr: Tensor, weight_decay: float) -> tuple[Tensor, Tensor]:
        """Parameter and gradient with the weight decay worked in."""
        return p, g + p * weight_decay

    def update(
        self, p: Tensor, g: Tensor, state: State, lr: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, State]:
        beta1, beta2 = options["betas"]
        if options["weight_decay"]:
            p, g = self.decay(p, g, lr, options["weight_decay"])
        step = state["step"] + 1
        m = state["exp_avg"] * beta1 + g * (1 - beta1)
        v = state["exp_avg_sq"] * beta2 + g * g * (1 - beta2)
        # the corrections are numbers: in float64, and out of the loop over the elements
        root = (1 - beta2**step).sqrt()
        size = (lr * root / (1 - beta1**step)).astype(p.dtype, copy=False)
        new = p - size * (m / (v.sqrt() + (options["eps"] * root).astype(p.dtype, copy=False)))
        return new, {"step": step, "exp_avg": m, "exp_avg_sq": v}


class AdamW(Adam):
    """Adam with the weight decay apart from the gradient, as in PyTorch.

        p = p - lr * weight_decay * p, then Adam without weight decay

    weight_decay defaults to 1e-2; the other arguments are those of `Adam`.  Source: Loshchilov
    and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    >>> import slotgrad as sg
    >>> from slotgrad.optim import AdamW
    >>> w = sg.tensor([1.0, -2.0], requires_grad=True)
    >>> opt = AdamW([w], lr=0.5, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> [f"{x:.3f}" for x in w]
    ['0.250', '-1.000']
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def decay(self, p: Tensor, g: Tensor, lr: Tensor, weight_decay: float) -> tuple[Tensor, Tensor]:
        return p * (1 - lr * weight_decay).astype(p.dtype, copy=False), g
