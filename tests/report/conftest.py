"""Made-up studies, written by the store itself: what a report reads, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import files, integrity, store
from bakeoff.study import Run, Study, runs

ODD_CLASSES = ("<b>&\"'", "日本", "apple_pie", "</script>", "crab_cakes")
SMALL_TABLES: dict[str, Any] = {
    "custom": {
        "base": "baseline",
        "recipe": {"model": "baseline"},
        "variants": {
            "custom2": {"net.activation": "silu"},
            "custom3": {"net.early_pool": True},
            "custom4": {"lr": 0.0005},
        },
    }
}
FOOD_TABLES: dict[str, Any] = {
    "custom": {
        "base": "baseline",
        "recipe": {"model": "baseline"},
        "variants": {
            "custom1": {"net.extra_convs": "around_pool"},
            "custom2": {"net.activation": "silu"},
            "custom3": {"net.early_pool": True},
            "custom4": {"lr": 0.0005},
            "custom5": {"net.extra_convs": "around_pool", "net.early_pool": True},
            "custom6": {"model": "custom", "net.activation": "silu"},
            "custom7": {"model": "custom", "lr": 0.0005},
        },
    },
}
for _table, _model in (("resnet18", "resnet18"), ("vgg16_bn", "vgg16_bn")):
    _name = _table[:3] if _model.startswith("vgg") else "resnet"
    _open: dict[str, Any] = {"freeze": []}
    _slow, _random = {"lr": 0.0001}, {"augment.policy": "report"}
    FOOD_TABLES[_table] = {
        "base": "stock",
        "recipe": {"model": _model, "weights": "imagenet", "freeze": ["backbone"]},
        "variants": {
            f"{_name}1": _open,
            f"{_name}2": {**_open, **_slow},
            f"{_name}3": _slow,
            f"{_name}4": {"freeze": ["first_conv"]},
            f"{_name}5": {"freeze": ["first_conv"], **_random, **_slow},
            f"{_name}6": {**_open, **_random, **_slow},
        },
    }


def small_study(**fields: Any) -> Study:
    """A study of four rows and three seeds, with `fields` laid over it."""
    given = {"name": "small", "question": "Which change helps?", "seeds": (0, 1, 2)}
    return Study.model_validate({**given, "tables": SMALL_TABLES, **fields})


def food_study(seeds: int = 5) -> Study:
    """A study of 22 rows, as large as the report's."""
    question = "Which change to the net, to what is frozen or to the training made it better?"
    fields = {"name": "food101-20", "question": question, "seeds": tuple(range(seeds))}
    return Study.model_validate({**fields, "data": {"source": "food101"}, "tables": FOOD_TABLES})


def level_of(run: Run) -> float:
    """The made-up test accuracy of a row, the same in every process."""
    base = {"custom": 0.38, "resnet18": 0.68, "vgg16_bn": 0.70}.get(run.row.table, 0.5)
    step = int.from_bytes(run.row.variant.encode()[-1:], "big") % 8
    return base + (0 if run.row.is_base else 0.022 * step - 0.03)


def logits_of(
    labels: np.ndarray, num_classes: int, level: float, rng: np.random.Generator
) -> np.ndarray:
    """Logits that are right for about `level` of the labels, and likelier wrong next door."""
    logits = rng.normal(0, 1, (len(labels), num_classes))
    right = rng.random(len(labels)) < level
    near = (labels + rng.choice([1, 1, 2, 5], len(labels))) % num_classes
    target = np.where(right, labels, near)
    logits[np.arange(len(labels)), target] += rng.normal(5, 1, len(labels))
    return logits.astype(np.float32)


def records_of(level: float, epochs: int, rng: np.random.Generator) -> list[store.Record]:
    """Curves that rise to about `level`, training above validation."""
    found = []
    for epoch in range(1, epochs + 1):
        at = level * (1 - np.exp(-epoch / (0.22 * epochs)))
        low, high = rng.normal(0, 0.008, 2)
        clean = min(0.999, at * (1.02 + 0.1 * epoch / epochs) + low)
        valid = at + high
        found.append(
            store.Record(
                epoch=epoch,
                lr=1e-3,
                train_loss=3 * (1 - at) + 0.1,
                train_accuracy=max(0.02, at - 0.04),
                clean_loss=3 * (1 - clean),
                clean_accuracy=clean,
                clean_images=3000,
                validation_loss=3 * (1 - valid) + 0.15 * max(0, epoch / epochs - 0.6),
                validation_accuracy=valid,
                seconds=40 + 30 * level,
                images_per_second=12000 / (40 + 30 * level),
            )
        )
    return found


