"""Nets whose weights are set by hand, so that what they show can be worked out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from bakeoff.explain import v1
from bakeoff.models.parts import Net, part


def net_of(module: nn.Sequential, first_conv: str = "first", head: str = "head") -> Net:
    parts = tuple(part(name, child) for name, child in module.named_children())
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Net("hand", module, parts, first_conv, head, mean, std)


def hand_net() -> Net:
    """Two 1x1 convolutions that pass red and blue on, then the mean of each, times 8."""
    first, last, head = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)
    with torch.no_grad():
        for layer in (first, last, head):
            assert layer.bias is not None
            layer.bias.zero_()
        first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None])
        last.weight.copy_(torch.eye(2)[:, :, None, None])
        head.weight.copy_(8 * torch.eye(2))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers |= {"first": first, "relu": nn.ReLU(inplace=True), "last": last}
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": head}
    return net_of(nn.Sequential(layers))


def hooks_in(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(child, kind)) for child in module.modules() for kind in kinds)


@pytest.fixture
def hand() -> Net:
    return hand_net()


@pytest.fixture
def make_net() -> Callable[..., Net]:
    return net_of


@pytest.fixture
def count_hooks() -> Callable[[nn.Module], int]:
    return hooks_in


@pytest.fixture
def few_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit a few filters of a layer, where the figures themselves are not looked at."""
    monkeypatch.setattr(v1, "MOST_FITTED", 8)
