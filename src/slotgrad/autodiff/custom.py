"""Differentiable operations of the user's own: `Function` and `@op`.

Both take NumPy bodies or bodies written with sg operations.  A body with sg operations can be
differentiated any number of times; one with NumPy once.  While a function is captured for
`sg.compile`, a body with sg operations is recorded along with the rest, and the operation's node
has the results as further inputs: they take its place once the derivatives are made.

May import the floor and ops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..config import capturing, grad_mode, modes
from ..dtypes import inexact
from ..errors import CaptureError, GradientError, UsageError, user_site
from ..graph.apply import apply
from ..graph.node import NO_ATTRS, Node, leaf
from ..graph.op import Op
from ..ops.declare import as_tensor, zeros_of
from ..ops.movement import broadcast_to
from ..ops.stop import detach, items
from ..tensor import Tensor


class Context:
    """What `forward` hands to `backward`; a Function's first argument.

    Any attribute may be set on it.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        """For each argument of forward, whether its gradient is asked for."""
        self._saved: tuple = ()
        self._known: dict[int, Any] = {}  # inputs and outputs as they are on the graph

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors or arrays for backward, where `saved` returns them."""
        self._saved = tensors

    @property
    def saved(self) -> tuple:
        """What `save_for_backward` was given.

        Inputs and outputs are on the graph, so backward can be differentiated in turn.  What
        forward computed in between is not: a second derivative through it raises.
        """
        return tuple(self._on_graph(x) for x in self._saved)

    saved_tensors = saved

    def _on_graph(self, x: Any) -> Any:
        if isinstance(x, tuple):  # the results of an operation with several
            return tuple(self._on_graph(y) for y in x)
        return self._known.get(id(x), x)

    def _link(self, known: dict[int, Any], inputs: tuple[Tensor, ...]) -> None:
        self._known = known
        for x in self._saved:
            array = isinstance(x, (Tensor, np.ndarray)) and id(x) not in known
            if array and x.dtype in inexact:
                known[id(x)] = _computed_between(inputs, as_tensor(x))


# -- records -------------------------------------------------------------------------------------


def _computed_between(inputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """A value that forward computed from its inputs, on the graph."""
    source = x.node if modes.capture is None else modes.capture.enter(x)
    node = Node(_between, (*(i.node for i in inputs), source), NO_ATTRS, source.value, True)
    if modes.capture is None or node.value is not None:
        return Tensor(node)
    node.type = source.type
    return modes.capture.adopt(node)


def _no_second_derivative(*_: Any, **__: Any) -> Any:
    raise GradientError(
        "second derivative through a value that a Function's forward computed and saved; save"
        " inputs and outputs only and compute the rest in backward with sg operations"
    )


def _between_of_examples(batched: tuple[bool, ...], *xs: Tensor) -> Tensor:
    size = next(x.shape[0] for x, b in zip(xs, batched) if b)
    value = xs[-1] if batched[-1] else broadcast_to(xs[-1], (size, *xs[-1].shape))
    return apply(_between, (*xs[:-1], value))


_between = Op(
    "between",
    value=lambda *xs: xs[-1],
    type=lambda *types: types[-1],
    pullback=_no_second_derivative,
    pushforward=_no_second_derivative,
    batch=_between_of_examples,
    family="inlined",
)


def _no_derivative_of_numpy(*_: Any, call: Call) -> Any:
    raise GradientError(
        "second derivative through a Function that computes with NumPy; write forward and backward"
        " with sg operations"
    )


def _record(name: str, again: Any, pullback: Any) -> Op:
    """A record without value and type rule, which nobody asks for: `again` makes the nodes."""
    unused = _no_second_derivative
    return Op(name, value=unused, type=unused, pullback=pullback, again=again)


def _inlined_record(name: str, pullback: Any) -> Op:
    """A record of nodes that have the results of the body behind their inputs."""

    def results(*xs: Any, call: Call) -> Any:
        found = xs[len(call.places) :]
        return found if call.several else found[0]

    return Op(name, value=results, type=results, pullback=pullback, family="inlined")


# -- operations ----------------------------------------------------------------------------------


class Function:
    """An operation with a derivative of its own.

    Subclass it with two static methods and call `apply`:

    forward(ctx, *args, **kwargs)   computes; returns one tensor or array, or a tuple of them
    backward(ctx, *gradients)       one gradient for each positional argument of forward: a
                                    tensor, an array, or None where there is none

    In forward the tape is off, and arguments stay as they are.  Called without any tensor, apply
    just computes and returns what forward returns.

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
    _inlined_op: Op
    _backward_op: Op

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = _record(cls.__name__, cls._again, cls._pullback)
        cls._inlined_op = _inlined_record(cls.__name__, cls._pullback)
        cls._backward_op = _record(
            f"{cls.__name__}.backward", cls._backward_again, _no_derivative_of_numpy
        )

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
            for a in args:  # scalars of a storage, which record the call
                if hasattr(type(a), "__slotgrad_call__"):
                    return a.__slotgrad_call__(partial(cls.apply, **kwargs), *args)
            return cls.forward(Context((False,) * len(args)), *args, **kwargs)
        call = Call(args, kwargs, tuple(places))
        return cls._again(*[args[i] for i in places], call=call)

    @classmethod
    def _again(cls, *tensors: Tensor, call: Call) -> Any:
        """Run forward and make the node."""
        capture = modes.capture
        tracked = modes.grad and any(x.requires_grad for x in tensors)
        needs = [tracked and x.requires_grad for x in tensors]
        nodes = tuple(capture.enter(x) if capture else x.node for x in tensors)
        run = Call(call.args, call.kwargs, call.places)
        begin, before = Node(None, (), NO_ATTRS, None, False).id, _overwritten()
        try:
            run.forward(cls, tuple(map(_argument, tensors, nodes, needs)), needs)
        except CaptureError as error:  # a NumPy body: it runs once there are values
            if any(n.id < begin for n in _overwritten() - before):
                raise CaptureError(  # a part of its work is recorded already
                    f"{cls.__name__}.forward: changes a tensor from outside (the key of sg.random"
                    " is one), then asks for a value while a function is captured; ask first, or"
                    f" compute with sg operations. {error}"
                ) from error
            node = Node(cls._op, nodes, {"call": run}, None, tracked, user_site())
            node.type = cls._types_of_a_run_on_ones(tensors, call)
            return _finished(node)
        if tracked or capture:
            run.refuse_changed_arguments(cls.__name__)
        results = tuple(as_tensor(y) for y in run.results)
        if not tracked:
            return results if run.several else results[0]
        op = cls._op
        if capture and not capture.per_example:
            op, nodes = cls._inlined_op, (*nodes, *(capture.enter(y) for y in results))
        node = Node(op, nodes, {"call": run}, None, tracked, user_site())
        if capture is None:
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
        inputs = inputs[: len(call.places)]
        if call.ctx is None:  # recorded from a NumPy body
            found = cls._backward_again(*inputs, *gs, call=call)
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
        """Run forward and backward once there are values: a gradient for each tensor of forward."""
        capture, count = modes.capture, len(call.places)
        inputs, gs = tensors[:count], tensors[count:]
        nodes = tuple(capture.enter(x) if capture else x.node for x in tensors)
        tracked = modes.grad and any(x.requires_grad for x in tensors)
        node = Node(cls._backward_op, nodes, {"call": call}, None, tracked, user_site())
        if capture is None:
            run = Call(call.args, call.kwargs, call.places)
            run.forward(cls, tuple(map(detached, inputs)), [True] * count)
            with grad_mode(False):
                found = cls._gradients(run, inputs, gs)
            values = tuple(
                (zeros_of(x) if g is None else g).node.value for g, x in zip(found, inputs)
            )
            node.value = values if count > 1 else values[0]
        else:
            types = tuple(x.node.type for x in inputs)
            node.type = types if count > 1 else types[0]
        return _finished(node)


