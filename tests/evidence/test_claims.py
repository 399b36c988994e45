import numpy as np
import pytest
from scipy import stats

from bakeoff import study
from bakeoff.evidence.claims import read_claims
from bakeoff.evidence.judging import equivalence_p, judge
from bakeoff.evidence.paired import paired
from bakeoff.fields import RecipeError

TABLES = {
    "one": {"base": "stock", "variants": {"up": {"lr": 0.01}, "twin": {"lr": 0.02}}},
    "two": {"base": "stock", "variants": {"down": {"lr": 0.01}}},
}
RATES = {"stock": 0.6, "up": 0.75, "twin": 0.6, "down": 0.4}


@pytest.fixture
def findings(make_runs, made):
    def find(claims, seeds=6):
        def plan(variant, seed):
            gap = 0.95 if variant == "up" else 0.7
            seconds = 30.0 if variant == "up" else 60.0 + seed
            return made(RATES[variant] + 0.004 * seed, seconds=seconds, train_accuracy=gap)

        return judge(read_claims(claims), make_runs(TABLES, seeds, plan))

    return find


def test_sentences(findings):
    said = ["up beats stock", "stock beats up", "up equals stock", "twin equals one/stock"]
    found = findings([*said[:1], *said[2:], "one/stock beats up"])
    assert [each.finding for each in found] == [
        "supported",
        "contradicted",
        "supported",
        "contradicted",
    ]
    assert found[0].claim.sentence == "up beats stock"
    assert "points of accuracy over 6 seeds, p 0.031" in found[0].why


def test_five_seeds_cannot_tell(findings):
    for each in findings(["up beats stock", "twin equals stock within 0.05"], seeds=5):
        assert each.finding == "cannot tell"
        assert "over 5 seeds, 6 are needed" in each.why


def test_other_measures(findings):
    fields = {"variant": "up", "than": "stock"}
    found = findings(
        [
            {**fields, "is": "lower", "measure": "seconds"},
            {**fields, "is": "higher", "measure": "gap"},
            {**fields, "is": "lower", "measure": "loss"},
        ]
    )
    assert [each.finding for each in found] == ["supported"] * 3
    assert "0.48 times the seconds" in found[0].why


def test_several_at_once(findings):
    best = {"variant": "up", "is": "higher", "than": ["stock", "twin", "down"]}
    worst = {"variant": "down", "is": "higher", "than": ["two/stock", "twin"]}
    mixed = {"variant": "twin", "is": "higher", "than": ["stock", "down"]}
    found = findings([best, worst, mixed], seeds=7)
    assert [each.finding for each in found] == ["supported", "contradicted", "cannot tell"]
    assert len(found[0].differences) == 3


def test_contradiction_is_shared_among_the_parts(findings):
    """Six seeds give 0.031 at best, above 0.05 / 2."""
    worst = {"variant": "down", "is": "higher", "than": ["two/stock", "twin"]}
    assert findings([worst])[0].finding == "cannot tell"


def test_unknown_and_ambiguous_rows(findings):
    found = findings(["upp beats stock", "stock beats down", "twin beats down"])
    assert [each.finding for each in found] == ["cannot tell", "cannot tell", "supported"]
    assert found[0].why == "there are no runs of upp; did you mean up?"
    assert "more than one table: one/stock, two/stock" in found[1].why


def test_equivalence_by_hand():
    differences = np.random.default_rng(1).normal(0.002, 0.004, 9)
    lower = stats.ttest_1samp(differences, -0.01, alternative="greater").pvalue
    upper = stats.ttest_1samp(differences, 0.01, alternative="less").pvalue
    assert equivalence_p(paired(differences), 0.01) == pytest.approx(max(lower, upper))
    assert equivalence_p(paired([0.0] * 6), 0.01) == 0.0
    assert equivalence_p(paired([0.02] * 6), 0.01) == 1.0
    assert equivalence_p(paired([0.02]), 0.01) == 1.0


def test_equivalence_errs_at_its_rate_on_the_margin():
    draws = np.random.default_rng(2).normal(0.01, 0.004, (2000, 8))
    passed = np.mean([equivalence_p(paired(row), 0.01) <= 0.05 for row in draws])
    assert passed == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (["a is nice"], "is no claim"),
        ([{"variant": "a", "is": "same", "than": "b"}], "margin"),
        ([{"variant": "a", "is": "higher", "than": "b", "margin": 0.1}], "margin"),
        ([{"variant": "a", "is": "best", "than": "b"}], "is not allowed"),
        ([], "at least 1"),
        ("nowhere", "neither a file nor a shipped set"),
    ],
)
def test_what_is_no_claim_is_refused(claims, said):
    with pytest.raises(RecipeError, match=said):
        read_claims(claims)


def test_a_file_of_claims(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("- a beats b\n- a equals c within 0.02\n")
    one, other = read_claims(path)
    assert (one.relation, one.than) == ("higher", ("b",))
    assert (other.relation, other.margin) == ("same", 0.02)
    path.write_text("- [")
    with pytest.raises(RecipeError, match="not YAML"):
        read_claims(path)


def test_the_reports_claims():
    claims = read_claims("food101-20")
    named = {name for claim in claims for name in (claim.variant, *claim.than)}
    assert named == {row.variant for row in study.rows(study.read("food101-20"))}
    assert all(claim.says for claim in claims)
    assert len({claim.says for claim in claims}) == len(claims)
