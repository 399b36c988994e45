"""From run folders to arrays: who is the base, which seeds finished, what each got right.

Runs that failed, are missing or cannot be read are kept by name; none is dropped in silence.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.evidence.calibration import Labels
from bakeoff.evidence.images import Booleans
from bakeoff.evidence.paired import Floats
from bakeoff.store import Predictions, RunFiles, Split


@dataclass(frozen=True)
class Scored:
    """A finished run and its predictions, ordered by photograph id."""

    files: RunFiles
    ids: npt.NDArray[np.str_]
    labels: Labels
    logits: npt.NDArray[np.float32]

    @cached_property
    def correct(self) -> Booleans:
        """Which photographs it got right, (N,)."""
        return np.asarray(self.logits.argmax(axis=1) == self.labels)

    @cached_property
    def accuracy(self) -> float:
        """The share it got right."""
        return int(self.correct.sum()) / self.correct.size

    @cached_property
    def loss(self) -> float:
        """The mean cross-entropy in nats."""
        logits = self.logits.astype(np.float64)
        top = logits.max(axis=1)
        whole = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return float(np.mean(whole - logits[np.arange(self.labels.size), self.labels]))


@dataclass(frozen=True)
class Series:
    """One row of a table over its seeds: the finished runs, and the others by name and state."""

    table: str
    variant: str
    change: dict[str, Any]
    runs: dict[int, Scored]
    missing: tuple[str, ...]

    @property
    def is_base(self) -> bool:
        """Whether it is its table's base: it changes nothing."""
        return not self.change

    @property
    def name(self) -> str:
        """Its place in the study, e.g. `resnet18/stock`."""
        return f"{self.table}/{self.variant}"

    @property
    def split_varies(self) -> bool:
        """Whether its seeds drew different splits."""
        splits = {run.files.run.get("seeds", {}).get("split") for run in self.runs.values()}
        return len(splits) > 1

    @property
    def accuracies(self) -> Floats:
        """One accuracy a finished seed, in the order of the seeds."""
        return np.array([self.runs[seed].accuracy for seed in sorted(self.runs)])


def series(runs: Sequence[RunFiles], split: Split = "test") -> list[Series]:
    """Group `runs` by table and variant, in the order of their first appearance."""
    grouped: dict[tuple[str, str], list[RunFiles]] = {}
    for run in runs:
        grouped.setdefault((run.table, run.variant), []).append(run)
    return [_series(each, split) for each in grouped.values()]


def shared_seeds(one: Series, other: Series) -> tuple[int, ...]:
    """Return the seeds that finished in both, in order."""
    return tuple(sorted(one.runs.keys() & other.runs.keys()))


def same_photographs(row: Series, seeds: Sequence[int]) -> bool:
    """Whether all `seeds` of `row` were tested on the same photographs."""
    first = row.runs[seeds[0]].ids
    return all(np.array_equal(first, row.runs[seed].ids) for seed in seeds)


def redrawn_per_train(row: Series, split: Split = "test") -> float | None:
    """Return how many photographs the split redraws for each one trained on; None if it is fixed.

    Those of `split` where they differ from seed to seed, else the ones kept for validation.
    """
    if not row.split_varies:
        return None
    seeds = tuple(sorted(row.runs))
    first = row.runs[seeds[0]].files
    moved: Split = "validation" if same_photographs(row, seeds) else split
    return int(first.predictions(moved).labels.size) / int(first.run["train_images"])


def _series(runs: Sequence[RunFiles], split: Split) -> Series:
    found: dict[int, Scored] = {}
    missing = []
    for run in sorted(runs, key=lambda run: run.seed):
        scored = _scored(run, split)
        if run.seed in found:
            raise ValueError(f"{run.table}/{run.variant}: seed {run.seed} stands there twice")
        if isinstance(scored, Scored):
            found[run.seed] = scored
        else:
            missing.append(f"{run.table}/{run.variant}/seed-{run.seed}: {scored}")
    return Series(runs[0].table, runs[0].variant, runs[0].change, found, tuple(missing))


def _scored(run: RunFiles, split: Split) -> Scored | str:
    """Return the run's predictions, or why there are none."""
    if run.state != "finished":
        return run.state
    try:
        predictions = run.predictions(split)
    except FileNotFoundError:
        return "finished, but its predictions are missing"
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return "finished, but its predictions are damaged"
    if predictions.labels.size == 0:
        return f"finished, but without {split} photographs"
    return _ordered(run, predictions)


def _ordered(run: RunFiles, predictions: Predictions) -> Scored:
    order = np.argsort(predictions.ids, kind="stable")
    return Scored(run, predictions.ids[order], predictions.labels[order], predictions.logits[order])
