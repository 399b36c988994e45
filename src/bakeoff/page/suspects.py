"""Likely label errors, from what the best variant's runs said of photographs they never trained on.

`evidence.labels` ranks them; here they get their photographs and words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.evidence import Suspect, likely_errors
from bakeoff.page.blob import Thumbnails, address
from bakeoff.page.words import counted, leader
from bakeoff.render import percent
from bakeoff.store import Split
from bakeoff.tables import TableRow

MOST_SHOWN, FIRST_SHOWN = 48, 14
AGREEMENT = 0.5


@dataclass(frozen=True)
class Shown:
    """A suspect, the split it stands in, and its photograph as a data address, or ''."""

    suspect: Suspect
    split: Split
    picture: str


@dataclass(frozen=True)
class Suspects:
    """The most agreed suspects (`shown` of `count`) of `row`, judged over `runs` runs."""

    row: TableRow
    runs: int
    count: int
    shown: tuple[Shown, ...]

    @property
    def pictured(self) -> bool:
        """Whether any photograph is at hand."""
        return any(each.picture for each in self.shown)


def suspects(rows: Sequence[TableRow], thumbnails: Thumbnails | None) -> Suspects | None:
    """Rank the photographs of validation and test whose label at least half of the runs doubt."""
    row = leader(rows)
    if row is None:
        return None
    found: list[tuple[Suspect, Split]] = []
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        read = [score.run.predictions(split) for score in row.scores if score.state == "finished"]
        held = [each for each in read if each.labels.size]
        found += [(each, split) for each in likely_errors(held, agreement=AGREEMENT)]
    found.sort(key=lambda pair: (-pair[0].agreement, pair[0].margin, pair[0].id))
    shown = (
        Shown(suspect, split, _picture(suspect, thumbnails))
        for suspect, split in found[:MOST_SHOWN]
    )
    return Suspects(row, row.n, len(found), tuple(shown))


def in_words(found: Suspects) -> str:
    """Say how many there are, and how far to trust the list."""
    if not found.count:
        return "None: no photograph of validation or test is firmly believed to be another class."
    whose = f"at least half of the {found.runs} runs of {found.row.variant} firmly believe"
    if found.runs == 1:
        whose = f"the one run of {found.row.variant} firmly believes"
    photographs = counted(found.count, "photograph")
    said = f"{photographs} of validation and test that {whose} to be of another class"
    if len(found.shown) < found.count:
        said += f"; the {len(found.shown)} likeliest are shown"
    right = percent(found.row.test_accuracy)
    said += (
        f". The net is right in {right} %: the weaker it is, the more of these are its mistakes."
    )
    if found.runs == 1:
        said += " Other seeds might not agree."
    return said


def agreed(suspect: Suspect) -> str:
    """Say how many runs agree and what they give the label."""
    runs = round(suspect.agreement * suspect.runs)
    own = f"{100 * suspect.self_confidence:.0f} % for its label"
    return f"{runs} of {counted(suspect.runs, 'run')}, {own}"


def _picture(suspect: Suspect, thumbnails: Thumbnails | None) -> str:
    content = thumbnails(suspect.id) if thumbnails else None
    return address(content) if content else ""
