"""The loop through the real run: it learns, repeats itself, resumes, freezes and caches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bakeoff import features, optimizers, prepare, seeds, step, store
from bakeoff import run as running
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.inputs import NO_AUGMENT, Batch, Inputs, from_pixels
from bakeoff.loop import Training, TrainingError, epochs
from bakeoff.models import zoo
from bakeoff.models.parts import freeze, frozen_prefix, tail, through
from bakeoff.recipe import parse
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 8, "padding": 1, "dropout": 0.2},
    "size": 32,
    "precision": "fp32",
    "epochs": 3,
    "batch": 16,
}
RESNET = {"model": "resnet18", "size": 32, "precision": "fp32", "epochs": 2, "freeze": "backbone"}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load(DataSpec(source="plates", per_class=10, validation=0.3), 32)


def a_run(fields: dict[str, Any], seed: int = 0) -> Run:
    row = Row("t", "v", parse(fields), {}, is_base=True)
    return Run(row, seed, {"split": 42, "init": seed, "order": seed, "augmentation": seed})


def finished(folder: Path, fields: dict[str, Any], plates: Dataset, seed: int = 0) -> Path:
    list(running.run(folder, a_run(fields, seed), plates, CPU))
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(left: Path, right: Path) -> None:
    """Weights, records (but times) and predictions of two run folders are equal, bit for bit."""
    for name, tensor in weights_of(left).items():
        assert torch.equal(tensor, weights_of(right)[name]), name
    clocks = ("seconds", "images_per_second")
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key not in clocks}
            for line in (folder / "records.jsonl").read_text().splitlines()
        ]
        for folder in (left, right)
    ]
    assert lines[0] == lines[1]
    with np.load(left / "predictions.npz") as one, np.load(right / "predictions.npz") as other:
        assert sorted(one) == sorted(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_eight_photographs_are_learned_by_heart(plates: Dataset) -> None:
    fields = {**TINY, "net": {"width": 16, "padding": 1, "dropout": 0}, "epochs": 60, "lr": 3e-3}
    recipe = parse({**fields, "batch": 8})
    torch.manual_seed(0)
    net = zoo.build(recipe, 10)
    rows = torch.from_numpy(plates.indices("train")[::9][:8])
    inputs = from_pixels(plates.pixels, plates.labels, net, 10, 32, NO_AUGMENT, CPU)
    fabric = running.machine.fabric(CPU, "fp32")
    made = optimizers.make(recipe, net.module.named_parameters())
    model, optimizer = fabric.setup(net.module, made)
    split = {"train": rows, "validation": rows}
    seed = {"order": 0, "augmentation": 0}
    *_, last = epochs(fabric, Training(model, optimizer), recipe, inputs, split, seed)
    assert last.clean_accuracy == 1.0
    assert last.clean_loss < 0.1


def test_a_run_folder_holds_what_the_design_promises(tmp_path: Path, plates: Dataset) -> None:
    folder = finished(tmp_path / "run", TINY, plates)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "recipe.yaml", "records.jsonl", "predictions.npz", "run.json",
        "model/model.safetensors", "model/config.json",
    }  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    assert run["state"] == "finished"
    assert run["test_reads"] == 1
    assert run["parameters"] == run["trainable_parameters"] == 6530
    assert run["data"]["counts"] == {"train": 70, "validation": 30, "test": 500}


def test_the_saved_logits_are_those_of_the_best_epoch(tmp_path: Path, plates: Dataset) -> None:
    folder = finished(tmp_path / "run", {**TINY, "epochs": 40, "patience": 2}, plates)
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    best = json.loads((folder / "run.json").read_text())["best_epoch"]
    assert best == len(records) - 2, "a run whose last epoch is its best shows nothing"
    assert (
        best
        == max(records, key=lambda r: (r["validation_accuracy"], -r["validation_loss"]))["epoch"]
    )
    with np.load(folder / "predictions.npz") as arrays:
        right = arrays["validation_logits"].argmax(1) == arrays["validation_labels"]
        assert right.mean() == pytest.approx(records[best - 1]["validation_accuracy"])
        files = [plates.photographs.paths[row] for row in plates.indices("test")]
        assert arrays["test_ids"].tolist() == files


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(
    tmp_path: Path, plates: Dataset
) -> None:
    fields = {**TINY, "augment": {"policy": "report_jitter", "erase": 0.3, "mixup": 0.2}}
    one = finished(tmp_path / "one", fields, plates)
    same(one, finished(tmp_path / "two", fields, plates))
    other = finished(tmp_path / "other", fields, plates, seed=1)
    assert not torch.equal(weights_of(one)["fc2.weight"], weights_of(other)["fc2.weight"])


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch, stop: int, schedule: str
) -> None:
    monkeypatch.setattr(running, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    fields = {**TINY, "schedule": schedule, "augment.policy": "standard"}
    whole = finished(tmp_path / "whole", fields, plates)
    broken = running.run(tmp_path / "broken", a_run(fields), plates, CPU)
    for _ in range(stop):
        next(broken)
    broken.close()
    assert (tmp_path / "broken" / "resume.pt").is_file()
    rest = list(running.run(tmp_path / "broken", a_run(fields), plates, CPU))
    assert [record.epoch for record in rest] == list(range(stop + 1, 4))
    same(whole, tmp_path / "broken")
    assert not (tmp_path / "broken" / "resume.pt").exists()


def test_interruption_is_said_in_the_folder(tmp_path: Path, plates: Dataset) -> None:
    running_ = running.run(tmp_path, a_run(TINY), plates, CPU)
    next(running_)
    with pytest.raises(KeyboardInterrupt):
        running_.throw(KeyboardInterrupt)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "interrupted"


def test_five_steps_give_the_losses_they_always_gave() -> None:
    recipe = parse({**TINY, "net.dropout": 0.0, "lr": 0.01})
    torch.manual_seed(seeds.number("init", 0))
    net = zoo.build(recipe, 10)
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    inputs = from_pixels(pixels, np.arange(40) % 10, net, 10, 32, NO_AUGMENT, CPU)
    fabric = running.machine.fabric(CPU, "fp32")
    made = optimizers.make(recipe, net.module.named_parameters())
    model, optimizer = fabric.setup(net.module, made)
    one_step = step.eager(step.Work(fabric, model, optimizer, inputs, recipe, None, (40,), 40))
    batch, drawing = inputs.batch(torch.arange(40)), torch.Generator()
    losses = [one_step(batch, drawing)[0] / 40 for _ in range(5)]
    assert losses == pytest.approx([2.3252, 2.1564, 2.0291, 1.9173, 1.8116], abs=2e-3)


def test_what_is_frozen_is_bit_equal_afterwards_and_the_rest_is_not(
    tmp_path: Path, plates: Dataset
) -> None:
    patterns = ["conv1", "bn1", "layer1", "layer3.0"]
    fields = {**RESNET, "freeze": patterns, "augment.policy": "standard"}
    torch.manual_seed(seeds.number("init", 0))
    start = zoo.build(parse(fields), 10).module.state_dict()
    end = weights_of(finished(tmp_path, fields, plates))
    for name, tensor in end.items():
        frozen = name.startswith(("conv1.", "bn1.", "layer1.", "layer3.0."))
        if tensor.is_floating_point() and not name.endswith("running_mean"):
            assert torch.equal(tensor, start[name]) == frozen, name
    assert json.loads((tmp_path / "run.json").read_text())["frozen_unchanged"] is True


def test_cached_features_give_the_logits_of_the_uncached_path(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = finished(tmp_path / "cached", RESNET, plates)
    monkeypatch.setattr(prepare, "frozen_prefix", lambda *_: 0)
    whole = finished(tmp_path / "whole", RESNET, plates)
    for name, tensor in weights_of(cached).items():
        torch.testing.assert_close(tensor, weights_of(whole)[name], rtol=0, atol=2e-5)
    with np.load(cached / "predictions.npz") as one, np.load(whole / "predictions.npz") as other:
        np.testing.assert_allclose(one["test_logits"], other["test_logits"], atol=2e-4)


def test_features_are_computed_once_and_are_the_prefix_s_outputs(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    original: Callable[..., torch.Tensor] = features._compute

    def counted(*arguments: Any) -> torch.Tensor:
        computed.append(1)
        return original(*arguments)

    weights = tmp_path / "start.pth"
    torch.save(zoo.build(parse(RESNET), 10).module.state_dict(), weights)
    monkeypatch.setattr(features, "_compute", counted)
    fields = {**RESNET, "weights": str(weights)}
    for seed, lr in ((0, 1e-3), (1, 1e-2)):
        finished(tmp_path / f"run{seed}", {**fields, "lr": lr}, plates, seed)
    assert len(computed) == 1
    net = zoo.build(parse(fields), 10)
    prefix = frozen_prefix(net, freeze(net, ["backbone"]))
    net.module.eval()
    images = torch.randn(2, 3, 32, 32)
    outputs = through(net.parts[:prefix], images)
    assert outputs.shape == (2, 512)
    torch.testing.assert_close(tail(net, prefix)(outputs), net.module(images))


def test_features_of_a_small_net_are_those_of_its_options(tmp_path: Path, plates: Dataset) -> None:
    start = tmp_path / "start.pth"
    torch.save(zoo.build(parse(TINY), 10).module.state_dict(), start)
    plain = {**TINY, "weights": str(start), "freeze": "backbone"}
    silu = {**plain, "net": {**TINY["net"], "activation": "silu"}}
    found = [finished(tmp_path / str(n), fields, plates) for n, fields in enumerate((plain, silu))]
    with np.load(found[0] / "predictions.npz") as one, np.load(found[1] / "predictions.npz") as two:
        assert not np.allclose(one["test_logits"], two["test_logits"])


def test_bf16_stays_near_fp32(tmp_path: Path, plates: Dataset) -> None:
    """Bound: after one epoch the validation loss differs by less than 5 %."""
    losses = []
    for precision in ("fp32", "bf16"):
        finished(tmp_path / precision, {**TINY, "precision": precision, "epochs": 1}, plates)
        losses.append(json.loads((tmp_path / precision / "records.jsonl").read_text()))
    assert losses[1]["validation_loss"] == pytest.approx(losses[0]["validation_loss"], rel=0.05)
    assert losses[0]["validation_loss"] != losses[1]["validation_loss"]


def test_a_loss_that_is_no_number_fails_the_run_in_one_sentence(
    tmp_path: Path, plates: Dataset
) -> None:
    fields = {**TINY, "optimizer": "sgd", "lr": 1e30}
    with pytest.raises(TrainingError, match=r"step \d of epoch 1: try a smaller lr"):
        finished(tmp_path, fields, plates)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "failed"


def test_patience_stops_early(tmp_path: Path, plates: Dataset) -> None:
    fields = {**TINY, "optimizer": "sgd", "lr": 1e-12, "epochs": 30, "patience": 2}
    finished(tmp_path, fields, plates)
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert len(lines) < 30


def test_the_schedules_give_the_rates_worked_out_by_hand() -> None:
    warm = parse({"lr": 1.0, "schedule": "cosine", "warmup_epochs": 2, "epochs": 10})
    assert [round(optimizers.rate(warm, at), 4) for at in (1, 2, 6, 10)] == [0.5, 1.0, 0.5, 0.0]
    stairs = parse({"lr": 1.0, "schedule": "step", "step_epochs": 7, "step_gamma": 0.1})
    rates = [round(optimizers.rate(stairs, at), 4) for at in (0, 6.9, 7, 14)]
    assert rates == [1.0, 1.0, 0.1, 0.01]
    assert optimizers.rate(parse({"lr": 0.3}), 5) == 0.3


def test_balanced_class_weights_are_scikit_learn_s() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    loss = step.loss_of(parse({"class_weights": "balanced"}), labels, 3)
    logits = torch.zeros(3, 3)
    logits[:, 0] = 1.0
    each = torch.nn.functional.cross_entropy(logits, torch.arange(3), reduction="none")
    expected = (each * torch.tensor(wanted)).sum() / wanted.sum()
    torch.testing.assert_close(loss(logits, torch.arange(3)).double(), expected.double())


def test_every_photograph_is_shown_once_an_epoch_in_a_new_order(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[list[int]] = []
    original = Inputs.drawn
    row_of = {pixels.tobytes(): row for row, pixels in enumerate(plates.pixels)}

    def watched(self: Inputs, batch: Batch, generator: torch.Generator) -> Any:
        shown.append([row_of[pixels.numpy().tobytes()] for pixels in batch.rows])
        return original(self, batch, generator)

    monkeypatch.setattr(Inputs, "drawn", watched)
    finished(tmp_path, {**TINY, "epochs": 2, "batch": 23}, plates)
    half = len(shown) // 2
    first, second = (list(chain(*part)) for part in (shown[:half], shown[half:]))
    assert sorted(first) == sorted(second) == plates.indices("train").tolist()
    assert first != second
    assert max(map(len, shown)) - min(map(len, shown)) <= 1


def test_identity_is_of_content_and_not_of_places() -> None:
    run = a_run({"model": "resnet18", "weights": "a/start.pth"})
    moved = a_run({"model": "resnet18", "weights": "b/start.pth"})
    assert store.identity(run, "f", "w") == store.identity(moved, "f", "w")
    others = [
        store.identity(a_run({"model": "resnet18", "lr": 0.1}), "f", "w"),
        store.identity(run, "g", "w"),
        store.identity(run, "f", "v"),
        store.identity(replace(run, seeds={**run.seeds, "init": 9}), "f", "w"),
    ]
    assert store.identity(run, "f", "w") not in others


def test_a_share_of_the_photographs_is_taken_class_by_class_and_nested() -> None:
    labels = torch.tensor([0] * 8 + [1] * 4 + [2])
    rows = torch.arange(100, 113)

    def taken(share: float) -> list[int]:
        drawing = seeds.generator("subset", 5)
        return prepare.share_of(rows, labels, share, drawing).tolist()

    half, quarter = taken(0.5), taken(0.25)
    assert set(quarter) < set(half) < set(rows.tolist())
    assert np.bincount(labels[torch.tensor(half) - 100]).tolist() == [4, 2, 1]
    assert np.bincount(labels[torch.tensor(quarter) - 100]).tolist() == [2, 1, 1]
    assert taken(1.0) == rows.tolist()


def test_outputs_larger_than_their_limit_are_not_kept(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first convolution's, at 224 px: 16 times what is allowed, 64 GB for 20,000."""
    monkeypatch.setattr(features, "MOST_BYTES", 64 * 16 * 16 * 4 - 1)
    monkeypatch.setattr(features, "cached", pytest.fail)
    finished(tmp_path, {**RESNET, "freeze": ["conv1"], "epochs": 1}, plates)