def write_run(
    folder: Path,
    run: Run,
    classes: Sequence[str],
    *,
    per_class: int = 20,
    epochs: int = 6,
    state: store.State = "finished",
    noise: int = 0,
) -> None:
    """Write one made-up run; a run that is not finished has half its epochs and no predictions."""
    if state == "pending":
        return
    place, level = folder / run.name, level_of(run)
    rng = np.random.default_rng([run.seed, *run.name.encode(), noise])
    level += rng.normal(0, 0.006)
    store.begin(place, run, "identity")
    done = records_of(level, epochs if state == "finished" else epochs // 2, rng)
    store.write_records(place, done)
    if state != "finished":
        more = {"error": "CUDA out of memory"} if state == "failed" else {}
        store.write_state(place, run, "identity", state, **more)
        return
    splits: dict[store.Split, store.Predictions] = {}
    for split in ("validation", "test"):
        labels = np.repeat(np.arange(len(classes)), per_class).astype(np.int64)
        ids = [f"{split}/{classes[label]}/{n:07d}.jpg" for n, label in enumerate(labels)]
        logits = logits_of(labels, len(classes), level, rng)
        splits[split] = store.Predictions(np.array(ids), labels, logits)
    store.write_predictions(place, splits)
    best = max(done, key=lambda record: record.validation_accuracy)
    store.finish(place, run, "identity", finished(run, classes, best, done, per_class))


def finished(
    run: Run,
    classes: Sequence[str],
    best: store.Record,
    done: Sequence[store.Record],
    per_class: int,
) -> store.Finished:
    frozen = bool(run.row.recipe.freeze)
    return store.Finished(
        classes=tuple(classes),
        best_epoch=best.epoch,
        train_accuracy=best.clean_accuracy,
        train_loss=best.clean_loss,
        train_images=12000,
        seconds=sum(record.seconds for record in done) * (0.4 if frozen else 1),
        images_per_second=done[0].images_per_second,
        peak_megabytes=2150.0,
        parameters=11_186_772,
        trainable_parameters=10_260 if frozen else 11_186_772,
        frozen_unchanged=True if frozen else None,
        test_reads=1,
        data={
            "fingerprint": "9f31c0a2b7d4e611",
            "split": "official test; validation is 20 % of the training photographs, seed 42",
            "counts": {"train": 12000, "validation": 3000, "test": per_class * len(classes)},
            "smallest_class": {"train": 600, "validation": 150, "test": per_class},
            "rules": {"turned upright as its EXIF says": 3},
            "left_out": {f"{classes[0]}/broken.jpg": "truncated after 1,024 bytes"},
            "smallest_side": 122,
        },
        environment={
            "device": "cuda",
            "hardware": "NVIDIA H200",
            "cores": 16,
            "precision": "bf16",
            "python": "3.11.2",
            "platform": "Linux-6.1-x86_64",
            "versions": {"bakeoff": "0.1.0", "torch": "2.11.0", "timm": "1.0.20"},
        },
    )


def write_small(folder: Path, study: Study | None = None, **options: Any) -> Path:
    """Write a whole small study into `folder`, every run finished."""
    study = study or small_study()
    store.write_study(folder, study)
    for run in runs(study):
        write_run(folder, run, options.get("classes", ODD_CLASSES))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A finished small study."""
    return write_small(tmp_path / "small")


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A study under way: base finished; others partly, running, failed and pending."""
    study, folder = small_study(), tmp_path / "half"
    store.write_study(folder, study)
    states: dict[tuple[str, int], store.State] = {
        ("custom2", 2): "running",
        ("custom3", 0): "running",
        ("custom3", 1): "interrupted",
        ("custom3", 2): "pending",
        ("custom4", 0): "failed",
        ("custom4", 1): "failed",
        ("custom4", 2): "pending",
    }
    for run in runs(study):
        state = states.get((run.row.variant, run.seed), "finished")
        write_run(folder, run, ODD_CLASSES, state=state)
    return folder


@pytest.fixture
def writer() -> Callable[..., None]:
    """`write_run`, for tests that need a study of their own."""
    return write_run


@pytest.fixture
def rewrite() -> Callable[[Path, dict[store.Split, store.Predictions]], None]:
    """Put other predictions into a finished run, with the checksum that belongs to them."""

    def write(folder: Path, splits: dict[store.Split, store.Predictions]) -> None:
        store.write_predictions(folder, splits)
        run = integrity.read_sealed(folder / "run.json") or {}
        changed = {**run, "files": integrity.checksums(folder)}
        files.write_json(folder / "run.json", integrity.sealed(changed))

    return write


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def food() -> Callable[[int], Study]:
    """`food_study`: the report's 22 rows, times so many seeds."""
    return food_study


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """22 rows x 5 seeds x 5,000 test photographs of 20 classes, 25 epochs."""
    return write_large(tmp_path / "large")


def write_large(folder: Path, seeds: int = 5) -> Path:
    """Write the large study; about half a minute."""
    names = (
        "baby_back_ribs beignets caesar_salad cheesecake chocolate_cake crab_cakes donuts falafel "
        "french_onion_soup garlic_bread guacamole huevos_rancheros lobster_roll_sandwich nachos "
        "paella pizza ramen sashimi spaghetti_carbonara tacos"
    )
    study = food_study(seeds)
    store.write_study(folder, study)
    for run in runs(study):
        write_run(folder, run, names.split(), per_class=250, epochs=25)
    return folder
