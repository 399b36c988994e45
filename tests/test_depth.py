"""Stochastic depth: which nets have it, how often they drop, and that frozen paths stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as torchvision_models

from bakeoff import plan
from bakeoff import run as running
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.fields import RecipeError
from bakeoff.models import depth, zoo
from bakeoff.models import folder as model_folder
from bakeoff.models.parts import drops_paths, freeze, frozen_prefix, through, train_mode
from bakeoff.recipe import parse
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
RESNET = {"model": "timm/resnet10t", "size": 32, "drop_path": 0.5}


def shares(fields: dict[str, Any]) -> list[float]:
    """Return how often each path of a net is dropped, but those that never are."""
    with torch.device("meta"):
        net = zoo.build(parse({"size": 64, **fields}), 7).module
    return [share for module in net.modules() if (share := depth.share(module))]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "timm/resnet18", "drop_path": 0.7}, [0.1 * k for k in range(1, 8)]),
        ({"model": "timm/resnet18", "drop_path": 0.0}, []),
        ({"model": "timm/resnet18"}, []),
        ({"model": "convnext_tiny"}, [0.1 * k / 17 for k in range(1, 18)]),  # its builder's own
        ({"model": "convnext_tiny", "drop_path": 0.34}, [0.02 * k for k in range(1, 18)]),
        ({"model": "convnext_tiny", "drop_path": 0.0}, []),
        ({"model": "efficientnet_b0", "drop_path": 0.3}, [0.02 * k for k in range(1, 16)]),
        ({"model": "swin_t", "drop_path": 0.44}, [0.04 * k for k in range(1, 12)]),
    ],
)
def test_the_deeper_a_path_the_more_often_it_is_dropped(
    fields: dict[str, Any], expected: list[float]
) -> None:
    assert shares(fields) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("resnet18", "resnet18 has no paths to drop; allowed: 0, or a model .*, such as timm/resn"),
        ("vgg16_bn", "vgg16_bn has no paths to drop; .*such as timm/resnet18 or convnext_tiny"),
        ("timm/vgg11", "timm/vgg11 has no paths to drop; .*such as timm/resnet18 or convnext_tiny"),
        ("custom", "custom has no paths to drop"),
    ],
)
def test_a_net_without_paths_is_refused_with_one_that_has_some(model: str, said: str) -> None:
    with pytest.raises(RecipeError, match=f"^drop_path: 0.1 is not allowed, {said}") as caught:
        zoo.build(parse({"model": model, "drop_path": 0.1}), 7)
    assert "\n" not in str(caught.value)
    zoo.build(parse({"model": model, "drop_path": 0.0}), 7)


def test_rates_outside_0_to_1_are_refused() -> None:
    for wrong in (1.0, -0.1):
        with pytest.raises(RecipeError, match=r"drop_path: .* is not allowed"):
            parse({"model": "timm/resnet18", "drop_path": wrong})


def test_weights_of_torchvision_s_resnet18_are_timm_s(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = torchvision_models.resnet18(num_classes=7).eval()
    path = tmp_path / "resnet18.safetensors"
    save_file(given.state_dict(), path)
    recipe = parse({"model": "timm/resnet18", "weights": str(path), "drop_path": 0.2})
    module = zoo.build(recipe, 7).module.eval()
    module.fc.load_state_dict(given.fc.state_dict())  # type: ignore[union-attr]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(module(images), given(images))


def outputs(net: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        return [net(images), net(images)]


def test_paths_are_dropped_in_training_and_never_in_evaluation() -> None:
    net = zoo.build(parse(RESNET), 7).module
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
            nn.init.ones_(module.weight)  # timm's paths add nothing at first
    train_mode(net)
    one, other = outputs(net)
    assert not torch.equal(one, other)
    one, other = outputs(net.eval())
    assert torch.equal(one, other)
    plain = zoo.build(parse({**RESNET, "drop_path": 0.0}), 7).module.eval()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(outputs(plain)[0], one)


@pytest.mark.parametrize("model", ["timm/resnet10t", "efficientnet_b0", "convnext_tiny"])
def test_a_frozen_path_stays_and_so_its_outputs_can_be_kept(model: str) -> None:
    net = zoo.build(parse({"model": model, "size": 32, "drop_path": 0.5}), 7)
    assert drops_paths(net.module)
    assert frozen_prefix(net, frozenset()) == 0
    prefix = frozen_prefix(net, freeze(net, ["backbone"]))
    assert not drops_paths(net.module)
    assert prefix >= len(net.parts) - 2, "all but the head, and what dropout is before it"
    images = torch.randn(4, 3, 32, 32)
    train_mode(net.module)
    trained = through(net.parts[:prefix], images)
    net.module.eval()
    assert torch.equal(trained, through(net.parts[:prefix], images))


def test_paths_of_blocks_that_learn_go_on_being_dropped_beside_frozen_ones() -> None:
    net = zoo.build(parse({"model": "timm/resnet18", "drop_path": 0.5}), 7)
    freeze(net, ["conv1", "bn1", "layer1", "layer2", "layer3"])
    train_mode(net.module)
    on = [n for n, m in net.module.named_modules() if depth.share(m) and m.training]
    assert on == ["layer4.0.drop_path", "layer4.1.drop_path"]


def test_a_path_outside_of_what_is_frozen_ends_the_prefix() -> None:
    """Such a net is not in the libraries: a path of its own between two frozen parts."""
    from bakeoff.models.parts import Net, part

    module = nn.Sequential(nn.Conv2d(3, 4, 1), depth.DropPath(0.5), nn.Flatten(), nn.Linear(4, 2))
    links = tuple(part(name, child) for name, child in module.named_children())
    net = Net("own", module, links, first_conv="0", head="3")
    assert frozen_prefix(net, freeze(net, ["backbone"])) == 1


def test_dropping_where_everything_is_frozen_is_refused() -> None:
    frozen = parse({**RESNET, "freeze": "backbone"})
    with pytest.raises(RecipeError, match=r"^drop_path: 0\.5 changes nothing with freeze backbone"):
        plan._check(frozen, 7, CPU, offline=True)
    plan._check(parse({**RESNET, "freeze": "layer1"}), 7, CPU, offline=True)


@pytest.fixture
def plates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    return load(DataSpec(source="plates", per_class=4, validation=0.3), 32)


def test_a_run_repeats_and_resumes_bit_for_bit_and_is_read_back_without_dropping(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    recipe = parse({**RESNET, "epochs": 2, "batch": 16, "precision": "fp32"})
    run = Run(
        Row("t", "v", recipe, {}, is_base=True),
        0,
        {"split": 42, "init": 0, "order": 0, "augmentation": 0},
    )
    list(running.run(tmp_path / "whole", run, plates, CPU))
    broken = running.run(tmp_path / "broken", run, plates, CPU)
    next(broken)
    broken.close()
    list(running.run(tmp_path / "broken", run, plates, CPU))
    logits = []
    for name in ("whole", "broken"):
        with np.load(tmp_path / name / "predictions.npz") as kept:
            logits.append(kept["validation_logits"])
    np.testing.assert_array_equal(*logits)
    net, kept_recipe, _ = model_folder.read(tmp_path / "whole" / "model")
    assert kept_recipe.drop_path == 0.5
    assert not any(map(depth.share, net.module.modules()))
