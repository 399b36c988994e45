import pytest

from bakeoff.evidence.cost import costs, pareto, points_per_minute
from bakeoff.evidence.verdict import compare

TABLE = {"t": {"base": "plain", "variants": {"slow": {"lr": 0.01}, "worse": {"lr": 0.1}}}}


def test_front_by_hand():
    points = [(60, 0.7), (30, 0.6), (90, 0.7), (120, 0.8), (30, 0.5), (60, 0.7)]
    assert pareto(points) == (1, 0, 5, 3)
    assert pareto([]) == ()


def test_points_per_minute_by_hand():
    assert points_per_minute(0.03, 90) == pytest.approx(2.0)
    assert points_per_minute(0.03, 0) is None


def test_rows(make_runs, made):
    rates = {"plain": 0.5, "slow": 0.8, "worse": 0.3}
    seconds = {"plain": 60.0, "slow": 120.0, "worse": 90.0}

    def plan(variant, seed):
        failed = (variant, seed) == ("slow", 1)
        return made(
            rates[variant], "failed" if failed else "finished", seconds=seconds[variant] + seed
        )

    runs = make_runs(TABLE, 2, plan)
    plain, slow, worse = costs(runs)
    gain = compare(runs)[0].difference  # over seed 0, in two minutes
    assert (plain.count, plain.seconds, plain.on_front) == (2, 60.5, True)
    assert plain.seconds_deviation == pytest.approx(0.5**0.5)
    assert plain.points_per_minute is None
    assert (slow.count, slow.seconds_deviation, slow.on_front) == (1, None, True)
    assert slow.missing == ("t/slow/seed-1: failed",)
    assert slow.points_per_minute == pytest.approx(100 * gain / 2)
    assert (worse.on_front, worse.parameters, worse.trainable_parameters) == (False, 1000, 100)
    assert worse.points_per_minute < 0


def test_nothing_finished(make_runs, made):
    for row in costs(make_runs(TABLE, 1, lambda *_: made(state="failed"))):
        assert (row.count, row.accuracy, row.seconds, row.on_front) == (0, None, None, False)
