"""Several views of a photograph, whose answers are averaged; also inside an exported graph.

    one    the photograph as it is
    flip   and its mirror image
    crops  these two, and the same of its four corners, 7/8 of a side, enlarged to the whole

Averaging over crops and mirror images is Krizhevsky et al.'s, "ImageNet Classification with Deep
Convolutional Neural Networks" (2012).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
COUNTS = {"one": 1, "flip": 2, "crops": 10}


def views(images: Tensor, kind: str) -> Iterator[Tensor]:
    """Yield the COUNTS[kind] views of (B, 3, S, S), of the same shape; the first is `images`."""
    yield images
    if kind == "one":
        return
    yield images.flip(3)
    if kind == "flip":
        return
    side = images.shape[-1]
    part = round(side * 7 / 8)
    for down, along in CORNERS:
        top, left = down * (side - part), along * (side - part)
        corner = images[:, :, top : top + part, left : left + part]
        whole = F.interpolate(corner, size=(side, side), mode="bilinear", align_corners=False)
        yield whole
        yield whole.flip(3)


class Averaged(nn.Module):
    """A net that answers with the mean of its logits over all views: (B, 3, S, S) -> (B, C)."""

    def __init__(self, module: nn.Module, kind: str) -> None:
        """Wrap `module`, which stays as it is."""
        super().__init__()
        self.module, self.kind = module, kind

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean logits (B, C), float32."""
        return torch.stack([self.module(view).float() for view in views(images, self.kind)]).mean(0)


def averaged(module: nn.Module, kind: str) -> nn.Module:
    """Return `module` as it answers over the views of `kind`; itself for one."""
    return module if kind == "one" else Averaged(module, kind).train(module.training)
