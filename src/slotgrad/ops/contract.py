"""Matrix products and what is made of them.  May import the floor, declare, movement, parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import default_float, floating, integral
from ..errors import OptionError, ShapeError
from ..graph.apply import apply
from ..tensor import Tensor
from .declare import (
    TensorType,
    align,
    broadcast_shapes,
    check_dtype,
    normalize_axis,
    promote,
    quiet,
    structured,
    unbroadcast,
)
from .movement import as_int
from .parts import conj


@structured("matmul")
class _matmul:
    """(..., n, k) @ (..., k, m) -> (..., n, m)"""

    def type(a: TensorType, b: TensorType) -> TensorType:
        check_dtype("matmul", a.dtype, "any")
        if a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                f"matmul: cannot multiply {a.shape} by {b.shape}: inner sizes {a.shape[-1]} and"
                f" {b.shape[-2]} differ; transpose one operand?"
            )
        batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
        return TensorType((*batch, a.shape[-2], b.shape[-1]), a.dtype)

    @quiet
    def value(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if a.dtype.itemsize == 2 and a.dtype in floating:  # half precision adds up in single
            return np.matmul(a.astype(default_float), b.astype(default_float)).astype(a.dtype)
        return np.matmul(a, b)

    def vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor) -> tuple:
        return (
            lambda: unbroadcast(apply(_matmul, (g, b.mT)), a),
            lambda: unbroadcast(apply(_matmul, (a.mT, g)), b),
        )

    def jvp(tangents: tuple, out: Tensor, a: Tensor, b: Tensor) -> Tensor | None:
        va, vb = tangents
        by_a = None if va is None else apply(_matmul, (va, b))
        by_b = None if vb is None else apply(_matmul, (a, vb))
        if by_a is None or by_b is None:
            return by_b if by_a is None else by_a
        return by_a + by_b

    def batch(batched: tuple, a: Tensor, b: Tensor) -> Tensor:
        if batched == (True, False) and a.ndim == 3 and b.ndim == 2:  # one product for all
            rows = a.reshape((a.shape[0] * a.shape[1], a.shape[2]))
            return apply(_matmul, (rows, b)).reshape((*a.shape[:-1], b.shape[-1]))
        x, y = align(batched, (a, b))
        return apply(_matmul, (x, y))

    def kernel(k: Any, a: Any, b: Any) -> Any:
        return k.gemm(a, b)

    samples = [([(3, 4), (4, 2)], {}), ([(2, 3, 4), (4, 2)], {}), ([(2, 1, 2, 3), (3, 3, 1)], {})]


def matmul(a: Any, b: Any, /) -> Tensor:
    """The matrix product (..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast.

    A vector on the left is a row, on the right a column, and its axis is gone in the result.

    >>> import slotgrad as sg
    >>> sg.matmul(sg.tensor([[1.0, 2.0]]), sg.tensor([3.0, 4.0]))
    tensor([11.])
    """
    try:
        x, y = a.node.value, b.node.value
        if x.dtype is y.dtype and x.ndim > 1 and y.ndim > 1:
            return apply(_matmul, (a, b))
    except AttributeError:  # not tensors, or tensors without values
        pass
    a, b = promote(a, b, op="matmul")
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(
            f"matmul: got shapes {a.shape} and {b.shape}; expected at least one axis each, use *"
            " for numbers"
        )
    row, column = a.ndim == 1, b.ndim == 1
    left = a.reshape((1, a.shape[0])) if row else a
    right = b.reshape((b.shape[0], 1)) if column else b
    out = apply(_matmul, (left, right))
    if row:
        out = out.squeeze(-2)
    return out.squeeze(-1) if column else out


def dot(a: Any, b: Any, /) -> Tensor:
    """NumPy's dot: the product over the last axis of a and the last but one of b."""
    a, b = promote(a, b, op="dot")
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2,)))


def vecdot(a: Any, b: Any, /, axis: int = -1) -> Tensor:
    """The sum of conj(a) * b over an axis of both, of equal size; the other axes broadcast.

    Integers keep their dtype, as in matmul.
    """
    a, b = promote(a, b, op="vecdot")
    of_a, of_b = (normalize_axis(axis, x.ndim, "vecdot") for x in (a, b))
    if a.shape[of_a] != b.shape[of_b]:
        raise ShapeError(
            f"vecdot: got shapes {a.shape} and {b.shape}; expected equal sizes along axis {axis}"
        )
    products = conj(a.moveaxis(of_a, -1)) * b.moveaxis(of_b, -1)
    return products.sum(axis=-1, dtype=a.dtype if a.dtype in integral else None)


