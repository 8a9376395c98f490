"""vmap: a function of one example, applied to a batch of them at once.

The function is recorded once for a single example; the graph is then evaluated with each
operation's batch rule, every batched value carrying its batch axis in front.

May import the floor and ops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from typing import Any

from ..config import capturing, grad_mode, modes
from ..errors import CaptureError, ShapeError, UsageError, describe_site, user_site
from ..graph.apply import reapply, symbolic
from ..graph.node import Node, TensorType, ancestors
from ..graph.op import Op
from ..ops.arrange import stack
from ..ops.declare import as_tensor, normalize_axis
from ..ops.movement import as_int, broadcast_to, moveaxis
from ..ops.random import random_bits, random_bits_op
from ..ops.stop import asking, items
from ..tensor import Tensor
from ..tree import flatten, unflatten


class Recorder:
    """A capture that writes down the operations on one example."""

    per_example = True

    def __init__(self) -> None:
        self.outer = modes.capture
        self.starts: set[Node] = set() if self.outer is None else self.outer.starts
        self.made: set[Node] = set()

    def record(self, op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> Tensor:
        """A node for the operation, without a value."""
        return self.adopt(symbolic(op, tuple([x.node for x in inputs]), attrs))

    def enter(self, x: Tensor) -> Node:
        """The node that stands for a tensor in the recording."""
        return x.node

    def is_state(self, x: Tensor) -> bool:
        """Whether the value of a tensor from outside may not be read: it may."""
        return False

    def read_grad(self, x: Tensor) -> Tensor | None:
        """The gradient of a tensor, from inside the function or outside."""
        return x._grad

    def write_grad(self, x: Tensor) -> None:
        """Gradients of what the function made itself are its own business."""
        if x.node not in self.made:
            raise CaptureError(
                f"backward at {describe_site(user_site())} adds to the gradient of a tensor from"
                " outside a function under vmap; use sg.grad inside it"
            )

    def prepare(self, outputs: Sequence[Tensor]) -> Collection[Node]:
        """Let tensors stand for smaller graphs, as an enclosing capture makes them."""
        made = () if self.outer is None else self.outer.prepare(outputs)
        self.made.update(made)
        return made

    def track(self, x: Tensor, on: bool) -> Node:
        """A node of the same value that asks for gradients, or stops asking."""
        return asking(x, on).node

    def release(self, nodes: Iterable[Node]) -> None:
        """Nothing: the graph of one example is gone when the function ends."""

    def retain_grad(self, x: Tensor) -> None:
        """Any tensor may have a gradient."""

    def depend(self, teller: Any, what: str, say: Callable[..., list[Any]]) -> None:
        """This recording is evaluated at once; an enclosing capture must know."""
        if self.outer is not None:
            self.outer.depend(teller, what, say)

    def read_attribute(self, owner: Any, name: str, default: Any) -> None:
        """As `depend`."""
        if self.outer is not None:
            self.outer.read_attribute(owner, name, default)

    def rebind(self, owner: Any, name: str) -> None:
        """As `depend`."""
        if self.outer is not None:
            self.outer.rebind(owner, name)

    def adopt(self, node: Node) -> Tensor:
        """Take in a node that was made elsewhere."""
        self.made.add(node)
        return Tensor(node)

    def placeholder(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An example of a batched argument."""
        node = Node(None, (), {}, None, like.requires_grad)
        node.type = TensorType(shape, like.dtype)
        node.name = like.name
        return self.adopt(node)

    def write(self, x: Tensor, action: str, where: Any, values: Any) -> Tensor:
        """In-place changes of what the function made itself are ordinary new values."""
        if x.node not in self.made:
            raise CaptureError(
                f"{action} at {describe_site(user_site())} changes a tensor from outside a function"
                " under vmap, once for all examples; return the new value instead"
            )
        new = as_tensor(values, x.dtype).astype(x.dtype, copy=False)
        x.node = (broadcast_to(new, x.shape) if where is ... else x.at[where].set(new)).node
        return x


