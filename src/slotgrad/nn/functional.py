"""The functions that layers are made of: `sg.nn.functional`.  Names follow PyTorch.

All are plain functions of primitives, so derivatives of every order, vmap and compilation come
with them.  The losses are in `losses.py` and can be had from here too.  May import the floor,
ops and losses.

>>> import slotgrad as sg
>>> sg.nn.functional.softmax(sg.tensor([0.0, 0.0]))
tensor([0.5, 0.5])
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, ShapeError
from ..ops import random
from ..ops.arithmetic import maximum, where
from ..ops.declare import promote
from ..ops.functions import (
    erfc,
    expm1,
    relu as relu,
    sigmoid as sigmoid,
    softplus as _softplus,
    tanh as tanh,
)
from ..ops.index import one_hot as one_hot
from ..ops.reduce import Axis, norm
from ..tensor import Tensor
from .losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    cross_entropy as cross_entropy,
    huber_loss as huber_loss,
    l1_loss as l1_loss,
    log_softmax as log_softmax,
    mse_loss as mse_loss,
    nll_loss as nll_loss,
)


def _floating(x: Any, op: str) -> Tensor:
    return promote(x, accepts="floating", op=op)[0]


# -- activations ---------------------------------------------------------------------------------


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha * (exp(x) - 1) elsewhere.

    Source: Clevert, Unterthiner and Hochreiter, ICLR 2016.

    >>> import slotgrad as sg
    >>> [f"{y:.6f}" for y in sg.nn.functional.elu(sg.tensor([-1.0, 2.0]))]
    ['-0.632121', '2.000000']
    """
    x = _floating(x, "elu")
    below = where(x > 0, 0.0, x)  # exp must not overflow where its result is not used
    return where(x > 0, x, alpha * expm1(below))


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x above 0, negative_slope * x elsewhere.

    >>> import slotgrad as sg
    >>> sg.nn.functional.leaky_relu(sg.tensor([-2.0, 2.0]), 0.25)
    tensor([-0.5,  2. ])
    """
    x = _floating(x, "leaky_relu")
    return where(x > 0, x, negative_slope * x)


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x * P(Z <= x) for a standard normal Z: 0.5 * x * (1 + erf(x / sqrt(2))).

    approximate   "none", or "tanh": 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3)))

    Raises OptionError for another value.  Source: Hendrycks and Gimpel, arXiv:1606.08415.

    >>> import slotgrad as sg
    >>> [f"{y:.6f}" for y in sg.nn.functional.gelu(sg.tensor([-1.0, 1.0]))]
    ['-0.158655', '0.841345']
    """
    x = _floating(x, "gelu")
    if approximate == "none":
        return 0.5 * x * erfc(x * -math.sqrt(0.5))  # keeps its precision for x far below 0
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    raise OptionError(f"gelu: got approximate={approximate!r}; expected 'none' or 'tanh'")


def silu(x: Any) -> Tensor:
    """x * sigmoid(x), also called swish.

    >>> import slotgrad as sg
    >>> [f"{y:.6f}" for y in sg.nn.functional.silu(sg.tensor([0.0, 1.0]))]
    ['0.000000', '0.731059']
    """
    x = _floating(x, "silu")
    return x * sigmoid(x)


def softplus(x: Any, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta without overflow; beta > 0.

    >>> import slotgrad as sg
    >>> [f"{y:.6f}" for y in sg.nn.functional.softplus(sg.tensor([0.0, 100.0]))]
    ['0.693147', '100.000000']
    """
    if not 0 < beta < math.inf:
        raise OptionError(f"softplus: got beta={beta}; expected a finite number > 0")
    return _softplus(x) if beta == 1 else _softplus(_floating(x, "softplus") * beta) / beta


def softmax(x: Any, axis: Axis = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis (or several), without overflow.

    >>> import slotgrad as sg
    >>> sg.nn.functional.softmax(sg.tensor([[1000.0, 1000.0], [0.0, 500.0]]))
    tensor([[0.5, 0.5],
            [0. , 1. ]])
    """
    x = _floating(x, "softmax")
    shifted = (x - x.max(axis=axis, keepdims=True).detach()).exp()
    return shifted * (1 / shifted.sum(axis=axis, keepdims=True))  # one division for each row


# -- layers --------------------------------------------------------------------------------------


def linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias.

    x        (..., in)
    weight   (out, in)
    bias     (out,) or None

    Returns (..., out).  Raises ShapeError if the sizes do not fit.

    >>> import slotgrad as sg
    >>> x, w = sg.tensor([1.0, 2.0]), sg.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> sg.nn.functional.linear(x, w, sg.tensor([0.0, 0.0, 10.0]))
    tensor([ 1.,  2., 13.])
    """
    x = _floating(x, "linear")
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:]:
        raise ShapeError(
            f"linear: got x of shape {x.shape} and weight of shape {weight.shape}; expected x of"
            f" shape (..., in) and weight of shape (out, in)"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"linear: got bias of shape {bias.shape}; expected {weight.shape[:1]}, one number for"
            " each row of weight"
        )
    out = x @ weight.mT
    return out if bias is None else out + bias


def check_probability(p: float, op: str) -> float:
    """`p` as a float, or OptionError unless 0 <= p <= 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise OptionError(f"{op}: got p={p!r}; expected a probability, 0 <= p <= 1")
    return float(p)


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability p and divide the others by 1 - p.

    The mean stays what it was.  With training=False returns `x` as it is.  Draws from
    `sg.random`.  Raises OptionError unless 0 <= p <= 1.  Source: Srivastava et al., JMLR 2014.

    >>> import slotgrad as sg
    >>> sg.random.seed(1)
    >>> sorted(set(sg.nn.functional.dropout(sg.ones(50), p=0.75).tolist()))
    [0.0, 4.0]
    """
    p, x = check_probability(p, "dropout"), _floating(x, "dropout")
    if not training or p == 0:
        return x
    kept = random.bernoulli(1 - p, x.shape)
    return where(kept, x / (1 - p) if p < 1 else x, 0.0)


# -- geometry ------------------------------------------------------------------------------------


def normalize(x: Any, p: float = 2.0, axis: Axis = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm(x), eps), with the p-norm along an axis.

    >>> import slotgrad as sg
    >>> sg.nn.functional.normalize(sg.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6, 0.8],
            [0. , 0. ]])
    """
    x = _floating(x, "normalize")
    return x / maximum(norm(x, ord=p, axis=axis, keepdims=True), eps)


def cosine_similarity(a: Any, b: Any, axis: Axis = 1, eps: float = 1e-8) -> Tensor:
    """sum(a * b) / (max(|a|, eps) * max(|b|, eps)) along an axis; a and b broadcast.

    >>> import slotgrad as sg
    >>> sg.nn.functional.cosine_similarity(sg.tensor([1.0, 0.0]), sg.tensor([3.0, 4.0]), axis=0)
    tensor(0.6)
    """
    a, b = promote(a, b, accepts="floating", op="cosine_similarity")
    product = (a * b).sum(axis=axis)
    if a.ndim != b.ndim:  # so that an axis counted from the front means the same for both
        a, b = a.broadcast_to((a + b).shape), b.broadcast_to((a + b).shape)
    return product / (maximum(norm(a, axis=axis), eps) * maximum(norm(b, axis=axis), eps))
