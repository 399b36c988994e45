"""What more photographs would bring: the learning curve of a table that varies nothing else.

Such a table's variants change `train_share` alone; see the shipped study `learning-curve`. The
fit is `evidence`'s; here it is made from rows and put into words.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.evidence import Interval, LearningCurve, learning_curve
from bakeoff.render import by_table
from bakeoff.tables import TableRow

MORE = 100  # photographs a class
LEAST_SIZES = 3


@dataclass(frozen=True)
class Size:
    """Accuracies (0..1), one a seed, of nets trained on `per_class` photographs a class."""

    per_class: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None for a single seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Growth:
    """A table's learning curve, and what it was fitted to, smallest size first."""

    table: str
    sizes: tuple[Size, ...]
    curve: LearningCurve

    @property
    def gain(self) -> tuple[float, Interval | None]:
        """What MORE photographs a class beyond the most seen would bring, with its interval."""
        return self.curve.gain(MORE)

    def in_words(self) -> str:
        """Say in a sentence what more photographs would bring."""
        gained, interval = self.gain
        how_sure = (
            f" (95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
            if interval
            else ", how surely is not known from one seed a size"
        )
        return (
            f"{MORE} more photographs a class, beyond the {self.curve.most:,} there are, would "
            f"bring {100 * gained:+.1f} points{how_sure}."
        )


def growths(rows: Sequence[TableRow]) -> tuple[Growth, ...]:
    """Return the learning curve of every table that has one: three sizes or more, finished."""
    found = (_growth(table, group) for table, group in by_table(rows))
    return tuple(each for each in found if each)


def _growth(table: str, rows: Sequence[TableRow]) -> Growth | None:
    changed = [set(row.scores[0].run.change) for row in rows if not row.is_base]
    if not changed or any(change != {"train_share"} for change in changed):
        return None
    seen: dict[int, list[float]] = {}
    for score in (score for row in rows for score in row.scores):
        if score.test_accuracy is not None:
            per_class = score.run.run["train_images"] / len(score.run.run["classes"])
            seen.setdefault(round(per_class), []).append(score.test_accuracy)
    if len(seen) < LEAST_SIZES:
        return None
    sizes = tuple(Size(per_class, tuple(seen[per_class])) for per_class in sorted(seen))
    return Growth(table, sizes, learning_curve(seen))
