"""What lies under and beside the food of `plates`: tables, cloths, cutlery, cups, crumbs."""

from __future__ import annotations

import math

import numpy as np

from bakeoff.data.drawing.brush import Brush, Colour, blob, circle, darker, oblong, shade
from bakeoff.data.drawing.garnish import DOUGH, FRUITS, GREENS, SAUCES, WHITE, lime, pick

Random = np.random.Generator

WOODS = ((150, 104, 66), (104, 70, 46), (190, 152, 108), (70, 52, 42))
CLOTHS = ((200, 60, 56), (70, 100, 150), (230, 226, 216), (90, 130, 96), (226, 190, 90))
STONES = ((70, 72, 78), (200, 198, 194), (130, 128, 124), (40, 42, 46))
METAL, DARK_WOOD = (178, 180, 186), (84, 50, 34)


def lay_table(frame: Brush, rng: Random) -> None:
    """Cover the whole picture: planks, checked cloth or speckled stone."""
    table = (_planks, _cloth, _stone)[int(rng.integers(3))]
    table(frame.within(0, 1.5, math.pi * rng.random()), rng)


def lay_clutter(frame: Brush, rng: Random, *, above: bool) -> None:
    """Put things at the edges; those `above` the food may cover a part of it."""
    things = (_cutlery, _napkin, _cup, _small_dish, _crumbs)
    for _ in range(int(rng.integers(0, 3))):
        thing = things[int(rng.integers(len(things)))]
        angle = 2 * math.pi * rng.random()
        reach = rng.uniform(0.8, 1.1) + (0.0 if above else 0.1)
        thing(frame.within(reach * complex(math.cos(angle), math.sin(angle)), 0.42, angle), rng)


def _planks(table: Brush, rng: Random) -> None:
    wood = pick(rng, WOODS)
    edges = np.linspace(-1, 1, int(rng.integers(4, 9)))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        plank = oblong(1.1, (high - low) / 2) + 0.5j * (low + high)
        table.shape(plank, shade(rng, wood, 7))
        grain = low + (high - low) * rng.random()
        table.stroke(np.array([-1.1, 1.1]) + 1j * grain, darker(wood, 0.15), 0.008)
        table.stroke(np.array([-1.1, 1.1]) + 1j * low, darker(wood, 0.4), 0.012)


def _cloth(table: Brush, rng: Random) -> None:
    ground, stripe = pick(rng, (*CLOTHS, WHITE)), pick(rng, CLOTHS)
    table.shape(oblong(1.1, 1.1), ground)
    count = int(rng.integers(3, 10))
    if rng.random() < 0.3:
        return
    for across in (1, 1j) if rng.random() < 0.6 else (1,):
        for place in np.linspace(-1, 1, count).tolist():
            table.shape((oblong(1.1, 0.45 / count) + 1j * place) * across, (*stripe[:3], 120))


def _stone(table: Brush, rng: Random) -> None:
    stone = pick(rng, STONES)
    table.shape(oblong(1.1, 1.1), stone)
    for x, y, size in rng.random((18, 3)).tolist():
        speck = complex(2 * x - 1, 2 * y - 1)
        table.disc(speck, 0.008 + 0.03 * size * size, darker(stone, 0.3 - 0.6 * y))


def _cutlery(place: Brush, rng: Random) -> None:
    """A fork, a knife, a spoon, or chopsticks."""
    kind = int(rng.integers(4))
    tool = place.within(0, 1.7, math.pi / 2 + rng.normal(0, 0.2))
    metal = shade(rng, DARK_WOOD if kind == 3 else METAL)
    if kind == 3:
        for offset in (-0.06, 0.06):
            stick = np.array([-1 + 1j * offset, 1 + 2j * offset])
            tool.stroke(stick + 0.03j, (0, 0, 0, 70), 0.05)
            tool.stroke(stick, metal, 0.05)
        return
    tool.stroke(np.array([-1, 0.4 + 0j]) + 0.04j, (0, 0, 0, 70), 0.08)
    tool.stroke(np.array([-1, 0.4 + 0j]), metal, 0.08)
    if kind == 0:
        for tine in (-0.1, 0.0, 0.1):
            tool.stroke(np.array([0.4, 0.9]) + 1j * tine, metal, 0.04)
        tool.shape(oblong(0.1, 0.12) + 0.42, metal)
    elif kind == 1:
        tool.shape(np.array([0.3 - 0.08j, 0.95 - 0.06j, 1.0 + 0.02j, 0.3 + 0.08j]), metal)
    else:
        bowl = circle(14)[:-1]
        tool.shape(0.3 * bowl.real + 0.65 + 0.18j * bowl.imag, metal)


def _napkin(place: Brush, rng: Random) -> None:
    cloth = pick(rng, (*CLOTHS, WHITE))
    napkin = place.within(0.3, 0.9, rng.normal(0, 0.5))
    napkin.shape(oblong(0.8, 1.1) + 0.06 + 0.06j, (0, 0, 0, 60))
    napkin.shape(oblong(0.8, 1.1), cloth)
    for offset in (-0.8, 0.8):
        napkin.stroke(np.array([-0.8, 0.8]) + 1j * offset, darker(cloth, 0.25), 0.06)


def _cup(place: Brush, rng: Random) -> None:
    """A cup on its saucer, or a glass."""
    china = pick(rng, (WHITE, *CLOTHS))
    drink: tuple[Colour, ...] = ((70, 42, 26), (190, 130, 60), (150, 30, 40), (226, 220, 200))
    place.disc(0.06 + 0.06j, 0.95, (0, 0, 0, 60))
    place.disc(0, 0.9, china)
    place.disc(0, 0.62, darker(china, 0.2))
    place.disc(0, 0.56, pick(rng, drink))


def _small_dish(place: Brush, rng: Random) -> None:
    """Bread, a citrus fruit, or something in a little bowl."""
    kind = int(rng.integers(3))
    if kind == 0:
        bread = pick(rng, DOUGH)
        place.shape(blob(rng, 0.2) * 0.75, darker(bread, 0.25))
        place.shape(blob(rng, 0.2) * 0.65, bread)
    elif kind == 1:
        lime(place.within(0, 0.6, 6.3 * rng.random()), rng)
    else:
        place.disc(0.06 + 0.06j, 0.8, (0, 0, 0, 60))
        place.disc(0, 0.76, shade(rng, WHITE))
        place.disc(0, 0.6, pick(rng, (*SAUCES, *GREENS, *FRUITS, WHITE)))


def _crumbs(place: Brush, rng: Random) -> None:
    colour = pick(rng, (*DOUGH, *GREENS[:2], WHITE))
    for x, y in rng.normal(0, 0.7, (12, 2)).tolist():
        place.disc(complex(x, y), 0.03 + 0.06 * rng.random(), shade(rng, colour))
