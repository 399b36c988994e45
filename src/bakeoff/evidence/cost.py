"""What an accuracy cost: seconds, memory, parameters, points gained a minute, the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.evidence.reading import Series, series, shared_seeds
from bakeoff.store import RunFiles, Split


@dataclass(frozen=True)
class Cost:
    """One row's accuracy and cost, means over its `count` finished runs; None where there is none.

    `points_per_minute` is the gain over the base in points (hundredths), over the seeds both have,
    for each minute that this row trains. `on_front`: no other row is at least as accurate and as
    fast, and better in one.
    """

    table: str
    variant: str
    count: int
    accuracy: float | None
    deviation: float | None
    seconds: float | None
    seconds_deviation: float | None
    peak_megabytes: float | None
    images_per_second: float | None
    parameters: int | None
    trainable_parameters: int | None
    points_per_minute: float | None
    on_front: bool
    missing: tuple[str, ...]


def costs(runs: Sequence[RunFiles], split: Split = "test") -> list[Cost]:
    """Return the cost of every row of every table; the front is over all of them."""
    rows = series(runs, split)
    bases = {row.table: row for row in rows if row.is_base}
    places = [(_mean(row, "seconds"), _accuracy(row)) for row in rows]
    known = [place for place in places if place[0] is not None and place[1] is not None]
    front = set(pareto([(s, a) for s, a in known if s is not None and a is not None]))
    best = {known[place] for place in front}
    return [
        _cost(row, bases.get(row.table), on_front=place in best)
        for row, place in zip(rows, places, strict=True)
    ]


def pareto(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Return the places of the (seconds, accuracy) that no other beats, the fastest first."""
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    front: list[int] = []
    for place in order:
        if (
            not front
            or points[place][1] > points[front[-1]][1]
            or points[place] == points[front[-1]]
        ):
            front.append(place)
    return tuple(front)


def points_per_minute(difference: float, seconds: float) -> float | None:
    """Return the points (hundredths of accuracy) gained for each minute of training."""
    return 100 * difference / (seconds / 60) if seconds > 0 else None


def _cost(row: Series, base: Series | None, *, on_front: bool) -> Cost:
    seconds = _mean(row, "seconds")
    seeds = shared_seeds(row, base) if base is not None and not row.is_base else ()
    gain = None
    if base is not None and seeds and seconds is not None:
        gains = [row.runs[seed].accuracy - base.runs[seed].accuracy for seed in seeds]
        gain = points_per_minute(float(np.mean(gains)), seconds)
    return Cost(
        table=row.table,
        variant=row.variant,
        count=len(row.runs),
        accuracy=_accuracy(row),
        deviation=_deviation(row.accuracies.tolist()),
        seconds=seconds,
        seconds_deviation=_deviation(_values(row, "seconds")),
        peak_megabytes=_mean(row, "peak_megabytes"),
        images_per_second=_mean(row, "images_per_second"),
        parameters=_whole(row, "parameters"),
        trainable_parameters=_whole(row, "trainable_parameters"),
        points_per_minute=gain,
        on_front=on_front,
        missing=row.missing,
    )


def _accuracy(row: Series) -> float | None:
    return float(row.accuracies.mean()) if row.runs else None


def _values(row: Series, field: str) -> list[float]:
    found = (row.runs[seed].files.run.get(field) for seed in sorted(row.runs))
    return [float(value) for value in found if value is not None]


def _mean(row: Series, field: str) -> float | None:
    values = _values(row, field)
    return float(np.mean(values)) if values else None


def _whole(row: Series, field: str) -> int | None:
    values = _values(row, field)
    return int(values[0]) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
