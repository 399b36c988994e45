"""The page: one self-contained report.html from a study folder, at any time. No torch, no network.

A page is a list of sections in reading order. `SECTIONS` are ours; others (maps, explanations,
evidence) hand theirs in as `extra`, and they stand before the recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bakeoff import render, store
from bakeoff.colours import Look, looks
from bakeoff.files import aside
from bakeoff.page import facts, strips, words
from bakeoff.page.blob import Thumbnails, blob, script_text
from bakeoff.study import Study
from bakeoff.tables import TableRow, Verdict, summarise

__all__ = ["SECTIONS", "Section", "Thumbnails", "build"]

SCRIPTS = ("common", "sort", "plot", "curves", "cost", "confusion", "panels", "theme")


@dataclass(frozen=True)
class Section:
    """A part of the page; `html` is trusted: whoever makes it escapes what it shows."""

    id: str
    title: str
    lead: str
    html: Markup


@dataclass(frozen=True)
class Told:
    """What the templates are given."""

    study: Study
    folder: Path
    rows: list[TableRow]
    look: dict[tuple[str, str], Look]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One of our own sections: its template and whether there is anything to show."""

    id: str
    title: str
    lead: str
    has: Callable[[Told], bool]


def _begun(told: Told) -> bool:
    return any(score.epochs for row in told.rows for score in row.scores)


def _finished(told: Told) -> bool:
    return any(row.n for row in told.rows)


SECTIONS = (
    Part("variants", "Every variant", "Sort by any column: press its heading.", lambda _: True),
    Part(
        "curves",
        "Learning curves",
        "Means over the runs; bands are ± 1 standard deviation.",
        _begun,
    ),
    Part("mistakes", "What it gets wrong", "On the test photographs, summed over runs.", _finished),
    Part("cost", "What it cost", "Time, memory and what was trained, one run each.", _finished),
    Part(
        "recipes",
        "Recipes",
        "What each variant changes, and everything it was made with.",
        lambda _: True,
    ),
    Part("photographs", "Photographs", "Where they come from and how they were split.", _finished),
    Part(
        "repeat", "Repeat it", "The command, the study file, versions and hardware.", lambda _: True
    ),
)


def build(
    folder: Path,
    out: Path | None = None,
    *,
    rows: Sequence[TableRow] | None = None,
    verdicts: Sequence[Verdict] = (),
    thumbnails: Thumbnails | None = None,
    extra: Sequence[Section] = (),
) -> Path:
    """Write the page of the study in `folder` to `out` (`<folder>/report.html`); return its path.

    `rows` spares reading the runs again. `thumbnails` gives the image bytes (JPEG, PNG, WebP, GIF)
    of a photograph by its id, or None. Raises RecipeError where there is no study.
    """
    study = store.read_study(folder)
    found = list(rows) if rows is not None else summarise(store.read_runs(folder), verdicts)
    look = looks((row.table, row.variant, row.is_base) for row in found)
    told = Told(study, folder, found, look, facts.class_map(found))
    content = blob(found, look, told.classes, thumbnails)
    text = (
        _environment()
        .get_template("page.html")
        .render(
            **_names(told),
            sections=_sections(told, extra),
            style=Markup(_own("style.css")),
            plotly=Markup(get_plotlyjs()),
            scripts=Markup("\n".join(_own(f"js/{name}.js") for name in SCRIPTS)),
            data=Markup(script_text(content)),
        )
    )
    path = out or folder / "report.html"
    with aside(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
    return path


def _sections(told: Told, extra: Sequence[Section]) -> list[Section]:
    """Render our sections that have something to show, with `extra` before the recipes."""
    environment = _environment()
    made: list[Section] = []
    for part in SECTIONS:
        if part.id == "recipes":
            made += extra
        if part.has(told):
            html = environment.get_template(f"{part.id}.html").render(**_names(told))
            made.append(Section(part.id, part.title, part.lead, Markup(html)))
    return made


def _names(told: Told) -> dict[str, Any]:
    return {**vars(told), "render": render, "words": words, "facts": facts, "strips": strips}


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bakeoff.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _own(name: str) -> str:
    return files("bakeoff.page").joinpath(name).read_text(encoding="utf-8")
