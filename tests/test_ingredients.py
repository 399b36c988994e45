"""The recipe's ingredients, each by itself: rates, decay, averages, sizes, views, head first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff import head_first, loop, optimizers, seeds
from bakeoff import run as running
from bakeoff.averaging import Average
from bakeoff.classifier import load
from bakeoff.data.dataset import Dataset
from bakeoff.data.dataset import load as load_photographs
from bakeoff.data.spec import DataSpec
from bakeoff.export.graph import Whole
from bakeoff.fields import RecipeError
from bakeoff.models import zoo
from bakeoff.models.depths import depths
from bakeoff.models.parts import freeze
from bakeoff.models.views import COUNTS, averaged, views
from bakeoff.recipe import parse
from bakeoff.study import Row, Run
from bakeoff.together import head_size

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 8, "padding": 1, "dropout": 0.2},
    "size": 32,
    "precision": "fp32",
    "epochs": 3,
    "batch": 16,
}
RESNET: dict[str, Any] = {"model": "resnet18", "size": 32, "precision": "fp32", "epochs": 1}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load_photographs(DataSpec(source="plates", per_class=8, validation=0.3), 32)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a ResNet-18 in a file."""
    place = tmp_path_factory.mktemp("start") / "start.pth"
    torch.manual_seed(5)
    torch.save(zoo.build(parse(RESNET), 10).module.state_dict(), place)
    return str(place)


def trained(folder: Path, fields: dict[str, Any], plates: Dataset) -> Path:
    list(records(folder, fields, plates))
    return folder


def records(folder: Path, fields: dict[str, Any], plates: Dataset) -> Iterator[Any]:
    row = Row("t", "v", parse(fields), {}, is_base=True)
    run = Run(row, 0, {"split": 42, "init": 0, "order": 0, "augmentation": 0})
    return running.run(folder, run, plates, CPU)


