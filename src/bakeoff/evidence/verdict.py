"""A verdict for every change: what its runs show against its table's base, and in one word.

A change helped or hurt when two things hold. Its p over shared seeds, Holm-corrected over its
table, is at most 0.05, which takes at least six seeds and more in a long table; and the crossed
interval, which also lets the test photographs vary, excludes 0. Else: can't tell yet, and why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bakeoff.evidence.paired import Paired, holm, least_seeds, paired
from bakeoff.evidence.pictured import Pictured, picture
from bakeoff.evidence.power import seeds_needed, smallest_visible
from bakeoff.evidence.reading import (
    Series,
    redrawn_per_train,
    series,
    shared_seeds,
)
from bakeoff.evidence.words import Told, explain
from bakeoff.store import RunFiles, Split

Word = Literal["helped", "hurt", "can't tell yet"]
Limit = Literal["runs", "seeds", "photographs"]

ALPHA = 0.05
ONE_POINT = 0.01


@dataclass(frozen=True)
class Verdict:
    """What can be said of one change. Fields that too few runs cannot fill are None.

    `limit` says what more is needed where one cannot tell: more `runs` of either row, more `seeds`
    or more `photographs`. `least_seeds`: below so many this table allows no verdict.
    """

    table: str
    variant: str
    base: str
    change: dict[str, Any]
    seeds: tuple[int, ...]
    base_accuracy: float | None
    accuracy: float | None
    paired: Paired | None
    holm_p: float | None
    pictured: Pictured | None
    verdict: Word
    explanation: str
    limit: Limit | None
    least_seeds: int
    smallest_visible: float | None
    seeds_for_one_point: int | None
    missing: tuple[str, ...]

    @property
    def n(self) -> int:
        """Over how many shared seeds."""
        return len(self.seeds)

    @property
    def difference(self) -> float | None:
        """The mean paired difference to the base."""
        return self.paired.mean if self.paired else None

    @property
    def low(self) -> float | None:
        """The lower end of its 95 % interval over seeds."""
        return self.paired.interval.low if self.paired and self.paired.interval else None

    @property
    def high(self) -> float | None:
        """The upper end of its 95 % interval over seeds."""
        return self.paired.interval.high if self.paired and self.paired.interval else None

    @property
    def p(self) -> float | None:
        """Its p before Holm's correction; verdicts rest on `holm_p`."""
        return self.paired.p if self.paired else None


def compare(
    runs: Sequence[RunFiles], *, split: Split = "test", leaked: Collection[str] = ()
) -> list[Verdict]:
    """Return a verdict for every variant, tables and variants in the order of first appearance.

    Base and variant are compared over the seeds that finished in both; whatever did not finish is
    named in `missing`. `leaked` are ids of test photographs that training also saw. Raises
    ValueError for a table without a base, and where the two were tested on different photographs.
    """
    rows = series(runs, split)
    verdicts = []
    for table in dict.fromkeys(row.table for row in rows):
        inside = [row for row in rows if row.table == table]
        base = next((row for row in inside if row.is_base), None)
        if base is None:
            raise ValueError(
                f"{table}: no run of its base is among the runs; a change has nothing to beat"
            )
        verdicts += _table(base, [row for row in inside if row is not base], split, set(leaked))
    return verdicts


def compare_rows(base: Series, variant: Series, split: Split = "test") -> Paired | None:
    """Return the paired differences in accuracy, or None without a shared seed."""
    seeds = shared_seeds(base, variant)
    if not seeds:
        return None
    differences = [variant.runs[seed].accuracy - base.runs[seed].accuracy for seed in seeds]
    return paired(differences, test_per_train=redrawn_per_train(base, split))


def _table(base: Series, variants: list[Series], split: Split, leaked: set[str]) -> list[Verdict]:
    differences = [compare_rows(base, variant, split) for variant in variants]
    adjusted = holm([None if each is None else each.p for each in differences])
    return [
        _verdict(
            base=base,
            variant=variant,
            difference=difference,
            p=p,
            family=len(variants),
            leaked=leaked,
        )
        for variant, difference, p in zip(variants, differences, adjusted, strict=True)
    ]


def _verdict(
    *,
    base: Series,
    variant: Series,
    difference: Paired | None,
    p: float | None,
    family: int,
    leaked: set[str],
) -> Verdict:
    seeds = shared_seeds(base, variant)
    pictured = picture(base, variant, seeds, leaked)
    least = least_seeds(family, ALPHA)
    word, limit = _word(difference, p, pictured)
    visible, one_point = _power(difference, least)
    crossed = pictured.crossed.interval if pictured and pictured.crossed else None
    told = Told(
        base=base.name,
        variant=variant.name,
        family=family,
        least=least,
        difference=difference,
        holm_p=p,
        crossed=crossed,
        photographs=pictured.count if pictured else None,
        visible=visible,
        one_point=one_point,
    )
    return Verdict(
        table=variant.table,
        variant=variant.variant,
        base=base.variant,
        change=variant.change,
        seeds=seeds,
        base_accuracy=_mean(base, seeds),
        accuracy=_mean(variant, seeds),
        paired=difference,
        holm_p=p,
        pictured=pictured,
        verdict=word,
        explanation=explain(told, word, limit),
        limit=limit,
        least_seeds=least,
        smallest_visible=visible,
        seeds_for_one_point=one_point,
        missing=base.missing + variant.missing,
    )


def _power(difference: Paired | None, least: int) -> tuple[float | None, int | None]:
    """Return the smallest difference visible now, and the seeds that would show one point."""
    if difference is None or difference.deviation is None:
        return None, None
    visible = smallest_visible(difference.deviation, difference.count)
    return visible, seeds_needed(difference.deviation, ONE_POINT, least=least)


def _word(
    difference: Paired | None, p: float | None, pictured: Pictured | None
) -> tuple[Word, Limit | None]:
    if difference is None:
        return "can't tell yet", "runs"
    if p is None or p > ALPHA:
        return "can't tell yet", "seeds"
    if pictured and (pictured.crossed is None or not pictured.crossed.interval.excludes(0)):
        return "can't tell yet", "photographs"
    return ("helped", None) if difference.mean > 0 else ("hurt", None)


def _mean(row: Series, seeds: tuple[int, ...]) -> float | None:
    return float(np.mean([row.runs[seed].accuracy for seed in seeds])) if seeds else None
