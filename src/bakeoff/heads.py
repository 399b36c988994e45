"""Many heads at once: linear layers on the same cached features, for all variants and seeds.

They share photographs, batch and epochs, and differ in rate, decay, optimiser, loss or seed. The
heads of a recipe are one tensor (S, C, D) over its S seeds, so that a step is one batched product a
recipe instead of S small ones. Each head learns what it would have learnt alone, but for the order
in which sums are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from bakeoff import optimizers, seeds, step
from bakeoff.inputs import Inputs
from bakeoff.loop import rank
from bakeoff.measuring import Rows, clean_sample
from bakeoff.recipe import Recipe
from bakeoff.store import Record

ROWS = 4096  # photographs measured at once
MEASURED = (
    "train_loss",
    "train_accuracy",
    "clean_loss",
    "clean_accuracy",
    "validation_loss",
    "validation_accuracy",
)


@dataclass
class Head:
    """A linear layer that is to be trained: its recipe, its order seed and its start.

    weight : (C, D) and bias : (C,); at first its start, at last what its best epoch had. `error`
    says at which step its loss became no number, if it did.
    """

    recipe: Recipe
    order: int
    weight: Tensor
    bias: Tensor
    records: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    error: str = ""


@dataclass(frozen=True)
class _Block:
    """The heads of one recipe: weight (S, C, D), bias (S, 1, C).

    `places` are those of their S order seeds among all, None where they are all of them.
    """

    heads: tuple[Head, ...]
    places: Tensor | None
    weight: nn.Parameter
    bias: nn.Parameter
    optimizer: Optimizer
    loss: step.Losses
    losses: Tensor  # (steps, S), of the epoch under way
    right: Tensor  # (S,)


def epochs(heads: Sequence[Head], inputs: Inputs, split: Mapping[str, Rows]) -> Iterator[int]:
    """Train all `heads` on `inputs` (features, (N, D)); yield the number of each finished epoch.

    The heads' records grow by one an epoch; a head's time is its share of the time of all.
    """
    orders = sorted({head.order for head in heads})
    samples = torch.stack([clean_sample(split, order) for order in orders])
    blocks = _blocks(heads, orders, inputs, split["train"])
    for epoch in range(heads[0].recipe.epochs):
        began = perf_counter()
        _show_all(blocks, orders, inputs, split["train"], epoch)
        trained = (perf_counter() - began) / len(heads)
        clean = _measured(blocks, inputs, samples)
        validation = _measured(blocks, inputs, split["validation"][None])
        for number, block in enumerate(blocks):
            _remember(
                block,
                _Epoch(
                    number=epoch + 1,
                    clean_images=samples.shape[1],
                    images_per_second=len(split["train"]) / trained,
                    seconds=(perf_counter() - began) / len(heads),
                ),
                images=len(split["train"]),
                clean=clean[number],
                validation=validation[number],
            )
        yield epoch + 1


def _blocks(
    heads: Sequence[Head], orders: Sequence[int], inputs: Inputs, rows: Rows
) -> list[_Block]:
    """Put the heads of each recipe into one tensor."""
    made, where = [], inputs.device
    for recipe in dict.fromkeys(head.recipe for head in heads):
        own = tuple(head for head in heads if head.recipe == recipe)
        places = [orders.index(head.order) for head in own]
        whole = places == list(range(len(orders)))
        weight = nn.Parameter(torch.stack([head.weight for head in own]).to(where))
        bias = nn.Parameter(torch.stack([head.bias for head in own])[:, None].to(where))
        made.append(
            _Block(
                heads=own,
                places=None if whole else torch.tensor(places, device=where),
                weight=weight,
                bias=bias,
                optimizer=optimizers.make(recipe, [("weight", weight), ("bias", bias)]),
                loss=step.losses_of(recipe, inputs.targets(rows), inputs.num_classes),
                losses=torch.zeros(math.ceil(len(rows) / recipe.batch), len(own), device=where),
                right=torch.zeros(len(own), device=where),
            )
        )
    return made


def _show_all(
    blocks: Sequence[_Block], orders: Sequence[int], inputs: Inputs, rows: Rows, epoch: int
) -> None:
    """Show every training photograph once to every head, in the order of its seed."""
    generators = [seeds.generator("order", order, epoch) for order in orders]
    shuffled = torch.stack([rows[inputs.order(rows, g)] for g in generators])
    steps = len(blocks[0].losses)
    for block in blocks:
        block.right.zero_()
    for number, indices in enumerate(shuffled.tensor_split(steps, dim=1)):  # (orders, B)
        images, targets = inputs.plain(indices), inputs.targets(indices)
        for block in blocks:
            rate = optimizers.rate(block.heads[0].recipe, epoch + number / steps)
            optimizers.set_rate(block.optimizer, rate)
            _step(block, number, *_own(block, images, targets))


def _step(block: _Block, number: int, images: Tensor, targets: Tensor) -> None:
    """Update a recipe's heads on their batches: images (S, B, D), targets (S, B)."""
    logits = torch.baddbmm(block.bias, images, block.weight.mT)  # (S, B, C)
    losses = block.loss(logits, targets)  # (S,)
    block.optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    block.optimizer.step()
    block.losses[number] = losses.detach() * targets.shape[1]
    block.right.add_((logits.detach().argmax(2) == targets).sum(1))


