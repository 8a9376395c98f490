"""The optimizer: `init` and `update` on plain state, and `step`, which applies them.

A subclass says what state one parameter has (`init`) and how a gradient changes parameter and
state (`update`), in tensor arithmetic that reads no value.  Learning rates, step counters and
moments are tensors that change in place, so a captured step goes on changing them.  May import
the floor and ops.

    class Plain(Optimizer):
        def update(self, p, g, state, lr, options):
            return p - lr.astype(p.dtype) * g, {}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..config import changes, modes, no_grad
from ..dtypes import default_float, float64, floating
from ..errors import DTypeError, GradientError, OptionError, ShapeError, StateError, UsageError
from ..memory import aligned_copy
from ..tensor import Tensor, tensor
from .groups import ParamGroup, check_at_least_0, set_rate

State = dict[str, Tensor]


class Optimizer:
    """Base of the optimizers.

    params    tensors, or dicts {"params": tensors, option: value, ...} for groups of parameters
              whose options differ from the others'
    lr        the learning rate: a number, or a tensor without axes whose value is copied
    options   the other options, as the subclass names them

    param_groups   the groups, each a dict of its options, to be read and set; see `ParamGroup`
    state          for each parameter a dict of tensors
    defaults       the options of groups that do not say otherwise

    Raises OptionError for impossible options, no parameters or one given twice, GradientError
    for a tensor that is not a leaf, DTypeError for one that is not floating-point.

    >>> import slotgrad as sg
    >>> a, b = sg.ones(2, requires_grad=True), sg.ones(3, requires_grad=True)
    >>> opt = sg.optim.Adam([{"params": a}, {"params": b, "weight_decay": 0.1}], lr=0.01)
    >>> opt.param_groups[1]["lr"] = 0.002
    >>> [(group["lr"], group["weight_decay"]) for group in opt.param_groups]
    [(0.01, 0.0), (0.002, 0.1)]
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, **options: Any) -> None:
        self._groups: tuple[ParamGroup, ...] = ()
        self.state: dict[Tensor, State] = {}
        self.defaults = {"lr": lr, **options}
        if isinstance(params, (Tensor, Mapping)):
            raise OptionError(
                f"{self._name}: got one {type(params).__name__} as params; expected a list of"
                " tensors or of dicts {'params': [...]}, such as model.parameters()"
            )
        for group in _as_groups(list(params), self._name):
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def param_groups(self) -> tuple[ParamGroup, ...]:
        """The groups; a captured function holds as long as they are as they were."""
        if modes.capture is not None:
            modes.capture.depend(self, f"an option of {self._name}", self._told)
        return self._groups

    def _told(self, before: Any = None) -> list[Any]:
        return [x for group in self._groups for x in group.told()]

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take in more parameters: {"params": tensors, "lr": ..., option: value, ...}.

        Options that are not given are the optimizer's `defaults`.
        """
        given = {**self.defaults, **group}
        params = given.pop("params", [])
        params = (params,) if isinstance(params, Tensor) else tuple(params)
        if unknown := [name for name in given if name not in self.defaults]:
            raise OptionError(
                f"{self._name}: got option {unknown[0]!r}; expected params,"
                f" {', '.join(self.defaults)}"
            )
        self._check_params(params)
        rate = tensor(np.zeros((), float64), name="lr")
        set_rate(rate, given.pop("lr"), self._name)
        made = ParamGroup(params, rate, {}, self._accept)
        self._accept(made, given)
        self._groups = (*self._groups, made)

    def _accept(self, group: ParamGroup, options: dict[str, Any]) -> None:
        """Give a group these options, and its parameters the state that they need."""
        options = self.check(options)
        with no_grad():
            needed = [self.init(p, options) for p in group.params]
        for p, fresh in zip(group.params, needed):
            self.state[p] = {**fresh, **self.state.get(p, {})}
        group.options = options
        changes.note()

    def _check_params(self, params: Iterable[Any]) -> None:
        if not params:
            raise OptionError(
                f"{self._name}: got no parameters; expected tensors to optimize, such as"
                " model.parameters() (a generator gives its elements only once)"
            )
        seen = {id(p) for p in self.state}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise OptionError(
                    f"{self._name}: got a {type(p).__name__} as parameter {i}; expected a Tensor"
                )
            if not p.is_leaf:
                raise GradientError(
                    f"{self._name}: parameter {i} of shape {p.shape} is the result of an"
                    " operation; expected a leaf, use x.detach().clone().requires_grad_()"
                )
            if p.dtype not in floating:
                raise DTypeError(
                    f"{self._name}: parameter {i} has dtype {p.dtype}; expected a floating-point"
                    " dtype"
                )
            if id(p) in seen:
                raise OptionError(
                    f"{self._name}: parameter {i} of shape {p.shape} was given before; give each"
                    " tensor once"
                )
            seen.add(id(p))

    # -- what a subclass says ----------------------------------------------------------

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of one group, checked; a subclass raises OptionError for bad ones."""
        return options

    def init(self, p: Tensor, options: dict[str, Any]) -> State:
        """The state that one parameter begins with."""
        return {}

    def update(
        self, p: Tensor, g: Tensor, state: State, lr: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, State]:
        """The parameter and its state after one step with gradient `g`.

        p, g    of one shape and dtype; half precision comes as float32
        lr      float64, without axes
        """
        raise UsageError(f"{self._name} has no update; define it as a method of the class")

    # -- what it does ------------------------------------------------------------------

    def step(self) -> None:
        """Change every parameter that has a gradient, in place, and its state.

        Raises ShapeError before anything has changed if a gradient does not fit.
        """
        todo = [
            (p, g, group)
            for group in self.param_groups
            for p in group.params
            if (g := p.grad) is not None
        ]
        for p, g, _ in todo:
            if g.shape != p.shape:
                raise ShapeError(
                    f"{self._name}.step: got .grad of shape {g.shape} for a parameter of shape"
                    f" {p.shape}; expected equal shapes"
                )
        with no_grad():
            for p, g, group in todo:
                kind, state = working_dtype(p), self.state[p]
                new, changed = self.update(
                    p.astype(kind, copy=False),
                    g.astype(kind, copy=False),
                    state,
                    group.rate,
                    group.options,
                )
                p.assign(new.astype(p.dtype, copy=False))
                for name, value in changed.items():
                    state[name].assign(value)

    def zero_grad(self) -> None:
        """Set `.grad` of every parameter to None."""
        for group in self.param_groups:
            for p in group.params:
                p.zero_grad()

    @property
    def lr(self) -> float:
        """The learning rate of all groups; setting it writes into the tensor that steps read."""
        rates = [group["lr"] for group in self.param_groups]
        if len(set(rates)) > 1:  # so are those of several groups while they are being recorded
            raise OptionError(
                f"{self._name}.lr: the groups have different learning rates {rates}; use"
                " opt.param_groups[i]['lr']"
            )
        return rates[0]

    @lr.setter
    def lr(self, value: Any) -> None:
        for group in self.param_groups:
            set_rate(group.rate, value, self._name)

    # -- saving ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on, as PyTorch lays it out; parameters stand for their numbers.

            {"state": {0: {"step": tensor, ...}, ...},
             "param_groups": [{"params": [0, ...], "lr": 0.1, ...}, ...]}

        The tensors share memory with the optimizer's.
        """
        numbers = {p: i for i, p in enumerate(self._params())}
        states = [{k: v.detach() for k, v in self.state[p].items()} for p in numbers]
        groups = [
            {**group, "params": [numbers[p] for p in group.params]} for group in self.param_groups
        ]
        return {"state": dict(enumerate(states)), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the options and values of a `state_dict()` into this optimizer.

        Raises StateError naming what does not fit, OptionError for impossible options; then
        nothing has been changed.
        """
        try:
            saved = [dict(group) for group in state_dict["param_groups"]]
            sizes = [len(group.pop("params")) for group in saved]
            given = {
                i: {k: _array(v) for k, v in entries.items()}
                for i, entries in state_dict["state"].items()
            }
        except (TypeError, KeyError, AttributeError, ValueError):
            raise StateError(
                f"{self._name}.load_state_dict: got {type(state_dict).__name__}; expected what"
                " state_dict() returns, {'state': {0: {...}}, 'param_groups': [{...}]}"
            ) from None
        expected = [len(group.params) for group in self._groups]
        if sizes != expected:
            self._refuse([f"groups of {sizes} parameters, expected {expected}"])
        for i, given_options in enumerate(saved):
            self._refuse(_differences(f"param_groups[{i}]", given_options, self.defaults))
        rates = [check_at_least_0(group.pop("lr"), "lr", self._name) for group in saved]
        options = [self.check(group) for group in saved]
        places = [
            (p, self.init(p, chosen))
            for group, chosen in zip(self._groups, options)
            for p in group.params
        ]
        complaints = [f"unexpected state[{i}]" for i in given if i not in range(len(places))]
        for i, (p, fresh) in enumerate(places):
            complaints += _misfits(f"state[{i}]", p, fresh, given.get(i, {}))
        self._refuse(complaints)
        for i, (p, fresh) in enumerate(places):
            values = given.get(i, {})
            made = {name: tensor(aligned_copy(x)) for name, x in values.items()}
            held = {**made, **fresh, **self.state[p]}
            self.state[p] = {name: held[name] for name in values}
            with no_grad():
                for name, x in values.items():
                    held[name].assign(x)
        for group, rate, chosen in zip(self._groups, rates, options):
            set_rate(group.rate, rate, self._name)
            group.options = chosen
        changes.note()

    def _refuse(self, complaints: list[str]) -> None:
        if complaints:
            more = f" and {len(complaints) - 5} more" if len(complaints) > 5 else ""
            raise StateError(
                f"{self._name}.load_state_dict: the state does not fit:"
                f" {'; '.join(complaints[:5])}{more}; make the optimizer with parameters like those"
                " of the one that was saved"
            )

    def _params(self) -> list[Tensor]:
        return [p for group in self._groups for p in group.params]

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(map(repr, self.param_groups))})"


