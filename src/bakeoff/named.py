"""Recipes with a name, which `like:` lays over a base; the study `beyond` is where they were tried.

They say nothing of weights, sizes and epochs: `bakeoff train` chooses those (see `choice`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bakeoff.fields import RecipeError, nearest

NAMED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "best/finetuned": {
            "augment.policy": "standard",
            "optimizer": "adamw",
            "lr": 5e-4,
            "weight_decay": 0.05,
            "decay_norms": False,
            "schedule": "cosine",
            "warmup_epochs": 0.5,
            "label_smoothing": 0.1,
            "head_epochs": 10,
            "views": "flip",
            "batch": 32,
        },
        "best/features": {
            "freeze": ["backbone"],
            "head_reads": "stages",
            "optimizer": "adamw",
            "lr": 1e-3,
            "weight_decay": 0.5,
            "schedule": "cosine",
            "label_smoothing": 0.1,
            "views": "flip",
            "batch": 32,
        },
        "best/scratch": {
            "augment.policy": "standard",
            "augment.min_scale": 0.5,
            "optimizer": "adamw",
            "lr": 2e-3,
            "weight_decay": 0.05,
            "decay_norms": False,
            "schedule": "cosine",
            "warmup_epochs": 1.0,
            "ema": 0.99,
            "views": "flip",
            "batch": 32,
        },
    }
)
"""By kind of start: a pretrained net that learns as a whole, its features alone, and nothing."""


def expanded(fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return `fields` (nested or dotted) with those of the recipe that `like` names before them.

    Raises RecipeError for a name that no recipe has.
    """
    if "like" not in fields:
        return fields
    name = str(fields["like"])
    if name not in NAMED:
        hint = nearest(name, list(NAMED)) or f"; allowed: {', '.join(NAMED)}"
        raise RecipeError(f"{where}: like: no recipe is named {name}{hint}")
    return {**NAMED[name], **{key: value for key, value in fields.items() if key != "like"}}
