import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn
from slotgrad.errors import DTypeError, GradientError, OptionError, StateError, UsageError


class Net(nn.Module):
    """Parameters, a child used twice, buffers saved and not saved."""

    def __init__(self):
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter([1.0, 2.0, 3.0])
        self.again = self.first
        self.register_buffer("count", sg.tensor(0))
        self.register_buffer("scratch", sg.zeros(2), persistent=False)
        self.none = None
        self.last = nn.Sequential(nn.Tanh(), nn.Linear(3, 1, bias=False))

    def forward(self, x):
        return self.last(self.first(x) * self.scale)


@pytest.fixture
def net():
    sg.random.seed(0)
    return Net()


# -- Parameter -----------------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_that_requires_gradients():
    p = nn.Parameter([1.0, 2.0])
    assert isinstance(p, sg.Tensor) and p.is_leaf and p.requires_grad
    assert not hasattr(p, "__dict__")
    (p * p).sum().backward()
    assert p.grad.tolist() == [2.0, 4.0]


def test_a_parameter_shares_no_memory_with_what_it_was_made_from():
    x = sg.zeros(2)
    p = nn.Parameter(x)
    with sg.no_grad():
        p += 1
    assert x.tolist() == [0.0, 0.0] and p.tolist() == [1.0, 1.0]


def test_a_parameter_of_an_operations_result_is_a_leaf():
    x = sg.ones(2, requires_grad=True)
    p = nn.Parameter(x * 2, name="doubled")
    assert p.is_leaf and p.name == "doubled"


def test_an_integer_parameter_must_not_ask_for_gradients():
    with pytest.raises(GradientError, match="only floating-point"):
        nn.Parameter([1, 2])
    assert not nn.Parameter([1, 2], requires_grad=False).requires_grad


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copied_parameter_is_a_parameter(way, frozen):
    p = nn.Parameter([1.0, 2.0], requires_grad=not frozen, name="w")
    q = way(p)
    assert type(q) is nn.Parameter and q.name == "w" and q.requires_grad is not frozen
    with sg.no_grad():
        q += 1
    assert p.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_module_computes_the_same_and_keeps_what_is_shared(way, net):
    other = way(net)
    x = sg.ones((4, 2))
    assert (other(x).numpy() == net(x).numpy()).all()
    assert other.again is other.first and other.first is not net.first
    assert [n for n, _ in other.named_buffers()] == ["count", "scratch"]
    other(x).sum().backward()
    assert net.scale.grad is None and other.scale.grad is not None


# -- attributes ----------------------------------------------------------------------------------


def test_names_in_the_order_of_assignment(net):
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "last.1.weight"
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "last", "last.0", "last.1"]
    assert [n for n, _ in net.named_children()] == ["first", "again", "last"]
    assert [n for n, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(net.parameters())) == 4 and len(list(net.buffers())) == 2
    assert next(net.children()) is net.first and next(net.modules()) is net


def test_a_parameter_gets_the_name_of_its_attribute(net):
    assert net.scale.name == "scale" and net.first.weight.name == "weight"


def test_replacing_parts(net):
    net.scale = nn.Parameter([1.0])
    net.last = nn.Identity()
    net.count = sg.tensor(5)
    assert len(list(net.parameters())) == 3 and net.state_dict()["count"].item() == 5
    net.scale = None
    assert [n for n, _ in net.named_parameters()] == ["first.weight", "first.bias"]
    del net.count
    assert [n for n, _ in net.named_buffers()] == ["scratch"]
    net.count = 3  # an attribute like any other now
    assert net.count == 3


def test_a_parameter_is_not_replaced_by_a_tensor(net):
    with pytest.raises(UsageError, match=r"Net\.scale is a Parameter; got a Tensor.*assign"):
        net.scale = net.scale * 0.5
    with pytest.raises(UsageError, match=r"Net\.last is a Module; got a function"):
        net.last = lambda x: x
    with pytest.raises(UsageError, match=r"Net\.count is a buffer; expected a Tensor"):
        net.count = 3
    with pytest.raises(UsageError, match=r"Net\.count is a buffer"):
        net.count = nn.Parameter([1.0])


@pytest.mark.parametrize(
    "hidden", [[nn.Linear(1, 1)], (nn.Linear(1, 1),), {"a": nn.Linear(1, 1)}, [nn.Parameter([1.0])]]
)
def test_parts_in_a_plain_container_are_not_silently_lost(hidden):
    class Hiding(nn.Module):
        def __init__(self):
            self.layers = hidden

    with pytest.raises(UsageError, match=r"Hiding\.layers is a plain .*nn\.ModuleList"):
        list(Hiding().parameters())


def test_names_of_parts_are_checked(net):
    for name in ("a.b", "", "first", "forward", 3):
        with pytest.raises(OptionError, match="name of a part"):
            net.register_buffer(name, sg.zeros(1))
        with pytest.raises(OptionError, match="name of a part"):
            net.add_module(name, nn.Tanh())
    with pytest.raises(UsageError, match="expected a Tensor"):
        net.register_buffer("b", [1.0])
    with pytest.raises(UsageError, match="got a float as 'm'; expected a Module"):
        net.add_module("m", 3.0)


def test_a_module_that_contains_itself():
    a = nn.Sequential(nn.Tanh())
    a.append(nn.Sequential(a))
    with pytest.raises(UsageError, match=r"contains itself at '1\.0'"):
        a.state_dict()


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(UsageError, match="Empty has no forward; define"):
        Empty()(1)


# -- state ---------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_holds_every_name(net):
    state = net.state_dict()
    assert list(state) == [
        "scale", "count", "first.weight", "first.bias", "again.weight", "again.bias",
        "last.1.weight",
    ]  # fmt: skip
    assert not any(t.requires_grad for t in state.values())
    with sg.no_grad():
        net.scale += 1
    assert state["scale"].tolist() == [2.0, 3.0, 4.0]


