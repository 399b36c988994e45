"""Which of many looks (64 x 64, grey, uint8) show the same photograph. Numbers in, pairs out.

A copy may be re-encoded, resized, brighter or darker, mirrored, or cut by up to a tenth of its
width and height. Three sieves, each finer: low DCT coefficients of all pairs, then of likely cuts
of one against the other, then both laid over each other and correlated. Whether two looks are a
pair depends on these two alone, except where one has more than `MOST` near ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bakeoff.data.overlay import overlay

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the whole

VERSION = 1  # raise it when other pairs are found
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
MIDDLE: Box = (0.03, 0.03, 0.97, 0.97)
CUTS: tuple[Box, ...] = (
    WHOLE,
    (0.04, 0.04, 0.96, 0.96),
    (0.00, 0.00, 0.92, 0.92),
    (0.08, 0.00, 1.00, 0.92),
    (0.00, 0.08, 0.92, 1.00),
    (0.08, 0.08, 1.00, 1.00),
)
COARSE, FINE = 7, 8  # coefficients a side of the first two sieves
COARSE_LEAST, FINE_LEAST, LEAST = 0.55, 0.70, 0.90
MOST_COARSE, MOST = 64, 12  # near ones of one look that go on to the next sieve
FLATTEST = 3.0  # grey levels of standard deviation below which a look shows nothing
ROWS, COLUMNS = 1024, 4096

# How far each coefficient of a photograph varies, relative to the last: measured on the 20,000
# photographs of 20 Food-101 classes. Divided by it, all coefficients say equally much.
SPREAD = np.array(
    [
        [1.0, 8.9, 10.1, 4.6, 4.7, 2.9, 3.0, 2.1],
        [14.1, 4.7, 4.1, 2.8, 2.3, 1.8, 1.5, 1.2],
        [12.4, 4.0, 4.8, 2.7, 2.8, 1.9, 1.8, 1.4],
        [7.3, 3.3, 3.4, 2.4, 2.2, 1.7, 1.5, 1.3],
        [6.3, 2.7, 3.2, 2.2, 2.1, 1.6, 1.5, 1.2],
        [4.6, 2.2, 2.6, 1.9, 1.8, 1.5, 1.4, 1.1],
        [4.1, 1.9, 2.3, 1.7, 1.7, 1.3, 1.3, 1.1],
        [3.3, 1.6, 1.9, 1.5, 1.5, 1.2, 1.2, 1.0],
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """M pairs, each once, `first` < `second`."""

    first: Rows
    second: Rows
    likeness: Floats  # correlation of the two, laid over each other: LEAST..1
    mirrored: npt.NDArray[np.bool_]


def pairs(looks: npt.NDArray[np.uint8]) -> Pairs:
    """Find the pairs among looks (N, 64, 64)."""
    seen = np.flatnonzero(contrast(looks) >= FLATTEST)
    if len(seen) < 2:
        return _once(seen[:0], seen[:0], np.empty(0, np.float32), np.empty(0, bool))
    some = looks[seen]
    whole = _features(some, WHOLE, FINE)
    cuts = [_features(some, box, FINE) for box in CUTS]
    found = []
    for near in _coarse(some):
        score, turned, cut = _fine(cuts, whole, *near)
        kept = np.flatnonzero(score > FINE_LEAST)
        kept = kept[_nearest(near[0][kept], score[kept], MOST)]
        one, other, mirrored = near[0][kept], near[1][kept], turned[kept]
        likeness = overlay(some, one, other, mirrored, np.array(CUTS)[cut[kept]])
        sure = likeness > LEAST
        found.append((one[sure], other[sure], likeness[sure], mirrored[sure]))
    ones, others, likenesses, turns = (np.concatenate(part) for part in zip(*found, strict=True))
    return _once(seen[ones], seen[others], likenesses, turns)


def contrast(looks: npt.NDArray[np.uint8]) -> Floats:
    """Return the standard deviation of each look in grey levels: (N,)."""
    result = np.empty(len(looks), dtype=np.float32)
    for start in range(0, len(looks), ROWS):
        result[start : start + ROWS] = looks[start : start + ROWS].std(axis=(1, 2))
    return result


def _coarse(looks: npt.NDArray[np.uint8]) -> list[tuple[Rows, Rows]]:
    """Return likely pairs (one, other), block after block: `other` may be a cut of `one`."""
    cut = _halves(_features(looks, MIDDLE, COARSE))
    even, odd = (np.ascontiguousarray(half.T) for half in _halves(_features(looks, WHOLE, COARSE)))
    blocks = []
    for top in range(0, len(looks), ROWS):
        ones, others, scores = [], [], []
        for left in range(0, len(looks), COLUMNS):
            right = slice(left, left + COLUMNS)
            score = cut[0][top : top + ROWS] @ np.ascontiguousarray(even[:, right])
            turned = cut[1][top : top + ROWS] @ np.ascontiguousarray(odd[:, right])
            score += np.abs(turned, out=turned)  # a mirrored look has the odd columns negated
            one, other = np.divmod(np.flatnonzero(score.ravel() > COARSE_LEAST), score.shape[1])
            value = score[one, other]
            one, other = one + top, other + left
            kept = np.flatnonzero(one != other)
            kept = kept[_nearest(one[kept], value[kept], MOST_COARSE)]
            ones.append(one[kept])
            others.append(other[kept])
            scores.append(value[kept])
        one, other = np.concatenate(ones), np.concatenate(others)
        kept = _nearest(one, np.concatenate(scores), MOST_COARSE)
        blocks.append((one[kept], other[kept]))
    return blocks


def _fine(
    cuts: list[Floats], whole: Floats, one: Rows, other: Rows
) -> tuple[Floats, npt.NDArray[np.bool_], Rows]:
    """Return each pair's best score over the cuts of `one`, whether mirrored, and which cut."""
    best = np.full(len(one), -1, dtype=np.float32)
    mirrored, which = np.zeros(len(one), dtype=bool), np.zeros(len(one), dtype=np.int64)
    even, odd = (half[other] for half in _halves(whole))
    for number, cut in enumerate(cuts):
        same, turned = (
            np.einsum("md,md->m", half[one], second)
            for half, second in zip(_halves(cut), (even, odd), strict=True)
        )
        score = same + np.abs(turned)
        better = score > best
        best[better] = score[better]
        mirrored[better] = turned[better] < 0
        which[better] = number
    return best, mirrored, which


