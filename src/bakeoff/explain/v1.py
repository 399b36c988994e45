"""How much a first layer looks like the primary visual cortex (V1): numbers beside controls.

A filter's strongest colour axis (first singular vector over its channels) gives its profile, and a
Gabor is fitted to that (`gabor`). Of the filters that are not dead
    Gabor share  of a filter's squared weights, over all colours (Jones and Palmer 1987)
    oriented     Gabor share at least 0.6, and the answer to gratings at a right angle to the
                 preferred ones at most a third (De Valois, Yund and Hepler 1982 for V1)
    opponent     one colour axis holds at least 0.75 of the squared weights, most of the axis is
                 not grey, and it sets channels against each other (Livingstone and Hubel 1984)
    coverage     how many of eight orientations, and of the half octaves of spatial frequency from
                 half a cycle a filter to Nyquist's, oriented filters fill (De Valois, Albrecht and
                 Thorell 1982)
Each figure stands beside two controls: independent normal weights, which is what a fresh layer has
but for scale, and the same filters with their pixels shuffled, which keeps colours and values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.explain.gabor import ORTHOGONAL, PARAMETERS, Gabor, fit, tuning

DEAD = 0.05  # of the norm of the strongest filter
GABOR_LIKE = 0.6
TUNED = 1 / 3
ONE_AXIS = 0.75
COLOURED = 0.5
ORIENTATIONS = 8
SMALLEST_SIDE = 5
MOST_FITTED = 64
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Likeness:
    """What the filters of one layer have in common with V1; shares are 0..1, of living filters.

    `dead` is of all filters. What needs Gabors is None where the filters cannot be measured, and
    `reason` says why. `gabors` are the fits of the `fitted` ones, in the order of the filters.
    """

    filters: int
    living: int
    fitted: int
    dead: float
    opponent: float | None
    gabor_share: float | None
    oriented: float | None
    orientations: int | None
    frequencies: int | None
    frequency_bins: int | None
    reason: str
    gabors: tuple[Gabor, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A layer beside its controls, and beside the start it was trained from."""

    own: Likeness
    random: Likeness
    shuffled: Likeness
    start: Likeness | None = None

    def plain(self) -> dict[str, Any]:
        """Return nested plain values that JSON can hold; the fits of the controls are left out."""
        bare = {name: replace(getattr(self, name), gabors=()) for name in ("random", "shuffled")}
        return asdict(replace(self, **bare))


def compare(weights: Floats, start: Floats | None = None, *, seed: int = 0) -> Comparison:
    """Measure filters (K, C, h, w) beside both controls, and beside `start` where there is one."""
    rng = np.random.default_rng(seed)
    random = rng.standard_normal(weights.shape)
    return Comparison(
        own=measure(weights),
        random=measure(random),
        shuffled=measure(shuffled(weights, rng)),
        start=None if start is None else measure(start),
    )


def restored(plain: dict[str, Any]) -> Comparison:
    """Return the comparison that `Comparison.plain` was made of."""
    parts = {name: _restored(part) if part else None for name, part in plain.items()}
    return Comparison(**parts)  # type: ignore[arg-type]


def measure(weights: Floats) -> Likeness:
    """Measure filters (K, C, h, w); raises ValueError for another shape or weights not finite."""
    if weights.ndim != 4 or not np.isfinite(weights).all():
        raise ValueError(f"weights: {weights.shape} is not allowed; (K, C, h, w), finite")
    living = alive(weights)
    height, width = weights.shape[2:]
    chosen = _evenly(weights[living])
    measurable = living.any() and not _too_small(height, width)
    fits = _fitted(chosen.tobytes(), chosen.shape) if measurable else ()
    shares = [gabor.explained for gabor in fits]
    kept = [gabor for gabor in fits if is_oriented(gabor, height, width)]
    bins = _frequency_bins(max(height, width))
    return Likeness(
        filters=len(weights),
        living=int(living.sum()),
        fitted=len(fits),
        dead=float(1 - living.mean()),
        opponent=_opponent(weights[living]),
        gabor_share=float(np.median(shares)) if fits else None,
        oriented=len(kept) / len(fits) if fits else None,
        orientations=len(_orientations(kept)) if fits else None,
        frequencies=len(_frequencies(kept, bins)) if fits else None,
        frequency_bins=len(bins) - 1 if fits else None,
        reason=_reason(living, height, width),
        gabors=fits,
    )


