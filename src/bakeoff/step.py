"""One optimisation step, and the loss that decides it.

`eager` and `compiled` make a step; `capture` makes one that a GPU replays, and chooses among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import eq

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from bakeoff.distill import Teacher
from bakeoff.inputs import Batch, Inputs
from bakeoff.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
Losses = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Batch, torch.Generator], tuple[Tensor | float, Tensor | int]]
"""Learns from a batch; returns its summed loss and how many it had right.

They are numbers on a CPU, else tensors on the device, for which nothing waits. Of several processes
the loss is what `Ranks.totals` makes the whole batch's.
"""


@dataclass(frozen=True)
class Work:
    """What a step works on: the net's learning part, its optimiser, what enters, and the recipe.

    `weight` (C,) is that of the classes, `sizes` are those that batches have, one or two, and
    `images` counts how often a photograph is shown in the whole run.
    """

    fabric: Fabric
    model: nn.Module
    optimizer: Optimizer
    inputs: Inputs
    recipe: Recipe
    weight: Tensor | None
    sizes: tuple[int, ...]
    images: int
    teacher: Teacher | None = None


Make = Callable[[Work], Step]


def sizes(num_images: int, batch: int) -> tuple[int, ...]:
    """Return the sizes of the batches of an epoch, the larger first: one, or two that differ by 1.

    n photographs in ceil(n / batch) batches, as `torch.tensor_split` makes them.
    """
    steps = math.ceil(num_images / batch)
    return tuple(dict.fromkeys((math.ceil(num_images / steps), num_images // steps)))


def loss_of(recipe: Recipe, labels: Tensor, num_classes: int) -> Loss:
    """Return the recipe's cross-entropy: (B, C) logits, (B,) or (B, C) targets -> scalar.

    `labels` (N,) are those of the training split; they decide balanced class weights.
    """
    return _cross_entropy(recipe, class_weights(recipe, labels, num_classes))


def _cross_entropy(recipe: Recipe, weight: Tensor | None) -> Loss:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits, targets, weight=weight, label_smoothing=recipe.label_smoothing
        )

    return loss


def _divisor(weight: Tensor | None, targets: Tensor) -> Tensor:
    """Return what the mean of `_cross_entropy` divides by, for (B,) or (B, C) targets: a scalar."""
    if weight is None or targets.is_floating_point():
        return torch.tensor(float(len(targets)), device=targets.device)
    return weight[targets].sum()


def losses_of(recipe: Recipe, labels: Tensor, num_classes: int) -> Losses:
    """Return `loss_of` for S batches at once: (S, B, C) logits, (S, B) labels -> (S,)."""
    weight = class_weights(recipe, labels, num_classes)

    def losses(logits: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            weight=weight,
            label_smoothing=recipe.label_smoothing,
            reduction="none",
        ).view_as(targets)
        return each.mean(1) if weight is None else each.sum(1) / weight[targets].sum(1)

    return losses


def class_weights(recipe: Recipe, labels: Tensor, num_classes: int) -> Tensor | None:
    """Return N / (C x count) for each class of `labels` (N,), as scikit-learn has it, if wanted."""
    if recipe.class_weights != "balanced":
        return None
    counts = torch.bincount(labels, minlength=num_classes)
    return len(labels) / (num_classes * counts.clamp(min=1).float())


def eager(work: Work) -> Step:
    """Return the plain step: augmentation, forward, loss, backward, update."""
    for group in work.optimizer.param_groups:
        group["lr"] = float(group["lr"])  # a recorded step, or its checkpoint, has tensors
        if "capturable" in group:
            group["capturable"] = False
    if work.inputs.ranks.size == 1:
        return _step(work, _through(work, _bare(work.model)))
    return _step(work, work.model)


def compiled(work: Work) -> Step:
    """Return the step with the net compiled by Inductor, which joins batch norm, ReLU and pooling.

    Its sums are taken in another order, so that results differ in their last bits. It pays on GPUs;
    on CPUs bf16 training is slower compiled.
    """
    return _step(work, _through(work, torch.compile(_bare(work.model), dynamic=False)))


def _bare(model: nn.Module) -> nn.Module:
    """Return the net without Fabric's wrapper, which costs what twenty small operations do."""
    module: nn.Module = getattr(model, "module", model)
    return module


def _through(work: Work, module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what the wrapper does besides: the precision that the run is in."""

    def forward(images: Tensor) -> Tensor:
        with work.fabric.autocast():
            logits = module(images)
        return logits.float()

    return forward


def _step(work: Work, forward: Callable[[Tensor], Tensor]) -> Step:
    cross_entropy = work.inputs.ranks.over_all(
        _cross_entropy(work.recipe, work.weight), partial(_divisor, work.weight)
    )

    alone = work.inputs.ranks.size == 1
    optimizer = getattr(work.optimizer, "optimizer", work.optimizer) if alone else work.optimizer

    def step(batch: Batch, drawing: torch.Generator) -> tuple[Tensor | float, Tensor | int]:
        images, targets = work.inputs.drawn(batch, drawing)
        logits = forward(images)  # (B, C)
        loss = cross_entropy(logits, targets)
        if work.teacher:
            loss = work.teacher.joined(loss, logits, images)
        optimizer.zero_grad(set_to_none=True)
        if alone:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            work.fabric.backward(loss)
        optimizer.step()
        return _counted(loss.detach(), logits.detach(), batch)

    return step


def _counted(loss: Tensor, logits: Tensor, batch: Batch) -> tuple[Tensor | float, Tensor | int]:
    """Return what a step tells; on a CPU without torch, whose every call costs microseconds."""
    labels, count = batch.labels, len(logits)  # one that was there to be mixed with comes first
    if logits.device.type == "cpu":
        found = logits.numpy().argmax(1).tolist()
        return loss.item() * batch.whole, sum(map(eq, found, labels.tolist()[-count:]))
    return loss * batch.whole, (logits.argmax(1) == labels[-count:]).sum()