def _features(looks: npt.NDArray[np.uint8], box: Box, size: int) -> Floats:
    """Return the low DCT coefficients of each look inside `box`: (N, size * size), unit length."""
    across = _cosines(box[0], box[2], size, looks.shape[2]).T
    down = _cosines(box[1], box[3], size, looks.shape[1])
    values = np.empty((len(looks), size, size), dtype=np.float32)
    for start in range(0, len(looks), ROWS):
        rows = slice(start, start + ROWS)
        values[rows] = down @ looks[rows].astype(np.float32) @ across
    values /= SPREAD[:size, :size]
    values[:, 0, 0] = 0  # brightness
    flat = values.reshape(len(looks), -1)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: Floats = flat / np.maximum(lengths, 1e-6)
    return unit


def _halves(features: Floats) -> tuple[Floats, Floats]:
    """Part the coefficients that a mirrored look shares from those that it has negated."""
    size = round(features.shape[1] ** 0.5)
    square = features.reshape(len(features), size, size)
    return square[:, :, ::2].reshape(len(square), -1), square[:, :, 1::2].reshape(len(square), -1)


def _cosines(low: float, high: float, size: int, cells: int) -> Floats:
    """Return (size, cells): times a row of cells, its cosine coefficients between low and high."""
    steps = (np.arange(8 * cells) + 0.5) / (8 * cells)
    place = (low + (high - low) * steps) * cells - 0.5
    nearness = 1 - np.abs(place[:, None] - np.arange(cells))  # linear between the cells' middles
    waves = np.cos(np.pi * np.arange(size)[:, None] * steps)
    weights: Floats = (waves @ np.maximum(nearness, 0) / len(steps)).astype(np.float32)
    return weights


def _nearest(one: Rows, score: Floats, most: int) -> Rows:
    """Return which to keep, in order, so that no value of `one` is there more than `most` times."""
    order = np.lexsort((-score, one))
    ranked = one[order]
    rank = np.arange(len(one)) - np.searchsorted(ranked, ranked)
    return np.sort(order[rank < most])


def _once(one: Rows, other: Rows, likeness: Floats, mirrored: npt.NDArray[np.bool_]) -> Pairs:
    """Order each pair, keep the likelier of the two ways it was found."""
    first, second = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((-likeness, second, first))
    first, second = first[order], second[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    kept = order[new]
    return Pairs(first[new], second[new], likeness[kept], mirrored[kept])
