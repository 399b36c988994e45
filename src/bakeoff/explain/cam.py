"""Grad-CAM at the last convolutional map, by Captum.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (2017). Whether a map explains anything is asked in `checks`.
"""

from __future__ import annotations

import torch
from captum.attr import LayerGradCam
from torch import Tensor

from bakeoff.explain.activations import convolutions, layers
from bakeoff.explain.hooks import as_found
from bakeoff.fields import RecipeError
from bakeoff.models.parts import Net


def last_map(net: Net, image: Tensor) -> str:
    """Name the layer that Grad-CAM reads, for an image (1, 3, S, S).

    It is the last output (N, C, H, W) at or after the last convolution that has this convolution's
    height and width: norm, activation and shortcut are in it, pooling is not. Raises RecipeError
    for a net with one convolution only (it is the stem) and for maps of a single pixel.
    """
    found = convolutions(net, image)
    if len(found) < 2:
        raise RecipeError(f"{net.name}: no Grad-CAM, its only convolution is its stem")
    last = found[-1]
    if last.side < 2:
        raise RecipeError(
            f"{net.name}: no Grad-CAM, its last map is one pixel; allowed: larger photographs"
        )
    every = layers(net, image)
    names = [layer.name for layer in every]
    after = every[names.index(last.name) :]
    alike = [layer for layer in after if layer.shape == layer.map_shape and layer.side == last.side]
    return alike[-1].name


def grad_cam(net: Net, images: Tensor, targets: Tensor, layer: str | None = None) -> Tensor:
    """Return a map (N, h, w) for each of images (N, 3, S, S) and class numbers (N,), on the CPU.

    Values above 0 speak for the class, those below against it: the paper shows the former only
    (`rectified`). The net is left as found, also after an exception.
    """
    name = layer or last_map(net, images[:1])
    module = net.module.get_submodule(name)
    with as_found(net.module), torch.enable_grad():
        method = LayerGradCam(net.module, module)
        maps: Tensor = method.attribute(images.detach().clone().requires_grad_(), target=targets)
    return maps.detach()[:, 0].float().cpu()


def rectified(maps: Tensor) -> Tensor:
    """Keep what speaks for the class and divide each map (N, h, w) by its maximum."""
    kept = maps.clamp(min=0)
    most = kept.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, kept / most, torch.zeros_like(kept))
