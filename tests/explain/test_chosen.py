"""The rule by which photographs are chosen."""

from __future__ import annotations

import numpy as np

from bakeoff.explain.chosen import Choice, choose


def logits(*shares: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(shares))


def test_wrong_uncertain_and_right_of_each_class() -> None:
    rows = logits(
        (0.90, 0.05, 0.05),  # 0: right
        (0.80, 0.10, 0.10),  # 1: right, the median of those not taken (0.70, 0.80, 0.90)
        (0.70, 0.20, 0.10),  # 2: right
        (0.10, 0.85, 0.05),  # 3: wrong, confident
        (0.25, 0.60, 0.15),  # 4: wrong, less so
        (0.36, 0.32, 0.32),  # 5: right, and the most uncertain
        (0.10, 0.80, 0.10),  # 6: the only one of class 1
    )
    found = choose(rows, np.array([0, 0, 0, 0, 0, 0, 1]))
    assert [(c.row, c.kind, c.label, c.predicted, round(c.confidence, 2)) for c in found] == [
        (3, "wrong", 0, 1, 0.85),
        (5, "uncertain", 0, 0, 0.36),
        (1, "right", 0, 0, 0.8),
        (6, "uncertain", 1, 1, 0.8),
    ]


def test_no_photograph_is_chosen_twice_and_ties_take_the_first() -> None:
    rows = logits((0.4, 0.6), (0.4, 0.6), (0.6, 0.4))
    found = choose(rows, np.array([0, 0, 0]))
    assert [(choice.row, choice.kind) for choice in found] == [
        (0, "wrong"),
        (1, "uncertain"),
        (2, "right"),
    ]


def test_large_logits_do_not_overflow() -> None:
    (found,) = choose(np.array([[4000.0, 0.0]], np.float32), np.array([0]))
    assert found == Choice(0, "uncertain", 0, 0, 1.0)
