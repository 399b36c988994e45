"""`lr: auto`: short trainings with a few rates, compared on photographs held back from training.

A tenth of the training photographs is held back from all of them, whole groups together; neither
validation nor test is ever read. Each starts where the run will and goes through its whole schedule
in a twentieth of its steps. The lowest loss wins: of a few hundred photographs it tells rates apart
that have as many right. All is kept in the run's folder as rates.json; the run itself then begins
anew, with every training photograph.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bakeoff import head_first, loop, seeds
from bakeoff.data import splits
from bakeoff.data.dataset import Dataset
from bakeoff.data.photographs import DataError
from bakeoff.data.spec import DataSpec
from bakeoff.files import write_json
from bakeoff.integrity import sealed
from bakeoff.prepare import Job, prepare, share_of, split_of
from bakeoff.recipe import Recipe

NAME = "rates.json"
HELD_BACK = 0.1  # of the training photographs
MOST_HELD_BACK = 1000
SHARE_OF_STEPS = 0.05  # of the run's, for one rate
LEAST_STEPS, MOST_STEPS = 50, 200
REACH = 4  # places to either side of the first rate: a hundredth of it, a hundred times

CENTRES = {
    ("adam", False): -6,  # 1e-3: Kingma and Ba, "Adam" (2015)
    ("adam", True): -8,  # 1e-4: a tenth for weights that know something already
    ("sgd", False): -3,  # 0.03: He et al. (2016) have 0.1 for batches of 256
    ("sgd", True): -5,  # 0.003: Kornblith et al. (2019) have about 0.01 for batches of 256
}
"""The place of the first rate, by optimiser and by whether start weights learn on."""


@dataclass(frozen=True)
class Trial:
    """What a rate came to on what was held back; no numbers where the training came to none."""

    lr: float
    loss: float | None
    accuracy: float | None

    @property
    def badness(self) -> float:
        """The loss; infinite without one."""
        return math.inf if self.loss is None else self.loss


def at(place: int) -> float:
    """Return the rate at a place of the grid: 0 is 1, and two places are a factor of ten.

    >>> [at(place) for place in (-7, -6, -5)]
    [0.0003, 0.001, 0.003]
    """
    return float(f"{10 ** (place / 2):.0e}")


def centre(recipe: Recipe) -> int:
    """Return the place where the search begins.

    A head alone is new whatever lies before it; AdamW begins where Adam does.
    """
    started = recipe.weights != "none" and "backbone" not in recipe.freeze
    return CENTRES["sgd" if recipe.optimizer == "sgd" else "adam", started]


def search(start: int, measure: Callable[[float], Trial]) -> float:
    """Return the best rate: of three about place `start`, or beyond as long as an edge is best."""
    tried = {place: measure(at(place)) for place in (start, start - 1, start + 1)}
    while True:
        best = min(tried, key=lambda place: (tried[place].badness, place))
        beyond = best + (1 if best == max(tried) else -1)
        if best not in (min(tried), max(tried)) or abs(beyond - start) > REACH:
            return at(best)
        tried[beyond] = measure(at(beyond))


def resolved(job: Job) -> Job:
    """Return `job` with a number for the rate that its recipe leaves open.

    What rates.json has of this very run is not measured again. Raises NotFiniteError where no rate
    gives numbers, and TrainingError where nothing can be held back.
    """
    recipe, ranks = job.run.row.recipe, job.ranks
    if recipe.lr != "auto":
        return job
    key = {"identity": job.identity, "precision": job.precision}
    kept = ranks.told(ranks.first(_read, job.folder / NAME, key)) or {}
    if (chosen := kept.get("chosen")) is None:
        chosen = _chosen(job, key, [Trial(**trial) for trial in kept.get("rates", ())])
    return _with(job, recipe.model_copy(update={"lr": chosen}))


def _chosen(job: Job, key: Mapping[str, str], known: list[Trial]) -> float:
    """Measure rates that are not `known` and write each of them down, at last the best."""
    dataset, epochs = held_back(job)
    about = {
        **key,
        "epochs": epochs,
        "trained_images": len(dataset.indices("train")),
        "held_back_images": len(dataset.indices("validation")),
    }

    def keep(chosen: float | None) -> None:
        rows = [asdict(trial) for trial in sorted(known, key=lambda trial: trial.lr)]
        content = sealed({**about, "rates": rows, "chosen": chosen})
        job.ranks.first(write_json, job.folder / NAME, content)

    def measure(lr: float) -> Trial:
        for trial in known:
            if trial.lr == lr:
                return trial
        known.append(_trial(job, dataset, lr, epochs))
        keep(None)
        return known[-1]

    best = search(centre(job.run.row.recipe), measure)
    if all(trial.loss is None for trial in known):
        tried = f"{min(trial.lr for trial in known):g} to {max(trial.lr for trial in known):g}"
        raise loop.NotFiniteError(f"lr: auto found no rate that trains, of {tried}")
    keep(best)
    return best


def held_back(job: Job) -> tuple[Dataset, int]:
    """Return what a short training sees, and in how many epochs.

    Its train and validation are both of the run's own train, stratified by class, and only as many
    photographs as its steps need; nothing of the others has a split.
    """
    dataset, recipe, seed = job.dataset, job.run.row.recipe, job.run.seeds["order"]
    rows = split_of(dataset, recipe, seed)["train"]
    own = np.zeros(len(dataset), dtype=np.bool_)
    own[rows.numpy()] = True
    told = replace(
        dataset.photographs,
        splits=np.where(own, "", "test").astype("<U16"),
        groups=tuple(np.where(own, dataset.photographs.groups, "").tolist()),
    )
    try:
        made = splits.split(told, DataSpec(validation=HELD_BACK), seed)
    except DataError as error:
        raise loop.TrainingError(f"lr: auto can hold nothing back: {error}") from None
    steps = recipe.epochs * math.ceil(len(rows) / recipe.batch)
    steps = min(MOST_STEPS, max(LEAST_STEPS, round(SHARE_OF_STEPS * steps)))
    drawing = seeds.generator("rates", seed)
    chosen = np.full(len(dataset), "", dtype="<U16")
    for name, most in (("train", steps * recipe.batch), ("validation", MOST_HELD_BACK)):
        found = torch.from_numpy(np.flatnonzero(made == name))
        labels = torch.from_numpy(dataset.labels)[found]
        part = share_of(found, labels, min(1.0, most / len(found)), drawing)
        chosen[part.numpy()] = name
    an_epoch = math.ceil(int((chosen == "train").sum()) / recipe.batch)
    epochs = min(recipe.epochs, math.ceil(steps / an_epoch))
    return replace(dataset, split=chosen), epochs


def squeezed(recipe: Recipe, lr: float, epochs: int) -> Recipe:
    """Return `recipe` with a rate, and its whole schedule in `epochs` epochs."""
    share = epochs / recipe.epochs
    update = {
        "lr": lr,
        "epochs": epochs,
        "warmup_epochs": share * recipe.warmup_epochs,
        "step_epochs": share * recipe.step_epochs,  # a fraction, which no recipe that is read has
        "patience": None,
        "train_share": 1.0,
    }
    return recipe.model_copy(update=update)


def _trial(job: Job, dataset: Dataset, lr: float, epochs: int) -> Trial:
    """Train with one rate and measure on what is held back, after the last epoch."""

    def on_step(done: int, total: int) -> None:
        job.ranks.agreed()
        if job.on_progress:
            job.on_progress(f"trying lr {lr:g}", done, total)

    recipe = squeezed(job.run.row.recipe, lr, epochs)
    short = replace(_with(job, recipe), dataset=dataset)
    prepared, split = prepare(short), split_of(dataset, recipe, job.run.seeds["order"])
    what = prepared.fabric, prepared.training, recipe, prepared.inputs, split, job.run.seeds
    if recipe.head_epochs:
        head_first.train(short, prepared)
    try:
        *_, last = loop.epochs(*what, on_step, teacher=prepared.teacher)
    except loop.NotFiniteError:
        return Trial(lr, None, None)
    return Trial(lr, last.validation_loss, last.validation_accuracy)


def _with(job: Job, recipe: Recipe) -> Job:
    return replace(job, run=replace(job.run, row=replace(job.run.row, recipe=recipe)))


def _read(path: Path, key: Mapping[str, str]) -> dict[str, Any] | None:
    """Read rates.json of this very run; None where there is none, or it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = {name: value for name, value in content.items() if name != "checksum"}
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    whole = sealed(own) == content and key.items() <= own.items()
    return own if whole else None
