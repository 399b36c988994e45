import numpy as np
import pytest

from bakeoff.evidence.curve import learning_curve

SIZES = (150, 300, 450, 600)


def accuracy(count):
    return 1 - (0.1 + 2.0 * count**-0.5)


def test_an_exact_law_is_found_again():
    curve = learning_curve({size: [accuracy(size)] for size in SIZES})
    assert (curve.floor, curve.scale, curve.power) == pytest.approx((0.1, 2.0, 0.5), rel=1e-6)
    gained, interval = curve.gain(100)
    assert gained == pytest.approx(accuracy(700) - accuracy(600))
    assert interval is curve.interval(700) is None  # one seed shows no spread


@pytest.mark.parametrize("seeds", [2, 4])
def test_interval_covers_what_100_more_bring(seeds):
    random = np.random.default_rng(1)
    truth, studies = accuracy(700) - accuracy(600), 200
    hits = widths = 0
    for study in range(studies):
        noisy = {size: random.normal(accuracy(size), 0.006, seeds) for size in SIZES}
        curve = learning_curve(noisy, draws=300, seed=study)
        interval = curve.gain(100)[1]
        hits += not interval.excludes(truth)
        widths += interval.high - interval.low
        assert not curve.interval(700).excludes(curve.accuracy(700))
    assert hits / studies >= 0.93
    assert widths / studies < 0.03


def test_error_never_falls_below_zero():
    curve = learning_curve({10: [0.5, 0.52], 20: [0.9, 0.91], 40: [0.999, 1.0]})
    assert curve.floor >= 0
    assert curve.scale >= 0
    assert curve.accuracy(10_000) <= 1


def test_order_of_seeds_changes_nothing():
    random = np.random.default_rng(2)
    noisy = {size: random.normal(accuracy(size), 0.006, 4) for size in SIZES}
    turned = {size: noisy[size][::-1] for size in reversed(SIZES)}
    assert learning_curve(noisy).gain() == learning_curve(turned).gain()


def test_two_sizes_are_no_curve():
    with pytest.raises(ValueError, match="at least three"):
        learning_curve({10: [0.5], 20: [0.6]})