def outer(a: Any, b: Any, /) -> Tensor:
    """out[i, j] = a[i] * b[j]; the arguments are flattened."""
    a, b = promote(a, b, op="outer")
    return a.reshape((-1, 1)) * b.reshape((1, -1))


def tensordot(a: Any, b: Any, /, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum over pairs of axes: the last n of a with the first n of b, or two lists."""
    a, b = promote(a, b, op="tensordot")
    of_a, of_b = _paired_axes(a, b, axes)
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ShapeError(
            f"tensordot: cannot sum over axes {of_a} of {a.shape} and {of_b} of {b.shape}: the"
            " sizes differ"
        )
    free_a = [i for i in range(a.ndim) if i not in of_a]
    free_b = [i for i in range(b.ndim) if i not in of_b]
    inner = int(np.prod([a.shape[i] for i in of_a], dtype=np.int64))
    rows = a.permute_dims(free_a + of_a).reshape((_size(a, free_a), inner))
    columns = b.permute_dims(of_b + free_b).reshape((inner, _size(b, free_b)))
    shape = (*(a.shape[i] for i in free_a), *(b.shape[i] for i in free_b))
    return matmul(rows, columns).reshape(shape)


def _paired_axes(a: Tensor, b: Tensor, axes: Any) -> tuple[list[int], list[int]]:
    """The axes of `a` and those of `b` that tensordot sums over together."""
    if not isinstance(axes, (tuple, list)):
        count = as_int(axes, "axes", "tensordot", lowest=0)
        if count > min(a.ndim, b.ndim):
            raise ShapeError(
                f"tensordot: got axes={count} for shapes {a.shape} and {b.shape}; expected at most"
                f" {min(a.ndim, b.ndim)}"
            )
        return list(range(a.ndim - count, a.ndim)), list(range(count))
    if len(axes) != 2:
        raise OptionError(f"tensordot: got axes={axes!r}; expected an int or a pair of lists")
    of_a, of_b = (
        [normalize_axis(i, x.ndim, "tensordot") for i in (ax if _is_row(ax) else (ax,))]
        for ax, x in zip(axes, (a, b))
    )
    if len(set(of_a)) != len(of_a) or len(set(of_b)) != len(of_b):
        raise ShapeError(f"tensordot: axes={axes!r} names an axis twice; name each once")
    return of_a, of_b


def _is_row(axes: Any) -> bool:
    return isinstance(axes, (tuple, list, range))


def _size(x: Tensor, axes: Sequence[int]) -> int:
    return int(np.prod([x.shape[i] for i in axes], dtype=np.int64))


# -- einsum --------------------------------------------------------------------------------------


def einsum(subscripts: str, /, *operands: Any) -> Tensor:
    """Sums of products over named axes, as in NumPy: letters, `...` and `->`.

    Operands are contracted in pairs, each pair as a batched matrix product, in the order that
    `numpy.einsum_path` finds cheapest.

    >>> import slotgrad as sg
    >>> a = sg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> sg.einsum("ij,kj->ik", a, a), sg.einsum("ii", a)
    (tensor([[ 5., 11.],
            [11., 25.]]), tensor(5.))
    """
    if not isinstance(subscripts, str):
        raise OptionError(
            f"einsum: got subscripts {subscripts!r}; expected a string such as 'ij,jk'"
        )
    if not operands:
        raise OptionError(f"einsum: got {subscripts!r} and no operands; expected one or more")
    tensors = list(promote(*operands, op="einsum"))
    terms, output = _parse(subscripts, tensors)
    shapes = [np.broadcast_to(np.zeros(()), x.shape) for x in tensors]
    path = [(0,)]
    if len(tensors) > 1:
        spelled = f"{','.join(terms)}->{output}"
        path = np.einsum_path(spelled, *shapes, optimize="greedy")[0][1:]
    for places in path:
        chosen = [(terms[i], tensors[i]) for i in places]
        for i in sorted(places, reverse=True):
            del terms[i], tensors[i]
        kept = "".join(dict.fromkeys(c for c in output + "".join(terms)))
        term, x = chosen[0]
        for other, y in chosen[1:]:
            term, x = _pair(*_reduce(term, x, kept + other), *_reduce(other, y, kept + term), kept)
        term, x = _reduce(term, x, kept)
        terms.append(term)
        tensors.append(x)
    return tensors[0].permute_dims([terms[0].index(c) for c in output])


def _parse(subscripts: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """The axes of operands and result as letters, with `...` spelled out."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    bare = [t.replace("...", "", 1) for t in (*terms, output)]
    letters = "".join(bare)
    if len(terms) != len(tensors) or not (letters.isascii() and all(map(str.isalpha, letters))):
        raise OptionError(
            f"einsum: got {subscripts!r} for {len(tensors)} operands; expected one comma-separated"
            " term of letters for each, with at most one `...` in it"
        )
    spare = [c for c in map(chr, range(ord("A"), ord("z") + 1)) if c.isalpha() and c not in letters]
    rank = max([x.ndim - len(t) + 3 for t, x in zip(terms, tensors) if "..." in t], default=0)
    dots = "".join(spare[:rank])
    spelled = []
    for term, x in zip(terms, tensors):
        missing = x.ndim - len(term) + 3 if "..." in term else 0
        term = term.replace("...", dots[rank - missing :]) if missing >= 0 else term
        if len(term) != x.ndim:
            raise ShapeError(
                f"einsum: the term {term!r} of {subscripts!r} names {len(term)} axes, but its"
                f" operand has shape {x.shape}"
            )
        spelled.append(term)
    if arrow and rank and "..." not in output:
        raise OptionError(
            f"einsum: the output {output!r} of {subscripts!r} lacks the `...` of the inputs, which"
            f" stands for {rank} axes; add it, or sum over named axes"
        )
    if arrow:
        return _checked(subscripts, spelled, tensors, output.replace("...", dots))
    joined = "".join(spelled)
    once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots)
    return _checked(subscripts, spelled, tensors, dots + "".join(once))


