"""Lay one look over another and say how well they agree: the last sieve of `alike`.

The box that was cut out of one is found by Gauss-Newton steps (Lucas & Kanade 1981), for many pairs
at once. What is compared are the details, from which smooth light and shade are taken away: dishes
on white plates agree in those.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

Floats = npt.NDArray[np.float32]

GRID = 32  # points a side at which two looks are compared
STEPS = 6
CHUNK = 512  # pairs at once; bounds memory
FARTHEST = 0.16  # a box may begin or end so far from the edge, in shares of the whole
SMOOTH = 9  # points a side over which light and shade are averaged


def overlay(
    looks: npt.NDArray[np.uint8],
    one: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64],
    mirrored: npt.NDArray[np.bool_],
    boxes: npt.NDArray[np.float64],
) -> Floats:
    """Return (M,), the correlation -1..1 of `other` with the best box of `one`.

    `boxes` (M, 4) are left, top, right, bottom to begin with, of the look turned where `mirrored`.
    """
    result = np.empty(len(one), dtype=np.float32)
    for start in range(0, len(one), CHUNK):
        part = slice(start, start + CHUNK)
        source = looks[one[part]].astype(np.float32)
        turned = mirrored[part]
        source[turned] = source[turned][:, :, ::-1]
        target = looks[other[part]].astype(np.float32)
        result[part] = _agree(source, target, boxes[part].astype(np.float32))
    return result


def _agree(source: Floats, target: Floats, box: Floats) -> Floats:
    whole = np.tile(np.array([0, 0, 1, 1], dtype=np.float32), (len(box), 1))
    wanted = _within(target, whole)
    wanted_unit = _unit(wanted)
    best = np.full(len(box), -1, dtype=np.float32)
    for _ in range(STEPS):
        now = _within(source, box)
        best = np.maximum(best, _correlation(_details(now), _details(wanted)))
        box = box + _step(now, wanted_unit, box)
        box[:, :2] = np.clip(box[:, :2], -FARTHEST / 4, FARTHEST)
        box[:, 2:] = np.clip(box[:, 2:], 1 - FARTHEST, 1 + FARTHEST / 4)
    return np.maximum(best, _correlation(_details(_within(source, box)), _details(wanted)))


def _step(now: Floats, wanted: Floats, box: Floats) -> Floats:
    """Return by how much to move left, top, right, bottom: (M, 4)."""
    count = len(now)
    unit = _unit(now)
    length = np.linalg.norm(now - now.mean(axis=(1, 2), keepdims=True), axis=(1, 2))
    down, across = np.gradient(now, 1 / GRID, axis=(1, 2))
    share = ((np.arange(GRID) + 0.5) / GRID).astype(np.float32)
    width, height = (box[:, 2] - box[:, 0]), (box[:, 3] - box[:, 1])
    across /= (width * np.maximum(length, 1e-6))[:, None, None]
    down /= (height * np.maximum(length, 1e-6))[:, None, None]
    slopes = np.stack(
        (
            across * (1 - share),
            down * (1 - share)[:, None],
            across * share,
            down * share[:, None],
        ),
        axis=1,
    ).reshape(count, 4, -1)
    slopes -= slopes.mean(axis=2, keepdims=True)
    flat = unit.reshape(count, -1, 1)
    slopes -= (slopes @ flat) * flat.transpose(0, 2, 1)  # neither brightness nor contrast
    left = (wanted - unit).reshape(count, -1, 1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = 0.01 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-9
    moved = np.linalg.solve(normal + damping * np.eye(4, dtype=np.float32), slopes @ left)
    step: Floats = np.clip(moved[:, :, 0], -0.05, 0.05).astype(np.float32)
    return step


def _within(looks: Floats, box: Floats) -> Floats:
    """Return what lies inside each box, on GRID x GRID points, slightly blurred."""
    cells = looks.shape[1]
    share = (np.arange(GRID) + 0.5) / GRID
    blur = cells / GRID
    weights = []
    for low, high in ((1, 3), (0, 2)):  # down, across
        place = (box[:, low, None] + (box[:, high] - box[:, low])[:, None] * share) * cells - 0.5
        near = np.maximum(1 - np.abs(place[:, :, None] - np.arange(cells)) / blur, 0)
        weights.append(
            (near / np.maximum(near.sum(axis=2, keepdims=True), 1e-6)).astype(np.float32)
        )
    inside: Floats = weights[0] @ looks @ weights[1].transpose(0, 2, 1)
    return inside


def _details(looks: Floats) -> Floats:
    smooth = uniform_filter1d(uniform_filter1d(looks, SMOOTH, axis=1), SMOOTH, axis=2)
    fine: Floats = looks - smooth
    return fine


def _unit(looks: Floats) -> Floats:
    centred = looks - looks.mean(axis=(1, 2), keepdims=True)
    lengths = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    unit: Floats = centred / np.maximum(lengths, 1e-6)
    return unit


def _correlation(one: Floats, other: Floats) -> Floats:
    products: Floats = (_unit(one) * _unit(other)).sum(axis=(1, 2))
    return products
