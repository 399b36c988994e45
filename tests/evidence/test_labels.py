import numpy as np
import pytest

from bakeoff.evidence.labels import likely_errors
from bakeoff.store import Predictions


def run(ids, labels, shares):
    return Predictions(np.array(ids), np.array(labels), np.log(np.array(shares, np.float32)))


def test_by_hand():
    # class 0 is usually believed at (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 at 0.75
    shares = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.25, 0.75], [0.25, 0.75]]
    (found,) = likely_errors([run("abcde", [0, 0, 0, 1, 1], shares)])
    assert (found.id, found.label, found.suggested) == ("c", 0, 1)
    assert found.self_confidence == pytest.approx(0.2)
    assert found.margin == pytest.approx(-0.6)
    assert (found.agreement, found.runs) == (1.0, 1)


def test_agreement_over_runs():
    sure = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.25, 0.75], [0.25, 0.75]]
    not_sure = [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.25, 0.75], [0.25, 0.75]]
    labels = [0, 0, 0, 1, 1]
    runs = [run("abcde", labels, sure), run("abcde", labels, not_sure)]
    assert likely_errors(runs)[0].agreement == 0.5
    assert likely_errors(runs, agreement=0.6) == ()
    assert likely_errors(runs) == likely_errors(runs[::-1])


def test_runs_may_hold_different_photographs():
    sure = [[0.9, 0.1], [0.2, 0.8], [0.25, 0.75]]
    runs = [run("abc", [0, 0, 1], sure), run("def", [0, 0, 1], sure)]
    assert [(each.id, each.runs) for each in likely_errors(runs)] == [("b", 1), ("e", 1)]
    assert likely_errors([]) == ()


def test_planted_errors_are_found():
    """500 photographs, 5 classes, 25 labels planted wrong, nets right in about nine of ten."""
    random = np.random.default_rng(1)
    true = random.integers(0, 5, 500)
    given = true.copy()
    planted = random.choice(500, 25, replace=False)
    given[planted] = (true[planted] + random.integers(1, 5, 25)) % 5
    difficulty = random.normal(0, 1.0, (500, 5))
    runs = []
    for _ in range(5):
        logits = difficulty + random.normal(0, 0.8, (500, 5)) + 3.5 * np.eye(5)[true]
        runs.append(Predictions(np.arange(500).astype(str), given, logits.astype(np.float32)))
    found = likely_errors(runs)
    names = {int(each.id) for each in found}
    assert len(names & set(planted.tolist())) >= 21
    assert len(names - set(planted.tolist())) <= 25
    first = {int(each.id) for each in found[:20]}
    assert len(first & set(planted.tolist())) >= 17
    right = [
        each.suggested == true[int(each.id)]
        for each in found
        if int(each.id) in set(planted.tolist())
    ]
    assert np.mean(right) > 0.9
