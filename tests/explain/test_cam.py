"""Grad-CAM and its checks on a net of which every value is known; no hook is left behind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.explain.cam import grad_cam, last_map, rectified
from bakeoff.explain.checks import deletion, moved, randomised, rank_correlation
from bakeoff.explain.chosen import Choice
from bakeoff.explain.panels import panels
from bakeoff.fields import RecipeError
from bakeoff.models import zoo
from bakeoff.models.parts import Net, freeze, train_mode
from bakeoff.recipe import parse


def spot(place: int, side: int = 2) -> torch.Tensor:
    """One red pixel, all else black: (1, 3, side, side)."""
    pixels = torch.zeros(1, 3, side, side)
    pixels[0, 0].view(-1)[place] = 1.0
    return pixels


def test_the_map_is_the_class_weight_times_the_activation(hand: Net) -> None:
    images = torch.cat((spot(0), spot(3)))
    maps = grad_cam(hand, images, torch.tensor([0, 1]), "last")
    # d logit / d activation = 8 / 4 pixels for its own colour and 0 for the other one
    np.testing.assert_allclose(maps[0], [[2, 0], [0, 0]])
    np.testing.assert_allclose(maps[1], [[0, 0], [0, 0]])


def test_only_what_speaks_for_the_class_is_shown() -> None:
    maps = torch.tensor([[[-1.0, 2.0], [4.0, 0.0]], [[-1.0, -2.0], [0.0, 0.0]]])
    np.testing.assert_allclose(rectified(maps)[0], [[0, 0.5], [1, 0]])
    assert (rectified(maps)[1] == 0).all()


@pytest.mark.parametrize(
    ("model", "size", "name"),
    [
        ("resnet18", 64, "layer4"),
        ("vgg11_bn", 64, "features.27"),  # the last ReLU, not the pooling after it
        ("densenet121", 64, "features"),
        ("baseline", 64, "conv4"),
        ("timm/convnext_atto", 64, "norm_pre"),
    ],
)
def test_the_last_map_is_before_pooling(model: str, size: int, name: str) -> None:
    net = zoo.build(parse({"model": model, "size": size}), 3)
    images = torch.randn(2, 3, size, size)
    assert last_map(net, images[:1]) == name
    assert grad_cam(net, images, torch.tensor([0, 1])).shape[0] == 2


def test_nets_without_a_map_are_refused() -> None:
    transformer = zoo.build(parse({"model": "timm/vit_tiny_patch16_224"}), 3)
    with pytest.raises(RecipeError, match="its only convolution is its stem"):
        last_map(transformer, torch.zeros(1, 3, 224, 224))


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_is_left_and_the_net_is_as_before(fails: bool, count_hooks) -> None:  # type: ignore[no-untyped-def]
    net = zoo.build(parse({"model": "resnet18"}), 3)
    freeze(net, ["backbone"])
    train_mode(net.module)
    modes = [module.training for module in net.module.modules()]
    images = torch.randn(2, 3, 64, 64)
    state = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    if fails:
        with pytest.raises((IndexError, RuntimeError)):
            grad_cam(net, images, torch.tensor([0, 99]))
    else:
        maps = grad_cam(net, images, torch.tensor([0, 1]))
        randomised(net, images, torch.tensor([0, 1]), maps, "layer4")
    assert count_hooks(net.module) == 0
    assert [module.training for module in net.module.modules()] == modes
    assert all(parameter.grad is None for parameter in net.module.parameters())
    assert [n for n, p in net.module.named_parameters() if p.requires_grad] == [
        "fc.weight",
        "fc.bias",
    ]
    assert all(torch.equal(state[name], t) for name, t in net.module.state_dict().items())
    assert not images.requires_grad


def test_no_hook_is_left_when_the_net_fails_half_way(hand: Net, count_hooks) -> None:  # type: ignore[no-untyped-def]
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape == (1, 2, 1, 1)
            raise RuntimeError("half way")

    hand.module.set_submodule("flatten", Broken())
    with pytest.raises(RuntimeError, match="half way"):
        grad_cam(hand, spot(0), torch.tensor([0]), "last")
    assert count_hooks(hand.module) == 0


def test_deletion_has_the_area_worked_out_by_hand(hand: Net) -> None:
    # the red pixel makes logits (2, 0): p = 1 / (1 + e^-2); without it (0, 0): p = 1/2
    whole = 1 / (1 + math.exp(-2))
    first = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = deletion(hand, spot(0), first, 0, steps=4)
    assert found.area == pytest.approx(0.25 * (whole + 0.5) / 2 + 0.75 * 0.5)
    assert found.beaten == len(found.random) == 19
    last = torch.tensor([[-1.0, 0.0], [0.0, 0.0]])
    worst = deletion(hand, spot(0), last, 0, steps=4)
    assert worst.area == pytest.approx(0.75 * whole + 0.25 * (whole + 0.5) / 2)
    assert worst.beaten == 0


def test_moved_maps_have_the_same_values_elsewhere() -> None:
    rng = np.random.default_rng(0)
    map_ = rng.normal(size=(7, 7))
    laid = [moved(map_, rng) for _ in range(20)]
    for other in laid:
        np.testing.assert_allclose(np.sort(other.ravel()), np.sort(map_.ravel()))
        assert rank_correlation(map_, other) <= 0.25
    assert len({other.tobytes() for other in laid}) > 15


def test_rank_correlation_asks_for_order_alone() -> None:
    map_ = np.array([[1.0, 2.0], [3.0, 10.0]])
    assert rank_correlation(map_, map_**3) == pytest.approx(1)
    assert rank_correlation(map_, -map_) == pytest.approx(-1)
    assert math.isnan(rank_correlation(map_, np.ones((2, 2))))


def test_a_map_that_does_not_depend_on_the_head_is_found_out(hand: Net) -> None:
    with torch.no_grad():
        hand.module.get_submodule("head").weight.fill_(1.0)  # type: ignore[operator, union-attr]
    images, targets = spot(0), torch.tensor([0])
    maps = grad_cam(hand, images, targets, "last")
    alike = randomised(hand, images, targets, maps, "last")
    assert alike["head"].tolist() == [1.0]  # shuffling equal weights changes nothing


def test_destroyed_weights_give_another_map() -> None:
    torch.manual_seed(0)
    net = zoo.build(parse({"model": "resnet18"}), 5)
    images, targets = torch.randn(6, 3, 96, 96), torch.arange(6) % 5
    maps = grad_cam(net, images, targets)
    alike = randomised(net, images, targets, maps, "layer4")
    assert alike["head"].shape == alike["last"].shape == (6,)
    assert np.abs(alike["head"]).mean() < 0.6


def test_panels_hold_what_was_asked_and_mark_what_explains_nothing(hand: Net) -> None:
    def show(row: int) -> tuple[np.ndarray, torch.Tensor, str]:
        return np.zeros((4, 4, 3), np.uint8), spot(row, 4), f"{row}.jpg"

    choices = [Choice(5, "right", 0, 0, 0.6), Choice(9, "wrong", 0, 1, 0.5)]
    done: list[tuple[int, int]] = []
    good, flat = panels(hand, choices, show, on_progress=lambda _, n, of: done.append((n, of)))
    assert (good.image_id, good.kind, good.label, good.predicted) == ("5.jpg", "right", 0, 0)
    assert good.map.argmax() == 5
    assert good.beaten == good.moves == 19
    assert flat.doubts == ("the map has no contrast",)
    assert done == [(1, 2), (2, 2)]
