"""The strip beside a variant's name: a dot a run on the table's own scale, the mean, the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.tables import TableRow

WIDTH, MARGIN = 150.0, 6.0


@dataclass(frozen=True)
class Strip:
    """Places along a strip, in pixels from the left; `base` is where the table's base lies."""

    dots: tuple[float, ...]
    mean: float | None
    base: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scale:
    """The accuracies at the two ends of a table's strips."""

    least: float
    most: float

    def place(self, accuracy: float | None) -> float | None:
        """Return where an accuracy lies, in pixels."""
        if accuracy is None or not math.isfinite(accuracy):
            return None
        share = (accuracy - self.least) / (self.most - self.least)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def scale(rows: Sequence[TableRow]) -> Scale | None:
    """Return the scale of a table: from its worst run to its best, in whole points."""
    found = [score.test_accuracy for row in rows for score in row.scores]
    known = [100 * value for value in found if value is not None and math.isfinite(value)]
    if not known:
        return None
    least, most = math.floor(min(known)), math.ceil(max(known))
    return Scale(least / 100, max(most, least + 1) / 100)


def strip(row: TableRow, rows: Sequence[TableRow], ends: Scale | None) -> Strip | None:
    """Return the strip of `row` among the `rows` of its table; None where nothing is finished."""
    if ends is None or not row.n:
        return None
    places = [ends.place(score.test_accuracy) for score in row.scores]
    base = next((other.test_accuracy for other in rows if other.is_base), None)
    low = high = None
    if row.verdict and base is not None:
        low = _within(ends, base, row.verdict.low)
        high = _within(ends, base, row.verdict.high)
    dots = tuple(place for place in places if place is not None)
    return Strip(dots, ends.place(row.test_accuracy), ends.place(base), low, high)


def _within(ends: Scale, base: float, away: float | None) -> float | None:
    """Place an end of an interval around the base, kept inside the strip."""
    if away is None:
        return None
    return ends.place(min(max(base + away, ends.least), ends.most))
