"""What the document and the page both say of a replay, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bakeoff.evidence import Judgement
from bakeoff.render import DASH, duration, loss, percent, points
from bakeoff.replication.printed import Figures
from bakeoff.replication.replay import Settled
from bakeoff.tables import TableRow

ASKED = "not run here"


def printed(figures: Figures) -> str:
    """Say a printed accuracy and loss: `37.8 / 2.059`."""
    return f"{f'{100 * figures.accuracy:.2f}'.removesuffix('0')} / {loss(figures.loss)}"


def ours(row: TableRow | None, split: str) -> str:
    """Say our accuracy and loss of `split`, with the spread over runs on test: `37.2 / 2.07`."""
    if row is None:
        return DASH
    spread = row.test_accuracy_spread if split == "test" else None
    accuracy = percent(getattr(row, f"{split}_accuracy"), spread)
    return f"{accuracy} / {loss(getattr(row, f'{split}_loss'))}"


def finding(judged: Judgement) -> str:
    """Say what became of a claim: a claim on rows that have not run is not one that failed."""
    ran = any(difference is not None for difference in judged.differences)
    return judged.finding if ran else ASKED


def tally(judgements: Sequence[Judgement]) -> str:
    """Say how many claims became what: `3 supported, 1 contradicted, 36 not run here`."""
    counts = Counter(map(finding, judgements))
    order = ("supported", "contradicted", "cannot tell", ASKED)
    return ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


def settled(found: Settled) -> str:
    """Say what the runs say of a doubt: both rows, their difference, its verdict; '' for none."""
    base, row = found.base, found.row
    if base is None or row is None:
        return ""
    said = f"{_row(base)}; {_row(row)}; {points(row.difference)} points"
    if row.verdict:
        word, why = row.verdict.verdict, row.verdict.explanation.rstrip(".")
        said += f". {why if why.startswith(word) else f'{word}: {why}'}"
    return said


def _row(row: TableRow) -> str:
    accuracy = percent(row.test_accuracy, row.test_accuracy_spread)
    return f"{row.variant} {accuracy} % in {duration(row.seconds)} (n = {row.n})"