def test_load_state_dict_copies_into_the_tensors_in_place(net):
    other = Net()
    scale = other.scale
    assert other.load_state_dict(net.state_dict()) == ([], [])
    assert other.scale is scale and scale.requires_grad and scale.is_leaf
    with sg.no_grad():
        net.first.weight += 1
    assert not (other.first.weight.numpy() == net.first.weight.numpy()).any()
    other.load_state_dict({k: v.numpy().astype("float64") for k, v in net.state_dict().items()
                           if k != "count"} | {"count": np.array(7)})  # fmt: skip
    assert (other.first.weight.numpy() == net.first.weight.numpy()).all()
    assert other.first.weight.dtype == sg.float32 and other.count.item() == 7


class Foreign:
    """The array of another library, which knows nothing of `copy`."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None):
        return np.asarray(self.values, dtype)


def test_state_dicts_hold_arrays_of_any_library(net):
    other = Net()
    other.load_state_dict({k: Foreign(v.numpy()) for k, v in net.state_dict().items()})
    assert other.first.weight.tolist() == net.first.weight.tolist()
    opt = sg.optim.SGD(net.parameters(), momentum=0.9)
    saved = opt.state_dict()
    saved["state"][0]["momentum_buffer"] = Foreign(np.ones(net.scale.shape, np.float32))
    opt.load_state_dict(saved)
    assert opt.state[opt.param_groups[0]["params"][0]]["momentum_buffer"].tolist() == [1, 1, 1]


def test_load_state_dict_with_swapped_views_of_itself():
    pair = nn.Module()
    pair.a, pair.b = nn.Parameter([1.0]), nn.Parameter([2.0])
    state = pair.state_dict()
    pair.load_state_dict({"a": state["b"], "b": state["a"]})
    assert (pair.a.item(), pair.b.item()) == (2.0, 1.0)


def test_a_state_dict_that_does_not_fit_changes_nothing(net):
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    del state["last.1.weight"]
    state["extra"] = np.zeros(1)
    state["scale"] = np.zeros(4, np.float32)
    state["first.bias"] = np.zeros(3, np.complex64)
    state["again.bias"] = [1.0, 2.0, 3.0]
    state["count"] = np.array(1.5)
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "does not fit Net",
        "missing keys 'last.1.weight'",
        "unexpected keys 'extra'",
        "'scale' has shape (4,), the module's has (3,)",
        "'first.bias' has dtype complex64, the module's has float32",
        "'count' has dtype float64, the module's has int64",
        "'again.bias' is a list; expected a Tensor or an array",
        "strict=False",
    ):
        assert part in message
    with pytest.raises(StateError, match=r"^(?!.*missing).*'scale' has shape"):
        net.load_state_dict(state, strict=False)  # a shape is never passed over
    for name, value in net.state_dict().items():
        assert (value.numpy() == before[name]).all()


def test_load_state_dict_without_strict(net):
    result = net.load_state_dict({"scale": sg.ones(3), "extra": sg.ones(1)}, strict=False)
    assert net.scale.tolist() == [1.0, 1.0, 1.0]
    assert result.unexpected_keys == ["extra"] and len(result.missing_keys) == 6


def test_load_state_dict_of_something_else(net):
    with pytest.raises(StateError, match="got a list; expected a dict"):
        net.load_state_dict([1])
    with pytest.raises(StateError, match="and 12 more"):
        nn.Linear(1, 1).load_state_dict({f"k{i}": sg.ones(1) for i in range(20)})


def test_a_read_only_buffer_is_found_before_anything_changes():
    m = nn.Module()
    m.w = nn.Parameter([1.0])
    m.register_buffer("fixed", sg.tensor(np.broadcast_to(np.float32(1), (2,))))
    with pytest.raises(StateError, match="'fixed' is read-only"):
        m.load_state_dict({"w": sg.zeros(1), "fixed": sg.zeros(2)})
    assert m.w.tolist() == [1.0]


# -- changing all of it --------------------------------------------------------------------------


def test_train_and_eval_reach_every_module(net):
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_zero_grad_and_requires_grad(net):
    net(sg.ones((1, 2))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net
    assert not net(sg.ones((1, 2))).requires_grad
    net.requires_grad_()
    net(sg.ones((1, 2))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_to_converts_in_place(net):
    scale, weight = net.scale, net.first.weight
    net(sg.ones((1, 2))).sum().backward()
    assert net.to("float64") is net
    assert net.scale is scale and net.first.weight is weight and scale.dtype == sg.float64
    assert scale.grad.dtype == sg.float64 and scale.name == "scale" and scale.is_leaf
    assert net.scratch.dtype == sg.float64 and net.count.dtype == sg.int64
    net.zero_grad()
    net(sg.ones((1, 2), dtype="float64")).sum().backward()
    assert scale.grad.dtype == sg.float64
    with pytest.raises(DTypeError, match="got dtype int32; expected a floating-point dtype"):
        net.to(sg.int32)


def test_apply_visits_children_first(net):
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "Tanh", "Linear", "Sequential", "Net"]


def test_repr_is_a_tree(net):
    assert repr(net) == (
        "Net(\n"
        "  (first): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (again): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (last): Sequential(\n"
        "    (0): Tanh()\n"
        "    (1): Linear(in_features=3, out_features=1, bias=False)\n"
        "  )\n"
        ")"
    )


def test_sequential_from_an_ordered_dict():
    model = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.Tanh()))
    assert model[0] is model.a and [n for n, _ in model.named_parameters()] == [
        "a.weight", "a.bias"
    ]  # fmt: skip