def _checked(
    subscripts: str, terms: list[str], tensors: Sequence[Tensor], output: str
) -> tuple[list[str], str]:
    sizes: dict[str, int] = {}
    for term, x in zip(terms, tensors):
        for c, n in zip(term, x.shape):
            if {x.shape[i] for i, d in enumerate(term) if d == c} != {n}:
                raise ShapeError(
                    f"einsum: {c!r} stands for axes of different sizes in the term {term!r} of"
                    f" {subscripts!r}, whose operand has shape {x.shape}"
                )
            if sizes.setdefault(c, n) not in (n, 1) and n != 1:
                raise ShapeError(
                    f"einsum: axis {c!r} of {subscripts!r} has sizes {sizes[c]} and {n} in operands"
                    f" of shapes {', '.join(str(y.shape) for y in tensors)}; they must agree"
                )
            sizes[c] = max(sizes[c], n)
    if not set(output) <= set(sizes) or len(set(output)) != len(output):
        raise OptionError(
            f"einsum: the output {output!r} of {subscripts!r} must name axes of the inputs once"
        )
    return terms, output


def _reduce(term: str, x: Tensor, kept: str) -> tuple[str, Tensor]:
    """Diagonals for repeated letters, and sums over letters that nobody asks for."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            x = x.diagonal(0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    gone = tuple(i for i, c in enumerate(term) if c not in kept)
    if gone:
        x = x.sum(axis=gone)
        term = "".join(c for c in term if c in kept)
    return term, x


def _pair(a_term: str, a: Tensor, b_term: str, b: Tensor, kept: str) -> tuple[str, Tensor]:
    """Two operands as one batched matrix product."""
    common = [c for c in a_term if c in b_term]
    batch = [c for c in common if c in kept]
    inner = [c for c in common if c not in kept]
    rows = [c for c in a_term if c not in common]
    columns = [c for c in b_term if c not in common]
    size = dict(zip(b_term, b.shape))
    for c, n in zip(a_term, a.shape):
        size[c] = max(size.get(c, 1), n)

    def laid_out(x: Tensor, term: str, order: Sequence[str], groups: Sequence[list[str]]) -> Tensor:
        x = x.permute_dims([term.index(c) for c in order])
        x = x.broadcast_to(tuple(size[c] for c in order))
        lead = tuple(size[c] for c in batch)
        return x.reshape((*lead, *[int(np.prod([size[c] for c in g])) for g in groups]))

    left = laid_out(a, a_term, batch + rows + inner, (rows, inner))
    right = laid_out(b, b_term, batch + inner + columns, (inner, columns))
    term = "".join(batch + rows + columns)
    return term, matmul(left, right).reshape(tuple(size[c] for c in term))
