"""The mean of a net's weights over its steps, which often answers better than the last of them.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); exponential, as
in Tarvainen and Valpola's Mean Teacher (2017). It begins shorter, so that the start is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from bakeoff.stopping import undivided


class Average:
    """The running mean of `own` tensors, kept in `mean` (the same names); nothing for decay 0."""

    def __init__(self, own: Mapping[str, Tensor], mean: Mapping[str, Tensor], decay: float) -> None:
        """Join the two; `decay` is how much of the mean a step keeps, 0 up to 1."""
        self.decay = decay
        pairs = [(own[name], mean[name]) for name in mean]
        self._smooth = [(now, kept) for now, kept in pairs if kept.is_floating_point()]
        self._counts = [(now, kept) for now, kept in pairs if not kept.is_floating_point()]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the tensors as they are after so many `steps` (1 after the first)."""
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        if self._smooth:
            now, kept = map(list, zip(*self._smooth, strict=True))
            torch._foreach_lerp_(kept, now, share)
        for number, mean in self._counts:
            mean.copy_(number)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the net have the mean inside, and its own tensors again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        with undivided():
            for now, mean in (*self._smooth, *self._counts):
                kept = now.clone()
                now.copy_(mean)
                mean.copy_(kept)
