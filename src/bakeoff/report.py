"""From a study folder to its report: the page, the tables as files, the figures. No training.

<study folder>/report.html            all in one file
<study folder>/report/table.md …      the table as Markdown, CSV, LaTeX and JSON lines
<study folder>/report/figures/        a table's curves and effects, accuracy against cost
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff import paper, render, store
from bakeoff.data import audit_view
from bakeoff.data.findings import read as read_audit
from bakeoff.data.thumbnails import thumbnails
from bakeoff.explain.pictured import pictured
from bakeoff.explain.section import section as learned
from bakeoff.files import write_text
from bakeoff.judged import rows_of
from bakeoff.store import RunFiles
from bakeoff.tables import TableRow

if TYPE_CHECKING:
    from bakeoff.page import Extra, Thumbnails

__all__ = ["Paths", "rows_of", "write"]

WRITERS = {
    "md": render.markdown,
    "csv": render.csv_text,
    "tex": render.latex,
    "json": render.json_lines,
}

EXTRA: tuple[Callable[[Sequence[RunFiles]], Extra | None], ...] = (learned,)
"""What other rooms add to the page: each gives a section from the runs, or None."""


@dataclass(frozen=True)
class Paths:
    """Where a report lies."""

    page: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def write(folder: Path, *, figures: Path | None = None) -> Paths:
    """Write the report of the study in `folder`, at any time; what was there is replaced.

    With `figures`, every figure goes into that folder; else the few that say most go beside the
    tables. Raises RecipeError where there is no study.
    """
    from bakeoff import figures as drawing
    from bakeoff import page

    found = rows_of(folder)
    place = folder / "report"
    tables = []
    for suffix, writer in WRITERS.items():
        tables.append(place / f"table.{suffix}")
        write_text(tables[-1], writer(found))
    if figures is None:
        for old in (place / "figures").glob("*.*"):
            old.unlink()
    drawn = drawing.draw(found, figures or place / "figures", every=figures is not None)
    pictures = thumbnails(store.read_study(folder).data)
    runs = [score.run for row in found for score in row.scores]
    if figures is not None:
        drawn += _reliability(found, figures) + pictured(runs, figures)
    more = [section for make in EXTRA if (section := make(runs))]
    if checked := _checked(folder, pictures):
        more.append(checked)
    path = page.build(folder, rows=found, thumbnails=pictures, extra=more)
    return Paths(path, tuple(tables), tuple(drawn))


def _reliability(rows: Sequence[TableRow], folder: Path) -> list[Path]:
    """Draw the best variant's reliability, as trained and with the temperature."""
    from bakeoff import figures as drawing
    from bakeoff.page.confident import confidence

    found = confidence(rows)
    if found is None:
        return []
    said = f"{found.row.table}/{found.row.variant}, seed {found.seed}; test photographs"
    parts = [(diagram.name, diagram.bins) for diagram in found.diagrams]
    return paper.save(drawing.reliability_figure(parts, said), folder, "reliability")


def _checked(folder: Path, pictures: Thumbnails) -> Extra | None:
    """Make the section on what `bakeoff check` found in the photographs, where it was kept."""
    from bakeoff.page import Section

    path = folder / "check.json"
    if not path.is_file():
        return None
    audit = read_audit(json.loads(path.read_text(encoding="utf-8")))
    html = audit_view.fragment(audit, pictures)
    lead = audit_view.lead(audit)
    return Section("check", "Checked photographs", lead, html, before="photographs")
