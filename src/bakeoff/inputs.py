"""What enters the part of a net that learns: pixels, augmented on the device, or cached features.

Rows lie on the device when they fit, else in the memory map, from where `streaming` brings them;
either way a batch is gathered by index, so that order, split and epochs are only index arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff import seeds
from bakeoff.augment import augment, mix
from bakeoff.data.window import Shards
from bakeoff.machine import free_bytes, quiet
from bakeoff.models.parts import Net
from bakeoff.models.views import views
from bakeoff.options import Augment
from bakeoff.ranks import ALONE, Ranks

SHARE_OF_FREE_MEMORY = 0.5
NO_AUGMENT = Augment()


@dataclass(frozen=True)
class Batch:
    """Some rows (B, …) and their labels (B,), both on the device.

    `among` says which rows (B,) of a larger batch these are, and of how many.
    """

    rows: Tensor
    labels: Tensor
    among: tuple[Tensor, int] | None = None

    @property
    def whole(self) -> int:
        """How many rows the whole batch has."""
        return self.among[1] if self.among else len(self.labels)


@dataclass(frozen=True)
class Inputs:
    """N rows and their labels.

    rows          : (N, S, S, 3) uint8 pixels, or (N, …) float features
    labels        : (N,) int64, on the device
    size          : pixels a side the net sees (unused for features)
    drawn_size    : pixels a side it sees while it learns, by default `size`
    num_views     : of how many views there are features; their rows are (N, V, …) if several
    mean, std     : (3, 1, 1), for pixels in 0..1
    streamed      : the rows do not fit; they are read ahead of the step that needs them
    largest_batch : how many rows are evaluated at once, at most (see `models.limits`)
    shards        : the store in shards that the photographs lie in, where it is one
    ranks         : the processes among which each batch is divided
    """

    rows: Tensor | Shards
    labels: Tensor
    device: torch.device
    num_classes: int
    size: int
    augment: Augment
    mean: Tensor
    std: Tensor
    streamed: bool = False
    largest_batch: int = sys.maxsize
    shards: Shards | None = None
    ranks: Ranks = ALONE
    drawn_size: int = 0
    num_views: int = 1

    @property
    def dtype(self) -> torch.dtype:
        """What the rows are made of: uint8 for pixels."""
        return self.rows.dtype if isinstance(self.rows, Tensor) else torch.uint8

    @property
    def are_features(self) -> bool:
        """Whether the rows are a frozen prefix's outputs."""
        return self.dtype != torch.uint8

    def order(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Return an order (n,) to show `rows` in: any, or at random within the store's window."""
        if self.shards is None:
            return torch.randperm(len(rows), generator=generator)
        blocks = torch.from_numpy(self.shards.blocks)[rows]
        order = seeds.within(blocks, self.shards.window, generator)
        self.shards.expect(rows[order].numpy())
        return order

    def of(self, rows: Tensor | Shards) -> Inputs:
        """Return the same with other `rows`, moved to the device as a whole when they fit."""
        if isinstance(rows, Shards):
            return replace(self, rows=rows, streamed=True)
        streamed = rows.nbytes > SHARE_OF_FREE_MEMORY * free_bytes(self.device)
        if self.device.type == "cuda" and not streamed:
            rows = rows.to(self.device)
        return replace(self, rows=rows, streamed=streamed)

    def batch(self, indices: Tensor) -> Batch:
        """Gather the rows at `indices`, of any shape."""
        if isinstance(self.rows, Tensor):
            rows = _gathered(self.rows, indices)
        else:
            rows = torch.from_numpy(self.rows[indices.cpu().numpy()])
        return Batch(rows.to(self.device, non_blocking=True), self.targets(indices))

    def read(self, indices: Tensor, out: Tensor) -> None:
        """Gather the rows at `indices` (B,) into `out` (B, …), both on the CPU."""
        if isinstance(self.rows, Tensor):
            torch.index_select(self.rows, 0, indices, out=out)
        else:
            self.rows.read(indices.numpy(), out.numpy())

    def own(self, indices: Tensor) -> tuple[tuple[Tensor, int], Tensor]:
        """Return which rows of a batch this process needs, of how many, and their indices.

        Mixing needs one more, the first, since an image is mixed with the one before it.
        """
        own = self.ranks.own(len(indices))
        mixes = bool(self.augment.mixup or self.augment.cutmix)
        rows = torch.arange(own.start - mixes, own.stop) % len(indices)
        return (rows, len(indices)), indices[rows]

    def plain(self, indices: Tensor) -> Tensor:
        """Return rows as evaluation sees them: features, or (B, 3, size, size) normalised."""
        return self.seen(self.batch(indices))

    def seen(self, batch: Batch) -> Tensor:
        """Return a batch as evaluation sees it: features, or (B, 3, size, size) normalised."""
        if self.are_features:
            return batch.rows if self.num_views == 1 else batch.rows[:, 0]
        return self._prepared(batch.rows, NO_AUGMENT, self.size, torch.Generator(self.device))

    def views(self, batch: Batch, kind: str) -> Iterator[Tensor]:
        """Yield what `seen` returns for each view of a batch (see `models.views`)."""
        if self.are_features:
            yield from batch.rows.unbind(1)
        else:
            yield from views(self.seen(batch), kind)

    def drawn(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a batch augmented, and its targets: (B,) labels, or (B, C) shares if mixed.

        Of several processes each has its own rows, as they would be among all.
        """
        if self.are_features:
            return self._one_view(batch.rows, generator), batch.labels
        size = self.drawn_size or self.size
        images = self._prepared(batch.rows, self.augment, size, generator, batch.among)
        targets = batch.labels
        if self.augment.mixup or self.augment.cutmix:
            return mix(
                images,
                targets,
                self.num_classes,
                generator,
                mixup=self.augment.mixup,
                cutmix=self.augment.cutmix,
                among=batch.among,
            )
        return images, targets

    def targets(self, indices: Tensor) -> Tensor:
        """Return the labels (B,) of `indices`."""
        return _gathered(self.labels, indices)

    def _one_view(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Choose one view of each photograph at random."""
        if self.num_views == 1:
            return rows
        uniform = torch.rand(len(rows), generator=generator, device=rows.device)
        chosen = (uniform * self.num_views).long().clamp(max=self.num_views - 1)
        return rows[torch.arange(len(rows), device=rows.device), chosen]

    def _prepared(
        self,
        rows: Tensor,
        policy: Augment,
        size: int,
        generator: torch.Generator,
        among: tuple[Tensor, int] | None = None,
    ) -> Tensor:
        pixels = rows.permute(0, 3, 1, 2)  # (B, 3, S, S) uint8, channels-last
        images = augment(
            pixels,
            policy.policy,
            size,
            generator,
            erase=policy.erase,
            min_scale=policy.min_scale,
            exact=policy.exact,
            among=among,
        )
        return images.sub_(self.mean).div_(self.std)


def _gathered(rows: Tensor, indices: Tensor) -> Tensor:
    """Return `rows[indices]`, several times as fast."""
    flat = torch.index_select(rows, 0, indices.to(rows.device).flatten())
    return flat.view(*indices.shape, *rows.shape[1:])


def from_pixels(
    pixels: npt.NDArray[np.uint8] | Shards,
    labels: npt.NDArray[np.int64],
    net: Net,
    num_classes: int,
    size: int,
    policy: Augment,
    device: torch.device,
) -> Inputs:
    """Wrap a pixel store (N, S, S, 3) for `net`; moved to the device as a whole when it fits."""
    with quiet():  # the store is read-only, and nothing here writes to it
        rows = pixels if isinstance(pixels, Shards) else torch.from_numpy(pixels)
    inputs = Inputs(
        rows=rows,
        labels=torch.from_numpy(labels).to(device),
        device=device,
        num_classes=num_classes,
        size=size,
        augment=policy,
        mean=torch.tensor(net.mean, device=device)[:, None, None],
        std=torch.tensor(net.std, device=device)[:, None, None],
        shards=pixels if isinstance(pixels, Shards) else None,
    )
    return inputs.of(rows)


def seen(
    pixels: npt.NDArray[np.uint8], net: Net, size: int, device: torch.device | None = None
) -> Tensor:
    """Return stored pixels (B, S, S, 3) as `net` sees them in evaluation: (B, 3, size, size)."""
    rows, labels = np.ascontiguousarray(pixels), np.zeros(len(pixels), dtype=np.int64)
    where = device or torch.device("cpu")
    return from_pixels(rows, labels, net, 1, size, NO_AUGMENT, where).plain(torch.arange(len(rows)))
