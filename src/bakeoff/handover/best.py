"""The best model of a study, put where it is easily found: `<study folder>/best`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bakeoff import evaluate, files, store
from bakeoff.handover import card
from bakeoff.handover.trust import trust
from bakeoff.models import config as configs
from bakeoff.store import RunFiles


def hand_over(folder: Path) -> Path | None:
    """Copy the model of the run with the best validation accuracy to `folder`/best, with a card.

    The test split has no say in the choice. What was exported from the same run stays. Returns the
    model folder; None while no run is finished.
    """
    best = best_run(folder)
    if best is None:
        return None
    place, aside = folder / "best", folder / ".best.new"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(best.folder / "model", aside)
    names = {"table": best.table, "variant": best.variant, "seed": best.seed}
    origin = {**names, "identity": best.run["identity"]}
    files.write_json(aside / "origin.json", origin)
    if (place / "export").is_dir() and _origin(place) == origin:
        shutil.copytree(place / "export", aside / "export")
    _describe(aside, folder, best)
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    return place


def best_run(folder: Path) -> RunFiles | None:
    """Return the run with the best validation accuracy; None while no run is finished."""
    finished = [run for run in store.read_runs(folder) if run.state == "finished"]
    return max(finished, key=_validation_accuracy, default=None)


def _describe(model: Path, study: Path, best: RunFiles) -> None:
    """Write the card, and into config.json what validation promises and no path of this machine."""
    from bakeoff.models.folder import read_by_timm

    promised = trust(best.predictions("validation"))
    path = model / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    own = content["bakeoff"]
    own["trust"] = promised.model_dump(mode="json")
    own["recipe"]["weights"] = Path(own["recipe"]["weights"]).name
    files.write_json(path, content)
    card.write(
        model,
        configs.read(model),
        store.read_study(study),
        store.read_runs(study),
        best,
        promised,
        timm=read_by_timm(model),
    )


def _origin(place: Path) -> object:
    path = place / "origin.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _validation_accuracy(run: RunFiles) -> float:
    predictions = run.predictions("validation")
    return evaluate.accuracy(predictions.logits, predictions.labels)
