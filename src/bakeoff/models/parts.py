"""The contract of every network, and what follows from it: freezing and the frozen prefix.

A `Net` is a module that is also a chain: applying its parts one after another gives what the module
gives. The chain is what lets a frozen beginning be computed once (`bakeoff.features`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bakeoff.fields import RecipeError, nearest
from bakeoff.models import depth

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


@dataclass(frozen=True)
class Part:
    """One link of the chain, with the names of the parameters and buffers it uses."""

    name: str
    module: nn.Module
    tensors: frozenset[str]


@dataclass(frozen=True)
class Net:
    """A classifier and the facts that travel with its weights.

    `first_conv` and `head` are dotted module names; `mean` and `std` are per channel, for pixels
    in 0..1; `parts` is the chain, `links` the layers in their order where a part holds several.
    """

    name: str
    module: nn.Module
    parts: tuple[Part, ...]
    first_conv: str
    head: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    links: tuple[Part, ...] = ()

    @property
    def layers(self) -> tuple[Part, ...]:
        """The layers in their order, as finely as they are known."""
        return self.links or self.parts


def part(name: str, module: nn.Module, prefix: str | None = None) -> Part:
    """Make a part of a submodule whose tensors begin with `prefix` (its name by default)."""
    start = f"{name}." if prefix is None else prefix
    return Part(name, module, frozenset(start + tensor for tensor in module.state_dict()))


def freeze(net: Net, patterns: Sequence[str]) -> frozenset[str]:
    """Take gradients from the parameters that `patterns` name; return the frozen names.

    `backbone` is everything but the head, `first_conv` the first convolution; anything else is a
    shell pattern over parameter names, or the name of a module. Raises RecipeError for a pattern
    that matches nothing and when nothing is left to train.
    """
    parameters = dict(net.module.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in parameters if _matches(net, pattern, name)}
        if not matched:
            known = ["backbone", "first_conv", *(name for name, _ in net.module.named_modules())]
            hint = nearest(pattern, known) or f"; try backbone, first_conv or {net.head}"
            raise RecipeError(f"freeze: {pattern} matches no parameter of {net.name}{hint}")
        frozen |= matched
    if len(frozen) == len(parameters):
        raise RecipeError(f"freeze: {', '.join(patterns)} leaves nothing of {net.name} to train")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return frozenset(frozen)


def train_mode(module: nn.Module) -> None:
    """Put `module` into training mode, but what is wholly frozen into eval, dropout excepted.

    A frozen batch norm must not drift: neither its weights nor its running statistics change.
    Dropout regularises what comes after it, so it stays on. Stochastic depth is for blocks that
    learn to do without one another, which frozen ones cannot.
    """
    module.train()
    for inner in _wholly_frozen(module):
        inner.training = isinstance(inner, DROPOUT)


def drops_paths(module: nn.Module) -> bool:
    """Tell whether there is stochastic depth in `module` that `train_mode` leaves on."""
    still = {id(inner) for inner in _wholly_frozen(module)}
    return any(depth.share(path) > 0 and id(path) not in still for path in module.modules())


def changing(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that training alters, by their names in the state dict.

    They are the parameters that learn, and every buffer. `named_parameters` would not do: what
    Fabric wraps has other names there than the ones that are loaded.
    """
    state = model.state_dict(keep_vars=True)
    frozen = {id(p) for p in model.parameters() if not p.requires_grad}
    return {name: tensor for name, tensor in state.items() if id(tensor) not in frozen}


def frozen_prefix(net: Net, frozen: frozenset[str]) -> int:
    """Return how many parts at the start of the chain give the same output in every epoch.

    A part counts when all its parameters are frozen and nothing draws in it: no dropout, and no
    stochastic depth that `train_mode` leaves on; 0 when the first part learns.
    """
    parameters = {name for name, _ in net.module.named_parameters()}
    count = 0
    for link in net.parts[:-1]:
        if not (link.tensors & parameters) <= frozen or _draws(link.module):
            break
        count += 1
    return count if any(link.tensors for link in net.parts[:count]) else 0


def tail(net: Net, start: int) -> nn.Module:
    """Return the chain from part `start` on as one module; the net's own module for 0."""
    if start == 0:
        return net.module
    return nn.Sequential(*(link.module for link in net.parts[start:]))


@torch.no_grad()
def through(parts: Sequence[Part], images: Tensor) -> Tensor:
    """Send (N, C, H, W) through `parts`, one after another."""
    for link in parts:
        images = link.module(images)
    return images


def _matches(net: Net, pattern: str, name: str) -> bool:
    if pattern == "backbone":
        return not name.startswith(f"{net.head}.")
    start = net.first_conv if pattern == "first_conv" else pattern
    return name.startswith(f"{start}.") or fnmatch.fnmatchcase(name, start)


def _draws(module: nn.Module) -> bool:
    dropout = (child for child in module.modules() if isinstance(child, DROPOUT))
    return any(child.p > 0 for child in dropout) or drops_paths(module)


def _wholly_frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules in `module` that are frozen, or within one whose parameters all are."""
    for child in module.modules():
        parameters = list(child.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield from child.modules()
