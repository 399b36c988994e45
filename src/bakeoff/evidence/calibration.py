"""Does the network's confidence mean what it says? Temperature, calibration error, reliability.

Labels are (N,) whole numbers, logits (N, C), probabilities (N, C).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from bakeoff.evidence.paired import Floats, Interval

BINS = 15
COOLEST, HOTTEST = 0.05, 20.0

Labels = npt.NDArray[np.int64]
Logits = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error over `bins` bins of equal width, with a 95 % interval.

    `chance`: what a perfectly calibrated net would show on as many photographs, on average.
    """

    value: float
    interval: Interval
    chance: float
    bins: int


@dataclass(frozen=True)
class Calibration:
    """The temperature fitted on validation, and the error on test before and after it."""

    temperature: float
    before: CalibrationError
    after: CalibrationError


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram; `interval` is of the accuracy (Clopper-Pearson)."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: Interval


def calibrate(
    validation_logits: Logits, validation_labels: Labels, test_logits: Logits, test_labels: Labels
) -> Calibration:
    """Fit the temperature on validation and measure the calibration error on test."""
    temperature = fit_temperature(validation_logits, validation_labels)
    return Calibration(
        temperature=temperature,
        before=calibration_error(probabilities(test_logits), test_labels),
        after=calibration_error(probabilities(test_logits, temperature), test_labels),
    )


def probabilities(logits: Logits, temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature), (N, C)."""
    return np.asarray(special.softmax(logits.astype(np.float64) / temperature, axis=1))


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Return the temperature of the least cross-entropy (Guo et al. 2017), kept in 0.05..20.

    The cross-entropy is convex in 1 / temperature, so its slope has at most one root.
    """
    scores = _checked(logits, labels)
    true = scores[np.arange(labels.size), labels]

    def slope(sharpness: float) -> float:
        weights = special.softmax(scores * sharpness, axis=1)
        return float(((weights * scores).sum(axis=1) - true).mean())

    blunt, sharp = 1 / HOTTEST, 1 / COOLEST
    if slope(blunt) >= 0:
        return HOTTEST
    if slope(sharp) <= 0:
        return COOLEST
    return 1 / float(optimize.brentq(slope, blunt, sharp, xtol=1e-10))


def calibration_error(
    probabilities: Floats, labels: Labels, *, bins: int = BINS, draws: int = 500, seed: int = 0
) -> CalibrationError:
    """Return the expected calibration error (Naeini et al. 2015) of the first choice.

    The interval is the basic bootstrap over photographs (Davison & Hinkley 1997), cut at 0:
    resampling makes the error look larger, and the basic interval takes that off again. It begins
    at 0 where a perfectly calibrated net would show as much (consistency resampling: Bröcker &
    Smith 2007).
    """
    shares = _checked(probabilities, labels)
    confidence, correct = shares.max(axis=1), shares.argmax(axis=1) == labels
    places, size = _places(confidence, bins), labels.size
    gaps = correct - confidence
    value = _error(places, gaps, bins)
    random = np.random.default_rng(seed)
    again, perfect = np.empty(draws), np.empty(draws)
    for draw in range(draws):
        chosen = random.integers(0, size, size)
        again[draw] = _error(places[chosen], gaps[chosen], bins)
        perfect[draw] = _error(places, (random.random(size) < confidence) - confidence, bins)
    high, low = (2 * value - np.quantile(again, [0.025, 0.975])).tolist()
    if value <= np.quantile(perfect, 0.975):
        low = 0.0
    interval = Interval(max(0.0, low), max(0.0, high))
    return CalibrationError(value, interval, float(perfect.mean()), bins)


def reliability(probabilities: Floats, labels: Labels, *, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the bars of the reliability diagram; empty bins are left out."""
    confidence = _checked(probabilities, labels).max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    places = _places(confidence, bins)
    return tuple(
        _bin(place, bins, confidence[places == place], correct[places == place])
        for place in np.unique(places)
    )


def binomial_interval(hits: int, count: int) -> Interval:
    """Return the exact 95 % interval of a share (Clopper & Pearson 1934)."""
    interval = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
    return Interval(float(interval.low), float(interval.high))


def _bin(place: int, bins: int, confidence: Floats, correct: npt.NDArray[np.bool_]) -> Bin:
    hits = int(correct.sum())
    return Bin(
        low=place / bins,
        high=(place + 1) / bins,
        count=correct.size,
        confidence=float(confidence.mean()),
        accuracy=hits / correct.size,
        interval=binomial_interval(hits, correct.size),
    )


def _error(places: Labels, gaps: Floats, bins: int) -> float:
    """Sum the bins' mean gaps (correctness minus confidence), weighted by their photographs."""
    return float(np.abs(np.bincount(places, gaps, bins)).sum() / gaps.size)


def _places(confidence: Floats, bins: int) -> Labels:
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def _checked(scores: Logits, labels: Labels) -> Floats:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or labels.size == 0:
        raise ValueError(
            f"labels: shape {labels.shape} is not allowed beside {scores.shape}; "
            "one label a photograph, at least one photograph"
        )
    return scores.astype(np.float64)
