"""K-fold splits: every photograph is tested once a partition, class by class, groups together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.splits import describe, split


def folder(path: Path) -> Path:
    for name, count in (("a", 20), ("b", 11)):
        (path / name).mkdir()
        for index in range(count):
            Image.new("RGB", (20, 20)).save(path / name / f"{index}.png")
    return path


def test_each_photograph_is_tested_once_in_five_folds_and_another_partition_differs(
    tmp_path: Path,
) -> None:
    spec = DataSpec(source=str(folder(tmp_path)), folds=5, split_seed=42)
    photographs = find(spec)
    tests = [np.flatnonzero(split(photographs, spec, 42 + seed) == "test") for seed in range(10)]
    first, second = tests[:5], tests[5:]
    assert sorted(np.concatenate(first).tolist()) == list(range(31))
    assert sorted(np.concatenate(second).tolist()) == list(range(31))
    assert {tuple(rows) for rows in first} != {tuple(rows) for rows in second}
    for rows in first:
        counts = Counter(photographs.labels[rows].tolist())
        assert counts[0] == 4
        assert counts[1] in (2, 3)
    assert "test is fold 2 of 5, partition 1" in describe(photographs, spec, 43)


def test_every_fold_leaves_validation_and_training_photographs_of_every_class(
    tmp_path: Path,
) -> None:
    spec = DataSpec(source=str(folder(tmp_path)), folds=5)
    photographs = find(spec)
    for seed in range(42, 47):
        sides = split(photographs, spec, seed)
        for name in ("train", "validation", "test"):
            assert set(photographs.labels[sides == name].tolist()) == {0, 1}