def _argument(x: Tensor, node: Node, tracked: bool) -> Tensor:
    """An argument as forward sees it: the value of `x`, which `node` stands for, off the tape."""
    if modes.capture is None:
        return detached(x)
    return detach(x) if tracked else Tensor(node)


def detached(x: Tensor) -> Tensor:
    """The value of `x` under a node of its own."""
    return Tensor(leaf(x._value("a Function's forward")))


def _overwritten() -> set[Node]:
    """The nodes whose tensors were changed in place so far, as far as the capture knows."""
    known = modes.capture is not None and not modes.capture.per_example
    return set(modes.capture.overwritten) if known else set()


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
        self._entered: tuple = ()  # and their nodes
        self.results: tuple = ()  # the results as forward returned them
        self.several = False

    def __repr__(self) -> str:
        return "<Call>"

    def forward(
        self, function: type[Function], tensors: tuple[Tensor, ...], needs: list[bool]
    ) -> None:
        """Run the body without a tape and keep its context and results."""
        args = list(self.args)
        for place, x in zip(self.places, tensors):
            args[place] = x
        asked = dict(zip(self.places, needs))
        ctx = Context(tuple(asked.get(i, False) for i in range(len(args))))
        entered = tuple(x.node for x in tensors)
        with grad_mode(False):
            result = function.forward(ctx, *args, **self.kwargs)
        self.several = isinstance(result, tuple)
        self.results = result if self.several else (result,)
        if any(y is None for y in self.results):
            raise UsageError(
                f"{function.__name__}.forward: returned None; expected a tensor or an array"
            )
        self.ctx, self.inner, self._entered = ctx, tensors, entered

    def refuse_changed_arguments(self, name: str) -> None:
        """Raise if forward changed an argument in place, which no tape would notice."""
        for place, x, node in zip(self.places, self.inner, self._entered):
            if x.node is not node:
                raise UsageError(
                    f"{name}.forward: changed argument {place} in place; work on a copy of it:"
                    " x = x.clone()"
                )

    def link(self, inputs: tuple[Tensor, ...], outs: tuple[Tensor, ...]) -> None:
        """Let the context's saved values be those on the graph, for second derivatives."""
        known: dict[int, Any] = {id(given): given for given in self.args}
        known |= {id(mine): on_graph for mine, on_graph in zip(self.results, outs)}
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
    return g.astype(x.dtype, copy=False)


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

        methods = {
            "forward": staticmethod(forward),
            "backward": staticmethod(backward),
            "__module__": body.__module__,
        }
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