def vmap(
    f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None
) -> Callable[..., Any]:
    """The function that applies `f` to every example along an axis of its arguments.

    in_axes    the batch axis of each argument: an int for all, or a tuple with an int, None (the
               same for all examples) or a tree of them for each argument; that of arguments by
               keyword is 0
    out_axes   where the batch axis goes in the results: an int, or a tree like the result
    axis_size  the number of examples, where no argument tells

    Random operations draw different numbers for each example.  `f` cannot look at values
    (`if x > 0`): there is no single one; use sg.where.

    >>> import slotgrad as sg
    >>> sg.vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))(sg.ones((3, 2)), sg.ones(2))
    tensor([2., 2., 2.])
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        axes = [*_axes_of(args, in_axes), *_spread(0, kwargs, len(flatten(kwargs)[0]))]
        leaves, structure = flatten((args, kwargs))
        tensors = [as_tensor(x) if a is not None else x for x, a in zip(leaves, axes)]
        size, axes = _batch_size(tensors, axes, axis_size)
        recorder = Recorder()
        examples: list[Any] = []
        values: dict[Node, tuple[Tensor, bool]] = {}
        for x, axis in zip(tensors, axes):
            if axis is None:
                examples.append(x)
                continue
            shape = (*x.shape[:axis], *x.shape[axis + 1 :])
            examples.append(recorder.placeholder(shape, x))
            values[examples[-1].node] = moveaxis(x, axis, 0), True
        with capturing(recorder):
            args, kwargs = unflatten(structure, examples)
            result = f(*args, **kwargs)
        outputs, out_structure = flatten(result)
        outputs = [as_tensor(y) for y in outputs]
        if modes.capture is not None:
            recorder.made.update(modes.capture.prepare(outputs))
        targets = _spread(out_axes, result, len(outputs))
        _evaluate(recorder, outputs, values, size)
        placed = [
            _placed(values.get(y.node, (y, False)), axis, size, y.ndim)
            for y, axis in zip(outputs, targets)
        ]
        return unflatten(out_structure, placed)

    return wrapped


def _axes_of(args: tuple, in_axes: Any) -> list[int | None]:
    """One axis or None for each leaf of the arguments."""
    per_argument = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
    if len(per_argument) != len(args):
        raise UsageError(
            f"vmap: got in_axes {in_axes} for {len(args)} arguments; expected an int or one entry"
            " for each"
        )
    axes: list[int | None] = []
    for arg, given in zip(args, per_argument):
        axes.extend(_spread(given, arg, len(flatten(arg)[0])))
    return axes


def _spread(axes: Any, tree: Any, count: int) -> list[int | None]:
    """Axes given once for a tree, or by a tree of the same structure, as a list."""
    if axes is None or isinstance(axes, int):
        return [axes] * count
    if isinstance(tree, dict) and isinstance(axes, dict) and axes.keys() == tree.keys():
        pairs = [(axes[key], child) for key, child in tree.items()]
    elif isinstance(tree, (tuple, list)) and isinstance(axes, (tuple, list)):
        pairs = list(zip(axes, tree)) if len(axes) == len(tree) else []
    else:
        pairs = []
    if not pairs and (axes or count):
        raise UsageError(
            f"vmap: got axes {axes!r} for a {type(tree).__name__} with {count} tensors; expected an"
            " int, None, or a tree of them like it"
        )
    return [a for given, child in pairs for a in _spread(given, child, len(flatten(child)[0]))]


def _batch_size(
    xs: list[Any], axes: list[int | None], axis_size: int | None
) -> tuple[int, list[int | None]]:
    batched = [(x, a) for x, a in zip(xs, axes) if a is not None]
    sizes = {x.shape[normalize_axis(a, x.ndim, "vmap")] for x, a in batched}
    if axis_size is not None:
        sizes.add(as_int(axis_size, "axis_size", "vmap", lowest=0))
    if not sizes:
        raise UsageError(
            "vmap: no argument has a batch axis; in_axes must name one, or axis_size be given"
        )
    if len(sizes) > 1:
        got = ", ".join(f"{x.shape} (axis {a})" for x, a in batched)
        got += "" if axis_size is None else f" and axis_size={axis_size}"
        raise ShapeError(f"vmap: got batches of different sizes {got}; they must agree")
    normal = [None if a is None else normalize_axis(a, x.ndim, "vmap") for x, a in zip(xs, axes)]
    return sizes.pop(), normal


def _evaluate(
    recorder: Recorder,
    outputs: list[Tensor],
    values: dict[Node, tuple[Tensor, bool]],
    size: int,
) -> None:
    """Compute the recorded nodes the outputs need; enter (tensor, batched) for each."""
    for node in ancestors([y.node for y in outputs]):
        if node in values or node not in recorder.made or node.op is None:
            continue
        inputs, flags = [], []
        for i in node.inputs:
            x, batched = values.get(i) or (Tensor(i), False)
            inputs.append(x)
            flags.append(batched)
        # what was recorded under no_grad() is computed under it
        tape = bool(node.requires_grad) or not any(i.requires_grad for i in node.inputs)
        with grad_mode(modes.grad and tape):
            if node.op is random_bits_op:
                values[node] = random_bits((size, *node.attrs["shape"])), True
            elif isinstance(inputs[0], tuple):  # an item of several results
                values[node] = inputs[0][node.attrs["index"]], flags[0]
            elif any(flags):
                values[node] = _batched(node, tuple(inputs), tuple(flags), size), True
            else:
                values[node] = reapply(node.op, tuple(inputs), node.attrs), False


def _batched(node: Node, inputs: tuple, flags: tuple[bool, ...], size: int) -> Any:
    """The result for all examples; a tuple for an operation with several."""
    op = node.op
    assert op is not None
    if op.batch is not None:
        return op.batch(flags, *inputs, **node.attrs)
    rows = []  # without a rule: example by example
    for i in range(size):
        row: Any = reapply(op, tuple(x[i] if b else x for x, b in zip(inputs, flags)), node.attrs)
        if node.several and isinstance(row, Tensor):
            row = items(row, len(node.type))
        rows.append(row if isinstance(row, tuple) else (row,))
    columns = tuple(stack(column) for column in zip(*rows))
    return columns if node.several else columns[0]


def _placed(found: tuple[Tensor, bool], axis: int | None, size: int, ndim: int) -> Tensor:
    x, batched = found
    if axis is None:
        if batched:
            raise UsageError("vmap: out_axes is None for a result that differs between examples")
        return x
    if not batched:
        x = broadcast_to(x, (size, *x.shape))
    return moveaxis(x, 0, normalize_axis(axis, ndim + 1, "vmap"))
