"""Differentiable operations of the user's own: `Function` and `@op`.

Both take NumPy bodies or bodies written with sg operations.  A body with sg operations can be
differentiated any number of times; one with NumPy once.  May import the floor and ops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import capturing, grad_mode, modes
from ..errors import CaptureError, GradientError, UsageError, user_site
from ..graph.node import NO_ATTRS, Node, leaf
from ..graph.op import Op
from ..ops.declare import as_tensor, zeros_of
from ..ops.stop import items
from ..tensor import Tensor


class Context:
    """What `forward` hands to `backward`; a Function's first argument.

    Any attribute may be set on it.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        """For each argument of forward, whether its gradient is asked for."""
        self._saved: tuple = ()
        self._known: dict[int, Tensor] = {}  # inputs and outputs as they are on the graph

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors or arrays for backward, where `saved` returns them."""
        self._saved = tensors

    @property
    def saved(self) -> tuple:
        """What `save_for_backward` was given.

        Inputs and outputs are on the graph, so backward can be differentiated in turn.  What
        forward computed in between is not: a second derivative through it raises.
        """
        return tuple(self._known.get(id(x), x) for x in self._saved)

    saved_tensors = saved

    def _link(self, mine: dict[int, Tensor], inputs: tuple[Tensor, ...]) -> None:
        self._known = mine
        for x in self._saved:
            if id(x) not in mine and isinstance(x, (Tensor, np.ndarray)):
                value = x.node.value if isinstance(x, Tensor) else x
                if value is not None and value.dtype.kind in "fV":
                    between = Node(_between, tuple(i.node for i in inputs), NO_ATTRS, value, True)
                    mine[id(x)] = Tensor(between)


def _no_second_derivative(*_: Any, **__: Any) -> Any:
    raise GradientError(
        "second derivative through a value that a Function's forward computed and saved; save"
        " inputs and outputs only and compute the rest in backward with sg operations"
    )


_between = Op(
    "between",
    value=_no_second_derivative,
    type=_no_second_derivative,
    pullback=_no_second_derivative,
    pushforward=_no_second_derivative,
)


def _record(name: str, again: Any, pullback: Any) -> Op:
    """A record without value and type rule, which nobody asks for: `again` makes the nodes."""
    unused = _no_second_derivative
    return Op(name, value=unused, type=unused, pullback=pullback, again=again)


class Function:
    """An operation with a derivative of its own.

    Subclass it with two static methods and call `apply`:

    forward(ctx, *args, **kwargs)   computes; returns one tensor or array, or a tuple of them
    backward(ctx, *gradients)       one gradient for each positional argument of forward: a
                                    tensor, an array, or None where there is none

    In forward the tape is off.  Called without any tensor, apply just computes and returns what
    forward returns.

    >>> import slotgrad as sg
    >>> class Cube(sg.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved
    ...         return 3 * x * x * g
    >>> sg.grad(Cube.apply)(2.0)
    tensor(12.)
    """

    _op: Op
    _backward_op: Op

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = _record(cls.__name__, cls._again, cls._pullback)
        cls._backward_op = _record(f"{cls.__name__}.backward", cls._backward_again, None)

    @staticmethod
    def forward(ctx: Context, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; see the class."""
        raise UsageError("Function: got a class without forward; define it as a static method")

    @staticmethod
    def backward(ctx: Context, *gradients: Any) -> Any:
        """The gradients of forward's arguments; see the class."""
        raise GradientError("Function: got a class without backward; define it, or use no_grad()")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """The result of forward, tracked if an argument requires gradients."""
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        if not places:
            return cls.forward(Context((False,) * len(args)), *args, **kwargs)
        call = Call(args, kwargs, tuple(places))
        return cls._again(*[args[i] for i in places], call=call)

    @classmethod
    def _again(cls, *tensors: Tensor, call: Call) -> Any:
        """Run forward and make the node."""
        tracked = modes.grad and any(x.requires_grad for x in tensors)
        nodes = tuple(modes.capture.enter(x) if modes.capture else x.node for x in tensors)
        inner = tuple(Tensor(n) if modes.capture else detached(x) for n, x in zip(nodes, tensors))
        run = Call(call.args, call.kwargs, call.places)
        node = Node(cls._op, nodes, {"call": run}, None, tracked)
        node.site = user_site()
        try:
            run.forward(cls, inner, [tracked and x.requires_grad for x in tensors])
        except CaptureError:  # a NumPy body: it runs once there are values
            node.type = cls._types_of_a_run_on_ones(tensors, call)
        else:
            results = tuple(as_tensor(y) for y in run.results)
            if not tracked:
                return results if run.several else results[0]
            if modes.capture is None:
                values = tuple(y.node.value for y in results)
                node.value = values if run.several else values[0]
            else:
                types = tuple(y.node.type for y in results)
                node.type = types if run.several else types[0]
        return _finished(node)

    @classmethod
    def _types_of_a_run_on_ones(cls, tensors: tuple[Tensor, ...], call: Call) -> Any:
        run = Call(call.args, call.kwargs, call.places)
        ones = tuple(as_tensor(np.ones(x.shape, x.dtype)) for x in tensors)
        with capturing(None):
            run.forward(cls, ones, [False] * len(ones))
            types = tuple(as_tensor(y).node.type for y in run.results)
        return types if run.several else types[0]

    @classmethod
    def _pullback(cls, g: Any, out: Any, *inputs: Tensor, call: Call) -> tuple:
        gs = g if isinstance(g, tuple) else (g,)
        if call.ctx is None:  # recorded from a NumPy body: backward runs once there are values
            types = tuple(x.node.type for x in inputs)
            nodes = tuple(modes.capture.enter(x) for x in (*inputs, *gs))
            node = Node(cls._backward_op, nodes, {"call": call}, None, False, user_site())
            node.type = types if len(types) > 1 else types[0]
            found = _finished(node)
            return found if isinstance(found, tuple) else (found,)
        outs = out if isinstance(out, tuple) else (out,)
        call.link(inputs, outs)
        return cls._gradients(call, inputs, gs)

    @classmethod
    def _gradients(cls, call: Call, inputs: tuple[Tensor, ...], gs: tuple) -> tuple:
        assert call.ctx is not None
        returned = cls.backward(call.ctx, *gs)
        gradients = returned if isinstance(returned, (tuple, list)) else (returned,)
        if len(gradients) != len(call.args):
            raise GradientError(
                f"{cls.__name__}.backward: returned {len(gradients)} gradients; expected"
                f" {len(call.args)}, one for each argument of forward (None where there is none)"
            )
        return tuple(
            _checked(gradients[i], x, i, cls.__name__) for i, x in zip(call.places, inputs)
        )

    @classmethod
    def _backward_again(cls, *tensors: Tensor, call: Call) -> Any:
        """Run forward and backward on values: one gradient for each tensor of forward."""
        count = len(call.places)
        inputs, gs = tensors[:count], tensors[count:]
        run = Call(call.args, call.kwargs, call.places)
        run.forward(cls, tuple(detached(x) for x in inputs), [True] * count)
        with grad_mode(False):
            found = cls._gradients(run, inputs, gs)
        filled = tuple(zeros_of(x) if g is None else g for g, x in zip(found, inputs))
        return filled if count > 1 else filled[0]


def detached(x: Tensor) -> Tensor:
    """The value of `x` under a node of its own."""
    return Tensor(leaf(x._value("a Function's forward")))


def _finished(node: Node) -> Any:
    """The tensor of a node, or a tuple of its results."""
    out = modes.capture.adopt(node) if modes.capture is not None else Tensor(node)
    return items(out, len(node.type)) if node.several else out


class Call:
    """One application of a Function: its arguments, the tensors among them left open."""

    def __init__(self, args: tuple, kwargs: dict[str, Any], places: tuple[int, ...]) -> None:
        self.args = tuple(None if i in places else a for i, a in enumerate(args))
        self.kwargs = kwargs
        self.places = places
        self.ctx: Context | None = None
        self.inner: tuple = ()  # the tensors as forward saw them
        self.results: tuple = ()  # the results as forward returned them
        self.several = False

    def forward(
        self, function: type[Function], tensors: tuple[Tensor, ...], needs: list[bool]
    ) -> None:
        """Run the body without a tape and keep its context and results."""
        args = list(self.args)
        for place, x in zip(self.places, tensors):
            args[place] = x
        asked = dict(zip(self.places, needs))
        ctx = Context(tuple(asked.get(i, False) for i in range(len(args))))
        with grad_mode(False):
            result = function.forward(ctx, *args, **self.kwargs)
        self.several = isinstance(result, tuple)
        self.results = result if self.several else (result,)
        if any(y is None for y in self.results):
            raise UsageError(
                f"{function.__name__}.forward: returned None; expected a tensor or an array"
            )
        self.ctx, self.inner = ctx, tensors

    def link(self, inputs: tuple[Tensor, ...], outs: tuple[Tensor, ...]) -> None:
        """Let the context's saved values be those on the graph, for second derivatives."""
        known = {id(mine): on_graph for mine, on_graph in zip(self.results, outs)}
        known |= {id(mine): on_graph for mine, on_graph in zip(self.inner, inputs)}
        if self.ctx is not None:
            self.ctx._link(known, inputs)


def _checked(g: Any, x: Tensor, place: int, name: str) -> Tensor | None:
    if g is None:
        return None
    g = as_tensor(g, x.dtype)
    if g.shape != x.shape:
        raise GradientError(
            f"{name}.backward: gradient {place} has shape {g.shape}; expected {x.shape}, the shape"
            f" of argument {place}"
        )
    return g.astype(x.dtype)


class CustomOp:
    """A function that `@op` made an operation.  `backward` declares its derivative."""

    def __init__(self, body: Callable[..., Any]) -> None:
        self.body = body
        self.__name__, self.__doc__ = body.__name__, body.__doc__
        self.__wrapped__ = body
        self._function: type[Function] | None = None

    def backward(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the derivative: rule(g, out, *args) -> one gradient for each argument."""
        body = self.body

        def forward(ctx: Context, *args: Any, **kwargs: Any) -> Any:
            out = body(*args, **kwargs)
            ctx.save_for_backward(out, *args)
            ctx.kwargs = kwargs  # type: ignore[attr-defined]
            return out

        def backward(ctx: Context, *g: Any) -> Any:
            out, *args = ctx.saved
            return rule(g if len(g) > 1 else g[0], out, *args, **ctx.kwargs)  # type: ignore[attr-defined]

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        self._function = type(self.__name__, (Function,), methods)
        return rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._function is not None:
            return self._function.apply(*args, **kwargs)
        return self.body(*args, **kwargs)  # differentiated through its own operations

    def __repr__(self) -> str:
        return f"<sg.op {self.__name__}>"


def op(body: Callable[..., Any]) -> CustomOp:
    """Make a function an operation whose derivative `@name.backward` declares.

    The body computes with NumPy or sg operations.  Without a declared derivative, the
    operations of the body are differentiated.

    >>> import slotgrad as sg
    >>> @sg.op
    ... def mul(x, y):
    ...     return x * y
    >>> @mul.backward
    ... def _(g, out, x, y):
    ...     return g * y, g * x
    >>> sg.grad(mul, argnums=(0, 1))(2.0, 3.0)
    (tensor(3.), tensor(2.))
    """
    return CustomOp(body)
