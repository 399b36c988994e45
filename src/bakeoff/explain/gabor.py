"""A two-dimensional Gabor function fitted to a filter, as is done with receptive fields of V1.

Method: Jones and Palmer, "An evaluation of the two-dimensional Gabor filter model of simple
receptive fields in cat striate cortex", J. Neurophysiol. 58 (1987). Starts come from a dictionary
of Gabors, whose two quadrature amplitudes are a linear problem; SciPy refines the best of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

PARAMETERS = 8
STARTS = 3
MOST_EVALUATIONS = 60
ANGLES = 8
ORTHOGONAL = 90.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gabor:
    """amplitude · exp(-u²/2σu² - v²/2σv²) · cos(2π·frequency·u + phase), fitted to a filter.

    x, y        : centre in pixels from the filter's middle, to the right and downwards
    orientation : degrees in [0, 180) of the u axis, along which the wave runs, from x towards y;
                  the stripes stand at a right angle to it
    frequency   : cycles a pixel, at most 0.5
    phase       : degrees in (-180, 180]; 0 is even (a bar), ±90 odd (an edge)
    along, across : σu and σv, pixels
    explained   : share of the filter's squared values that the function accounts for, 0..1
    """

    x: float
    y: float
    orientation: float
    frequency: float
    phase: float
    along: float
    across: float
    amplitude: float
    explained: float

    def values(self, height: int, width: int) -> Floats:
        """Return the function at the pixels of a filter, (height, width)."""
        angle, phase = math.radians(self.orientation), math.radians(self.phase)
        a, b = self.amplitude * math.cos(phase), self.amplitude * math.sin(phase)
        point = (self.x, self.y, angle, self.frequency)
        parameters = np.array((*point, math.log(self.along), math.log(self.across), a, b))
        return _values(parameters, *_places(height, width)).reshape(height, width)


def fit(profile: NDArray[np.floating]) -> Gabor:
    """Fit a Gabor to `profile` (h, w); raises ValueError for one without any value but zero."""
    height, width = profile.shape
    norm = float(np.linalg.norm(profile))
    if not norm > 0 or not math.isfinite(norm):
        raise ValueError("profile: all zero or not finite is not allowed; nothing can be fitted")
    target = profile.astype(np.float64).ravel() / norm
    places = _places(height, width)
    bounds = _bounds(height, width)
    best, least = np.zeros(PARAMETERS), math.inf
    for start in _starts(target, height, width):
        found = least_squares(
            lambda parameters: _values(parameters, *places) - target,
            np.clip(start, bounds[0] + 1e-6, bounds[1] - 1e-6),
            jac=lambda parameters: _slopes(parameters, *places),
            bounds=bounds,
            x_scale=_scale(height, width),
            max_nfev=MOST_EVALUATIONS,
        )
        if found.cost < least:
            best, least = found.x, float(found.cost)
    return _named(best, norm, explained=min(max(1 - 2 * least, 0.0), 1.0))


def tuning(gabor: Gabor, height: int, width: int, angles: int = 36) -> Floats:
    """Return the response (angles,) to gratings of its own frequency, turned over 180 degrees.

    The first is the preferred orientation. Phase is left free, as for a complex cell.
    """
    x, y = _places(height, width)
    turned = math.radians(gabor.orientation) + np.arange(angles) * math.pi / angles
    wave = np.cos(turned)[:, None] * x + np.sin(turned)[:, None] * y
    grating = np.exp(2j * math.pi * gabor.frequency * wave)
    responses: Floats = np.abs(grating @ gabor.values(height, width).ravel())
    return responses


def _places(height: int, width: int) -> tuple[Floats, Floats]:
    """Return x and y of each pixel, row by row, from the middle."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return (x - (width - 1) / 2).ravel(), (y - (height - 1) / 2).ravel()


