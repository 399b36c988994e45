import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.images import crossed, mcnemar, photograph_interval


def simulated(random, seeds, photographs, seed_spread, photograph_spread, lead=0.02):
    """Two nets' correctness: a photograph's difficulty, a seed's mood, chance; true lead known."""
    hard = random.normal(0, photograph_spread, photographs)
    mood = random.normal(0, seed_spread, (seeds, 1))
    base = random.random((seeds, photographs)) < 0.7
    shift = np.clip(lead + mood + hard, -0.3, 0.3)
    lifted = (~base) & (random.random(base.shape) < np.clip(shift, 0, 1) / 0.3)
    dropped = base & (random.random(base.shape) < np.clip(-shift, 0, 1) / 0.7)
    return base, (base | lifted) & ~dropped


def test_mcnemar_by_hand():
    base = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    variant = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)
    found = mcnemar(base, variant)
    assert (found.gained, found.lost) == (4, 1)
    assert found.p == pytest.approx(2 * (1 + 5) / 32)
    assert mcnemar(base, base).p == 1.0


def test_photograph_interval_is_the_normal_one_where_that_holds():
    base, variant = simulated(np.random.default_rng(1), 4, 4000, 0.0, 0.1)
    lead = variant.mean(axis=0) - base.mean(axis=0)
    half = 1.96 * lead.std(ddof=1) / math.sqrt(4000)
    found = photograph_interval(base, variant)
    assert found.low == pytest.approx(lead.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(lead.mean() + half, abs=0.1 * half)


def test_photograph_interval_covers():
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(600):
        base = random.random((1, 400)) < 0.7
        variant = np.where(random.random((1, 400)) < 0.2, random.random((1, 400)) < 0.8, base)
        hits += not photograph_interval(base, variant, draws=400).excludes(0.02)
    assert abs(hits / 600 - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 / 600)


def test_crossed_by_hand():
    base = np.array([[0, 0], [0, 0]], bool)
    variant = np.array([[1, 1], [1, 0]], bool)
    # differences 1 1 / 1 0: MS of rows, of columns and of the rest are 0.25 each
    found = crossed(base, variant)
    assert found.mean == 0.75
    assert found.seed_error == found.photograph_error == pytest.approx(math.sqrt(0.25 / 4))
    # Satterthwaite: 0.25^2 / (0.25^2 / 1 * 3) = 1/3 degrees of freedom
    half = stats.t.ppf(0.975, 1 / 3) * math.sqrt(0.25 / 4)
    assert found.interval.high == pytest.approx(0.75 + half)


def test_crossed_tends_to_the_pigeonhole_bootstrap():
    random = np.random.default_rng(3)
    base, variant = simulated(random, 40, 500, 0.05, 0.1)
    difference = variant.astype(float) - base
    means = [
        difference[np.ix_(random.integers(0, 40, 40), random.integers(0, 500, 500))].mean()
        for _ in range(1500)
    ]
    interval = crossed(base, variant).interval
    assert interval.high - interval.low == pytest.approx(3.92 * np.std(means), rel=0.12)


@pytest.mark.parametrize(
    ("seed_spread", "photograph_spread"), [(0.0, 0.08), (0.03, 0.0), (0.03, 0.08)]
)
def test_crossed_covers_with_six_seeds(seed_spread, photograph_spread):
    random = np.random.default_rng(4)
    hits, studies = 0, 800
    for _ in range(studies):
        found = crossed(*simulated(random, 6, 300, seed_spread, photograph_spread))
        hits += not found.interval.excludes(0.02)
    assert hits / studies > 0.95 - 3 * math.sqrt(0.95 * 0.05 / studies)
    assert hits / studies < 0.99


def test_one_seed_or_one_photograph_is_not_crossed():
    base = np.zeros((1, 5), bool)
    assert crossed(base, ~base) is None
    assert crossed(base.T[:, :1], ~base.T[:, :1]) is None


def test_no_difference_at_all():
    base = np.ones((3, 7), bool)
    found = crossed(base, base)
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="both"):
        photograph_interval(np.ones((2, 3), bool), np.ones((2, 4), bool))
