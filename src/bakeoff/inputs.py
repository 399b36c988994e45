"""What enters the part of a net that learns: pixels, augmented on the device, or cached features.

Rows lie on the device when they fit, else in the memory map, from where `streaming` brings them;
either way a batch is gathered by index, so that order, split and epochs are only index arrays.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.augment import augment, mix
from bakeoff.machine import free_bytes, quiet
from bakeoff.models.parts import Net
from bakeoff.recipe import Augment

SHARE_OF_FREE_MEMORY = 0.5
NO_AUGMENT = Augment()


@dataclass(frozen=True)
class Batch:
    """Some rows (B, …) and their labels (B,), both on the device."""

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Inputs:
    """N rows and their labels.

    rows          : (N, S, S, 3) uint8 pixels, or (N, …) float features
    labels        : (N,) int64, on the device
    size          : pixels a side the net sees (unused for features)
    mean, std     : (3, 1, 1), for pixels in 0..1
    streamed      : the rows do not fit; they are read ahead of the step that needs them
    largest_batch : how many rows are evaluated at once, at most (see `models.limits`)
    """

    rows: Tensor
    labels: Tensor
    device: torch.device
    num_classes: int
    size: int
    augment: Augment
    mean: Tensor
    std: Tensor
    streamed: bool = False
    largest_batch: int = sys.maxsize

    @property
    def are_features(self) -> bool:
        """Whether the rows are a frozen prefix's outputs."""
        return self.rows.dtype != torch.uint8

    def of(self, rows: Tensor) -> Inputs:
        """Return the same with other `rows`, moved to the device as a whole when they fit."""
        streamed = rows.nbytes > SHARE_OF_FREE_MEMORY * free_bytes(self.device)
        if self.device.type == "cuda" and not streamed:
            rows = rows.to(self.device)
        return replace(self, rows=rows, streamed=streamed)

    def batch(self, indices: Tensor) -> Batch:
        """Gather the rows at `indices`, of any shape."""
        rows = self.rows[indices.to(self.rows.device)]
        return Batch(rows.to(self.device, non_blocking=True), self.targets(indices))

    def plain(self, indices: Tensor) -> Tensor:
        """Return rows as evaluation sees them: features, or (B, 3, size, size) normalised."""
        return self.seen(self.batch(indices))

    def seen(self, batch: Batch) -> Tensor:
        """Return a batch as evaluation sees it: features, or (B, 3, size, size) normalised."""
        return self._prepared(batch.rows, NO_AUGMENT, torch.Generator(self.device))

    def drawn(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a batch augmented, and its targets: (B,) labels, or (B, C) shares if mixed."""
        images, targets = self._prepared(batch.rows, self.augment, generator), batch.labels
        if self.augment.mixup or self.augment.cutmix:
            return mix(
                images,
                targets,
                self.num_classes,
                generator,
                mixup=self.augment.mixup,
                cutmix=self.augment.cutmix,
            )
        return images, targets

    def targets(self, indices: Tensor) -> Tensor:
        """Return the labels (B,) of `indices`."""
        return self.labels[indices.to(self.device)]

    def _prepared(self, rows: Tensor, policy: Augment, generator: torch.Generator) -> Tensor:
        if self.are_features:
            return rows
        pixels = rows.permute(0, 3, 1, 2)  # (B, 3, S, S) uint8, channels-last
        images = augment(
            pixels, policy.policy, self.size, generator, erase=policy.erase, exact=policy.exact
        )
        return images.sub_(self.mean).div_(self.std)


def share_of(rows: Tensor, labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return that share of `rows` (n,), at least one a class; a smaller share is within a larger.

    `labels` (n,) are those of `rows`.
    """
    order = torch.randperm(len(rows), generator=generator)
    kept = [
        order[labels[order] == label][: max(1, round(share * int((labels == label).sum())))]
        for label in torch.unique(labels)
    ]
    return rows[torch.cat(kept).sort().values]


def from_pixels(
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    net: Net,
    num_classes: int,
    size: int,
    policy: Augment,
    device: torch.device,
) -> Inputs:
    """Wrap a pixel store (N, S, S, 3) for `net`; moved to the device as a whole when it fits."""
    with quiet():  # the store is read-only, and nothing here writes to it
        rows = torch.from_numpy(pixels)
    inputs = Inputs(
        rows=rows,
        labels=torch.from_numpy(labels).to(device),
        device=device,
        num_classes=num_classes,
        size=size,
        augment=policy,
        mean=torch.tensor(net.mean, device=device)[:, None, None],
        std=torch.tensor(net.std, device=device)[:, None, None],
    )
    return inputs.of(rows)


def seen(
    pixels: npt.NDArray[np.uint8], net: Net, size: int, device: torch.device | None = None
) -> Tensor:
    """Return stored pixels (B, S, S, 3) as `net` sees them in evaluation: (B, 3, size, size)."""
    rows, labels = np.ascontiguousarray(pixels), np.zeros(len(pixels), dtype=np.int64)
    where = device or torch.device("cpu")
    return from_pixels(rows, labels, net, 1, size, NO_AUGMENT, where).plain(torch.arange(len(rows)))