@torch.no_grad()
def _measured(blocks: Sequence[_Block], inputs: Inputs, rows: Rows) -> list[tuple[Tensor, Tensor]]:
    """Return for every block mean cross-entropy and accuracy, (S,) each, of `rows`.

    `rows` are (orders, n), each order's own, or (1, n) for all alike.
    """
    sums = [(torch.zeros_like(block.right), torch.zeros_like(block.right)) for block in blocks]
    for part in torch.split(rows, ROWS, dim=1):
        every, labels = inputs.plain(part), inputs.targets(part)
        for block, (loss, right) in zip(blocks, sums, strict=True):
            images, targets = (every, labels) if len(part) == 1 else _own(block, every, labels)
            logits = images @ block.weight.mT + block.bias  # (S, n, C)
            targets = targets.expand(len(logits), -1)
            loss.add_(F.cross_entropy(logits.mT, targets, reduction="none").sum(1))
            right.add_((logits.argmax(2) == targets).sum(1))
    return [(loss / rows.shape[1], right / rows.shape[1]) for loss, right in sums]


def _own(block: _Block, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Choose from what all orders see what this block's heads see."""
    if block.places is None:
        return images, targets
    return images[block.places], targets[block.places]


@dataclass(frozen=True)
class _Epoch:
    """What is the same for all heads of an epoch."""

    number: int
    clean_images: int
    images_per_second: float
    seconds: float


def _remember(
    block: _Block,
    epoch: _Epoch,
    *,
    images: int,
    clean: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
) -> None:
    """Give every head its record, and keep its tensors where they are its best so far."""
    lr = block.optimizer.param_groups[0]["lr"]
    losses = block.losses.sum(0) / images
    columns = (losses, block.right / images, *clean, *validation)
    for place, head in enumerate(block.heads):
        if head.error:
            continue
        if len(wrong := torch.nonzero(~torch.isfinite(block.losses[:, place]))):
            number = int(wrong[0]) + 1
            head.error = f"the loss became no number at step {number} of epoch {epoch.number}"
            continue
        values = [column[place].item() for column in columns]
        head.records.append(
            Record(
                epoch=epoch.number,
                lr=lr,
                clean_images=epoch.clean_images,
                seconds=epoch.seconds,
                images_per_second=epoch.images_per_second,
                **dict(zip(MEASURED, values, strict=True)),
            )
        )
        best = head.records[head.best_epoch - 1] if head.best_epoch else None
        if best is None or rank(head.records[-1]) > rank(best):
            head.best_epoch = epoch.number
            head.weight = block.weight[place].detach().cpu().clone()
            head.bias = block.bias[place, 0].detach().cpu().clone()
