"""Small pictures as inline SVG: intervals under each other, and a reliability diagram. No scripts.

Lengths are pixels, values are 0..1 (differences too). Colours are the page's own, so that they
follow its theme. Every picture carries its text alternative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bakeoff.evidence import Interval
from bakeoff.evidence.calibration import Bin

WIDTH, LINE, FOOT, EDGE = 320.0, 26.0, 20.0, 10.0
SQUARE, LEFT, BELOW, TOP = 230.0, 34.0, 64.0, 8.0
HISTOGRAM = 26.0
MOST_WIDER = 3.0
CLEAR = 64.0
ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Line:
    """One line of a forest: its name, its interval, and the interval in words."""

    name: str
    interval: Interval | None
    words: str


@dataclass(frozen=True)
class Point:
    """A value (0..1) at a count, with its interval where it has one."""

    count: float
    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, 0 among them, over the width of a forest."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where `value` lies, kept inside."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)


def axis(intervals: Iterable[Interval | None], means: Iterable[float]) -> Axis:
    """Return an axis with round ends that shows 0, all differences and most of the intervals.

    An interval many times wider than the differences is cut there; `forest` puts an arrow.
    """
    known = [one for one in intervals if one]
    middles = list(means)
    ends = sorted(max(abs(one.low), abs(one.high)) for one in known)
    core = max([1e-3, ends[len(ends) // 2] if ends else 0.0, *map(abs, middles)])
    most = MOST_WIDER * core
    low = max(-most, min([0.0, *middles, *(one.low for one in known)]))
    high = min(most, max([0.0, *middles, *(one.high for one in known)]))
    wanted = max(high - low, 1e-3) / 6
    size = 10.0 ** math.floor(math.log10(wanted))
    unit = next(step * size for step in ROUND if step * size >= wanted * 0.999)
    low, high = (math.floor(low / unit + 1e-9) * unit, math.ceil(high / unit - 1e-9) * unit)
    return Axis(low, high if high > low else unit)


def forest(lines: Sequence[Line], mean: float, scale: Axis, said: str) -> Markup:
    """Draw each line's interval with the mean on it, on one axis, with a rule at 0."""
    height = LINE * len(lines) + FOOT
    parts: list[Markup] = []
    for number, line in enumerate(lines):
        parts += _line(line, mean, scale, number * LINE)
    zero = scale.place(0.0)
    parts.append(_text(zero, height - 4, "0", "middle"))
    for value, anchor in ((scale.low, "start"), (scale.high, "end")):
        if abs(scale.place(value) - zero) > CLEAR:
            unit = " points" if value == scale.high else ""
            parts.append(_text(scale.place(value), height - 4, signed(value, "g") + unit, anchor))
    return _picture("forest", WIDTH, height, parts, said)


def signed(value: float, form: str = ".2f") -> str:
    """Say a difference in points, always with its sign, and 0 without one."""
    said = format(100 * round(value, 9), form)
    if float(said) == 0:
        return said.lstrip("-")
    return said.replace("-", "−") if value < 0 else f"+{said}"


def reliability(bins: Sequence[Bin], said: str) -> Markup:
    """Draw accuracy against confidence with intervals, the diagonal, and how many lie where."""
    bottom = TOP + SQUARE
    most = max(each.count for each in bins)

    def across(share: float) -> float:
        return round(LEFT + share * SQUARE, 1)

    def up(share: float) -> float:
        return round(bottom - share * SQUARE, 1)

    parts = [_path("zero", f"M{across(0)} {up(0)}L{across(1)} {up(1)}")]
    for share in (0.0, 0.5, 1.0):
        parts += [
            _path("rail", f"M{across(0)} {up(share)}H{across(1)}"),
            _text(LEFT - 6, up(share) + 4, f"{100 * share:.0f}", "end"),
            _text(across(share), bottom + HISTOGRAM + 16, f"{100 * share:.0f}", "middle"),
        ]
    for each in bins:
        x, half = across(each.confidence), 0.4 * (each.high - each.low) * SQUARE
        tall = max(1.0, round(HISTOGRAM * each.count / most, 1))
        centre = across((each.low + each.high) / 2)
        parts += [
            _path("interval", f"M{x} {up(each.interval.low)}V{up(each.interval.high)}"),
            _circle(x, up(each.accuracy)),
            _path(
                "many", f"M{centre - half:.1f} {bottom + 2 + tall}v{-tall}h{2 * half:.1f}v{tall}z"
            ),
        ]
    middle = across(0.5)
    parts.append(_text(middle, bottom + BELOW - 6, "confidence, %", "middle"))
    width = LEFT + SQUARE + EDGE
    return _picture("reliability", width, bottom + BELOW, parts, said)


