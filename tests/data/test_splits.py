"""Splits: what is given stays, what is made is stratified, repeatable and keeps groups whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bakeoff.data.photographs import DataError, Photographs, gather
from bakeoff.data.splits import describe, split


def listed(counts, given="", groups=None):
    rows = [
        (f"{name}/{number}.jpg", name, given, "" if groups is None else groups(name, number))
        for name, count in counts.items()
        for number in range(count)
    ]
    return gather("made", None, tuple(counts), rows)


def tally(photographs: Photographs, sides) -> dict[tuple[str, str], int]:
    names = [photographs.classes[label] for label in photographs.labels]
    return dict(Counter(zip(names, sides.tolist(), strict=True)))


def test_shares_hold_in_every_class(spec):
    photographs = listed({"a": 100, "b": 50})
    sides = split(photographs, spec("x", test=0.3, validation=0.1), 1)
    assert tally(photographs, sides) == {
        ("a", "test"): 30, ("a", "validation"): 7, ("a", "train"): 63,
        ("b", "test"): 15, ("b", "validation"): 4, ("b", "train"): 31,
    }  # fmt: skip


def test_same_seed_same_split_other_seed_another(spec):
    photographs = listed({"a": 40, "b": 40})
    first, second = split(photographs, spec("x"), 3), split(photographs, spec("x"), 3)
    assert first.tolist() == second.tolist()
    assert first.tolist() != split(photographs, spec("x"), 4).tolist()


def test_a_photograph_keeps_its_side_in_any_order_and_company(spec):
    photographs = listed({"a": 30, "b": 30, "c": 30})
    sides = dict(zip(photographs.paths, split(photographs, spec("x"), 0).tolist(), strict=True))
    order = np.random.default_rng(0).permutation(90)
    turned = photographs.take(order)
    assert split(turned, spec("x"), 0).tolist() == [sides[path] for path in turned.paths]
    fewer = listed({"b": 30, "c": 30})
    assert split(fewer, spec("x"), 0).tolist() == [sides[path] for path in fewer.paths]


def test_given_splits_stay(spec):
    rows = [
        (f"{name}{number}", name, side, "")
        for name in "ab"
        for number, side in enumerate(["train"] * 8 + ["test"] * 3)
    ]
    photographs = gather("made", None, "ab", rows)
    sides = split(photographs, spec("x", validation=0.25), 0)
    assert (sides[photographs.splits == "test"] == "test").all()
    assert Counter(sides.tolist()) == {"train": 12, "validation": 4, "test": 6}
    whole = replace(photographs, splits=sides)
    assert split(whole, spec("x"), 9).tolist() == sides.tolist()
    assert "test as the source gives it; validation is 25%" in describe(
        photographs, spec("x", validation=0.25), 0
    )
    assert "the source gives no test split: 20% of all" in describe(listed({"a": 1}), spec("x"), 0)


def test_missing_test_is_a_share_of_all_taken_from_train(spec):
    rows = [
        (f"{name}{number}", name, side, "")
        for name in "ab"
        for number, side in enumerate(["train"] * 15 + ["validation"] * 5)
    ]
    sides = split(gather("made", None, "ab", rows), spec("x", test=0.2), 0)
    assert Counter(sides.tolist()) == {"train": 22, "validation": 10, "test": 8}


@pytest.mark.parametrize("size", [2, 3, 7])
def test_groups_are_never_divided_and_classes_stay_near_their_share(spec, size):
    photographs = listed(
        {"a": 210, "b": 84}, groups=lambda name, n: f"{name}{n // size}" if n % 5 else ""
    )
    sides = split(photographs, spec("x"), 11)
    homes: dict[str, set[str]] = {}
    for group, side in zip(photographs.groups, sides.tolist(), strict=True):
        if group:
            homes.setdefault(group, set()).add(side)
    assert max(len(home) for home in homes.values()) == 1
    counts = tally(photographs, sides)
    assert abs(counts["a", "test"] - 42) <= 1
    assert abs(counts["b", "test"] - 17) <= 1
    assert "groups kept together" in describe(photographs, spec("x"), 11)


def test_a_group_may_hold_several_classes(spec):
    photographs = listed({"a": 60, "b": 60}, groups=lambda _, n: f"meal {n // 2}")
    sides = split(photographs, spec("x"), 0)
    assert sides[:60].tolist() == sides[60:].tolist()
    assert tally(photographs, sides)["a", "test"] == 12


def test_few_large_groups_still_reach_every_split(spec):
    photographs = listed({"a": 30, "b": 30}, groups=lambda name, n: f"{name}{n // 10}")
    counts = tally(photographs, split(photographs, spec("x"), 0))
    assert {counts[name, side] for name in "ab" for side in ("train", "validation", "test")} == {10}


def test_groups_follow_what_is_given(spec):
    rows = [("p", "a", "test", "g"), ("q", "a", "", "g")]
    rows += [
        (f"{name}{n}", name, side, "") for name in "ab" for side in ("", "test") for n in (1, 2)
    ]
    rows = [(f"{path}{i}", name, side, group) for i, (path, name, side, group) in enumerate(rows)]
    assert split(gather("made", None, "ab", rows), spec("x"), 0)[1] == "test"
    rows[1] = ("q", "a", "train", "g")
    with pytest.raises(DataError, match="group 'g' lies in both test and train"):
        split(gather("made", None, "ab", rows), spec("x"), 0)


def test_per_class_cuts_what_trains_and_is_nested(spec):
    photographs = listed({"a": 100, "b": 60})
    all_test = split(photographs, spec("x"), 5) == "test"
    kept = {}
    for limit in (10, 20, 1000):
        sides = split(photographs, spec("x", per_class=limit), 5)
        assert ((sides == "test") == all_test).all()
        kept[limit] = set(np.flatnonzero((sides == "train") | (sides == "validation")).tolist())
    assert kept[10] < kept[20] < kept[1000]
    assert len(kept[10]) == 20
    assert len(kept[1000]) == 128


def test_too_small_classes_are_refused(spec):
    assert Counter(split(listed({"a": 3, "b": 3}), spec("x"), 0).tolist()) == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }
    with pytest.raises(DataError, match=r"class 'b' has too few photographs \(2\) .* 3 or more"):
        split(listed({"a": 9, "b": 2}), spec("x"), 0)
    with pytest.raises(
        DataError, match=r"class 'a' has too few photographs \(1\) .*data.per_class"
    ):
        split(listed({"a": 9, "b": 9}), spec("x", per_class=1), 0)
    groups = {"a": "", "b": "one"}
    one = listed({"a": 9, "b": 9}, groups=lambda name, _: groups[name])
    with pytest.raises(DataError, match=r"class 'b' lie in too few groups"):
        split(one, spec("x"), 0)


def test_what_is_not_among_the_chosen_never_trains(spec):
    photographs = listed({"a": 40, "b": 40})
    few = split(photographs, spec("x", per_class=10), 5)
    again = split(photographs, spec("x", per_class=10), 5, among=few != "")
    assert again.tolist() == few.tolist()
    places = np.where(np.arange(80) % 4 == 0, "test", "").astype("<U10")
    given = replace(photographs, splits=places)
    sides = split(given, spec("x"), 5, among=np.arange(80) % 2 == 1)
    assert tally(given, sides) == {
        ("a", "test"): 10, ("a", "validation"): 4, ("a", "train"): 16, ("a", ""): 10,
        ("b", "test"): 10, ("b", "validation"): 4, ("b", "train"): 16, ("b", ""): 10,
    }  # fmt: skip


def test_the_sentence_tells_groups_from_copies(spec):
    def said(*groups):
        photographs = listed({"a": 4})
        return describe(replace(photographs, groups=groups), spec("x"), 1)

    assert "kept together" not in said("", "", "", "")
    assert "by class, groups kept together, seed 1" in said("g", "g", "", "")
    assert "by class, copies kept together, seed 1" in said("copies of 1", "copies of 1", "", "")
    assert "groups and copies kept together" in said("g", "g", "copies of 3", "copies of 3")
