"""Random numbers from a counter-based generator: `sg.random`.  May import the floor and declare.

Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): block
number n of the stream is a bijection of n under the key, so any part of the stream can be had
without what comes before.  Key and next block number are a tensor, the state of the generator.

>>> import slotgrad as sg
>>> sg.random.seed(7)
>>> first = sg.random.normal(3)
>>> sg.random.seed(7)
>>> bool((sg.random.normal(3) == first).all())
True
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from ..config import modes
from ..dtypes import as_dtype, default_float, default_int, finfo, float64, floating, iinfo, integral
from ..errors import DTypeError, OptionError, ShapeError
from ..graph.apply import apply
from ..tensor import Tensor, tensor
from .declare import TensorType, as_tensor, constant, structured
from .movement import as_int, as_number, as_shape, broadcast_to, concat
from .stop import clone

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

state = tensor(np.zeros(2, np.uint64), name="random state")  # key, next block
_lock = threading.Lock()


def philox(key: int, first: int, count: int) -> np.ndarray:
    """Blocks first ... first + count - 1 under a key: uint32 of shape (count, 4)."""
    numbers = np.arange(count, dtype=np.uint64) + np.uint64(first)
    zeros = np.zeros_like(numbers)
    return philox_rounds([numbers & _LOW, numbers >> _HALF, zeros, zeros], key)


def philox_rounds(c: list[np.ndarray], key: int) -> np.ndarray:
    """The blocks of counters whose four 32-bit words are the arrays of `c`."""
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(_MULTIPLIERS[0]), c[2] * np.uint64(_MULTIPLIERS[1])
        c = [
            (p1 >> _HALF) ^ c[1] ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _HALF) ^ c[3] ^ np.uint64(k1),
            p0 & _LOW,
        ]
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack(c, axis=-1).astype(np.uint32)


@structured("random_bits", accepts="any")
class random_bits_op:
    """uint32 numbers that the state determines."""

    def type(state: TensorType, shape: tuple) -> TensorType:
        return TensorType(shape, np.dtype(np.uint32))

    def value(state: np.ndarray, shape: tuple) -> np.ndarray:
        size = math.prod(shape)
        blocks = philox(int(state[0]), int(state[1]), _blocks(shape))
        return blocks.reshape(-1)[:size].reshape(shape)

    def kernel(k: Any, state: Any, shape: tuple) -> Any:
        return k.random_bits(state, shape)


def _blocks(shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // 4)


def random_bits(shape: tuple[int, ...]) -> Tensor:
    """The next uint32 numbers of the stream; the state moves on."""
    with _lock:
        bits = apply(random_bits_op, (state,), {"shape": shape})
        if modes.capture is None:
            state.write("sg.random", 1, state.numpy()[1] + np.uint64(_blocks(shape)))
        elif not modes.capture.per_example:  # vmap draws for the whole batch at once
            moved = state + constant(np.array([0, _blocks(shape)], np.uint64))
            modes.capture.write(state, "sg.random", ..., moved)
    return bits


def seed(value: int) -> None:
    """Start the stream of this seed, an int from 0 to 2**64 - 1, from its beginning."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise OptionError(f"random.seed: got {value!r}; expected an int")
    if not 0 <= value < 2**64:
        raise OptionError(f"random.seed: got {value}; expected 0 to 2**64 - 1")
    state.write("random.seed", ..., np.array([value, 0], np.uint64))


def get_state() -> Tensor:
    """A copy of the generator's state: key and next block number."""
    return state.clone()


def set_state(saved: Tensor) -> None:
    """Go back to a state that `get_state` returned."""
    saved = as_tensor(saved)
    if saved.shape != (2,) or saved.dtype != state.dtype:
        raise ShapeError(
            f"random.set_state: got shape {saved.shape}, dtype {saved.dtype}; expected (2,), uint64"
            " as get_state returns it"
        )
    state.write("random.set_state", ..., saved)


# -- distributions -----------------------------------------------------------------------------


