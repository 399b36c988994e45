"""A plan of runs, carried out here: everything is checked first, then one run after another.

It yields what happens as events and shows nothing; `bakeoff.display` does that.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from bakeoff import files, integrity, machine, store
from bakeoff.data.dataset import Dataset, load
from bakeoff.explain.keep import keep_run_maps
from bakeoff.explain.stored import MAPS
from bakeoff.models import weights, zoo
from bakeoff.models.parts import freeze
from bakeoff.recipe import Recipe
from bakeoff.run import run
from bakeoff.settings import Settings
from bakeoff.store import Record
from bakeoff.study import Run, Study
from bakeoff.train import TrainingError

Progress = Callable[[str, int, int], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """A run begins or goes on."""

    run: Run


@dataclass(frozen=True)
class Measured:
    """A run's epoch is over."""

    run: Run
    record: Record


@dataclass(frozen=True)
class Ended:
    """A run is over: finished now, finished before (`reused`), or failed with a reason."""

    run: Run
    reused: bool = False
    error: str = ""


Event = Started | Measured | Ended


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
    if settings.deterministic:
        machine.deterministic()
    where = machine.device(settings.device)
    datasets = _datasets(study, runs, settings, on_progress)
    for recipe in dict.fromkeys(run_.row.recipe for run_ in runs):
        _check(recipe, len(next(iter(datasets.values())).classes), settings.offline)
    store.write_study(folder, study)
    for run_ in runs:
        _state(folder, run_, _dataset(datasets, run_))
    for (_, seed), dataset in datasets.items():
        dataset.write_manifest(folder / f"split-{seed}.csv")
    others = []
    for run_ in runs:
        with _alone(folder, run_, wait=False) as free:
            if free:
                dataset = _dataset(datasets, run_)
                yield from _carried_out(run_, study, dataset, folder, where, settings, on_progress)
            else:
                others.append(run_)
    for run_ in others:
        if on_progress:
            on_progress(f"waiting for another process, which has {run_.name}", 0, 0)
        with _alone(folder, run_, wait=True):
            dataset = _dataset(datasets, run_)
            yield from _carried_out(run_, study, dataset, folder, where, settings, on_progress)


def _carried_out(
    run_: Run,
    study: Study,
    dataset: Dataset,
    folder: Path,
    where: torch.device,
    settings: Settings,
    on_progress: Progress | None,
) -> Iterator[Event]:
    """Carry out one run, unless it is finished and whole; yield what happens."""
    place = folder / run_.name
    if damaged := integrity.set_aside(place):
        _log.warning("%s: run.json is damaged; kept as %s, run again", place, damaged.name)
    finished = _state(folder, run_, dataset) == "finished"
    if finished and (said := integrity.damage(place)):
        _log.warning("%s: %s; it is run again", place, said)
        finished = False
    if not finished:
        yield Started(run_)
    error = ""
    try:
        if not finished:
            for record in run(
                place, run_, dataset, where, offline=settings.offline, on_progress=on_progress
            ):
                yield Measured(run_, record)
    except TrainingError as failure:
        error = str(failure)
    except Exception as failure:  # whatever broke this run must not stop the others
        error = _said(failure)
        with suppress(OSError):
            more = {"error": error, "traceback": traceback.format_exc()}
            store.write_state(place, run_, _identity(run_, dataset), "failed", **more)
    if not error and run_.seed == study.seeds[0]:
        _keep_maps(place, run_, dataset, where, settings)
    yield Ended(run_, reused=finished, error=error)


def _keep_maps(
    place: Path, run_: Run, dataset: Dataset, where: torch.device, settings: Settings
) -> None:
    """Keep maps of a finished run that has none; without them the run is as good as with."""
    if (place / MAPS).is_file():
        return
    try:
        keep_run_maps(place, dataset, run_.seeds["init"], where, offline=settings.offline)
    except Exception as failure:  # pictures must not cost a study
        _log.warning("%s: no maps could be kept: %s", place, _said(failure))


def _said(failure: Exception) -> str:
    """Say an exception in one line; an error of the system in the system's words."""
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror} ({failure.filename})" if failure.filename else failure.strerror
    first = str(failure).strip().split("\n", maxsplit=1)[0]
    return f"{type(failure).__name__}: {first}" if first else type(failure).__name__


def _alone(folder: Path, run_: Run, *, wait: bool) -> AbstractContextManager[bool]:
    place = folder / run_.name
    return files.alone(place.with_name(f".{place.name}.lock"), wait=wait)


Datasets = dict[tuple[int, int], Dataset]


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


def _dataset(datasets: Datasets, run_: Run) -> Dataset:
    return datasets[run_.row.recipe.side, run_.seeds["split"]]


def _identity(run_: Run, dataset: Dataset) -> str:
    return store.identity(run_, dataset.fingerprint, weights.digest(run_.row.recipe.weights))


def _state(folder: Path, run_: Run, dataset: Dataset) -> integrity.State:
    return integrity.state(folder / run_.name, _identity(run_, dataset))


def _check(recipe: Recipe, num_classes: int, offline: bool) -> None:
    """Build the net once, so that names, patterns, sizes and weights are known to fit."""
    zoo.check_size(recipe, num_classes)
    with torch.random.fork_rng(devices=[]), machine.quiet():
        net = zoo.build(recipe, num_classes, offline=offline)
    freeze(net, recipe.freeze)
