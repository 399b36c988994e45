"""Start weights put into a net: those of a file, or of an earlier model's folder.

From a folder comes what travels with the weights, too: the net's kind, and the mean and standard
deviation of what it saw. Which model a folder holds is for `config` to find and check.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from bakeoff.fields import RecipeError
from bakeoff.models import config as configs
from bakeoff.models import weights
from bakeoff.models.parts import Net
from bakeoff.recipe import Recipe, difference

FREE = ("net.dropout",)  # has no weights, and is off where a net answers


def begun(net: Net, recipe: Recipe) -> Net:
    """Return `net` with all tensors but the head's from the file or folder `recipe.weights`.

    Raises RecipeError where that holds another net than the recipe's, before its tensors are read,
    and where they cannot be used.
    """
    if not os.path.isdir(recipe.weights):  # noqa: PTH112 (is_dir raises at a name too long)
        weights.load(net, Path(recipe.weights))
        return net
    folder = weights.located(recipe.weights)
    config, path = configs.read(folder), folder / weights.NAME
    _demand_same_net(config, recipe)
    weights.demand_fit(weights.header(path), net, path.name, head=False)
    weights.load(net, path)
    return replace(net, mean=config.pretrained_cfg.mean, std=config.pretrained_cfg.std)


def _demand_same_net(config: configs.Config, recipe: Recipe) -> None:
    """Refuse options that are no tensors, and so would change what the weights mean in silence."""
    known = config.recipe, config.bakeoff.recipe
    had = next((each for each in known if each.model == recipe.model), known[0])
    change = difference(had, recipe)
    names = ["model"] if "model" in change else [name for name in change if _is_of_net(name)]
    if names:
        there, here = (
            ", ".join(f"{name}={change[name][side]}" for name in names) for side in (0, 1)
        )
        raise RecipeError(
            f"weights: the model in {recipe.weights} has {there}, and the recipe has {here}"
        )


def _is_of_net(name: str) -> bool:
    return name.startswith("net.") and name not in FREE
