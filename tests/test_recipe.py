"""Recipes: what is refused and how it is said, merging, difference, identity."""

from __future__ import annotations

import pytest

from bakeoff.fields import RecipeError
from bakeoff.recipe import difference, digest, in_words, merged, parse


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lrr": 1}, "lrr is not a field; did you mean lr?"),
        ({"augment.polcy": "none"}, "augment.polcy is not a field; did you mean policy?"),
        (
            {"net": {"widht": 8}, "model": "baseline"},
            "net.widht is not a field; did you mean width?",
        ),
        ({"epochs": "many"}, "epochs: 'many' is not allowed: input should be a valid integer"),
        ({"epochs": 0}, "epochs: 0 is not allowed: input should be greater than or equal to 1"),
        ({"lr": -1}, "lr: -1 is not allowed"),
        ({"lr": float("inf")}, "lr: inf is not allowed"),
        (
            {"lr": "atuo"},
            "lr: 'atuo' is not allowed: input should be a valid number, unable to parse string as "
            "a number, or auto",
        ),
        ({"optimizer": "adamm"}, "optimizer: 'adamm' is not allowed: input should be 'adam', "),
        (
            {"model": "baseline", "weights": "imagenet"},
            "weights: imagenet does not exist for baseline",
        ),
        ({"model": "resnet18", "net.width": 8}, "net: only baseline and custom have options"),
        (
            {"model": "custom", "net.residual": True},
            "net: residual needs padding 1, so that maps keep their shape, not 0",
        ),
        ({"size": 64, "stored": 32}, "stored: 32 is smaller than size 64"),
        ({"lr": 0, "epochs": 0}, "(and 1 more)"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(fields)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_merging_lays_dotted_and_nested_changes_over_a_base_and_alters_neither() -> None:
    base = {"lr": 0.1, "augment": {"policy": "none", "erase": 0.1}}
    changes = {"augment.policy": "report", "augment": {"mixup": 0.2}, "batch": 8}
    assert merged(base, changes) == {
        "lr": 0.1,
        "augment": {"policy": "report", "erase": 0.1, "mixup": 0.2},
        "batch": 8,
    }
    assert base == {"lr": 0.1, "augment": {"policy": "none", "erase": 0.1}}


def test_difference_names_exactly_the_fields_that_differ_in_words() -> None:
    base = parse({"model": "resnet18", "freeze": "backbone"})
    variant = parse({"model": "resnet18", "lr": "1e-4", "augment.policy": "report"})
    change = difference(base, variant)
    assert change == {
        "freeze": (["backbone"], []),
        "augment.policy": ("none", "report"),
        "lr": (0.001, 0.0001),
    }
    said = in_words(change)
    assert said == "freeze backbone → none, augment.policy none → report, lr 0.001 → 0.0001"
    assert in_words({}) == "none"


def test_custom_is_the_baseline_with_both_changes_and_each_can_be_taken_back() -> None:
    assert parse({"model": "custom"}).net.extra_convs == "around_pool"
    assert parse({"model": "custom"}).net.early_pool
    assert not parse({"model": "custom", "net.early_pool": False}).net.early_pool
    assert not parse({"model": "baseline"}).net.early_pool


def test_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
