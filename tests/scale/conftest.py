"""A study and the command as torchrun starts it, with real processes on gloo; `benchmarks/`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

STUDY = """
name: many
data: {source: photographs, validation: 0.3, test: 0.2}
recipe:
  model: baseline
  size: 24
  net: {width: 4, padding: 1, dropout: 0}
  augment: {policy: report_jitter, mixup: 0.2}
  class_weights: balanced
  label_smoothing: 0.1
  epochs: 3
  batch: 11
  precision: fp32
tables: {nets: {base: plain, variants: {dropout: {net.dropout: 0.4, augment.mixup: 0, epochs: 25}}}}
"""
COUNTS = {"a": 40, "b": 23, "c": 12}


@dataclass(frozen=True)
class Place:
    """A folder to work in, with the study, and what its processes share."""

    folder: Path
    environment: dict[str, str]

    def command(self, processes: int, out: str, *more: str) -> list[str]:
        start = [sys.executable, "-m"]
        if processes > 1:
            start += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            start += ["-m"]
        return [*start, "bakeoff", "run", "many.yaml", "--out", out, "--device", "cpu", *more]

    def begin(self, processes: int, out: str, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(processes, out, *more),
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, processes: int, out: str, *more: str) -> Path:
        """Run to the end; return the folder of the table."""
        process = self.begin(processes, out, *more)
        _, said = process.communicate(timeout=400)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert said.count("plain/seed-0  epoch 1/3") <= 1, "only one process speaks"
        return self.folder / out / "many/nets"


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something has happened; the process must not end before."""
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("many")
    for label, count in COUNTS.items():
        (folder / "photographs" / label).mkdir(parents=True)
        for number in range(count):
            picture = Image.effect_noise((32, 32), 30 + 40 * ord(label) % 90)
            picture.save(folder / "photographs" / label / f"{number}.png")
    (folder / "many.yaml").write_text(STUDY)
    more = {"OMP_NUM_THREADS": "1", "BAKEOFF_CACHE": str(folder / "cache")}
    return Place(folder, {**os.environ, **more})
