"""V1 likeness on layers of which the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bakeoff.explain import v1
from bakeoff.explain.gabor import Gabor

GREY, RED_GREEN = np.array([1.0, 1.0, 1.0]), np.array([1.0, -1.0, 0.0])


def layer(colour: np.ndarray = GREY, count: int = 8, scale: float = 1.0) -> np.ndarray:
    """Bars of `count` orientations and two frequencies, all of one colour axis."""
    bars = [
        Gabor(0, 0, 180 * n / count, (0.2, 0.3)[n % 2], 40.0 * n, 1.5, 2.0, scale, 1).values(7, 7)
        for n in range(count)
    ]
    return np.array(bars)[:, None] * colour[None, :, None, None]


def test_bars_are_oriented_and_cover_every_orientation() -> None:
    found = v1.measure(layer())
    assert (found.filters, found.living, found.fitted, found.dead) == (8, 8, 8, 0.0)
    assert found.oriented == 1.0
    assert found.gabor_share == pytest.approx(1.0, abs=1e-3)
    assert (found.orientations, found.frequencies, found.frequency_bins) == (8, 2, 5)
    assert found.opponent == 0.0
    assert found.reason == ""


def test_bars_of_one_orientation_cover_one() -> None:
    one = np.repeat(layer()[2:3], 4, axis=0)
    found = v1.measure(one)
    assert (found.oriented, found.orientations, found.frequencies) == (1.0, 1, 1)


def test_red_against_green_is_opponent_and_red_and_green_together_is_not() -> None:
    assert v1.measure(layer(RED_GREEN)).opponent == 1.0
    assert v1.measure(layer(np.array([1.0, 0.0, 0.0]))).opponent == 0.0
    mixed = np.concatenate((layer(RED_GREEN, 2), layer(GREY, 6)))
    assert v1.measure(mixed).opponent == 0.25


def test_a_filter_of_several_colour_axes_is_no_gabor() -> None:
    rng = np.random.default_rng(0)
    profiles = rng.permuted(layer(count=8)[:, 0], axis=0)
    mixed = np.stack((layer()[:, 0], profiles[::-1], profiles[[3, 4, 5, 6, 7, 0, 1, 2]]), axis=1)
    found = v1.measure(mixed)
    assert found.gabor_share is not None
    assert found.gabor_share < 0.75


def test_dead_filters_are_counted_and_left_out() -> None:
    weights = np.concatenate((layer(), layer(scale=0.01), np.zeros((4, 3, 7, 7))))
    found = v1.measure(weights)
    assert (found.filters, found.living, found.dead) == (20, 8, 0.6)
    assert found.oriented == 1.0
    assert v1.alive(weights).tolist() == [True] * 8 + [False] * 12


def test_blobs_are_explained_but_not_oriented() -> None:
    blob = Gabor(0.3, 0, 0, 0.0, 0, 1.6, 1.6, 1, 1).values(7, 7)
    found = v1.measure(np.repeat(blob[None, None], 3, axis=1).repeat(4, axis=0))
    assert found.gabor_share == pytest.approx(1.0, abs=1e-3)
    assert (found.oriented, found.orientations, found.frequencies) == (0.0, 0, 0)


def test_controls_lose_what_training_gave() -> None:
    found = v1.compare(layer(count=16), start=layer(RED_GREEN, count=16))
    assert found.own.oriented == 1.0
    assert found.random.oriented == 0.0
    assert found.shuffled.oriented is not None
    assert found.shuffled.oriented < 0.3
    assert found.shuffled.gabor_share is not None
    assert found.shuffled.gabor_share < 0.7
    assert found.start is not None
    assert found.start.opponent == 1.0
    assert v1.compare(layer(count=16)) == v1.compare(layer(count=16))


def test_shuffling_keeps_each_pixel_with_its_colour() -> None:
    weights = layer(RED_GREEN)
    mixed = v1.shuffled(weights, np.random.default_rng(0))
    assert not np.allclose(mixed, weights)
    np.testing.assert_allclose(mixed[:, 1], -mixed[:, 0])
    for before, after in zip(weights, mixed, strict=True):
        np.testing.assert_allclose(np.sort(before[0].ravel()), np.sort(after[0].ravel()))


@pytest.mark.parametrize("side", [1, 3, 4])
def test_small_filters_say_why_they_are_not_measured(side: int) -> None:
    found = v1.measure(np.random.default_rng(0).normal(size=(6, 3, side, side)))
    assert found.gabor_share is found.oriented is found.orientations is found.frequencies is None
    assert f"{side} x {side} filters have {side * side} pixels" in found.reason
    assert found.dead == 0.0
    assert found.opponent is not None


def test_a_layer_without_any_weight_is_measured_too() -> None:
    found = v1.measure(np.zeros((4, 3, 7, 7)))
    assert (found.dead, found.living, found.oriented, found.opponent) == (1.0, 0, None, None)
    assert found.reason == "no filter is alive"


def test_many_filters_are_sampled_and_that_is_said() -> None:
    found = v1.measure(np.tile(layer(), (10, 1, 1, 1)))
    assert found.fitted == 64
    assert found.reason == "Gabors fitted to 64 of 80 filters, taken evenly"


def test_grey_layers_have_no_colour() -> None:
    assert v1.measure(layer()[:, :1]).opponent is None


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        v1.measure(np.zeros((4, 3, 7)))


def test_a_comparison_survives_json() -> None:
    found = v1.compare(layer(), start=layer(RED_GREEN))
    back = v1.restored(json.loads(json.dumps(found.plain())))
    assert back.own == found.own
    assert back.start == found.start
    assert back.random.gabor_share == found.random.gabor_share
    assert back.random.gabors == ()
