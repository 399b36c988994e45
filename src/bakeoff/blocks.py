"""Heads as tensors: those of a recipe are one block, those of a loss a company of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bakeoff import optimizers, step
from bakeoff.inputs import Inputs
from bakeoff.measuring import Rows
from bakeoff.recipe import Recipe
from bakeoff.store import Record


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
class Block:
    """The heads of one recipe: weight (S, D, C), bias (S, 1, C), and their optimiser's groups.

    `places` are those of their S order seeds among all, None where they are all of them.
    """

    heads: tuple[Head, ...]
    places: Tensor | None
    weight: nn.Parameter
    bias: nn.Parameter
    groups: list[dict[str, Any]]

    def own(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Choose from what all orders see what this block's heads see."""
        if self.places is None:
            return images, targets
        return images[self.places], targets[self.places]


@dataclass(frozen=True)
class Company:
    """The blocks whose heads, H in all, have the same loss; it is taken of all of them at once."""

    blocks: tuple[Block, ...]
    loss: step.Losses
    losses: Tensor  # (steps, H), of the epoch under way
    right: Tensor  # (H,)

    def columns(self) -> list[tuple[Block, Tensor, Tensor]]:
        """Return every block with its own of `losses` and `right`."""
        counts = [len(block.heads) for block in self.blocks]
        shares = torch.split(self.losses, counts, 1), torch.split(self.right, counts)
        return list(zip(self.blocks, *shares, strict=True))


def in_companies(
    heads: Sequence[Head], orders: Sequence[int], inputs: Inputs, rows: Rows
) -> tuple[list[Company], list[Optimizer]]:
    """Put the heads of each recipe into one tensor, and recipes with the same loss together.

    Returns the optimisers too: one of a kind, since each costs what a small product does.
    """
    made: dict[tuple[float, str], list[Block]] = {}
    kinds: dict[type[Optimizer], Optimizer] = {}
    for recipe in dict.fromkeys(head.recipe for head in heads):
        own = tuple(head for head in heads if head.recipe == recipe)
        block, optimizer = _block(own, orders, inputs.device)
        made.setdefault((recipe.label_smoothing, recipe.class_weights), []).append(block)
        if kinds.setdefault(type(optimizer), optimizer) is not optimizer:
            for group in block.groups:
                kinds[type(optimizer)].add_param_group(group)
    steps, labels = math.ceil(len(rows) / heads[0].recipe.batch), inputs.targets(rows)
    companies = []
    for blocks in made.values():
        count = sum(len(block.heads) for block in blocks)
        companies.append(
            Company(
                blocks=tuple(blocks),
                loss=step.losses_of(blocks[0].heads[0].recipe, labels, inputs.num_classes),
                losses=torch.zeros(steps, count, device=inputs.device),
                right=torch.zeros(count, device=inputs.device),
            )
        )
    return companies, list(kinds.values())


def _block(
    own: tuple[Head, ...], orders: Sequence[int], where: torch.device
) -> tuple[Block, Optimizer]:
    """Put the heads of one recipe into one tensor; return its optimiser besides."""
    places = [orders.index(head.order) for head in own]
    whole = places == list(range(len(orders)))
    weight = nn.Parameter(torch.stack([head.weight.T for head in own]).to(where))
    bias = nn.Parameter(torch.stack([head.bias for head in own])[:, None].to(where))
    optimizer = optimizers.make(own[0].recipe, [("weight", weight), ("bias", bias)])
    kept = None if whole else torch.tensor(places, device=where)
    return Block(own, kept, weight, bias, optimizer.param_groups[:]), optimizer
