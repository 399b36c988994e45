"""Many heads at once: linear layers on the same cached features, for all variants and seeds.

They share photographs, batch and epochs, and differ in rate, decay, optimiser, loss or seed. The
heads of a recipe are one tensor (S, D, C) over its S seeds, so that a step is one batched product a
recipe instead of S small ones, and one loss, backward and update for all. Each head learns what it
would have learnt alone, but for the order in which sums are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from bakeoff import optimizers, seeds
from bakeoff.blocks import Block, Company, Head, in_companies
from bakeoff.inputs import Inputs
from bakeoff.loop import rank
from bakeoff.measuring import Rows, clean_sample
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


def epochs(heads: Sequence[Head], inputs: Inputs, split: Mapping[str, Rows]) -> Iterator[int]:
    """Train all `heads` on `inputs` (features, (N, D)); yield the number of each finished epoch.

    The heads' records grow by one an epoch; a head's time is its share of the time of all.
    """
    orders = sorted({head.order for head in heads})
    samples = torch.stack([clean_sample(split, order) for order in orders])
    companies, stepped = in_companies(heads, orders, inputs, split["train"])
    for epoch in range(heads[0].recipe.epochs):
        began = perf_counter()
        _show_all(companies, stepped, orders, inputs, split["train"], epoch)
        trained = (perf_counter() - began) / len(heads)
        blocks = [block for company in companies for block in company.blocks]
        clean = _measured(blocks, inputs, samples)
        validation = _measured(blocks, inputs, split["validation"][None])
        shown = _Epoch(
            number=epoch + 1,
            images=len(split["train"]),
            clean_images=samples.shape[1],
            images_per_second=len(split["train"]) / trained,
            seconds=(perf_counter() - began) / len(heads),
        )
        learnt = chain.from_iterable(company.columns() for company in companies)
        for (block, losses, right), *measured in zip(learnt, clean, validation, strict=True):
            _remember(block, shown, losses, right, *measured)
        yield epoch + 1


def _show_all(
    companies: Sequence[Company],
    stepped: Sequence[Optimizer],
    orders: Sequence[int],
    inputs: Inputs,
    rows: Rows,
    epoch: int,
) -> None:
    """Show every training photograph once to every head, in the order of its seed."""
    generators = [seeds.generator("order", order, epoch) for order in orders]
    shuffled = torch.stack([rows[inputs.order(rows, g)] for g in generators])
    steps = len(companies[0].losses)
    for company in companies:
        company.right.zero_()
    for number, indices in enumerate(shuffled.tensor_split(steps, dim=1)):  # (orders, B)
        images, targets = inputs.plain(indices), inputs.targets(indices)
        losses = [_learnt(company, number, images, targets) for company in companies]
        for optimizer in stepped:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        for block in (block for company in companies for block in company.blocks):
            rate = optimizers.rate(block.heads[0].recipe, epoch + number / steps)
            optimizers.set_rate(block.groups, rate)
        for optimizer in stepped:
            optimizer.step()


def _learnt(company: Company, number: int, images: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss (scalar) of a company's heads on images (O, B, D), targets (O, B)."""
    owned = [block.own(images, targets) for block in company.blocks]
    each = [
        torch.baddbmm(block.bias, seen, block.weight)  # (S, B, C)
        for block, (seen, _) in zip(company.blocks, owned, strict=True)
    ]
    logits, labels = torch.cat(each), torch.cat([own for _, own in owned])  # (H, B, C), (H, B)
    losses: Tensor = company.loss(logits, labels)  # (H,)
    company.losses[number] = losses.detach() * labels.shape[1]
    company.right.add_((logits.detach().argmax(2) == labels).sum(1))
    return losses.sum()


@torch.no_grad()
def _measured(blocks: Sequence[Block], inputs: Inputs, rows: Rows) -> list[tuple[Tensor, Tensor]]:
    """Return for every block mean cross-entropy and accuracy, (S,) each, of `rows`.

    `rows` are (orders, n), each order's own, or (1, n) for all alike.
    """
    sums = [torch.zeros(2, len(block.heads), device=inputs.device).unbind() for block in blocks]
    for part in torch.split(rows, ROWS, dim=1):
        every, labels = inputs.plain(part), inputs.targets(part)
        for block, (loss, right) in zip(blocks, sums, strict=True):
            images, targets = (every, labels) if len(part) == 1 else block.own(every, labels)
            logits = images @ block.weight + block.bias  # (S, n, C)
            targets = targets.expand(len(logits), -1)
            loss.add_(F.cross_entropy(logits.mT, targets, reduction="none").sum(1))
            right.add_((logits.argmax(2) == targets).sum(1))
    return [(loss / rows.shape[1], right / rows.shape[1]) for loss, right in sums]


@dataclass(frozen=True)
class _Epoch:
    """What is the same for all heads of an epoch."""

    number: int
    images: int
    clean_images: int
    images_per_second: float
    seconds: float


def _remember(
    block: Block,
    epoch: _Epoch,
    losses: Tensor,
    right: Tensor,
    clean: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
) -> None:
    """Give every head its record, and keep its tensors where they are its best so far."""
    shown = losses.sum(0) / epoch.images, right / epoch.images
    columns = torch.stack([*shown, *clean, *validation]).tolist()
    for place, head in enumerate(block.heads):
        if head.error:
            continue
        if len(wrong := torch.nonzero(~torch.isfinite(losses[:, place]))):
            number = int(wrong[0]) + 1
            head.error = f"the loss became no number at step {number} of epoch {epoch.number}"
            continue
        values = [column[place] for column in columns]
        head.records.append(
            Record(
                epoch=epoch.number,
                lr=block.groups[0]["lr"],
                clean_images=epoch.clean_images,
                seconds=epoch.seconds,
                images_per_second=epoch.images_per_second,
                **dict(zip(MEASURED, values, strict=True)),
            )
        )
        best = head.records[head.best_epoch - 1] if head.best_epoch else None
        if best is None or rank(head.records[-1]) > rank(best):
            head.best_epoch = epoch.number
            head.weight = block.weight[place].detach().T.cpu().contiguous().clone()
            head.bias = block.bias[place, 0].detach().cpu().clone()
