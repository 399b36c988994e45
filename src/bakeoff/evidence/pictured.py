"""A change seen photograph by photograph, from the runs of its row and of the base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bakeoff.evidence.images import (
    Booleans,
    Crossed,
    McNemar,
    crossed,
    mcnemar,
    photograph_interval,
)
from bakeoff.evidence.paired import Interval
from bakeoff.evidence.reading import Series, same_photographs


@dataclass(frozen=True)
class Pictured:
    """The same difference seen from the photographs: theirs alone, with seeds, without the leaked.

    `photographs` holds the networks fixed; `mcnemar` has one entry a seed; `leaked` counts the
    photographs that `clean` and `clean_mean` leave out (None where none or all leaked).
    """

    count: int
    photographs: Interval
    crossed: Crossed | None
    mcnemar: tuple[McNemar, ...]
    leaked: int
    clean: Crossed | None
    clean_mean: float | None


def picture(
    base: Series, variant: Series, seeds: tuple[int, ...], leaked: set[str]
) -> Pictured | None:
    """Compare photograph by photograph; None where the seeds were tested on different ones.

    `leaked` are ids. Raises ValueError where base and variant were tested on different ones.
    """
    for seed in seeds:
        if not np.array_equal(base.runs[seed].ids, variant.runs[seed].ids):
            raise ValueError(
                f"{variant.name}: seed {seed} was tested on other photographs than {base.name}"
            )
    if not seeds or not same_photographs(base, seeds):
        return None
    before, after = _stacked(base, seeds), _stacked(variant, seeds)
    clean = ~np.isin(base.runs[seeds[0]].ids, np.array(sorted(leaked), dtype=np.str_))
    some = bool(clean.any()) and not bool(clean.all())
    lead = after[:, clean].mean() - before[:, clean].mean() if some else None
    return Pictured(
        count=clean.size,
        photographs=photograph_interval(before, after),
        crossed=crossed(before, after),
        mcnemar=tuple(mcnemar(*pair) for pair in zip(before, after, strict=True)),
        leaked=int((~clean).sum()),
        clean=crossed(before[:, clean], after[:, clean]) if some else None,
        clean_mean=None if lead is None else float(lead),
    )


def _stacked(row: Series, seeds: tuple[int, ...]) -> Booleans:
    return np.stack([row.runs[seed].correct for seed in seeds])
