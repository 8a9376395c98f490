"""grad, vjp, jvp, jacobians: functions from functions, nested at will.

Each runs the function once on inputs of its own (a fresh node each) and walks the graph that
results, so that a derivative with respect to one input is never confused with another.
Arguments and results may be trees.  May import the floor, ops and the sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..config import grad_mode, modes
from ..dtypes import floating, way_to_real
from ..errors import GradientError, ShapeError, UsageError
from ..graph.node import Node, ancestors, leaf
from ..ops.declare import as_tensor, constant
from ..ops.stop import asking, detach
from ..tensor import Tensor
from ..tree import Structure, flatten, tree_map, unflatten
from .backward import reverse
from .batch import vmap
from .forward import depending_on, forward

Function = Callable[..., Any]


class Linearized:
    """A function run once: its results, and its linear part in both directions.

    Differentiates with respect to the leaves of the arguments `argnums`; with has_aux the first
    result alone, the second is `aux`.
    """

    def __init__(
        self, f: Function, args: tuple, argnums: Sequence[int], name: str, has_aux: bool = False
    ) -> None:
        self.name = name
        self.inputs, self.structure = flatten([args[i] for i in argnums])
        self.inputs = [_differentiable(x, name) for x in self.inputs]
        with grad_mode(True):
            fresh = [_fresh(x) for x in self.inputs]
            replaced = dict(zip(argnums, unflatten(self.structure, fresh)))
            result = f(*[replaced.get(i, arg) for i, arg in enumerate(args)])
        if has_aux and not (isinstance(result, (tuple, list)) and len(result) == 2):
            raise UsageError(
                f"{name}: the function returned a {type(result).__name__}; with has_aux=True"
                " expected a pair (what to differentiate, anything)"
            )
        self.starts = [x.node for x in fresh]
        self.aux: Any = None
        self.result, self.aux = result if has_aux else (result, None)
        self.has_aux = has_aux

    def follow(self, outputs: Any) -> None:
        """Find the part of the graph between the inputs and these outputs."""
        leaves, self.out_structure = flatten(outputs)
        self.outputs = [as_tensor(y) for y in leaves]
        if modes.capture is not None:
            modes.capture.prepare(self.outputs)
        roots = [y.node for y in self.outputs]
        every = ancestors(roots, tracked_only=True)
        starts = set(self.starts)
        self.order = depending_on(starts, every)
        # a tape outside this transformation asks for derivatives of our derivatives
        self.nested = modes.grad and (
            any(x.requires_grad for x in self.inputs)
            or any(
                n.requires_grad and (n.is_leaf or not n.inputs) and n not in starts for n in every
            )
        )

    def released(self, y: Any) -> Any:
        """A result without the tape of this transformation, unless an outer one needs it."""
        return y if self.nested or not isinstance(y, Tensor) else detach(y)

    def with_aux(self, *results: Any) -> Any:
        """What a transformation returns: its results, with aux behind them if there is one."""
        if self.has_aux:
            results = *results, tree_map(self.released, self.aux)
        return results if len(results) > 1 else results[0]

    def pull(self, cotangents: Sequence[Any]) -> list[Tensor]:
        """Cotangents of the inputs from those of the outputs."""
        seeds: dict[Node, Any] = {}
        for y, g in zip(self.outputs, cotangents):
            if y.node in self.order:
                seeds[y.node] = g if y.node not in seeds else seeds[y.node] + g
        starts = set(self.starts)
        with grad_mode(self.nested):
            found = reverse(seeds, self.order, starts.__contains__)
        return [
            found[start] if start in found else _zeros(x)
            for start, x in zip(self.starts, self.inputs)
        ]

    def push(self, tangents: Sequence[Any]) -> list[Tensor]:
        """Tangents of the outputs from those of the inputs."""
        with grad_mode(self.nested):
            found = forward(dict(zip(self.starts, tangents)), self.order)
        return [found[y.node] if y.node in found else _zeros(y) for y in self.outputs]


def _fresh(x: Tensor) -> Tensor:
    """A tensor of the same value whose node belongs to one transformation only."""
    if x.requires_grad or x.node.value is None or modes.capture is not None:
        return asking(x)
    node = leaf(x.node.value, requires_grad=True)
    node.name = x.node.name
    return Tensor(node)


def _zeros(x: Tensor) -> Tensor:
    return constant(np.zeros(x.shape, x.dtype))


def _differentiable(x: Any, name: str) -> Tensor:
    x = as_tensor(x)
    if x.dtype not in floating:
        raise GradientError(
            f"{name}: cannot differentiate with respect to a tensor of dtype {x.dtype};"
            f" {way_to_real(x.dtype)}, or leave its argument out of argnums"
        )
    return x


def _positions(argnums: int | Sequence[int], args: tuple, name: str) -> tuple[int, ...]:
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    for n in numbers:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise UsageError(
                f"{name}: got argnums={argnums} for {len(args)} positional arguments; expected"
                + (f" 0 to {len(args) - 1}" if args else " a positional argument")
            )
    positions = tuple(n % len(args) for n in numbers)
    if len(set(positions)) != len(positions):
        raise UsageError(f"{name}: got argnums={argnums}, which names an argument twice")
    return positions


# -- gradients -------------------------------------------------------------------------------------


def value_and_grad(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Function:
    """The function that returns (f(*args), gradient).

    f         returns a tensor with one element; with has_aux a pair (that tensor, anything)
    argnums   the argument to differentiate with respect to, or a tuple of them; the gradient has
              the structure of that argument, or is a tuple of such

    >>> import slotgrad as sg
    >>> sg.value_and_grad(lambda a, b: (a + b) * a, argnums=(0, 1))(2.0, 3.0)
    (tensor(10.), (tensor(7.), tensor(2.)))
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _positions(argnums, args, "grad")
        run = Linearized(lambda *xs: f(*xs, **kwargs), args, positions, "grad", has_aux)
        y = run.result
        if isinstance(y, Tensor) and y.dtype not in floating:
            raise GradientError(
                f"grad: the function returned a tensor of dtype {y.dtype}, which has no derivative;"
                " expected a floating-point dtype"
            )
        if not isinstance(y, Tensor) or y.size != 1:
            got = f"shape {y.shape}" if isinstance(y, Tensor) else type(y).__name__
            raise GradientError(
                f"grad: the function returned {got}; expected a tensor with one element, reduce it"
                " with .sum(), or use sg.jacrev or sg.vjp"
            )
        run.follow(y)
        gradients = unflatten(run.structure, run.pull([constant(np.ones(y.shape, y.dtype))]))
        picked = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        return run.with_aux(run.released(y)), picked

    return wrapped


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that returns the gradient of `f`; with has_aux (gradient, aux).

    See `value_and_grad` for the arguments.

    >>> import slotgrad as sg
    >>> sg.grad(sg.grad(lambda x: x**3))(2.0)
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


