"""Every row is answered once and in order; of pixels on a CPU no more at once than a step has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bakeoff.inputs import NO_AUGMENT, Inputs, from_pixels
from bakeoff.measuring import predicted
from bakeoff.models import zoo
from bakeoff.recipe import parse


class Watched(nn.Module):
    """Gives the sum of each row, and remembers how many rows it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def forward(self, rows: Tensor) -> Tensor:
        self.counts.append(len(rows))
        return rows.flatten(1).sum(dim=1, keepdim=True)


@pytest.fixture
def pixels() -> Inputs:
    """Return 10 photographs of 4 x 4 pixels, each lighter than the one before."""
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None]
    net = zoo.build(parse({"model": "baseline", "net": {"width": 4, "padding": 1}}), 2)
    rows = np.zeros((10, 4, 4, 3), dtype=np.uint8) + levels
    return from_pixels(rows, np.arange(10) % 2, net, 2, 4, NO_AUGMENT, torch.device("cpu"))


def test_pixels_on_a_cpu_are_answered_by_the_batch_and_in_order(pixels: Inputs) -> None:
    watched = Watched()
    logits = predicted(watched, pixels, torch.arange(10), batch=4)
    assert watched.counts == [4, 4, 2]
    assert (logits.flatten().diff() > 0).all()


def test_features_are_answered_by_two_batches(pixels: Inputs) -> None:
    watched, features = Watched(), pixels.of(torch.arange(10.0)[:, None])
    logits = predicted(watched, features, torch.arange(10), batch=4)
    assert watched.counts == [8, 2]
    assert logits.flatten().tolist() == list(range(10))


def test_never_more_than_the_net_can_take(pixels: Inputs) -> None:
    watched = Watched()
    predicted(watched, replace(pixels, largest_batch=3), torch.arange(10), batch=4)
    assert watched.counts == [3, 3, 3, 1]
