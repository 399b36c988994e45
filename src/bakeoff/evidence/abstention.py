"""Abstention by promise: answer only where the share of errors among the answers stays below it.

The threshold comes from validation alone; coverage and error are then measured on test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bakeoff.evidence.calibration import Labels, binomial_interval
from bakeoff.evidence.paired import Floats, Interval

STARTS = 4
STEPS = 100


@dataclass(frozen=True)
class Accepted:
    """What happens at the threshold; `error` and `interval` are None where nothing is accepted."""

    count: int
    accepted: int
    errors: int

    @property
    def coverage(self) -> float:
        """The share of photographs that get an answer."""
        return self.accepted / self.count if self.count else 0.0

    @property
    def error(self) -> float | None:
        """The share of wrong answers among those given."""
        return self.errors / self.accepted if self.accepted else None

    @property
    def interval(self) -> Interval | None:
        """The exact 95 % interval of `error`."""
        return binomial_interval(self.errors, self.accepted) if self.accepted else None


@dataclass(frozen=True)
class Promise:
    """A threshold that keeps the promise, and what it does on test; `classes` by true class.

    `threshold` is None, and nothing is accepted, where validation cannot support the promise.
    """

    error: float
    confidence: float
    threshold: float | None
    test: Accepted
    classes: tuple[Accepted, ...]


def abstain(
    validation: tuple[Floats, Labels],
    test: tuple[Floats, Labels],
    *,
    error: float = 0.05,
    confidence: float = 0.95,
) -> Promise:
    """Choose the threshold on `validation` (probabilities, labels) and apply it to `test`."""
    threshold = choose_threshold(*_answers(*validation), error=error, confidence=confidence)
    certainty, correct = _answers(*test)
    taken = certainty >= (math.inf if threshold is None else threshold)
    labels = test[1]
    classes = tuple(
        _accepted(taken[labels == place], correct[labels == place])
        for place in range(test[0].shape[1])
    )
    return Promise(error, confidence, threshold, _accepted(taken, correct), classes)


def choose_threshold(
    certainty: Floats, correct: npt.NDArray[np.bool_], *, error: float, confidence: float
) -> float | None:
    """Return the lowest threshold whose error among the accepted is proven to be at most `error`.

    Thresholds are walked from strict to loose in an order fixed before the labels are seen; each is
    tested by the exact binomial test (the Clopper-Pearson bound), and a walk ends at its first
    failure. Four walks with different beginnings share 1 - confidence, so that one early error
    does not end all (fixed-sequence testing with several starts: Angelopoulos et al. 2021, "Learn
    then test"; the promise itself: Geifman & El-Yaniv 2017). With probability `confidence` over
    validation sets, the promise holds for new photographs of the kind.
    """
    for name, share in (("error", error), ("confidence", confidence)):
        if not 0 < share < 1:
            raise ValueError(f"{name}: {share} is not allowed; between 0 and 1")
    level = (1 - confidence) / STARTS
    order = np.argsort(-certainty, kind="stable")
    sure, wrong = certainty[order], np.cumsum(~correct[order])
    counts = _counts(sure, error, level)
    if counts.size == 0:
        return None
    passed = stats.binom.cdf(wrong[counts - 1], counts, error) <= level
    starts = [round(start * counts.size / STARTS) for start in range(STARTS)]
    ends = [_walk(passed, start) for start in starts]
    last = max((end for end in ends if end is not None), default=None)
    return None if last is None else float(sure[counts[last] - 1])


def _counts(sure: Floats, error: float, level: float) -> Labels:
    """Return how many are accepted at each threshold of the walk, strict to loose, ties whole.

    It begins where an errorless record could pass at all.
    """
    least = math.ceil(math.log(level) / math.log1p(-error))
    if least > sure.size:
        return np.empty(0, np.int64)
    wanted = np.unique(np.geomspace(least, sure.size, STEPS).astype(np.int64))
    return np.unique(np.searchsorted(-sure, -sure[wanted - 1], side="right")).astype(np.int64)


def _walk(passed: npt.NDArray[np.bool_], start: int) -> int | None:
    failures = np.flatnonzero(~passed[start:])
    end = start + int(failures[0]) if failures.size else passed.size
    return end - 1 if end > start else None


def _answers(probabilities: Floats, labels: Labels) -> tuple[Floats, npt.NDArray[np.bool_]]:
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def _accepted(taken: npt.NDArray[np.bool_], correct: npt.NDArray[np.bool_]) -> Accepted:
    return Accepted(taken.size, int(taken.sum()), int((taken & ~correct).sum()))
