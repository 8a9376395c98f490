"""lift_tape: a tape becomes a function of tensors.

    lifted = lift_tape(code, first, second, values, outputs)
    lifted(variables, data)           # the outputs, for tensors of
    values[lifted.variables]          # and
    values[lifted.data]
    vjp(lambda v: lifted(v, data), variables)    # and how to pull cotangents back

An ordinary function of two vectors, which the rest of the library differentiates and compiles.
Numbers on the tape are data, so that a tape recorded anew with other numbers needs no other
program, as long as `lifted.holds(values)`.  May import the floor, ops, capture, kernel.scalars and
the passes that it is made of.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..capture import capture, placeholder
from ..dtypes import float64
from ..graph.node import TensorType
from ..graph.region import Region
from ..kernel.scalars import CODES, FIRST_OPERATION, KINDS, LEAF
from ..ops.movement import narrow, reshape
from ..tensor import Tensor
from .arrays import GROUP, Data, Operand, Reader, Source, seconds
from .families import families, sums
from .lift import DATA, Lifting

VARIABLES = 1  # number of the source that is given
MOST_GROUPS = 512
_OPERATION = 2.5e-9  # seconds on the tape, value and derivatives, roughly


class Assumed(NamedTuple):
    """What was taken for granted: `ones` and `others` are numbers of equal value on the tape, and
    those at `fixed` have the bits `numbers`."""

    ones: np.ndarray
    others: np.ndarray
    fixed: np.ndarray
    numbers: np.ndarray


class Lifted:
    """What a tape computes, as a function of two vectors.  Made by `lift_tape`.

    variables  slots of the leaves that derivatives may be asked for
    data       slots of what else it reads: numbers, other leaves; some repeatedly
    groups     the array operations, in order
    """

    def __init__(self, lifting: Lifting, variables: np.ndarray, outputs: Operand) -> None:
        blocks = list(lifting.blocks.values())
        self.variables = variables
        self.data = _joined([b.slots for b in blocks])
        self.groups = lifting.groups
        self.outputs = outputs
        self._given = lifting.sources[VARIABLES]
        ends = np.cumsum([b.size for b in blocks]).tolist()
        self._begin = {b: end - b.size for b, end in zip(blocks, ends)}
        fixed = np.array(lifting.fixed, np.int64)
        ones, others = (_joined([pair[i] for pair in lifting.equal]) for i in (0, 1))
        self._assumed = Assumed(ones, others, fixed, lifting.bits[fixed])

    def holds(self, values: np.ndarray) -> bool:
        """Whether the numbers of a like tape are equal where those of the first one were."""
        bits, (ones, others, fixed, numbers) = values.view(np.int64), self._assumed
        return bool((bits[ones] == bits[others]).all() and (bits[fixed] == numbers).all())

    @cached_property
    def region(self) -> Region:
        """The function as a graph with two inputs, variables and data, and one output."""
        sizes = self.variables.size, self.data.size
        given = [placeholder(TensorType((n,), float64)) for n in sizes]
        return capture(lambda: self(*given), given, lambda y: [y]).region

    def __call__(self, variables: Tensor, data: Tensor) -> Tensor:
        """The outputs as a vector, by the library's operations."""

        def read(block: Data) -> Tensor:
            return narrow(data, 0, self._begin[block], block.size)

        reader = Reader({self._given: variables}, read)
        reader.run(self.groups)
        return reshape(reader.full(self.outputs), (-1,))

    def __str__(self) -> str:
        return "\n".join(map(str, [*self.groups, self.outputs]))


def _joined(slots: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *slots])


def lift_tape(
    code: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    values: np.ndarray,
    outputs: np.ndarray,
    variables: np.ndarray | None = None,
    always: bool = False,
) -> Lifted | None:
    """The array program that computes slots of a tape.

    code, first, second, values   the columns of the tape
    outputs                       slots to compute
    variables                     the leaves that derivatives may be asked for; default: all
    always                        lift also what would not be twice as fast as the tape itself

    Returns None where lifting does not pay: the tape falls into too many array operations, or too
    much would have to be gathered; and for operations that have no code of ours.
    """
    if int(code.max(initial=0)) >= FIRST_OPERATION + len(CODES):
        return None
    outputs = np.asarray(outputs, np.int64)
    ops = sums(code, (first, second), outputs)
    pays = int(np.count_nonzero(code >= FIRST_OPERATION) * _OPERATION / GROUP / 2)
    most = MOST_GROUPS if always else min(MOST_GROUPS, pays)
    found = families(ops, outputs, most)
    if found is None:
        return None
    is_variable = np.zeros(code.size, bool)
    for slots in (outputs, *[f.operands for f in found]):
        is_variable[slots] = True
    is_variable &= code == LEAF
    if variables is not None:
        is_variable &= np.isin(np.arange(code.size), variables)
    home = np.where(is_variable, VARIABLES, DATA).astype(np.int32)
    place = np.where(is_variable, np.cumsum(is_variable) - 1, 0)
    given = Source("variables", (int(is_variable.sum()),))
    lifting = Lifting(code, values, KINDS, [given], home, place)
    for family in found:
        lifting.enter(family)
    lifted = Lifted(lifting, np.flatnonzero(is_variable), lifting.operand(outputs))
    needed = sum(f.steps for f in found)
    return lifted if always or 2 * seconds(lifted.groups) < needed * _OPERATION else None
