"""What could be seen at all: the base's noise floor, the smallest visible difference, seeds needed.

Power is that of the two-sided paired t test at 5 %, from the noncentral t distribution (Cohen
1988), a difference in the wrong direction not counted as seen. The sign-flip test comes close to
it from about eight seeds on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from bakeoff.evidence.paired import Floats, Interval

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class NoiseFloor:
    """How much the base alone wanders from seed to seed, on the same test photographs.

    `single`: two single runs of one recipe differ by less than this in 95 % of cases, so a smaller
    difference between two single runs means nothing. `deviation_interval` says how well `count`
    seeds know the deviation.
    """

    count: int
    mean: float
    deviation: float
    deviation_interval: Interval
    single: float

    def of_means(self, seeds: int) -> float:
        """The same bound for the difference of two means over `seeds` runs each."""
        if seeds < 1:
            raise ValueError(f"seeds: {seeds} is not allowed; at least 1")
        return self.single / math.sqrt(seeds)


def noise_floor(accuracies: Sequence[float] | Floats) -> NoiseFloor | None:
    """Measure the noise floor from the base's accuracies, one a seed; None with fewer than two.

    Two further runs of the base differ by a normal number with variance 2 sigma^2. With s from
    k seeds, their difference over s sqrt(2) follows t with k-1 degrees of freedom, so `single` is
    t(0.975, k-1) s sqrt(2), a prediction bound (Hahn & Meeker 1991). No pairing is assumed.
    """
    values = np.sort(np.asarray(accuracies, dtype=np.float64))
    if values.size < 2:
        return None
    freedom = values.size - 1
    deviation = float(values.std(ddof=1))
    low, high = (math.sqrt(freedom / stats.chi2.ppf(share, freedom)) for share in (0.975, 0.025))
    return NoiseFloor(
        count=values.size,
        mean=float(values.mean()),
        deviation=deviation,
        deviation_interval=Interval(deviation * low, deviation * high),
        single=float(stats.t.ppf(0.975, freedom)) * deviation * math.sqrt(2),
    )


def smallest_visible(deviation: float, count: int, *, share: float = 0.8) -> float:
    """Return the true difference that `count` seeds would show in `share` of studies.

    `deviation` is that of the paired differences.
    """
    if count < 2:
        raise ValueError(f"count: {count} is not allowed; at least 2 seeds show a spread")
    return _noncentrality(count, share) * deviation / math.sqrt(count)


def seeds_needed(
    deviation: float, difference: float = 0.01, *, share: float = 0.8, least: int = 2
) -> int | None:
    """Return how many seeds (at least `least`) would show `difference`; None beyond 10,000."""
    if difference <= 0:
        raise ValueError(f"difference: {difference} is not allowed; above 0")
    low, high = least, least
    while smallest_visible(deviation, high, share=share) > difference:
        low, high = high + 1, 2 * high
        if low > MOST_SEEDS:
            return None
    while low < high:
        middle = (low + high) // 2
        if smallest_visible(deviation, middle, share=share) <= difference:
            high = middle
        else:
            low = middle + 1
    return high if high <= MOST_SEEDS else None


@lru_cache(maxsize=4096)
def _noncentrality(count: int, share: float) -> float:
    """Return the mean over its standard error at which the t test has power `share`."""
    if count > 1000:
        return float(stats.norm.ppf(0.975) + stats.norm.ppf(share))
    bar = float(stats.t.ppf(0.975, count - 1))

    def missing(shift: float) -> float:
        return float(stats.nct.sf(bar, count - 1, shift)) - share

    return float(optimize.brentq(missing, 0.0, 2.0 * bar + 2.0))
