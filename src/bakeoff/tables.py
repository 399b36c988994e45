"""One row a variant, from its run folders: what was measured, over how many runs, at what cost.

Puts scores together; printing the rows is the work of `render`.
Accuracies and differences are 0..1 here, losses in nats, times in seconds a run. Every run that
the study asks for is in its row's counts, whatever became of it.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bakeoff.recipe import in_words
from bakeoff.scores import Score, difference, name_of, score
from bakeoff.store import RunFiles

Value = TypeVar("Value", bool, int, float)
STATES = ("finished", "running", "interrupted", "failed", "pending")


class Verdict(Protocol):
    """What can be said of one change; `evidence` makes them, rows and the page show them.

    `difference`, `low` and `high` (the 95 % interval) are in accuracy, 0..1.
    """

    @property
    def table(self) -> str:
        """The table of the change."""

    @property
    def variant(self) -> str:
        """The variant that makes it."""

    @property
    def n(self) -> int:
        """Over how many shared seeds."""

    @property
    def difference(self) -> float | None:
        """Mean paired difference to the base."""

    @property
    def low(self) -> float | None:
        """Lower end of its 95 % interval."""

    @property
    def high(self) -> float | None:
        """Upper end of its 95 % interval."""

    @property
    def p(self) -> float | None:
        """Of the exact test, where there is one."""

    @property
    def verdict(self) -> str:
        """In a word or two: helped, hurt, can't tell yet."""

    @property
    def explanation(self) -> str:
        """In a sentence: why."""


@dataclass(frozen=True)
class TableRow:
    """One variant over its finished runs (`n` of `runs`); means, and sample standard deviations.

    With `so_far` no run is finished and validation, train, epochs and seconds are those of the
    runs under way. `difference` is the mean over the `difference_n` seeds that the base has too.
    """

    table: str
    variant: str
    changes: str
    n: int
    test_accuracy: float | None
    test_accuracy_spread: float | None
    test_loss: float | None
    validation_accuracy: float | None
    validation_loss: float | None
    train_accuracy: float | None
    train_loss: float | None
    epochs: float | None
    seconds: float | None
    state: str
    runs: int
    counts: dict[str, int]
    so_far: bool
    is_base: bool
    base: str
    difference: float | None
    difference_n: int
    validation_accuracy_spread: float | None
    test_images: int | None
    seconds_total: float
    peak_megabytes: float | None
    parameters: int | None
    trainable_parameters: int | None
    images_per_second: float | None
    frozen_unchanged: bool | None
    test_reads: int
    notes: tuple[str, ...]
    scores: tuple[Score, ...]
    verdict: Verdict | None = None

    @property
    def progress(self) -> str:
        """How many of how many, in words: `3`, `2 of 3, 1 running`, `0 of 3, 3 pending`."""
        if self.n == self.runs:
            return str(self.n)
        others = (f"{count} {state}" for state, count in self.counts.items() if state != "finished")
        return f"{self.n} of {self.runs}, {', '.join(others)}"


def summarise(runs: Iterable[RunFiles], verdicts: Sequence[Verdict] = ()) -> list[TableRow]:
    """Return a row for every variant among `runs`, in their order; a table's base is its first."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for run in runs:
        groups.setdefault((run.table, run.variant), []).append(score(run))
    said = {(verdict.table, verdict.variant): verdict for verdict in verdicts}
    bases = {table: scores for (table, _), scores in groups.items() if not scores[0].run.change}
    return [
        _row(scores, bases.get(table, []), said.get((table, variant)))
        for (table, variant), scores in groups.items()
    ]


def _row(scores: list[Score], base: list[Score], verdict: Verdict | None) -> TableRow:
    run = scores[0].run
    finished = [score for score in scores if score.state == "finished"]
    begun = finished or [score for score in scores if score.epochs]
    counted = Counter(score.state for score in scores)
    counts = {state: counted[state] for state in STATES if counted[state]}
    away, shared = (None, 0) if not run.change else difference(finished, base)
    tests = _values(finished, "test_accuracy")
    return TableRow(
        table=run.table,
        variant=run.variant,
        changes=in_words(run.change),
        n=len(finished),
        test_accuracy=_mean(tests),
        test_accuracy_spread=_spread(tests),
        test_loss=_mean(_values(finished, "test_loss")),
        validation_accuracy=_mean(_values(begun, "validation_accuracy")),
        validation_loss=_mean(_values(begun, "validation_loss")),
        train_accuracy=_mean(_values(begun, "train_accuracy")),
        train_loss=_mean(_values(begun, "train_loss")),
        epochs=_mean([float(score.epochs) for score in begun]),
        seconds=_mean(_values(begun, "seconds")),
        state=_state(counts),
        runs=len(scores),
        counts=counts,
        so_far=bool(begun) and not finished,
        is_base=not run.change,
        base=base[0].run.variant if base else "",
        difference=away,
        difference_n=shared,
        validation_accuracy_spread=_spread(_values(begun, "validation_accuracy")),
        test_images=max((score.test_images or 0 for score in finished), default=None),
        seconds_total=sum(_values(scores, "seconds")),
        peak_megabytes=_most(finished, "peak_megabytes", float),
        parameters=_most(finished, "parameters", int),
        trainable_parameters=_most(finished, "trainable_parameters", int),
        images_per_second=_mean(_kept(finished, "images_per_second", float)),
        frozen_unchanged=_least(finished, "frozen_unchanged", bool),
        test_reads=sum(_kept(scores, "test_reads", int)),
        notes=tuple(f"{name_of(s.run)}: {s.note}" for s in scores if s.note),
        scores=tuple(scores),
        verdict=verdict,
    )


def _state(counts: dict[str, int]) -> str:
    """Say one word for a row: its runs' state, `running` while one runs, else `partial`."""
    if len(counts) == 1:
        return next(iter(counts))
    if "running" in counts:
        return "running"
    return "partial" if "finished" in counts else next(iter(counts))


def _values(scores: Iterable[Score], name: str) -> list[float]:
    return [float(value) for score in scores if (value := getattr(score, name)) is not None]


def _kept(scores: Iterable[Score], name: str, kind: Callable[[Any], Value]) -> list[Value]:
    return [kind(value) for score in scores if (value := score.run.run.get(name)) is not None]


def _most(scores: Iterable[Score], name: str, kind: Callable[[Any], Value]) -> Value | None:
    return max(_kept(scores, name, kind), default=None)


def _least(scores: Iterable[Score], name: str, kind: Callable[[Any], Value]) -> Value | None:
    return min(_kept(scores, name, kind), default=None)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for fewer than two values, or one not finite."""
    if len(values) < 2:
        return None
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
