"""Whether the runs support a claim, contradict it, or cannot tell.

Each claim is judged alone at 5 %, by the test that the table's verdicts use and with at least six
shared seeds: of twenty false ones, one may pass by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from bakeoff.evidence.claims import Claim, Measure
from bakeoff.evidence.paired import LEAST_SEEDS, Paired, paired
from bakeoff.evidence.reading import Scored, Series, redrawn_per_train, series, shared_seeds
from bakeoff.fields import nearest
from bakeoff.store import RunFiles, Split

Finding = Literal["supported", "contradicted", "cannot tell"]

ALPHA = 0.05


@dataclass(frozen=True)
class Judgement:
    """What the runs say to a claim; `differences` are variant minus each of `than`."""

    claim: Claim
    finding: Finding
    why: str
    differences: tuple[Paired | None, ...]


def judge(
    claims: Sequence[Claim], runs: Sequence[RunFiles], split: Split = "test"
) -> list[Judgement]:
    """Judge every claim, in order.

    A claim over several rows is supported when each of its parts is (intersection-union test:
    Berger 1982), and contradicted when one part is, at 5 % shared among the parts.
    """
    rows = {row.name: row for row in series(runs, split)}
    return [_judge(claim, rows, split) for claim in claims]


def equivalence_p(difference: Paired, margin: float) -> float:
    """Return the p of two one-sided t tests (Schuirmann 1987): is the mean within ±margin?"""
    return _tail(margin - abs(difference.mean), difference)


def _judge(claim: Claim, rows: Mapping[str, Series], split: Split) -> Judgement:
    try:
        variant = _row(claim.variant, rows, table=None)
        others = [_row(name, rows, table=variant.table) for name in claim.than]
    except LookupError as error:
        return Judgement(claim, "cannot tell", str(error), (None,) * len(claim.than))
    parts = [_part(claim, variant, other, ALPHA / len(others), split) for other in others]
    findings = [finding for _, finding, _ in parts]
    finding: Finding = "cannot tell"
    if "contradicted" in findings:
        finding = "contradicted"
    elif set(findings) == {"supported"}:
        finding = "supported"
    differences, _, reasons = zip(*parts, strict=True)
    return Judgement(claim, finding, "; ".join(reasons), differences)


def _part(
    claim: Claim, variant: Series, other: Series, alpha: float, split: Split
) -> tuple[Paired | None, Finding, str]:
    """Judge the claim against one other row; contradicting it takes p <= alpha."""
    seeds = shared_seeds(variant, other)
    if not seeds:
        return None, "cannot tell", f"no seed has finished in both {variant.name} and {other.name}"
    values = [
        _value(variant.runs[seed], claim.measure) - _value(other.runs[seed], claim.measure)
        for seed in seeds
    ]
    difference = paired(values, test_per_train=redrawn_per_train(other, split))
    said = f"{variant.name} minus {other.name}: {_amount(difference.mean, claim.measure)}"
    said += f" over {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    if difference.count < LEAST_SEEDS or difference.p is None:
        return difference, "cannot tell", f"{said}, {LEAST_SEEDS} are needed"
    if claim.margin is not None:
        finding = _sameness(difference, claim.margin, alpha)
        return difference, finding, f"{said}, {_amount(claim.margin, claim.measure)} allowed"
    ahead = (difference.mean > 0) == (claim.relation == "higher")
    return difference, _direction(difference.p, alpha, ahead=ahead), f"{said}, p {difference.p:.2g}"


def _direction(p: float, alpha: float, *, ahead: bool) -> Finding:
    if p > (ALPHA if ahead else alpha):
        return "cannot tell"
    return "supported" if ahead else "contradicted"


def _sameness(difference: Paired, margin: float, alpha: float) -> Finding:
    if equivalence_p(difference, margin) <= ALPHA:
        return "supported"
    beyond = _tail(abs(difference.mean) - margin, difference)
    return "contradicted" if beyond <= alpha / 2 else "cannot tell"


def _tail(lead: float, difference: Paired) -> float:
    """Return the chance of so large a lead if there were none, by the t test of `difference`."""
    if difference.interval is None:
        return 1.0
    quantile = float(stats.t.ppf(0.975, difference.count - 1))
    error = (difference.interval.high - difference.mean) / quantile
    if error == 0:
        return 0.0 if lead > 0 else 1.0
    return float(stats.t.sf(lead / error, difference.count - 1))


def _row(name: str, rows: Mapping[str, Series], table: str | None) -> Series:
    """Find `table/variant`, or a variant in `table`, or the only one of that name."""
    if name in rows:
        return rows[name]
    if f"{table}/{name}" in rows:
        return rows[f"{table}/{name}"]
    found = [row for row in rows.values() if row.variant == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise LookupError(
            f"{name} stands in more than one table: {', '.join(row.name for row in found)}"
        )
    raise LookupError(
        f"there are no runs of {name}{nearest(name, [row.variant for row in rows.values()])}"
    )


def _value(run: Scored, measure: Measure) -> float:
    if measure == "accuracy":
        return run.accuracy
    if measure == "loss":
        return run.loss
    if measure == "gap":
        return float(run.files.run["train_accuracy"]) - run.accuracy
    return math.log(float(run.files.run["seconds"]))


def _amount(value: float, measure: Measure) -> str:
    """Write a difference: points, nats, or (times are compared as ratios) a factor."""
    if measure == "seconds":
        return f"{math.exp(value):.2f} times the seconds"
    if measure == "loss":
        return f"{value:+.3f} loss"
    return f"{100 * value:+.2f} points of {measure}"