def _unit(shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Numbers k * 2**-p in [0, 1), where p is the precision of the dtype in bits."""
    if dtype == float64:
        words = random_bits((2, *shape))
        high = (words[0] >> 5).astype(float64)
        low = (words[1] >> 6).astype(float64)
        return (high * 2.0**26 + low) * 2.0**-53
    precision = finfo(dtype).nmant + 1
    fraction = (random_bits(shape) >> (32 - precision)).astype(default_float) * 2.0**-precision
    return fraction.astype(dtype, copy=False)


def _float(dtype: Any, op: str) -> np.dtype:
    found = as_dtype(dtype)
    if found not in floating:
        raise DTypeError(f"random.{op}: got dtype {found}; expected a floating-point dtype")
    return found


def uniform(
    shape: Any = (),
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: Any = default_float,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers uniformly distributed in [low, high); rounding may give high itself."""
    low, high = as_number(low, "low", "random.uniform"), as_number(high, "high", "random.uniform")
    if not (low <= high and math.isfinite(high - low)):
        raise OptionError(f"random.uniform: got [{low}, {high}); expected finite low <= high")
    u = _unit(as_shape(shape, "random.uniform"), _float(dtype, "uniform"))
    if (low, high) != (0.0, 1.0):
        u = u * (high - low) + low
    return u.requires_grad_() if requires_grad else u


def normal(
    shape: Any = (),
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: Any = default_float,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers with a normal distribution, by the transformation of Box and Muller (1958)."""
    mean, std = as_number(mean, "mean", "random.normal"), as_number(std, "std", "random.normal")
    if std < 0:
        raise OptionError(f"random.normal: got std={std}; expected a number >= 0")
    shape, kind = as_shape(shape, "random.normal"), _float(dtype, "normal")
    size = math.prod(shape)
    u = _unit((2, (size + 1) // 2), float64 if kind == float64 else default_float)
    radius = ((1.0 - u[0]).log() * -2.0).sqrt()
    angle = u[1] * (2 * math.pi)
    pairs = concat([radius * angle.cos(), radius * angle.sin()])[:size]
    z = clone(pairs.reshape(shape).astype(kind, copy=False))  # no view of what nobody else will see
    if (mean, std) != (0.0, 1.0):
        z = z * std + mean
    return z.requires_grad_() if requires_grad else z


def randint(low: int, high: int | None = None, shape: Any = (), *, dtype: Any = None) -> Tensor:
    """Integers uniformly distributed in [low, high); with one argument in [0, low)."""
    if high is None:
        low, high = 0, low
    low, high = as_int(low, "low", "random.randint"), as_int(high, "high", "random.randint")
    kind = default_int if dtype is None else as_dtype(dtype)
    limits = iinfo(kind if kind in integral else default_int)
    least, most = max(limits.min, -(2**63)), min(limits.max, 2**63 - 1)
    if not least <= low < high <= most + 1 or high - low == 2**64:
        raise OptionError(
            f"random.randint: got [{low}, {high}) for dtype {kind}; expected low < high within"
            f" [{least}, {most}]"
        )
    words = random_bits((2, *as_shape(shape, "random.randint"))).astype("uint64")
    wide = (words[0] << 32) | words[1]  # 64 bits: the remainder's bias is below range / 2**64
    return ((wide % (high - low)).astype(default_int, copy=False) + low).astype(kind, copy=False)


def permutation(x: Any) -> Tensor:
    """The integers below `x` in random order, or the tensor `x` with its rows so."""
    rows = None if isinstance(x, (int, np.integer)) else as_tensor(x)
    count = as_int(x, "x", "random.permutation", lowest=0) if rows is None else len(rows)
    as_shape((2, count), "random.permutation")
    words = random_bits((2, count)).astype("uint64")
    order = ((words[0] << 32) | words[1]).argsort()
    return order if rows is None else rows.take(order, axis=0)


def bernoulli(p: Any = 0.5, shape: Any = None) -> Tensor:
    """True with probability p, for each element of p or of `shape`, to which p broadcasts."""
    p = as_tensor(p)
    shape = p.shape if shape is None else as_shape(shape, "random.bernoulli")
    if modes.capture is None and not bool(((p >= 0) & (p <= 1)).all()):
        raise OptionError(f"random.bernoulli: got p={p}; expected 0 <= p <= 1")
    return _unit(shape, default_float) < broadcast_to(p, shape)


def choice(x: Any, shape: Any = (), replace: bool = True, p: Any = None) -> Tensor:
    """Random elements of a tensor (rows, along its first axis), or integers below an int.

    p        probabilities, default equal; they must add up to 1
    replace  False: no element twice (only with equal probabilities)
    """
    rows = None if isinstance(x, (int, np.integer)) else as_tensor(x)
    count, shape = int(x) if rows is None else len(rows), as_shape(shape, "random.choice")
    size = math.prod(shape)
    if count < 0 or (count == 0 and size > 0):
        raise OptionError(f"random.choice: got {count} elements to choose from; expected some")
    if not replace:
        if size > count or p is not None:
            raise OptionError(
                f"random.choice: got {size} of {count} elements without replacement"
                f"{' and p' if p is not None else ''}; expected at most {count} and no p"
            )
        found = permutation(count)[:size].reshape(shape)
    elif p is None:
        found = randint(0, count, shape)
    else:
        weights = as_tensor(p).astype(float64, copy=False)
        _check_probabilities(weights, count)
        ends = weights.cumsum()
        u = _unit((size,), float64) * ends[-1]
        found = (u[:, None] >= ends[None, :-1]).sum(axis=1).reshape(shape)
    return found if rows is None else rows.take(found, axis=0)


def _check_probabilities(weights: Tensor, count: int) -> None:
    """Values that are only being recorded are taken to be right."""
    known = modes.capture is None
    total = float(weights.sum()) if known else 1.0
    negative = known and bool((weights < 0).any())
    if weights.shape != (count,) or not abs(total - 1) <= 1e-5 or negative:
        raise OptionError(
            f"random.choice: got p of shape {weights.shape} with sum {total}; expected {count}"
            " probabilities >= 0 that add up to 1"
        )
