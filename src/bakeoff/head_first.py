"""A head trained first, on the fixed features of its start weights, before the whole net learns.

So the first steps do not spoil with a random head what the start knows: Kumar et al., "Fine-Tuning
can Distort Pretrained Features and Underperform Out-of-Distribution" (2022).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bakeoff import heads
from bakeoff.blocks import Head
from bakeoff.fields import RecipeError
from bakeoff.inputs import NO_AUGMENT
from bakeoff.models.parts import Net
from bakeoff.prepare import Job, Prepared, features_of, split_of
from bakeoff.recipe import Recipe

OWN = {
    "optimizer": "adamw", "lr": 1e-3, "schedule": "cosine", "warmup_epochs": 0.0, "ema": 0.0,
}  # fmt: skip
"""How a head learns on features, whatever the recipe says of the net: `heads` found it so."""


def check(recipe: Recipe, net: Net, processes: int = 1) -> None:
    """Refuse `head_epochs` where `obstacle` finds something."""
    if recipe.head_epochs and (found := obstacle(net, processes)):
        raise RecipeError(f"head_epochs: {recipe.head_epochs} {found}; allowed: 0")


def obstacle(net: Net, processes: int = 1) -> str:
    """Say why the head of `net` cannot be trained first; an empty text where it can."""
    if processes > 1:
        return f"is for one process, and these are {processes}"
    if len(net.parts) < 2 or not isinstance(net.parts[-1].module, nn.Linear):
        return f"needs a net that ends in a linear head, which {net.name} does not"
    return ""


def train(job: Job, prepared: Prepared) -> None:
    """Train the head of `prepared` for `head_epochs` on the features of its start, in place.

    Its best epoch on validation is taken. Photographs are seen as in evaluation.
    """
    recipe, net = job.run.row.recipe, prepared.net
    check(recipe, net, job.ranks.size)
    plain = replace(prepared.inputs, augment=NO_AUGMENT)
    prefix = len(net.parts) - 1
    inputs = features_of(job, prepared.fabric, net, prefix, plain, views="one")
    own = recipe.model_copy(update={**OWN, "epochs": recipe.head_epochs})
    layer = net.module.get_submodule(net.head)
    assert isinstance(layer, nn.Linear)
    start = layer.weight.detach().cpu(), layer.bias.detach().cpu()
    head = Head(own, job.run.seeds["order"], *start)
    split = split_of(job.dataset, recipe, job.run.seeds["order"])
    for epoch in heads.epochs([head], inputs, split):
        if job.on_progress:
            job.on_progress("head alone, epoch", epoch, recipe.head_epochs)
    if head.best_epoch:
        with torch.no_grad():
            layer.weight.copy_(head.weight)
            layer.bias.copy_(head.bias)
