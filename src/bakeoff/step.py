"""One optimisation step, and what decides it: optimiser, rate and loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer

from bakeoff.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
Losses = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return the recipe's optimiser over the parameters that learn."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if recipe.optimizer == "sgd":
        return SGD(
            learning,
            recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(learning, recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def rate(recipe: Recipe, epochs_done: float) -> float:
    """Return the learning rate after `epochs_done` epochs (fractions count).

    Warm-up is linear; `cosine` is half a cosine from there to zero at the last epoch (Loshchilov
    and Hutter, SGDR, 2017); `step` multiplies by `step_gamma` every `step_epochs`.
    """
    if epochs_done < recipe.warmup_epochs:
        return recipe.lr * max(epochs_done, 0.01) / recipe.warmup_epochs
    if recipe.schedule == "step":
        return recipe.lr * recipe.step_gamma ** int(epochs_done // recipe.step_epochs)
    if recipe.schedule == "cosine":
        length = max(recipe.epochs - recipe.warmup_epochs, 1e-9)
        share = (epochs_done - recipe.warmup_epochs) / length
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return recipe.lr


def set_rate(optimizer_: Optimizer, lr: float) -> None:
    """Give every parameter group the rate `lr`."""
    for group in optimizer_.param_groups:
        group["lr"] = lr


def loss_of(recipe: Recipe, labels: Tensor, num_classes: int) -> Loss:
    """Return the recipe's cross-entropy: (B, C) logits, (B,) or (B, C) targets -> scalar.

    `labels` (N,) are those of the training split; they decide balanced class weights, which are
    N / (C x count), as scikit-learn has them.
    """
    weight = _class_weights(recipe, labels, num_classes)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits, targets, weight=weight, label_smoothing=recipe.label_smoothing
        )

    return loss


def losses_of(recipe: Recipe, labels: Tensor, num_classes: int) -> Losses:
    """Return `loss_of` for S batches at once: (S, B, C) logits, (S, B) labels -> (S,)."""
    weight = _class_weights(recipe, labels, num_classes)

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


def _class_weights(recipe: Recipe, labels: Tensor, num_classes: int) -> Tensor | None:
    if recipe.class_weights != "balanced":
        return None
    counts = torch.bincount(labels, minlength=num_classes)
    return len(labels) / (num_classes * counts.clamp(min=1).float())


def eager(fabric: Fabric, model: nn.Module, optimizer_: Optimizer, loss: Loss) -> Step:
    """Return the plain step: forward, loss, backward, update; gives (loss, logits), detached."""

    def step(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(inputs)  # (B, C)
        value = loss(logits, targets)
        optimizer_.zero_grad(set_to_none=True)
        fabric.backward(value)
        optimizer_.step()
        return value.detach(), logits.detach()

    return step
