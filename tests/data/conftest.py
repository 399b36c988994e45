"""Small folders of real JPEG files, and a cache of each test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.spec import DataSpec

Fill = Callable[[Path, dict[str, int]], Path]
Spec = Callable[..., DataSpec]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BAKEOFF_CACHE", str(folder))
    return folder


@pytest.fixture
def fill() -> Fill:
    """Write so many distinct JPEG files into each class folder."""

    def write(root: Path, counts: dict[str, int]) -> Path:
        for name, count in counts.items():
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed = sum(f"{name}{number}".encode()) + 1000 * number
                noise = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"img{number}.jpg")
        return root

    return write


@pytest.fixture
def spec() -> Spec:
    def make(source: object, **fields: object) -> DataSpec:
        return DataSpec.model_validate({"source": str(source), **fields})

    return make
