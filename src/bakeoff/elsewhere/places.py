"""What `--log` asks for, checked before anything trains; and what was logged there already."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.fields import RecipeError, nearest
from bakeoff.files import write_json

NEEDED = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "pytorch_lightning"),
    "wandb": ("wandb", "pytorch_lightning"),
}
MEMORY = "elsewhere.json"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Destination:
    """A tracker and its place: a folder, of MLflow a tracking URI.

    `key` names it in what is remembered; a place inside the study moves along with the study.
    """

    tracker: str
    place: str
    key: str
    offline: bool

    def gone(self) -> bool:
        """Tell whether what was logged here was removed; a server is believed to keep it."""
        if self.tracker == "tensorboard":
            return not Path(self.place).is_dir()
        file = self.place.startswith(_SQLITE) and self.place.removeprefix(_SQLITE)
        return bool(file) and not Path(str(file)).is_file()


class Logged(BaseModel):
    """What a destination has: of which attempt or report, under which name of its own, up to where.

    `step` is the last epoch logged, or how often a report was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    id: str = ""
    step: int = 0
    finished: bool = False


def destinations(
    asked: Sequence[str], folder: Path, *, offline: bool = False
) -> tuple[Destination, ...]:
    """Read `tracker` or `tracker=place` texts for the study in `folder`.

    Raises RecipeError for a tracker that is unknown, not installed, or not logged in to.
    """
    found = []
    for text in asked:
        tracker, _, place = text.partition("=")
        if tracker not in NEEDED:
            hint = nearest(tracker, tuple(NEEDED)) or f"; allowed: {', '.join(NEEDED)}"
            raise RecipeError(f"--log: {tracker or 'nothing'} is not allowed{hint}")
        for module in NEEDED[tracker]:
            if find_spec(module) is None:
                raise RecipeError(
                    f"--log {tracker}: {module} is not installed; pip install 'bakeoff[{tracker}]'"
                )
        if tracker == "wandb" and not offline:
            _demand_login()
        given = place or (os.environ.get("MLFLOW_TRACKING_URI", "") if tracker == "mlflow" else "")
        key = f"{tracker} {given}" if given else tracker
        found.append(Destination(tracker, given or _inside(folder, tracker), key, offline))
    return tuple(dict.fromkeys(found))


def recall(folder: Path, destination: Destination) -> Logged | None:
    """Return what `destination` has of what lies in `folder`; None where that is nothing."""
    kept = _read(folder).get(destination.key)
    try:
        return None if kept is None else Logged.model_validate(kept)
    except ValidationError:
        return None


def remember(folder: Path, destination: Destination, logged: Logged) -> None:
    """Keep what `destination` has now."""
    write_json(folder / MEMORY, {**_read(folder), destination.key: logged.model_dump()})


def forget(study: Path, where: Sequence[Destination]) -> None:
    """Forget all that the study in a folder logged to destinations that were removed since."""
    if gone := {destination.key for destination in where if destination.gone()}:
        for path in (*study.glob(f"*/*/seed-*/{MEMORY}"), *study.glob(f"report/{MEMORY}")):
            kept = _read(path.parent)
            write_json(path, {key: kept[key] for key in kept.keys() - gone})


def _read(folder: Path) -> dict[str, object]:
    try:
        kept = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _inside(folder: Path, tracker: str) -> str:
    """Return the place that a tracker has where none was named."""
    if tracker == "mlflow":
        return f"{_SQLITE}{(folder / 'mlflow' / 'mlflow.db').resolve()}"
    return str(folder if tracker == "wandb" else folder / "tensorboard")


def _demand_login() -> None:
    """Refuse W&B without a key: it would ask for one in the middle of a training."""
    import wandb

    online = os.environ.get("WANDB_MODE", "online") in ("online", "shared")
    if online and not wandb.login(prompt=False, verify=False):
        raise RecipeError("--log wandb: not logged in; run `wandb login` first, or add --offline")
