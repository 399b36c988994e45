"""The learning curve drawn: accuracy against photographs a class, one picture a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bakeoff.growth import MORE, Growth, growths
from bakeoff.page.svg import Point, rising
from bakeoff.tables import TableRow

STEPS = 40


@dataclass(frozen=True)
class Drawn:
    """A table's learning curve with its picture."""

    growth: Growth
    picture: Markup


def growing(rows: Sequence[TableRow]) -> tuple[Drawn, ...]:
    """Return the learning curves of `rows`; empty where no table has one."""
    return tuple(Drawn(growth, _picture(growth)) for growth in growths(rows))


def _picture(growth: Growth) -> Markup:
    """Draw the curve from the smallest size to what is foretold."""
    first, last = growth.sizes[0].per_class, growth.curve.most + MORE
    places = [first + (last - first) * step / STEPS for step in range(STEPS + 1)]
    curve = [
        Point(place, growth.curve.accuracy(place), growth.curve.interval(place)) for place in places
    ]
    measured = [Point(size.per_class, size.mean, None) for size in growth.sizes]
    return rising(measured, curve, growth.in_words())
