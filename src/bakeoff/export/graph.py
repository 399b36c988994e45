"""The net with its preprocessing inside the graph: any photograph in, probabilities out.

The resizing is Pillow's antialiased bicubic (two passes, each rounded to whole levels), written as
two products of matrices made from the photograph's size, so that every runtime computes it alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bakeoff.augment.policies import centre_start
from bakeoff.classifier import Classifier

SHARPNESS = -0.5  # a of Keys' cubic convolution, as Pillow has it


class Whole(nn.Module):
    """uint8 photographs (N, H, W, 3), RGB and upright, to calibrated probabilities (N, C)."""

    def __init__(self, classifier: Classifier) -> None:
        """Take the net and its constants."""
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        net, recipe, trust = classifier.net, classifier.recipe, classifier.trust
        self.net = net.module
        self.side, self.size = recipe.side, recipe.size
        self.temperature = trust.temperature if trust else 1.0
        self.register_buffer("mean", torch.tensor(net.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(net.std)[:, None, None])

    def forward(self, photographs: Tensor) -> Tensor:
        """Return the probabilities (N, C)."""
        across, down = _positions(photographs[0, 0, :, 0]), _positions(photographs[0, :, 0, 0])
        edge = torch.minimum(across[-1], down[-1]) + 0.5
        levels = photographs.permute(0, 3, 1, 2).float()  # (N, 3, H, W)
        levels = _rounded(levels @ _weights(across, edge, self.side).T)  # (N, 3, H, S)
        levels = _rounded(_weights(down, edge, self.side) @ levels)  # (N, 3, S, S)
        start = centre_start(self.side, self.size)
        end = start + self.size
        seen = (levels[:, :, start:end, start:end] * (1 / 255) - self.mean) / self.std
        logits: Tensor = self.net(seen)
        return torch.softmax(logits.double() / self.temperature, dim=1).float()


def _positions(row: Tensor) -> Tensor:
    """Return the middles of the pixels of `row` (L,): 0.5, 1.5, …"""
    return torch.ones_like(row, dtype=torch.float64).cumsum(0) - 0.5


def _weights(middles: Tensor, edge: Tensor, side: int) -> Tensor:
    """Return how much each of L pixels gives to each of `side` (side, L), of the centre `edge`."""
    scale = edge / side
    start = (middles[-1] + 0.5 - edge) / 2
    wanted = start + (torch.arange(side, dtype=torch.float64) + 0.5) * scale
    distance = ((middles[None] - wanted[:, None]) / scale.clamp(min=1.0)).abs()
    shares = _bicubic(distance)
    return (shares / shares.sum(dim=1, keepdim=True)).float()


def _bicubic(x: Tensor) -> Tensor:
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _rounded(levels: Tensor) -> Tensor:
    return (levels + 0.5).floor().clamp(0, 255)
