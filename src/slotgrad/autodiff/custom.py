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
from ..graph.node import NO_ATTRS, Node, TensorType, leaf
from ..graph.op import Op
from ..ops.declare import as_tensor
from ..ops.stop import items
from ..tensor import Tensor
from .batch import Recorder


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = Op(
            cls.__name__,
            value=_no_second_derivative,  # never asked for: apply makes the nodes itself
            type=_no_second_derivative,
            pullback=cls._pullback,
            again=cls._again,
            family="custom",
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
            return cls.forward(Context((False,) * len(args)), *args, **kwargs)
        call = Call(args, kwargs, tuple(places))
        return cls._again(*[args[i] for i in places], call=call)

    @classmethod
    def _again(cls, *tensors: Tensor, call: Call) -> Any:
        tracked = modes.grad and any(x.requires_grad for x in tensors)
        args = call.filled(tensors)
        needs = tuple(tracked and isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(needs)
        inputs = tuple(x.node for x in tensors)
        if modes.capture is not None:
            value, type = None, cls._infer_type(tensors, call)
        else:
            inner = [Tensor(leaf(x.node.value)) if isinstance(x, Tensor) else x for x in args]
            with grad_mode(False):
                result = cls.forward(ctx, *inner, **call.kwargs)
            value = _values(result, cls.__name__)
            type = None
        this = Call(call.args, call.kwargs, call.places, ctx)
        node = Node(cls._op, inputs, {"call": this}, value, tracked, user_site())
        if type is not None:
            node.type = type
            modes.capture.made.add(node)
        else:
            this.results = result if isinstance(result, tuple) else (result,)
            this.inner = tuple(inner)
            if not tracked:
                node = leaf(value) if not isinstance(value, tuple) else node
        out = Tensor(node)
        return items(out, len(node.type)) if node.several else out

    @classmethod
    def _infer_type(cls, tensors: tuple[Tensor, ...], call: Call) -> Any:
        """Types of the results: from a recorded run, or for NumPy bodies a run on ones."""
        ctx = Context((False,) * len(call.args))
        examples = []
        recorder = Recorder()
        for x in tensors:
            examples.append(recorder.placeholder(x.shape, x))
        try:
            with capturing(recorder), grad_mode(False):
                result = cls.forward(ctx, *call.filled(tuple(examples)), **call.kwargs)
            if all(
                isinstance(y, Tensor) for y in (result if isinstance(result, tuple) else (result,))
            ):
                return _types(result)
        except CaptureError:
            pass
        ones = tuple(as_tensor(np.ones(x.shape, x.dtype)) for x in tensors)
        with capturing(None), grad_mode(False):
            result = cls.forward(ctx, *call.filled(ones), **call.kwargs)
            values = _values(result, cls.__name__)
        if isinstance(values, tuple):
            return tuple(TensorType(v.shape, v.dtype) for v in values)
        return TensorType(values.shape, values.dtype)

    @classmethod
    def _pullback(cls, g: Any, out: Any, *inputs: Tensor, call: Call) -> tuple:
        ctx = call.ctx
        outs = out if isinstance(out, tuple) else (out,)
        known = {id(mine): on_graph for mine, on_graph in zip(call.results, outs)}
        known |= {id(call.inner[i]): x for i, x in zip(call.places, inputs)}
        ctx._link(known, inputs)
        returned = cls.backward(ctx, *(g if isinstance(g, tuple) else (g,)))
        gradients = returned if isinstance(returned, (tuple, list)) else (returned,)
        if len(gradients) != len(call.args):
            raise GradientError(
                f"{cls.__name__}.backward: returned {len(gradients)} gradients; expected"
                f" {len(call.args)}, one for each argument of forward (None where there is none)"
            )
        return tuple(
            _checked(gradients[i], x, i, cls.__name__) for i, x in zip(call.places, inputs)
        )


class Call:
    """The arguments of one application, the tensors among them left open."""

    def __init__(
        self, args: tuple, kwargs: dict[str, Any], places: tuple[int, ...], ctx: Any = None
    ) -> None:
        self.args = tuple(None if i in places else a for i, a in enumerate(args))
        self.kwargs = kwargs
        self.places = places
        self.ctx = ctx
        self.inner: tuple = ()  # the arguments as forward saw them
        self.results: tuple = ()  # the results as forward returned them

    def filled(self, tensors: tuple[Tensor, ...]) -> list[Any]:
        """The arguments with these tensors."""
        args = list(self.args)
        for place, x in zip(self.places, tensors):
            args[place] = x
        return args


def _types(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(TensorType(y.shape, y.dtype) for y in result)
    return TensorType(result.shape, result.dtype)


def _values(result: Any, name: str) -> Any:
    if isinstance(result, tuple):
        return tuple(as_tensor(y).numpy() for y in result)
    if result is None:
        raise UsageError(f"{name}.forward: returned None; expected a tensor or array")
    return as_tensor(result).numpy()


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
