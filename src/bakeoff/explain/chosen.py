"""Which photographs are explained: chosen by rule from saved predictions, not by hand. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Kind = Literal["wrong", "uncertain", "right"]
KINDS: dict[Kind, str] = {
    "wrong": "most confidently wrong",
    "uncertain": "most uncertain",
    "right": "median right",
}


@dataclass(frozen=True)
class Choice:
    """A row of the predictions, why it was chosen, and what the net said of it."""

    row: int
    kind: Kind
    label: int
    predicted: int
    confidence: float


def choose(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[Choice, ...]:
    """Choose up to three rows of each class from logits (N, C) and labels (N,).

    Of the photographs of a class: the wrong one with the highest confidence, the one with the
    highest entropy that is not chosen yet, and the right one with the (lower) median confidence
    that is not chosen yet. Of equals the first. What a class does not have is left out.
    """
    logs = log_softmax(logits.astype(np.float64), axis=1)
    shares = np.exp(logs)
    predicted = shares.argmax(axis=1)
    confidence = shares.max(axis=1)
    entropy = -(shares * logs).sum(axis=1)
    return tuple(
        Choice(int(row), kind, int(label), int(predicted[row]), float(confidence[row]))
        for label in np.unique(labels)
        for kind, row in _of_class(
            np.flatnonzero(labels == label), predicted == labels, confidence, entropy
        )
    )


def _of_class(
    rows: NDArray[np.int64],
    right: NDArray[np.bool_],
    confidence: NDArray[np.float64],
    entropy: NDArray[np.float64],
) -> Iterator[tuple[Kind, int]]:
    taken: set[int] = set()
    wrong = rows[~right[rows]]
    if len(wrong):
        taken.add(int(wrong[confidence[wrong].argmax()]))
        yield "wrong", int(wrong[confidence[wrong].argmax()])
    rest = np.array([row for row in rows if row not in taken], dtype=np.int64)
    if len(rest):
        uncertain = int(rest[entropy[rest].argmax()])
        taken.add(uncertain)
        yield "uncertain", uncertain
    good = np.array([row for row in rows if right[row] and row not in taken], dtype=np.int64)
    if len(good):
        ordered = good[np.argsort(confidence[good], kind="stable")]
        yield "right", int(ordered[(len(ordered) - 1) // 2])
