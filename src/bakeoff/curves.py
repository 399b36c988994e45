"""Training curves of one variant: every epoch's mean over its runs, and how far the runs spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.store import RunFiles

SERIES = (
    *("train_loss", "clean_loss", "validation_loss"),
    *("train_accuracy", "clean_accuracy", "validation_accuracy"),
)


@dataclass(frozen=True)
class Curve:
    """One measure by epoch; `spread` is the sample standard deviation, None below two runs."""

    epochs: tuple[int, ...]
    means: tuple[float, ...]
    spreads: tuple[float | None, ...]
    runs: tuple[int, ...]


def curve(runs: Sequence[RunFiles], series: str) -> Curve | None:
    """Return one of `SERIES` over `runs`, or None where none has a record.

    An epoch's mean is over the runs that reached it (`Curve.runs` says how many): with early
    stopping those become fewer. Values that are not finite are left out.
    """
    values: dict[int, list[float]] = {}
    for run in runs:
        for record in run.records:
            if math.isfinite(value := getattr(record, series)):
                values.setdefault(record.epoch, []).append(value)
    if not values:
        return None
    epochs = tuple(sorted(values))
    return Curve(
        epochs,
        tuple(statistics.fmean(values[epoch]) for epoch in epochs),
        tuple(
            statistics.stdev(values[epoch]) if len(values[epoch]) > 1 else None for epoch in epochs
        ),
        tuple(len(values[epoch]) for epoch in epochs),
    )


def curves(runs: Sequence[RunFiles]) -> dict[str, Curve]:
    """Return every curve of one variant's runs that has a point."""
    return {name: found for name in SERIES if (found := curve(runs, name))}
