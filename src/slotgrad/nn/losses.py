"""Losses: functions, and the same as modules.  Names follow PyTorch.

reduction is "mean" (over all elements, or over all classified places), "sum", or "none", which
leaves one loss for each.  May import the floor, ops and module.

>>> import slotgrad as sg
>>> sg.nn.functional.mse_loss(sg.tensor([1.0, 2.0]), sg.tensor([1.0, 4.0]))
tensor(2.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..dtypes import floating, integral
from ..errors import BoundsError, DTypeError, OptionError, ShapeError
from ..ops.arithmetic import where
from ..ops.declare import as_tensor, promote
from ..ops.functions import abs, softplus
from ..ops.index import take, take_along_axis
from ..ops.movement import broadcast_to
from ..ops.reduce import Axis, mean, sum
from ..tensor import Tensor
from .module import Module

_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "mean": mean,
    "sum": sum,
    "none": lambda losses: losses,
}


def _check_reduction(reduction: str, op: str) -> None:
    if reduction not in _REDUCTIONS:
        raise OptionError(f"{op}: got reduction={reduction!r}; expected 'mean', 'sum' or 'none'")


def _pair(input: Any, target: Any, reduction: str, op: str) -> tuple[Tensor, Tensor]:
    """Prediction and target of one shape: broadcasting here is nearly always a mistake."""
    _check_reduction(reduction, op)
    input, target = promote(input, target, accepts="floating", op=op)
    if input.shape != target.shape:
        raise ShapeError(
            f"{op}: got input of shape {input.shape} and target of shape {target.shape}; expected"
            " equal shapes, use reshape or broadcast_to"
        )
    return input, target


# -- regression ----------------------------------------------------------------------------------


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """(input - target)**2, for tensors of one shape; by default the mean.

    >>> mse_loss([1.0, 2.0], [1.0, 4.0], reduction="none")
    tensor([0., 4.])
    """
    input, target = _pair(input, target, reduction, "mse_loss")
    error = input - target
    return _REDUCTIONS[reduction](error * error)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """|input - target|, for tensors of one shape; by default the mean.

    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    tensor(1.)
    """
    input, target = _pair(input, target, reduction, "l1_loss")
    return _REDUCTIONS[reduction](abs(input - target))


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Squared near 0 and linear beyond, for tensors of one shape; by default the mean.

    With e = input - target: e**2 / 2 where |e| <= delta, delta * (|e| - delta / 2) elsewhere.
    Raises OptionError unless delta > 0.  Source: Huber, Ann. Math. Statist. 35 (1964).

    >>> huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not 0 < delta < math.inf:
        raise OptionError(f"huber_loss: got delta={delta}; expected a finite number > 0")
    input, target = _pair(input, target, reduction, "huber_loss")
    error = input - target
    size = abs(error)
    near = where(size <= delta, error, 0.0)  # squares must not overflow where they are not used
    losses = where(size <= delta, 0.5 * near * near, delta * (size - 0.5 * delta))
    return _REDUCTIONS[reduction](losses)


# -- classification ------------------------------------------------------------------------------


def log_softmax(x: Any, axis: Axis = -1) -> Tensor:
    """log(softmax(x)) along an axis, without overflow or loss of precision.

    >>> [f"{x:.6f}" for x in log_softmax([0.0, 0.0])]
    ['-0.693147', '-0.693147']
    """
    (x,) = promote(x, accepts="floating", op="log_softmax")
    # subtracting logsumexp(x) at once would round to the precision of the largest element
    shifted = x - x.max(axis=axis, keepdims=True).detach()
    return shifted - shifted.exp().sum(axis=axis, keepdims=True).log()


def _scores(x: Any, reduction: str, op: str) -> tuple[Tensor, int]:
    """Scores of classes as a tensor, and the axis of the classes."""
    _check_reduction(reduction, op)
    (x,) = promote(x, accepts="floating", op=op)
    if x.ndim == 0:
        raise ShapeError(
            f"{op}: got a tensor without axes; expected (classes,), (batch, classes) or"
            " (batch, classes, ...)"
        )
    return x, 0 if x.ndim == 1 else 1


def _classes(target: Tensor, scores: Tensor, axis: int, op: str) -> Tensor:
    """The numbers of the right classes, checked, with the class axis in place."""
    places = (*scores.shape[:axis], *scores.shape[axis + 1 :])
    if target.dtype not in integral:
        raise DTypeError(
            f"{op}: got a target of dtype {target.dtype} and shape {target.shape}; expected class"
            f" numbers of an integer dtype and shape {places}, convert with"
            " target.astype(sg.int64)"
        )
    if target.shape != places:
        raise ShapeError(
            f"{op}: got scores of shape {scores.shape} and class numbers of shape {target.shape};"
            f" expected class numbers of shape {places}: classes are axis {axis} of the scores"
        )
    known = target.node.value  # None while a function is being captured
    count = scores.shape[axis]
    if known is not None and known.size and not (known.min() >= 0 and known.max() < count):
        raise BoundsError(
            f"{op}: got class numbers from {known.min()} to {known.max()}; expected 0 to"
            f" {count - 1}, for the {count} classes of scores of shape {scores.shape}"
        )
    return target.expand_dims(axis)


class _Weights:
    """By how much classes and places count.

    classes   one number for each class, or None: 1
    kept      for each place whether it counts, or None: all do
    target    the classes, those of places that do not count being 0
    """

    def __init__(
        self, weight: Any, ignore_index: int | None, target: Any, scores: Tensor, axis: int, op: str
    ) -> None:
        self.classes: Tensor | None = None
        self.kept: Tensor | None = None
        self.target = as_tensor(target)
        if weight is not None:
            self.classes = as_tensor(weight).astype(scores.dtype)
            self.rest = scores.ndim - axis - 1  # axes behind that of the classes
            if self.classes.shape != (scores.shape[axis],):
                raise ShapeError(
                    f"{op}: got weight of shape {self.classes.shape}; expected"
                    f" {(scores.shape[axis],)}, one number for each class"
                )
        if ignore_index is not None:
            self.kept = self.target != ignore_index
            self.target = where(self.kept, self.target, 0)

    def weighted(self, logp: Tensor) -> Tensor:
        """Each class times its weight."""
        return logp if self.classes is None else logp * self.classes.reshape(-1, *[1] * self.rest)

    def reduced(self, losses: Tensor, reduction: str) -> Tensor:
        """The losses of places with class numbers, put together: a mean is a weighted one."""
        counts = None if self.classes is None else take(self.classes, self.target)
        if self.kept is not None:
            losses = where(self.kept, losses, 0.0)
            counts = where(self.kept, 1.0 if counts is None else counts, 0.0)
        if counts is None or reduction != "mean":
            return _REDUCTIONS[reduction](losses)
        return sum(losses) / sum(counts)


def nll_loss(
    log_probabilities: Any,
    target: Any,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
) -> Tensor:
    """-log_probabilities at the right classes; by default the mean over all places.

    log_probabilities   (classes,), (batch, classes) or (batch, classes, ...)
    target              integers without the axis of the classes
    weight              (classes,): what each class counts, for means too; default 1
    ignore_index        the class number of places that do not count; default: there is none

    Raises DTypeError, ShapeError or BoundsError for a target or weight that does not fit.

    >>> nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [0, 1])
    tensor(2.5)
    >>> nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [0, -100], ignore_index=-100)
    tensor(1.)
    """
    scores, axis = _scores(log_probabilities, reduction, "nll_loss")
    weights = _Weights(weight, ignore_index, target, scores, axis, "nll_loss")
    classes = _classes(weights.target, scores, axis, "nll_loss")
    losses = -take_along_axis(weights.weighted(scores), classes, axis).squeeze(axis)
    return weights.reduced(losses, reduction)


def cross_entropy(
    logits: Any,
    target: Any,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    weight: Any = None,
    ignore_index: int | None = None,
) -> Tensor:
    """-sum of t * log_softmax(logits) over the classes; by default the mean over all places.

    logits            (classes,), (batch, classes) or (batch, classes, ...)
    target            class numbers: integers without the axis of the classes; or probabilities:
                      floating-point, of the shape of logits
    label_smoothing   s mixes the target with the uniform distribution: t = (1 - s) * target +
                      s / classes; 0 <= s <= 1
    weight            (classes,): what each class counts, for means of them too; default 1
    ignore_index      the class number of places that do not count; default: there is none

    Raises OptionError, and DTypeError, ShapeError or BoundsError for a target that does not
    fit.  Source of the smoothing: Szegedy et al., CVPR 2016.

    >>> losses = cross_entropy([[0.0, 0.0], [0.0, 2.0]], [0, 1], reduction="none")
    >>> [f"{x:.6f}" for x in losses]
    ['0.693147', '0.126928']
    >>> f"{cross_entropy([0.0, 0.0, 0.0], [0.2, 0.3, 0.5]):.6f}"
    '1.098612'
    """
    if not 0 <= label_smoothing <= 1:
        raise OptionError(
            f"cross_entropy: got label_smoothing={label_smoothing}; expected 0 <= s <= 1"
        )
    scores, axis = _scores(logits, reduction, "cross_entropy")
    weights = _Weights(weight, ignore_index, target, scores, axis, "cross_entropy")
    logp, target = weights.weighted(log_softmax(scores, axis)), weights.target
    known = target.dtype in floating and target.shape == scores.shape
    if known and ignore_index is not None:
        raise OptionError(
            f"cross_entropy: got ignore_index={ignore_index} and probabilities as target; expected"
            " class numbers, or set the probabilities of places that do not count to 0"
        )
    if known:
        excluded = (target == 0) & (logp == -math.inf)  # a class masked out: 0 * log(0) is 0
        losses = -(target * where(excluded, 0.0, logp)).sum(axis=axis)
    else:
        classes = _classes(target, scores, axis, "cross_entropy")
        losses = -take_along_axis(logp, classes, axis).squeeze(axis)
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * mean(logp, axis=axis)
    return _REDUCTIONS[reduction](losses) if known else weights.reduced(losses, reduction)


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, reduction: str = "mean", weight: Any = None, pos_weight: Any = None
) -> Tensor:
    """-(t * log(s) + (1 - t) * log(1 - s)) with s = sigmoid(logits); by default the mean.

    target       the probability of "yes", 0 to 1, in the shape of logits; booleans are 1 and 0
    weight       a factor of each loss, which broadcasts to the shape of logits; default 1
    pos_weight   a factor of the part with t, which broadcasts so, too; default 1

    Computed as softplus(logits) - t * logits, which does not overflow.

    >>> losses = binary_cross_entropy_with_logits([0.0, 100.0], [1.0, 0.0], reduction="none")
    >>> [f"{x:.6f}" for x in losses]
    ['0.693147', '100.000000']
    """
    op = "binary_cross_entropy_with_logits"
    logits, target = _pair(logits, target, reduction, op)
    known = target.node.value  # None while a function is being captured
    if known is not None and not ((known >= 0) & (known <= 1)).all():
        raise OptionError(
            f"{op}: got targets from {known.min()} to {known.max()}; expected probabilities, 0 to 1"
        )
    if pos_weight is None:
        losses = softplus(logits) - target * logits
    else:
        positive = target * _factor(pos_weight, logits)
        losses = positive * softplus(-logits) + (1 - target) * softplus(logits)
    return _REDUCTIONS[reduction](losses if weight is None else losses * _factor(weight, logits))


def _factor(weight: Any, losses: Tensor) -> Tensor:
    return broadcast_to(as_tensor(weight).astype(losses.dtype, copy=False), losses.shape)


# -- modules -------------------------------------------------------------------------------------


class _Loss(Module):
    """A loss function with its options fixed."""

    def __init__(self, reduction: str = "mean") -> None:
        _check_reduction(reduction, type(self).__name__)
        self.reduction = reduction

    def _buffer(self, name: str, value: Any) -> None:
        self.register_buffer(name, None if value is None else as_tensor(value).detach())

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """`mse_loss` as a module."""

    def forward(self, input: Any, target: Any) -> Tensor:
        return mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """`l1_loss` as a module."""

    def forward(self, input: Any, target: Any) -> Tensor:
        return l1_loss(input, target, self.reduction)


class HuberLoss(_Loss):
    """`huber_loss` as a module."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not 0 < delta < math.inf:
            raise OptionError(f"HuberLoss: got delta={delta}; expected a finite number > 0")
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta)


