import numpy as np
import pytest

from bakeoff import tables
from bakeoff.evidence.images import crossed
from bakeoff.evidence.reading import series
from bakeoff.evidence.verdict import compare

ONE = {"t": {"base": "plain", "variants": {"better": {"lr": 0.01}}}}
SEVEN = {"t": {"base": "plain", "variants": {f"v{k}": {"lr": 0.01 * k} for k in range(1, 8)}}}


@pytest.fixture
def lifted(made):
    """Every run but the base is `lift` better, with a little of its own for each seed."""
    return lambda lift: (
        lambda variant, seed: made(
            rate=0.6 + 0.004 * (seed % 3) + (0 if variant == "plain" else lift + 0.003 * (seed % 4))
        )
    )


def test_a_clear_change_helped(make_runs, lifted):
    (verdict,) = compare(make_runs(ONE, 6, lifted(0.1)))
    assert (verdict.table, verdict.variant, verdict.base) == ("t", "better", "plain")
    assert verdict.change == {"lr": [0.001, 0.01]}
    assert (verdict.verdict, verdict.limit) == ("helped", None)
    assert verdict.paired.p == verdict.holm_p == pytest.approx(2 / 64)
    assert verdict.paired.mean == pytest.approx(verdict.accuracy - verdict.base_accuracy)
    assert verdict.paired.mean == pytest.approx(0.12, abs=0.03)
    assert "significant over 6 seeds" in verdict.explanation


def test_a_clear_change_hurt(make_runs, lifted):
    (verdict,) = compare(make_runs(ONE, 6, lifted(-0.1)))
    assert verdict.verdict == "hurt"
    assert verdict.paired.mean < 0


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_below_six_seeds_nobody_can_tell(make_runs, lifted, seeds):
    (verdict,) = compare(make_runs(ONE, seeds, lifted(0.3)))
    assert (verdict.verdict, verdict.limit) == ("can't tell yet", "seeds")
    assert "significant" not in verdict.explanation
    assert "6 seeds are needed with 1 change in the table" in verdict.explanation
    assert ("0.062" in verdict.explanation) == (seeds == 5)


def test_one_seed_shows_no_spread_but_its_photographs(make_runs, lifted):
    (verdict,) = compare(make_runs(ONE, 1, lifted(0.1)))
    assert verdict.paired.deviation is verdict.paired.interval is None
    assert verdict.holm_p is verdict.smallest_visible is verdict.pictured.crossed is None
    assert verdict.pictured.photographs.low > 0
    (mcnemar,) = verdict.pictured.mcnemar
    assert mcnemar.gained - mcnemar.lost == round(400 * verdict.paired.mean)


def test_a_long_table_needs_more_seeds(make_runs, lifted):
    verdicts = compare(make_runs(SEVEN, 6, lifted(0.1)))
    assert len(verdicts) == 7
    for verdict in verdicts:
        assert (verdict.verdict, verdict.least_seeds) == ("can't tell yet", 9)
        assert "cannot give a Holm p below 0.219" in verdict.explanation
        assert "significant" not in verdict.explanation


def test_a_change_that_does_nothing_is_open(make_runs, made):
    def plan(variant, seed):
        return made(rate=0.6 + 0.01 * ((seed * 3 + len(variant)) % 5))

    (verdict,) = compare(make_runs(ONE, 7, plan))
    assert (verdict.verdict, verdict.limit) == ("can't tell yet", "seeds")
    assert "is the smallest difference they would likely show" in verdict.explanation
    assert verdict.smallest_visible > 0
    assert verdict.seeds_for_one_point >= 7


def test_few_photographs_are_not_mended_by_seeds(make_runs, made):
    def plan(variant, seed):
        return made(rate=0.6, photographs=40, lucky=() if variant == "plain" else (0, 3, 39))

    (verdict,) = compare(make_runs(ONE, 8, plan))
    assert verdict.holm_p <= 0.05
    assert (verdict.verdict, verdict.limit) == ("can't tell yet", "photographs")
    assert "40 test photographs are too few" in verdict.explanation


def test_permuting_runs_changes_nothing(make_runs, lifted):
    runs = make_runs(SEVEN, 3, lifted(0.05))
    shuffled = [runs[k] for k in np.random.default_rng(1).permutation(len(runs))]
    one, other = ({v.variant: v for v in compare(each)} for each in (runs, shuffled))
    assert one == other


