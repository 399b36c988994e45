"""Activation maps against hand-set layers; the net is left as found, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.explain.activations import (
    activation_maps,
    convolutions,
    default_layers,
    layers,
    outputs,
    scaled,
)
from bakeoff.explain.hooks import as_found, as_map, watching
from bakeoff.fields import RecipeError
from bakeoff.models import zoo
from bakeoff.models.parts import Net, freeze, train_mode
from bakeoff.recipe import parse


def image() -> torch.Tensor:
    """Red runs from 1 to 4, blue is 2 in one corner."""
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    pixels[0, 2, 1, 1] = 2.0
    return pixels


def test_a_convolution_set_by_hand_gives_what_it_must(hand: Net) -> None:
    hand.module.get_submodule("first").bias.data[0] = -3.0  # type: ignore[operator, union-attr]
    found = outputs(hand, image(), ["first", "relu"])
    np.testing.assert_array_equal(found["first"][0], [[-2, -1], [0, 1]])
    np.testing.assert_array_equal(found["first"][1], [[0, 0], [0, 2]])
    np.testing.assert_array_equal(found["relu"][0], [[0, 0], [0, 1]])  # works in place, after


def test_tiles_run_from_their_minimum_to_their_maximum(hand: Net) -> None:
    maps = activation_maps(hand, image(), ["first"])["first"]
    np.testing.assert_allclose(maps[0], [[0, 1 / 3], [2 / 3, 1]], rtol=1e-6)
    np.testing.assert_allclose(maps[1], [[0, 0], [0, 1]])


def test_a_filter_that_hardly_answers_stays_dark() -> None:
    maps = np.zeros((3, 1, 2), np.float32)
    maps[:, 0, 1] = 1.0, 0.021, 0.019
    np.testing.assert_allclose(scaled(maps)[:, 0, 1], [1, 1, 0])
    assert (scaled(np.full((2, 1, 2), 5, np.float32)) == 0).all()


def test_first_middle_and_last_convolution_by_default(hand: Net) -> None:
    resnet = zoo.build(parse({"model": "resnet18"}), 3)
    assert default_layers(resnet, torch.zeros(1, 3, 64, 64)) == (
        *("conv1", "layer2.1.conv2", "layer4.1.conv2"),
    )
    assert default_layers(hand, image()) == ("first", "last")


def test_gates_over_a_single_pixel_are_no_maps() -> None:
    net = zoo.build(parse({"model": "mobilenet_v3_small"}), 3)
    names = [layer.name for layer in convolutions(net, torch.zeros(1, 3, 64, 64))]
    assert "features.1.block.0.0" in names
    assert not [name for name in names if ".fc1" in name or ".fc2" in name]


def test_layers_come_in_the_order_they_run_with_their_shapes(hand: Net) -> None:
    found = [(layer.name, layer.kind, layer.shape, layer.side) for layer in layers(hand, image())]
    assert found == [
        ("first", "Conv2d", (2, 2, 2), 2),
        ("relu", "ReLU", (2, 2, 2), 2),
        ("last", "Conv2d", (2, 2, 2), 2),
        ("pool", "AdaptiveAvgPool2d", (2, 1, 1), 1),
        ("flatten", "Flatten", (2,), 0),
        ("head", "Linear", (2,), 0),
    ]


def test_an_unknown_layer_is_refused_with_the_nearest(hand: Net) -> None:
    with pytest.raises(RecipeError, match="hand has no frist; did you mean first"):
        outputs(hand, image(), ["frist"])


def test_a_layer_without_a_map_is_refused(hand: Net) -> None:
    with pytest.raises(RecipeError, match="head has no map: it gives 2 values"):
        outputs(hand, image(), ["head"])


def test_one_image_at_a_time(hand: Net) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        outputs(hand, torch.zeros(2, 3, 4, 4), ["first"])


def test_tokens_are_laid_back_as_a_square_without_those_in_front() -> None:
    tokens = torch.arange(10.0).reshape(1, 5, 2)  # a class token, then 2 x 2
    laid = as_map(tokens)
    assert laid is not None
    assert laid.shape == (1, 2, 2, 2)
    assert laid[0, 0].tolist() == [[2, 4], [6, 8]]
    assert as_map(torch.zeros(1, 12, 3)) is None or as_map(torch.zeros(1, 12, 3)).shape[-1] == 3  # type: ignore[union-attr]
    assert as_map(torch.zeros(1, 7)) is None
    assert as_map((tokens,)) is None


def test_channels_may_stand_last() -> None:
    laid = as_map(torch.zeros(2, 7, 7, 96))
    assert laid is not None
    assert laid.shape == (2, 96, 7, 7)


def test_a_transformer_shows_its_blocks() -> None:
    net = zoo.build(parse({"model": "timm/vit_tiny_patch16_224"}), 3)
    found = activation_maps(net, torch.randn(1, 3, 224, 224), ["blocks.3"])
    assert found["blocks.3"].shape == (192, 14, 14)


@pytest.mark.parametrize("fails", [False, True])
def test_the_net_is_left_as_found(fails: bool, count_hooks) -> None:  # type: ignore[no-untyped-def]
    net = zoo.build(parse({"model": "resnet18"}), 3)
    freeze(net, ["conv1", "bn1"])
    train_mode(net.module)
    net.module.get_submodule("fc").weight.grad = torch.ones(3, 512)  # type: ignore[union-attr]
    modes = [module.training for module in net.module.modules()]
    learning = [parameter.requires_grad for parameter in net.module.parameters()]
    running = net.module.get_submodule("layer1.0.bn1").running_mean.clone()  # type: ignore[union-attr, operator]
    if fails:
        with pytest.raises(RuntimeError):  # two channels where three are needed
            activation_maps(net, torch.zeros(1, 2, 64, 64), ["conv1", "layer1"])
    else:
        activation_maps(net, torch.zeros(1, 3, 64, 64), ["conv1", "layer1"])
    assert count_hooks(net.module) == 0
    assert [module.training for module in net.module.modules()] == modes
    assert [parameter.requires_grad for parameter in net.module.parameters()] == learning
    assert torch.equal(net.module.get_submodule("layer1.0.bn1").running_mean, running)  # type: ignore[arg-type]
    assert [p.grad is None for p in net.module.parameters()].count(False) == 1


def test_hooks_are_removed_when_one_cannot_be_set(hand: Net, count_hooks) -> None:  # type: ignore[no-untyped-def]
    modules = {"first": hand.module.get_submodule("first"), "bad": None}
    with (
        pytest.raises(AttributeError),
        watching(modules, lambda *_: None),  # type: ignore[arg-type]
    ):
        pass
    assert count_hooks(hand.module) == 0


def test_modes_come_back_one_by_one() -> None:
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(2))
    module[1].eval()
    with as_found(module):
        assert not any(child.training for child in module.modules())
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
