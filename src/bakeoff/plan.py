"""A study under way: its folder, its photographs, and where each of its runs stands.

Whatever can be wrong is found here, before the first batch. Who carries the runs out, and where, is
left to `bakeoff.execute` and `bakeoff.cluster`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from bakeoff import distill, files, head_first, integrity, machine, stepping, store
from bakeoff.data.dataset import Dataset, load
from bakeoff.fields import RecipeError
from bakeoff.joining import joined
from bakeoff.models import limits, weights, zoo
from bakeoff.models.parts import drops_paths, freeze
from bakeoff.prepare import Job
from bakeoff.recipe import Recipe
from bakeoff.settings import Settings
from bakeoff.study import Run, Study
from bakeoff.together import head_size

Progress = Callable[[str, int, int], None]
Datasets = dict[tuple[int, int], Dataset]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A study's folder, its photographs by stored side and split, and how its runs are made."""

    study: Study
    folder: Path
    datasets: Datasets
    where: torch.device
    settings: Settings
    on_progress: Progress | None
    steps: stepping.Steps

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the photographs."""
        return next(iter(self.datasets.values())).classes

    @property
    def num_classes(self) -> int:
        """How many classes the photographs have."""
        return len(self.classes)

    def dataset(self, run_: Run) -> Dataset:
        """The photographs of a run."""
        return self.datasets[run_.row.recipe.side, run_.seeds["split"]]

    def identity(self, run_: Run) -> str:
        """What the run is."""
        begun = weights.digests(run_.row.recipe)
        return store.identity(run_, self.dataset(run_).fingerprint, *begun)

    def state(self, run_: Run) -> integrity.State:
        """Where the run stands."""
        return integrity.state(self.folder / run_.name, self.identity(run_))

    def is_whole(self, run_: Run) -> bool:
        """Tell whether the run is finished and its files are those that were written."""
        place = self.folder / run_.name
        if self.state(run_) != "finished":
            return False
        if said := integrity.damage(place):
            _log.warning("%s: %s; it is run again", place, said)
        return not said

    def set_aside(self, run_: Run) -> None:
        """Move a run folder away whose run.json is damaged, and say so."""
        place = self.folder / run_.name
        if damaged := integrity.set_aside(place):
            _log.warning("%s: run.json is damaged; kept as %s, run again", place, damaged.name)

    def job(self, run_: Run) -> Job:
        """The run and how it is carried out."""
        precision = machine.precision(run_.row.recipe.precision, self.where)
        what = self.folder / run_.name, run_, self.identity(run_), self.dataset(run_)
        how = self.settings.offline, self.on_progress, self.steps
        return Job(*what, self.where, precision, "", *how)

    def alone(self, run_: Run, *, wait: bool) -> AbstractContextManager[bool]:
        """Keep other processes off the run."""
        return files.alone(files.lock_of(self.folder / run_.name), wait=wait)


def opened(
    study: Study,
    runs: Sequence[Run],
    folder: Path,
    settings: Settings,
    on_progress: Progress | None,
) -> Plan:
    """Make this machine ready and load the photographs of `runs`; nothing is written to `folder`.

    Raises RecipeError or DataError.
    """
    machine.keep_memory()
    machine.deterministic(settings.deterministic)
    where = machine.device(settings.device)
    stepping.check(settings.step, where, joined().size)
    datasets = _datasets(study, runs, settings, on_progress)
    machine.trim_memory()
    how = settings, on_progress, stepping.Steps(settings.step)
    return Plan(study, folder, datasets, where, *how)


def begin(plan: Plan, runs: Sequence[Run]) -> dict[Recipe, int | None]:
    """Check everything that `runs` need, then write what the study's folder holds besides runs.

    Returns what `together.groups` wants to know of each recipe. Raises RecipeError.
    """
    recipes = dict.fromkeys(run_.row.recipe for run_ in runs)
    for recipe in recipes:
        distill.check(recipe, plan.classes)
    sizes = {
        recipe: _check(recipe, plan.num_classes, plan.where, plan.settings.offline)
        for recipe in recipes
    }
    store.write_study(plan.folder, plan.study)
    for run_ in runs:
        plan.state(run_)
    for (_, seed), dataset in plan.datasets.items():
        dataset.write_manifest(plan.folder / f"split-{seed}.csv")
    return sizes


def _datasets(
    study: Study, runs: Sequence[Run], settings: Settings, on_progress: Progress | None
) -> Datasets:
    """Load the photographs once for every stored side and split that the runs need."""
    needed = dict.fromkeys((run_.row.recipe.side, run_.seeds["split"]) for run_ in runs)
    return {
        (side, seed): load(
            study.data,
            side,
            seed=seed,
            skip_bad=settings.skip_bad,
            offline=settings.offline,
            progress=on_progress,
        )
        for side, seed in needed
    }


def _check(recipe: Recipe, num_classes: int, where: torch.device, offline: bool) -> int | None:
    """Build the net once, so that names, patterns, sizes and weights are known to fit.

    Returns how many features enter its head, where nothing else is trained (see `together`).
    """
    limits.check(recipe, num_classes, where)
    with torch.random.fork_rng(devices=[]), machine.quiet():
        net = zoo.build(recipe, num_classes, offline=offline)
    frozen = freeze(net, recipe.freeze)
    if recipe.drop_path and not drops_paths(net.module):
        raise RecipeError(
            f"drop_path: {recipe.drop_path:g} changes nothing with freeze "
            f"{', '.join(recipe.freeze)}, as frozen paths are not dropped; allowed here: 0"
        )
    head_first.check(recipe, net, joined().size)
    return head_size(recipe, net, frozen)
