"""How sure is this? The noise floor, and for each change what its verdict rests on. No decisions.

Everything comes from `evidence` and, where `--until-decided` ran, from decisions.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bakeoff.evidence import Interval, Verdict, noise_floor
from bakeoff.evidence.paired import LEAST_SEEDS, smallest_p
from bakeoff.page.svg import Axis, Line, axis, forest, signed
from bakeoff.page.words import counted
from bakeoff.render import by_table
from bakeoff.tables import TableRow

DASH = "–"


@dataclass(frozen=True)
class Change:
    """One verdict, drawn and in words; `facts` are named numbers, `plot` may be None."""

    row: TableRow
    verdict: Verdict
    plot: Markup | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Judged:
    """A table: its verdicts counted, its noise floor, why some words are not used, its changes.

    `waiting` are the changes without a shared seed: each one's name, and its missing runs.
    """

    table: str
    tally: str
    noise: str
    reserve: str
    missing: tuple[str, ...]
    changes: tuple[Change, ...]
    waiting: tuple[tuple[str, str], ...]


def judged(rows: Sequence[TableRow], folder: Path) -> tuple[Judged, ...]:
    """Return what each table's verdicts rest on; nothing for a table without a verdict."""
    decisions = _decisions(folder)
    found = (_judged(table, group, decisions) for table, group in by_table(rows))
    return tuple(each for each in found if each)


def _judged(
    table: str, rows: Sequence[TableRow], decisions: Mapping[str, Any] | None
) -> Judged | None:
    pairs = [(row, row.verdict) for row in rows if isinstance(row.verdict, Verdict)]
    verdicts = [verdict for _, verdict in pairs]
    base = next((row for row in rows if row.is_base), None)
    if not verdicts or base is None:
        return None
    scale = axis(
        (one for verdict in verdicts for one in _intervals(verdict)),
        (verdict.difference or 0.0 for verdict in verdicts),
    )
    own = f"{table}/{base.variant}/"
    missing = [name for verdict in verdicts for name in verdict.missing if name.startswith(own)]
    return Judged(
        table=table,
        tally=_tally(verdicts),
        noise=_noise(base, max(verdict.n for verdict in verdicts)),
        reserve=_reserve(verdicts),
        missing=tuple(dict.fromkeys(missing)),
        changes=tuple(
            _change(row, verdict, scale, own, decisions) for row, verdict in pairs if verdict.n
        ),
        waiting=tuple(
            (row.variant, _missing(verdict, own)) for row, verdict in pairs if not verdict.n
        ),
    )


def _change(
    row: TableRow, verdict: Verdict, scale: Axis, base: str, decisions: Mapping[str, Any] | None
) -> Change:
    facts = {
        "Difference": _mean(verdict),
        "Smallest visible": _visible(verdict),
        "Seeds for one point": _seeds(verdict),
        "Photographs gained, lost": _exchanged(verdict),
        "Without leaked ones": _clean(verdict),
        "Missing": _missing(verdict, base),
        "Until decided": _until(decisions, f"{row.table}/{row.variant}"),
    }
    plot = _plot(row, verdict, scale)
    return Change(row, verdict, plot, tuple((name, said) for name, said in facts.items() if said))


def _missing(verdict: Verdict, base: str) -> str:
    return ", ".join(name for name in verdict.missing if not name.startswith(base))


def _intervals(verdict: Verdict) -> tuple[Interval | None, Interval | None, Interval | None]:
    """Return the intervals over seeds, over photographs, and over both."""
    pictured = verdict.pictured
    return (
        verdict.paired.interval if verdict.paired else None,
        pictured.photographs if pictured else None,
        pictured.crossed.interval if pictured and pictured.crossed else None,
    )


def _plot(row: TableRow, verdict: Verdict, scale: Axis) -> Markup | None:
    if verdict.difference is None:
        return None
    names = ("other seeds", "other photographs", "both")
    lines = [
        Line(name, interval, _between(interval) if interval else _no(verdict))
        for name, interval in zip(names, _intervals(verdict), strict=True)
    ]
    said = "; ".join(f"{line.name} {line.words}" for line in lines)
    alternative = (
        f"{row.variant} against {verdict.base}: {signed(verdict.difference)} points; "
        f"95 % intervals: {said}"
    )
    return forest(lines, verdict.difference, scale, alternative)


