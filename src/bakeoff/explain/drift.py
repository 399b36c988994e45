"""What fine-tuning changed: how far weights and features of each stage moved from their start.

Features are compared by linear CKA: Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural
Network Representations Revisited" (2019). As published it is near 1 for any two nets when there are
fewer images than features, so its unbiased estimate is used: Nguyen, Raghu and Kornblith, "Do Wide
and Deep Networks Learn the Same Things?" (2021), after Song et al. (2012). Each value stands beside
a floor: the same features with the images permuted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.explain.hooks import as_found, as_map, watching
from bakeoff.models.parts import Net

FEWEST_PARTS = 3
FEWEST_IMAGES = 4  # the unbiased estimate divides by images - 3
LARGEST_MAP = 14
BATCH = 16
PERMUTATIONS = 20


@dataclass(frozen=True)
class Stage:
    """One stage of a net beside its start.

    change      : ||w - w0|| / ||w0|| over all its weights; None where the start is all zero
    cka         : linear CKA of its outputs, unbiased: 1 for the same, about 0 for unrelated ones;
                  None where an output does not vary
    floor       : mean CKA when the images of one side are permuted
    """

    name: str
    parameters: int
    change: float | None
    cka: float | None
    floor: float | None


def drift(net: Net, start: Net, images: Tensor, *, seed: int = 0) -> tuple[Stage, ...]:
    """Compare `net` with `start`, stage by stage, on images (N, 3, S, S).

    Stages are the parts of the chain that have weights; where the chain has fewer than three, the
    modules below. Maps with more than 14 pixels a side are averaged to 14. Both nets are left as
    found. Raises ValueError for fewer than four images and for nets of other layout.
    """
    if len(images) < FEWEST_IMAGES:
        raise ValueError(f"images: {len(images)} is not allowed; at least {FEWEST_IMAGES}")
    names = stages(net)
    if {n: p.shape for n, p in net.module.named_parameters()} != {
        n: p.shape for n, p in start.module.named_parameters()
    }:
        raise ValueError(f"start: {start.name} is not laid out as {net.name}")
    grams = [_grams(each, names, images) for each in (net, start)]
    order = np.random.default_rng(seed)
    shuffles = [torch.from_numpy(order.permutation(len(images))) for _ in range(PERMUTATIONS)]
    found = []
    for name in names:
        mine, before = grams[0].get(name), grams[1].get(name)
        cka = floor = None
        if mine is not None and before is not None:
            cka = _unbiased(mine, before)
            beside = [_unbiased(mine, before[shuffle][:, shuffle]) for shuffle in shuffles]
            known = [value for value in beside if value is not None]
            floor = float(np.mean(known)) if known else None
        module, old = net.module.get_submodule(name), start.module.get_submodule(name)
        count = sum(parameter.numel() for parameter in module.parameters())
        found.append(Stage(name, count, weight_change(module, old), cka, floor))
    return tuple(found)


def stages(net: Net) -> tuple[str, ...]:
    """Name the modules that are compared, in their order."""
    modules = dict(net.module.named_modules())
    parts = [part.name for part in net.layers if part.name in modules]
    if len(parts) < FEWEST_PARTS:
        parts = []
        for name, child in net.module.named_children():
            deeper = isinstance(child, nn.Sequential | nn.ModuleList) and len(child) > 1
            inner = [inner for inner, _ in child.named_children()] if deeper else []
            parts += [f"{name}.{number}" for number in inner] or [name]
    return tuple(name for name in parts if any(True for _ in modules[name].parameters()))


def weight_change(module: nn.Module, start: nn.Module) -> float | None:
    """Return ||w - w0|| / ||w0|| over all parameters."""
    moved = size = 0.0
    for parameter, before in zip(module.parameters(), start.parameters(), strict=True):
        old = before.detach().double().cpu()
        moved += float((parameter.detach().double().cpu() - old).square().sum())
        size += float(old.square().sum())
    return math.sqrt(moved / size) if size else None


def linear_cka(mine: Tensor, other: Tensor) -> float | None:
    """Return linear CKA of features (N, P) and (N, Q), unbiased; None where one does not vary."""
    return _unbiased(_gram(mine), _gram(other))


def biased_cka(mine: Tensor, other: Tensor) -> float | None:
    """Return linear CKA as it was published first, for many more images than features."""
    one, two = _gram(mine), _gram(other)
    sizes = float(one.norm() * two.norm())
    return float((one * two).sum()) / sizes if sizes > 0 else None


def _unbiased(mine: Tensor, other: Tensor) -> float | None:
    product = _independence(mine, mine) * _independence(other, other)
    alone = min(_independence(mine, mine), _independence(other, other))
    return _independence(mine, other) / math.sqrt(product) if alone > 0 else None


def _independence(one: Tensor, two: Tensor) -> float:
    """Return the unbiased estimate of HSIC from Gram matrices (N, N), N at least 4."""
    count = len(one)
    first, second = (gram - torch.diag(gram.diagonal()) for gram in (one, two))
    sums = first.sum() * second.sum() / ((count - 1) * (count - 2))
    crossed = (first.sum(dim=0) * second.sum(dim=0)).sum() * 2 / (count - 2)
    return float(((first * second).sum() + sums - crossed) / (count * (count - 3)))


def _gram(features: Tensor) -> Tensor:
    """Return the centred Gram matrix (N, N); the same value as by covariance, and smaller."""
    flat = features.flatten(1).double()
    centred = flat - flat.mean(dim=0)
    varies = centred.norm() > 1e-9 * flat.norm()
    gram: Tensor = centred @ centred.T * varies
    return gram


def _grams(net: Net, names: tuple[str, ...], images: Tensor) -> dict[str, Tensor]:
    features: dict[str, list[Tensor]] = {name: [] for name in names}

    def seen(name: str, _module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            laid = as_map(output) if output.dim() == 4 else None
            kept = output
            if laid is not None and laid.shape[-1] > LARGEST_MAP:
                kept = F.adaptive_avg_pool2d(laid, LARGEST_MAP)
            features[name].append(kept.detach().float().cpu().flatten(1).clone())

    modules = {name: net.module.get_submodule(name) for name in names}
    with as_found(net.module), watching(modules, seen), torch.no_grad():
        for batch in torch.split(images, BATCH):
            net.module(batch)
    gathered = {name: torch.cat(seen_) for name, seen_ in features.items() if seen_}
    whole = {name: each for name, each in gathered.items() if len(each) == len(images)}
    return {name: _gram(each) for name, each in whole.items()}
