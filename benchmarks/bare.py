"""The bare PyTorch step that everything else is measured against, on resident random tensors."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff import machine
from bakeoff.models import zoo
from bakeoff.models.parts import freeze, frozen_prefix, tail
from bakeoff.recipe import Recipe

WARM_STEPS = 3
PACE_STEPS = 5
Step = Callable[[], None]


def pace() -> float:
    """Return the milliseconds of a fixed step now: ResNet-18, 16 x 128 px, as bakeoff has it.

    Where other machines share the processor it changes within minutes, by half and more. What was
    measured at another pace does not compare.
    """
    where = machine.device()
    with torch.random.fork_rng():
        one = step(Recipe(model="resnet18", size=128, batch=16), 10, where)
        return 1000 * seconds(one, PACE_STEPS, where)


def step(recipe: Recipe, num_classes: int, where: torch.device) -> Step:
    """Return forward, loss, backward and update of what learns, as fast as plain PyTorch has it.

    Precision, layout, optimiser and batch are those of the recipe. Of a net with a frozen beginning
    only the rest is trained, in fp32, on random features.
    """
    net = zoo.build(recipe, num_classes)
    net.module.to(where).to(memory_format=torch.channels_last)
    prefix = frozen_prefix(net, freeze(net, recipe.freeze))
    rows = torch.randn(recipe.batch, 3, recipe.size, recipe.size, device=where)
    rows = rows.to(memory_format=torch.channels_last)
    with torch.no_grad():
        for part in net.parts[:prefix]:
            rows = part.module(rows)
    precision = "fp32" if prefix else machine.precision(recipe.precision, where)
    labels = torch.randint(num_classes, (recipe.batch,), device=where)
    return plain(tail(net, prefix).train(), rows, labels, recipe.rate, bf16=precision == "bf16")


def plain(module: nn.Module, rows: Tensor, labels: Tensor, lr: float, *, bf16: bool) -> Step:
    """Return the step of a module on the same rows (B, …) and labels (B,) each time."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr, fused=True)

    def one() -> None:
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(module(rows), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return one


def seconds(one: Callable[[], object], count: int, where: torch.device) -> float:
    """Return the seconds a call of `one` takes, over `count` calls after some to warm up."""
    for _ in range(WARM_STEPS):
        one()
    _wait(where)
    began = perf_counter()
    for _ in range(count):
        one()
    _wait(where)
    return (perf_counter() - began) / count


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)
