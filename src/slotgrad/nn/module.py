"""Parameter and Module: a model is a tree of objects whose attributes are its parts.

Names follow PyTorch.  There is no registry beside the attributes: what a module holds is found
by looking at them, in the order in which they were set.  May import the floor.

    class Net(nn.Module):
        def __init__(self):
            self.hidden = nn.Linear(2, 8)
            self.out = nn.Linear(8, 1)

        def forward(self, x):
            return self.out(self.hidden(x).tanh())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from ..config import changes, modes, no_grad, nothing
from ..dtypes import as_dtype, floating, inexact
from ..errors import DTypeError, OptionError, StateError, UsageError
from ..graph.node import Node, leaf
from ..memory import aligned_copy
from ..tensor import Tensor, tensor


class Parameter(Tensor):
    """A leaf tensor that a Module counts among its parameters and an optimizer changes.

    data            what `sg.tensor` takes; always copied, so that no other tensor changes with
                    the parameter
    requires_grad   default True, for which the dtype must be floating-point
    name            default: the name of the first attribute it is set as

    Survives pickle and deepcopy as a Parameter.

    >>> Parameter([1.0, 2.0])
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str | None = None) -> None:
        if isinstance(data, Node):  # how Tensor copies and unpickles; the node knows the rest
            super().__init__(data)
            return
        super().__init__(leaf(aligned_copy(tensor(data).numpy())))
        self.name = name
        if requires_grad:
            self.requires_grad_()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of everything with parameters; a subclass defines `forward`.

    Setting an attribute to a Parameter or a Module makes it part of this one.  A tensor that
    is state without being trained becomes part by `register_buffer`.  Plain lists and dicts are
    not searched: modules belong in a `ModuleList` or `Sequential`.

    >>> from slotgrad import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    >>> [(name, p.shape) for name, p in model.named_parameters()]
    [('0.weight', (3, 2)), ('0.bias', (3,))]
    """

    _buffers: Mapping[str, bool] = MappingProxyType({})  # name -> whether it is saved

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the module; a subclass says what it is."""
        name = type(self).__name__
        raise UsageError(f"{name} has no forward; define `def forward(self, x)` in class {name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.capture is not None:
            what = f"an attribute of {type(self).__name__}"
            modes.capture.depend(self, what, self._configuration)
        return self.forward(*args, **kwargs)

    @property
    def training(self) -> bool:
        """Whether the module is being trained, which dropout heeds; True until `eval()`."""
        if modes.capture is not None:
            modes.capture.read_attribute(self, "training", True)
        return vars(self).get("training", True)

    @training.setter
    def training(self, on: bool) -> None:
        vars(self)["training"] = on

    def _configuration(self, before: Mapping[str, Any] = MappingProxyType({})) -> list[Any]:
        """The names of all attributes but `training`, then their values.

        before   those that were other values, or `nothing`
        """
        found = {**vars(self), **before, "training": nothing}
        found = {name: value for name, value in found.items() if value is not nothing}
        return [*found, *found.values()]

    # -- parts -----------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            if value.name is None:
                value.name = name
        elif value is not None and not isinstance(value, Module):
            self._check_replacement(name, value)
        if name in self._buffers and not (value is None or type(value) is Tensor):
            raise UsageError(
                f"{type(self).__name__}.{name} is a buffer; expected a Tensor or None, got"
                f" {_kind(value)}; delete the buffer first: del module.{name}"
            )
        if modes.capture is not None:
            modes.capture.rebind(self, name)
        object.__setattr__(self, name, value)
        changes.note()

    def _check_replacement(self, name: str, value: Any) -> None:
        """Refuse to turn a parameter or module into something that is neither."""
        before = vars(self).get(name)
        if isinstance(before, Parameter):
            raise UsageError(
                f"{type(self).__name__}.{name} is a Parameter; got {_kind(value)}, which would not"
                f" be trained; change its values by module.{name}.assign(...) inside"
                " sg.no_grad(), or set an nn.Parameter or None"
            )
        if isinstance(before, Module):
            raise UsageError(
                f"{type(self).__name__}.{name} is a Module; got {_kind(value)}; expected a Module"
                " or None"
            )

    def __delattr__(self, name: str) -> None:
        if modes.capture is not None:
            modes.capture.rebind(self, name)
        object.__delattr__(self, name)
        changes.note()
        if name in self._buffers:
            object.__setattr__(
                self, "_buffers", {k: v for k, v in self._buffers.items() if k != name}
            )

    def register_buffer(self, name: str, value: Tensor | None, persistent: bool = True) -> None:
        """Set a tensor as an attribute that is part of the state but not trained.

        persistent=False keeps it out of `state_dict`.
        """
        self._check_name(name)
        if value is not None and type(value) is not Tensor:
            raise UsageError(f"register_buffer: got {_kind(value)} for {name!r}; expected a Tensor")
        object.__setattr__(self, "_buffers", {**self._buffers, name: persistent})
        setattr(self, name, value)

    def add_module(self, name: str, module: Module) -> None:
        """Set a module as an attribute; the name may be a number, as in Sequential."""
        self._check_name(name)
        if not isinstance(module, Module):
            raise UsageError(
                f"{type(self).__name__}: got {_kind(module)} as {name!r}; expected a Module, such"
                " as nn.Linear(2, 3) or nn.Tanh()"
            )
        setattr(self, name, module)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise OptionError(
                f"{type(self).__name__}: got {name!r} as the name of a part; expected a string"
                " without '.' that is no attribute yet"
            )

    # -- walking the tree ------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple, dict)) and value:
                first = next(iter(value.values() if isinstance(value, dict) else value))
                if isinstance(first, (Module, Parameter)):
                    raise UsageError(
                        f"{type(self).__name__}.{name} is a plain {type(value).__name__} that"
                        f" holds {_kind(first)}; parameters are not looked for there, make it an"
                        " nn.ModuleList or nn.Sequential, or set each as an attribute"
                    )

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        return (child for _, child in self.named_children())

    def _walk(self, prefix: str, inside: tuple[Module, ...]) -> Iterator[tuple[str, Module]]:
        """This module and all below it, as often as they occur, parents first."""
        if any(self is outer for outer in inside):
            raise UsageError(
                f"{type(self).__name__} contains itself at {prefix!r}; modules must form a tree"
            )
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name, (*inside, self))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named "") and all below it, parents first, each once."""
        return _each_once(self._walk("", ()))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, parents first, each once."""
        return (module for _, module in self.named_modules())

    def _own_parameters(self) -> Iterator[tuple[str, Tensor]]:
        return ((k, v) for k, v in list(vars(self).items()) if isinstance(v, Parameter))

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        return ((k, v) for k in self._buffers if (v := getattr(self, k)) is not None)

    def _named(
        self, own: Callable[[Module], Iterator[tuple[str, Tensor]]], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Tensor]]:
        """The tensors that `own` finds in this module and below, with their paths."""
        for path, module in self._walk(prefix, ()) if recurse else [(prefix, self)]:
            for name, value in own(module):
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Names such as "0.weight" with the parameters; a shared one comes once."""
        return _each_once(self._named(Module._own_parameters, prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, of this module and of all below it unless recurse=False."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Names with the buffers; a shared one comes once."""
        return _each_once(self._named(Module._own_buffers, prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, of this module and of all below it unless recurse=False."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    # -- state -----------------------------------------------------------------------

    def _saved(self) -> Iterator[tuple[str, Tensor]]:
        """What the module itself contributes to the state dict."""
        yield from self._own_parameters()
        yield from ((name, b) for name, b in self._own_buffers() if self._buffers[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Every parameter and persistent buffer by its path, sharing memory with the module.

        A shared tensor stands under each of its names.

        >>> from slotgrad import nn
        >>> list(nn.Sequential(nn.Linear(2, 3)).state_dict())
        ['0.weight', '0.bias']
        """
        return {name: value.detach() for name, value in self._named(Module._saved, "", True)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the values into the tensors of this module.

        state_dict   path -> Tensor, or array of any library; floating-point dtypes are converted
        strict       whether every key must be there and be known; otherwise the keys that are
                     not are returned

        Raises StateError naming all that does not fit; then nothing has been changed.
        """
        if not isinstance(state_dict, Mapping):
            raise StateError(
                f"load_state_dict: got {_kind(state_dict)}; expected a dict such as"
                " module.state_dict() returns"
            )
        targets = dict(self._named(Module._saved, "", True))
        missing = [name for name in targets if name not in state_dict]
        unexpected = [name for name in state_dict if name not in targets]
        complaints = [
            f"{what} {_listed(names)}"
            for what, names in (("missing keys", missing), ("unexpected keys", unexpected))
            if names and strict
        ]
        incoming = {}
        for name in (name for name in targets if name in state_dict):
            values, complaint = _fitted(state_dict[name], targets[name])
            if complaint:
                complaints.append(f"{name!r} {complaint}")
            incoming[name] = values
        if complaints:
            raise StateError(
                f"load_state_dict: the state dict does not fit {type(self).__name__}:"
                f" {'; '.join(complaints)}; build the module as it was when it was saved"
                f"{', or use strict=False to pass over keys' if strict else ''}"
            )
        with no_grad():
            for name, values in incoming.items():
                targets[name].assign(values)
        return IncompatibleKeys(missing, unexpected)

    # -- changing all of it ----------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set `training`, which dropout heeds, here and below; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set `.grad` of every parameter to None."""
        for p in self.parameters():
            p.zero_grad()

    def requires_grad_(self, on: bool = True) -> Self:
        """Switch the gradients of all parameters on or off; returns the module."""
        for p in self.parameters():
            p.requires_grad_(on)
        return self

    def to(self, dtype: Any) -> Self:
        """Convert floating-point parameters, their gradients and buffers; returns the module.

        The Tensor objects stay the same, so an optimizer made before keeps working.
        """
        wanted = as_dtype(dtype)
        if wanted not in floating:
            raise DTypeError(f"Module.to: got dtype {wanted}; expected a floating-point dtype")
        for _, t in _each_once(self._named(Module._own_tensors, "", True)):
            if t.dtype in floating and t.dtype != wanted:
                converted = leaf(t.numpy().astype(wanted), t.requires_grad)
                converted.name, t.node = t.name, converted
                if t.requires_grad:
                    t.retain_grad()
                if t.grad is not None:
                    t.grad = t.grad.detach().astype(wanted)
        return self

    def _own_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._own_parameters()
        yield from self._own_buffers()

    def apply(self, f: Callable[[Module], Any]) -> Self:
        """Call `f` on every module below, children first, then on this one; returns it."""
        for child in self.children():
            child.apply(f)
        f(self)
        return self

    # -- text ------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands in the parentheses of the printed module besides its children."""
        return ""

    def __repr__(self) -> str:
        head, extra = type(self).__name__, self.extra_repr()
        lines = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not lines:
            return f"{head}({extra})"
        body = "\n".join([extra] * bool(extra) + lines).replace("\n", "\n  ")
        return f"{head}(\n  {body}\n)"


def _each_once(named: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Without the objects that came before under another name."""
    seen: set[int] = set()
    for name, x in named:
        if id(x) not in seen:
            seen.add(id(x))
            yield name, x


def _fitted(value: Any, target: Tensor) -> tuple[Any, str]:
    """A copy of the values ready for the target, or what is wrong with them.

    A copy, because the values may share memory with other tensors that are loaded before.
    """
    if not hasattr(value, "__array__"):
        return None, f"is a {type(value).__name__}; expected a Tensor or an array"
    array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.shape != target.shape:
        return None, f"has shape {array.shape}, the module's has {target.shape}"
    if not np.can_cast(
        array.dtype, target.dtype, "same_kind" if target.dtype in inexact else "safe"
    ):
        return None, f"has dtype {array.dtype}, the module's has {target.dtype}"
    if not target.numpy().flags.writeable:
        return None, "is read-only in the module"
    return array.astype(target.dtype), ""


def _kind(x: Any) -> str:
    return f"a {type(x).__name__}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
