"""Which parameters are moved, and how far: optimiser, decay, and the rate over time and depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from bakeoff.recipe import Recipe

SCALE = "lr_scale"  # a group's share of the rate; timm's name for it


def make(
    recipe: Recipe,
    named: Iterable[tuple[str, nn.Parameter]],
    depths: Mapping[str, int] | None = None,
) -> Optimizer:
    """Return the recipe's optimiser over those of the `named` parameters that learn.

    `depths` are `models.depths.depths`; without them all have one rate. Rates that fall towards the
    input are Howard and Ruder's (ULMFiT, 2018), in the geometric form of Clark et al. (ELECTRA,
    2020); sparing biases and norms the decay is He et al.'s (Bag of Tricks, 2019).
    """
    chosen = _groups(recipe, named, depths or {})
    if recipe.optimizer == "sgd":
        return SGD(
            chosen,
            recipe.rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
            fused=True,
        )
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(chosen, recipe.rate, weight_decay=recipe.weight_decay, fused=True)


def _groups(
    recipe: Recipe, named: Iterable[tuple[str, nn.Parameter]], depths: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Put the parameters that share rate and decay into one group, those nearest the head first."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            spared = not recipe.decay_norms and (parameter.dim() <= 1 or name.endswith("bias"))
            scale = recipe.layer_decay ** depths.get(name, 0)
            kind = scale, 0.0 if spared else recipe.weight_decay
            found.setdefault(kind, []).append(parameter)
    return [
        {"params": found[scale, decay], "weight_decay": decay, SCALE: scale}
        for scale, decay in sorted(found, reverse=True)
    ]


def rate(recipe: Recipe, epochs_done: float) -> float:
    """Return the learning rate after `epochs_done` epochs (fractions count).

    Warm-up is linear; `cosine` is half a cosine from there to zero at the last epoch (Loshchilov
    and Hutter, SGDR, 2017); `step` multiplies by `step_gamma` every `step_epochs`.
    """
    if epochs_done < recipe.warmup_epochs:
        return recipe.rate * max(epochs_done, 0.01) / recipe.warmup_epochs
    if recipe.schedule == "step":
        return recipe.rate * recipe.step_gamma ** int(epochs_done // recipe.step_epochs)
    if recipe.schedule == "cosine":
        length = max(recipe.epochs - recipe.warmup_epochs, 1e-9)
        share = (epochs_done - recipe.warmup_epochs) / length
        return recipe.rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return recipe.rate


def set_rate(groups: Iterable[dict[str, Any]], lr: float) -> None:
    """Give every parameter group its share of the rate `lr`; one that is a tensor keeps its place.

    The head's group has all of it.
    """
    for group in groups:
        own = lr * group.get(SCALE, 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own
