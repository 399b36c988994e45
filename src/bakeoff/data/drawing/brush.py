"""Drawing in a dish's own frame: positions are complex numbers, 1 is the dish's radius."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

Colour = tuple[int, ...]  # red, green, blue, and how opaque if not wholly
Points = NDArray[np.inexact[Any]]  # complex numbers


@dataclass(frozen=True)
class Brush:
    """A frame to draw in: where its 0 lies, how long its 1 is, how it is turned and tilted."""

    draw: ImageDraw.ImageDraw
    centre: complex  # pixels
    radius: float  # pixels
    turn: complex = 1 + 0j  # of length 1
    tilt: float = 1.0  # height of a circle over its width
    ground: Colour = (0, 0, 0)  # what shows through a hole in the food

    def at(self, place: complex) -> complex:
        """Where a place of this frame lies in pixels."""
        turned = place * self.turn * self.radius
        return self.centre + complex(turned.real, turned.imag * self.tilt)

    def within(self, place: complex, radius: float, angle: float = 0.0) -> Brush:
        """Give a frame inside this one."""
        turn = self.turn * complex(math.cos(angle), math.sin(angle))
        return replace(self, centre=self.at(place), radius=self.radius * radius, turn=turn)

    def disc(self, place: complex, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        self.draw.ellipse(self._box(place, radius), fill=colour)

    def ring(self, place: complex, radius: float, colour: Colour, width: float) -> None:
        """Draw a circle whose line lies inside the radius."""
        self.draw.ellipse(
            self._box(place, radius), outline=colour, width=max(1, round(width * self.radius))
        )

    def shape(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        self.draw.polygon(self._pixels(points), fill=colour)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        """Draw a line through points."""
        self.draw.line(self._pixels(points), fill=colour, width=max(1, round(width * self.radius)))

    def _box(self, place: complex, radius: float) -> tuple[float, float, float, float]:
        centre, wide = self.at(place), radius * self.radius
        high = wide * self.tilt
        return centre.real - wide, centre.imag - high, centre.real + wide, centre.imag + high

    def _pixels(self, points: Points) -> list[float]:
        turned = points * (self.turn * self.radius)
        flat = np.empty(2 * len(points))
        flat[0::2] = turned.real + self.centre.real
        flat[1::2] = turned.imag * self.tilt + self.centre.imag
        flat_list: list[float] = flat.tolist()
        return flat_list


def circle(count: int, start: float = 0.0, end: float = 2 * math.pi) -> Points:
    """`count` points on the unit circle from angle `start` to `end`."""
    points: Points = np.exp(1j * np.linspace(start, end, count))
    return points


def blob(rng: np.random.Generator, wobble: float, count: int = 20) -> Points:
    """Give a round shape of radius about 1 with a smooth, irregular outline."""
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    phases = rng.random(3) * 2 * math.pi
    waves = np.cos(np.outer((2, 3, 5), angles) + phases[:, None])
    edge = 1 + wobble * (np.array((0.5, 0.35, 0.3)) * rng.random(3)) @ waves * 2
    shape: Points = edge * np.exp(1j * angles)
    return shape


def oblong(wide: float, high: float) -> Points:
    """Corners of a rectangle about 0."""
    return np.array([-wide - 1j * high, wide - 1j * high, wide + 1j * high, -wide + 1j * high])


def scatter(rng: np.random.Generator, count: int, reach: float) -> list[complex]:
    """Places spread evenly over a disc of radius `reach`, without clumps."""
    golden = math.pi * (3 - math.sqrt(5))
    steps = np.arange(count) + rng.random(count)
    angles = golden * np.arange(count) + rng.random() * 6.3 + rng.normal(0, 0.3, count)
    places: list[complex] = (reach * np.sqrt(steps / count) * np.exp(1j * angles)).tolist()
    return places


def shade(rng: np.random.Generator, colour: Colour, spread: float = 14.0) -> Colour:
    """Give a colour near this one, lighter or darker and of a slightly other hue."""
    light, red, green, blue = (spread * rng.standard_normal(4)).tolist()
    return (
        _byte(colour[0] + light + red * 0.5),
        _byte(colour[1] + light + green * 0.5),
        _byte(colour[2] + light + blue * 0.5),
    )


def darker(colour: Colour, share: float) -> Colour:
    """Give this colour with a share of its light taken away (a negative share adds)."""
    return tuple(_byte(value * (1 - share)) for value in colour[:3])


def _byte(value: float) -> int:
    return min(255, max(0, int(value)))
