"""A plan of runs, carried out here: everything is checked first, then one run after another.

It yields what happens as events and shows nothing; `bakeoff.display` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bakeoff import machine, store
from bakeoff.data.dataset import Dataset, load
from bakeoff.explain.keep import keep_run_maps
from bakeoff.models import weights, zoo
from bakeoff.models.parts import freeze
from bakeoff.recipe import Recipe
from bakeoff.run import run
from bakeoff.settings import Settings
from bakeoff.store import Record
from bakeoff.study import Run, Study
from bakeoff.train import TrainingError

Progress = Callable[[str, int, int], None]


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
    """Carry out `runs` of `study` in `folder`; finished ones are not repeated.

    Whatever can be wrong is refused before the first batch (RecipeError or DataError). A run that
    fails does not stop the others. Maps are kept of every row's run with the study's first seed.
    """
    machine.keep_memory()
    where = machine.device(settings.device)
    datasets = _datasets(study, runs, settings, on_progress)
    for recipe in dict.fromkeys(run_.row.recipe for run_ in runs):
        _check(recipe, len(next(iter(datasets.values())).classes), settings.offline)
    store.write_study(folder, study)
    states = [_state(folder, run_, _dataset(datasets, run_)) for run_ in runs]
    for (_, seed), dataset in datasets.items():
        dataset.write_manifest(folder / f"split-{seed}.csv")
    for run_, state in zip(runs, states, strict=True):
        if state == "finished":
            yield Ended(run_, reused=True)
            continue
        yield Started(run_)
        try:
            dataset = _dataset(datasets, run_)
            for record in run(
                folder / run_.name,
                run_,
                dataset,
                where,
                offline=settings.offline,
                on_progress=on_progress,
            ):
                yield Measured(run_, record)
        except TrainingError as error:
            yield Ended(run_, error=str(error))
        else:
            if run_.seed == study.seeds[0]:
                seed = run_.seeds["init"]
                keep_run_maps(folder / run_.name, dataset, seed, where, offline=settings.offline)
            yield Ended(run_)


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


def _state(folder: Path, run_: Run, dataset: Dataset) -> store.State:
    start = weights.digest(run_.row.recipe.weights)
    return store.state(folder / run_.name, store.identity(run_, dataset.fingerprint, start))


def _check(recipe: Recipe, num_classes: int, offline: bool) -> None:
    """Build the net once, so that names, patterns, sizes and weights are known to fit."""
    zoo.check_size(recipe, num_classes)
    with torch.random.fork_rng(devices=[]), machine.quiet():
        net = zoo.build(recipe, num_classes, offline=offline)
    freeze(net, recipe.freeze)
