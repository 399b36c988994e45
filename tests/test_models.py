"""Every net under one contract: the chain, freezing, the frozen prefix, start weights, sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import limits, weights, zoo
from bakeoff.models.parts import DROPOUT, freeze, frozen_prefix, tail, through, train_mode
from bakeoff.recipe import parse

SMALL = {"net": {"width": 8, "padding": 1}, "size": 40}
NETS = [
    {"model": "baseline", **SMALL},
    {"model": "custom", **SMALL},
    {"model": "baseline", **SMALL, "net.extra_convs": "before_pool", "net.activation": "silu"},
    {"model": "custom", **SMALL, "net.residual": True, "net.attention": "se"},
    {"model": "custom", **SMALL, "net.attention": "eca", "net.blur_pool": True},
    {"model": "resnet18", "size": 64},
    {"model": "vgg16_bn", "size": 32},
    {"model": "mobilenet_v3_small", "size": 64},
    {"model": "efficientnet_b0", "size": 64},
    {"model": "convnext_tiny", "size": 64},
    {"model": "densenet121", "size": 64},
    {"model": "timm/resnet10t", "size": 64},
    {"model": "timm/vit_tiny_patch16_224", "size": 224},
    {"model": "timm/convnext_atto", "size": 64},
]


@pytest.mark.parametrize("fields", NETS, ids=lambda fields: str(fields["model"]))
def test_the_parts_one_after_another_are_the_net(fields: dict[str, object]) -> None:
    recipe = parse(fields)
    net = zoo.build(recipe, 7)
    net.module.eval()
    images = torch.randn(2, 3, recipe.size, recipe.size)
    with torch.no_grad():
        whole = net.module(images)
    assert whole.shape == (2, 7)
    torch.testing.assert_close(through(net.parts, images), whole, rtol=0, atol=0)
    in_parts = frozenset[str]().union(*(part.tensors for part in net.parts))
    assert in_parts == set(net.module.state_dict())
    assert isinstance(net.module.get_submodule(net.head), torch.nn.Linear)
    assert isinstance(net.module.get_submodule(net.first_conv), torch.nn.Conv2d)


@pytest.mark.parametrize("fields", NETS, ids=lambda fields: str(fields["model"]))
def test_freezing_the_backbone_leaves_the_head_and_first_conv_is_one_layer(
    fields: dict[str, object],
) -> None:
    net = zoo.build(parse(fields), 7)
    frozen = freeze(net, ["backbone"])
    learning = {name for name, p in net.module.named_parameters() if p.requires_grad}
    assert learning == {f"{net.head}.weight", f"{net.head}.bias"}
    assert not learning & frozen
    net = zoo.build(parse(fields), 7)
    assert {name.rpartition(".")[0] for name in freeze(net, ["first_conv"])} == {net.first_conv}


def test_the_frozen_prefix_of_vgg_stops_before_its_first_dropout() -> None:
    net = zoo.build(parse({"model": "vgg16_bn", "size": 32}), 7)
    prefix = frozen_prefix(net, freeze(net, ["backbone"]))
    assert [part.name for part in net.parts[:prefix]][-1] == "classifier.1"
    assert isinstance(net.parts[prefix].module, DROPOUT)


def test_the_frozen_prefix_is_empty_when_the_first_layer_learns() -> None:
    net = zoo.build(parse({"model": "resnet18"}), 7)
    assert frozen_prefix(net, frozenset()) == 0
    assert tail(net, 0) is net.module
    assert frozen_prefix(net, freeze(net, ["layer1", "layer2*"])) == 0


def test_the_frozen_prefix_ends_where_learning_begins() -> None:
    net = zoo.build(parse({"model": "resnet18"}), 7)
    prefix = frozen_prefix(net, freeze(net, ["conv1", "bn1", "layer1"]))
    assert [part.name for part in net.parts[:prefix]] == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        "layer1",
    ]


def test_frozen_batch_norm_stays_in_eval_and_dropout_stays_on() -> None:
    net = zoo.build(parse({"model": "vgg16_bn", "size": 32}), 7)
    freeze(net, ["features"])
    train_mode(net.module)
    norms = [m for m in net.module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    assert all(m.training for m in net.module.modules() if isinstance(m, DROPOUT))
    unfrozen = zoo.build(parse({"model": "resnet18"}), 7)
    freeze(unfrozen, ["first_conv"])
    train_mode(unfrozen.module)
    assert unfrozen.module.get_submodule("bn1").training


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (["layer9"], "freeze: layer9 matches no parameter of resnet18; did you mean layer"),
        (["backbone", "fc"], "freeze: backbone, fc leaves nothing of resnet18 to train"),
    ],
)
def test_freezing_that_cannot_be_meant_is_refused(patterns: list[str], said: str) -> None:
    net = zoo.build(parse({"model": "resnet18"}), 7)
    with pytest.raises(RecipeError, match=said):
        freeze(net, patterns)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "resnet81"}, "model: nobody knows resnet81; did you mean resnet18?"),
        ({"model": "timm/levit_128s"}, "has no single linear head"),
        ({"model": "resnet18", "weights": "nowhere.pth"}, "nowhere.pth is not a file"),
    ],
)
def test_a_net_that_cannot_be_built_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace("?", r"\?")):
        zoo.build(parse(fields), 7)


def test_an_image_too_small_for_the_net_is_refused_with_what_would_help() -> None:
    with pytest.raises(RecipeError, match=r"size: 64 does not fit custom; .*net\.padding=1"):
        zoo.check_size(parse({"model": "custom", "size": 64}), 7)
    zoo.check_size(parse({"model": "custom", "size": 64, "net.padding": 1}), 7)
    growing = {"augment.policy": "standard", "grow_from": 64, "train_size": 224}
    with pytest.raises(RecipeError, match="grow_from: 64 does not fit custom; allowed: unset, or"):
        zoo.check_size(parse({"model": "custom", "size": 224, **growing}), 7)
    with pytest.raises(RecipeError, match="grow_from: 64 does not fit timm/vit_tiny_patch16_224"):
        zoo.check_size(parse({"model": "timm/vit_tiny_patch16_224", **growing}), 7)
    zoo.check_size(parse({"model": "custom", "size": 224}), 7)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"model": "baseline"}, 346),  # 128 x 220 x 220 after the second convolution
        ({"model": "custom", "net": {"pool_stride": 1}}, 346),
        ({"model": "vgg16_bn"}, 668),  # 64 x 224 x 224
        ({"model": "resnet18"}, 2674),  # 64 x 112 x 112
    ],
)
def test_no_batch_makes_a_tensor_of_2_to_31_numbers(fields: dict[str, object], most: int) -> None:
    recipe = parse({**fields, "size": 224, "batch": most + 1})
    assert limits.largest_batch(recipe, 20) == most
    with pytest.raises(RecipeError, match=f"^batch: with {most + 1}.*allowed: up to {most}$"):
        limits.check(recipe, 20, torch.device("cuda"))
    limits.check(recipe, 20, torch.device("cpu"))
    limits.check(recipe.model_copy(update={"batch": most}), 20, torch.device("cuda"))


def test_what_is_cached_does_not_limit_the_batch() -> None:
    recipe = parse({"model": "resnet18", "freeze": "backbone", "batch": 8192})
    limits.check(recipe, 20, torch.device("cuda"))
    augmented = parse({**recipe.model_dump(), "augment": {"policy": "standard"}})
    with pytest.raises(RecipeError, match="up to 2674"):
        limits.check(augmented, 20, torch.device("cuda"))


def test_offline_refuses_weights_that_are_not_on_this_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RecipeError, match="weights: imagenet for resnet18 is not on this disk"):
        zoo.build(parse({"model": "resnet18", "weights": "imagenet"}), 7, offline=True)


def test_half_precision_weights_of_other_classes_fit_all_but_the_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = zoo.build(parse({"model": "resnet18"}), 1000).module
    path = tmp_path / "start.safetensors"
    save_file({name: t.half() for name, t in start.state_dict().items()}, path)
    net = zoo.build(parse({"model": "resnet18", "weights": str(path)}), 7)
    own, given = net.module.state_dict(), start.state_dict()
    for name in own:
        if name.startswith("fc.") or "num_batches" in name:
            continue
        assert own[name].dtype == torch.float32
        torch.testing.assert_close(own[name], given[name].half().float(), rtol=0, atol=0)
    assert weights.digest(str(path)) == weights.digest(str(path.rename(tmp_path / "moved.pth")))


def test_weights_of_another_net_and_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file(zoo.build(parse({"model": "baseline", **SMALL}), 7).module.state_dict(), other)
    with pytest.raises(RecipeError, match=r"other.safetensors is of another net than resnet18"):
        zoo.build(parse({"model": "resnet18", "weights": str(other)}), 7)
    for name in ("text.safetensors", "text.pth"):
        text = tmp_path / name
        text.write_text("hello")
        with pytest.raises(RecipeError, match=f"{name} cannot be read as weights"):
            zoo.build(parse({"model": "resnet18", "weights": str(text)}), 7)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "ran"),))  # type: ignore[return-value]

    path = tmp_path / "harmful.pth"
    torch.save({"conv1.weight": Harmful()}, path)
    with pytest.raises(RecipeError, match=r"harmful.pth cannot be read as weights"):
        weights.read(path)
    assert not (tmp_path / "ran").exists()


def test_a_model_folder_gives_the_same_logits_when_read_back(tmp_path: Path) -> None:
    recipe = parse({"model": "custom", **SMALL})
    net = zoo.build(recipe, 3)
    model_folder.write(tmp_path / "model", net, recipe, ["a", "b", '<c>&"'])
    again, recipe_again, classes = model_folder.read(tmp_path / "model")
    images = torch.randn(2, 3, 40, 40)
    assert (recipe_again, classes) == (recipe, ("a", "b", '<c>&"'))
    torch.testing.assert_close(again.module(images), net.module.eval()(images), rtol=0, atol=0)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "config.json",
    }


def test_timm_itself_reads_a_model_folder(tmp_path: Path) -> None:
    import timm

    recipe = parse({"model": "resnet18", "size": 64})
    net = zoo.build(recipe, 3)
    model_folder.write(tmp_path / "model", net, recipe, ["a", "b", "c"])
    theirs = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), net.module.eval()(images), rtol=0, atol=1e-5)
    assert theirs.pretrained_cfg["mean"] == list(net.mean)
