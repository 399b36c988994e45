"""How many photographs a net takes at once before one of its tensors has 2^31 numbers.

From there on a GPU's convolutions fall into other kernels, many times slower
(pytorch/pytorch#128936). Shapes are counted on the meta device; nothing is computed.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff.fields import RecipeError
from bakeoff.models import zoo
from bakeoff.models.parts import freeze, frozen_prefix
from bakeoff.options import Augment, NetOptions
from bakeoff.recipe import Recipe

MOST_NUMBERS = 2**31 - 1


def largest_batch(recipe: Recipe, num_classes: int, first_part: int = 0) -> int:
    """Return the largest batch that keeps every output of the net, from a part on, below 2^31.

    A net that cannot be laid out without memory has no limit here.
    """
    return _largest_batch(recipe.model, recipe.net, recipe.size, num_classes, first_part)


def check(recipe: Recipe, num_classes: int, where: torch.device) -> None:
    """Refuse an image size that does not fit the net, and on a GPU a batch off the cliff.

    What can be cached does not count for the batch.
    """
    zoo.check_size(recipe, num_classes)
    if where.type != "cuda":
        return
    with torch.device("meta"):
        net = zoo.build(recipe.model_copy(update={"weights": "none"}), num_classes)
    frozen = freeze(net, recipe.freeze)
    cached = recipe.augment == Augment() and not recipe.distill.teacher
    first_part = frozen_prefix(net, frozen) if cached else 0
    most = largest_batch(recipe, num_classes, first_part)
    if recipe.batch > most:
        raise RecipeError(
            f"batch: with {recipe.batch}, a tensor of {recipe.model} at {recipe.size} px has more "
            f"than 2^31 numbers, which slows a GPU down many times; allowed: up to {most}"
        )


@lru_cache
def _largest_batch(
    model: str, options: NetOptions, size: int, num_classes: int, first_part: int
) -> int:
    recipe = Recipe(model=model, net=options, size=size)
    largest = 0

    def count(_module: nn.Module, _arguments: Any, output: Any) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() // 2)

    with torch.device("meta"):
        try:
            net = zoo.build(recipe, num_classes)
            for link in net.parts[first_part:]:
                for module in link.module.modules():
                    module.register_forward_hook(count)
            net.module.eval()(torch.zeros(2, 3, size, size))
        except NotImplementedError:
            return sys.maxsize
    return MOST_NUMBERS // max(largest, 1)
