"""Made-up studies, written by the store's own writers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import store, study

CLASSES = 4
VALIDATION = 60


@dataclass(frozen=True)
class Made:
    """How a made-up run is to come out; `rate` is its chance of being right on a photograph."""

    rate: float = 0.7
    state: str = "finished"
    photographs: int = 400
    seconds: float = 60.0
    train_accuracy: float = 0.9
    ids: str = "photo"
    lucky: tuple[int, ...] = field(default=())  # photographs it gets right in any case


def predictions(made: Made, count: int, seed: int) -> store.Predictions:
    """Photographs keep their own luck over all runs, so that correctness is paired."""
    labels = np.arange(count) % CLASSES
    luck = np.random.default_rng(99).random(count)
    mood = np.random.default_rng((7, seed)).random(count)
    right = (0.8 * luck + 0.2 * mood) < made.rate
    right[list(made.lucky)] = True
    logits = np.zeros((count, CLASSES), np.float32)
    logits[np.arange(count), np.where(right, labels, (labels + 1) % CLASSES)] = 2.0
    order = np.random.default_rng(seed).permutation(count)  # files need not share an order
    ids = np.array([f"{made.ids}-{place:05d}" for place in range(count)])
    return store.Predictions(ids[order], labels[order].astype(np.int64), logits[order])


def finished(made: Made) -> store.Finished:
    return store.Finished(
        classes=tuple("abcd"),
        best_epoch=1,
        train_accuracy=made.train_accuracy,
        train_loss=0.1,
        train_images=240,
        seconds=made.seconds,
        images_per_second=100.0,
        peak_megabytes=50.0,
        parameters=1000,
        trainable_parameters=100,
        frozen_unchanged=None,
        test_reads=1,
    )


Plan = Callable[[str, int], Made]


def write_run(place: Path, run: study.Run, made: Made) -> None:
    """Write one run as `made` says, with the store's own writers."""
    folder = place / run.name
    if made.state == "pending":
        return
    store.begin(folder, run, "identity")
    if made.state == "failed":
        store.write_state(folder, run, "identity", "failed")
        return
    test = predictions(made, made.photographs, 1000 + run.seed)
    validation = predictions(made, VALIDATION, 2000 + run.seed)
    store.write_predictions(folder, {"test": test, "validation": validation})
    store.finish(folder, run, "identity", finished(made))


@pytest.fixture
def make_runs(tmp_path: Path) -> Callable[..., list[store.RunFiles]]:
    """Return a function (tables, seeds, plan) -> runs; a table is base -> {variant: change}."""

    def make(
        tables: Mapping[str, Mapping[str, Any]],
        seeds: int,
        plan: Plan,
        vary: tuple[str, ...] = ("init",),
    ) -> list[store.RunFiles]:
        content = {"name": "made", "seeds": tuple(range(seeds)), "vary": vary, "tables": tables}
        made_study = study.Study.model_validate(content)
        store.write_study(tmp_path, made_study)
        for run in study.runs(made_study):
            write_run(tmp_path, run, plan(run.row.variant, run.seed))
        return store.read_runs(tmp_path)

    return make


@pytest.fixture
def made() -> type[Made]:
    return Made


@pytest.fixture
def fill() -> Callable[[Path, study.Run, Made], None]:
    return write_run
