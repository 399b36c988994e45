"""A tiny study with its best model, and `bakeoff serve` of it, as its user starts it."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bakeoff.execute import execute
from bakeoff.handover import hand_over
from bakeoff.settings import Settings
from bakeoff.study import Study, runs

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'bakeoff[serve]'")

RECIPE = {
    "model": "baseline", "size": 32, "stored": 36, "net": {"width": 4, "padding": 1},
    "epochs": 6, "lr": 0.01, "precision": "fp32",
}  # fmt: skip
CLASSES = {"a": (60, 0, 0), "<b>{{b}} ${b}": (0, 0, 60)}
PATIENCE = 300  # seconds: a busy machine is slow, not wrong


def noisy(tint: tuple[int, int, int], seed: int, side: int = 40) -> bytes:
    """Draw coloured noise, (side, side + 4) pixels, as PNG."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 196, (side, side + 4, 3)) + np.array(tint)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def noise() -> Callable[..., bytes]:
    return noisy


@dataclass(frozen=True)
class Place:
    """A folder with `photographs/`, the finished study `runs/noise` and `cache/`."""

    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "runs/noise"

    @property
    def best(self) -> Path:
        return self.study / "best"

    @property
    def other(self) -> Path:
        return self.study / "nets/silu/seed-0"

    def split(self, file: Path) -> str:
        """Say in which split a photograph is."""
        (split,) = self.study.glob("split-*.csv")
        with split.open(encoding="utf-8") as lines:
            rows = {Path(row["path"]).resolve(): row["split"] for row in csv.DictReader(lines)}
        return rows[file.resolve()]

    def photographs(self) -> list[Path]:
        return sorted((self.folder / "photographs").rglob("*.png"))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("serving")
    for name, tint in CLASSES.items():
        (folder / "photographs" / name).mkdir(parents=True)
        for number in range(60):
            (folder / "photographs" / name / f"{number}.png").write_bytes(noisy(tint, number))
    study = Study.model_validate(
        {
            "name": "noise",
            "data": {"source": str(folder / "photographs")},
            "tables": {
                "nets": {"recipe": RECIPE, "variants": {"silu": {"net.activation": "silu"}}}
            },
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        patch.setattr("bakeoff.explain.keep.keep_run_maps", lambda *_, **__: None)  # not served
        out = folder / "runs/noise"
        for event in execute(study, runs(study), out, Settings("cpu")):
            assert not getattr(event, "error", "")
        hand_over(out)
    return Place(folder)


@dataclass(frozen=True)
class Served:
    """A server under way: its address, its process and what it says."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def alive(self) -> bool:
        """Whether it still answers as it should."""
        answer = httpx.post(
            f"{self.url}/api/predict",
            files={"photographs": ("x.png", noisy((60, 0, 0), 1000))},
            timeout=PATIENCE,
        )
        return answer.status_code == 200 and answer.json()[0]["error"] is None


def serving(place: Place, *models: Path) -> tuple[subprocess.Popen[str], str, Path]:
    log = place.folder / f"log-{len(list(place.folder.glob('log-*')))}.txt"
    command = [sys.executable, "-m", "bakeoff", "serve", *map(str, models), "--port", "0"]
    environment = {**os.environ, "BAKEOFF_CACHE": str(place.folder / "cache")}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http://"):
            return process, line.split()[0], log
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def served(place: Place) -> Iterator[Served]:
    """Two models side by side: the study's best, and the run of its other variant."""
    process, url, log = serving(place, place.best, place.other)
    assert process.stdout is not None
    found = Served(url, process, log)
    assert found.alive()
    yield found
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert process.stdout.read() == "stopped\n"
    process.stdout.close()
    assert "Traceback" not in log.read_text()
