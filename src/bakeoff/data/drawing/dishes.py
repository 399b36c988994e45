"""The ten kinds of food of `plates`, each a function that draws it into the unit circle;
the baked ones are in `baked`.

They share colours and shapes on purpose: round golden things are pizza, pie or pancakes; egg lies
in ramen and beside toast; green is salad, taco filling, garnish or curry.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bakeoff.data.drawing.baked import donut, pancakes, pie, pizza
from bakeoff.data.drawing.brush import (
    Brush,
    Points,
    blob,
    circle,
    darker,
    scatter,
    shade,
)
from bakeoff.data.drawing.garnish import (
    CREAM,
    DOUGH,
    GREENS,
    MEATS,
    RED,
    SAUCES,
    WHITE,
    bacon,
    cube,
    cucumber,
    fish_on_rice,
    half_egg,
    leaf,
    lime,
    olive,
    onion,
    pick,
    pork,
    roll,
    seaweed,
    swirl,
    toast,
    tomato,
    yolk,
)

Random = np.random.Generator


def sushi(brush: Brush, rng: Random) -> None:
    """Rolls in seaweed, some with fish over rice, wasabi at the side."""
    rows = int(rng.integers(2, 4))
    for row in range(rows):
        fish = rng.random() < 0.4
        height = (row - (rows - 1) / 2) * 0.58
        filling = pick(rng, ((236, 120, 70), (120, 160, 70), (200, 60, 60), (240, 200, 90)))
        for column in range(3 if fish else 4):
            across = (column - (1 if fish else 1.5)) * (0.56 if fish else 0.46)
            place = complex(across, height) + complex(*rng.normal(0, 0.025, 2))
            if fish:
                fish_on_rice(brush.within(place, 0.27, math.pi / 2), rng, filling)
            else:
                roll(brush.within(place, 0.23), rng, filling)
    brush.within(0.88 + 0.3j, 0.15).shape(blob(rng, 0.4), (150, 176, 80))
    if rng.random() < 0.6:
        brush.within(-0.86 + 0.36j, 0.17).shape(blob(rng, 0.6), (238, 170, 160))


def ramen(brush: Brush, rng: Random) -> None:
    """Broth with noodles under egg, meat, seaweed and spring onion."""
    broth = pick(rng, (*SAUCES[:4], (222, 190, 140)))
    brush.disc(0, 1.0, broth)
    noodle = shade(rng, (240, 212, 132))
    sweep = np.linspace(-0.85, 0.85, 14)
    for offset in rng.uniform(-0.7, 0.7, 12).tolist():
        half = math.sqrt(0.9 - offset * offset)
        wave = 0.07 * np.sin(sweep * rng.uniform(5, 10) + 6 * rng.random())
        strand = (sweep * half + 1j * (offset + wave)) * (1 if offset < 0.2 else 1j)
        brush.stroke(strand, darker(noodle, 0.25), 0.085)
        brush.stroke(strand, noodle, 0.055)
    around = (0.55 * circle(5, 6.3 * rng.random(), 6.3 * rng.random() + 6.3)[:4]).tolist()
    toppings = (half_egg, pork, seaweed, swirl)
    for place, topping in zip(around, rng.permutation(4)[: rng.integers(2, 5)], strict=False):
        toppings[topping](brush.within(place, 0.3, 6.3 * rng.random()), rng)
    for place in scatter(rng, int(rng.integers(6, 14)), 0.85):
        brush.ring(place, 0.065, pick(rng, GREENS), 0.035)


def salad(brush: Brush, rng: Random) -> None:
    """Many leaves, and what else the kitchen had."""
    leaves = (*GREENS, (110, 40, 70)) if rng.random() < 0.4 else GREENS
    for place in scatter(rng, 24, 0.82):
        lettuce = brush.within(place, 0.26 + 0.1 * rng.random(), 6.3 * rng.random())
        colour = pick(rng, leaves)
        outline = blob(rng, 0.6)
        lettuce.shape(outline.real + 0.65j * outline.imag, colour)
        lettuce.stroke(np.array([-0.7, 0.7 + 0j]), darker(colour, -0.35), 0.1)
    extras = (tomato, cucumber, onion, cube, olive, half_egg)
    for extra in rng.permutation(6)[: rng.integers(1, 4)]:
        for place in scatter(rng, int(rng.integers(2, 7)), 0.75):
            extras[extra](brush.within(place, 0.19, 6.3 * rng.random()), rng)


def fried_egg(brush: Brush, rng: Random) -> None:
    """One to three eggs with something for breakfast."""
    side = int(rng.integers(4))
    if side == 0:
        toast(brush.within(0.1 + 0.1j, 0.85, rng.normal(0, 0.3)), rng)
    elif side == 1:
        for offset in (-0.62, -0.38):
            bacon(brush.within(complex(0, offset), 0.85, rng.normal(0, 0.1)), rng)
    elif side == 2:
        beans = pick(rng, SAUCES)
        for place in scatter(rng, 22, 0.42):
            brush.disc(place + 0.5j, 0.09, shade(rng, beans, 18))
    else:
        for place in scatter(rng, 8, 0.85):
            leaf(brush.within(place, 0.2, 6.3 * rng.random()), rng)
    count = int(rng.integers(1, 4))
    for number in range(count):
        place = 0j if count == 1 else 0.42 * np.exp(2j * math.pi * number / count + 1j)
        egg = brush.within(complex(place), 0.62 if count == 1 else 0.46, 6.3 * rng.random())
        outline = blob(rng, 0.28, 26)
        egg.shape(outline * 1.05, shade(rng, (190, 140, 84)))
        egg.shape(outline, shade(rng, WHITE, 8))
        yolk(egg, rng, 0.4)


def tacos(brush: Brush, rng: Random) -> None:
    """Two or three folded shells, filling along the open edge."""
    count = int(rng.integers(2, 4))
    for number in range(count):
        height = (number - (count - 1) / 2) * 1.2 / count + 0.22
        shell = brush.within(complex(rng.normal(0, 0.06), height), 0.72, rng.normal(0, 0.12))
        colour = pick(rng, (*DOUGH, (232, 196, 110)))
        for across in np.linspace(-0.85, 0.85, 13).tolist():
            bit = shell.within(complex(across, -0.1 * rng.random()), 0.2, 6.3 * rng.random())
            bit.shape(blob(rng, 0.6, 10), pick(rng, (*GREENS[:3], RED, *MEATS[:2], CREAM), 18))
        half: Points = circle(14, 0, math.pi)
        shell.shape(half.real + 0.72j * half.imag, darker(colour, 0.3))
        shell.shape(half.real * 0.96 + 0.66j * half.imag, colour)
        for place in scatter(rng, 5, 0.35):
            shell.disc(place + 0.3j, 0.06, darker(colour, 0.2))
    if rng.random() < 0.6:
        lime(brush.within(0.78 + 0.62j, 0.2, 6.3 * rng.random()), rng)


def curry(brush: Brush, rng: Random) -> None:
    """Sauce with pieces in it, beside or around rice."""
    sauce = pick(rng, SAUCES)
    brush.shape(blob(rng, 0.08) * 0.97, sauce)
    for place in scatter(rng, int(rng.integers(7, 13)), 0.78):
        piece = brush.within(place, 0.13 + 0.06 * rng.random(), 6.3 * rng.random())
        colour = pick(rng, (*MEATS, (226, 180, 90), (224, 124, 48)))
        piece.shape(blob(rng, 0.4, 9), darker(colour, 0.3))
        piece.shape(blob(rng, 0.4, 9) * 0.85, colour)
    if rng.random() < 0.7:
        rice = brush.within(complex(-0.48, rng.normal(0, 0.1)), 0.56)
        outline = blob(rng, 0.2)
        rice.shape((0.75 * outline.real + 1.2j * outline.imag) * 1.05, darker(sauce, 0.25))
        rice.shape(0.75 * outline.real + 1.2j * outline.imag, shade(rng, WHITE, 8))
        for place in scatter(rng, 16, 0.75):
            grain = place + np.array([-0.06, 0.06]) * np.exp(6.3j * rng.random())
            rice.stroke(grain, (206, 198, 178), 0.04)
    else:
        spiral = np.linspace(0.5, 8, 26)
        brush.stroke(0.085 * spiral * np.exp(1j * spiral), (*CREAM, 190), 0.05)
    for place in scatter(rng, int(rng.integers(2, 6)), 0.6):
        leaf(brush.within(place, 0.13, 6.3 * rng.random()), rng)


KINDS: dict[str, Callable[[Brush, Random], None]] = {
    "curry": curry,
    "donut": donut,
    "fried_egg": fried_egg,
    "pancakes": pancakes,
    "pie": pie,
    "pizza": pizza,
    "ramen": ramen,
    "salad": salad,
    "sushi": sushi,
    "tacos": tacos,
}
