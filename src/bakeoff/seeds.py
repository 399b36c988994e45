"""Where every random number of a run comes from: one stream a purpose and epoch, none shared.

Because a stream depends on nothing but (purpose, seed, epoch), a run that was stopped goes on with
exactly the numbers it would have had.
"""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = ("split", "init", "order", "augmentation", "sample", "dropout", "subset", "rates")


def number(purpose: str, seed: int, epoch: int = 0) -> int:
    """Return the 63-bit seed of a stream."""
    sequence = np.random.SeedSequence([PURPOSES.index(purpose), seed, epoch])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def generator(
    purpose: str, seed: int, epoch: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a fresh generator at the start of a stream."""
    return torch.Generator(device).manual_seed(number(purpose, seed, epoch))


def within(blocks: torch.Tensor, window: int, generator: torch.Generator) -> torch.Tensor:
    """Return an order (n,) that takes blocks at random, and what lies in `window` of them mixed.

    `blocks` (n,) are the numbers of those that rows lie in. A block's rows are spread among those
    of the `window` - 1 blocks that come after it, so that at most `window` are in use at once.
    """
    place = torch.randperm(int(blocks.max()) + 1, generator=generator)
    if window >= len(place):
        return torch.randperm(len(blocks), generator=generator)
    late = window * torch.rand(len(blocks), generator=generator, dtype=torch.float64)
    return (place[blocks] + late).argsort(stable=True)