def _turned(parameters: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    x0, y0, angle = parameters[:3]
    right, down = x - x0, y - y0
    u = right * math.cos(angle) + down * math.sin(angle)
    return u, down * math.cos(angle) - right * math.sin(angle)


def _values(parameters: Floats, x: Floats, y: Floats) -> Floats:
    """Return the Gabor at (x, y); parameters are x, y, angle, frequency, log σu, log σv, a, b."""
    u, v = _turned(parameters, x, y)
    frequency, along, across, a, b = *parameters[3:4], *np.exp(parameters[4:6]), *parameters[6:]
    envelope = np.exp(-((u / along) ** 2 + (v / across) ** 2) / 2)
    wave = 2 * math.pi * frequency * u
    values: Floats = envelope * (a * np.cos(wave) - b * np.sin(wave))
    return values


def _slopes(parameters: Floats, x: Floats, y: Floats) -> Floats:
    """Return the derivatives of `_values`, (pixels, 8)."""
    u, v = _turned(parameters, x, y)
    angle, frequency = parameters[2:4]
    along, across = np.exp(parameters[4:6])
    a, b = parameters[6:]
    envelope = np.exp(-((u / along) ** 2 + (v / across) ** 2) / 2)
    even, odd = np.cos(2 * math.pi * frequency * u), np.sin(2 * math.pi * frequency * u)
    values = envelope * (a * even - b * odd)
    carrier = -2 * math.pi * envelope * (a * odd + b * even)
    by_u = carrier * frequency - u / along**2 * values
    by_v = -v / across**2 * values
    cosine, sine = math.cos(angle), math.sin(angle)
    slopes = (
        by_v * sine - by_u * cosine,
        -by_u * sine - by_v * cosine,
        by_u * v - by_v * u,
        carrier * u,
        (u / along) ** 2 * values,
        (v / across) ** 2 * values,
        envelope * even,
        -envelope * odd,
    )
    return np.stack(slopes, axis=1)


def _bounds(height: int, width: int) -> tuple[Floats, Floats]:
    """Keep the centre inside, the frequency below Nyquist's, and σ from half a pixel to a side."""
    right, down, side = (width - 1) / 2, (height - 1) / 2, max(height, width)
    inf, narrow, wide = math.inf, math.log(0.5), math.log(side)
    low = (-right, -down, -inf, 0.0, narrow, narrow, -inf, -inf)
    high = (right, down, inf, 0.5, wide, wide, inf, inf)
    return np.array(low), np.array(high)


def _scale(height: int, width: int) -> Floats:
    side = max(height, width)
    return np.array((side / 4, side / 4, 0.5, 1 / side, 0.5, 0.5, 0.3, 0.3))


def _starts(target: Floats, height: int, width: int) -> Iterator[Floats]:
    """Give the best atoms for `target`, each of another orientation."""
    atoms, bases, inverses = _dictionary(height, width)
    projected = bases @ target  # (atoms, 2)
    amplitudes = np.einsum("nij,nj->ni", inverses, projected)
    explained = (amplitudes * projected).sum(axis=1)
    of_angle = explained.reshape(ANGLES, -1)
    best = of_angle.argmax(axis=1) + np.arange(ANGLES) * of_angle.shape[1]
    for place in best[np.argsort(-explained[best])][:STARTS]:
        yield np.concatenate((atoms[place], amplitudes[place]))


@lru_cache(maxsize=8)
def _dictionary(height: int, width: int) -> tuple[Floats, Floats, Floats]:
    """Return atoms (N, 6), their quadrature pairs (N, 2, pixels) and inverse Gram matrices."""
    side = max(height, width)
    angles = np.arange(ANGLES) * math.pi / ANGLES
    frequencies = np.geomspace(0.5 / side, 0.45, 6)
    sizes = np.log(np.array((0.15, 0.25, 0.4)) * side)
    shifts = (-side / 5, 0.0, side / 5)
    grid = product(angles, frequencies, sizes, shifts, shifts)
    atoms = np.array([(x, y, angle, f, size, size) for angle, f, size, x, y in grid])
    places = _places(height, width)
    pairs = [[_values(np.append(atom, pair), *places) for pair in np.eye(2)] for atom in atoms]
    bases = np.array(pairs)
    gram = bases @ bases.transpose(0, 2, 1)
    gram += 1e-9 * np.eye(2)
    return atoms, bases, np.linalg.inv(gram)


def _named(parameters: Floats, norm: float, explained: float) -> Gabor:
    """Name the parameters, the orientation brought into [0, 180) and the phase with it."""
    x, y, angle, frequency, along, across, a, b = map(float, parameters)
    phase = math.atan2(b, a)
    half_turns = math.floor(angle / math.pi)
    if half_turns % 2:
        phase = -phase
    orientation = math.degrees(angle - half_turns * math.pi) % 180
    size = norm * math.hypot(a, b)
    spread = math.exp(along), math.exp(across)
    degrees = math.degrees(phase)
    return Gabor(x, y, orientation, frequency, degrees, *spread, size, explained)
