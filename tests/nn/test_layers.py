import numpy as np
import pytest

import slotgrad as sg
from slotgrad import nn
from slotgrad.errors import BoundsError, DTypeError, OptionError, ShapeError, UsageError


def test_linear_computes_x_times_weight_transposed_plus_bias():
    layer = nn.Linear(2, 3)
    layer.load_state_dict(
        {"weight": sg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "bias": sg.tensor([0.0, 0, 10])}
    )
    assert layer(sg.tensor([1.0, 1.0])).tolist() == [3.0, 7.0, 21.0]
    assert layer(sg.ones((4, 5, 2))).shape == (4, 5, 3)
    assert layer(np.ones((4, 2), np.float32)).shape == (4, 3)


def test_linear_starts_in_the_range_of_pytorch_and_follows_the_seed():
    sg.random.seed(3)
    layer = nn.Linear(16, 400)
    weight = layer.weight.numpy()
    assert np.abs(weight).max() <= 0.25 and np.abs(layer.bias.numpy()).max() <= 0.25
    assert abs(weight.std() - 0.25 / np.sqrt(3)) < 5e-3 and abs(weight.mean()) < 5e-3
    sg.random.seed(3)
    assert (nn.Linear(16, 400).weight.numpy() == weight).all()


def test_linear_without_bias_and_with_dtype():
    layer = nn.Linear(2, 3, bias=False, dtype="float64")
    assert layer.bias is None and layer.weight.dtype == sg.float64
    assert layer(sg.ones(2, dtype="float64")).dtype == sg.float64
    assert nn.Linear(2, 3, dtype=sg.bfloat16)(sg.ones(2, dtype=sg.bfloat16)).dtype == sg.bfloat16


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_linear_refuses_sizes(size):
    with pytest.raises(OptionError, match="Linear: got in_features="):
        nn.Linear(size, 1)
    with pytest.raises(OptionError, match="Linear: got out_features="):
        nn.Linear(1, size)


def test_linear_refuses_dtypes_and_shapes():
    with pytest.raises(DTypeError, match="Linear: got dtype int32; expected a floating-point"):
        nn.Linear(1, 1, dtype="int32")
    with pytest.raises(ShapeError, match=r"got x of shape \(4, 3\) and weight of shape \(5, 2\)"):
        nn.Linear(2, 5)(sg.ones((4, 3)))
    with pytest.raises(ShapeError, match=r"linear: got x of shape \(\)"):
        nn.Linear(2, 5)(1.0)


def test_sequential_is_a_list():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    assert model.append(nn.Linear(3, 1)) is model
    assert len(model) == 3 and [type(m) for m in model] == [nn.Linear, nn.Tanh, nn.Linear]
    assert model[-1] is model[2] and model(sg.ones((5, 2))).shape == (5, 1)
    tail = model[1:]
    assert type(tail) is nn.Sequential and len(tail) == 2 and tail[1] is model[2]
    assert [n for n, _ in tail.named_parameters()] == ["1.weight", "1.bias"]
    model[1] = nn.ReLU()
    assert type(model[1]) is nn.ReLU
    with pytest.raises(BoundsError, match="got index 3; it holds 3 modules"):
        model[3]
    with pytest.raises(UsageError, match="Sequential: got a function as '0'; expected a Module"):
        nn.Sequential(lambda x: x)
    assert nn.Sequential()(7) == 7


def test_module_list():
    layers = nn.ModuleList([nn.Linear(1, 1)]).extend([nn.Tanh()])
    layers.append(nn.Linear(1, 2))
    assert len(layers) == 3 and len(list(layers.parameters())) == 4
    assert type(layers[:2]) is nn.ModuleList and list(layers)[1] is layers[1]
    with pytest.raises(UsageError, match="ModuleList has no forward"):
        layers(1)


def test_dropout_keeps_the_mean_and_is_off_in_eval():
    sg.random.seed(0)
    layer, x = nn.Dropout(0.25), sg.ones(20000, requires_grad=True)
    y = layer(x)
    assert set(y.detach().numpy().tolist()) == {0.0, np.float32(1 / 0.75)}
    assert abs(y.numpy().mean() - 1) < 0.02
    y.sum().backward()
    assert (x.grad.numpy() == y.numpy()).all()
    layer.eval()
    assert (layer(x).numpy() == 1).all()


def test_dropout_at_the_ends():
    x = sg.tensor([1.0, np.inf], requires_grad=True)
    assert (nn.Dropout(0)(x).numpy() == x.numpy()).all()
    y = nn.Dropout(1)(x)
    assert y.tolist() == [0.0, 0.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "half", None, True])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(OptionError, match="Dropout: got p=.*0 <= p <= 1"):
        nn.Dropout(p)
    with pytest.raises(OptionError, match="dropout: got p="):
        nn.functional.dropout(sg.ones(3), p)


def test_flatten_and_identity():
    x = sg.ones((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60) and nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Identity(3, unused=4)(x) is x


ACTIVATIONS = {
    nn.ReLU(): lambda x: np.maximum(x, 0),
    nn.Tanh(): np.tanh,
    nn.Sigmoid(): lambda x: 1 / (1 + np.exp(-x)),
    nn.SiLU(): lambda x: x / (1 + np.exp(-x)),
    nn.GELU("tanh"): lambda x: x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    nn.LeakyReLU(0.2): lambda x: np.where(x > 0, x, 0.2 * x),
    nn.ELU(0.5): lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)),
    nn.Softplus(2.0): lambda x: np.log(1 + np.exp(2 * x)) / 2,
    nn.Softmax(0): lambda x: np.exp(x) / np.exp(x).sum(0),
    nn.LogSoftmax(): lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
}


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=repr)
def test_activations_against_numpy(layer):
    x = np.random.default_rng(0).normal(size=(3, 4)) * 2
    assert np.allclose(layer(sg.tensor(x)).numpy(), ACTIVATIONS[layer](x), rtol=1e-12)
    assert not list(layer.parameters())


def test_options_of_activations_are_checked():
    with pytest.raises(OptionError, match="GELU: got approximate='erf'"):
        nn.GELU("erf")
    with pytest.raises(OptionError, match="Softplus: got beta=0"):
        nn.Softplus(0)


def test_reprs_show_the_options():
    shown = {repr(m) for m in ACTIVATIONS} | {repr(nn.Dropout(0.1)), repr(nn.Flatten())}
    for text in (
        "LeakyReLU(negative_slope=0.2)", "ELU(alpha=0.5)", "Softmax(axis=0)", "Dropout(p=0.1)",
        "Flatten(start_axis=1, end_axis=-1)", "GELU(approximate='tanh')", "ReLU()",
    ):  # fmt: skip
        assert text in shown
