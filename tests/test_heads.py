"""Heads trained together learn what each would have learnt alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn

from bakeoff import machine, optimizers
from bakeoff.blocks import Head
from bakeoff.heads import epochs as together
from bakeoff.inputs import NO_AUGMENT, Inputs
from bakeoff.loop import Training
from bakeoff.loop import epochs as alone
from bakeoff.recipe import Recipe, parse

CPU = torch.device("cpu")
SIZE, CLASSES = 7, 4
RECIPES: dict[str, dict[str, Any]] = {
    "adam": {"lr": 0.01},
    "rate and decay": {"optimizer": "adamw", "lr": 0.03, "weight_decay": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.05},
    "cosine": {"schedule": "cosine", "warmup_epochs": 1, "lr": 0.02},
    "smoothed": {"label_smoothing": 0.2},
    "balanced": {"class_weights": "balanced", "label_smoothing": 0.1},
}
MEASURED = ("seconds", "images_per_second")


def recipe(fields: dict[str, Any]) -> Recipe:
    return parse({"epochs": 4, "batch": 16, **fields})


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    drawing = torch.Generator().manual_seed(3)
    labels = torch.arange(120) ** 2 % CLASSES  # unbalanced
    rows = torch.randn(120, SIZE, generator=drawing) + torch.eye(CLASSES, SIZE)[labels]
    none = torch.zeros(())
    return Inputs(rows, labels, CPU, CLASSES, 0, NO_AUGMENT, none, none)


@pytest.fixture(scope="module")
def split() -> dict[str, torch.Tensor]:
    shuffled = torch.randperm(120, generator=torch.Generator().manual_seed(4))
    return dict(zip(("train", "validation", "test"), shuffled.split([70, 30, 20]), strict=True))


def start(seed: int) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(SIZE, CLASSES)


def head(fields: dict[str, Any], seed: int) -> Head:
    layer = start(seed)
    return Head(recipe(fields), seed, layer.weight.detach(), layer.bias.detach())


def trained_alone(
    fields: dict[str, Any], seed: int, inputs: Inputs, split: dict[str, torch.Tensor]
) -> Training:
    fabric, layer = machine.fabric(CPU, "fp32"), start(seed)
    made = optimizers.make(recipe(fields), layer.named_parameters())
    model, optimizer = fabric.setup(layer, made)
    training = Training(model, optimizer)
    seed_of = {"order": seed, "augmentation": seed}
    list(alone(fabric, training, recipe(fields), inputs, split, seed_of))
    return training


def test_each_head_learns_what_it_would_have_learnt_alone(
    inputs: Inputs, split: dict[str, torch.Tensor]
) -> None:
    made = {(name, seed): head(RECIPES[name], seed) for name in RECIPES for seed in (5, 2, 9)}
    del made["momentum", 5]  # a recipe that lacks a seed
    assert list(together(list(made.values()), inputs, split)) == [1, 2, 3, 4]
    for (name, seed), found in made.items():
        wanted = trained_alone(RECIPES[name], seed, inputs, split)
        assert found.best_epoch == wanted.best_epoch
        for mine, theirs in zip(found.records, wanted.records, strict=True):
            for field in set(asdict(mine)) - set(MEASURED):
                assert getattr(mine, field) == pytest.approx(getattr(theirs, field), abs=1e-5)
        for tensor, key in ((found.weight, "weight"), (found.bias, "bias")):
            torch.testing.assert_close(tensor, wanted.best[key], atol=1e-5, rtol=1e-5)


def test_one_head_that_breaks_leaves_the_others_alone(
    inputs: Inputs, split: dict[str, torch.Tensor]
) -> None:
    wild, tame = head({"optimizer": "sgd", "lr": 1e38}, 1), head({}, 1)
    list(together([wild, tame], inputs, split))
    assert wild.error.startswith("the loss became no number at step ")
    wanted = trained_alone({}, 1, inputs, split)
    torch.testing.assert_close(tame.weight, wanted.best["weight"], atol=1e-5, rtol=1e-5)
    assert len(tame.records) == 4


def test_many_photographs_are_measured_in_parts(
    inputs: Inputs, split: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = head({}, 1), head({}, 1)
    list(together([whole], inputs, split))
    monkeypatch.setattr("bakeoff.heads.ROWS", 7)
    list(together([parts], inputs, split))
    for mine, theirs in zip(whole.records, parts.records, strict=True):
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=1e-6)
        assert mine.clean_accuracy == pytest.approx(theirs.clean_accuracy)
