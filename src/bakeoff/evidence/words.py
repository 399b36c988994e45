"""The sentence beside a verdict: why, and what would settle it, in points (hundredths)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bakeoff.evidence.paired import LEAST_SEEDS, Interval, Paired, smallest_p


@dataclass(frozen=True)
class Told:
    """What the sentence is made from."""

    base: str
    variant: str
    family: int
    least: int
    difference: Paired | None
    holm_p: float | None
    crossed: Interval | None
    photographs: int | None
    visible: float | None
    one_point: int | None


def explain(told: Told, word: str, limit: Literal["runs", "seeds", "photographs"] | None) -> str:
    """Say in one or two sentences why the verdict is `word`.

    The word "significant" is for verdicts on six seeds or more.
    """
    if limit == "runs" or told.difference is None:
        return f"no seed has finished in both {told.base} and {told.variant}"
    if limit is None:
        return _settled(told, told.difference, word)
    if limit == "photographs":
        return _few_photographs(told, told.difference)
    if told.difference.count < told.least:
        return _few_seeds(told, told.difference.count)
    return _open(told, told.difference)


def points(value: float) -> str:
    """Write a difference in points, signed: `+1.25`."""
    return f"{100 * value:+.2f}".replace("-", "−")


def interval_text(interval: Interval) -> str:
    """Write an interval in points: `+0.10 to +2.40`."""
    return f"{points(interval.low)} to {points(interval.high)}"


def _settled(told: Told, difference: Paired, word: str) -> str:
    assert difference.interval is not None
    said = (
        f"{word}: significant over {difference.count} seeds "
        f"(Holm p {_p(told.holm_p)}, 95 % interval {interval_text(difference.interval)} points)"
    )
    if told.crossed is not None:
        return f"{said}; with other photographs of the kind {interval_text(told.crossed)}"
    return said


def _few_photographs(told: Told, difference: Paired) -> str:
    said = f"the {difference.count} seeds agree (Holm p {_p(told.holm_p)})"
    if told.crossed is None or told.photographs is None:
        return f"{said}, but there are too few test photographs to say it of others"
    return (
        f"{said}, but {told.photographs} test photographs are too few: with others of the kind the "
        f"difference is {interval_text(told.crossed)} points. More photographs would settle it, "
        "more seeds would not"
    )


def _few_seeds(told: Told, count: int) -> str:
    seeds = f"{count} shared seed{'s' if count > 1 else ''}"
    changes = f"{told.family} change{'s' if told.family > 1 else ''} in the table"
    needed = f"{told.least} seeds are needed with {changes}"
    if count == 1:
        return f"one shared seed shows no spread; {needed}"
    if count < LEAST_SEEDS:
        return (
            f"{seeds} cannot give a p below {_p(smallest_p(count))}, and 0.05 is the bar; {needed}"
        )
    smallest = min(1.0, told.family * smallest_p(count))
    return f"{seeds} cannot give a Holm p below {_p(smallest)}, and 0.05 is the bar; {needed}"


def _open(told: Told, difference: Paired) -> str:
    said = f"Holm p {_p(told.holm_p)} over {difference.count} seeds"
    if told.visible is None:
        return said
    said += f"; {100 * told.visible:.2f} points is the smallest difference they would likely show"
    if told.one_point is not None and told.one_point > difference.count:
        said += f", one point would take about {told.one_point} seeds"
    return said


def _p(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"
