"""Kill a study at random moments until it is done, and hold it against one that nobody touched.

    python tests/endurance/kill_study.py --kills 50 [--out log.json]

Each time a study has survived to its end, it is begun anew, until there were so many kills. Every
study must end with the same weights, records (but their clocks) and predictions, bit for bit.
Exits with 1 and the first difference where one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

STUDY = """
name: killed
question: Does a kill cost anything?
data: {source: plates, per_class: 40, validation: 0.3}
seeds: 2
recipe:
  model: baseline
  size: 32
  net: {width: 8, padding: 1, dropout: 0.2}
  augment: {policy: standard}
  schedule: cosine
  epochs: 6
  patience: 3
  batch: 16
  precision: fp32
tables:
  small:
    base: plain
    variants:
      silu: {net.activation: silu}
      mixed: {augment: {policy: report_jitter, erase: 0.2, mixup: 0.2}}
"""
CLOCKS = ("seconds", "images_per_second")
SECONDS_BETWEEN_CHECKPOINTS = 0.2
SHARE_WITHOUT_CACHE = 0.3  # of the starts, so that kills also meet the drawing of the photographs
CODE = f"""
import bakeoff.run
bakeoff.run.SECONDS_BETWEEN_CHECKPOINTS = {SECONDS_BETWEEN_CHECKPOINTS}
from bakeoff.cli import main
main()
"""


def kept(study: Path) -> Iterator[tuple[str, Any]]:
    """Yield by name whatever of a finished study must not depend on its history."""
    for run in sorted(study.glob("small/*/seed-*")):
        name = run.relative_to(study).as_posix()
        yield f"{name} model", (run / "model/model.safetensors").read_bytes()
        lines = (run / "records.jsonl").read_text().splitlines()
        for number, line in enumerate(lines, 1):
            record = {key: v for key, v in json.loads(line).items() if key not in CLOCKS}
            yield f"{name} epoch {number}", record
        for archive in sorted(run.glob("*s.npz")):  # predictions and maps; not every run has maps
            with np.load(archive, allow_pickle=False) as arrays:
                for part in sorted(arrays):
                    array = arrays[part]
                    yield f"{name} {archive.name} {part}", (array.dtype.str, array.tobytes())
        state = json.loads((run / "run.json").read_text())
        yield f"{name} run", [state[key] for key in ("state", "best_epoch", "train_loss")]
        left = sorted(p.name for p in run.rglob("*") if p.is_file() and p.name != "cams.npz")
        yield f"{name} files", left


def begin(work: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the study in `work`, with a cache of its own there."""
    (work / "killed.yaml").write_text(STUDY)
    environment = {**os.environ, "BAKEOFF_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-c", CODE, "run", "killed.yaml"],
            cwd=work,
            stdout=said,
            stderr=said,
            env=environment,
        )


def killed_to_the_end(work: Path, kills: int, longest: float, rng: random.Random) -> Counter[str]:
    """Run the study to its end, killing it at most `kills` times; return where it was killed."""
    where: Counter[str] = Counter()
    while True:
        log = work / "log.txt"
        log.unlink(missing_ok=True)
        if rng.random() < SHARE_WITHOUT_CACHE:
            shutil.rmtree(work / "cache", ignore_errors=True)
        process = begin(work, log)
        if where.total() < kills:
            try:
                process.wait(rng.uniform(0.2, longest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                where[_doing(work, log)] += 1
                continue
        code = process.wait(600)
        said = log.read_text(errors="replace")
        if code or "Traceback" in said:
            raise SystemExit(f"the study ended with {code}:\n{said}")
        return where


def _doing(work: Path, log: Path) -> str:
    """Tell the moment of a kill by what was said since the start and what lies in the folders."""
    study, said = work / "runs/killed", log.read_text(errors="replace")
    if any((work / "cache").glob("pixels/.*.partial")):
        return "drawing the photographs"
    if any(study.rglob(".*.partial")):
        return "writing a file"
    if not said:
        return "starting"
    states = [json.loads(path.read_text())["state"] for path in study.rglob("run.json")]
    if states.count("finished") == 6:
        return "after the last run: maps, figures, page, model"
    return "training, evaluating or between" if "epoch" in said else "preparing"


def difference(one: Path, other: Path) -> str:
    """Return the name of the first thing that differs, or an empty text."""
    left, right = dict(kept(one)), dict(kept(other))
    names = sorted({*left, *right})
    return next((name for name in names if left.get(name) != right.get(name)), "")


def main() -> None:
    """Parse, kill, compare, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        started = time.monotonic()
        killed_to_the_end(whole, 0, 0, rng)
        longest = time.monotonic() - started
        where: Counter[str] = Counter()
        studies = 0
        while where.total() < asked.kills:
            work = Path(name) / "killed"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            left = asked.kills - where.total()
            where += killed_to_the_end(work, min(left, 25), longest / 3, rng)
            studies += 1
            if found := difference(whole / "runs/killed", work / "runs/killed"):
                raise SystemExit(f"study {studies} after {where.total()} kills differs in: {found}")
            print(f"{where.total()} kills, {studies} studies, no difference: {dict(where)}")
    if asked.out:
        result = {
            "what": "SIGKILL at random moments of a study, held against an untouched one",
            "date": datetime.now(UTC).date().isoformat(),
            "command": f"python tests/endurance/kill_study.py --kills {asked.kills}",
            "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}, one thread",
            "versions": {name: version(name) for name in ("bakeoff", "torch", "numpy")},
            "kills": where.total(),
            "where": dict(where),
            "studies": studies,
            "differences": 0,
            "seconds": round(time.monotonic() - began),
        }
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
