"""Parts that several dishes share, each drawn into the unit circle of its brush."""

from __future__ import annotations

import math

import numpy as np

from bakeoff.data.drawing.brush import Brush, Colour, blob, circle, darker, oblong, shade

Random = np.random.Generator

DOUGH = ((214, 164, 92), (196, 140, 74), (226, 184, 116), (176, 116, 58))
GREENS = ((92, 140, 52), (126, 168, 66), (62, 104, 44), (160, 186, 92), (84, 124, 76))
SAUCES = ((204, 118, 40), (150, 84, 36), (190, 62, 36), (214, 164, 48), (116, 128, 52))
FRUITS = ((168, 32, 44), (86, 40, 96), (214, 156, 60), (196, 96, 34), (60, 48, 110))
MEATS = ((142, 78, 50), (176, 104, 78), (110, 62, 40), (196, 120, 104))
WHITE, CREAM, RED = (244, 240, 230), (240, 222, 168), (190, 44, 34)


def pick(rng: Random, colours: tuple[Colour, ...], spread: float = 14.0) -> Colour:
    """Give a shade of one of these colours."""
    return shade(rng, colours[int(rng.integers(len(colours)))], spread)


def missing_wedge(brush: Brush, rng: Random) -> None:
    """Lay the plate's colour over a slice that somebody took."""
    start = 6.3 * rng.random()
    slice_ = np.concatenate(([0], 1.05 * circle(8, start, start + rng.uniform(0.5, 1.0))))
    brush.shape(slice_, darker(brush.ground, 0.06))


def sausage(brush: Brush, rng: Random) -> None:
    """A slice of pepperoni."""
    colour = shade(rng, (176, 48, 34))
    brush.disc(0, 1.0, darker(colour, 0.3))
    brush.disc(0, 0.85, colour)


def leaf(brush: Brush, rng: Random) -> None:
    """A small pointed leaf."""
    colour = shade(rng, GREENS[int(rng.integers(3))])
    bend = np.linspace(-1, 1, 7)
    edge = 0.5 * (1 - bend**2)
    brush.shape(np.concatenate((bend + 1j * edge, bend[::-1] - 1j * edge)), colour)
    brush.stroke(np.array([-0.9, 0.9 + 0j]), darker(colour, -0.4), 0.1)


def olive(brush: Brush, rng: Random) -> None:
    """A ring of olive."""
    brush.ring(0, 0.75, shade(rng, (54, 46, 44)), 0.42)


def mushroom(brush: Brush, rng: Random) -> None:
    """A slice of mushroom: cap and stem."""
    colour = shade(rng, (222, 204, 176))
    brush.shape(circle(10, math.pi, 2 * math.pi), darker(colour, 0.15))
    brush.shape(oblong(0.3, 0.5) + 0.3j, colour)


def tomato(brush: Brush, rng: Random) -> None:
    """A slice of tomato with its chambers."""
    colour = shade(rng, (206, 52, 36))
    brush.disc(0, 1.0, colour)
    for place in (0.52 * circle(5)[:-1]).tolist():
        brush.disc(place, 0.28, darker(colour, -0.3))


def cucumber(brush: Brush, rng: Random) -> None:
    """A slice of cucumber."""
    brush.disc(0, 1.0, shade(rng, (70, 110, 48)))
    brush.disc(0, 0.86, shade(rng, (196, 216, 150)))
    brush.disc(0, 0.42, (176, 200, 128))


def onion(brush: Brush, rng: Random) -> None:
    """Two rings of red onion."""
    colour = shade(rng, (170, 90, 140))
    brush.ring(0, 1.1, colour, 0.2)
    brush.ring(0.1, 0.7, darker(colour, -0.3), 0.18)


def cube(brush: Brush, rng: Random) -> None:
    """A crouton or a cube of cheese."""
    colour = pick(rng, (*DOUGH, WHITE))
    brush.shape(oblong(0.7, 0.7) + 0.12 + 0.15j, darker(colour, 0.3))
    brush.shape(oblong(0.7, 0.7), colour)


