"""Differences to the base over shared seeds: mean, interval, test, and Holm over a table.

A difference is variant minus base with the same seed, so that what both share (order, split)
cancels. The test is the exact sign-flip test: had the change done nothing, each difference could
as well have had the other sign (Fisher 1935, section 21; Pitman 1937).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Method = Literal["sign-flip", "corrected t"]

LEAST_SEEDS = 6
"""Below six seeds no two-sided sign-flip test can reach 0.05: 2 / 2^5 = 0.0625."""

EXACT_UP_TO = 20


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, both ends included."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside."""
        return value < self.low or value > self.high


@dataclass(frozen=True)
class Paired:
    """Paired differences in short; `deviation`, `interval` and `p` are None for a single one."""

    count: int
    mean: float
    deviation: float | None
    interval: Interval | None
    p: float | None
    method: Method


def paired(differences: Sequence[float] | Floats, *, test_per_train: float | None = None) -> Paired:
    """Summarise one difference a seed: mean, 95 % t interval, two-sided p.

    `test_per_train` (test photographs per training photograph) is given where the split varies
    between seeds. The training sets then overlap, and the variance of the mean is taken as
    (1/n + test_per_train) s^2 with a t test (Nadeau & Bengio 2003); its p is kept at or above the
    smallest that the sign-flip test could give, so that rounded, equal differences prove nothing.
    """
    values = _finite(differences)
    count, mean = values.size, math.fsum(values) / values.size
    method: Method = "sign-flip" if test_per_train is None else "corrected t"
    if count == 1:
        return Paired(1, mean, None, None, None, method)
    deviation = float(np.sort(values).std(ddof=1)) if np.ptp(values) > 0 else 0.0
    error = deviation * math.sqrt(1 / count + (test_per_train or 0.0))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    if test_per_train is None:
        p = sign_flip(values)
    else:
        p = max(_t_test(mean, error, count - 1), smallest_p(count))
    return Paired(count, mean, deviation, Interval(mean - half, mean + half), p, method)


def k_fold(differences: Sequence[Sequence[float]] | Floats) -> Paired:
    """Summarise differences measured on the folds of cross-validation, (k,) or (repeats, k).

    Every two training sets share most photographs, so the corrected t test is used with
    1/(k-1) test photographs per training photograph (Nadeau & Bengio 2003; for repeats Bouckaert
    & Frank 2004).
    """
    values = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    folds = values.shape[1]
    if folds < 2:
        raise ValueError(f"folds: {folds} is not allowed; at least 2")
    return paired(values.ravel(), test_per_train=1 / (folds - 1))


def sign_flip(
    differences: Sequence[float] | Floats, *, draws: int = 100_000, seed: int = 0
) -> float:
    """Return the two-sided p of the sign-flip test on the mean.

    All 2^n sign patterns are counted up to n = 20. Beyond, `draws` random ones are, and the
    observed one is counted in, so that p is never 0 (Phipson & Smyth 2010).
    """
    values = _finite(differences)
    sizes = np.sort(np.abs(values))
    bar = abs(math.fsum(values)) - 1e-9 * math.fsum(sizes)
    if values.size <= EXACT_UP_TO:
        return float(np.mean(np.abs(sign_sums(sizes)) >= bar))
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, (draws, values.size)) - 1.0
    hits = int(np.count_nonzero(np.abs(signs @ sizes) >= bar))
    return (1 + hits) / (1 + draws)


def sign_sums(sizes: Floats) -> Floats:
    """Return the sums of `sizes` under every sign pattern that begins with plus, (2^(n-1),).

    The other half are their negatives.
    """
    sums = sizes[:1]
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def smallest_p(count: int) -> float:
    """Return the smallest two-sided p that the sign-flip test of `count` differences can give."""
    return min(1.0, 2.0 ** (1 - count))


def least_seeds(comparisons: int = 1, alpha: float = 0.05) -> int:
    """Return how many seeds are needed before Holm over `comparisons` can reach `alpha` at all."""
    needed = LEAST_SEEDS
    while comparisons * smallest_p(needed) > alpha:
        needed += 1
    return needed


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjust the p values of one table (Holm 1979), in the order given.

    A comparison that has no p yet stays None but counts, so that a table's verdicts do not weaken
    when its last variants finish.
    """
    order = sorted(range(len(ps)), key=lambda place: _or_one(ps[place]))
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * _or_one(ps[place])))
        adjusted[place] = None if ps[place] is None else largest
    return adjusted


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def _t_test(mean: float, error: float, freedom: int) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, freedom))


def _finite(differences: Sequence[float] | Floats) -> Floats:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"differences: {differences!r} is not allowed; at least one finite number")
    return values
