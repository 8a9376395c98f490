"""What follows a matrix product on its registers: the elementwise rest of a kernel.

May import the floor, kernel and the writers of LLVM text.
"""

from __future__ import annotations

from ..dtypes import bool_
from ..graph.node import Node
from ..kernel.group import row_stride
from ..kernel.ir import Product, View
from .emit import Emit, Index
from .lanes import Value, computed
from .module import Module
from .vector import Vector


class Epilogue:
    """Called for each vector of the result; see `gemm.gemm_function`.

    views    where inputs and outputs lie, in the order of the parameters `extra`
    """

    def __init__(self, product: Product, module: Module, lanes: int) -> None:
        self.product = product
        self.then = product.then
        self.views = [*self.then.inputs.values(), *self.then.writes]
        self.extra = [f"x{i}" for i in range(len(self.views))]
        self.k = Vector(module, lanes, prefix="%w")

    def __call__(
        self, emit: Emit, vector: str, row: Index, column: Index, mask: str | None
    ) -> None:
        k, then = self.k, self.then
        k.lines = emit.lines
        lanes = None if mask is None else Value(mask, bool_, k)
        dtype = self.product.node.type.dtype
        with k.scope():
            known = {self.product.node: Value(vector, dtype, k)}
            for name, (node, view) in zip(self.extra, then.inputs.items()):
                known[node] = self._load(emit, f"%{name}", view, row, column, lanes)
            for node in then.nodes:
                known[node] = self._apply(node, known)
            for name, (node, view) in zip(self.extra[len(then.inputs) :], then.outputs):
                value = known[then.same.get(node, node)]
                k.store(value, view.dtype, f"%{name}", _place(emit, view, row, column), lanes)

    def _apply(self, node: Node, known: dict[Node, Value]) -> Value:
        assert node.op is not None and node.op.kernel is not None
        inputs = [known[self.then.same.get(i, i)] for i in node.inputs]
        result = node.op.kernel(self.k, *inputs, **node.attrs)
        if isinstance(result, Value):
            return result
        return self.k.constant(result, computed(node.type.dtype))

    def _load(
        self, emit: Emit, name: str, view: View, row: Index, column: Index, mask: Value | None
    ) -> Value:
        k = self.k
        if view.strides[-1]:
            return k.load(view.dtype, name, _place(emit, view, row, column), mask)
        if row_stride(view) or view.dtype != self.product.node.type.dtype:
            return k.spread(view.dtype, name, _place(emit, view, row, 0))
        # one number for all of the result: it is loaded at the entry of the function
        number = emit.once(f"load {emit.scalar}, ptr {name}, align {emit.size}")
        first = emit.once(f"insertelement {emit.vector} poison, {emit.scalar} {number}, i64 0")
        zeros = f"<{emit.lanes} x i32> zeroinitializer"
        every = emit.once(f"shufflevector {emit.vector} {first}, {emit.vector} poison, {zeros}")
        return Value(every, view.dtype, k)


def _place(emit: Emit, view: View, row: Index, column: Index) -> str:
    """The number of an element behind the view's first one."""
    return str(emit.add(emit.mul(row, row_stride(view) or 0), column))
