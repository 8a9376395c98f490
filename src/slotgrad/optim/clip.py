"""Limits on gradients, applied between `backward()` and `step()`.  May import the floor and ops.

Gradients are replaced, not changed in place: two parameters may hold the same tensor as `.grad`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..config import no_grad
from ..dtypes import default_float, result_type
from ..errors import OptionError
from ..ops.arithmetic import clip, minimum
from ..ops.arrange import stack
from ..ops.creation import zeros
from ..ops.reduce import norm
from ..tensor import Tensor
from .groups import check_at_least_0


def _with_grad(params: Tensor | Iterable[Tensor]) -> list[Tensor]:
    listed = [params] if isinstance(params, Tensor) else list(params)
    return [p for p in listed if p.grad is not None]


def clip_grad_norm(
    params: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (total + 1e-6)); returns total.

    total       the norm of all gradients together, a tensor without axes
    max_norm    >= 0; inf scales nothing
    norm_type   the order of the norm, > 0; inf: the largest absolute value

    Parameters without a gradient are passed over.  A total of nan or inf makes the gradients
    nan or 0.  Raises OptionError for impossible options.  Source: Pascanu, Mikolov and Bengio,
    ICML 2013.

    >>> import slotgrad as sg
    >>> w = sg.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sg.optim.clip_grad_norm([w], max_norm=1.0)
    tensor(5.)
    >>> [f"{g:.3f}" for g in w.grad]
    ['0.600', '0.800']
    """
    if max_norm != math.inf:
        check_at_least_0(max_norm, "max_norm", "clip_grad_norm")
    if not norm_type > 0:
        raise OptionError(f"clip_grad_norm: got norm_type={norm_type}; expected a number > 0")
    params = _with_grad(params)
    if not params:
        return zeros(())
    with no_grad():
        kind = result_type(default_float, *[p.dtype for p in params])
        grads = [p.grad.astype(kind, copy=False) for p in params if p.grad is not None]
        total = norm(stack([norm(g, ord=norm_type) for g in grads]), ord=norm_type)
        factor = minimum(max_norm / (total + 1e-6), 1.0)
        for p, g in zip(params, grads):
            p.grad = (g * factor).astype(p.dtype, copy=False)
    return total


def clip_grad_value(params: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value].

    Parameters without a gradient are passed over.  Raises OptionError unless clip_value >= 0.

    >>> import slotgrad as sg
    >>> w = sg.tensor([3.0, -0.5], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sg.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    tensor([ 1. , -0.5])
    """
    limit = check_at_least_0(clip_value, "clip_value", "clip_grad_value")
    with no_grad():
        for p in _with_grad(params):
            p.grad = clip(p.grad, -limit, limit)
