import json
import os
import resource
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings, strategies as st

import slotgrad as sg
from slotgrad import nn, optim
from slotgrad.errors import DTypeError, FileError, OptionError, StateError, UsageError
from slotgrad.io import load, read_metadata, save

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "bfloat16", "float32", "float64",
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.safetensors")


def same(a, b):
    """Whether two trees are equal in structure, types, order, dtypes and bits."""
    if isinstance(a, (sg.Tensor, np.ndarray)):
        a, b = np.asarray(a), b.numpy()
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


# -- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_every_dtype_and_shape(path, dtype, shape):
    size = int(np.prod(shape))
    x = sg.tensor((np.arange(size) % 2).reshape(shape)).astype(dtype)
    save({"x": x}, path)
    found = load(path)
    assert same({"x": x}, found) and not found["x"].requires_grad
    with sg.no_grad():
        found["x"].assign(found["x"])  # its memory may be written to


def test_special_values_keep_their_bits(path):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324])
    y = np.array([np.nan, -0.0, 3e38], ml_dtypes.bfloat16)
    save([x, y], path)
    assert same([x, y], load(path))


TREES = [
    {},
    [],
    None,
    3.5,
    sg.ones(2),
    (sg.ones(1), [sg.zeros(1), (), {}], None),
    {"a.b": sg.ones(1), "a": {"b": sg.zeros(1)}, "": sg.ones(2), "a.b~2": sg.ones(3)},
    {"__metadata__": sg.ones(1), "slotgrad": sg.ones(2), "tensor": sg.ones(3)},
    {0: sg.ones(1), "0": sg.zeros(1), -1: [True, None, "text", float("nan"), 2**70]},
    {"z": sg.ones(1), "a": sg.ones(1), "ключ \"' \n": sg.ones(1)},
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_trees(path, tree):
    save(tree, path)
    assert same(tree, load(path))


keys = st.one_of(st.text(st.characters(codec="utf-8"), max_size=4), st.integers(-5, 5))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec="utf-8")),
    st.builds(lambda n: sg.tensor(np.arange(n, dtype=np.int16)), st.integers(0, 3)),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, database=None)