def test_what_did_not_finish_is_named(make_runs, made):
    states = {("plain", 1): "failed", ("better", 2): "pending"}

    def plan(variant, seed):
        return made(state=states.get((variant, seed), "finished"))

    runs = make_runs(ONE, 4, plan)
    broken = next(run for run in runs if (run.variant, run.seed) == ("better", 3))
    (broken.folder / "predictions.npz").write_bytes(b"not an archive")
    gone = next(run for run in runs if (run.variant, run.seed) == ("plain", 3))
    (gone.folder / "predictions.npz").unlink()
    (verdict,) = compare(runs)
    assert verdict.seeds == (0,)
    assert verdict.missing == (
        "t/plain/seed-1: failed",
        "t/plain/seed-3: finished, but its predictions are missing",
        "t/better/seed-2: pending",
        "t/better/seed-3: finished, but its predictions are damaged",
    )


def test_nothing_finished(make_runs, made):
    (verdict,) = compare(make_runs(ONE, 2, lambda *_: made(state="failed")))
    assert (verdict.verdict, verdict.limit) == ("can't tell yet", "runs")
    assert verdict.difference is verdict.accuracy is verdict.pictured is None
    assert verdict.explanation == "no seed has finished in both t/plain and t/better"
    assert len(verdict.missing) == 4


def test_leaked_photographs_are_left_out(make_runs, made):
    """The variant is better on the leaked photographs and nowhere else."""
    some = tuple(range(40))

    def plan(variant, seed):
        return made(rate=0.6, lucky=() if variant == "plain" else some)

    runs = make_runs(ONE, 6, plan)
    leaked = [f"photo-{place:05d}" for place in some]
    (verdict,) = compare(runs, leaked=leaked)
    assert verdict.pictured.leaked == 40
    assert verdict.pictured.crossed.mean > 0.02
    assert verdict.pictured.clean_mean == verdict.pictured.clean.mean == 0
    assert verdict.pictured.clean.photographs == 360
    assert compare(runs)[0].pictured.clean is None


def test_pictures_agree_with_the_arrays(make_runs, lifted):
    runs = make_runs(ONE, 6, lifted(0.1))
    base, variant = series(runs)
    stacks = [np.stack([row.runs[seed].correct for seed in range(6)]) for row in (base, variant)]
    assert compare(runs)[0].pictured.crossed == crossed(*stacks)


def test_a_split_that_varies_is_tested_for_overlap(make_runs, lifted):
    """60 validation photographs move, 240 are trained on: a quarter for each."""
    runs = make_runs(ONE, 6, lifted(0.1), vary=("init", "split"))
    (verdict,) = compare(runs)
    assert verdict.paired.method == "corrected t"
    half = verdict.paired.interval.high - verdict.paired.mean
    error = verdict.paired.deviation * np.sqrt(1 / 6 + 60 / 240)
    assert half == pytest.approx(2.570582 * error)


def test_redrawn_test_photographs_are_not_crossed(make_runs, made):
    def plan(variant, seed):
        return made(rate=0.6 if variant == "plain" else 0.8, photographs=120, ids=f"draw{seed}")

    (verdict,) = compare(make_runs(ONE, 6, plan, vary=("split",)))
    assert verdict.pictured is None
    assert verdict.paired.method == "corrected t"
    assert verdict.verdict == "helped"


def test_other_photographs_are_refused(make_runs, made):
    with pytest.raises(ValueError, match="tested on other photographs"):
        compare(make_runs(ONE, 1, lambda variant, _: made(ids=variant)))


def test_a_table_without_a_base_is_refused(make_runs, lifted):
    runs = [run for run in make_runs(ONE, 1, lifted(0.1)) if run.change]
    with pytest.raises(ValueError, match="no run of its base"):
        compare(runs)
    with pytest.raises(ValueError, match="stands there twice"):
        compare(runs + runs)


def test_validation_can_be_read_instead(make_runs, lifted):
    (verdict,) = compare(make_runs(ONE, 2, lifted(0.2)), split="validation")
    assert verdict.pictured.count == 60


def test_tables_and_page_can_read_a_verdict(make_runs, lifted):
    runs = make_runs(ONE, 6, lifted(0.1))
    (verdict,) = compare(runs)
    shown: tables.Verdict = verdict
    interval = verdict.paired.interval
    assert (shown.n, shown.low, shown.high) == (6, interval.low, interval.high)
    assert (shown.difference, shown.p) == (verdict.paired.mean, verdict.paired.p)
    (one,) = compare([run for run in runs if run.seed == 0])
    assert (one.n, one.low, one.high, one.p) == (1, None, None, None)
