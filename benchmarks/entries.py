"""A contender's entry: trained on a folder within the time, then asked what photographs show.

bakeoff is called by its commands, a peer by benchmarks/defaults/ in the peers' environment. Each
step is a process of its own; where one fails, RuntimeError says why.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.defaults import Task
from benchmarks.peers import alone, reason

Result = dict[str, Any]


def ours(
    task: Task,
    seconds: float,
    folder: Path,
    photographs: Sequence[str],
    fields: Sequence[str] = (),
) -> tuple[Result, list[str]]:
    """Run `bakeoff train` and `bakeoff predict`; return what the training took, and the answers.

    `fields` are texts `field=value`, which win over what it would choose.
    """
    from bakeoff.models import config

    bakeoff, model = [sys.executable, "-m", "bakeoff"], str(folder / "model")
    offered = "--budget" in _run([*bakeoff, "train", "--help"], folder)
    call = ["train", task.photographs, "--weights", task.weights, "--out", model]
    call += [text for field in fields for text in ("--set", field)]
    budget = ["--budget", f"{round(seconds)}s"] if offered else []
    started = time.time()
    _run([*bakeoff, *call, *budget], folder)
    took = time.time() - started
    recipe = config.read(config.locate(Path(model))).bakeoff.recipe.model_dump(mode="json")
    recipe["weights"] = Path(recipe["weights"]).name
    listed = "".join(f"{path}\n" for path in photographs)
    said = _run([*bakeoff, "predict", model, "-", "--json", "--top", "1"], folder, listed)
    result = {
        "seconds": took,
        "epochs": recipe["epochs"],
        "budget": offered,
        "recipe": recipe,
        "versions": harness.versions(),
    }
    return result, [json.loads(line)["answer"] for line in said.splitlines()]


def peer(
    name: str, task: Task, seconds: float, folder: Path, photographs: Sequence[str], python: str
) -> tuple[Result, list[str]]:
    """Train one epoch, then as many as fit; return what that took, and the answers."""
    place = folder / "trial"
    found = trial = _trained(name, task, place, python)
    measured = {"seconds": trial["seconds"], "epoch": trial["phases"]["train"]}
    epochs = epochs_that_fit(measured["seconds"], measured["epoch"], seconds)
    if epochs > 1:  # else the trial is the entry
        place = folder / "model"
        found = _trained(name, replace(task, epochs=epochs), place, python)
    (place / "photographs.json").write_text(json.dumps(list(photographs)), encoding="utf-8")
    _run(_call(name, "answer", place, python), place)
    answers = json.loads((place / "answers.json").read_text(encoding="utf-8"))
    return {**found, "epochs": epochs, "trial": measured}, answers


def epochs_that_fit(whole: float, epoch: float, seconds: float) -> int:
    """Return how many epochs fit `seconds`, at least one, where a training of one took `whole`."""
    return 1 + max(0, math.floor((seconds - whole) / epoch))


def _trained(name: str, task: Task, place: Path, python: str) -> Result:
    place.mkdir()
    (place / "task.json").write_text(json.dumps(asdict(task)), encoding="utf-8")
    started = time.time()
    _run(_call(name, "train", place, python), place)
    took = time.time() - started
    done = json.loads((place / "trained.json").read_text(encoding="utf-8"))
    return {"seconds": took, "phases": done.pop("seconds"), **done}


def _call(name: str, step: str, place: Path, python: str) -> list[str]:
    said = [name, step, str(place / "task.json"), str(place), str(time.time())]
    return [python, "-m", "benchmarks.defaults", *said]


def _run(call: Sequence[str], folder: Path, lines: str = "") -> str:
    done = alone(call, folder, lines)
    if done.returncode:
        raise RuntimeError(reason(done.stderr))
    return done.stdout
