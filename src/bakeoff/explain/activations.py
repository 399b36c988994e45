"""Activation maps: what layers of a net answer to one photograph, a tile a filter.

Layers have the names that torch gives their modules. Of a layer that runs several times the last
answer counts. The net is left as found, whatever happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bakeoff.explain.hooks import as_found, as_map, watching
from bakeoff.fields import RecipeError, nearest
from bakeoff.models.parts import Net

SILENT = 0.02


@dataclass(frozen=True)
class Layer:
    """A module that runs: its name, its kind, and its output's shape without the batch.

    `map_shape` is (C, H, W) where the output can be seen as a map, else empty.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    map_shape: tuple[int, ...]

    @property
    def side(self) -> int:
        """Pixels a side of its map; 0 where it has none."""
        return self.map_shape[-1] if self.map_shape else 0


def layers(net: Net, image: Tensor) -> tuple[Layer, ...]:
    """List what runs when `image` (1, 3, S, S) goes through `net`, in the order of finishing."""
    found: dict[str, Layer] = {}

    def seen(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            laid = as_map(output)
            found.pop(name, None)
            found[name] = Layer(
                name,
                type(module).__name__,
                tuple(output.shape[1:]),
                () if laid is None else tuple(laid.shape[1:]),
            )

    with as_found(net.module), watching(_named(net), seen), torch.no_grad():
        net.module(image)
    return tuple(found.values())


def convolutions(net: Net, image: Tensor) -> tuple[Layer, ...]:
    """List the convolutions in the order they run, but those whose map is a single pixel.

    Gates that weigh channels (squeeze and excitation) are convolutions over one pixel.
    """
    modules = dict(net.module.named_modules())
    every = [layer for layer in layers(net, image) if isinstance(modules[layer.name], nn.Conv2d)]
    return tuple(layer for layer in every if layer.side > 1) or tuple(every)


def default_layers(net: Net, image: Tensor) -> tuple[str, ...]:
    """Name the first, the middle and the last convolution; fewer where there are fewer."""
    names = [layer.name for layer in convolutions(net, image)]
    if not names:
        raise RecipeError(f"{net.name}: it has no convolution; name a layer with --layer")
    return tuple(dict.fromkeys((names[0], names[(len(names) - 1) // 2], names[-1])))


def outputs(net: Net, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the maps (C, H, W) of the layers `names`, float32 on the CPU, for one image.

    Raises RecipeError for a name that the net does not have (the nearest one is offered), for a
    layer that does not run, and for one whose output is no map.
    """
    if image.dim() != 4 or len(image) != 1:
        raise ValueError(f"image: {tuple(image.shape)} is not allowed; (1, 3, S, S)")
    modules = _named(net)
    for name in names:
        if name not in modules:
            hint = nearest(name, list(modules)) or f"; the first is {next(iter(modules))}"
            raise RecipeError(f"layer: {net.name} has no {name}{hint}")
    kept: dict[str, Tensor | str] = {}

    def seen(name: str, _module: nn.Module, output: Any) -> None:
        laid = as_map(output)
        # a copy: what comes next may work in place
        kept[name] = _said(output) if laid is None else laid[0].detach().float().cpu().clone()

    wanted = {name: modules[name] for name in names}
    with as_found(net.module), watching(wanted, seen), torch.no_grad():
        net.module(image)
    return {name: _demanded(net, name, kept.get(name)) for name in names}


def activation_maps(
    net: Net, image: Tensor, names: Sequence[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return the tiles (C, H, W) of layers for one image (1, 3, S, S), with values in 0..1.

    Without `names` these are the first, the middle and the last convolution. See `scaled`.
    """
    wanted = default_layers(net, image) if names is None else names
    return {name: scaled(found.numpy()) for name, found in outputs(net, image, wanted).items()}


def scaled(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract from each tile of maps (C, H, W) its minimum, then divide it by its maximum.

    A filter that hardly answers, over less than a fiftieth of the widest range in the layer,
    becomes 0: what would be seen is noise.
    """
    shifted = maps - maps.min(axis=(1, 2), keepdims=True)
    most = shifted.max(axis=(1, 2), keepdims=True)
    heard = (most > 0) & (most >= SILENT * most.max())
    tiles: NDArray[np.float32] = np.divide(shifted, most, out=np.zeros_like(shifted), where=heard)
    return tiles


def _named(net: Net) -> dict[str, nn.Module]:
    return {name: module for name, module in net.module.named_modules() if name}


def _said(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"it gives {' x '.join(map(str, output.shape[1:]))} values"
    return f"it gives a {type(output).__name__}"


def _demanded(net: Net, name: str, found: Tensor | str | None) -> Tensor:
    if isinstance(found, Tensor):
        return found
    why = found or f"it does not run in {net.name}"
    raise RecipeError(f"layer: {name} has no map: {why}; allowed: a layer with maps")
