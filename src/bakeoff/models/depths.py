"""How far from the head each parameter of a net stands, for rates that fall layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timm.models import group_parameters
from torch import nn

from bakeoff.models.parts import Net


def depths(net: Net) -> dict[str, int]:
    """Return parameter name -> layers between it and the output; 0 for the head's own.

    timm's nets say themselves what a layer is; of others each link of the chain with parameters is
    one, so that a batch norm is not counted apart from the convolution before it.
    """
    matcher: Callable[[], Mapping[str, object]] | None = getattr(net.module, "group_matcher", None)
    found = _by_timm(net.module, matcher()) if matcher else _by_chain(net)
    deepest = max(found.values())
    return {name: deepest - number for name, number in found.items()}


def _by_timm(module: nn.Module, matcher: Mapping[str, object]) -> dict[str, int]:
    numbers: dict[str, int] = group_parameters(module, matcher, reverse=True)
    return numbers


def _by_chain(net: Net) -> dict[str, int]:
    names = [name for name, _ in net.module.named_parameters()]
    found: dict[str, int] = {}
    for link in net.layers:
        own = [name for name in names if name in link.tensors]
        new = bool(own) and not isinstance(link.module, nn.BatchNorm2d)
        found |= dict.fromkeys(own, max(found.values(), default=-1) + new)
    return found
