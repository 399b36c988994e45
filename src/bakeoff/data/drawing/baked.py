"""Pizza, pie, pancakes and donuts, each drawn into the unit circle of its brush."""

from __future__ import annotations

import math

import numpy as np

from bakeoff.data.drawing.brush import (
    Brush,
    blob,
    circle,
    darker,
    oblong,
    scatter,
    shade,
)
from bakeoff.data.drawing.garnish import (
    DOUGH,
    FRUITS,
    WHITE,
    berry,
    leaf,
    missing_wedge,
    mushroom,
    olive,
    pick,
    sausage,
)

Random = np.random.Generator


def pizza(brush: Brush, rng: Random) -> None:
    """Crust, cheese over sauce, one or two toppings, cuts through the middle."""
    crust = pick(rng, DOUGH)
    brush.shape(blob(rng, 0.06), darker(crust, 0.25))
    brush.shape(blob(rng, 0.06) * 0.97, crust)
    brush.shape(blob(rng, 0.07) * 0.84, shade(rng, (186, 74, 38)))
    cheese = pick(rng, ((236, 196, 96), (240, 214, 150), (222, 160, 70)))
    brush.shape(blob(rng, 0.14) * 0.78, cheese)
    for place in scatter(rng, 7, 0.7):
        brush.disc(place, 0.09 + 0.06 * rng.random(), darker(cheese, 0.12 * rng.normal()))
    toppings = (sausage, leaf, olive, mushroom)
    for topping in rng.permutation(4)[: rng.integers(1, 3)]:
        for place in scatter(rng, int(rng.integers(4, 9)), 0.68):
            toppings[topping](brush.within(place, 0.16, rng.random() * 6.3), rng)
    for spoke in circle(5, 0, math.pi)[:4]:
        brush.stroke(np.array([-spoke, spoke]) * 0.98, (*darker(crust, 0.45), 150), 0.02)
    if rng.random() < 0.3:
        missing_wedge(brush, rng)


def pie(brush: Brush, rng: Random) -> None:
    """Crimped rim, fruit filling, a lattice of pastry."""
    crust, fruit = pick(rng, DOUGH), pick(rng, FRUITS)
    brush.disc(0, 1.0, darker(crust, 0.2))
    for place in circle(23)[:-1] * 0.91:
        brush.disc(complex(place), 0.115, shade(rng, crust, 8))
    brush.disc(0, 0.82, fruit)
    for place in scatter(rng, 12, 0.72):
        brush.disc(place, 0.1, darker(fruit, 0.18 * rng.normal()))
    strips = int(rng.integers(3, 6))
    for across in (1, 1j):
        for offset in np.linspace(-0.62, 0.62, strips).tolist():
            half = math.sqrt(0.8 - offset * offset)
            line = np.array([complex(-half, offset), complex(half, offset)]) * across
            brush.stroke(line + 0.02, darker(crust, 0.4), 0.17)
            brush.stroke(line, shade(rng, crust, 8), 0.13)
    if rng.random() < 0.3:
        missing_wedge(brush, rng)


def pancakes(brush: Brush, rng: Random) -> None:
    """A leaning stack, butter, syrup, sometimes berries."""
    dough = pick(rng, DOUGH)
    lean = complex(*rng.normal(0, 0.05, 2))
    layers = int(rng.integers(2, 5))
    for layer in range(layers):
        frame = brush.within(lean * (layer - layers / 2) * 1.6, 0.88, rng.random() * 6.3)
        frame.shape(blob(rng, 0.06) * 1.02, darker(dough, 0.42))
        frame.shape(blob(rng, 0.06) * 0.98, shade(rng, (232, 204, 146), 8))
        frame.shape(blob(rng, 0.05) * 0.9, dough)
    for place in scatter(rng, 6, 0.6):
        brush.disc(place, 0.14, (*darker(dough, 0.15), 90))
    brush.within(complex(*rng.normal(0, 0.12, 2)), 0.55).shape(blob(rng, 0.5), (112, 56, 16, 150))
    if rng.random() < 0.75:
        pat = brush.within(complex(*rng.normal(0, 0.1, 2)), 0.2, rng.random() * 6.3)
        pat.shape(oblong(1.0, 0.8) + 0.1j, (180, 140, 60))
        pat.shape(oblong(1.0, 0.8), shade(rng, (250, 228, 130), 8))
    for place in scatter(rng, int(rng.choice((0, 5, 9))), 0.8):
        berry(brush.within(place, 0.11), rng)


def donut(brush: Brush, rng: Random) -> None:
    """One to four iced rings with sprinkles."""
    count = int(rng.choice((1, 1, 2, 3, 4)))
    size = (0.95, 0.56, 0.5, 0.46)[count - 1]
    places = [0j] if count == 1 else (circle(count + 1)[:-1] * (0.98 - size)).tolist()
    for place in places:
        ring = brush.within(place * 1.1, size, rng.random() * 6.3)
        dough, icing = pick(rng, DOUGH), pick(rng, (*FRUITS, (236, 150, 170), (92, 52, 32), WHITE))
        ring.disc(0, 1.0, darker(dough, 0.2))
        ring.disc(0, 0.95, dough)
        ring.shape(blob(rng, 0.12, 28) * 0.83, icing)
        ring.ring(0, 0.7, (255, 255, 255, 60), 0.07)
        if rng.random() < 0.7:
            angles, reach = rng.random(16) * 6.3, 0.46 + 0.3 * rng.random(16)
            for spot in (reach * np.exp(1j * angles)).tolist():
                bit = 0.06 * np.exp(6.3j * rng.random())
                colour = pick(rng, ((240, 80, 90), (90, 160, 220), (250, 220, 90), WHITE))
                ring.stroke(np.array([spot - bit, spot + bit]), colour, 0.055)
        ring.disc(0, 0.36, darker(dough, 0.1))
        ring.disc(0, 0.28, darker(brush.ground, 0.25))