def _no(verdict: Verdict) -> str:
    return "not known from one seed" if verdict.n == 1 else "not known: each seed has its own test"


def _noise(base: TableRow, seeds: int) -> str:
    """Say how far two runs of the base alone differ by chance."""
    known = [score.test_accuracy for score in base.scores if score.test_accuracy is not None]
    floor = noise_floor(known)
    if floor is None:
        return (
            f"Noise floor: not known from {counted(len(known), 'run')} of {base.variant}. "
            "The option --noise-floor 5 measures it."
        )
    if floor.deviation == 0:
        return (
            f"Noise floor: {counted(floor.count, 'run')} of {base.variant} did not differ at all."
        )
    interval = floor.deviation_interval
    said = (
        f"Differences under {100 * floor.single:.1f} points between two single runs mean nothing "
        f"here: {counted(floor.count, 'run')} of {base.variant} alone spread by "
        f"{100 * floor.deviation:.2f} points (95 % interval {100 * interval.low:.2f} "
        f"to {100 * interval.high:.2f})"
    )
    if seeds < 2:
        return f"{said}."
    return f"{said}. Between two means of {seeds} runs it is {100 * floor.of_means(seeds):.1f}."


def _reserve(verdicts: Sequence[Verdict]) -> str:
    """Say why a table with too few seeds cannot decide, and how many would be enough."""
    fewest = min((verdict.n for verdict in verdicts if verdict.n), default=None)
    least = verdicts[0].least_seeds
    if fewest is None or fewest >= least:
        return ""
    more = f"{least} seeds are the fewest for {counted(len(verdicts), 'change')}"
    if fewest >= LEAST_SEEDS:
        return f"With {fewest} shared seeds no change here can be decided: {more}."
    smallest = "" if fewest < 2 else f", {smallest_p(fewest):.3g} with {fewest}"
    return (
        "No difference here is called significant, however large: over n seeds the test's p cannot "
        f"go below 2/2ⁿ{smallest}, and only from {LEAST_SEEDS} seeds on is that under 0.05. {more}."
    )


def _tally(verdicts: Sequence[Verdict]) -> str:
    counts: Counter[str] = Counter(verdict.verdict for verdict in verdicts)
    order = ("helped", "hurt", "can't tell yet")
    return ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


def _mean(verdict: Verdict) -> str:
    if verdict.difference is None:
        return ""
    return f"{signed(verdict.difference)} points, {counted(verdict.n, 'seed')}"


def _visible(verdict: Verdict) -> str:
    found = verdict.smallest_visible
    return "" if found is None else f"{100 * found:.2f} points"


def _seeds(verdict: Verdict) -> str:
    if verdict.smallest_visible is None:
        return ""
    found = verdict.seeds_for_one_point
    return "more than 10,000" if found is None else f"about {found:,}"


def _exchanged(verdict: Verdict) -> str:
    pictured = verdict.pictured
    if pictured is None or not pictured.mcnemar:
        return ""
    count = len(pictured.mcnemar)
    gained = sum(each.gained for each in pictured.mcnemar) / count
    lost = sum(each.lost for each in pictured.mcnemar) / count
    return f"{gained:,.0f}, {lost:,.0f} of {pictured.count:,}" + (" a seed" * (count > 1))


def _clean(verdict: Verdict) -> str:
    pictured = verdict.pictured
    if pictured is None or pictured.clean_mean is None:
        return ""
    between = f" ({_between(pictured.clean.interval)})" if pictured.clean else ""
    return f"{signed(pictured.clean_mean)} points{between}, {pictured.leaked:,} left out"


def _decisions(folder: Path) -> Mapping[str, Any] | None:
    """Read what `--until-decided` left; None where the file cannot be read."""
    path = folder / "decisions.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _until(decisions: Mapping[str, Any] | None, name: str) -> str:
    if decisions is None:
        return "decisions.json cannot be read"
    found = decisions.get(name)
    if not isinstance(found, dict):
        return ""
    seeds = counted(int(found.get("seeds", 0)), "seed")
    if found.get("decided"):
        return f"{found['decided']}, decided after {seeds}"
    if found.get("more"):
        return f"undecided after {seeds}, more were to come"
    return f"undecided after {seeds}, and stopped"


def _between(interval: Interval) -> str:
    return f"{signed(interval.low)} to {signed(interval.high)}"
