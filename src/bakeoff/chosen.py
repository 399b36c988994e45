"""The study of `bakeoff train`: what was chosen for a folder, and kept beside the runs.

It is kept so that going on is the same training, however fast the machine is then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, TypeAdapter

from bakeoff import head_first, machine, speed
from bakeoff import study as studies
from bakeoff.choice import SHARES, SMALL, Choice, Folder, Start, choose, uneven
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.splits import split
from bakeoff.decide import seconds
from bakeoff.fields import RecipeError
from bakeoff.files import write_json
from bakeoff.joining import joined
from bakeoff.models import zoo
from bakeoff.recipe import Recipe
from bakeoff.settings import Settings
from bakeoff.study import Study

NAME = "choice.json"


def study(
    asked: Sequence[str], folder: Path, settings: Settings, budget: str
) -> tuple[Study, tuple[str, ...]]:
    """Return what to train in `folder` within `budget` (such as `10m`), and why.

    `asked` are texts `field=value`, which win over what is chosen for the photographs they name.
    The same call later gives the same study. Raises RecipeError or DataError.
    """
    known, key = _kept(folder / NAME), (tuple(asked), seconds(budget))
    kept = next((each for each in known if (each.asked, each.seconds) == key), None)
    if kept is None:
        choice = _chosen(asked, settings, key[1])
        kept = _Kept(asked=key[0], seconds=key[1], **vars(choice))
        _keep((*known, kept), folder)
    return _laid_under(asked, Choice(kept.fields, kept.folds)), kept.because


class _Kept(BaseModel):
    """One call in choice.json: what was asked for, and what was chosen."""

    asked: tuple[str, ...]
    seconds: float
    fields: dict[str, Any]
    folds: int
    because: tuple[str, ...]


_every = TypeAdapter(tuple[_Kept, ...])


def _keep(kept: tuple[_Kept, ...], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / NAME, _every.dump_python(kept, mode="json"))
    except FileExistsError:
        raise RecipeError(f"--out: {folder} cannot be a folder, a file is in the way") from None
    except OSError as error:
        raise RecipeError(f"--out: {folder} cannot be written to: {error.strerror}") from None


def _kept(path: Path) -> tuple[_Kept, ...]:
    """Read what was chosen before; nothing where nothing was, or what is there is damaged."""
    try:
        return _every.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return ()


def _chosen(asked: Sequence[str], settings: Settings, limit: float) -> Choice:
    base = studies.read("train", asked)
    counts, num_classes = _counted(base.data, offline=settings.offline)
    (row,) = studies.rows(base)
    start = Start(
        size=row.recipe.size,
        pretrained=row.recipe.weights != "none",
        frozen="backbone" in row.recipe.freeze,
        taught=bool(row.recipe.distill.teacher),
        named=any(text.startswith("model=") for text in asked),
        resizable=_resizable(row.recipe, num_classes),
    )
    if not (start.pretrained or start.named):
        (row,) = studies.rows(studies.read("train", [*_texts(SMALL), *asked]))
    reached = speed.measured(row.recipe, num_classes, machine.device(settings.device))
    choice = choose(counts, reached, limit, start)
    choice.fields.update(_left_out(choice.fields["like"], row.recipe, num_classes))
    weighed = any(text.startswith("class_weights=") for text in asked)
    return choice if weighed else replace(choice, because=choice.because + uneven(counts))


def _left_out(like: str, recipe: Recipe, num_classes: int) -> dict[str, Any]:
    """Return the fields of the named recipe `like` that cannot be had with the net of `recipe`."""
    plain = recipe.model_copy(update={"weights": "none"})
    with torch.device("meta"), machine.quiet():
        net = zoo.build(plain, num_classes)
        if like == "best/finetuned" and head_first.obstacle(net, joined().size):
            return {"head_epochs": 0}
        if like == "best/features":
            try:
                zoo.build(plain.model_copy(update={"head_reads": "stages"}), num_classes)
            except RecipeError:
                return {"head_reads": "last"}
    return {}


def _resizable(recipe: Recipe, num_classes: int) -> bool:
    """Tell whether the net takes other sizes than its own; a vision transformer mostly does not."""
    smaller = max(16, 16 * round(SHARES[-1] * recipe.size / 16))
    try:
        with machine.quiet():
            zoo.check_size(recipe.model_copy(update={"size": smaller}), num_classes)
    except RecipeError:
        return False
    return True


def _counted(spec: DataSpec, *, offline: bool) -> tuple[Folder, int]:
    """Count the photographs of each split, as it will be made, and the classes."""
    photographs = find(spec, offline=offline)
    given = bool((photographs.splits == "test").any())
    sides = split(photographs, spec, spec.split_seed)
    count = {name: int((sides == name).sum()) for name in ("train", "validation", "test")}
    each = np.bincount(photographs.labels[sides == "train"], minlength=len(photographs.classes))
    smallest, largest = int(each.min()), int(each.max())
    return Folder(**count, smallest=smallest, largest=largest, given=given), len(each)


def _laid_under(asked: Sequence[str], choice: Choice) -> Study:
    """Return the study with what was chosen, and over that what was asked for."""
    made = studies.read("train", [*_texts(choice.fields), *asked])
    if not choice.folds:
        return made
    data = made.data.model_copy(update={"folds": choice.folds})
    vary = (*made.vary, "split")
    return made.model_copy(update={"data": data, "seeds": tuple(range(choice.folds)), "vary": vary})


def _texts(fields: Mapping[str, Any]) -> list[str]:
    return [f"{name}={json.dumps(value)}" for name, value in fields.items()]
