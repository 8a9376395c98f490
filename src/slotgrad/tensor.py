"""The Tensor: a handle to the newest node of one value.

A Tensor can be rebound to a newer node (in-place changes, a captured update); a node never
changes what it stands for.  Operators and methods are bound by `ops/methods.py`.  May import
graph.node, namespace, config, dtypes and errors.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import modes
from .dtypes import as_dtype, bool_, default_complex, default_float, floating, way_to_real
from .errors import (
    CaptureError,
    DTypeError,
    GradientError,
    ShapeError,
    UsageError,
    describe_site,
    user_site,
)
from .graph.node import Changed, Consumed, Node, leaf
from .namespace import CPU, check_device


class Tensor:
    """An n-dimensional array that takes part in differentiation.

    Made by `sg.tensor`, the creation functions and every operation.  `grad` is None or a
    Tensor of the same shape; `backward()` adds to it.
    """

    __slots__ = ("node", "_grad", "base", "__weakref__")

    node: Node
    _grad: Tensor | None
    base: Tensor | None  # the tensor this one is a view of

    def __init__(self, node: Node) -> None:
        self.node = node
        self._grad = None
        self.base = None

    # -- what it is ------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        node = self.node
        return node.type.shape if node.value is None else node.value.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the elements."""
        node = self.node
        return node.type.dtype if node.value is None else node.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def device(self) -> str:
        """Always "cpu" (Array API standard)."""
        return CPU

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The tensor itself: "cpu" is the only device (Array API standard)."""
        check_device(device, "to_device")
        return self

    @property
    def name(self) -> str | None:
        """The name that graphs, pictures and messages show."""
        return self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        self.node.name = name

    # -- derivatives -----------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """None, or what `backward()` has added up."""
        return self._grad if modes.capture is None else modes.capture.read_grad(self)

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if modes.capture is not None:
            modes.capture.write_grad(self)
        self._grad = gradient

    @property
    def requires_grad(self) -> bool:
        """Whether backward reaches this tensor.  Can be set on leaves."""
        return bool(self.node.requires_grad)

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        self.requires_grad_(on)

    def requires_grad_(self, on: bool = True) -> Tensor:
        """Ask for gradients (or stop asking) on a leaf; returns the tensor itself."""
        node = self.node
        if on and not node.requires_grad and self.dtype not in floating:
            raise GradientError(
                f"requires_grad: got a tensor of dtype {self.dtype}; only floating-point"
                f" tensors have gradients, {way_to_real(self.dtype)}"
            )
        if not on and not self.is_leaf:
            raise GradientError(
                "requires_grad: this tensor is the result of an operation and cannot be"
                " switched off; use x.detach()"
            )
        if on != bool(node.requires_grad):
            # nodes recorded so far keep what they were recorded with
            if modes.capture is not None:
                self.node = modes.capture.track(self, on)
            else:
                self.node = Node(node.op, node.inputs, node.attrs, node.value, on)
            self.node.name = node.name
        if on:
            self.retain_grad()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no tracked operation made this tensor."""
        return self.node.is_leaf

    def retain_grad(self) -> Tensor:
        """Keep the gradient in `.grad` although an operation made this tensor."""
        if not self.node.requires_grad:
            raise GradientError(
                "retain_grad: this tensor does not require gradients; make one of its inputs"
                " with requires_grad=True"
            )
        if modes.capture is not None:
            modes.capture.retain_grad(self)
        if self.node.owner is None:
            self.node.owner = weakref.ref(self)
        return self

    def zero_grad(self) -> None:
        """Forget the gradient: `.grad` becomes None."""
        self.grad = None

    # -- leaving the graph -----------------------------------------------------------

    def _value(self, asked: str) -> np.ndarray:
        value = self.node.value
        if value is None and isinstance(self.node.fate, Consumed):
            raise self.node.fate.error(asked)
        if value is None or (modes.capture is not None and modes.capture.is_state(self)):
            made = f", made at {describe_site(self.node.site)}" if self.node.site else ""
            raise CaptureError(
                f"{asked} at {describe_site(user_site())} asks for the value of a tensor that"
                f" is only being recorded{made}; choose with sg.where(condition, a, b) instead of"
                " `if`, use the shape, name an argument that must be a number in"
                " compile(static_argnums=...), or move this line out of the captured function"
            )
        return value

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array that shares memory with the tensor."""
        return self._value("numpy()")

    def item(self) -> Any:
        """The value of a tensor with one element as a Python number."""
        value = self._value("item()")
        if value.size != 1:
            raise ShapeError(
                f"item: got a tensor of shape {value.shape}; expected one element, index it or"
                " use tolist()"
            )
        return value.item()

    def tolist(self) -> Any:
        """The value as nested lists of Python numbers."""
        return self._value("tolist()").tolist()

    def _refuse_to_leave_the_tape(self, action: str) -> None:
        if self.node.requires_grad and modes.grad:
            raise GradientError(
                f"{action} would lose the gradient; use sg functions, or ask for the value with"
                " x.numpy() or x.detach()"
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self._refuse_to_leave_the_tape("conversion to a NumPy array")
        return np.array(self._value("conversion to a NumPy array"), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        self._refuse_to_leave_the_tape("export by DLPack")
        return self._value("__dlpack__()").__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __bool__(self) -> bool:
        value = self._value("bool()")
        if value.size != 1:
            raise ShapeError(
                f"bool: got a tensor of shape {value.shape}; expected one element, use .any() or"
                " .all()"
            )
        return bool(value.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        value = self.item()
        if self.dtype.kind not in "iu":
            raise DTypeError(f"index: got a tensor of dtype {self.dtype}; expected an integer")
        return value

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len: got a tensor without axes; its size is 1")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return bool((self._value("in") == item).any())

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        if spec and self.node.value is not None and self.size == 1:
            return format(self.item(), spec)
        return repr(self) if self.node.value is None else format(repr(self), spec)

    def __repr__(self) -> str:
        shape, dtype = self.shape, self.dtype
        if self.node.value is None:
            text = f"<recorded>, shape={shape}"
        else:
            text = np.array2string(self.node.value, separator=", ", prefix="tensor(", threshold=40)
        parts = [text]
        if "..." in text:
            parts.append(f"shape={shape}")
        if dtype not in (default_float, np.dtype("int64"), np.dtype("bool")):
            parts.append(f"dtype={dtype.name}")
        if self.name:
            parts.append(f"name={self.name!r}")
        if self.requires_grad:
            op = self.node.op
            parts.append(f"op={op.name}" if op is not None else "requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict) -> Tensor:
        if isinstance(self.node.fate, Consumed):
            return type(self)(self.node)  # no value to copy, only the reason
        copied = type(self)(leaf(self._value("copy").copy()))
        copied.node.name = self.name
        if self.requires_grad:
            copied.requires_grad_()
        if self.grad is not None:
            copied.grad = self.grad.__deepcopy__(memo)
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> Any:
        return _restore, (type(self), self._value("pickle"), self.requires_grad, self.name)

    # -- changing in place -----------------------------------------------------------

    def assign(self, values: Any) -> Tensor:
        """Overwrite the value, keeping buffer, shape and dtype; returns the tensor itself.

        A leaf that requires gradients can be assigned to inside `sg.no_grad()` only.
        """
        return self.write("assign", ..., values)

    def write(self, action: str, where: Any, values: Any) -> Tensor:
        """Write `values` to the NumPy-indexed place `where` of the buffer.

        The tensor moves to a new node; the old node loses its value, so that a backward that
        still needs it raises instead of computing with the new one.
        """
        node, site = self.node, user_site(2)
        if node.requires_grad and (modes.grad or not self.is_leaf):
            what = (
                "leaf"
                if self.is_leaf
                else f"result of {node.op.name if node.op else 'a compiled function'}"
            )
            way = "inside `with sg.no_grad():`" if self.is_leaf else "on x.detach().clone()"
            raise GradientError(
                f"{action} at {describe_site(site)} changes a {what} that requires gradients in"
                f" place; do it {way}"
            )
        if modes.capture is not None:
            return modes.capture.write(self, action, where, values)
        buffer = self._value(action)
        if isinstance(values, Tensor):
            incoming = values._value(action)
        elif type(values) is int and buffer.dtype != bool_:
            incoming = tensor(values, buffer.dtype).numpy()  # a number takes the tensor's dtype
        else:
            incoming = _as_array(values)
        if not buffer.flags.writeable:
            raise UsageError(f"{action}: the tensor's memory is read-only; work on x.clone()")
        fits = incoming.dtype == buffer.dtype or not incoming.size
        if not (fits or np.can_cast(incoming.dtype, buffer.dtype, "same_kind")):
            raise DTypeError(
                f"{action}: cannot write {incoming.dtype} into a tensor of dtype {buffer.dtype};"
                " convert with astype"
            )
        try:
            buffer[where] = incoming
        except ValueError:
            raise ShapeError(
                f"{action}: cannot write values of shape {incoming.shape} to a place of shape"
                f" {buffer[where].shape}; the shapes must match or broadcast"
            ) from None
        self._renew(Changed(action, site))
        return self

    def _renew(self, fate: Changed) -> None:
        """Move on from a value that was overwritten, and so does what this is a view of."""
        old, base = self.node, self.base
        inputs: tuple[Node, ...] = ()
        if base is not None and np.may_share_memory(old.value, base.node.value):
            base._renew(fate)
            inputs = (base.node,)
        op = old.op if inputs else None
        self.node = Node(op, inputs, old.attrs, old.value, old.requires_grad)
        self.node.owner, self.node.name = old.owner, old.name
        old.type = old.type
        old.value, old.fate = None, fate

    if TYPE_CHECKING:  # bound in ops/methods.py and by the package

        def backward(
            self,
            gradient: Any = None,
            *,
            retain_graph: bool | None = None,
            create_graph: bool = False,
        ) -> None: ...
        def to_dot(self, depth: int | None = None) -> str: ...
        def _repr_html_(self) -> str: ...
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, values: Any) -> None: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...


def _restore(kind: type, value: np.ndarray, requires_grad: bool, name: str | None) -> Tensor:
    """The tensor that was pickled."""
    restored: Tensor = kind(leaf(value))
    restored.node.name = name
    return restored.requires_grad_(requires_grad)


def tensor(
    data: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    name: str | None = None,
    copy: bool | None = None,
) -> Tensor:
    """A tensor with the given values.

    data            number, nested lists, NumPy array, Tensor, or anything with `__array__`
    dtype           default: that of an array; float32, int64, bool or complex64 for Python
                    numbers
    requires_grad   whether `backward()` collects a gradient in `.grad`
    name            shown in graphs and messages
    copy            default: a NumPy array that has the dtype already is shared, not copied;
                    True: always copy; False: raise where a copy would be needed

    >>> tensor([[1.0, 2.0]], name="x")
    tensor([[1., 2.]], name='x')
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(data, Tensor):
        if modes.capture is not None:
            if wanted is None and data.node.weak is not None:
                wanted = as_dtype(data.node.weak)
            made = data.detach() if wanted is None else data.detach().astype(wanted, copy=False)
            return made.requires_grad_() if requires_grad else made
        data = data.numpy()
    array = _as_array(data)
    if wanted is None:
        wanted = _default_dtype(data, array)
    if copy is False and (array is not data or array.dtype != wanted):
        raise UsageError(
            f"tensor: copy=False, but a {type(data).__name__} cannot be shared as {wanted}; pass"
            " a NumPy array of that dtype"
        )
    try:
        if array.dtype != wanted and not isinstance(data, np.ndarray):
            array = np.array(data, dtype=wanted)
        else:
            array = np.array(array, dtype=wanted, copy=True if copy else None)
    except (OverflowError, TypeError, ValueError) as error:
        raise DTypeError(f"tensor: {error}; expected numbers that {wanted} holds") from None
    made = Tensor(leaf(array))
    made.node.name = name
    return made.requires_grad_() if requires_grad else made


def _as_array(data: Any) -> np.ndarray:
    """`data` as an array of numbers."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(
            f"tensor: the nested lists are ragged ({error}); every list at a depth must have the"
            " same length"
        ) from None
    if array.dtype.kind in "OSUMm":
        kind = f"a {type(data).__name__}" + (f" of dtype {array.dtype}" if array.ndim else "")
        hint = "; its functions are methods: x.sin()" if hasattr(data, "__slotgrad_call__") else ""
        raise DTypeError(
            f"tensor: got {kind}; expected numbers that fit 64 bits, nested lists of them, or an"
            f" array{hint}"
        )
    return array


def _default_dtype(data: Any, array: np.ndarray) -> np.dtype:
    """An array's own dtype; the default of its kind for Python numbers."""
    first = data
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not isinstance(first, (bool, int, float, complex, list, tuple)) or isinstance(
        first, np.generic
    ):
        return as_dtype(array.dtype)
    defaults = {"f": default_float, "c": default_complex}
    return defaults.get(array.dtype.kind) or as_dtype(array.dtype)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a Tensor."""
    return isinstance(x, Tensor)
