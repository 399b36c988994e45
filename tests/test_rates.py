"""`lr: auto`: where the search goes, what it sees, what it keeps, and that runs repeat with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff import integrity, optimizers, rates
from bakeoff import run as running
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.fields import RecipeError
from bakeoff.inputs import Batch, Inputs
from bakeoff.loop import TrainingError
from bakeoff.models import folder as model_folder
from bakeoff.plan import _check
from bakeoff.prepare import Job
from bakeoff.rates import Trial, at, centre, held_back, search, squeezed
from bakeoff.recipe import parse
from bakeoff.stepping import Steps
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 4, "padding": 1, "dropout": 0.2},
    "size": 32,
    "precision": "fp32",
    "epochs": 2,
    "batch": 16,
    "lr": "auto",
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load(DataSpec(source="plates", per_class=10, validation=0.3), 32)


def a_run(fields: dict[str, Any], seed: int = 0) -> Run:
    row = Row("t", "v", parse(fields), {}, is_base=True)
    return Run(row, seed, {"split": 42, "init": seed, "order": seed, "augmentation": seed})


def a_job(fields: dict[str, Any], plates: Dataset, folder: Path = Path("nowhere")) -> Job:
    how = "fp32", "", False, None, Steps()
    return Job(folder, a_run(fields), "identity", plates, CPU, *how)


def finished(folder: Path, fields: dict[str, Any], plates: Dataset) -> Path:
    list(running.run(folder, a_run(fields), plates, CPU))
    return folder


def kept(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "rates.json").read_text())
    return content


def valley(bottom: float) -> Callable[[float], Trial]:
    """Return a measure whose loss is least at the rate `bottom`."""
    return lambda lr: Trial(lr, abs(math.log10(lr / bottom)), 0.5)


def test_the_grid_has_two_round_rates_a_decade() -> None:
    assert [at(place) for place in range(-8, 1)] == [
        1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "baseline"}, 1e-3),
        ({"optimizer": "adamw", "weights": "imagenet"}, 1e-4),
        ({"optimizer": "adamw", "weights": "imagenet", "freeze": "backbone"}, 1e-3),
        ({"optimizer": "sgd"}, 3e-2),
        ({"optimizer": "sgd", "weights": "imagenet", "freeze": "first_conv"}, 3e-3),
    ],
)
def test_the_search_begins_by_optimiser_and_start(fields: dict[str, Any], expected: float) -> None:
    assert at(centre(parse(fields))) == expected


@pytest.mark.parametrize(
    ("bottom", "asked"),
    [
        (1e-3, [1e-3, 3e-4, 3e-3]),
        (3e-3, [1e-3, 3e-4, 3e-3, 1e-2]),
        (1e-4, [1e-3, 3e-4, 3e-3, 1e-4, 3e-5]),
        (1e9, [1e-3, 3e-4, 3e-3, 1e-2, 3e-2, 1e-1]),  # no further than a hundred times
    ],
)
def test_an_edge_that_is_best_is_gone_beyond(bottom: float, asked: list[float]) -> None:
    seen: list[float] = []

    def measure(lr: float) -> Trial:
        seen.append(lr)
        return valley(bottom)(lr)

    assert search(-6, measure) == min(max(bottom, 1e-5), 1e-1)
    assert seen == asked


def test_rates_that_give_no_numbers_are_worse_than_all_others() -> None:
    def measure(lr: float) -> Trial:
        return Trial(lr, None, None) if lr > 1e-4 else valley(1e-4)(lr)

    assert search(-6, measure) == 1e-4


@given(st.dictionaries(st.integers(-10, -2), st.floats(0, 10) | st.none(), max_size=9))
def test_what_is_chosen_was_measured_once_and_is_the_best_of_its_neighbours(
    losses: dict[int, float | None],
) -> None:
    seen: list[float] = []

    def measure(lr: float) -> Trial:
        seen.append(lr)
        return Trial(lr, losses.get(round(2 * math.log10(lr * 1.01)), 5.0), 0.0)

    best = search(-6, measure)
    assert len(seen) == len(set(seen)) <= 9
    assert best in seen
    assert measure(best).badness == min(measure(lr).badness for lr in list(seen))


def test_the_schedule_is_squeezed_whole() -> None:
    recipe = parse({"schedule": "step", "step_epochs": 10, "step_gamma": 0.5, "epochs": 40})
    short = squeezed(recipe, 1.0, 2)
    rate = [optimizers.rate(short, at) for at in (0, 0.49, 0.51, 1.01, 1.51)]
    assert rate == [1.0, 1.0, 0.5, 0.25, 0.125]
    warm = parse({"schedule": "cosine", "warmup_epochs": 4, "epochs": 40, "patience": 1})
    short = squeezed(warm, 1.0, 1)
    assert [round(optimizers.rate(short, at), 4) for at in (0.05, 0.1, 0.55)] == [0.5, 1.0, 0.5]
    assert short.patience is None


def test_a_tenth_of_train_is_held_back_and_nothing_else_is_seen(plates: Dataset) -> None:
    seen, epochs = held_back(a_job({**TINY, "epochs": 30}, plates))
    train, held = seen.indices("train"), seen.indices("validation")
    assert len(seen.indices("test")) == 0
    assert sorted([*train, *held]) == plates.indices("train").tolist()
    assert np.bincount(plates.labels[held]).tolist() == [1] * 10  # of 7 photographs a class
    assert epochs == 13  # 50 steps of 4 an epoch
    assert held_back(a_job(TINY, plates))[1] == 2  # no more than the run has


def test_a_share_of_the_photographs_is_all_that_is_seen(plates: Dataset) -> None:
    seen, _ = held_back(a_job({**TINY, "train_share": 0.5}, plates))
    assert len(seen.indices("train")) + len(seen.indices("validation")) == 40  # 4 of 7 a class


def test_photographs_are_bounded_by_steps_and_so_is_what_is_held_back(
    plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "LEAST_STEPS", 2)
    monkeypatch.setattr(rates, "MOST_HELD_BACK", 5)
    monkeypatch.setattr(rates, "HELD_BACK", 0.3)
    seen, epochs = held_back(a_job({**TINY, "batch": 10, "epochs": 4}, plates))
    assert len(seen.indices("train")) == 20  # two steps of ten
    assert len(seen.indices("validation")) == 10  # at least one a class
    assert epochs == 1


def test_groups_are_not_divided(plates: Dataset) -> None:
    groups = tuple(f"{label}-{row % 2}" for row, label in enumerate(plates.labels))
    grouped = replace(plates, photographs=replace(plates.photographs, groups=groups))
    seen, _ = held_back(a_job(TINY, grouped))
    sides = {}
    for row in [*seen.indices("train"), *seen.indices("validation")]:
        assert sides.setdefault(groups[row], seen.split[row]) == seen.split[row]


def test_a_class_that_cannot_be_divided_is_said_in_a_sentence(plates: Dataset) -> None:
    split = plates.split.copy()
    split[plates.indices("train")[plates.labels[plates.indices("train")] == 3][1:]] = "test"
    with pytest.raises(TrainingError, match=r"^lr: auto can hold nothing back: .* too few"):
        held_back(a_job(TINY, replace(plates, split=split)))


def test_the_run_is_the_one_with_the_chosen_rate_and_keeps_what_was_compared(
    tmp_path: Path, plates: Dataset
) -> None:
    auto = finished(tmp_path / "auto", TINY, plates)
    content = kept(auto)
    tried = [row["lr"] for row in content["rates"]]
    assert tried == sorted(tried)
    assert len(tried) >= 3
    best = min(content["rates"], key=lambda row: row["loss"])
    assert content["chosen"] == best["lr"]
    assert (content["trained_images"], content["held_back_images"]) == (60, 10)
    plain = finished(tmp_path / "plain", {**TINY, "lr": content["chosen"]}, plates)
    assert not (plain / "rates.json").exists()
    with np.load(auto / "predictions.npz") as one, np.load(plain / "predictions.npz") as other:
        np.testing.assert_array_equal(one["test_logits"], other["test_logits"])
    lines = (auto / "records.jsonl").read_text().splitlines()
    assert {json.loads(line)["lr"] for line in lines} == {content["chosen"]}
    assert "lr: auto" in (auto / "recipe.yaml").read_text()
    assert model_folder.read(auto / "model")[1].lr == content["chosen"]
    assert "rates.json" in json.loads((auto / "run.json").read_text())["files"]
    assert integrity.damage(auto) == ""
    (auto / "rates.json").write_text("{}")
    assert integrity.damage(auto) == "rates.json is damaged"


def test_validation_and_test_are_not_read_before_the_training(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {plates.pixels[row].tobytes() for row in plates.indices("train")}
    shown: set[bytes] = set()
    for name in ("drawn", "seen"):
        original = getattr(Inputs, name)

        def watched(self: Inputs, batch: Batch, *more: Any, original: Any = original) -> Any:
            shown.update(pixels.numpy().tobytes() for pixels in batch.rows)
            return original(self, batch, *more)

        monkeypatch.setattr(Inputs, name, watched)
    job = rates.resolved(a_job(TINY, plates, tmp_path))
    assert shown == train
    assert job.run.row.recipe.rate == kept(tmp_path)["chosen"]


def test_interrupted_while_comparing_it_goes_on_and_measures_nothing_twice(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finished(tmp_path / "whole", TINY, plates)
    measured: list[float] = []
    original = rates._trial

    def stopped(job: Job, dataset: Dataset, lr: float, epochs: int) -> Trial:
        measured.append(lr)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return original(job, dataset, lr, epochs)

    monkeypatch.setattr(rates, "_trial", stopped)
    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path / "broken", TINY, plates)
    state = json.loads((tmp_path / "broken" / "run.json").read_text())["state"]
    assert (state, kept(tmp_path / "broken")["chosen"]) == ("interrupted", None)
    finished(tmp_path / "broken", TINY, plates)
    assert len(measured) == len(kept(whole)["rates"]) + 1
    without = [
        {name: value for name, value in kept(folder).items() if name != "checksum"}
        for folder in (whole, tmp_path / "broken")
    ]
    assert without[0] == without[1]


def test_a_resumed_run_keeps_its_rate_and_a_damaged_file_is_measured_again(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(TINY, plates, tmp_path)
    monkeypatch.setattr(rates, "_trial", lambda _job, _dataset, lr, _epochs: valley(0.01)(lr))
    assert rates.resolved(job).run.row.recipe.rate == 0.01
    monkeypatch.setattr(rates, "_trial", lambda *_: pytest.fail("it is known"))
    assert rates.resolved(job).run.row.recipe.rate == 0.01
    monkeypatch.setattr(rates, "_trial", lambda _job, _dataset, lr, _epochs: valley(1e-4)(lr))
    damaged = (tmp_path / "rates.json").read_text().replace("0.01", "0.02")
    (tmp_path / "rates.json").write_text(damaged)
    assert rates.resolved(job).run.row.recipe.rate == 1e-4
    for other in (replace(job, identity="other"), replace(job, precision="bf16")):
        monkeypatch.setattr(rates, "_trial", lambda _job, _dataset, lr, _epochs: valley(1e-3)(lr))
        assert rates.resolved(other).run.row.recipe.rate == 1e-3


def test_no_rate_that_trains_fails_the_run_in_one_sentence(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_trial", lambda _job, _dataset, lr, _epochs: Trial(lr, None, None))
    said = r"^lr: auto found no rate that trains, of 1e-05 to 0\.003"
    with pytest.raises(TrainingError, match=said):
        finished(tmp_path, TINY, plates)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "failed"


def test_heads_with_an_open_rate_are_trained_each_by_itself(tmp_path: Path) -> None:
    from bakeoff.models import zoo

    start = tmp_path / "start.pth"
    torch.save(zoo.build(parse({"model": "resnet18"}), 7).module.state_dict(), start)
    fields = {"model": "resnet18", "size": 32, "weights": str(start), "freeze": "backbone"}
    assert _check(parse(fields), 7, CPU, offline=True) == 512
    assert _check(parse({**fields, "lr": "auto"}), 7, CPU, offline=True) is None


def test_a_rate_that_is_still_open_cannot_be_trained_with() -> None:
    with pytest.raises(AssertionError):
        optimizers.rate(parse({"lr": "auto"}), 0)
    with pytest.raises(RecipeError):
        parse({"lr": "automatic"})


def test_a_head_that_learns_first_does_so_on_what_is_not_held_back(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bakeoff import head_first
    from bakeoff.models import zoo

    start = tmp_path / "start.pth"
    torch.save(zoo.build(parse({**TINY, "lr": 0.1}), 10).module.state_dict(), start)
    fields = {**TINY, "weights": str(start), "head_epochs": 1}
    seen: list[Dataset] = []
    original = head_first.train

    def watched(job: Job, prepared: Any) -> None:
        seen.append(job.dataset)
        original(job, prepared)

    monkeypatch.setattr(head_first, "train", watched)
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    rates.resolved(a_job(fields, plates, tmp_path))
    train = set(plates.indices("train").tolist())
    assert len(seen) == len(kept(tmp_path)["rates"])
    for dataset in seen:
        assert len(dataset.indices("test")) == 0
        assert {*dataset.indices("train"), *dataset.indices("validation")} == train
