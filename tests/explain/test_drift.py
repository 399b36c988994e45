"""Weight change and CKA against values worked out otherwise."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bakeoff.explain.drift import biased_cka, drift, linear_cka, stages, weight_change
from bakeoff.models import zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import parse


def copied(net: Net) -> Net:
    return replace(net, module=copy.deepcopy(net.module))


def test_cka_is_the_formula_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 6))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    norm = np.linalg.norm
    expected = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert biased_cka(torch.from_numpy(x + 3), torch.from_numpy(y - 1)) == pytest.approx(expected)


def test_cka_does_not_see_rotation_and_scale() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 5))
    turned, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    assert linear_cka(torch.from_numpy(x), torch.from_numpy(3 * x @ turned)) == pytest.approx(1)
    assert linear_cka(torch.from_numpy(x), torch.ones(12, 3)) is None


def test_unrelated_features_are_not_alike_even_where_there_are_few_images() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(10):
        x, y = (torch.from_numpy(rng.normal(size=(40, 4000))) for _ in range(2))
        biased, unbiased = biased_cka(x, y), linear_cka(x, y)
        assert biased is not None
        assert unbiased is not None
        assert biased > 0.9
        found.append(unbiased)
    assert abs(np.mean(found)) < 0.05


def test_with_many_images_both_estimates_agree() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 3))
    y = x @ rng.normal(size=(3, 4)) + rng.normal(size=(600, 4))
    both = [cka(torch.from_numpy(x), torch.from_numpy(y)) for cka in (biased_cka, linear_cka)]
    assert both[0] == pytest.approx(both[1], abs=0.01)


def test_an_unchanged_net_has_not_moved_and_a_changed_stage_shows(hand: Net) -> None:
    start = copied(hand)
    images = torch.rand(6, 3, 4, 4)
    still = drift(hand, start, images)
    assert [(s.name, s.parameters, s.change) for s in still] == [
        ("first", 8, 0.0),
        ("last", 6, 0.0),
        ("head", 6, 0.0),
    ]
    assert [s.cka for s in still] == [pytest.approx(1.0)] * 3
    assert all(s.floor is not None and s.floor < 0.9 for s in still)
    with torch.no_grad():
        hand.module.get_submodule("last").weight[1, 1] = -1.0  # type: ignore[operator, union-attr, index]
    moved = drift(hand, start, images)
    # two ones, one of them moved by two: sqrt(4) / sqrt(2)
    assert [s.change for s in moved] == [0.0, pytest.approx(2**0.5), 0.0]
    assert moved[0].cka == pytest.approx(1.0)


def test_a_start_of_zeros_has_no_relative_change(hand: Net) -> None:
    start = copied(hand).module.get_submodule("head")
    torch.nn.init.zeros_(start.weight)  # type: ignore[arg-type]
    assert weight_change(hand.module.get_submodule("head"), start) is None


def test_stages_are_parts_or_what_lies_below() -> None:
    resnet = zoo.build(parse({"model": "resnet18"}), 3)
    names = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
    assert stages(resnet) == names
    timm = zoo.build(parse({"model": "timm/convnext_atto"}), 3)
    assert stages(timm)[2:7] == ("stages.0", "stages.1", "stages.2", "stages.3", "head")


def test_large_maps_are_averaged_and_the_net_is_left_as_found(count_hooks) -> None:  # type: ignore[no-untyped-def]
    net = zoo.build(parse({"model": "resnet18"}), 3)
    net.module.train()
    found = drift(net, copied(net), torch.randn(4, 3, 64, 64))
    assert [stage.cka for stage in found] == [pytest.approx(1.0)] * 7
    assert count_hooks(net.module) == 0
    assert all(module.training for module in net.module.modules())


def test_what_cannot_be_compared_is_refused(hand: Net) -> None:
    other = zoo.build(parse({"model": "baseline"}), 2)
    with pytest.raises(ValueError, match="is not laid out as hand"):
        drift(hand, other, torch.rand(4, 3, 4, 4))
    with pytest.raises(ValueError, match="at least 4"):
        drift(hand, hand, torch.rand(3, 3, 4, 4))
