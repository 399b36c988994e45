"""Real photographs, where a machine has them: BAKEOFF_PHOTOGRAPHS names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakeoff.data.dataset import load

pytestmark = pytest.mark.photographs


@pytest.fixture
def photographs() -> Path:
    folder = os.environ.get("BAKEOFF_PHOTOGRAPHS")
    if not folder:
        pytest.skip(
            "BAKEOFF_PHOTOGRAPHS (folder with food101-20/ and food101-originals/) is not set"
        )
    return Path(folder)


def test_the_reports_classes_are_found_by_step(photographs, spec):
    classes = {"every": 5, "from": 1}
    data = load(spec(photographs / "food101-originals", classes=classes), 64)
    assert len(data.classes) == 20
    assert data.classes[3] == "cheesecake"
    assert data.notes["counts"] == {"train": 120, "validation": 40, "test": 80}
    assert data.notes["left_out"] == {}


def test_twenty_whole_classes(photographs, spec):
    data = load(spec(photographs / "food101-20", per_class=20, classes=["sushi", "tacos"]), 64)
    assert data.notes["counts"] == {"train": 32, "validation": 8, "test": 500}
    assert data.notes["smallest_side"] >= 190
    assert 60 < data.pixels.mean() < 190