def logits_of(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as arrays:
        return np.asarray(arrays["test_logits"])


def test_depths_count_the_layers_below_the_head() -> None:
    net = zoo.build(parse(RESNET), 10)
    found = depths(net)
    assert {found[f"{name}.weight"] for name in ("conv1", "bn1")} == {5}
    assert [found[f"layer{n}.0.conv1.weight"] for n in (1, 2, 3, 4)] == [4, 3, 2, 1]
    assert found["fc.weight"] == found["fc.bias"] == 0
    assert set(found) == {name for name, _ in net.module.named_parameters()}
    by_timm = depths(zoo.build(parse({**RESNET, "model": "timm/resnet18"}), 10))
    assert by_timm["conv1.weight"] == by_timm["bn1.weight"] == 9
    assert (by_timm["layer4.1.bn2.weight"], by_timm["fc.weight"]) == (1, 0)


def test_every_layer_has_its_rate_and_norms_are_spared_the_decay() -> None:
    recipe = parse({**SMALL, "weight_decay": 0.1, "decay_norms": False, "layer_decay": 0.5})
    net = zoo.build(recipe, 10)
    optimizer = optimizers.make(recipe, net.module.named_parameters(), depths(net))
    optimizers.set_rate(optimizer.param_groups, 0.8)
    names = {id(parameter): name for name, parameter in net.module.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found["fc2.weight"] == (0.8, 0.1)
    assert found["fc2.bias"] == (0.8, 0.0)
    assert found["fc1.0.weight"] == (0.4, 0.1)
    assert found["conv4.0.weight"] == (0.2, 0.1)
    assert found["conv4.1.weight"] == found["conv4.1.bias"] == (0.2, 0.0)
    assert found["conv1.0.weight"] == (0.8 / 32, 0.1)
    assert len(found) == len(names)


def test_without_them_there_is_one_group_as_ever() -> None:
    recipe = parse({**SMALL, "weight_decay": 0.1})
    net = zoo.build(recipe, 10)
    (group,) = optimizers.make(recipe, net.module.named_parameters(), depths(net)).param_groups
    assert group["weight_decay"] == 0.1
    assert [id(one) for one in group["params"]] == [id(one) for one in net.module.parameters()]


def test_the_average_is_the_one_worked_out_by_hand() -> None:
    weight, count = nn.Parameter(torch.tensor([1.0])), torch.tensor(0)
    mean = {"w": weight.detach().clone(), "n": count.clone()}
    average = Average({"w": weight, "n": count}, mean, decay=0.5)
    for steps, value in ((1, 2.0), (2, 3.0)):
        with torch.no_grad():
            weight.fill_(value)
            count.fill_(steps)
        average.update(steps)
    first = 1 + (1 - 2 / 11) * (2 - 1)  # (1 + steps) / (10 + steps) while that is below 0.5
    second = first + (1 - 3 / 12) * (3 - first)
    torch.testing.assert_close(mean["w"], torch.tensor([second]))
    assert mean["n"] == 2
    with average.shown():
        torch.testing.assert_close(weight.detach(), torch.tensor([second]))
    assert weight.item() == 3.0
    average.update(1000)  # long after, the decay itself counts
    torch.testing.assert_close(mean["w"], torch.tensor([(second + 3) / 2]))


def test_what_is_kept_of_a_run_is_the_average(tmp_path: Path, plates: Dataset) -> None:
    folder = trained(tmp_path / "mean", {**SMALL, "ema": 0.9}, plates)
    plain = trained(tmp_path / "plain", SMALL, plates)
    lines = [(place / "records.jsonl").read_text().splitlines() for place in (folder, plain)]
    pairs = [(json.loads(one), json.loads(other)) for one, other in zip(*lines, strict=True)]
    for averaged_, own in pairs:  # it learns the same, and answers otherwise
        assert averaged_["train_loss"] == own["train_loss"]
        assert averaged_["validation_loss"] != own["validation_loss"]
    classifier = load(folder, device="cpu")
    test = np.ascontiguousarray(plates.pixels[plates.indices("test")])
    np.testing.assert_allclose(classifier.logits(test), logits_of(folder), atol=1e-4)


def test_killed_and_resumed_an_average_goes_on_bit_for_bit(tmp_path: Path, plates: Dataset) -> None:
    fields = {**SMALL, "ema": 0.9, "layer_decay": 0.7, "decay_norms": False, "weight_decay": 0.1}
    whole = trained(tmp_path / "whole", fields, plates)
    stopped = records(tmp_path / "stopped", fields, plates)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    trained(tmp_path / "stopped", fields, plates)
    np.testing.assert_array_equal(logits_of(whole), logits_of(tmp_path / "stopped"))


def test_sizes_grow_in_steps_of_sixteen_and_end_whole() -> None:
    fields = {"augment.policy": "standard", "epochs": 9, "size": 224}
    growing = parse({**fields, "train_size": 176, "grow_from": 96})
    assert [growing.size_at(epoch) for epoch in range(9)] == [
        96, 112, 128, 128, 144, 160, 176, 176, 176,
    ]  # fmt: skip
    assert parse({**fields, "train_size": 160}).size_at(0) == 160
    assert parse(fields).size_at(3) == 224


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"train_size": 256}, "train_size: 256 is larger than size 224"),
        ({"train_size": 96, "grow_from": 128}, "grow_from: 128 is larger than train_size 96"),
        ({"augment.policy": "none", "train_size": 96}, "needs an augment.policy that crops"),
        ({"augment.min_scale": 0}, "min_scale: 0 is not allowed"),
        ({"head_epochs": 2}, "head_epochs: 2 needs start weights"),
        ({"head_epochs": 2, "weights": "x", "freeze": "backbone"}, "a backbone that learns"),
        ({"views": "three"}, "views: 'three' is not allowed"),
        ({"ema": 1}, "ema: 1 is not allowed"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse({"augment.policy": "standard", **fields})


def test_the_net_sees_each_epoch_at_its_size(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    original = loop.step.Work.__init__

    def noted(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        images, _ = self.inputs.drawn(self.inputs.batch(torch.arange(2)), torch.Generator())
        drawn.append(images.shape[-1])

    monkeypatch.setattr(loop.step.Work, "__init__", noted)
    fields = {**SMALL, "augment.policy": "standard", "grow_from": 16, "epochs": 5}
    folder = trained(tmp_path, fields, plates)
    assert drawn == [16, 32]  # a step for each size, not for each epoch
    test = np.ascontiguousarray(plates.pixels[plates.indices("test")])
    np.testing.assert_allclose(load(folder).logits(test), logits_of(folder), atol=1e-4)


def test_views_are_the_image_its_mirror_and_its_corners() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    found = list(views(image, "crops"))
    assert [len(list(views(image, kind))) for kind in COUNTS] == list(COUNTS.values()) == [1, 2, 10]
    assert torch.equal(found[0], image)
    assert torch.equal(found[1], image.flip(3))
    assert [one[0, 0, 0, 0].item() for one in found[2::2]] == [0, 1, 8, 9]  # 7 of 8 pixels a side
    assert found[-1].shape == image.shape


def test_an_averaged_net_answers_with_the_mean_and_one_view_wraps_nothing() -> None:
    class First(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :, 0, 0]

    image = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    net = First()
    assert averaged(net, "one") is net
    assert averaged(net, "flip")(image).tolist() == [[3.5, 3.5, 3.5]]  # of 0 and 7


@pytest.mark.parametrize("frozen", [[], ["backbone"]])
def test_a_run_its_model_and_its_graph_answer_over_the_same_views(
    tmp_path: Path, plates: Dataset, start: str, frozen: list[str]
) -> None:
    fields = {**RESNET, "weights": start, "freeze": frozen, "views": "flip"}
    folder = trained(tmp_path, fields, plates)
    classifier = load(folder, device="cpu")
    test = np.ascontiguousarray(plates.pixels[plates.indices("test")])
    np.testing.assert_allclose(classifier.logits(test), logits_of(folder), atol=2e-4)
    with torch.no_grad():
        shares = Whole(classifier).eval()(torch.from_numpy(test[:4]))
    np.testing.assert_allclose(shares.numpy(), classifier.probabilities(test[:4]), atol=1e-5)
    once = classifier.net.module.eval()(torch.zeros(1, 3, 32, 32))
    assert once.shape == (1, 10)


def test_heads_with_views_or_an_average_are_not_trained_together(start: str) -> None:
    for change, size in (({}, 512), ({"views": "flip"}, None), ({"ema": 0.9}, None)):
        recipe = parse({**RESNET, "weights": start, "freeze": "backbone", **change})
        net = zoo.build(recipe, 10)
        assert head_size(recipe, net, freeze(net, recipe.freeze)) == size


def test_the_head_is_trained_first_and_nothing_else(
    tmp_path: Path, plates: Dataset, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {**RESNET, "weights": start, "head_epochs": 20, "lr": 1e-12, "optimizer": "sgd"}
    seen: list[dict[str, torch.Tensor]] = []
    original = head_first.train

    def noted(job: Any, prepared: Any) -> None:
        original(job, prepared)
        state = prepared.net.module.state_dict()
        seen.append({name: tensor.clone() for name, tensor in state.items()})

    monkeypatch.setattr(head_first, "train", noted)
    whole = trained(tmp_path / "whole", fields, plates)
    torch.manual_seed(seeds.number("init", 0))
    before = zoo.build(parse(fields), 10).module.state_dict()
    for name, tensor in seen[0].items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("fc.")), name
    plain = trained(tmp_path / "plain", {**fields, "head_epochs": 0}, plates)
    losses = [
        json.loads((folder / "records.jsonl").read_text())["validation_loss"]
        for folder in (whole, plain)
    ]
    assert losses[0] < losses[1]


def test_a_net_without_a_separate_head_has_none_to_train_first() -> None:
    recipe = parse({"model": "squeezenet1_1", "weights": "x", "head_epochs": 2})
    net = zoo.build(parse(RESNET), 10)
    with pytest.raises(RecipeError, match="is for one process, and these are 2"):
        head_first.check(recipe, net, 2)
    whole = type(net)("odd", net.module, net.parts[:1], net.first_conv, net.head)
    with pytest.raises(RecipeError, match="ends in a linear head"):
        head_first.check(recipe, whole)
