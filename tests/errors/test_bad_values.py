"""Values, shapes, dtypes, axes and options that do not fit: what the message says."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad.errors import (
    BoundsError,
    CaptureError,
    DTypeError,
    FileError,
    GradientError,
    OptionError,
    ShapeError,
    SlotgradError,
    StateError,
    UsageError,
)

X = sg.ones((2, 3))
INTS = sg.tensor([1, 2])


def written(x, values, index=...):
    x = x.clone()
    x[index] = values


def read_only():
    values = np.ones(3)
    values.flags.writeable = False
    sg.tensor(values)[0] = 1


SHAPES = {
    "add": (lambda: X + sg.ones((2, 4)), r"add: cannot broadcast \(2, 3\) and \(2, 4\).*reshape"),
    "matmul": (lambda: X @ X, r"matmul: .*\(2, 3\) by \(2, 3\): inner sizes 3 and 2.*transpose"),
    "matmul of a number": (lambda: X @ sg.tensor(1.0), r"matmul: .*\(2, 3\) and \(\); .*use \*"),
    "reshape": (lambda: X.reshape(4, 2), r"reshape: .*\(2, 3\) with 6 elements to \(4, 2\)"),
    "reshape with two unknowns": (lambda: X.reshape(-1, -1), r"one size may be -1"),
    "reshape by text": (lambda: X.reshape("ab"), r"reshape: got shape 'ab'; expected integers"),
    "negative size": (
        lambda: sg.zeros((2, -1)),
        r"zeros: got shape \(2, -1\); expected sizes >= 0",
    ),
    "far too large": (lambda: sg.ones((2**40, 2**40)), r"ones: got shape .*at most 2\*\*59"),
    "broadcast_to": (lambda: X.broadcast_to((3, 3)), r"broadcast_to: .*\(2, 3\) and \(3, 3\)"),
    "broadcast_to smaller": (lambda: X.broadcast_to((1, 3)), r"\(2, 3\) to \(1, 3\): only axes of"),
    "concat": (
        lambda: sg.concat([X, sg.ones((2, 2))]),
        r"concat: .*\(2, 3\), \(2, 2\) along axis 0",
    ),
    "concat of nothing": (lambda: sg.concat([]), r"concat: got no tensors; expected at least one"),
    "concat of ranks": (
        lambda: sg.concat([X, INTS]),
        r"concat: .*\(2, 3\), \(2,\): expected equal",
    ),
    "stack": (lambda: sg.stack([X, INTS]), r"stack: cannot stack \(2, 3\), \(2,\): .*one shape"),
    "squeeze": (
        lambda: X.squeeze(0),
        r"squeeze: got shape \(2, 3\) and axis 0; expected sizes of 1",
    ),
    "permute_dims": (lambda: X.permute_dims((0, 0)), r"got axes \(0, 0\) for shape \(2, 3\)"),
    "mT": (lambda: INTS.mT, r"matrix_transpose: got shape \(2,\); expected at least two axes"),
    "tril": (lambda: sg.tril(INTS), r"tril: got shape \(2,\); expected at least two axes"),
    "diag": (lambda: sg.diag(sg.ones((1, 1, 1))), r"diag: got shape .*expected a vector or a mat"),
    "diagonal": (lambda: X.diagonal(0, 1, 1), r"diagonal: got axis 1 twice; expected two axes"),
    "moveaxis": (lambda: X.moveaxis((0, 1), 0), r"moveaxis: got source \(0, 1\) and destination 0"),
    "split": (lambda: X.split(2, axis=1), r"split: cannot cut 3 elements of axis 1 into 2"),
    "roll": (lambda: X.roll((1, 2), (0, 1, 0)), r"roll: got shift \(1, 2\) for axis \(0, 1, 0\)"),
    "pad": (
        lambda: sg.pad(X, -1),
        r"pad: got pad_width -1 for shape \(2, 3\); expected an int >= 0",
    ),
    "pad of nothing": (lambda: sg.pad(sg.zeros(0), 1, "edge"), r"pad: .*no element along axis 0"),
    "vecdot": (lambda: sg.vecdot(X, INTS), r"vecdot: got shapes \(2, 3\) and \(2,\); .*axis -1"),
    "tensordot": (
        lambda: sg.tensordot(X, X, 1),
        r"tensordot: .*\[1\] of \(2, 3\) and \[0\] of \(2, 3",
    ),
    "tensordot of 3": (
        lambda: sg.tensordot(X, X, 3),
        r"tensordot: got axes=3 .*expected at most 2",
    ),
    "einsum sizes": (lambda: sg.einsum("ij,jk", X, X), r"axis 'j' of 'ij,jk' has sizes 3 and 2"),
    "einsum diagonal": (lambda: sg.einsum("ii", X), r"'i' stands for axes of different sizes"),
    "einsum rank": (lambda: sg.einsum("ijk", X), r"'ijk' names 3 axes, .*shape \(2, 3\)"),
    "max of nothing": (
        lambda: sg.zeros((0, 2)).max(0),
        r"max, min: got shape \(0, 2\) .*axis \(0,\)",
    ),
    "argmax of nothing": (lambda: sg.zeros(0).argmax(), r"argmax, argmin: got shape \(0,\)"),
    "axis twice": (lambda: X.sum((0, -2)), r"sum: axis \(0, -2\) names an axis twice"),
    "where": (lambda: sg.where(X > 0, X, INTS), r"where: cannot broadcast \(2, 3\).*\(2,\)"),
    "writing": (
        lambda: written(X, sg.ones(4)),
        r"values of shape \(4,\) to a place of shape \(2, 3\)",
    ),
    "writing a row": (lambda: written(X, [1, 2], 0), r"shape \(2,\) to a place of shape \(3,\)"),
    "x.at": (lambda: X.at[0].set([1.0, 2.0]), r"x\.at: cannot broadcast \(2,\) and \(3,\)"),
    "assign": (lambda: X.assign(INTS * 1.5), r"assign: cannot write values of shape \(2,\)"),
    "take_along_axis": (lambda: X.take_along_axis(INTS), r"take_along_axis: .*\(2, 3\) and \(2,\)"),
    "index arrays": (lambda: X[[0, 1], [0, 1, 2]], r"index: cannot broadcast \(2,\) and \(3,\)"),
    "nonzero": (
        lambda: sg.nonzero(1.0),
        r"nonzero: got a tensor without axes; expected at least one",
    ),
    "ragged list": (lambda: sg.tensor([[1, 2], [3]]), r"tensor: .*ragged.*same length"),
    "ragged values": (lambda: written(X, [[1], [1, 2]]), r"ragged.*same length"),
    "item": (
        lambda: X.item(),
        r"item: got a tensor of shape \(2, 3\); expected one element, index it",
    ),
    "float": (lambda: float(X), r"item: got a tensor of shape \(2, 3\)"),
    "bool": (
        lambda: bool(X > 0),
        r"bool: got a tensor of shape \(2, 3\); .*\.any\(\) or \.all\(\)",
    ),
    "len": (lambda: len(sg.tensor(1.0)), r"len: got a tensor without axes"),
    "set_state": (lambda: sg.random.set_state(INTS), r"set_state: got shape \(2,\), dtype int64"),
    "bernoulli": (
        lambda: sg.random.bernoulli([0.5, 0.5], 3),
        r"cannot broadcast \(2,\) and \(3,\)",
    ),
}

DTYPES = {
    "unknown": (
        lambda: sg.zeros(2, dtype="float31"),
        r"unknown dtype 'float31'; expected one of bool",
    ),
    "none": (lambda: X.astype(None), r"unknown dtype None; expected one of"),
    "object": (lambda: sg.tensor(object()), r"tensor: got a object; expected numbers"),
    "text": (lambda: X + sg.tensor("abc"), r"tensor: got a str; expected numbers"),
    "nothing": (lambda: sg.sum(None), r"tensor: got a NoneType; expected numbers"),
    "list of nothing": (lambda: sg.tensor([None]), r"tensor: got a list of dtype object"),
    "above 64 bits": (lambda: sg.tensor(2**70), r"expected numbers that fit 64 bits"),
    "too large": (lambda: sg.tensor(300, dtype="uint8"), r"300 out of bounds for uint8"),
    "nan as an integer": (lambda: sg.tensor(float("nan"), dtype="int64"), r"NaN.*int64"),
    "too large beside": (lambda: sg.ones(2, dtype="int8") + 300, r"300 does not fit int8.*wider"),
    "int64 and uint64": (lambda: INTS + INTS.astype("uint64"), r"both int64 and uint64; cast one"),
    "bits of floats": (
        lambda: X & X,
        r"bitwise_and: got dtype float32; expected .*bool or integer",
    ),
    "order of complex": (lambda: sg.tensor([1j]) < 1, r"less: got dtype complex64; .*ordered"),
    "max of complex": (lambda: sg.max([1j]), r"max: got dtype complex64; expected .*ordered"),
    "argsort of complex": (lambda: sg.argsort([1j]), r"argsort: got dtype complex64"),
    "var of complex": (lambda: sg.var([1j]), r"var: got dtype complex64; .*real floating-point"),
    "condition": (lambda: sg.where(X, X, X), r"where: got a condition of dtype float32; .*x != 0"),
    "index": (lambda: X[1.5], r"index: got an index of dtype float32; expected integers, booleans"),
    "take": (lambda: X.take([0.5]), r"take: got indices of dtype float32; expected integers"),
    "write floats to ints": (
        lambda: written(INTS, 1.5),
        r"float64 into .*int64; convert with astype",
    ),
    "add floats to ints": (lambda: INTS.__iadd__(0.5), r"\+= .*float32.*int64 cannot hold"),
    "at": (lambda: INTS.at[0].set(1.5), r"x\.at\[\.\.\.\]\.set: cannot write float32 into .*int64"),
    "list index": (lambda: [1, 2][sg.tensor(1.0)], r"index: got a tensor of dtype float32"),
    "arange": (lambda: sg.arange(2, dtype="bool"), r"arange: got dtype bool; expected .*numeric"),
    "random": (
        lambda: sg.random.normal(2, dtype="int8"),
        r"random\.normal: got dtype int8; .*float",
    ),
    "finfo": (lambda: sg.finfo("int8"), r"finfo: got dtype int8; .*iinfo"),
    "iinfo": (lambda: sg.iinfo("float32"), r"iinfo: got dtype float32; .*finfo"),
    "result_type": (lambda: sg.result_type(), r"result_type: got no argument; expected a dtype"),
}

BOUNDS = {
    "flatten": (lambda: X.flatten(1, 0), r"flatten: got axes 1 to 0; expected an end not"),
    "axis": (lambda: X.sum(2), r"sum: got axis 2 for 2 axes; expected -2 to 1"),
    "axis of a number": (lambda: sg.sum(1.0, 0), r"sum: got axis 0 for 0 axes; .*has no axes"),
    "index": (lambda: X[5], r"index: got 5 for axis 0 of size 2; expected -2 to 1"),
    "index array": (lambda: X[[5]], r"index 5 is out of bounds for axis 0 with size 2; expected"),
    "too many": (lambda: X[0, 0, 0], r"got 3 indices for shape \(2, 3\); expected at most 2"),
    "dots": (lambda: X[..., ...], r"index: got several `\.\.\.`; expected one"),
    "mask": (lambda: X[np.array([True])], r"a mask with 1 elements for axis 0 of size 2"),
    "step": (lambda: X[::0], r"index: got a slice with step 0; expected another step"),
    "write": (lambda: written(X, 1, 5), r"index: got 5 for axis 0 of size 2; expected -2 to 1"),
    "write to an array": (lambda: written(X, 1, [9]), r"index 9 is out of bounds"),
    "write to a mask": (lambda: written(X, 1, np.array([True])), r"a mask with 1 elements"),
    "take": (lambda: X.take([9]), r"index 9 is out of bounds for axis 0 with size 6"),
    "scatter_add": (lambda: sg.scatter_add(X, [2], 1.0), r"index 2 is out of bounds"),
}

OPTIONS = {
    "axis": (lambda: X.sum("a"), r"sum: got axis='a'; expected an int"),
    "axes": (
        lambda: X.permute_dims("ab"),
        r"permute_dims: got axes='ab'; expected a tuple of ints",
    ),
    "slice": (lambda: X[0.5:], r"index: got start=0\.5; expected an int"),
    "no list": (lambda: sg.stack(3), r"stack: got a int; expected a list or tuple of tensors"),
    "repeat": (lambda: X.repeat(-1), r"repeat: got repeats=-1; expected an int >= 0"),
    "tril": (lambda: X.tril("a"), r"tril: got k='a'; expected an int"),
    "pad": (lambda: sg.pad(X, 1, "mirror"), r"pad: got mode 'mirror'; expected one of constant"),
    "topk": (lambda: X.topk(4), r"topk: got k=4; expected 0 to 3, the size of the axis"),
    "norm": (lambda: X.norm(float("nan")), r"norm: got ord=nan; expected a number"),
    "var": (lambda: X.var(correction=None), r"var: got correction=None; expected a number"),
    "clip": (lambda: X.clip(float("nan")), r"clip: got nan as a limit; expected a number or None"),
    "integer power": (lambda: INTS**-1, r"pow: got the exponent -1 for int64.*>= 0.*astype"),
    "einsum text": (lambda: sg.einsum(3, X), r"einsum: got subscripts 3; expected a string"),
    "einsum letters": (lambda: sg.einsum("i1", X), r"einsum: got 'i1' for 1 operands; .*letters"),
    "einsum dot": (lambda: sg.einsum("i.", X), r"at most one `\.\.\.`"),
    "einsum count": (lambda: sg.einsum("ij", X, X), r"einsum: got 'ij' for 2 operands"),
    "einsum nothing": (lambda: sg.einsum("ij"), r"einsum: got 'ij' and no operands"),
    "einsum output": (lambda: sg.einsum("ij->k", X), r"the output 'k' of 'ij->k' must name axes"),
    "einsum dots": (lambda: sg.einsum("...i->i", X), r"lacks the `\.\.\.`"),
    "tensordot": (lambda: sg.tensordot(X, X, -1), r"tensordot: got axes=-1; expected an int >= 0"),
    "arange": (lambda: sg.arange(0, 1, 0), r"arange: got 0, 1, step 0; .*step not 0"),
    "arange nan": (lambda: sg.arange(float("nan")), r"arange: got stop=nan; expected a number"),
    "linspace": (lambda: sg.linspace(0, 1, -1), r"linspace: got num=-1; expected an int >= 0"),
    "linspace inf": (lambda: sg.linspace(0, np.inf, 2), r"linspace: got 0 to inf; expected finite"),
    "eye": (lambda: sg.eye(-1), r"eye: got n_rows=-1; expected an int >= 0"),
    "meshgrid": (lambda: sg.meshgrid(INTS, indexing="yx"), r"got indexing 'yx'; expected 'xy' or"),
    "one_hot": (lambda: sg.one_hot(INTS, 2.5), r"one_hot: got num_classes=2\.5; expected an int"),
    "seed": (lambda: sg.random.seed("a"), r"random\.seed: got 'a'; expected an int"),
    "seed too small": (
        lambda: sg.random.seed(-1),
        r"random\.seed: got -1; expected 0 to 2\*\*64 - 1",
    ),
    "uniform": (
        lambda: sg.random.uniform(2, 1.0, 0.0),
        r"uniform: got \[1\.0, 0\.0\); .*low <= high",
    ),
    "uniform nan": (lambda: sg.random.uniform(2, low=np.nan), r"got low=nan; expected a number"),
    "normal": (lambda: sg.random.normal(2, std=-1.0), r"normal: got std=-1\.0; .*>= 0"),
    "normal nan": (lambda: sg.random.normal(2, std=np.nan), r"normal: got std=nan"),
    "randint": (lambda: sg.random.randint(3, 3), r"randint: got \[3, 3\) .*expected low < high"),
    "randint dtype": (lambda: sg.random.randint(300, dtype="uint8"), r"uint8; .*\[0, 255\]"),
    "permutation": (
        lambda: sg.random.permutation(-1),
        r"permutation: got x=-1; expected an int >= 0",
    ),
    "bernoulli": (lambda: sg.random.bernoulli(1.5), r"bernoulli: got p=.*expected 0 <= p <= 1"),
    "bernoulli nan": (lambda: sg.random.bernoulli(np.nan), r"expected 0 <= p <= 1"),
    "choice": (
        lambda: sg.random.choice(2, 3, replace=False),
        r"choice: got 3 of 2 elements without",
    ),
    "choice of none": (lambda: sg.random.choice(0, 1), r"choice: got 0 elements to choose from"),
    "choice p": (lambda: sg.random.choice(2, 1, p=[1.5, -0.5]), r"probabilities >= 0 that add up"),
    "choice p sum": (lambda: sg.random.choice(2, 1, p=[0.5, 0.4]), r"with sum 0\.9.*; expected 2"),
}

OTHERS = {
    "no copy of a list": (lambda: sg.tensor([1.0], copy=False), r"copy=False, but a list cannot"),
    "no copy to a dtype": (
        lambda: sg.tensor(np.ones(2), dtype="float32", copy=False),
        r"copy=False, but a ndarray cannot be shared as float32; pass a NumPy array",
    ),
    "read-only memory": (read_only, r"the tensor's memory is read-only; work on x\.clone\(\)"),
    "broadcast memory": (
        lambda: X.broadcast_to((4, 2, 3)).assign(1),
        r"read-only; work on x\.clone",
    ),
    "trees": (
        lambda: sg.tree_map(lambda a, b: a, {"a": 1}, {"b": [1]}),
        r"tree_map: got trees dict\(a: \*\) and dict\(b: list\(0: \*\)\); expected one structure",
    ),
    "numpy's out": (lambda: np.add(X, X, out=X), r"numpy\.add: got a tensor as out"),
}

TABLES = {
    ShapeError: SHAPES,
    DTypeError: DTYPES,
    BoundsError: BOUNDS,
    OptionError: OPTIONS,
    UsageError: OTHERS,
}
CASES = [
    pytest.param(kind, *case, id=f"{kind.__name__}: {name}")
    for kind, table in TABLES.items()
    for name, case in table.items()
]


@pytest.mark.parametrize(("kind", "call", "message"), CASES)
def test_message(kind, call, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ShapeError, ValueError),
        (DTypeError, TypeError),
        (BoundsError, IndexError),
        (OptionError, ValueError),
        (GradientError, RuntimeError),
        (CaptureError, RuntimeError),
        (StateError, KeyError),
        (FileError, OSError),
    ],
)
def test_each_class_is_the_built_in_that_a_program_catches(kind, builtin):
    assert issubclass(kind, builtin)
    assert issubclass(kind, UsageError) and issubclass(kind, SlotgradError)
    assert str(kind("what was got")) == "what was got"


def test_an_operand_of_a_foreign_type_is_left_to_python():
    with pytest.raises(TypeError, match="unsupported operand"):
        X + None
    with pytest.raises(TypeError, match="unsupported operand"):
        object() * X
    assert (X == None) is False  # noqa: E711
