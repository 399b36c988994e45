import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.paired import (
    Interval,
    holm,
    k_fold,
    least_seeds,
    paired,
    sign_flip,
    smallest_p,
)


def test_by_hand():
    # mean 2, squares 1 + 0 + 1, deviation 1, half-width 4.302653 / sqrt(3)
    found = paired([0.01, 0.02, 0.03])
    assert found.mean == pytest.approx(0.02)
    assert found.deviation == pytest.approx(0.01)
    assert found.interval is not None
    assert found.interval.high - 0.02 == pytest.approx(0.01 * 4.302653 / math.sqrt(3), rel=1e-6)
    assert found.p == pytest.approx(2 / 8)


def test_sign_flip_by_hand():
    # of the eight sums of ±1 ±2 ±4 only ±7 and ±5 reach |4 + 2 - 1| = 5
    assert sign_flip([-1, 2, 4]) == pytest.approx(4 / 8)
    assert sign_flip([0.0, 0.0]) == 1.0


def test_sign_flip_is_scipys():
    differences = np.random.default_rng(3).normal(0.4, 1, 11)
    scipys = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert sign_flip(differences) == pytest.approx(scipys.pvalue, abs=1e-12)


def test_beyond_twenty_it_is_drawn():
    differences = np.random.default_rng(4).normal(0.4, 1, 21)
    exact_like = stats.ttest_1samp(differences, 0).pvalue
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip(differences) == pytest.approx(exact_like, abs=0.02)
    assert sign_flip(np.ones(21)) == pytest.approx(1 / 100_001, rel=0.5)


@pytest.mark.parametrize(("count", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_smallest_p(count, smallest):
    assert smallest_p(count) == smallest == sign_flip(np.linspace(1, 2, count))


def test_seeds_that_a_table_needs():
    assert [least_seeds(changes) for changes in (1, 2, 7, 20)] == [6, 7, 9, 10]


def test_one_seed_shows_no_spread():
    found = paired([0.05])
    assert (found.count, found.mean) == (1, 0.05)
    assert found.deviation is found.interval is found.p is None


def test_nonsense_is_refused():
    for differences in ([], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="at least one finite number"):
            paired(differences)


def test_order_changes_nothing():
    differences = np.random.default_rng(5).normal(size=12)
    assert paired(differences) == paired(differences[::-1])


def test_interval_covers():
    draws = np.random.default_rng(6).normal(0.02, 0.008, (2000, 6))
    hits = sum(not paired(row).interval.excludes(0.02) for row in draws)
    assert abs(hits / 2000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_holm_counts_what_has_no_p_yet():
    assert holm([0.01, None, None]) == [pytest.approx(0.03), None, None]


def test_nadeau_bengio_by_hand():
    # s = 1, n = 4: the variance of the mean is 1/4 + 1/2 instead of 1/4
    values = np.array([-1.0, 1.0, -1.0, 1.0]) * math.sqrt(3) / 2 + 2
    found = paired(values, test_per_train=0.5)
    assert found.deviation == pytest.approx(1)
    assert found.interval.high - found.mean == pytest.approx(3.182446 * math.sqrt(0.75), rel=1e-6)
    t_test = 2 * stats.t.sf(2 / math.sqrt(0.75), 3)
    assert found.p == pytest.approx(max(t_test, 2 / 16))


def test_equal_differences_prove_no_more_than_their_number():
    assert paired([0.01] * 6, test_per_train=0.25).p == pytest.approx(2 / 64)
    assert paired([0.0] * 6, test_per_train=0.25).p == 1.0


def test_folds_use_their_own_share():
    differences = np.random.default_rng(7).normal(size=(3, 5))
    found = k_fold(differences)
    assert found == paired(differences.ravel(), test_per_train=1 / 4)
    assert found.count == 15
    with pytest.raises(ValueError, match="at least 2"):
        k_fold([[1.0], [2.0]])


def test_fold_interval_covers_overlapping_folds():
    """Folds correlated as Nadeau and Bengio take them to be (rho = the test share)."""
    random = np.random.default_rng(8)
    share, folds, studies = 1 / 5, 5, 2000
    common = random.normal(size=(studies, 1)) * math.sqrt(share)
    own = random.normal(size=(studies, folds)) * math.sqrt(1 - share)
    hits = sum(not k_fold(row).interval.excludes(0.0) for row in common + own)
    plain = sum(not paired(row).interval.excludes(0.0) for row in common + own)
    assert abs(hits / studies - 0.95) < 3 * math.sqrt(0.95 * 0.05 / studies)
    assert plain / studies < 0.90


def test_interval_excludes_outside_only():
    interval = Interval(0.0, 1.0)
    assert not interval.excludes(0.0)
    assert interval.excludes(-0.1)
