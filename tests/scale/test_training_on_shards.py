"""Training on a store in shards: every photograph once an epoch, resumed bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bakeoff import run as running
from bakeoff.data import shards
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.data.window import SPARE, Shards
from bakeoff.inputs import Inputs
from bakeoff.recipe import parse
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
WINDOW = 4
FIELDS: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 4, "padding": 1, "dropout": 0.2},
    "size": 32,
    "precision": "fp32",
    "augment.policy": "standard",
    "epochs": 2,
    "batch": 16,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Draw 240 pictures, 16 a shard, of which 4 shards make a window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(shards, "PHOTOGRAPHS", 16)
        few = ("pizza", "ramen", "tacos")
        spec = DataSpec(source="plates", classes=few, per_class=30, validation=0.3, window=512)
        loaded = load(spec, 32)
    assert isinstance(loaded.pixels, Shards)
    loaded.pixels.window = WINDOW
    return loaded


def a_run(fields: dict[str, Any]) -> Run:
    row = Row("t", "v", parse(fields), {}, is_base=True)
    return Run(row, 0, {"split": 42, "init": 0, "order": 0, "augmentation": 0})


def content(folder: Path) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    clocks = ("seconds", "images_per_second")
    records = [{key: value for key, value in line.items() if key not in clocks} for line in lines]
    weights = load_file(folder / "model" / "model.safetensors")
    with np.load(folder / "predictions.npz") as arrays:
        logits = {name: arrays[name].tobytes() for name in sorted(arrays)}
    return [records, logits, {name: value.numpy().tobytes() for name, value in weights.items()}]


def test_an_epoch_shows_each_photograph_once_through_a_few_shards(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    read = Shards.read

    def watched(self: Shards, rows: np.ndarray, out: np.ndarray) -> None:
        shown.extend(rows.tolist())
        read(self, rows, out)
        assert len(self._maps) <= WINDOW + SPARE

    monkeypatch.setattr(Shards, "read", watched)
    list(running.run(tmp_path / "run", a_run(FIELDS), dataset, CPU))
    rows = dataset.indices("train").tolist()
    count, between = len(rows), 2 * len(dataset.indices("validation"))  # clean sample, validation
    first = shown[:count]
    second = shown[count + between : 2 * count + between]
    assert sorted(first) == sorted(second) == rows
    assert first != second


def test_stopped_within_an_epoch_it_goes_on_bit_for_bit(tmp_path: Path, dataset: Dataset) -> None:
    list(running.run(tmp_path / "whole", a_run(FIELDS), dataset, CPU))
    steps = 0

    def stop(what: str, *_: int) -> None:
        nonlocal steps
        steps += what.startswith("epoch")
        if steps == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(running.run(tmp_path / "broken", a_run(FIELDS), dataset, CPU, on_progress=stop))
    assert json.loads((tmp_path / "broken" / "run.json").read_text())["state"] == "interrupted"
    list(running.run(tmp_path / "broken", a_run(FIELDS), dataset, CPU))
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_cached_features_keep_the_order_of_the_window(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[torch.Tensor] = []
    order = Inputs.order
    monkeypatch.setattr(Inputs, "order", lambda *args: orders.append(order(*args)) or orders[-1])
    fields = {**FIELDS, "augment.policy": "none", "epochs": 1}
    frozen = {**fields, "net": {"width": 4, "padding": 1, "dropout": 0.0}, "freeze": ["conv*"]}
    for name, each in (("whole", fields), ("frozen", frozen)):
        list(running.run(tmp_path / name, a_run(each), dataset, CPU))
    assert orders[0].tolist() == orders[1].tolist()
