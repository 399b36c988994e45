"""A head that reads every stage: what it reads, under the contract of every net, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.models.depths import depths
from bakeoff.models.parts import Net, freeze, frozen_prefix, part, tail, through
from bakeoff.models.stages import reading
from bakeoff.recipe import parse
from bakeoff.together import head_size

FIELDS = {"model": "resnet18", "size": 64, "head_reads": "stages"}
STAGES = ("relu", "layer1", "layer2", "layer3", "layer4")
CHANNELS = (64, 64, 128, 256, 512)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(3)
    made = zoo.build(parse(FIELDS), 7)
    made.module.eval()
    return made


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 64, 64)


def test_each_stage_is_the_normalised_root_of_its_mean(net: Net, images: Tensor) -> None:
    maps: dict[str, Tensor] = {}
    for name in STAGES:
        net.module.get_submodule(name).register_forward_hook(
            lambda _module, _given, output, name=name: maps.update({name: output})
        )
    with torch.no_grad():
        read = net.parts[0].module(images)
    assert read.shape == (4, sum(CHANNELS))
    for name, seen in zip(STAGES, read.split(CHANNELS, dim=1), strict=True):
        root = maps[name].mean((2, 3)).sqrt()  # after a ReLU no mean is negative
        centred = root - root.mean(1, keepdim=True)
        scale = (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(seen, centred / scale, rtol=1e-4, atol=1e-5)


def test_a_map_of_zeros_has_a_gradient_that_is_a_number() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    parts = tuple(part(name, child) for name, child in module.named_children())
    made = reading(Net("plain", module, parts, first_conv="0", head="3"), 16, 5)
    images = torch.zeros(2, 3, 16, 16, requires_grad=True)
    made.module(images).square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_parts_and_tail_are_the_net(name: str, images: Tensor) -> None:
    made = zoo.build(parse({**FIELDS, "model": name}), 7)
    made.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(through(made.parts, images), made.module(images))
        read = through(made.parts[:1], images)
        torch.testing.assert_close(tail(made, 1)(read), made.module(images))


def test_a_frozen_backbone_is_computed_once_and_its_heads_train_together(net: Net) -> None:
    recipe = parse({**FIELDS, "weights": "imagenet", "freeze": "backbone"})
    frozen = freeze(net, recipe.freeze)
    assert frozen_prefix(net, frozen) == 1
    assert head_size(recipe, net, frozen) == sum(CHANNELS)


def test_tensors_and_depths_are_those_of_the_plain_net(net: Net) -> None:
    plain = zoo.build(parse({**FIELDS, "head_reads": "last"}), 7)
    own, other = net.module.state_dict(), plain.module.state_dict()
    assert own.keys() == other.keys()
    assert {n for n in own if own[n].shape != other[n].shape} == {"fc.weight"}
    assert depths(net) == depths(plain)


def test_it_starts_from_a_model_that_reads_its_last_stage(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(5)
    recipe = parse({**FIELDS, "head_reads": "last"})
    before = zoo.build(recipe, 3)
    model_folder.write(tmp_path / "earlier", before, recipe, "abc")
    after = zoo.build(parse({**FIELDS, "weights": str(tmp_path / "earlier")}), 7)
    for name, tensor in before.module.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(tensor, after.module.state_dict()[name]), name


def test_a_model_folder_gives_the_same_logits(tmp_path: Path, net: Net, images: Tensor) -> None:
    model_folder.write(tmp_path / "model", net, parse(FIELDS), "abcdefg")
    again, recipe, _ = model_folder.read(tmp_path / "model")
    assert recipe.head_reads == "stages"
    with torch.no_grad():
        assert torch.equal(again.module(images), net.module(images))


def test_it_can_be_exported(net: Net, images: Tensor) -> None:
    exported = torch.export.export(net.module, (images,)).module()
    torch.testing.assert_close(exported(images), net.module(images))


def test_batch_norm_and_gradients_are_left_alone_while_it_is_laid_out(net: Net) -> None:
    assert all(parameter.requires_grad for parameter in net.module.parameters())
    norms = [module for module in net.module.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(int(norm.num_batches_tracked or 0) for norm in norms)


@pytest.mark.parametrize("model", ["vgg16_bn", "densenet121", "timm/resnet10t", "baseline"])
def test_a_net_whose_head_reads_something_else_is_refused(model: str) -> None:
    with pytest.raises(RecipeError, match=r"^head_reads: stages needs a net whose head reads"):
        zoo.build(parse({**FIELDS, "model": model}), 7)
