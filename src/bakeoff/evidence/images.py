"""The error that comes from the test photographs, kept apart from that of retraining, and both.

Everything takes correctness as booleans, (seeds, photographs), base and variant in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bakeoff.evidence.paired import Floats, Interval

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """Photographs that only one of two runs got right, and the exact two-sided p."""

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class Crossed:
    """The difference with both errors in its interval, and the standard error of each alone."""

    mean: float
    interval: Interval
    seed_error: float
    photograph_error: float
    seeds: int
    photographs: int


def mcnemar(base: Booleans, variant: Booleans) -> McNemar:
    """Compare two single runs on the same photographs, (N,) each (McNemar 1947, exact binomial)."""
    gained = int(np.count_nonzero(variant & ~base))
    lost = int(np.count_nonzero(base & ~variant))
    p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return McNemar(gained, lost, float(p))


def photograph_interval(
    base: Booleans, variant: Booleans, *, draws: int = 4000, seed: int = 0
) -> Interval:
    """Return the interval of the mean difference had other photographs of the kind been taken.

    Paired bootstrap over photographs (Efron 1979), the trained networks held as they are.
    """
    lead = np.sum(_differences(base, variant), axis=0)  # (N,) whole numbers -seeds..seeds
    values, counts = np.unique(lead, return_counts=True)
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, size=draws)
    means = drawn @ values / (total * base.shape[0])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))


def crossed(base: Booleans, variant: Booleans) -> Crossed | None:
    """Return the difference with an interval over seeds and photographs at once.

    None with one seed or one photograph. Seeds and photographs are crossed random effects
    (Cornfield & Tukey 1956): the variance of the mean is (MS_seeds + MS_photographs - MS_rest)
    / (n N), at least that of either alone, with Satterthwaite's (1946) degrees of freedom. The
    pigeonhole bootstrap (Owen & Eckles 2012), which resamples both, comes to nearly the same where
    seeds are many; resampling six seeds gives intervals that are too short.
    """
    differences = _differences(base, variant)
    seeds, photographs = differences.shape
    if seeds < 2 or photographs < 2:
        return None
    mean = float(differences.mean())
    by_seed, by_photograph, rest = _mean_squares(differences)
    size = seeds * photographs
    whole = max(by_seed + by_photograph - rest, by_seed, by_photograph)
    variance = whole / size
    parts = (
        (by_seed, seeds - 1),
        (by_photograph, photographs - 1),
        (rest, (seeds - 1) * (photographs - 1)),
    )
    freedom = _satterthwaite(whole, parts)
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    return Crossed(
        mean=mean,
        interval=Interval(mean - half, mean + half),
        seed_error=math.sqrt(by_seed / size),
        photograph_error=math.sqrt(by_photograph / size),
        seeds=seeds,
        photographs=photographs,
    )


def _mean_squares(differences: Floats) -> tuple[float, float, float]:
    """Return the two-way mean squares: between seeds, between photographs, the rest."""
    seeds, photographs = differences.shape
    by_seed = photographs * float(differences.mean(axis=1).var(ddof=1))
    by_photograph = seeds * float(differences.mean(axis=0).var(ddof=1))
    whole = float(differences.var()) * differences.size
    rest = whole - by_seed * (seeds - 1) - by_photograph * (photographs - 1)
    return by_seed, by_photograph, max(rest, 0.0) / ((seeds - 1) * (photographs - 1))


def _satterthwaite(whole: float, parts: Iterable[tuple[float, int]]) -> float:
    """Return the degrees of freedom of `whole`, a sum or difference of mean squares."""
    below = sum(square**2 / freedom for square, freedom in parts)
    return whole**2 / below if below else 1.0


def _differences(base: Booleans, variant: Booleans) -> Floats:
    if base.shape != variant.shape or base.ndim != 2 or base.size == 0:
        raise ValueError(
            f"base and variant: shapes {base.shape} and {variant.shape} are not allowed; "
            "both (seeds, photographs), none empty"
        )
    return variant.astype(np.float64) - base.astype(np.float64)