class NLLLoss(_Loss):
    """`nll_loss` as a module; weight is a buffer."""

    weight: Tensor | None

    def __init__(
        self, reduction: str = "mean", weight: Any = None, ignore_index: int | None = None
    ) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Any, target: Any) -> Tensor:
        return nll_loss(log_probabilities, target, self.reduction, self.weight, self.ignore_index)


class CrossEntropyLoss(_Loss):
    """`cross_entropy` as a module; weight is a buffer."""

    weight: Tensor | None

    def __init__(
        self,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        weight: Any = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self.ignore_index = ignore_index
        if not 0 <= label_smoothing <= 1:
            raise OptionError(
                f"CrossEntropyLoss: got label_smoothing={label_smoothing}; expected 0 <= s <= 1"
            )
        self.label_smoothing = label_smoothing

    def forward(self, logits: Any, target: Any) -> Tensor:
        options = self.label_smoothing, self.weight, self.ignore_index
        return cross_entropy(logits, target, self.reduction, *options)


class BCEWithLogitsLoss(_Loss):
    """`binary_cross_entropy_with_logits` as a module; the weights are buffers."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, reduction: str = "mean", weight: Any = None, pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self._buffer("pos_weight", pos_weight)

    def forward(self, logits: Any, target: Any) -> Tensor:
        weights = self.weight, self.pos_weight
        return binary_cross_entropy_with_logits(logits, target, self.reduction, *weights)
