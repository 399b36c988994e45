"""The stopping rule: by hand, and its error rate and power over whole simulated studies."""

import itertools
import math

import numpy as np
import pytest

from bakeoff.evidence.paired import sign_flip
from bakeoff.evidence.sequential import first_look, next_step, next_steps, spent

STUDIES, MOST = 2000, 20
SEED_DEVIATION = 0.008  # of one run: a paired difference has sqrt(2) of it


def share_decided(differences, alpha=0.05):
    return np.mean(
        [
            next_step(row.tolist(), MOST, alpha, patterns=4096).decided is not None
            for row in differences
        ]
    )


def test_first_look_is_where_all_signs_agree():
    assert [first_look(alpha) for alpha in (0.05, 0.025, 0.05 / 7)] == [6, 7, 9]
    assert first_look(0.2) == 6


def test_spending_never_reaches_alpha():
    spends = [spent(0.05, seeds) for seeds in range(200)]
    assert spends[5] == 0
    assert spends[6] == pytest.approx(2 / 64)
    assert spends[7] == pytest.approx(0.05 - (0.05 - 2 / 64) * 0.85)
    assert all(later >= sooner for sooner, later in itertools.pairwise(spends))
    assert spends[-1] <= 0.05


def test_six_of_one_sign_decide_and_five_do_not():
    signs = [0.01, 0.03, 0.02, 0.015, 0.01, 0.02]
    five, six = next_step(signs[:5], 30), next_step(signs, 30)
    assert (five.decided, five.more) == (None, 1)
    assert (six.decided, six.more, six.seeds) == ("helped", 0, 6)
    assert next_step([-sign for sign in signs], 30).decided == "hurt"


def test_one_against_five_goes_on():
    step = next_step([0.01, 0.03, -0.001, 0.015, 0.01, 0.02], 30)
    assert (step.decided, step.more) == (None, 1)


def test_begins_with_six_and_ends_at_the_maximum():
    assert next_step([], 30).more == 6
    assert next_step([0.0] * 30, 30).more == 0
    assert next_step([], 5).more == 0
    assert next_step([], 8, alpha=0.05 / 7).more == 0


def test_what_was_decided_stays_decided():
    signs = [0.01, 0.03, 0.02, 0.015, 0.01, 0.02, -0.5, -0.5]
    assert next_step(signs, 30) == next_step(signs[:6], 30)


def test_no_difference_never_decides():
    assert next_step([0.0] * 12, 30).decided is None


def test_whatever_decides_has_a_small_fixed_p():
    """So the table, which tests at fixed n, never contradicts a stopped comparison."""
    draws = np.random.default_rng(1).normal(0.8, 1, (40, 15))
    for row in draws:
        step = next_step(row.tolist(), 15)
        if step.decided:
            assert sign_flip(row[: step.seeds]) <= 0.05 + 1e-12


NULLS = {
    "normal": lambda random, shape: random.normal(size=shape),
    "heavy tails": lambda random, shape: random.standard_t(2, size=shape),
    "rounded to few photographs": lambda random, shape: np.round(random.normal(size=shape)),
    "two noisy runs in ten": lambda random, shape: (
        random.normal(size=shape) * np.where(random.random(shape) < 0.2, 8, 1)
    ),
}


@pytest.mark.parametrize("name", NULLS)
def test_no_true_difference_is_rarely_decided(name):
    studies = STUDIES if name == "normal" else STUDIES // 4
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    draws = NULLS[name](np.random.default_rng(2), (studies, MOST))
    assert share_decided(draws) <= bound


def test_exact_counting_keeps_the_rate():
    """Every sign pattern of ten unequal sizes: exactly the spent share decides, or less."""
    sizes = np.random.default_rng(3).exponential(size=10)
    bits = np.arange(2**10)[:, None] >> np.arange(10) & 1
    decided = [next_step(row.tolist(), 10).decided is not None for row in sizes * (2.0 * bits - 1)]
    assert 0.8 * spent(0.05, 10) < np.mean(decided) <= spent(0.05, 10)


def test_two_points_are_found():
    draws = np.random.default_rng(4).normal(0.02, SEED_DEVIATION * math.sqrt(2), (400, MOST))
    steps = [next_step(row.tolist(), MOST, patterns=4096) for row in draws]
    assert np.mean([step.decided == "helped" for step in steps]) >= 0.98
    assert np.median([step.seeds for step in steps]) <= 7


def test_a_table_keeps_five_percent():
    random = np.random.default_rng(5)
    base = random.normal(size=(300, 1, MOST))
    tables = random.normal(size=(300, 4, MOST)) - base
    wrong = 0
    for table in tables:
        steps = next_steps(
            {str(k): row.tolist() for k, row in enumerate(table)}, MOST, patterns=1024
        )
        wrong += any(step.decided for step in steps.values())
    assert wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_a_decided_variant_leaves_its_share_to_the_rest():
    clear = [0.05, 0.06, 0.05, 0.07, 0.06, 0.05, 0.06]
    near = [0.02, 0.01, 0.03, 0.01, 0.02, 0.02]
    steps = next_steps({"near": near, "clear": clear}, 30)
    assert list(steps) == ["near", "clear"]
    assert (steps["clear"].decided, steps["clear"].level) == ("helped", 0.025)
    assert (steps["near"].decided, steps["near"].level) == ("helped", 0.05)
    assert next_steps({"near": near, "clear": near}, 30)["near"].decided is None


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        next_step([0.1], 10, alpha=0)
    with pytest.raises(ValueError, match="finite"):
        next_step([0.1, float("nan")], 10)
