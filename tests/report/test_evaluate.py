from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from bakeoff import evaluate

RNG = np.random.default_rng(7)
LOGITS = RNG.normal(0, 3, (400, 7)).astype(np.float32)
LABELS = RNG.integers(0, 7, 400)


def test_by_hand() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]))
    labels = np.array([0, 1, 1, 2])
    found = evaluate.measure(logits, labels)
    assert found.accuracy == 0.75
    assert found.loss == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.6]).mean())
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.classes.precision.tolist() == [0.5, 1, 1]
    assert found.classes.recall.tolist() == [1, 0.5, 1]
    assert found.classes.f1.tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert found.classes.macro_f1 == pytest.approx(7 / 9)
    assert found.top5 is None


def test_as_scikit_learn() -> None:
    found = evaluate.measure(LOGITS, LABELS)
    said = LOGITS.argmax(axis=1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(LABELS, said))
    assert found.loss == pytest.approx(metrics.log_loss(LABELS, evaluate.softmax(LOGITS)))
    assert found.top5 == pytest.approx(metrics.top_k_accuracy_score(LABELS, LOGITS, k=5))
    assert (found.confusion == metrics.confusion_matrix(LABELS, said)).all()
    scores = metrics.precision_recall_fscore_support(LABELS, said)
    ours = found.classes
    for mine, theirs in zip(
        (ours.precision, ours.recall, ours.f1, ours.support), scores, strict=True
    ):
        assert mine == pytest.approx(theirs)
    macro = metrics.precision_recall_fscore_support(LABELS, said, average="macro")[:3]
    assert (ours.macro_precision, ours.macro_recall, ours.macro_f1) == pytest.approx(macro)


def test_a_class_that_never_occurs_counts_in_no_mean() -> None:
    found = evaluate.per_class(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert found.f1[2] == 0
    assert found.macro_recall == pytest.approx((0.75 + 1) / 2)


def test_huge_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    assert evaluate.cross_entropy(logits, np.array([0, 1])) == 0
    assert evaluate.cross_entropy(logits, np.array([1, 1])) == pytest.approx(1e4)
    assert evaluate.softmax(logits).sum(axis=1) == pytest.approx([1, 1])


def test_top_1_is_accuracy_also_on_ties() -> None:
    tied = np.round(LOGITS / 3)
    assert evaluate.top_k(tied, LABELS, 1) == evaluate.accuracy(tied, LABELS)
    assert evaluate.top_k(tied, LABELS, 7) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "there are none"),
        (np.zeros((2, 3)), np.zeros(3, int), "do not fit"),
        (np.zeros((2, 3)), np.array([0, 3]), "with 3 classes"),
    ],
)
def test_what_does_not_fit_is_refused(logits: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate.measure(logits, labels)
