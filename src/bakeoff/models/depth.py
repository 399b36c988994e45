"""Stochastic depth: residual paths that are dropped at random while training.

Huang et al., "Deep Networks with Stochastic Depth" (2016): the deeper a block, the more often its
path is left out. timm and torchvision drop; here it is said how often, and by which nets at all.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.layers.drop import DropPath
from torch import nn
from torchvision.ops import StochasticDepth

from bakeoff.fields import RecipeError
from bakeoff.recipe import Recipe

KINDS = (DropPath, StochasticDepth)


def share(module: nn.Module) -> float:
    """Return how often `module` drops its path; 0 for one that is no such path."""
    if isinstance(module, DropPath):
        return float(module.drop_prob or 0.0)
    return float(module.p) if isinstance(module, StochasticDepth) else 0.0


def set_in_torchvision(module: nn.Module, recipe: Recipe) -> None:
    """Drop the deepest path of a torchvision net as often as the recipe says, others in proportion.

    Not all of its builders take a rate, but all grade their paths from none to a rate of their own.
    """
    if recipe.drop_path is None:
        return
    paths = [path for path in module.modules() if isinstance(path, StochasticDepth)]
    if recipe.drop_path and not paths:
        raise _refused(recipe)
    deepest = max((path.p for path in paths), default=1.0)
    for path in paths:
        path.p *= recipe.drop_path / deepest


def timm_model(name: str, recipe: Recipe, **how: Any) -> nn.Module:
    """Return timm's net `name`, made with the recipe's rate for its deepest path."""
    if not recipe.drop_path:
        return timm.create_model(name, **how)
    try:
        module = timm.create_model(name, drop_path_rate=recipe.drop_path, **how)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise _refused(recipe) from None
    if not any(map(share, module.modules())):
        raise _refused(recipe)
    return module


def demand_none(recipe: Recipe) -> None:
    """Refuse to drop paths of a net that has none."""
    if recipe.drop_path:
        raise _refused(recipe)


def _refused(recipe: Recipe) -> RecipeError:
    name = recipe.model.removeprefix("timm/")
    others = "such as timm/resnet18 or convnext_tiny"
    if name == recipe.model and name in timm.list_models() and _drops(name):
        others = f"such as timm/{name}"
    return RecipeError(
        f"drop_path: {recipe.drop_path:g} is not allowed, {recipe.model} has no paths to drop; "
        f"allowed: 0, or a model that has some, {others}"
    )


def _drops(name: str) -> bool:
    try:
        with torch.device("meta"):
            return any(map(share, timm.create_model(name, drop_path_rate=0.1).modules()))
    except (TypeError, NotImplementedError):
        return False