def alive(weights: Floats) -> NDArray[np.bool_]:
    """Tell the filters (K,) whose norm is at least a twentieth of the strongest one's."""
    norms = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    living: NDArray[np.bool_] = norms > DEAD * norms.max(initial=0.0)
    return living


def shuffled(weights: Floats, rng: np.random.Generator) -> Floats:
    """Shuffle the pixels of each filter, the same way in all its channels."""
    filters, channels, height, width = weights.shape
    order = rng.permuted(np.tile(np.arange(height * width), (filters, 1)), axis=1)
    flat = weights.reshape(filters, channels, -1)
    return np.take_along_axis(flat, order[:, None], axis=2).reshape(weights.shape)


def is_oriented(gabor: Gabor, height: int, width: int) -> bool:
    """Tell whether a fit is good and its Gabor prefers one orientation."""
    responses = tuning(gabor, height, width, angles=36)
    across = responses[round(ORTHOGONAL / 5)]
    return gabor.explained >= GABOR_LIKE and bool(across <= TUNED * responses[0])


def axes(weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Split filters (K, C, h, w) into profile (K, h, w), colour axis (K, C) and its share (K,)."""
    filters, channels, height, width = weights.shape
    flat = weights.reshape(filters, channels, -1).astype(np.float64)
    left, sizes, right = np.linalg.svd(flat, full_matrices=False)
    profile = (sizes[:, :1] * right[:, 0]).reshape(filters, height, width)
    squares = sizes**2
    return profile, left[:, :, 0], squares[:, 0] / np.maximum(squares.sum(axis=1), 1e-300)


def _opponent(living: Floats) -> float | None:
    """Return the share of filters of three channels that set colours against each other."""
    if living.shape[1] != 3 or not len(living):
        return None
    _, axis, share = axes(living)
    grey = axis.sum(axis=1) ** 2 / 3
    against = (axis.max(axis=1) > 0) & (axis.min(axis=1) < 0)
    return float(np.mean((share >= ONE_AXIS) & (1 - grey >= COLOURED) & against))


@lru_cache(maxsize=32)
def _fitted(content: bytes, shape: tuple[int, ...]) -> tuple[Gabor, ...]:
    """Fit every filter; kept, because runs of a study share start weights and controls."""
    profiles, _, shares = axes(np.frombuffer(content).reshape(shape))
    found = (fit(profile) for profile in profiles)
    return tuple(
        Gabor(**{**asdict(gabor), "explained": float(gabor.explained * share)})
        for gabor, share in zip(found, shares, strict=True)
    )


def _evenly(living: Floats) -> NDArray[np.float64]:
    """Take at most `MOST_FITTED` filters, evenly from all."""
    count = min(len(living), MOST_FITTED)
    places = np.linspace(0, len(living) - 1, count).round().astype(int)
    return np.ascontiguousarray(living[places], dtype=np.float64)


def _orientations(gabors: Sequence[Gabor]) -> Counter[int]:
    width = 180 / ORIENTATIONS
    return Counter(round(gabor.orientation / width) % ORIENTATIONS for gabor in gabors)


def _frequencies(gabors: Sequence[Gabor], bins: Floats) -> set[int]:
    found = np.digitize([gabor.frequency for gabor in gabors], bins[1:-1])
    return set(found.tolist())


def _frequency_bins(side: int) -> Floats:
    """Return edges half an octave apart, from half a cycle a filter to half a cycle a pixel."""
    count = max(1, math.floor(2 * math.log2(side)))
    return 0.5 * 2.0 ** (-np.arange(count, -1, -1) / 2)


def _too_small(height: int, width: int) -> bool:
    return min(height, width) < SMALLEST_SIDE


def _reason(living: NDArray[np.bool_], height: int, width: int) -> str:
    if not living.any():
        return "no filter is alive"
    if _too_small(height, width):
        return (
            f"{height} x {width} filters have {height * width} pixels and a Gabor has {PARAMETERS} "
            f"parameters: it would fit noise as well; {SMALLEST_SIDE} x {SMALLEST_SIDE} is the "
            "least that can be measured"
        )
    if living.sum() > MOST_FITTED:
        return f"Gabors fitted to {MOST_FITTED} of {int(living.sum())} filters, taken evenly"
    return ""


def _restored(plain: dict[str, Any]) -> Likeness:
    gabors = tuple(Gabor(**gabor) for gabor in plain["gabors"])
    return Likeness(**{**plain, "gabors": gabors})
