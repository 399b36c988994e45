import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.abstention import abstain, choose_threshold


def answers(random, count, classes=3):
    """Honest confidences: right exactly as often as it says."""
    sure = random.uniform(0.4, 1.0, count)
    labels = random.integers(0, classes, count)
    right = random.random(count) < sure
    first = np.where(right, labels, (labels + 1) % classes)
    shares = np.repeat((1 - sure)[:, None] / (classes - 1), classes, axis=1)
    shares[np.arange(count), first] = sure
    return shares, labels


def risk(threshold):
    """The error of honest confidences above a threshold."""
    return (1 - threshold) / 2


def test_too_few_photographs_promise_nothing():
    # a walk is given a quarter of 5 %: 0.95^86 <= 0.0125 < 0.95^85
    certain = np.ones(100) - np.arange(100) / 1e4
    right = np.ones(100, bool)
    assert choose_threshold(certain[:85], right[:85], error=0.05, confidence=0.95) is None
    assert choose_threshold(certain[:86], right[:86], error=0.05, confidence=0.95) == certain[85]


def test_threshold_passes_the_clopper_pearson_bound():
    shares, labels = answers(np.random.default_rng(1), 4000)
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    threshold = choose_threshold(sure, right, error=0.1, confidence=0.95)
    taken = sure >= threshold
    wrong = int((~right[taken]).sum())
    bound = stats.beta.ppf(1 - 0.05 / 4, wrong + 1, taken.sum() - wrong)
    assert bound <= 0.1


def test_the_promise_is_kept_and_not_wastefully():
    random = np.random.default_rng(2)
    studies, broken, coverage = 600, 0, []
    for _ in range(studies):
        shares, labels = answers(random, 1500)
        threshold = choose_threshold(
            shares.max(axis=1), shares.argmax(axis=1) == labels, error=0.1, confidence=0.95
        )
        broken += threshold is not None and risk(threshold) > 0.1
        coverage.append(0.0 if threshold is None else (1 - threshold) / 0.6)
    assert broken / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert np.mean(coverage) > 0.45 * (0.2 / 0.6)  # of what perfect knowledge would answer


def test_counts_by_hand():
    shares, labels = answers(np.random.default_rng(3), 8000)
    few = np.array([[0.99, 0.005, 0.005], [0.99, 0.005, 0.005], [0.4, 0.3, 0.3]])
    promise = abstain((shares, labels), (few, np.array([0, 1, 2])), error=0.1)
    assert 0.4 < promise.threshold < 0.99
    assert (promise.test.count, promise.test.accepted, promise.test.errors) == (3, 2, 1)
    assert promise.test.coverage == pytest.approx(2 / 3)
    assert promise.test.error == 0.5
    assert [each.accepted for each in promise.classes] == [1, 1, 0]
    assert (promise.classes[2].error, promise.classes[2].interval) == (None, None)


def test_a_net_that_guesses_accepts_nothing():
    random = np.random.default_rng(4)
    guess = random.dirichlet(np.ones(3), 500), random.integers(0, 3, 500)
    promise = abstain(guess, guess, error=0.05)
    assert (promise.threshold, promise.test.accepted, promise.test.coverage) == (None, 0, 0.0)


def test_ties_are_accepted_together():
    sure = np.array([0.9] * 200 + [0.5] * 200)
    right = np.arange(400) % 2 == 0
    right[:200] = True
    assert choose_threshold(sure, right, error=0.05, confidence=0.95) == 0.9


def test_impossible_promises_are_refused():
    with pytest.raises(ValueError, match="error"):
        choose_threshold(np.ones(9), np.ones(9, bool), error=0.0, confidence=0.95)
