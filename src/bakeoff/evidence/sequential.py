"""The rule behind `--until-decided`: paired seeds come one at a time, and the error rate is kept.

A group-sequential sign-flip test. Had the change done nothing, each difference could as well have
had the other sign; given the sizes seen so far, the chance of stopping can then be counted over the
sign patterns, whatever the differences' distribution. At each look a pattern "decides" if its sum
is among the largest of those that have not decided before, as many as the spending function allows
(alpha spending: Lan & DeMets 1983; for randomisation tests: Plamadeala & Rosenberger 2012). The
spending depends on the number of seeds alone and never reaches alpha, so one may stop at any time
and go on later. Whatever decides here also has a fixed-n sign-flip p of at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bakeoff.evidence.paired import LEAST_SEEDS, Floats, smallest_p

Direction = Literal["helped", "hurt"]

FIRST_SHARE = 0.625
"""Share of alpha spent at the first look: just what six seeds need, 2/64 of 0.05."""

KEPT = 0.85
"""Of what is left of alpha, this share is kept for later at each further look."""

PATTERNS = 2**16


@dataclass(frozen=True)
class Decision:
    """Where a comparison stands. `more`: paired seeds to run before looking again, 0 to stop.

    `seeds`: how many differences decided it, or were looked at; `level`: the share of alpha that
    the comparison was tested at in the end; `first_look`: the seeds before which nothing can be
    decided.
    """

    decided: Direction | None
    more: int
    seeds: int
    level: float
    first_look: int


def next_step(
    differences: Sequence[float], maximum: int, alpha: float = 0.05, *, patterns: int = PATTERNS
) -> Decision:
    """Say whether `differences` (variant minus base, in the order of the seeds) decide, or go on.

    `maximum` seeds are never exceeded; where they could not decide at all, `more` is 0 at once. Up
    to `patterns` sign patterns (and their mirror images) are counted, which is exact up to 17
    seeds; beyond, each goes on with a sign drawn by a fixed seed, and the observed one is counted
    in (Phipson & Smyth 2010).
    """
    first = first_look(alpha)
    if not all(map(math.isfinite, differences)):
        raise ValueError(f"differences: {differences!r} is not allowed; finite numbers only")
    decided_at = _first_crossing(np.asarray(differences, dtype=np.float64), alpha, patterns)
    if decided_at is not None:
        said: Direction = "helped" if math.fsum(differences[:decided_at]) > 0 else "hurt"
        return Decision(said, 0, decided_at, alpha, first)
    return _undecided(len(differences), maximum, alpha)


def next_steps(
    table: Mapping[str, Sequence[float]],
    maximum: int,
    alpha: float = 0.05,
    *,
    patterns: int = PATTERNS,
) -> dict[str, Decision]:
    """Apply the rule to every variant of a table, keeping `alpha` for the table as a whole.

    Holm's step-down for group-sequential tests (Ye, Li, Liu & Yao 2013): with k variants left each
    is tested at alpha / k; what it decides leaves, and the rest share alpha anew. A variant must
    also have crossed at every milder level, which makes the step-down a closed test.
    """
    left = dict(table)
    decided: dict[str, Decision] = {}
    while left:
        steps = {
            name: _at_share(each, maximum, alpha, len(left), patterns)
            for name, each in left.items()
        }
        new = {name: step for name, step in steps.items() if step.decided}
        if not new:
            decided.update(steps)
            break
        decided.update(new)
        left = {name: each for name, each in left.items() if name not in new}
    return {name: decided[name] for name in table}


def first_look(alpha: float = 0.05) -> int:
    """Return the number of seeds before which nothing can be decided: at least six."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: {alpha} is not allowed; between 0 and 1")
    look = LEAST_SEEDS
    while smallest_p(look) > FIRST_SHARE * alpha * (1 + 1e-9):
        look += 1
    return look


def spent(alpha: float, seeds: int) -> float:
    """Return how much of `alpha` may have been spent once `seeds` are there."""
    look = seeds - first_look(alpha)
    return 0.0 if look < 0 else alpha * (1 - (1 - FIRST_SHARE) * KEPT**look)


def _at_share(
    differences: Sequence[float], maximum: int, alpha: float, share: int, patterns: int
) -> Decision:
    """Test at alpha / share and at every milder level; all must have decided the same."""
    last = next_step(differences, maximum, alpha / share, patterns=patterns)
    for milder in range(1, share):
        if last.decided is None:
            break
        step = next_step(differences, maximum, alpha / milder, patterns=patterns)
        if step.decided != last.decided:
            return _undecided(len(differences), maximum, alpha / share)
    return last


def _undecided(count: int, maximum: int, alpha: float) -> Decision:
    first = first_look(alpha)
    more = first - count if count < first else 1
    return Decision(None, more if count + more <= maximum else 0, count, alpha, first)


def _first_crossing(differences: Floats, alpha: float, patterns: int) -> int | None:
    """Return after how many seeds the sum first is among the patterns allowed to decide."""
    random = np.random.default_rng(0)
    sums = np.zeros(0)
    undecided = 1.0  # the share of all patterns that `sums` stands for
    total, scale, drawn = 0.0, 0.0, False
    for count, difference in enumerate(differences, start=1):
        total, scale = total + difference, scale + abs(difference)
        drawn = drawn or 2 * sums.size > patterns
        sums = _drawn(sums, abs(difference), random) if drawn else _both(sums, abs(difference))
        size = sums.size + drawn  # the observed pattern is among all, but not among drawn ones
        allowed = int((spent(alpha, count) - (1 - undecided)) / undecided * size * (1 + 1e-9))
        if allowed < 1 or scale == 0:
            continue
        rank = min(allowed - drawn + 1, sums.size)
        bar = float(np.sort(np.abs(sums))[-rank]) + 1e-9 * scale
        if abs(total) > bar:
            return count
        sums = sums[np.abs(sums) <= bar]
        undecided *= sums.size / size
    return None


def _both(sums: Floats, size: float) -> Floats:
    """Give every sum either sign of `size`; the first is plus, mirror images being left out."""
    return np.concatenate([sums + size, sums - size]) if sums.size else np.array([size])


def _drawn(sums: Floats, size: float, random: np.random.Generator) -> Floats:
    """Give every sum one sign of `size`, by chance."""
    return sums + size * (2.0 * random.integers(0, 2, sums.size) - 1.0)
