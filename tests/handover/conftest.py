"""A tiny study, run once: two kinds of coloured noise, a net that tells them apart, its best."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.execute import execute
from bakeoff.handover import hand_over
from bakeoff.settings import Settings
from bakeoff.study import Study, runs

RECIPE = {
    "model": "baseline", "size": 32, "stored": 36, "net": {"width": 4, "padding": 1},
    "epochs": 6, "lr": 0.01, "precision": "fp32",
}  # fmt: skip


def photographs(folder: Path, count: int = 60) -> Path:
    """Write `count` photographs each of `a` (reddish) and `b` (bluish), of mixed sizes."""
    random = np.random.default_rng(0)
    for name, tint in (("a", (60, 0, 0)), ("b", (0, 0, 60))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shape = (40 + number % 7, 44 + number % 5, 3)
            pixels = random.integers(0, 196, shape) + np.array(tint)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `photographs/` and the finished study `runs/noise`."""
    place = tmp_path_factory.mktemp("handover")
    photographs(place / "photographs")
    nets = {"recipe": RECIPE, "variants": {"silu": {"net.activation": "silu"}}}
    study = Study.model_validate(
        {
            "name": "noise",
            "question": "Does SiLU help?",
            "data": {"source": "photographs"},
            "tables": {"nets": nets},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("BAKEOFF_CACHE", str(place / "cache"))
        # maps are not handed over
        patch.setattr("bakeoff.explain.keep.keep_run_maps", lambda *_, **__: None)
        folder = place / "runs/noise"
        assert all(
            not getattr(event, "error", "")
            for event in execute(study, runs(study), folder, Settings("cpu"))
        )
        hand_over(folder)
    return place


@pytest.fixture
def best(workplace: Path, tmp_path: Path) -> Path:
    """Return a copy of the study's best model, to be spoilt."""
    return Path(shutil.copytree(workplace / "runs/noise/best", tmp_path / "best"))