@given(tree=trees)
def test_any_tree(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("tree") / "a"
    save(tree, path)
    assert same(tree, load(path))


def test_memory_order_and_views(path):
    x = np.arange(12.0).reshape(3, 4)
    save(
        {"t": x.T, "strided": x[::2, ::3], "same": x.T, "wide": np.broadcast_to(x[0], (2, 4))}, path
    )
    found = load(path)
    assert (found["t"].numpy() == x.T).all() and (found["strided"].numpy() == x[::2, ::3]).all()
    assert found["wide"].shape == (2, 4)


def test_a_module_and_its_optimizer(path):
    sg.random.seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    opt = optim.Adam(model.parameters(), lr=0.25)
    model(sg.ones((1, 3))).sum().backward()
    opt.step()
    save({"model": model, "opt": opt, "epoch": 7}, path)
    found = load(path)
    assert found["epoch"] == 7 and same(model.state_dict(), found["model"])
    other = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    other_opt = optim.Adam(other.parameters())
    other.load_state_dict(found["model"])
    other_opt.load_state_dict(found["opt"])
    assert other_opt.lr == 0.25
    for p, q in zip(model.parameters(), other.parameters()):
        assert other_opt.state[q]["step"].item() == 1
        assert (other_opt.state[q]["exp_avg"].numpy() == opt.state[p]["exp_avg"].numpy()).all()


def test_load_into_a_module(path):
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    weight = other.weight
    save(model, path)
    assert load(path, into=other) is other and other.weight is weight
    assert same(model.state_dict(), other.state_dict()) and weight.requires_grad
    small = nn.Linear(2, 2)
    before = small.weight.numpy().copy()
    with pytest.raises(StateError, match=r"'weight' has shape \(2, 3\)"):
        load(path, into=small)
    assert (small.weight.numpy() == before).all()
    with pytest.raises(UsageError, match="got a dict as into; expected an object with load_state"):
        load(path, into={})


def test_other_programs_read_and_write_the_same_files(path):
    model = nn.Sequential(nn.Linear(3, 2))
    save(model, path)
    theirs = safetensors.numpy.load_file(path)
    assert sorted(theirs) == ["0.bias", "0.weight"]
    assert (theirs["0.weight"] == model[0].weight.numpy()).all()
    safetensors.numpy.save_file(theirs, path, metadata={"format": "pt"})
    other = load(path, into=nn.Sequential(nn.Linear(3, 2)))
    assert same(model.state_dict(), other.state_dict())
    assert read_metadata(path) == {"format": "pt"}
    safetensors.numpy.save_file({}, path)
    assert load(path) == {} and read_metadata(path) == {}


def test_metadata(path):
    save({"x": sg.ones(1)}, path, metadata={"classes": "10", "note": "ü"})
    assert read_metadata(path) == {"classes": "10", "note": "ü"}
    for bad in ({"a": 1}, {1: "a"}, {"slotgrad": "x"}):
        with pytest.raises(OptionError, match="save: got metadata"):
            save({}, path, metadata=bad)


# -- what cannot be saved ------------------------------------------------------------------------


def test_trees_that_cannot_be_saved(path):
    looped = {}
    looped["a"] = [looped]
    pair = type("Pair", (tuple,), {})
    for tree, error, message in [
        ({"z": [sg.tensor(1j)]}, DTypeError, "got dtype complex64 at 'z.0'.*real"),
        ({"x": object()}, UsageError, "got a object at 'x'"),
        (lambda: 1, UsageError, "got a function at 'the top'"),
        ({"x": pair((1, 2))}, UsageError, "got a Pair at 'x'"),
        ({"x": {1.5: 1}}, UsageError, "got the key 1.5 in the dict at 'x'; expected a str or an"),
        ({"x": np.array(["a"])}, DTypeError, "got a ndarray of dtype <U1"),
        (looped, UsageError, "contains itself at 'a.0'"),
        (nn.Linear, UsageError, "got a type"),
    ]:
        with pytest.raises(error, match=message):
            save(tree, path)
        assert os.listdir(os.path.dirname(path)) == []


# -- a write that fails --------------------------------------------------------------------------


@pytest.fixture
def old(path):
    """A file that a failing write must leave as it is."""
    save({"x": sg.ones(3)}, path)
    return path


def intact(path):
    return same({"x": sg.ones(3)}, load(path)) and os.listdir(os.path.dirname(path)) == [
        os.path.basename(path)
    ]


@pytest.mark.parametrize("step", ["fsync", "replace", "fdopen"])
def test_a_write_that_fails_leaves_the_old_file(old, monkeypatch, step):
    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device")

    real_fdopen = os.fdopen

    def full(handle, mode):
        file = real_fdopen(handle, mode, buffering=0)

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *exc):
                file.close()

            def write(self, data):
                file.write(data[: len(data) // 2])
                fails()

        return Full()

    monkeypatch.setattr(os, step, full if step == "fdopen" else fails)
    with pytest.raises(FileError, match=f"save: cannot write {old}: No space left") as caught:
        save({"x": sg.zeros(3)}, old)
    assert isinstance(caught.value, OSError) and "untouched" in str(caught.value)
    monkeypatch.undo()
    assert intact(old)


def test_a_limit_on_the_size_of_files_leaves_the_old_file(old):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(FileError, match="File too large"):
            save({"x": sg.zeros(5000)}, old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert intact(old)


def test_an_interrupted_write_leaves_the_old_file(old, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save({"x": sg.zeros(3)}, old)
    monkeypatch.undo()
    assert intact(old)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="cannot write .*No such file.*check that the folder"):
        save({}, tmp_path / "nowhere" / "a.safetensors")
    with pytest.raises(FileError, match="cannot write"):
        save({}, tmp_path)


# -- files that are not whole, or not ours -------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a"
    save({"x": sg.ones((3, 5)), "y": [sg.zeros(2, dtype="bfloat16")], "n": 1}, path)
    return path.read_bytes()


def refused(data, path, match):
    with open(path, "wb") as file:
        file.write(data)
    model = nn.Linear(2, 2)
    before = model.weight.numpy().copy()
    with pytest.raises(FileError, match=match) as caught:
        load(path, into=model)
    assert path in str(caught.value) and (model.weight.numpy() == before).all()
    with pytest.raises(FileError):
        read_metadata(path)


def test_truncation_at_every_byte(whole, path):
    for cut in range(len(whole)):
        refused(whole[:cut], path, "truncated: it has" if cut else "is empty")


def test_bytes_behind_the_end(whole, path):
    refused(whole + b"\0", path, "not a safetensors file")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileError, match="load: there is no file .*gone; check the path") as caught:
        load(tmp_path / "gone")
    assert isinstance(caught.value, OSError)
    with pytest.raises(FileError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    "data, match",
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image, not a safetensors file"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive .a PyTorch .pt"),
        (b"\x80\x04\x95" + bytes(100), "a pickle"),
        (b"\x93NUMPY" + bytes(100), "a NumPy .npy file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"hello world, this is text", "not a safetensors file.*begins with b'hello wo'"),
        (b"\xff" * 64, "not a safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 10**12) + b'{"a":', "truncated: .* its header alone should have"),
        (bytes(64), "not a safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
        (struct.pack("<Q", 4) + b"\xff\xfe\xfd{", "not a safetensors file"),
    ],
)
def test_foreign_files(path, data, match):
    refused(data, path, match)


def with_header(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_headers_that_lie(path):
    refused(with_header({"x": entry("F32", [2], 0, 4)}, bytes(4)), path, "not a safetensors")
    refused(with_header({"x": entry("F32", [1], 0, 10**15)}, bytes(4)), path, "truncated")
    refused(with_header({"x": entry("F32", [-1], 0, 4)}, bytes(4)), path, "not a safetensors")
    refused(with_header({"x": entry("XX", [1], 0, 4)}, bytes(4)), path, "not a safetensors")
    two = {"x": entry("F32", [1], 0, 4), "y": entry("F32", [1], 0, 4)}
    refused(with_header(two, bytes(4)), path, "not a safetensors")
    huge = with_header({"x": entry("F32", [0, 2**40, 2**40], 0, 0)})
    refused(huge, path, "too large|not a safetensors")


def test_dtypes_that_only_others_have(path):
    refused(
        with_header({"x": entry("F8_E4M3", [4], 0, 4)}, bytes(4)),
        path,
        "holds 'x' of dtype F8_E4M3; slotgrad reads BOOL, I8",
    )


def test_a_boolean_is_true_or_false_whatever_its_byte(path):
    with open(path, "wb") as file:
        file.write(with_header({"x": entry("BOOL", [3], 0, 3)}, b"\x00\x01\x02"))
    assert load(path)["x"].numpy().tobytes() == b"\x00\x01\x01"


@pytest.mark.parametrize(
    "note, match",
    [
        ("{", "damaged description"),
        ("[]", "damaged description"),
        ('{"format": 2, "tree": "x"}', "is of format 2; expected format 1"),
        ('{"format": 1}', "damaged description"),
        ('{"format": 1, "tree": "gone"}', "damaged description .KeyError: 'gone'"),
        ('{"format": 1, "tree": {"set": []}}', "unknown container 'set'"),
        ('{"format": 1, "tree": {"list": 3}}', "damaged description"),
        ('{"format": 1, "tree": {"dict": [[[], null]]}}', "damaged description"),
        ('{"format": 1, "tree": {}}', "damaged description"),
        ('{"format": 1, "tree": 3}', "damaged description"),
    ],
)
def test_a_damaged_description(path, note, match):
    header = {"__metadata__": {"slotgrad": note}, "x": entry("F32", [1], 0, 4)}
    with open(path, "wb") as file:
        file.write(with_header(header, bytes(4)))
    with pytest.raises(FileError, match=match):
        load(path)


@settings(max_examples=150, deadline=None, database=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random-bytes"
    path.write_bytes(data)
    with pytest.raises(FileError):
        load(path)


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_a_value(tmp_path_factory, whole, data):
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed-byte"
    path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    try:
        load(path)
    except FileError as error:
        assert str(path) in str(error)
