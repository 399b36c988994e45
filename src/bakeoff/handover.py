"""The best model of a study, put where it is easily found: `<study folder>/best`."""

from __future__ import annotations

import shutil
from pathlib import Path

from bakeoff import evaluate, files, store
from bakeoff.store import RunFiles


def hand_over(folder: Path) -> Path | None:
    """Copy the model of the run with the best validation accuracy to `folder`/best.

    The test split has no say in it. Returns the model folder; None while no run is finished.
    """
    best = best_run(folder)
    if best is None:
        return None
    place, aside = folder / "best", folder / ".best.new"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(best.folder / "model", aside)
    origin = {"table": best.table, "variant": best.variant, "seed": best.seed}
    files.write_json(aside / "origin.json", origin)
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    return place


def best_run(folder: Path) -> RunFiles | None:
    """Return the run with the best validation accuracy; None while no run is finished."""
    finished = [run for run in store.read_runs(folder) if run.state == "finished"]
    return max(finished, key=_validation_accuracy, default=None)


def _validation_accuracy(run: RunFiles) -> float:
    predictions = run.predictions("validation")
    return evaluate.accuracy(predictions.logits, predictions.labels)
