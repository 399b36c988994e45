"""One step of one project in this process: `defaults NAME train|answer TASK.json FOLDER STARTED`.

`train` leaves a model and trained.json in FOLDER, `answer` reads that model, and the photographs
listed in FOLDER/photographs.json, and leaves answers.json.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.contenders.clock import Clock
from benchmarks.defaults import DEFAULTS, Task


def main(name: str, step: str, task_file: str, place: str, started: str) -> None:
    clock, folder = Clock(float(started)), Path(place)
    task = Task(**json.loads(Path(task_file).read_text(encoding="utf-8")))
    project = import_module(f"benchmarks.defaults.{DEFAULTS[name]}")
    if step == "answer":
        listed = json.loads((folder / "photographs.json").read_text(encoding="utf-8"))
        answers = project.answers(task, folder, listed)
        (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
        return
    recipe = project.train(task, folder, clock)
    seconds = clock.stop()
    from benchmarks.harness import versions

    packages = versions(("torch", "torchvision", *project.PACKAGES))
    result = {"seconds": seconds, "recipe": recipe, "versions": packages}
    (folder / "trained.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
