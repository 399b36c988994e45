"""Gabors that were made must be found again: orientation, frequency, phase, place and size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from bakeoff.explain import gabor
from bakeoff.explain.gabor import Gabor, fit, tuning


def apart(one: float, other: float, period: float) -> float:
    return abs((one - other + period / 2) % period - period / 2)


def test_a_horizontal_wave_has_the_values_worked_out_by_hand() -> None:
    even = Gabor(
        0, 0, orientation=0, frequency=0.25, phase=0, along=1, across=2, amplitude=3, explained=1
    )
    values = even.values(3, 3)
    assert values[1, 1] == 3.0
    assert values[1, 2] == pytest.approx(0, abs=1e-12)  # a quarter of a cycle to the right
    assert values[0, 1] == pytest.approx(3 * math.exp(-1 / 8))  # along the stripe


@pytest.mark.parametrize("number", range(24))
def test_a_made_gabor_is_recovered(number: int) -> None:
    rng = np.random.default_rng(number)
    place = rng.uniform(-1, 1, 2)
    made = Gabor(
        *place,
        orientation=rng.uniform(0, 180),
        frequency=rng.uniform(0.12, 0.4),
        phase=rng.uniform(-180, 180),
        along=rng.uniform(1.2, 2.2),
        across=rng.uniform(1.2, 2.5),
        amplitude=rng.uniform(0.01, 5),
        explained=1.0,
    )
    found = fit(made.values(7, 7))
    assert found.explained > 0.999
    assert apart(found.orientation, made.orientation, 180) < 1
    assert found.frequency == pytest.approx(made.frequency, abs=0.01)
    np.testing.assert_allclose(found.values(7, 7), made.values(7, 7), atol=0.05 * made.amplitude)
    # the same function is written with the wave running the other way and the phase negated
    turned = abs(found.orientation - made.orientation) > 90
    assert apart(found.phase, -made.phase if turned else made.phase, 360) < 5


def test_with_noise_orientation_and_frequency_are_still_found() -> None:
    made = Gabor(0.3, -0.4, 50, 0.22, 70, 1.6, 2.0, 1.0, 1.0)
    clean = made.values(7, 7)
    noise = np.random.default_rng(0).normal(0, 0.3 * clean.std(), clean.shape)
    found = fit(clean + noise)
    assert apart(found.orientation, 50, 180) < 6
    assert found.frequency == pytest.approx(0.22, abs=0.02)
    assert 0.85 < found.explained < 0.99


def test_noise_is_not_explained() -> None:
    rng = np.random.default_rng(1)
    assert np.median([fit(rng.normal(size=(7, 7))).explained for _ in range(12)]) < 0.4


def test_slopes_are_the_derivatives() -> None:
    at = np.array([0.3, -0.4, 0.7, 0.2, 0.6, 0.4, 0.5, -0.8])
    x, y = gabor._places(5, 5)
    numeric = approx_fprime(at, lambda each: gabor._values(each, x, y), 1e-7)
    np.testing.assert_allclose(gabor._slopes(at, x, y), numeric, atol=1e-5)


def test_a_gabor_answers_to_its_own_orientation_and_a_blob_to_all() -> None:
    bar = Gabor(0, 0, 30, 0.25, 0, 1.8, 1.8, 1, 1)
    answers = tuning(bar, 7, 7)
    assert answers.argmax() in (0, 35, 1)
    assert answers[18] < 0.05 * answers[0]
    blob = tuning(Gabor(0, 0, 30, 0.02, 0, 1.5, 1.5, 1, 1), 7, 7)
    assert blob.min() > 0.95 * blob.max()


def test_nothing_can_be_fitted_to_zero() -> None:
    with pytest.raises(ValueError, match="all zero or not finite"):
        fit(np.zeros((7, 7)))
