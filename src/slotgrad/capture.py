"""Capture: a function is run once with tensors that have no values, and a region is left.

What the function reads from outside becomes state, bound by reference; what it writes is written
back by the program; what it cannot know raises and names the user's line.

    inputs  = arguments, then the state that is read
    outputs = results, the new values of the state that is written, gradients, changed arguments

May import the floor and the mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .config import capturing, grad_mode, nothing
from .errors import CaptureError, describe_site, user_site
from .graph.apply import apply, symbolic
from .graph.node import NO_ATTRS, Consumed, Node, Tapeless, TensorType, ancestors
from .graph.op import Op
from .graph.region import Region
from .ops.declare import as_tensor
from .ops.movement import broadcast_to
from .ops.stop import asking, identity
from .ops.update import through_view
from .reads import Reads, Told
from .tensor import Tensor


@dataclass(eq=False)
class State:
    """A tensor from outside that the function reads or writes, or the gradient of one."""

    tensor: Tensor
    node: Node  # stands for its value on entry
    gradient: bool = False  # this is about tensor.grad
    read: bool = False
    new: Node | None = None  # the value on exit, where the function writes it

    def value(self) -> np.ndarray | None:
        """The array that the state is in now; None for a gradient that is not there."""
        holder = self.tensor._grad if self.gradient else self.tensor
        return None if holder is None else holder.node.value

    @property
    def type(self) -> TensorType:
        return self.node.type

    def __str__(self) -> str:
        """`w  float32[3, 2]  read, written`"""
        name = (self.tensor.name or "unnamed") + (".grad" if self.gradient else "")
        uses = [word for word, on in (("read", self.read), ("written", self.new)) if on]
        return f"{name}  {self.type}  {', '.join(uses)}"


@dataclass
class Captured:
    """What a run left: the region, and what its inputs and outputs are."""

    region: Region
    result: Any  # as the function returned it
    results: int  # number of tensors in it
    tracked: list[bool]  # for each, whether gradients would flow on from it
    state: list[State]
    gradients: list[tuple[Tensor, Tensor | None]]  # the .grad on exit: kept, or none
    used_up: list[Tensor]  # whose .grad the function threw away on entry and made anew
    absent: list[Tensor]  # the .grad that were None on entry, and asked for
    guards: Reads  # what modules and optimizers said of themselves
    rebound: list[tuple[Any, str, Any]]  # attributes of modules that the function sets: to what
    changed: list[int]  # the arguments that the function changes in place

    @property
    def written(self) -> list[State]:
        return [s for s in self.state if s.new is not None]


class Capture:
    """The recorder of one run; `apply` and Tensor report to it while it is open."""

    per_example = False

    def __init__(
        self, lift: Callable[[Region], Region] | None = None, guards: Reads | None = None
    ) -> None:
        self.lift = lift
        self.guards = guards or Reads([], [])
        self.asked: dict[tuple[int, str], Any] = {}  # what the guards are about
        self.rebound: dict[int, tuple[Any, dict[str, Any]]] = {}  # by id: attributes on entry
        self.starts: set[Node] = set()  # that transformations differentiate with respect to
        self.same: dict[Node, Node] = {}  # nodes that ask for gradients: what they were before
        self.lifted: set[Node] = set()  # that results no longer depend on
        self.released: set[Node] = set()  # through which no second backward goes
        self.start = Node(None, (), NO_ATTRS, None, False).id
        self.made: set[Node] = set()
        self.overwritten: set[Node] = set()
        self.inputs: list[Node] = []
        self.states: dict[Node, State] = {}  # by the node that the tensor had on entry
        self.gradient_states: dict[int, State] = {}  # by id of the tensor
        self.first_gradients: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.absent: dict[int, Tensor] = {}
        self.first_nodes: dict[int, tuple[Tensor, Node]] = {}

    # -- what apply and the mathematics ask for --------------------------------------------

    def record(self, op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> Tensor:
        """A node for the operation, without a value."""
        out = self.adopt(symbolic(op, tuple([self.enter(x) for x in inputs]), attrs))
        if op.view:
            out.base = inputs[0]
        return out

    def adopt(self, node: Node) -> Tensor:
        """Take in a node that was made elsewhere."""
        self.made.add(node)
        return Tensor(node)

    def enter(self, x: Tensor) -> Node:
        """The node that stands for a tensor: its own, or that of the state it is."""
        node = x.node
        if node in self.made or not self.is_state(x):
            # a tensor without base is no view of the user's: derivatives want the old values
            if self.overwritten and x.base is not None and node.op and node.op.view:
                self._refuse_overwritten(node)
            return node
        if node.value is None and node not in self.states:
            raise CaptureError(
                f"a tensor made by {node.op.name if node.op else 'a capture'} at"
                f" {describe_site(node.site)} belongs to a capture that has ended and has no"
                " value; return it from the captured function instead of storing it, or change a"
                " tensor from outside in place: x.assign(values)"
            )
        state = self.state_of(x)
        state.read = True
        return state.node

    def is_state(self, x: Tensor) -> bool:
        """Whether a tensor comes from outside and may change: not made here, not a constant."""
        node = x.node
        if node in self.made or node.value is None:
            return node not in self.made
        shared_constant = node.op is None and not node.requires_grad and node.value.ndim == 0
        return node.id < self.start and not (shared_constant and not node.value.flags.writeable)

    def state_of(self, x: Tensor) -> State:
        """The entry of a tensor from outside, made when it is first met."""
        node = x.node
        if node not in self.states:
            if node.requires_grad and not (
                node.is_leaf or isinstance(node.requires_grad, Tapeless)
            ):
                raise CaptureError(
                    f"at {describe_site(user_site())} the captured function uses a tensor that"
                    f" {node.op.name if node.op else ''} at {describe_site(node.site)} computed"
                    " outside from tensors that require gradients, which cannot flow back there;"
                    " compute it inside, or pass x.detach()"
                )
            self.states[node] = State(x, self._stand_in(node, x))
        return self.states[node]

    def _stand_in(self, node: Node, x: Tensor) -> Node:
        entry = Node(None, (), NO_ATTRS, None, node.requires_grad)
        entry.type, entry.name, entry.owner = node.type, node.name, node.owner
        self.made.add(entry)
        return entry

    # -- changes in place --------------------------------------------------------------------

    def write(self, x: Tensor, action: str, where: Any, values: Any) -> Tensor:
        """Let `x` stand for a new value; a tensor from outside is written back on exit."""
        new = as_tensor(values, x.dtype).astype(x.dtype, copy=False)
        new = broadcast_to(new, x.shape) if where is ... else x.at[where].set(new)
        old, base = x.node, x.base
        if old in self.made and old.op is not None and old.op.view and base is not None:
            self.write(base, action, ..., through_view(x, new))
            x.node = apply(old.op, (base,), old.attrs).node
            return x
        if old not in self.made:
            if self.is_state(x):
                self.state_of(x)
            self.first_nodes.setdefault(id(x), (x, old))
        self.overwritten |= {old, self.states[old].node} if old in self.states else {old}
        moved = identity(new).node
        moved.requires_grad = moved.requires_grad or old.requires_grad
        moved.owner, moved.name = old.owner, old.name
        x.node = moved
        return x

    def _refuse_overwritten(self, node: Node) -> None:
        """A view would show the new values of what it was cut from, but its node the old ones."""
        base = node
        while base.op is not None and base.op.view and base.inputs:
            base = base.inputs[0]
            if base in self.overwritten:
                raise CaptureError(
                    f"{node.op.name if node.op else 'a view'} at {describe_site(node.site)} is a"
                    " view of a tensor that was changed in place since; take it again after the"
                    " change, or before it with .clone()"
                )

    def track(self, x: Tensor, on: bool) -> Node:
        """A node of the same value that asks for gradients, or stops asking."""
        if self.is_state(x):
            raise CaptureError(
                f"requires_grad_ at {describe_site(user_site())} is about a tensor from outside of"
                " the captured function; call it before, or on x.detach()"
            )
        node = asking(x, on).node
        self.same[node] = x.node
        return node

    def origin(self, node: Node) -> Node:
        """The node of the same value that it was, before it asked for gradients."""
        while node in self.same:
            node = self.same[node]
        return node

    # -- gradients ------------------------------------------------------------------------------

    def read_grad(self, x: Tensor) -> Tensor | None:
        """`x.grad`: what this run has made it, or the state it had on entry."""
        gradient = x._grad
        if gradient is not None and isinstance(gradient.node.fate, Consumed):
            raise gradient.node.fate.error("grad")
        inside = x.node in self.made and id(x) not in self.first_nodes
        if inside or id(x) in self.first_gradients:
            return gradient
        if gradient is None:
            self.absent[id(x)] = x
            return None
        state = self.gradient_states.get(id(x))
        if state is None:
            node = self._stand_in(gradient.node, gradient)
            state = self.gradient_states[id(x)] = State(x, node, gradient=True, read=True)
        return Tensor(state.node)

    def write_grad(self, x: Tensor) -> None:
        """Remember the gradient that `x` had on entry, before it changes."""
        self.first_gradients.setdefault(id(x), (x, x._grad))

    def met(self, x: Tensor) -> bool:
        """Whether the function asked for the gradient that `x` had on entry."""
        return id(x) in self.absent or id(x) in self.gradient_states

    def prepare(self, outputs: Sequence[Tensor]) -> Collection[Node]:
        """Let tensors that are about to be differentiated stand for smaller graphs.

        Derivatives of many operations on single numbers would be many more.  Returns the new nodes.
        """
        if self.lift is None:
            return ()
        roots = tuple(y.node for y in outputs)
        nodes = ancestors(roots, is_end=self._is_wanted)
        if any(n.op is not None and _is_custom(n.op) for n in nodes):
            return ()  # its derivative reads what its forward kept
        region = Region(tuple(self._ends(nodes)), roots)
        with grad_mode(True):
            smaller = self.lift(region)
        if smaller is region:
            return ()
        for y, node in zip(outputs, smaller.outputs):
            y.node = node
        new = set(smaller.nodes).difference(region.nodes)
        self.made |= new
        self.lifted.update(region.operations)
        return new

    def _is_wanted(self, node: Node) -> bool:
        """Whether somebody asks for the derivative with respect to a node."""
        return node.owner is not None or node in self.starts

    def _ends(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """The nodes where gradients end: that are wanted, or were recorded under no_grad()."""
        tracked: set[Node] = set()
        for node in nodes:
            wanted = self._is_wanted(node)
            if not (wanted or node.op is None or any(i in tracked for i in node.inputs)):
                continue
            if node.requires_grad:
                tracked.add(node)
            if wanted or (not node.requires_grad and node.op and node.op.differentiable):
                yield node

    def retain_grad(self, x: Tensor) -> None:
        """Refuse the gradient of what later results of the run do not depend on any more."""
        if x.node in self.lifted:
            raise CaptureError(
                f"retain_grad at {describe_site(user_site())} comes after a derivative of what was"
                " computed from this tensor; call it as soon as the tensor is made"
            )

    def release(self, nodes: Iterable[Node]) -> None:
        """A backward has gone through these nodes, which eager code would have freed."""
        self.released.update(n for n in nodes if n.op is not None)

    # -- guards -----------------------------------------------------------------------------------

    def depend(self, teller: Any, what: str, say: Callable[..., list[Any]]) -> None:
        """The program holds as long as an object says of itself what it said on entry.

        say   is given the attributes that differed then
        """
        if self._is_new(teller, what):
            self.guards.add(Told(what, say), say(self._before(teller)))

    def read_attribute(self, owner: Any, name: str, default: Any) -> None:
        """The program holds as long as an attribute is what it was on entry, if it still is."""
        if name not in self._before(owner) and self._is_new(owner, name):
            what = f"{name!r} of {type(owner).__name__}"
            self.guards.add(Told(what, lambda: [vars(owner).get(name, default)]))

    def rebind(self, owner: Any, name: str) -> None:
        """An attribute is about to be set, as it will be in each call."""
        _, before = self.rebound.setdefault(id(owner), (owner, {}))
        before.setdefault(name, vars(owner).get(name, nothing))

    def _before(self, owner: Any) -> dict[str, Any]:
        """The attributes that were set since, as they were on entry."""
        return self.rebound.get(id(owner), (owner, {}))[1]

    def _is_new(self, owner: Any, asked: str) -> bool:
        new = (id(owner), asked) not in self.asked
        self.asked[id(owner), asked] = owner
        return new

    def bound(self) -> list[tuple[Any, str, Any]]:
        """Attributes that were set, and to what; results of the run itself are gone with it."""
        found = [
            (owner, name, vars(owner).get(name, nothing))
            for owner, before in self.rebound.values()
            for name in before
        ]
        return [
            (x, k, v) for x, k, v in found if not (isinstance(v, Tensor) and v.node in self.made)
        ]

    # -- the end ----------------------------------------------------------------------------------

    def restore(self) -> list[tuple[Tensor, Tensor | None]]:
        """Give outside tensors back what they had on entry; returns their gradients on exit."""
        for x, node in self.first_nodes.values():
            state = self.states.get(node)
            if state is not None:
                state.new = x.node
            x.node = node
        final = []
        for x, gradient in self.first_gradients.values():
            final.append((x, x._grad))
            x._grad = gradient
        return final


def _is_custom(op: Op) -> bool:
    return op.again is not None or op.family == "inlined"


def placeholder(type: TensorType, requires_grad: bool | Tapeless = False) -> Tensor:
    """A tensor that stands for an argument."""
    node = Node(None, (), NO_ATTRS, None, requires_grad)
    node.type = type
    return Tensor(node)


def capture(
    run: Callable[[], Any],
    arguments: list[Tensor],
    leaves: Callable[[Any], list],
    lift: Callable[[Region], Region] | None = None,
    guards: Reads | None = None,
) -> Captured:
    """Record `run`, which uses the placeholders `arguments`.

    leaves  lists the tensors of a result
    lift    makes graphs smaller before they are differentiated
    guards  what it depends on, as far as that is known
    """
    recorder = Capture(lift, guards)
    entered = [x.node for x in arguments]
    recorder.made.update(entered)
    try:
        with capturing(recorder):
            result = run()
            results = [recorder.enter(y) for y in leaves(result)]
            done = recorder.released | recorder.lifted
            tracked = [y.requires_grad and y not in done for y in results]
    finally:
        gradients = recorder.restore()
    states = [*recorder.states.values(), *recorder.gradient_states.values()]
    written = [s.new for s in states if s.new is not None]
    # a .grad that the function itself resets is nobody's but its own
    used_up = [x for x, g in gradients if g is not None and not recorder.met(x)]
    gradients = [(x, g) for x, g in gradients if g is None or recorder.met(x)]
    kept = [g.node for _, g in gradients if g is not None]
    changed = [i for i, x in enumerate(arguments) if recorder.origin(x.node) is not entered[i]]
    _refuse_aliases(states)
    region = Region(
        (*entered, *(s.node for s in states)),
        (*results, *written, *kept, *(arguments[i].node for i in changed)),
    )
    return Captured(
        region,
        result,
        len(results),
        tracked,
        states,
        gradients,
        used_up,
        list(recorder.absent.values()),
        recorder.guards,
        recorder.bound(),
        changed,
    )


def _refuse_aliases(states: list[State]) -> None:
    """Two states in one memory, one of them written, would not see each other's changes."""
    values = [(s, v) for s in states if (v := s.value()) is not None and v.size]
    places = [(*byte_bounds(v), s) for s, v in values]
    furthest: tuple[int, Any] = 0, None  # where the ones before end, and the one that ends last
    written = furthest
    for begin, end, s in sorted(places, key=itemgetter(0)):
        if begin < written[0]:
            raise _shared(written[1], s)
        if s.new is not None:
            if begin < furthest[0]:
                raise _shared(s, furthest[1])
            written = max(written, (end, s), key=itemgetter(0))
        furthest = max(furthest, (end, s), key=itemgetter(0))


def _shared(written: Any, other: Any) -> CaptureError:
    return CaptureError(
        f"the captured function writes to {written}, whose memory {other} shares; use one of them"
        " only, or a copy: x.clone()"
    )
