"""Does the best variant's confidence mean what it says? Temperature, calibration, abstention.

The best variant is the one of the answer, chosen on validation; of its runs the one that is best
there. Temperature and threshold come from validation, everything else is measured on test.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bakeoff.evaluate import top_k
from bakeoff.evidence import Calibration, Promise, abstain, calibrate, reliability
from bakeoff.evidence.calibration import Bin, CalibrationError, fit_temperature, probabilities
from bakeoff.page import svg
from bakeoff.page.words import leader
from bakeoff.render import percent
from bakeoff.scores import Score
from bakeoff.store import Predictions
from bakeoff.tables import TableRow

PROMISED = 0.05
LEAST_CLASSES = 11
FEWEST = 86
"""Validation photographs without an error that the promise takes at least."""


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram: its name, its picture, its bars for those who want the numbers."""

    name: str
    picture: Markup
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Confidence:
    """What the page says of the best variant's best run, and of its other seeds."""

    row: TableRow
    seed: int
    found: Calibration
    temperatures: tuple[float, ...]
    diagrams: tuple[Diagram, ...]
    promise: Promise
    top5: tuple[float, float | None] | None


def confidence(rows: Sequence[TableRow]) -> Confidence | None:
    """Measure the best variant; None before one is finished, or where its logits cannot say."""
    row = leader(rows)
    if row is None:
        return None
    scores = [score for score in row.scores if score.state == "finished"]
    chosen = max(scores, key=lambda score: (score.validation_accuracy or 0.0, -score.run.seed))
    held, test = (chosen.run.predictions(split) for split in ("validation", "test"))
    if not (_usable(held) and _usable(test)):
        return None
    found = calibrate(held.logits, held.labels, test.logits, test.labels)
    before, after = (probabilities(test.logits, degree) for degree in (1.0, found.temperature))
    promise = abstain(
        (probabilities(held.logits), held.labels), (before, test.labels), error=PROMISED
    )
    diagrams = (
        _diagram("As trained", reliability(before, test.labels)),
        _diagram("With the temperature", reliability(after, test.labels)),
    )
    others = _temperatures(scores)
    return Confidence(row, chosen.run.seed, found, others, diagrams, promise, _top5(scores))


def in_words(found: Confidence) -> str:
    """Say the temperature and what it does."""
    degree = found.found.temperature
    many = len(found.temperatures)
    said = f"Temperature {degree:.2f}"
    if many > 1:
        low, high = min(found.temperatures), max(found.temperatures)
        said += f" ({low:.2f} to {high:.2f} over its {many} seeds)"
    if abs(degree - 1) < 0.05:
        return f"{said}: on validation it was as sure as it should be."
    return f"{said}: on validation it was too {'sure' if degree > 1 else 'modest'}."


def error_said(error: CalibrationError) -> str:
    """Say a calibration error with its interval, in points."""
    low, high = (f"{100 * end:.1f}" for end in (error.interval.low, error.interval.high))
    return f"{100 * error.value:.1f} points ({low} to {high})"


def promise_said(promise: Promise) -> str:
    """Say what the promise costs on test, or why it cannot be made."""
    asked = f"at most {100 * promise.error:.0f} % errors among the answers it gives"
    if promise.threshold is None:
        return (
            f"A promise of {asked} cannot be supported by the validation photographs, so it would "
            f"answer nothing. It takes at least {FEWEST} of them that are answered without error."
        )
    test = promise.test
    said = (
        f"For {asked}, answer where it is at least {_floor(promise.threshold)} % sure: on test "
        f"that answers {percent(test.coverage)} % ({test.accepted:,} of {test.count:,})"
    )
    if test.error is None or test.interval is None:
        return f"{said}."
    low, high = percent(test.interval.low), percent(test.interval.high)
    return f"{said}, of which {percent(test.error)} % are wrong ({low} to {high})."


def _floor(threshold: float) -> str:
    """Say a threshold in %, rounded down, so that what is as sure as printed is accepted."""
    return f"{math.floor(1e4 * threshold) / 100:.2f}"


def _diagram(name: str, bins: tuple[Bin, ...]) -> Diagram:
    said = "; ".join(
        f"{100 * each.confidence:.0f} % sure, {100 * each.accuracy:.0f} % right, {each.count:,}"
        for each in bins
    )
    return Diagram(name, svg.reliability(bins, f"Reliability, {name}: {said}"), bins)


def _temperatures(scores: Sequence[Score]) -> tuple[float, ...]:
    read = [score.run.predictions("validation") for score in scores]
    return tuple(fit_temperature(each.logits, each.labels) for each in read if _usable(each))


def _top5(scores: Sequence[Score]) -> tuple[float, float | None] | None:
    """Return the mean share of labels among the first five, and its spread over seeds."""
    read = [score.run.predictions("test") for score in scores]
    if read[0].logits.shape[1] < LEAST_CLASSES:
        return None
    shares = [top_k(each.logits, each.labels, 5) for each in read]
    return statistics.fmean(shares), statistics.stdev(shares) if len(shares) > 1 else None


def _usable(found: Predictions) -> bool:
    return found.labels.size > 0 and bool(np.isfinite(found.logits).all())
