"""The drawn data set: repeatable, even, and not to be told by colour alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bakeoff.data import plates
from bakeoff.data.drawing.brush import blob, scatter
from bakeoff.data.drawing.dishes import KINDS
from bakeoff.data.photographs import DataError
from bakeoff.data.sources import find


def test_counts_and_given_splits(spec):
    found = find(spec("plates"))
    assert found.classes == tuple(KINDS)
    assert len(found.classes) == 10
    assert (found.splits == "train").sum() == 2000
    assert (found.splits == "test").sum() == 500
    assert len(set(found.paths)) == 2500
    more = find(spec("plates", per_class=300))
    assert (more.splits == "train").sum() == 3000
    assert set(found.paths) < set(more.paths)
    assert find(spec("plates", classes={"every": 4})).classes == ("curry", "pie", "sushi")


@pytest.mark.parametrize("kind", KINDS)
def test_same_picture_each_time_and_another_for_each_number(kind):
    first = plates.draw(f"plates:{kind}/3", 32)
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, plates.draw(f"plates:{kind}/3", 32))
    assert not np.array_equal(first, plates.draw(f"plates:{kind}/4", 32))
    assert first.std() > 8


def test_the_scene_does_not_depend_on_the_side():
    small, large = (plates.draw("plates:pizza/1", side).astype(float) for side in (32, 128))
    reduced = large.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 10
    assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.97


def test_digests_tell_pictures_apart_at_any_side():
    assert plates.digest("plates:pizza/1") != plates.digest("plates:pizza/2")
    assert len(plates.digest("plates:pizza/1")) == 64


@pytest.mark.parametrize("path", ["plates:burger/1", "plates:pizza", "plates:pizza/x", "plates:/1"])
def test_unknown_pictures_are_refused(path):
    with pytest.raises(DataError, match="is no picture of plates"):
        plates.draw(path, 16)


def test_mean_colour_does_not_tell_the_kinds():
    def sample(first, count):
        numbers = range(first, first + count)
        images = [plates.draw(f"plates:{kind}/{n}", 24) for kind in KINDS for n in numbers]
        colours = np.stack(images).reshape(len(images), -1, 3).mean(axis=1)
        return colours, np.repeat(np.arange(10), count)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(*sample(0, 60))
    assert model.score(*sample(plates.FIRST_TEST, 30)) < 0.45


def test_scattered_places_stay_within_reach():
    rng = np.random.default_rng(0)
    assert max(map(abs, scatter(rng, 50, 0.7))) <= 0.7
    assert 0.5 < np.abs(blob(rng, 0.1)).min() < np.abs(blob(rng, 0.1)).max() < 1.5
