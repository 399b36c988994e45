"""What the page says, as HTML; names of classes, files and models are escaped. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bakeoff.explain.tiles import address
from bakeoff.models.config import Trust
from bakeoff.predict import Row

TEMPLATES = "templates"


def html(name: str, **values: Any) -> str:
    """Render the template `name` with `values`; no line breaks before a percent sign."""
    return _environment().get_template(f"{name}.html").render(**values).replace(" %", "\u00a0%")


def style() -> str:
    """Return the style sheet of the page, with the colours of the report's."""
    own = files("bakeoff.serving").joinpath("style.css").read_text(encoding="utf-8")
    return files("bakeoff.page").joinpath("colours.css").read_text(encoding="utf-8") + own


def of_answer(row: Row, promise: float, threshold: float, trust: Trust | None) -> str:
    """Say what the probability of the likeliest class is worth; `promise` is 0 where none is made.

    `threshold` is the least probability of an answer that keeps it.
    """
    share = row.top[0][1]
    sure = f"{100 * share:.1f} % sure"
    if trust is None:
        return f"{sure} by its own account; it was never calibrated."
    if not promise:
        return f"{sure}, calibrated on validation photographs."
    if not row.answered:
        return (
            f"{row.top[0][0]} is the likeliest, with {100 * share:.1f} %. So that at most "
            f"{100 * promise:g} % of the answers are wrong, one needs {100 * threshold:.1f} %."
        )
    return (
        f"{sure}. Of the answers given from {100 * threshold:.1f} % on, at most "
        f"{100 * promise:g} % are wrong, with {100 * trust.confidence:g} % confidence."
    )


def of_many(rows: Sequence[Row]) -> str:
    """Count the answers to many photographs."""
    unread = sum(bool(row.error) for row in rows)
    unsure = sum(not row.answered for row in rows)
    parts = [f"{len(rows) - unread - unsure} of {len(rows)} answered"]
    parts += [f"{unsure} not sure enough"] if unsure else []
    parts += [f"{unread} not read"] if unread else []
    return ", ".join(parts) + "."


def of_nearest(done: int, total: int, found: int) -> str:
    """Say among which training photographs the nearest were looked for."""
    if done < total:
        return (
            f"The nearest among {done:,} of {total:,} training photographs; the net is still "
            "looking at the others."
        )
    return (
        f"The {found} nearest of {total:,} training photographs. The figure is the cosine between "
        "the features that enter the head: 1 for the same direction."
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bakeoff.serving", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["address"] = address
    return environment