def working_dtype(p: Tensor) -> np.dtype:
    """The dtype in which a parameter is updated: half precision would swallow small steps."""
    return default_float if p.dtype.itemsize == 2 else p.dtype


def moment(p: Tensor) -> Tensor:
    """Zeros for a running mean of something of the shape of `p`."""
    return tensor(aligned_copy(np.zeros(p.shape, working_dtype(p))))


def counter() -> Tensor:
    """A step counter: float64, since powers of it follow."""
    return tensor(np.zeros((), float64), name="step")


def _as_groups(params: list[Any], op: str) -> list[Mapping[str, Any]]:
    grouped = [isinstance(p, Mapping) for p in params]
    if any(grouped) and not all(grouped):
        raise OptionError(f"{op}: got tensors and dicts mixed in params; expected one kind")
    if not any(grouped):
        return [{"params": params}]
    for group in params:
        if "params" not in group:
            raise OptionError(f"{op}: got a group without 'params', only {sorted(group)}")
    return params


def _differences(where: str, given: Iterable[str], expected: Iterable[str]) -> list[str]:
    """What names there are too few and too many."""
    missing = [f"missing {where}[{name!r}]" for name in expected if name not in given]
    return missing + [f"unexpected {where}[{name!r}]" for name in given if name not in expected]


def _misfits(where: str, p: Tensor, needed: State, given: Mapping[str, np.ndarray]) -> list[str]:
    """What is wrong with the values for a parameter's state.

    What it needs must be there; what the options of before needed may be.
    """
    found = _differences(where, given, {**given, **needed})
    for name, x in given.items():
        shapes = [needed[name].shape] if name in needed else [p.shape, ()]
        if x.shape not in shapes or x.dtype not in floating:
            found.append(
                f"{where}[{name!r}] is {x.dtype}{list(x.shape)}, expected floating-point numbers"
                f" of shape {' or '.join(map(str, shapes))}"
            )
    return found


def _array(value: Any) -> np.ndarray:
    """A copy, since the values may share memory with what is loaded before them."""
    return np.array(value.numpy() if isinstance(value, Tensor) else np.asarray(value))
