"""How fast this machine trains a net, measured for a few seconds before anything is decided."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import nn

from bakeoff import machine, optimizers
from bakeoff.choice import Speed
from bakeoff.models import zoo
from bakeoff.models.parts import train_mode
from bakeoff.recipe import Recipe

STEPS, WARM_STEPS = 3, 1


def measured(recipe: Recipe, num_classes: int, where: torch.device) -> Speed:
    """Return how many photographs a second `recipe`'s net learns from, and sees, on random ones.

    The median of STEPS batches each. Augmentation and evaluation are not in it.
    """
    with torch.random.fork_rng(), machine.quiet():
        return _measured(recipe, num_classes, where)


def _measured(recipe: Recipe, num_classes: int, where: torch.device) -> Speed:
    recipe = recipe.model_copy(update={"weights": "none", "lr": 1e-3})
    net = zoo.build(recipe, num_classes)
    net.module.to(where).to(memory_format=torch.channels_last)
    fabric = machine.fabric(where, machine.precision(recipe.precision, where))
    made = optimizers.make(recipe, net.module.named_parameters())
    model, optimizer = fabric.setup(net.module, made)
    images = torch.rand(recipe.batch, 3, recipe.size, recipe.size, device=where)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(recipe.batch, dtype=torch.int64, device=where)

    def learn() -> None:
        loss = nn.functional.cross_entropy(model(images).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()

    def see() -> None:
        with torch.no_grad():
            model(images)

    train_mode(model)
    learning = recipe.batch / _seconds(learn, where)
    model.eval()
    return Speed(learning=learning, seeing=recipe.batch / _seconds(see, where))


def _seconds(work: Callable[[], None], where: torch.device) -> float:
    """Return the median seconds of `work`, once it is warm."""
    found = []
    for number in range(WARM_STEPS + STEPS):
        began = perf_counter()
        work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        if number >= WARM_STEPS:
            found.append(perf_counter() - began)
    return median(found)
