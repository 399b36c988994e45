"""Whether the files of a run folder are those that were written; what is done when they are not.

run.json holds the checksums of the other files of a finished run, and one of itself.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bakeoff.fields import RecipeError
from bakeoff.files import checksum

State = Literal["pending", "running", "interrupted", "failed", "finished"]
CHECKED = (
    "recipe.yaml",
    "rates.json",
    "records.jsonl",
    "predictions.npz",
    "model/model.safetensors",
    "model/config.json",
)
DAMAGED: dict[str, Any] = {
    "state": "failed",
    "error": "run.json is damaged; the same command runs it again",
}
TOLERANCE = 0.005  # of an accuracy computed twice on a GPU


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a run.json with a checksum of itself."""
    return {**content, "checksum": _digest(content)}


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Read a run.json; None where there is none, DAMAGED where it is not what was written.

    Those of earlier versions have no checksum; they must at least be JSON with a known state.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kept = content.pop("checksum", None)
        whole = content["state"] in get_args(State) and kept in (None, _digest(content))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return DAMAGED
    return content if whole else DAMAGED


def checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a run folder that is to stay as it is."""
    return {name: checksum(folder / name) for name in CHECKED if (folder / name).is_file()}


def state(folder: Path, identity: str) -> State:
    """Return where the run in `folder` stands, as `pending` where nothing is there.

    Raises RecipeError when the folder holds a run of another recipe, data set or seed: it is
    never overwritten. With a damaged run.json nobody knows what it holds: it counts as `pending`,
    and `set_aside` has to move it away before it is filled again.
    """
    run = read_sealed(folder / "run.json")
    if run is None or run is DAMAGED:
        return "pending"
    if run.get("identity") != identity:
        raise RecipeError(
            f"{folder} holds a run on other photographs, start weights or seeds: "
            "choose another --out, or remove that folder"
        )
    return run["state"]  # type: ignore[no-any-return]


def damage(folder: Path) -> str:
    """Say which file of a finished run is not what was written; an empty text when all are.

    Runs of earlier versions have no checksums: their logits must agree with their records.
    """
    run = read_sealed(folder / "run.json") or {}
    for name in run.get("files", {}):
        if not (folder / name).is_file():
            return f"{name} is missing"
        if is_damaged(folder, name, run):
            return f"{name} is damaged"
    return "" if "files" in run else _disagreement(folder, run)


def is_damaged(folder: Path, name: str, run: Mapping[str, Any]) -> bool:
    """Tell whether a file is not the one whose checksum `run`, the content of run.json, holds."""
    kept = run.get("files", {}).get(name)
    return kept is not None and checksum(folder / name) != kept


def set_aside(folder: Path) -> Path | None:
    """Move a run folder whose run.json is damaged to `damaged-<name>-<n>`; return that place."""
    if read_sealed(folder / "run.json") is not DAMAGED:
        return None
    places = (folder.with_name(f"damaged-{folder.name}-{number}") for number in count(1))
    place = next(place for place in places if not place.exists())
    folder.rename(place)
    return place


def _disagreement(folder: Path, run: Mapping[str, Any]) -> str:
    """Hold the saved logits of validation against the record of the chosen epoch."""
    try:
        lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        recorded = json.loads(lines[run["best_epoch"] - 1])["validation_accuracy"]
        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            right = arrays["validation_logits"].argmax(1) == arrays["validation_labels"]
    except (OSError, EOFError, ValueError, TypeError, LookupError, zipfile.BadZipFile):
        return "records.jsonl or predictions.npz is damaged"
    if abs(right.mean() - recorded) > TOLERANCE:
        return "predictions.npz is not of the chosen epoch, as versions before 0.2 wrote it"
    return ""


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
