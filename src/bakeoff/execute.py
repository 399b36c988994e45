"""A plan of runs, carried out here: everything is checked first, then one run after another.

It yields what happens (`bakeoff.events`) and shows nothing; `bakeoff.display` does that.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from bakeoff import checkpoint, files, integrity, machine, stepping, store
from bakeoff.data.dataset import Dataset, load
from bakeoff.events import Ended, Event, Measured, Started
from bakeoff.explain.keep import keep_run_maps
from bakeoff.explain.stored import MAPS
from bakeoff.loop import TrainingError
from bakeoff.models import limits, weights, zoo
from bakeoff.models.parts import freeze
from bakeoff.prepare import Job
from bakeoff.recipe import Recipe
from bakeoff.run import run
from bakeoff.settings import Settings
from bakeoff.study import Run, Study
from bakeoff.together import begun_with, groups, head_size, run_together

Progress = Callable[[str, int, int], None]

_log = logging.getLogger(__name__)
Datasets = dict[tuple[int, int], Dataset]


@dataclass(frozen=True)
class _Plan:
    """A study under way: its folder, its photographs by stored side and split, and how it runs."""

    study: Study
    folder: Path
    datasets: Datasets
    where: torch.device
    settings: Settings
    on_progress: Progress | None
    steps: stepping.Steps

    def dataset(self, run_: Run) -> Dataset:
        """The photographs of a run."""
        return self.datasets[run_.row.recipe.side, run_.seeds["split"]]

    def identity(self, run_: Run) -> str:
        """What the run is."""
        start = weights.digest(run_.row.recipe.weights)
        return store.identity(run_, self.dataset(run_).fingerprint, start)

    def state(self, run_: Run) -> integrity.State:
        """Where the run stands."""
        return integrity.state(self.folder / run_.name, self.identity(run_))

    def job(self, run_: Run) -> Job:
        """The run and how it is carried out."""
        precision = machine.precision(run_.row.recipe.precision, self.where)
        what = self.folder / run_.name, run_, self.identity(run_), self.dataset(run_)
        how = self.settings.offline, self.on_progress, self.steps
        return Job(*what, self.where, precision, "", *how)

    def alone(self, run_: Run, *, wait: bool) -> AbstractContextManager[bool]:
        """Keep other processes off the run."""
        return files.alone(files.lock_of(self.folder / run_.name), wait=wait)


def execute(
    study: Study,
    runs: Sequence[Run],
    folder: Path,
    settings: Settings,
    on_progress: Progress | None = None,
) -> Iterator[Event]:
    """Carry out `runs` of `study` in `folder`; finished ones are not repeated, damaged ones are.

    Whatever can be wrong is refused before the first batch (RecipeError or DataError). A run that
    fails, for whatever reason, does not stop the others. Any number of processes may do this in
    one folder: each run is one's alone, and all wait for the last. Maps are kept of every row's
    run with the study's first seed.
    """
    machine.keep_memory()
    machine.deterministic(settings.deterministic)
    where = machine.device(settings.device)
    stepping.check(settings.step, where)
    datasets = _datasets(study, runs, settings, on_progress)
    num_classes = len(next(iter(datasets.values())).classes)
    sizes = {
        recipe: _check(recipe, num_classes, where, settings.offline)
        for recipe in dict.fromkeys(run_.row.recipe for run_ in runs)
    }
    how = settings, on_progress, stepping.Steps(settings.step)
    plan = _Plan(study, folder, datasets, where, *how)
    store.write_study(folder, study)
    for run_ in runs:
        plan.state(run_)
    for (_, seed), dataset in datasets.items():
        dataset.write_manifest(folder / f"split-{seed}.csv")
    ended: set[str] = set()
    with plan.steps:
        for group in groups(runs, sizes, num_classes, datasets):
            for event in _at_once(group, plan):
                ended |= {event.run.name} if isinstance(event, Ended) else set()
                yield event
        yield from _one_by_one([run_ for run_ in runs if run_.name not in ended], plan)


def _one_by_one(runs: Sequence[Run], plan: _Plan) -> Iterator[Event]:
    """Carry out each run, at last those that another process had."""
    others = []
    for run_ in runs:
        with plan.alone(run_, wait=False) as free:
            if free:
                yield from _carried_out(run_, plan)
            else:
                others.append(run_)
    for run_ in others:
        if plan.on_progress:
            plan.on_progress(f"waiting for another process, which has {run_.name}", 0, 0)
        with plan.alone(run_, wait=True):
            yield from _carried_out(run_, plan)


def _at_once(group: Sequence[Run], plan: _Plan) -> Iterator[Event]:
    """Train those heads of `group` together that nobody has trained or is training.

    What does not end here is left to be run by itself, and to say there what is wrong.
    """
    with ExitStack() as locks:
        free = [run_ for run_ in group if locks.enter_context(plan.alone(run_, wait=False))]
        begin = [run_ for run_ in free if _begins(plan.folder / run_.name, plan.state(run_))]
        companies: dict[tuple[str, ...], list[Run]] = {}
        for run_ in begin:
            companies.setdefault(begun_with(plan.folder / run_.name), []).append(run_)
        for names, own in companies.items():
            members = [run_ for run_ in free if run_.name in names] if names else own
            if len(members) > 1:
                yield from _in_company(members, own, plan)


def _in_company(members: Sequence[Run], own: Sequence[Run], plan: _Plan) -> Iterator[Event]:
    """Train the heads of all `members` together, for the sake of `own`; the others are finished."""
    jobs = [plan.job(run_) for run_ in members]
    yield from (Started(run_) for run_ in own)
    try:
        for run_, record in run_together(jobs, {run_.name for run_ in members if run_ not in own}):
            if record:
                yield Measured(run_, record)
            else:
                _keep_maps(run_, plan)
                yield Ended(run_)
    except Exception as failure:
        _log.warning("heads could not be trained together: %s", _said(failure))


def _begins(place: Path, state: integrity.State) -> bool:
    """Tell whether a run has to begin: it never did, or was stopped or killed before a checkpoint.

    `running` is a run that was killed, since nobody else has its lock.
    """
    stopped = state in ("interrupted", "running") and not (place / checkpoint.NAME).exists()
    return stopped or not place.exists()


def _carried_out(run_: Run, plan: _Plan) -> Iterator[Event]:
    """Carry out one run, unless it is finished and whole; yield what happens."""
    place = plan.folder / run_.name
    if damaged := integrity.set_aside(place):
        _log.warning("%s: run.json is damaged; kept as %s, run again", place, damaged.name)
    finished = plan.state(run_) == "finished"
    if finished and (said := integrity.damage(place)):
        _log.warning("%s: %s; it is run again", place, said)
        finished = False
    if not finished:
        yield Started(run_)
    error = ""
    try:
        if not finished:
            what = place, run_, plan.dataset(run_), plan.where
            offline, on_progress = plan.settings.offline, plan.on_progress
            for record in run(*what, offline=offline, on_progress=on_progress, steps=plan.steps):
                yield Measured(run_, record)
    except TrainingError as failure:
        error = str(failure)
    except Exception as failure:  # whatever broke this run must not stop the others
        error = _said(failure)
        with suppress(OSError):
            more = {"error": error, "traceback": traceback.format_exc()}
            store.write_state(place, run_, plan.identity(run_), "failed", **more)
    if not error:
        _keep_maps(run_, plan)
    yield Ended(run_, reused=finished, error=error)


def _keep_maps(run_: Run, plan: _Plan) -> None:
    """Keep maps of a finished run with the study's first seed; it is as good without them."""
    place, dataset = plan.folder / run_.name, plan.dataset(run_)
    if run_.seed != plan.study.seeds[0] or (place / MAPS).is_file():
        return
    try:
        init, offline = run_.seeds["init"], plan.settings.offline
        keep_run_maps(place, dataset, init, plan.where, offline=offline)
    except Exception as failure:  # pictures must not cost a study
        _log.warning("%s: no maps could be kept: %s", place, _said(failure))


def _said(failure: Exception) -> str:
    """Say an exception in one line; an error of the system in the system's words."""
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror} ({failure.filename})" if failure.filename else failure.strerror
    first = str(failure).strip().split("\n", maxsplit=1)[0]
    return f"{type(failure).__name__}: {first}" if first else type(failure).__name__


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
    return head_size(recipe, net, freeze(net, recipe.freeze))
