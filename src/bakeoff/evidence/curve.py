"""The learning curve: how error falls with photographs a class, and what more would bring.

The error is taken as floor + scale * count^-power, an inverse power law (Cortes et al. 1994;
Hestness et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.evidence.paired import Floats, Interval

POWERS = np.linspace(0.05, 2.0, 79)


@dataclass(frozen=True)
class LearningCurve:
    """A fitted curve; `drawn` fits, (draws, 3), carry its uncertainty, None where it is unknown."""

    floor: float
    scale: float
    power: float
    most: int
    drawn: Floats | None

    def accuracy(self, per_class: float) -> float:
        """The accuracy expected with `per_class` training photographs a class."""
        return 1 - self.floor - self.scale * math.pow(per_class, -self.power)

    def interval(self, per_class: float) -> Interval | None:
        """The 95 % interval of `accuracy`."""
        return None if self.drawn is None else _interval(self._drawn_errors(per_class))

    def gain(self, more: int = 100) -> tuple[float, Interval | None]:
        """What `more` photographs a class beyond the most seen would bring, with its interval."""
        gained = self.accuracy(self.most + more) - self.accuracy(self.most)
        if self.drawn is None:
            return gained, None
        fall = self._drawn_errors(self.most) - self._drawn_errors(self.most + more)
        low, high = np.quantile(fall, [0.025, 0.975])
        return gained, Interval(float(low), float(high))

    def _drawn_errors(self, per_class: float) -> Floats:
        assert self.drawn is not None
        return np.asarray(self.drawn[:, 0] + self.drawn[:, 1] * per_class ** -self.drawn[:, 2])


def learning_curve(
    accuracies: Mapping[int, Sequence[float]], *, draws: int = 1000, seed: int = 0
) -> LearningCurve:
    """Fit the curve to {training photographs a class: one accuracy a seed}; at least three sizes.

    Least squares on the means, weighted by their number of seeds. Uncertainty by parametric
    bootstrap (Efron & Tibshirani 1993): the spread pooled over sizes, drawn from t so that few
    seeds give wide intervals; None where no size has two seeds.
    """
    sizes = sorted(accuracies)
    if len(sizes) < 3 or sizes[0] < 1 or not all(len(accuracies[size]) for size in sizes):
        raise ValueError(f"sizes: {sizes} are not allowed; at least three, each with an accuracy")
    groups = [1 - np.sort(np.asarray(accuracies[size], dtype=np.float64)) for size in sizes]
    counts = np.array([group.size for group in groups])
    means = np.array([group.mean() for group in groups])
    places = np.array(sizes, dtype=np.float64)
    floor, scale, power = _fit(places, means[None], counts)[0].tolist()
    drawn = None
    freedom = int(counts.sum()) - len(sizes)
    if freedom > 0:
        spread = np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / freedom)
        noise = np.random.default_rng(seed).standard_t(freedom, (draws, len(sizes)))
        fitted = floor + scale * places**-power
        drawn = _fit(places, fitted + noise * spread / np.sqrt(counts), counts)
    return LearningCurve(floor, scale, power, sizes[-1], drawn)


def _fit(sizes: Floats, errors: Floats, weights: Floats) -> Floats:
    """Fit every row of `errors`, (fits, sizes); return floor, scale, power, (fits, 3).

    For one power the law is linear, so each power of a grid is solved at once and the best kept.
    Floor and scale stay at or above 0.
    """
    share = weights / weights.sum()
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), 3))
    for power in POWERS:
        falling = sizes**-power
        centred = falling - share @ falling
        scale = np.maximum((errors * share) @ centred / (share @ centred**2), 0.0)
        floor = errors @ share - scale * (share @ falling)
        through_zero = np.maximum((errors * share) @ falling / (share @ falling**2), 0.0)
        scale, floor = np.where(floor < 0, through_zero, scale), np.maximum(floor, 0.0)
        left = ((errors - floor[:, None] - scale[:, None] * falling) ** 2) @ share
        better = left < best
        best[better] = left[better]
        found[better] = np.stack([floor, scale, np.full_like(scale, power)], axis=1)[better]
    return found


def _interval(errors: Floats) -> Interval:
    low, high = np.quantile(1 - errors, [0.025, 0.975])
    return Interval(float(low), float(high))