def yolk(brush: Brush, rng: Random, size: float) -> None:
    """A yolk with the light on it."""
    colour = shade(rng, (242, 176, 40))
    brush.disc(0, size, darker(colour, 0.12))
    brush.disc(0, size * 0.88, colour)
    brush.disc(-0.12 - 0.12j, size * 0.25, (255, 236, 170))


def half_egg(brush: Brush, rng: Random) -> None:
    """Half a boiled egg."""
    outline = circle(16)[:-1]
    brush.shape(0.78 * outline.real + 1j * outline.imag, shade(rng, WHITE, 6))
    yolk(brush, rng, 0.5)


def pork(brush: Brush, rng: Random) -> None:
    """A slice of rolled meat."""
    colour = pick(rng, MEATS)
    brush.shape(blob(rng, 0.25), colour)
    spiral = np.linspace(1, 9, 18)
    brush.stroke(0.085 * spiral * np.exp(1j * spiral), darker(colour, -0.45), 0.1)


def seaweed(brush: Brush, rng: Random) -> None:
    """A dark sheet."""
    brush.shape(oblong(0.75, 1.15), shade(rng, (36, 48, 38), 8))


def swirl(brush: Brush, rng: Random) -> None:
    """A white fish cake with a pink swirl."""
    brush.shape(blob(rng, 0.1, 16) * 0.8, shade(rng, WHITE, 6))
    spiral = np.linspace(1, 7, 16)
    brush.stroke(0.07 * spiral * np.exp(1j * spiral), (232, 120, 150), 0.14)


def roll(brush: Brush, rng: Random, filling: Colour) -> None:
    """A roll of rice in seaweed, seen on its cut end."""
    brush.disc(0.06 + 0.1j, 1.0, (20, 20, 20, 90))
    brush.disc(0, 0.98, shade(rng, (38, 50, 40), 8))
    brush.disc(0, 0.8, shade(rng, WHITE, 6))
    brush.within(0, 0.4).shape(blob(rng, 0.35, 12), shade(rng, filling))


def fish_on_rice(brush: Brush, rng: Random, fish: Colour) -> None:
    """A finger of rice under a slice of fish."""
    outline = circle(20)[:-1]
    finger = np.sign(outline.real) * np.abs(outline.real) ** 0.5 + 0.5j * outline.imag
    brush.shape(finger * 1.04 + 0.1j, shade(rng, WHITE, 6))
    brush.shape(finger * 0.98 - 0.06j, shade(rng, fish))
    for across in (-0.5, -0.05, 0.4):
        stripe = np.array([across - 0.4j, across + 0.2 + 0.28j])
        brush.stroke(stripe, darker(fish, -0.35), 0.08)


def toast(brush: Brush, rng: Random) -> None:
    """A slice of toasted bread."""
    colour = pick(rng, DOUGH)
    brush.shape(oblong(0.9, 0.8), darker(colour, 0.35))
    brush.shape(oblong(0.82, 0.72), colour)


def bacon(brush: Brush, rng: Random) -> None:
    """A wavy strip of bacon."""
    along = np.linspace(-1, 1, 14)
    strip = along + 0.06j * np.sin(9 * along + 6 * rng.random())
    brush.stroke(strip, shade(rng, (156, 56, 44)), 0.2)
    brush.stroke(strip + 0.03j, (226, 170, 140), 0.05)


def berry(brush: Brush, rng: Random) -> None:
    """A berry with the light on it."""
    colour = pick(rng, ((170, 30, 44), (52, 44, 104), (120, 30, 60)))
    brush.disc(0, 0.9, colour)
    brush.disc(-0.25 - 0.25j, 0.25, darker(colour, -0.5))


def lime(brush: Brush, rng: Random) -> None:
    """A wheel of lime or lemon."""
    peel = pick(rng, ((120, 164, 50), (236, 206, 70)))
    brush.disc(0, 1.0, peel)
    brush.disc(0, 0.86, (244, 242, 214))
    for spoke in circle(7)[:-1].tolist():
        brush.disc(0.45 * spoke, 0.24, darker(peel, -0.35))