# -- vjp and jvp -----------------------------------------------------------------------------------


def _like(tree: Any, structure: Structure, models: Sequence[Tensor], name: str) -> list[Tensor]:
    """The leaves of a tree of (co)tangents, checked against what they belong to."""
    leaves, given = flatten(tree)
    if given != structure:
        raise UsageError(f"{name}: got a tree {given}; expected {structure}")
    found = []
    for leaf_, model in zip(leaves, models):
        v = as_tensor(leaf_, model.dtype)
        if v.shape != model.shape:
            raise ShapeError(f"{name}: got shape {v.shape}; expected {model.shape}")
        found.append(v.astype(model.dtype, copy=False))
    return found


def vjp(f: Function, *xs: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(f(*xs), pullback): the pullback maps a cotangent of the result to one for each of xs.

    With has_aux `f` returns a pair (result, anything), and vjp (result, pullback, anything).

    >>> import slotgrad as sg
    >>> y, pullback = sg.vjp(lambda x: x * x, sg.tensor([1.0, 2.0]))
    >>> pullback([1.0, 10.0])
    (tensor([ 2., 40.]),)
    """
    run = Linearized(f, xs, range(len(xs)), "vjp", has_aux)
    run.follow(run.result)

    def pullback(cotangent: Any) -> tuple:
        if run.out_structure.kind is None:
            cotangent = as_tensor(cotangent)  # a plain list will do for a single tensor
        gs = _like(cotangent, run.out_structure, run.outputs, "vjp")
        return tuple(unflatten(run.structure, run.pull(gs)))

    return run.with_aux(tree_map(run.released, run.result), pullback)


def jvp(
    f: Function, xs: Sequence[Any], vs: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """(f(*xs), derivative of f at xs in the direction vs), in one forward sweep.

    xs and vs are tuples or lists of equal structure, one entry for each argument.  With has_aux
    `f` returns a pair (result, anything), and jvp (result, derivative, anything).

    >>> import slotgrad as sg
    >>> sg.jvp(sg.sin, (0.0,), (2.0,))
    (tensor(0.), tensor(2.))
    """
    run = Linearized(f, tuple(xs), range(len(xs)), "jvp", has_aux)
    run.follow(run.result)
    tangents = _like(list(vs), run.structure, run.inputs, "jvp")
    out = unflatten(run.out_structure, run.push(tangents))
    return run.with_aux(tree_map(run.released, run.result), out)


def hvp(f: Function, xs: Sequence[Any], vs: Sequence[Any]) -> Any:
    """The Hessian of `f` at xs times vs, without the Hessian: the jvp of the gradient.

    Returns a tuple like xs.

    >>> import slotgrad as sg
    >>> sg.hvp(lambda x: (x**3).sum(), (sg.tensor([1.0, 2.0]),), (sg.tensor([1.0, 1.0]),))
    (tensor([ 6., 12.]),)
    """
    gradient = grad(f, argnums=tuple(range(len(xs))))
    return jvp(gradient, xs, vs)[1]


# -- jacobians -------------------------------------------------------------------------------------


def _basis(x: Tensor) -> Tensor:
    """The unit vectors of x's space, one for each element, in front."""
    return constant(np.eye(x.size, dtype=x.dtype).reshape((x.size, *x.shape)))


def jacrev(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that returns the Jacobian of `f`, one backward sweep for each output element.

    The result has the structure of f's result, each leaf replaced by the structure of the
    argument, each of those by a tensor of shape (*output, *input).  With has_aux `f` returns a
    pair (what to differentiate, anything), and the function returned (Jacobian, anything).

    >>> import slotgrad as sg
    >>> sg.jacrev(lambda x: x * x)(sg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _positions(argnums, args, "jacrev")
        run = Linearized(lambda *xs: f(*xs, **kwargs), args, positions, "jacrev", has_aux)
        run.follow(run.result)
        zeros = [_zeros(y) for y in run.outputs]

        def rows(number: int, y: Tensor) -> Any:
            def pull(g: Tensor) -> list[Tensor]:
                return run.pull([*zeros[:number], g, *zeros[number + 1 :]])

            stacked = vmap(pull)(_basis(y))
            blocks = [b.reshape((*y.shape, *x.shape)) for b, x in zip(stacked, run.inputs)]
            tree = unflatten(run.structure, blocks)
            return tree[0] if isinstance(argnums, int) else tuple(tree)

        blocks = [rows(i, y) for i, y in enumerate(run.outputs)]
        return run.with_aux(unflatten(run.out_structure, blocks))

    return wrapped


def jacfwd(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that returns the Jacobian of `f`, one forward sweep for each input element.

    The result is laid out as that of `jacrev`, and has_aux means the same.
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = _positions(argnums, args, "jacfwd")
        run = Linearized(lambda *xs: f(*xs, **kwargs), args, positions, "jacfwd", has_aux)
        run.follow(run.result)
        zeros = [_zeros(x) for x in run.inputs]
        columns = []  # for each input, one block for each output
        for number, x in enumerate(run.inputs):

            def push(v: Tensor, number: int = number) -> list[Tensor]:
                return run.push([*zeros[:number], v, *zeros[number + 1 :]])

            stacked = vmap(push)(_basis(x))
            columns.append(
                [
                    b.moveaxis(0, -1).reshape((*y.shape, *x.shape))
                    for b, y in zip(stacked, run.outputs)
                ]
            )

        def block(number: int) -> Any:
            tree = unflatten(run.structure, [column[number] for column in columns])
            return tree[0] if isinstance(argnums, int) else tuple(tree)

        blocks = [block(i) for i in range(len(run.outputs))]
        return run.with_aux(unflatten(run.out_structure, blocks))

    return wrapped


def hessian(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that returns the matrix of second derivatives: forward over reverse.

    With has_aux `f` returns a pair (tensor, anything), and the function (Hessian, anything).

    >>> import slotgrad as sg
    >>> sg.hessian(lambda x: x[0] * x[1] ** 2)(sg.tensor([1.0, 3.0]))
    tensor([[0., 6.],
            [6., 2.]])
    """
    return jacfwd(jacrev(f, argnums, has_aux), argnums, has_aux)
