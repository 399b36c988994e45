import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.power import noise_floor, seeds_needed, smallest_visible


def test_smallest_visible_is_seen_in_four_of_five_studies():
    effect = smallest_visible(0.008, 8)
    draws = np.random.default_rng(1).normal(effect, 0.008, (20_000, 8))
    seen = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert seen == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 20_000))


@pytest.mark.parametrize("count", [2, 3, 6, 30, 300, 5000])
def test_smallest_visible_tends_to_the_normal_formula(count):
    simple = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / math.sqrt(count)
    found = smallest_visible(1.0, count)
    assert found >= simple * (1 - 1e-9)
    assert count < 300 or found == pytest.approx(simple, rel=0.005)


def test_seeds_needed_is_the_first_that_suffices():
    needed = seeds_needed(0.0113, 0.01)
    assert needed == 13  # the classic table: effect 0.885, paired, 80 %
    assert smallest_visible(0.0113, 13) <= 0.01 < smallest_visible(0.0113, 12)


def test_seeds_needed_at_the_edges():
    assert seeds_needed(0.0, 0.01, least=6) == 6
    assert seeds_needed(0.001, 0.01, least=9) == 9
    assert seeds_needed(5.0, 0.01) is None
    assert seeds_needed(0.01 * math.sqrt(9000) / 2.81, 0.01) is not None
    with pytest.raises(ValueError, match="above 0"):
        seeds_needed(0.01, 0.0)
    with pytest.raises(ValueError, match="at least 2"):
        smallest_visible(0.01, 1)


def test_noise_floor_by_hand():
    floor = noise_floor([0.80, 0.81, 0.82])
    assert floor.deviation == pytest.approx(0.01)
    assert floor.single == pytest.approx(4.302653 * 0.01 * math.sqrt(2), rel=1e-6)
    assert floor.of_means(4) == pytest.approx(floor.single / 2)
    assert floor.deviation_interval.low == pytest.approx(0.01 * math.sqrt(2 / 7.377759), rel=1e-6)
    assert noise_floor([0.8]) is None


@pytest.mark.parametrize("runs", [1, 5])
def test_noise_floor_covers_further_differences(runs):
    random = np.random.default_rng(2)
    within = 0
    for accuracies in random.normal(0.8, 0.008, (2000, 5)):
        one, other = random.normal(0.8, 0.008, (2, runs)).mean(axis=1)
        within += abs(one - other) <= noise_floor(accuracies).of_means(runs)
    assert abs(within / 2000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)
