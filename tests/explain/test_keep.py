"""What runs keep, from a real data set of drawn photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bakeoff import store
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.explain import keep, stored
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.recipe import parse

RECIPE = parse({"model": "baseline", "net": {"width": 8, "padding": 1}, "size": 40, "stored": 44})


@pytest.fixture
def photographs(tmp_path: Path) -> DataSpec:
    """Three classes of twelve photographs of noise."""
    rng = np.random.default_rng(0)
    for name in ("tacos", "ramen", "pizza"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photographs" / name / f"{number}.png")
    return DataSpec(source=str(tmp_path / "photographs"))


@pytest.fixture
def dataset(photographs: DataSpec) -> Dataset:
    return load(photographs, RECIPE.side)


def test_a_run_keeps_its_maps_and_its_drift(dataset: Dataset, tmp_path: Path) -> None:
    net, start = (zoo.build(RECIPE, len(dataset.classes)) for _ in range(2))
    keep.keep_maps(tmp_path, net, RECIPE, dataset, start)
    found = stored.read_maps(tmp_path)
    assert found is not None
    first = dataset.indices("test")[0]
    assert found.image_id == dataset.photographs.paths[first]
    np.testing.assert_array_equal(found.image, dataset.pixels[first][2:42, 2:42])
    assert [stage["name"] for stage in found.drift][:2] == ["conv1", "conv2"]
    assert all(stage["cka"] is not None for stage in found.drift)
    assert found.v1 is not None
    assert found.v1.start is not None


def test_a_run_keeps_panels_of_its_own_test_photographs(dataset: Dataset, tmp_path: Path) -> None:
    net = zoo.build(RECIPE, len(dataset.classes))
    model_folder.write(tmp_path / "model", net, RECIPE, dataset.classes)
    rows = dataset.indices("test")
    ids = np.array(dataset.photographs.paths)[rows]
    logits = np.random.default_rng(0).normal(size=(len(rows), len(dataset.classes)))
    predictions = store.Predictions(ids, dataset.labels[rows], logits.astype(np.float32))
    store.write_predictions(tmp_path, {"test": predictions})
    run = store.RunFiles(tmp_path, "t", "v", 0, "finished", {}, {}, (), {})
    keep.keep_cams(run, dataset, torch.device("cpu"), most=3, moves=4)
    found = stored.read_cams(tmp_path)
    assert len(found) == 3
    assert {panel.image_id for panel in found} <= set(ids.tolist())
    row = dataset.photographs.paths.index(found[0].image_id)
    np.testing.assert_array_equal(found[0].image, dataset.pixels[row][2:42, 2:42])


def test_a_net_without_a_map_has_no_panels(photographs: DataSpec, tmp_path: Path) -> None:
    recipe = parse({"model": "timm/vit_tiny_patch16_224", "size": 224})
    large = load(photographs, 224)
    net = zoo.build(recipe, len(large.classes))
    model_folder.write(tmp_path / "model", net, recipe, large.classes)
    rows = large.indices("test")
    ids = np.array(large.photographs.paths)[rows]
    logits = np.zeros((len(rows), len(large.classes)), np.float32)
    told = store.Predictions(ids, large.labels[rows], logits)
    store.write_predictions(tmp_path, {"test": told})
    run = store.RunFiles(tmp_path, "t", "v", 0, "finished", {}, {}, (), {})
    assert keep.keep_cams(run, large, torch.device("cpu"), most=2) is None
