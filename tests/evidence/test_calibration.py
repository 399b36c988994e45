import math

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.metrics import log_loss

from bakeoff.evidence.calibration import (
    calibrate,
    calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)


def drawn(random, count, heat, classes=5):
    """Logits that are `heat` times too sharp for the labels drawn from them."""
    logits = random.normal(0, 2, (count, classes))
    chances = special.softmax(logits, axis=1)
    labels = (random.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return (heat * logits).astype(np.float32), labels


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_right_temperature_is_found(heat):
    logits, labels = drawn(np.random.default_rng(1), 5000, heat)
    assert fit_temperature(logits, labels) == pytest.approx(heat, rel=0.06)


def test_temperature_is_scipys_minimum():
    logits, labels = drawn(np.random.default_rng(2), 300, 2.0)
    scipys = optimize.minimize_scalar(
        lambda t: log_loss(labels, probabilities(logits, t)), bounds=(0.1, 10), method="bounded"
    )
    assert fit_temperature(logits, labels) == pytest.approx(scipys.x, rel=1e-4)


def test_temperature_stays_in_its_bounds():
    logits = np.array([[3.0, 0.0], [0.0, 3.0]])
    assert fit_temperature(logits, np.array([0, 1])) == 0.05
    assert fit_temperature(logits, np.array([1, 0])) == 20.0


def test_error_by_hand():
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 1])
    # bin of 0.9: |0.5 - 0.9| for half of them; bin of 0.6: |1 - 0.6| for the other half
    assert calibration_error(shares, labels, bins=10).value == pytest.approx(0.4)
    low, high = reliability(shares, labels, bins=10)
    assert (low.count, low.accuracy, low.confidence) == (2, 1.0, pytest.approx(0.6))
    assert (high.low, high.high, high.accuracy) == (0.9, 1.0, 0.5)
    assert high.interval.low == pytest.approx(0.0126, abs=1e-4)


def test_calibration_mends_too_sharp_a_net():
    random = np.random.default_rng(3)
    found = calibrate(*drawn(random, 2000, 2.5), *drawn(random, 2000, 2.5))
    assert found.before.value > 0.1 > found.before.chance
    assert found.before.interval.low > found.after.interval.high
    assert found.after.value < 0.04


def test_error_interval_covers():
    """Two bins, one of them 0.2 too sure: the true error is 0.1."""
    random = np.random.default_rng(4)
    studies, hits = 300, 0
    for _ in range(studies):
        sure = np.where(np.arange(600) < 300, 0.9, 0.6)
        right = random.random(600) < np.where(sure > 0.8, 0.7, 0.6)
        found = calibration_error(
            np.stack([sure, 1 - sure], axis=1), (~right).astype(np.int64), draws=200
        )
        hits += not found.interval.excludes(0.1)
    assert abs(hits / studies - 0.95) < 3 * math.sqrt(0.95 * 0.05 / studies) + 0.01


def test_a_calibrated_net_is_not_called_miscalibrated():
    random = np.random.default_rng(5)
    for _ in range(10):
        logits, labels = drawn(random, 500, 1.0)
        found = calibration_error(probabilities(logits), labels, draws=200)
        assert found.interval.low == 0
        assert 0.5 * found.chance < found.value < 2 * found.chance


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one label a photograph"):
        fit_temperature(np.ones((3, 2)), np.zeros(2, np.int64))