def rising(measured: Sequence[Point], curve: Sequence[Point], said: str) -> Markup:
    """Draw a fitted curve with its band, and what was measured, against counts from 0."""
    bounds = [(p.interval.low, p.interval.high) for p in curve if p.interval]
    values = [p.value for p in (*measured, *curve)]
    low = math.floor(20 * max(0.0, min(values + [low for low, _ in bounds]))) / 20
    high = math.ceil(20 * min(1.0, max(values + [high for _, high in bounds]))) / 20
    most, bottom, wide = curve[-1].count, TOP + SQUARE, WIDTH - LEFT - EDGE

    def at(count: float, value: float) -> str:
        up = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{LEFT + count / most * wide:.1f} {bottom - up * SQUARE:.1f}"

    parts = []
    for value in (low, (low + high) / 2, high):
        y = float(at(0, value).split()[1])
        parts += [
            _path("rail", f"M{LEFT} {y}H{LEFT + wide}"),
            _text(LEFT - 6, y + 4, f"{100 * value:g}", "end"),
        ]
    if bounds:
        above = [at(p.count, p.interval.high) for p in curve if p.interval]
        below = [at(p.count, p.interval.low) for p in reversed(curve) if p.interval]
        parts.append(_path("band", f"M{'L'.join(above + below)}z"))
    parts.append(_path("fitted", f"M{'L'.join(at(p.count, p.value) for p in curve)}"))
    for point in measured:
        x, y = map(float, at(point.count, point.value).split())
        parts += [_circle(x, y), _text(x, bottom + 16, f"{point.count:,.0f}", "middle")]
    middle = LEFT + wide / 2
    parts.append(_text(middle, bottom + 36, "training photographs a class", "middle"))
    return _picture("rising", WIDTH, bottom + 44, parts, said)


def _line(line: Line, mean: float, scale: Axis, top: float) -> list[Markup]:
    y = top + 19
    parts = [
        _text(EDGE, top + 11, line.name, "start"),
        _text(WIDTH - EDGE, top + 11, line.words, "end", "words"),
        _path("rail", f"M{EDGE} {y}H{WIDTH - EDGE}"),
        _path("zero", f"M{scale.place(0.0)} {y - 4}V{y + 6}"),
    ]
    if line.interval is None:
        return parts
    low, high = scale.place(line.interval.low), scale.place(line.interval.high)
    parts.append(_path("interval", f"M{low} {y}H{high}"))
    if line.interval.low < scale.low - 1e-9:
        parts.append(_path("beyond", f"M{low} {y - 4}L{low - 7} {y}L{low} {y + 4}z"))
    if line.interval.high > scale.high + 1e-9:
        parts.append(_path("beyond", f"M{high} {y - 4}L{high + 7} {y}L{high} {y + 4}z"))
    return [*parts, _circle(scale.place(mean), y)]


def _path(name: str, way: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(name, way)


def _circle(x: float, y: float) -> Markup:
    return Markup('<circle class="middle" cx="{}" cy="{}" r="3.5"/>').format(x, y)


def _text(x: float, y: float, text: str, anchor: str, name: str = "small") -> Markup:
    form = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')
    return form.format(name, x, y, anchor, text)


def _picture(name: str, width: float, height: float, parts: Iterable[Markup], said: str) -> Markup:
    form = Markup(
        '<svg class="{0}" role="img" aria-label="{1}" width="{2:.0f}" height="{3:.0f}" '
        'viewBox="0 0 {2:.0f} {3:.0f}">{4}</svg>'
    )
    return form.format(name, said, width, height, Markup("").join(parts))
