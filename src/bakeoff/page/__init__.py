"""The page: one self-contained report.html from a study folder, at any time. No torch, no network.

A page is a list of sections in reading order. `SECTIONS` are ours; others (maps, explanations, an
audit of the photographs) hand theirs in as `extra`, each naming the section it stands before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bakeoff import render, store
from bakeoff.colours import Look, looks
from bakeoff.files import aside
from bakeoff.judged import rows_of
from bakeoff.page import confident, costs, facts, growing, replayed, strips, sure, suspects, words
from bakeoff.page.blob import Thumbnails, blob, script_text
from bakeoff.replication import words as replay
from bakeoff.study import Study
from bakeoff.tables import TableRow

__all__ = ["SECTIONS", "Extra", "Section", "Thumbnails", "build"]

SCRIPTS = ("common", "sort", "plot", "curves", "printed", "cost", "confusion", "panels", "theme")


@dataclass(frozen=True)
class Section:
    """A part of the page; `html` is trusted: whoever makes it escapes what it shows.

    An extra one stands before the section of the id `before`, or last where there is none.
    """

    id: str
    title: str
    lead: str
    html: Markup
    before: str = "recipes"


class Extra(Protocol):
    """A section of another room's: as `Section`, which may say `before` which one it stands."""

    @property
    def id(self) -> str:
        """Its anchor."""

    @property
    def title(self) -> str:
        """Its heading."""

    @property
    def lead(self) -> str:
        """A line below it."""

    @property
    def html(self) -> Markup:
        """Trusted."""


@dataclass(frozen=True)
class Told:
    """What the templates are given."""

    study: Study
    folder: Path
    rows: list[TableRow]
    look: dict[tuple[str, str], Look]
    classes: tuple[str, ...]
    thumbnails: Thumbnails | None


@dataclass(frozen=True)
class Part:
    """One of our own sections: `make` finds what it shows; without anything it is left out."""

    id: str
    title: str
    lead: str
    make: Callable[[Told], object]


def _begun(told: Told) -> bool:
    return any(score.epochs for row in told.rows for score in row.scores)


def _finished(told: Told) -> bool:
    return any(row.n for row in told.rows)


def _always(_: Told) -> bool:
    return True


SECTIONS = (
    Part("variants", "Every variant", "Sort by any column: press its heading.", _always),
    Part(
        "sure",
        "How sure is this?",
        "What each verdict rests on, and what would settle the open ones.",
        lambda told: sure.judged(told.rows, told.folder),
    ),
    Part(
        "replayed",
        "The report, replayed",
        "What it prints beside what was run here.",
        lambda told: replayed.replayed(told.study, told.rows),
    ),
    Part(
        "curves",
        "Learning curves",
        "Means over the runs; bands are ± 1 standard deviation.",
        _begun,
    ),
    Part(
        "growth",
        "What more photographs would bring",
        "From runs on shares of the training photographs.",
        lambda told: growing.growing(told.rows),
    ),
    Part("mistakes", "What it gets wrong", "On the test photographs, summed over runs.", _finished),
    Part(
        "suspects",
        "Likely label errors",
        "Photographs that the runs, none of which trained on them, take for another class.",
        lambda told: suspects.suspects(told.rows, told.thumbnails),
    ),
    Part(
        "confidence",
        "Confidence",
        "Whether the best variant knows when it is right.",
        lambda told: confident.confidence(told.rows),
    ),
    Part("cost", "What it cost", "Time, memory and what was trained, one run each.", _finished),
    Part(
        "recipes",
        "Recipes",
        "What each variant changes, and everything it was made with.",
        _always,
    ),
    Part("photographs", "Photographs", "Where they come from and how they were split.", _finished),
    Part("repeat", "Repeat it", "The command, the study file, versions and hardware.", _always),
)


def build(
    folder: Path,
    out: Path | None = None,
    *,
    rows: Sequence[TableRow] | None = None,
    thumbnails: Thumbnails | None = None,
    extra: Sequence[Extra] = (),
) -> Path:
    """Write the page of the study in `folder` to `out` (`<folder>/report.html`); return its path.

    `rows` spares reading the runs again. `thumbnails` gives the image bytes (JPEG, PNG, WebP, GIF)
    of a photograph by its id, or None. Raises RecipeError where there is no study.
    """
    study = store.read_study(folder)
    found = list(rows) if rows is not None else rows_of(folder)
    look = looks((row.table, row.variant, row.is_base) for row in found)
    pictures = cache(thumbnails) if thumbnails else None
    told = Told(study, folder, found, look, facts.class_map(found), pictures)
    content = blob(found, look, told.classes, pictures)
    text = (
        _environment()
        .get_template("page.html")
        .render(
            **_names(told),
            sections=_sections(told, extra),
            style=Markup(_own("colours.css") + _own("style.css")),
            plotly=Markup(get_plotlyjs()),
            scripts=Markup("\n".join(_own(f"js/{name}.js") for name in SCRIPTS)),
            data=Markup(script_text(content)),
        )
    )
    path = out or folder / "report.html"
    with aside(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
    return path


def _sections(told: Told, extra: Sequence[Extra]) -> list[Extra]:
    """Render our sections that have something to show, each with the extra ones before it."""
    environment = _environment()
    places = [(getattr(section, "before", "recipes"), section) for section in extra]
    made: list[Extra] = []
    for part in SECTIONS:
        made += [section for before, section in places if before == part.id]
        if found := part.make(told):
            template = environment.get_template(f"{part.id}.html")
            html = template.render(**_names(told), made=found)
            made.append(Section(part.id, part.title, part.lead, Markup(html)))
    known = {part.id for part in SECTIONS}
    return made + [section for before, section in places if before not in known]


def _names(told: Told) -> dict[str, Any]:
    modules = (confident, costs, facts, render, strips, suspects, words)
    named = {module.__name__.rpartition(".")[2]: module for module in modules}
    return {**vars(told), **named, "replay": replay}


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
