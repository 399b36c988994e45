"""A run made ready: its net with start weights, what of it is frozen, what enters the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from bakeoff import distill, features, loop, machine, optimizers, seeds
from bakeoff.data.cache import cache_dir
from bakeoff.data.dataset import Dataset
from bakeoff.data.photographs import SPLITS
from bakeoff.inputs import NO_AUGMENT, Inputs, from_pixels
from bakeoff.models import limits, norms, weights, zoo
from bakeoff.models.depths import depths
from bakeoff.models.parts import Net, freeze, frozen_prefix, tail
from bakeoff.ranks import ALONE, Ranks
from bakeoff.recipe import Recipe
from bakeoff.sharded import whole
from bakeoff.stepping import Steps
from bakeoff.study import Run

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """A run, where its folder is, and how it is carried out."""

    folder: Path
    run: Run
    identity: str
    dataset: Dataset
    where: torch.device
    precision: str
    fp32_because: str
    offline: bool
    on_progress: Progress | None
    steps: Steps
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Prepared:
    """A net with its start weights, what of it is frozen, and what enters the rest of it."""

    fabric: Fabric
    net: Net
    frozen: frozenset[str]
    inputs: Inputs
    training: loop.Training
    teacher: distill.Teacher | None = None


def split_of(dataset: Dataset, recipe: Recipe, seed: int) -> dict[str, torch.Tensor]:
    """Return the rows of each split; of train only the recipe's share."""
    split = {name: torch.from_numpy(dataset.indices(name)) for name in SPLITS}
    if recipe.train_share < 1:
        labels = torch.from_numpy(dataset.labels)[split["train"]]
        drawing = seeds.generator("subset", seed)
        split["train"] = share_of(split["train"], labels, recipe.train_share, drawing)
    return split


def share_of(
    rows: torch.Tensor, labels: torch.Tensor, share: float, generator: torch.Generator
) -> torch.Tensor:
    """Return that share of `rows` (n,), at least one a class; a smaller share is within a larger.

    `labels` (n,) are those of `rows`.
    """
    order = torch.randperm(len(rows), generator=generator)
    kept = [
        order[labels[order] == label][: max(1, round(share * int((labels == label).sum())))]
        for label in torch.unique(labels)
    ]
    return rows[torch.cat(kept).sort().values]


def prepare(job: Job) -> Prepared:
    """Build the net and put before its learning part what has to enter it."""
    dataset, where, ranks = job.dataset, job.where, job.ranks
    recipe, classes = job.run.row.recipe, len(dataset.classes)
    fabric = ranks.fabric(where, job.precision)
    with ranks.alike():
        torch.manual_seed(seeds.number("init", job.run.seeds["init"]))
        net = zoo.build(recipe, classes, offline=job.offline)
        frozen = freeze(net, recipe.freeze)
        if not ranks.shards:  # what is sharded may not fit as a whole
            net.module.to(where).to(memory_format=torch.channels_last)
        inputs = from_pixels(
            dataset.pixels, dataset.labels, net, classes, recipe.size, recipe.augment, where
        )
        inputs = replace(inputs, largest_batch=limits.largest_batch(recipe, classes))
        teacher = distill.teacher(recipe, dataset.classes, net, fabric, where, ranks)
    pixels = ranks.shards or recipe.augment != NO_AUGMENT or teacher is not None
    prefix = 0 if pixels else frozen_prefix(net, frozen)
    if prefix and features.worth_keeping(fabric, net, prefix, inputs, recipe.views):
        inputs = ranks.first_here(lambda: features_of(job, fabric, net, prefix, inputs))
    else:
        prefix = 0
    learning = tail(net, prefix)
    if prefix and not any(isinstance(module, nn.Conv2d) for module in learning.modules()):
        fabric = ranks.fabric(where, "fp32")
    if ranks.size > 1:
        learning = norms.over_all(learning, where)
        inputs = replace(inputs, ranks=ranks)
    with machine.quiet():
        model = fabric.setup_module(learning)
    optimizer = optimizers.make(recipe, net.module.named_parameters(), depths(net))
    wrapped = cast(Optimizer, fabric.setup_optimizers(optimizer))
    return Prepared(fabric, net, frozen, inputs, loop.Training(model, wrapped), teacher)


def features_of(
    job: Job, fabric: Fabric, net: Net, prefix: int, inputs: Inputs, views: str | None = None
) -> Inputs:
    """Return `inputs` with the outputs of the net's first `prefix` parts as rows.

    They are those of the recipe's views, if no others are asked for.
    """
    recipe = job.run.row.recipe
    start = weights.digest(recipe.weights)
    drawn = job.run.seeds["init"] if start == "none" else None
    net_options = recipe.net.model_dump(mode="json", exclude_defaults=True, exclude={"dropout"})
    options = (net_options,) if net_options else ()  # an activation has no tensors to tell it by
    return features.cached(
        fabric,
        net,
        prefix,
        inputs,
        key=(start, drawn, *options, job.dataset.digests, recipe.side, job.precision),
        views=views or recipe.views,
        folder=cache_dir() / "features",
        on_progress=job.on_progress,
    )


def proof(net: Net, frozen: frozenset[str]) -> str:
    """Hash every frozen tensor and the buffers of modules that are wholly frozen."""
    state = net.module.state_dict()
    names = set(frozen)
    for module_name, module in net.module.named_modules():
        own = [f"{module_name}.{name}" for name, _ in module.named_parameters(recurse=False)]
        if own and set(own) <= frozen:
            names |= {f"{module_name}.{name}" for name, _ in module.named_buffers(recurse=False)}
    content = hashlib.sha256()
    for name in sorted(names & set(state)):
        content.update(name.encode())
        content.update(whole(state[name]).detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()
