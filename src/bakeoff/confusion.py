"""What one variant's finished runs got wrong on test photographs, put together over its seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bakeoff import evaluate
from bakeoff.evaluate import Floats, Integers
from bakeoff.store import Predictions
from bakeoff.tables import TableRow


@dataclass(frozen=True)
class Confusion:
    """Counts (C, C) of true and predicted classes, summed over `runs` runs."""

    classes: tuple[str, ...]
    counts: Integers
    runs: int


@dataclass(frozen=True)
class Mistake:
    """One photograph taken for one wrong class: in how many runs, and how surely (mean)."""

    image: str
    label: int
    predicted: int
    runs: int
    confidence: float


def predictions(row: TableRow) -> list[Predictions]:
    """Read the test predictions of a row's finished runs."""
    return [score.run.predictions("test") for score in row.scores if score.state == "finished"]


def pooled(row: TableRow, read: list[Predictions] | None = None) -> Confusion | None:
    """Sum the confusion matrices of a row's finished runs; None where there is none."""
    found = predictions(row) if read is None else read
    if not found:
        return None
    num_classes = found[0].logits.shape[1]
    counts = sum(
        evaluate.confusion(np.argmax(one.logits, axis=1), one.labels, num_classes) for one in found
    )
    names = next(score.run.run["classes"] for score in row.scores if score.state == "finished")
    return Confusion(tuple(names), np.asarray(counts), len(found))


def mistakes(read: list[Predictions]) -> list[Mistake]:
    """List every (photograph, wrong class), the surest first among those wrong in most runs."""
    sums: dict[tuple[str, int, int], list[float]] = {}
    for one in read:
        said: Integers = np.argmax(one.logits, axis=1)
        sure: Floats = evaluate.softmax(one.logits).max(axis=1)
        wrong = np.flatnonzero(said != one.labels)
        keys = zip(*(part[wrong].tolist() for part in (one.ids, one.labels, said)), strict=True)
        for key, confidence in zip(keys, sure[wrong].tolist(), strict=True):
            sums.setdefault(key, []).append(confidence)
    found = [Mistake(*key, len(sure), sum(sure) / len(sure)) for key, sure in sums.items()]
    return sorted(found, key=lambda one: (-one.runs * one.confidence, one.image, one.predicted))
