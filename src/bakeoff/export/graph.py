"""The net with its preprocessing inside the graph: any photograph in, probabilities out.

The resizing is Pillow's antialiased bicubic, written as two products of matrices made from the
photograph's size, so that every runtime computes it alike. Like Pillow it weighs in whole numbers
of 2**-22, which float64 holds exactly, and rounds after each product. Pillow begins with the
columns, from version 13 on with the rows of tall photographs: as the one at hand does, so does the
graph, and no level differs.
"""

from __future__ import annotations

import PIL
import torch
from torch import Tensor, nn

from bakeoff.augment.policies import centre_start
from bakeoff.classifier import Classifier

SHARPNESS = -0.5  # a of Keys' cubic convolution, as Pillow has it
ONE = 2.0**22  # a weight of 1
ROWS_OF_TALL_FIRST = int(PIL.__version__.partition(".")[0]) >= 13


class Whole(nn.Module):
    """uint8 photographs (N, H, W, 3), RGB and upright, to calibrated probabilities (N, C)."""

    def __init__(self, classifier: Classifier) -> None:
        """Take the net and its constants."""
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        net, recipe, trust = classifier.net, classifier.recipe, classifier.trust
        self.net = classifier.answering
        self.side, self.size = recipe.side, recipe.size
        self.temperature = trust.temperature if trust else 1.0
        self.register_buffer("mean", torch.tensor(net.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(net.std)[:, None, None])

    def forward(self, photographs: Tensor) -> Tensor:
        """Return the probabilities (N, C)."""
        levels = resized(photographs, self.side)
        start = centre_start(self.side, self.size)
        end = start + self.size
        seen = (levels[:, :, start:end, start:end].float() * (1 / 255) - self.mean) / self.std
        logits: Tensor = self.net(seen)
        return torch.softmax(logits.double() / self.temperature, dim=1).float()


def resized(photographs: Tensor, side: int) -> Tensor:
    """Return the centre squares of uint8 (N, H, W, 3), resized: levels (N, 3, S, S), S = side."""
    across, down = _positions(photographs[0, 0, :, 0]), _positions(photographs[0, :, 0, 0])
    height, width = down[-1] + 0.5, across[-1] + 0.5
    edge = torch.minimum(height, width)
    inputs = (
        photographs.permute(0, 3, 1, 2).double(),  # (N, 3, H, W)
        _weights(down, edge, side),
        _weights(across, edge, side),
    )
    if not ROWS_OF_TALL_FIRST:
        return _columns_first(*inputs)
    tall = height - side > 2 * (width - side).clamp(min=0)
    levels: Tensor = torch.cond(tall, _rows_first, _columns_first, inputs)
    return levels


def _rows_first(levels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return _rounded(_rounded(rows @ levels) @ columns.T)


def _columns_first(levels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return _rounded(rows @ _rounded(levels @ columns.T))


def _positions(row: Tensor) -> Tensor:
    """Return the middles of the pixels of `row` (L,): 0.5, 1.5, …"""
    return torch.ones_like(row, dtype=torch.float64).cumsum(0) - 0.5


def _weights(middles: Tensor, edge: Tensor, side: int) -> Tensor:
    """Return what each of L pixels gives to each of `side`, of the centre `edge`: (side, L)."""
    scale = edge / side
    start = (middles[-1] + 0.5 - edge) / 2
    wanted = start + (torch.arange(side, dtype=torch.float64) + 0.5) * scale
    distance = ((middles[None] - wanted[:, None]) / scale.clamp(min=1.0)).abs()
    shares = _bicubic(distance)
    exact = ONE * shares / shares.sum(dim=1, keepdim=True)
    return exact.sign() * (exact.abs() + 0.5).floor()


def _bicubic(x: Tensor) -> Tensor:
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _rounded(sums: Tensor) -> Tensor:
    """Return the levels 0..255 that weighted sums of levels come to."""
    return ((sums + ONE / 2) / ONE).floor().clamp(0, 255)
