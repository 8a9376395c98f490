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

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..config import changes, modes, no_grad
from ..dtypes import default_float, float64, floating
from ..errors import DTypeError, GradientError, OptionError, ShapeError, StateError, UsageError
from ..memory import aligned_copy
from ..tensor import Tensor, tensor

State = dict[str, Tensor]
_NUMBER = (int, float, np.integer, np.floating)


def check_at_least_0(value: Any, name: str, op: str) -> float:
    """`value` as a float, or OptionError unless it is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, _NUMBER) or not 0 <= value < math.inf:
        raise OptionError(f"{op}: got {name}={value!r}; expected a finite number >= 0")
    return float(value)


def check_fraction(value: Any, name: str, op: str) -> float:
    """`value` as a float, or OptionError unless 0 <= value < 1."""
    if isinstance(value, bool) or not isinstance(value, _NUMBER) or not 0 <= value < 1:
        raise OptionError(f"{op}: got {name}={value!r}; expected a number >= 0 and below 1")
    return float(value)


class ParamGroup:
    """Parameters with options of their own; reads like a dict.

    `group["lr"]` is the learning rate as a float, and can be set.  The other options cannot:
    a compiled step would not see the change.

    params    the parameters
    rate      the learning rate, a float64 tensor without axes
    options   the other options by name
    """

    def __init__(self, params: list[Tensor], rate: Tensor, options: dict[str, Any]) -> None:
        self.params, self.rate, self.options = params, rate, options

    def keys(self) -> list[str]:
        """The names of all options, "params" among them."""
        return ["params", "lr", *self.options]

    def __getitem__(self, name: str) -> Any:
        if name == "lr":
            return float(self.rate)
        if name == "params":
            return self.params
        if name not in self.options:
            raise OptionError(f"param_groups: got {name!r}; expected {', '.join(self.keys())}")
        return self.options[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name != "lr":
            raise OptionError(
                f"param_groups: {name!r} cannot be changed, only 'lr' can; make a new optimizer"
                " and load the state_dict of this one into it"
            )
        set_rate(self.rate, value, "param_groups")

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"ParamGroup(lr={float(self.rate)}, {options}, {len(self.params)} parameters)"


def set_rate(rate: Tensor, value: Any, op: str) -> None:
    """Write a number or a tensor without axes into a learning rate."""
    if isinstance(value, Tensor):
        if value.shape != ():
            raise ShapeError(f"{op}: got lr of shape {value.shape}; expected a tensor without axes")
        if value.node.value is not None:  # while a function is captured there is none to check
            check_at_least_0(value.item(), "lr", op)
    else:
        value = check_at_least_0(value, "lr", op)
    with no_grad():
        rate.assign(value)


class Optimizer:
    """Base of the optimizers.

    params    tensors, or dicts {"params": tensors, option: value, ...} for groups of parameters
              whose options differ from the others'
    lr        the learning rate: a number, or a tensor without axes whose value is copied
    options   the other options, as the subclass names them

    param_groups   the groups, with `group["lr"]` to be read and set
    state          for each parameter, in order, a dict of tensors

    Raises OptionError for impossible options, no parameters or one given twice, GradientError
    for a tensor that is not a leaf, DTypeError for one that is not floating-point.
    """

    def __init__(self, params: Iterable[Any], lr: Any, **options: Any) -> None:
        self.param_groups: list[ParamGroup] = []
        self.state: list[State] = []
        if isinstance(params, (Tensor, Mapping)):
            raise OptionError(
                f"{self._name}: got one {type(params).__name__} as params; expected a list of"
                " tensors or of dicts {'params': [...]}, such as model.parameters()"
            )
        for group in _as_groups(list(params), self._name):
            self.add_param_group({"lr": lr, **options, **group})

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take in more parameters: {"params": tensors, "lr": ..., option: value, ...}.

        Options that are not given are those of the first group.
        """
        first = self.param_groups[0] if self.param_groups else None
        given = dict(group)
        params = given.pop("params", [])
        params = [params] if isinstance(params, Tensor) else list(params)
        known = given.keys() if first is None else first.keys()
        if unknown := [name for name in given if name not in known]:
            raise OptionError(
                f"{self._name}: got option {unknown[0]!r}; expected {', '.join(known)}"
            )
        if first is not None:
            given = {"lr": first["lr"], **first.options, **given}
        self._check_params(params)
        rate = tensor(np.zeros((), float64), name="lr")
        set_rate(rate, given.pop("lr"), self._name)
        options = self.check(given)
        self.param_groups.append(ParamGroup(params, rate, options))
        changes.note()
        with no_grad():
            self.state += [self.init(p, options) for p in params]

    def _check_params(self, params: list[Any]) -> None:
        if not params:
            raise OptionError(
                f"{self._name}: got no parameters; expected tensors to optimize, such as"
                " model.parameters() (a generator gives its elements only once)"
            )
        seen = {id(p) for group in self.param_groups for p in group.params}
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
        states = iter(self.state)
        todo = [
            (p, p.grad, next_state, group)
            for group in self._groups()
            for p, next_state in zip(group.params, states)
            if p.grad is not None
        ]
        for p, g, _, _ in todo:
            if g.shape != p.shape:
                raise ShapeError(
                    f"{self._name}.step: got .grad of shape {g.shape} for a parameter of shape"
                    f" {p.shape}; expected equal shapes"
                )
        with no_grad():
            for p, g, state, group in todo:
                kind = working_dtype(p)
                new, changed = self.update(
                    p.astype(kind), g.astype(kind), state, group.rate, group.options
                )
                p.assign(new.astype(p.dtype))
                for name, value in changed.items():
                    state[name].assign(value)

    def zero_grad(self) -> None:
        """Set `.grad` of every parameter to None."""
        for group in self._groups():
            for p in group.params:
                p.zero_grad()

    def _groups(self) -> list[ParamGroup]:
        """The groups; a captured function holds as long as they are these."""
        if modes.capture is not None:
            modes.capture.depend(lambda: [id(group) for group in self.param_groups])
        return self.param_groups

    @property
    def lr(self) -> float:
        """The learning rate of all groups; setting it writes into the tensor that steps read."""
        rates = [group["lr"] for group in self.param_groups]
        if len(set(rates)) > 1:
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
        """The tensors that change, sharing memory: {"lr": one for each group, "state": dicts}.

        The other options are not in it; they belong to the constructor.
        """
        return {
            "lr": [group.rate.detach() for group in self.param_groups],
            "state": [{k: v.detach() for k, v in state.items()} for state in self.state],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the values of a `state_dict()` into this optimizer.

        Raises StateError naming what does not fit; then nothing has been changed.
        """
        rates = {f"lr[{i}]": group.rate for i, group in enumerate(self.param_groups)}
        targets = rates | _flat(self.state)
        try:
            given = {f"lr[{i}]": rate for i, rate in enumerate(state_dict["lr"])}
            given |= _flat(state_dict["state"])
        except (TypeError, KeyError, AttributeError):
            raise StateError(
                f"{self._name}.load_state_dict: got {type(state_dict).__name__}; expected what"
                " state_dict() returns, {'lr': [...], 'state': [{...}, ...]}"
            ) from None
        values = {name: _array(value) for name, value in given.items()}
        complaints = [f"missing {name}" for name in targets if name not in values]
        complaints += [f"unexpected {name}" for name in values if name not in targets]
        complaints += [
            f"{name} is {values[name].dtype}{list(values[name].shape)}, expected"
            f" {target.dtype}{list(target.shape)}"
            for name, target in targets.items()
            if name in values
            and not (values[name].shape == target.shape and values[name].dtype in floating)
        ]
        if complaints:
            more = f" and {len(complaints) - 5} more" if len(complaints) > 5 else ""
            raise StateError(
                f"{self._name}.load_state_dict: the state does not fit:"
                f" {'; '.join(complaints[:5])}{more}; make the optimizer with the same options and"
                " parameters as the one that was saved"
            )
        with no_grad():
            for name, value in values.items():
                targets[name].assign(value)

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


def _flat(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {f"state[{i}].{k}": v for i, state in enumerate(states) for k, v in state.items()}


def _array(value: Any) -> np.ndarray:
    """A copy, since the values may share memory with what is loaded before them."""
    return np.array(value.numpy() if isinstance(value, Tensor) else value)
