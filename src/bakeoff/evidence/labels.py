"""Likely label errors, from predictions on photographs that no run had trained on.

A photograph is suspect in one run when the run believes another class at least as firmly as it
usually believes that class's own photographs (confident learning: Northcutt, Jiang & Chuang
2021). Runs with other seeds then agree or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bakeoff.evidence.calibration import Labels, probabilities
from bakeoff.evidence.paired import Floats
from bakeoff.store import Predictions


@dataclass(frozen=True)
class Suspect:
    """A photograph whose label is likely wrong.

    `agreement`: the share of the runs that saw it and suspect it for `suggested`, the class most of
    them name. `self_confidence` (probability of the given label) and `margin` (that minus the
    largest other one, -1..1) are means over those that saw it.
    """

    id: str
    label: int
    suggested: int
    agreement: float
    runs: int
    self_confidence: float
    margin: float


def likely_errors(runs: Sequence[Predictions], *, agreement: float = 0.2) -> tuple[Suspect, ...]:
    """Rank the suspects, most agreed first, then by margin; `agreement` is the least share.

    `runs` hold out-of-sample predictions (validation or test), one a seed; where the split varies,
    each photograph is judged by the runs that hold it.
    """
    votes: dict[str, list[int | None]] = {}
    scores: dict[str, list[tuple[float, float]]] = {}
    labels: dict[str, int] = {}
    for run in runs:
        suspected, own, margin = _judged(probabilities(run.logits), run.labels)
        for place, name in enumerate(run.ids.tolist()):
            labels[name] = int(run.labels[place])
            votes.setdefault(name, []).append(suspected[place])
            scores.setdefault(name, []).append((float(own[place]), float(margin[place])))
    found = (_suspect(name, labels[name], votes[name], scores[name]) for name in labels)
    kept = [each for each in found if each is not None and each.agreement >= agreement]
    return tuple(sorted(kept, key=lambda each: (-each.agreement, each.margin, each.id)))


def _judged(shares: Floats, labels: Labels) -> tuple[list[int | None], Floats, Floats]:
    """Return each photograph's suspected class or None, its self-confidence and its margin."""
    rows = np.arange(labels.size)
    own = shares[rows, labels]
    others = shares.copy()
    others[rows, labels] = -np.inf
    margin = own - others.max(axis=1)
    believed = np.where(shares >= _usual_belief(own, labels, shares.shape[1]), shares, -np.inf)
    named = believed.argmax(axis=1)
    suspect = np.isfinite(believed.max(axis=1)) & (named != labels)
    return [int(n) if s else None for n, s in zip(named, suspect, strict=True)], own, margin


def _usual_belief(own: Floats, labels: Labels, classes: int) -> npt.NDArray[np.float64]:
    """Return the mean self-confidence of each class, (C,); infinite for a class without any."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def _suspect(
    name: str, label: int, votes: list[int | None], scores: list[tuple[float, float]]
) -> Suspect | None:
    named = Counter(vote for vote in votes if vote is not None)
    if not named:
        return None
    suggested = min(named, key=lambda vote: (-named[vote], vote))
    own, margin = np.sort(np.array(scores), axis=0).mean(axis=0).tolist()
    share = named[suggested] / len(votes)
    return Suspect(name, label, suggested, share, len(votes), own, margin)
