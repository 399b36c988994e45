"""Tiles laid side by side as one picture of pixels, and such pictures as PNG. No torch."""

from __future__ import annotations

import base64
import math
from functools import lru_cache
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
TRANSPARENT = 0
DIMMED = 60
DARK = 0.3
LINE = (255, 140, 0)
GAP = 255


def columns_for(count: int, *, wide: float = 1.0) -> int:
    """Return how many columns make a grid of `count` tiles about `wide` times as wide as high.

    Of the numbers within a third of that, one that fills the last row best.
    """
    ideal = math.sqrt(count * wide)
    near = range(max(1, round(0.7 * ideal)), max(1, round(1.4 * ideal)) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - ideal)))


def grid(
    tiles: Bytes, columns: int, gap: int = 1, *, dimmed: NDArray[np.bool_] | None = None
) -> Bytes:
    """Lay tiles (T, h, w, C) out in rows, with transparent gaps: (H, W, 4).

    Those of which `dimmed` (T,) is true are nearly transparent.
    """
    count, height, width, channels = tiles.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 4)
    picture = np.full(shape, TRANSPARENT, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        place = picture[top : top + height, left : left + width]
        place[..., :3] = tile if channels == 3 else tile[..., :1]
        place[..., 3] = DIMMED if dimmed is not None and dimmed[number] else 255
    return picture


def coloured(tiles: Bytes, name: str = "viridis") -> Bytes:
    """Colour grey tiles (T, h, w) by a colour map: (T, h, w, 3)."""
    return _palette(name)[tiles]


def png(picture: Bytes) -> bytes:
    """Return `picture` (H, W, 3) or (H, W, 4) as PNG."""
    with BytesIO() as file:
        Image.fromarray(picture).save(file, "PNG", optimize=True)
        return file.getvalue()


def address(content: bytes, kind: str = "png") -> str:
    """Return the bytes of a PNG or JPEG as an address that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def overlay(photograph: Bytes, map_: NDArray[np.float32]) -> Bytes:
    """Light a photograph (S, S, 3) by a map (h, w) of values in 0..1: (S, S, 3).

    Where the map is 1 the photograph is as it was, where it is 0 it is dark and grey. Nothing is
    painted over it but a line around what lies above half.
    """
    height, width = photograph.shape[:2]
    smooth = Image.fromarray(map_.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    values = np.asarray(smooth).clip(0, 1)
    share = values[..., None]
    grey = np.asarray(Image.fromarray(photograph).convert("L"), dtype=np.float64)[..., None]
    lit: Bytes = (DARK * grey * (1 - share) + photograph * share).round().astype(np.uint8)
    inside = np.pad(values > 0.5, 1, mode="edge")
    core = inside[1:-1, 1:-1]
    neighbours = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    lit[core & ~neighbours] = LINE
    return lit


def enlarged(tiles: Bytes, least: int = 12) -> Bytes:
    """Repeat the pixels of small tiles (T, h, w, C) until a side has at least `least`."""
    times = max(1, math.ceil(least / max(1, tiles.shape[1])))
    return tiles.repeat(times, axis=1).repeat(times, axis=2)


def jpeg(picture: Bytes) -> bytes:
    """Return a photograph (H, W, 3) as JPEG."""
    with BytesIO() as file:
        Image.fromarray(picture).save(file, "JPEG", quality=80, optimize=True)
        return file.getvalue()


def indexed_png(tiles: Bytes, columns: int, name: str = "viridis") -> bytes:
    """Return grey tiles (T, h, w) as a PNG of a colour map, a byte a pixel, gaps transparent."""
    count, height, width = tiles.shape
    rows = math.ceil(count / columns)
    picture = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), GAP, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + 1), column * (width + 1)
        picture[top : top + height, left : left + width] = np.minimum(tile, GAP - 1)
    image = Image.fromarray(picture)
    image.putpalette(_palette(name).tobytes())
    with BytesIO() as file:
        image.save(file, "PNG", optimize=True, transparency=GAP)
        return file.getvalue()


@lru_cache
def _palette(name: str) -> Bytes:
    colours: Bytes = (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return colours
