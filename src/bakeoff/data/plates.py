"""`plates`: ten kinds of food on tables, seen from above; the data set that needs no download.

They are drawn, not photographed: good for trying things, for teaching and for tests, and no
evidence about photographs. The same kind, number and side give the same picture each time.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from bakeoff.data.classes import choose
from bakeoff.data.drawing.brush import Brush, Colour, darker, shade
from bakeoff.data.drawing.dishes import KINDS
from bakeoff.data.drawing.tabletops import lay_clutter, lay_table
from bakeoff.data.photographs import DRAWN, DataError, Photographs, gather
from bakeoff.data.spec import DataSpec

VERSION = 1  # raise it when a picture changes
SEED = 20_240_229
TRAIN, TEST = 200, 50  # photographs a class
MOST_DIGITS = 9
FIRST_TEST = 1_000_000  # number of the first test picture: no training set reaches it

CROCKERY = (
    (244, 242, 236),
    (236, 226, 204),
    (92, 120, 148),
    (58, 58, 62),
    (176, 112, 78),
    (150, 172, 150),
)


def listed(spec: DataSpec) -> Photographs:
    """List the pictures: 200 to train and 50 to test a class.

    Here `per_class` says how many there are to train, more or fewer than 200.
    """
    train = spec.per_class or TRAIN
    classes = choose(spec, tuple(KINDS))
    rows = [
        (f"{DRAWN}{kind}/{number}", kind, split, "")
        for split, first, count in (("train", 0, train), ("test", FIRST_TEST, TEST))
        for kind in classes
        for number in range(first, first + count)
    ]
    return gather("plates", None, classes, rows)


def digest(path: str) -> str:
    """Name the content of a picture, whatever side it is drawn at."""
    return hashlib.sha256(f"{VERSION} {SEED} {path}".encode()).hexdigest()


def draw(path: str, side: int) -> NDArray[np.uint8]:
    """Draw the picture of a path like `plates:pizza/17` at S = side: (S, S, 3)."""
    kind, _, number = path.removeprefix(DRAWN).partition("/")
    if kind not in KINDS or not number.isdecimal() or len(number) > MOST_DIGITS:
        allowed = f"{DRAWN}<{'|'.join(KINDS)}>/<n>"
        raise DataError(f"{path[:99]} is no picture of plates; allowed: {allowed}")
    rng = np.random.default_rng((SEED, tuple(KINDS).index(kind), int(number)))
    fine = side * max(2, math.ceil(112 / side))  # drawn larger, then reduced: smooth edges
    image = Image.new("RGB", (fine, fine))
    _compose(ImageDraw.Draw(image, "RGBA"), rng, kind, fine)
    image = image.resize((side, side), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(side / 64 * rng.random() ** 2))
    return _lit(np.asarray(image, dtype=np.float32), rng)


def _compose(canvas: ImageDraw.ImageDraw, rng: np.random.Generator, kind: str, fine: int) -> None:
    """Lay table, plate, food and clutter, from below to above."""
    frame = Brush(canvas, complex(fine, fine) / 2, fine / 2, tilt=rng.uniform(0.8, 1.0))
    lay_table(frame, rng)
    angle = 2 * math.pi * rng.random()
    place = complex(*(0.16 * rng.standard_normal(2)))
    plate = frame.within(place, rng.uniform(0.64, 1.0), angle)
    lay_clutter(frame, rng, above=False)
    ground = _set_plate(plate, rng, deep=kind == "ramen" or rng.random() < 0.25)
    food = plate.within(0, rng.uniform(0.68, 0.82), angle * 3)
    KINDS[kind](replace(food, ground=ground), rng)
    lay_clutter(frame, rng, above=True)


def _set_plate(plate: Brush, rng: np.random.Generator, deep: bool) -> Colour:
    """Draw a plate or a bowl with its shadow; return the colour that food lies on."""
    colour = shade(rng, CROCKERY[int(rng.integers(len(CROCKERY)))], 10)
    fall = complex(*rng.normal(0, 0.05, 2)) / plate.turn
    for size in (1.1, 1.06, 1.02):
        plate.disc(fall, size, (0, 0, 0, 42))
    plate.disc(0, 1.0, darker(colour, 0.12))
    plate.disc(0, 0.97, colour)
    if rng.random() < 0.3:
        plate.ring(0, 0.95, shade(rng, (90, 90, 130), 50), 0.04)
    ground = darker(colour, 0.3 if deep else 0.06)
    plate.disc(0, 0.84 if deep else 0.74, ground)
    return ground


def _lit(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light from one side, of some colour and strength, with a sensor's noise: (S, S, 3)."""
    side = light.shape[0]
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    angle = 2 * math.pi * rng.random()
    fall = math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]
    warmth = rng.normal(0, 0.1)
    tint = np.array((1 + warmth, 1 + rng.normal(0, 0.04), 1 - warmth)) * rng.uniform(0.6, 1.15)
    light *= (1 + rng.uniform(0, 0.3) * fall)[:, :, None]
    light *= tint.astype(np.float32)
    light += rng.uniform(0, 30) * rng.random()  # haze
    light += rng.standard_normal(light.shape, dtype=np.float32) * np.float32(rng.uniform(2, 9))
    lit: NDArray[np.uint8] = np.clip(light, 0, 255).astype(np.uint8)
    return lit
