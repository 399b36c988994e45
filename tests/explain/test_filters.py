"""Weight maps against values worked out by hand, and on every kind of stem."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from bakeoff.explain.filters import first_layer, weight_maps
from bakeoff.fields import RecipeError
from bakeoff.models import zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import parse


def test_each_filter_is_shifted_to_be_positive_and_divided_by_its_maximum() -> None:
    weights = np.zeros((2, 3, 1, 2))
    weights[0, :, 0] = [[-1, 0], [1, 2], [3, 1]]  # minimum -1, then maximum 4
    weights[1] = 7.0  # one value: nothing to show
    pictures = weight_maps(weights)
    assert pictures.shape == (2, 1, 2, 3)
    np.testing.assert_allclose(pictures[0, 0], [[0, 0.5, 1], [0.25, 0.75, 0.5]])
    assert (pictures[1] == 0).all()


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (3, 3), (2, 1), (48, 1)])
def test_three_channels_are_a_colour_and_all_others_grey(channels: int, shown: int) -> None:
    weights = np.random.default_rng(0).normal(size=(5, channels, 4, 4))
    assert weight_maps(weights).shape == (5, 4, 4, shown)


def test_other_channels_are_averaged() -> None:
    weights = np.array([[[[0.0, 2.0]], [[4.0, 6.0]]]])  # means 2 and 4
    np.testing.assert_allclose(weight_maps(weights)[0, 0, :, 0], [0, 1])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("baseline", (64, 3, 3, 3)),
        ("resnet18", (64, 3, 7, 7)),
        ("vgg11_bn", (64, 3, 3, 3)),
        ("timm/vit_tiny_patch16_224", (192, 3, 16, 16)),
        ("timm/convnext_atto", (40, 3, 4, 4)),
    ],
)
def test_any_net_has_its_first_layer(model: str, shape: tuple[int, ...]) -> None:
    net = zoo.build(parse({"model": model}), 3)
    weights = first_layer(net)
    assert weights.shape == shape
    weights[:] = 0  # a copy: the net keeps its own
    assert first_layer(net).any()


def test_a_first_layer_that_is_no_convolution_is_refused(make_net) -> None:  # type: ignore[no-untyped-def]
    net: Net = make_net(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "1", "1")
    with pytest.raises(RecipeError, match="its first layer 1 is no two-dimensional convolution"):
        first_layer(net)
