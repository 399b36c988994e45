"""Head-only runs of a study are trained together; their folders are as if each had been alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import resnet18

from bakeoff import execute as executing
from bakeoff import store
from bakeoff.events import Ended, Measured, Started
from bakeoff.settings import Settings
from bakeoff.study import Study, runs

VARIANTS: dict[str, dict[str, Any]] = {
    "faster": {"lr": 0.01},
    "smoothed": {"label_smoothing": 0.2, "schedule": "cosine"},
    "large": {"batch": 40},
    "thawed": {"freeze": []},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with start weights; the cache lies in it too."""
    folder = tmp_path_factory.mktemp("together")
    torch.manual_seed(0)
    save_file(resnet18(num_classes=3).state_dict(), folder / "start.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        yield folder


def study(place: Path, variants: dict[str, dict[str, Any]] = VARIANTS, **fields: Any) -> Study:
    recipe = {
        "model": "resnet18",
        "weights": str(place / "start.safetensors"),
        "freeze": "backbone",
        "size": 32,
        "epochs": 2,
        "batch": 16,
        "precision": "fp32",
        **fields,
    }
    return Study.model_validate(
        {
            "name": "heads",
            "data": {"source": "plates", "per_class": 8, "validation": 0.25},
            "seeds": (0, 1),
            "tables": {"heads": {"base": "stock", "recipe": recipe, "variants": variants}},
        }
    )


@pytest.fixture(scope="module")
def made(place: Path) -> Path:
    asked = study(place)
    events = list(executing.execute(asked, runs(asked), place / "made", Settings("cpu")))
    for kind, count in ((Started, 10), (Measured, 20), (Ended, 10)):
        assert sum(isinstance(event, kind) for event in events) == count
    assert not any(event.error or event.reused for event in events if isinstance(event, Ended))
    return place / "made"


def test_only_runs_that_share_all_but_rates_and_seeds_are_together(made: Path) -> None:
    counts = {
        path.parent.parent.name: json.loads(path.read_text())["at_once"]
        for path in made.glob("heads/*/seed-*/run.json")
    }
    assert counts == {"stock": 6, "faster": 6, "smoothed": 6, "large": 2, "thawed": 1}


def test_a_folder_is_as_if_the_run_had_been_alone(
    place: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads_only = {name: VARIANTS[name] for name in ("faster", "smoothed", "large")}
    asked = study(place, heads_only)
    monkeypatch.setattr(executing, "groups", lambda *_: [])
    list(executing.execute(asked, runs(asked), place / "alone", Settings("cpu")))
    alone = {f"{run.variant}/{run.seed}": run for run in store.read_runs(place / "alone")}
    for run in store.read_runs(made):
        if run.variant == "thawed":
            continue
        other = alone[f"{run.variant}/{run.seed}"]
        assert set(run.run) == set(other.run)
        assert run.run["best_epoch"] == other.run["best_epoch"]
        assert run.run["frozen_unchanged"] is True
        assert run.run["train_loss"] == pytest.approx(other.run["train_loss"], abs=1e-5)
        for mine, theirs in zip(run.records, other.records, strict=True):
            assert mine.lr == theirs.lr
            assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-5)
            assert mine.clean_loss == pytest.approx(theirs.clean_loss, abs=1e-5)
            assert mine.validation_accuracy == pytest.approx(theirs.validation_accuracy)
        logits, wanted = (each.predictions("test").logits for each in (run, other))
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        mine, theirs = (load_file(each.folder / "model/model.safetensors") for each in (run, other))
        for name, tensor in mine.items():
            torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-5)


def test_what_is_finished_is_not_trained_again(
    place: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "run_together", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(executing, "run", lambda *_, **__: pytest.fail("trained again"))
    asked = study(place)
    events = list(executing.execute(asked, runs(asked), made, Settings("cpu")))
    assert all(isinstance(event, Ended) and event.reused for event in events)


def test_interrupted_together_they_begin_anew_together(
    place: Path, made: Path, tmp_path: Path
) -> None:
    asked = study(place, {"faster": VARIANTS["faster"]})
    events = executing.execute(asked, runs(asked), tmp_path, Settings("cpu"))
    for event in events:
        if isinstance(event, Measured):
            break
    events.close()
    states = {run.state for run in store.read_runs(tmp_path)}
    assert states == {"interrupted"}
    list(executing.execute(asked, runs(asked), tmp_path, Settings("cpu")))
    for path in tmp_path.glob("heads/*/seed-*/run.json"):
        assert json.loads(path.read_text())["at_once"] == 4
    again = load_file(tmp_path / "heads/faster/seed-1/model/model.safetensors")
    before = load_file(made / "heads/faster/seed-1/model/model.safetensors")
    torch.testing.assert_close(again["fc.weight"], before["fc.weight"], atol=1e-5, rtol=1e-5)


def test_a_head_that_breaks_is_run_alone_and_says_why(place: Path, tmp_path: Path) -> None:
    wild = {"wild": {"optimizer": "sgd", "lr": 1e38}, "slow": {"lr": 1e-4}}
    asked = study(place, wild)
    events = list(executing.execute(asked, runs(asked), tmp_path, Settings("cpu")))
    errors = {event.run.row.variant: event.error for event in events if isinstance(event, Ended)}
    assert errors["wild"].startswith("the loss became ")
    assert errors["wild"].endswith("try a smaller lr") or "is kept in model/" in errors["wild"]
    assert errors["slow"] == errors["stock"] == ""
    states = {run.variant: run.state for run in store.read_runs(tmp_path)}
    assert states == {"stock": "finished", "wild": "failed", "slow": "finished"}


def test_too_much_work_is_done_in_parts(
    place: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = store.read_runs(made)[0].run["train_images"]
    monkeypatch.setattr("bakeoff.together.MOST_WORK", 3 * 6 * 512 * 10 * images * 2)
    asked = study(place, {"faster": VARIANTS["faster"]})
    list(executing.execute(asked, runs(asked), tmp_path, Settings("cpu")))
    counts = [
        json.loads(path.read_text())["at_once"]
        for path in sorted(tmp_path.glob("heads/*/seed-*/run.json"))
    ]
    assert sorted(counts) == [1, 3, 3, 3], "three at once, and one that is left"


@pytest.mark.parametrize("ended", [0, 1, 3])
def test_killed_together_they_end_with_the_same_bits(
    place: Path, tmp_path: Path, ended: int
) -> None:
    """A kill leaves what lies on the disk then: with none finished, one, or all but one."""
    asked = study(place, {"faster": VARIANTS["faster"]}, epochs=3)
    events = executing.execute(asked, runs(asked), tmp_path / "whole", Settings("cpu"))
    left = ended
    for event in events:
        left -= isinstance(event, Ended)
        if isinstance(event, Measured | Ended) and not left and not (tmp_path / "killed").exists():
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    states = {run.state for run in store.read_runs(tmp_path / "killed")}
    assert "running" in states
    list(executing.execute(asked, runs(asked), tmp_path / "killed", Settings("cpu")))
    for one in (tmp_path / "whole").glob("heads/*/seed-*"):
        other = tmp_path / "killed" / one.relative_to(tmp_path / "whole")
        for name in ("model/model.safetensors", "predictions.npz"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), (one, name)
