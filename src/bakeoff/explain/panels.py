"""Grad-CAM panels of chosen photographs, each with its checks; `stored` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.explain.cam import grad_cam, last_map, rectified
from bakeoff.explain.checks import MOVES, deletion, randomised
from bakeoff.explain.chosen import Choice
from bakeoff.explain.maps import thumbnail
from bakeoff.explain.stored import Panel
from bakeoff.models.parts import Net

PICTURE_PIXELS = 112
BATCH = 32
Show = Callable[[int], tuple[NDArray[np.uint8], Tensor, str]]


def panels(
    net: Net,
    choices: Sequence[Choice],
    show: Show,
    *,
    moves: int = MOVES,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Panel, ...]:
    """Explain each choice: why the net said what it predicted.

    `show` gives a row's pixels (S, S, 3), what the net sees (1, 3, S, S) and its id. Costs about
    8 x (`moves` + 1) forward passes a panel. Raises RecipeError for a net without a map.
    """
    found: list[Panel] = []
    for first in range(0, len(choices), BATCH):
        group = choices[first : first + BATCH]
        shown = [show(choice.row) for choice in group]
        images = torch.cat([image for _, image, _ in shown])
        targets = torch.tensor([choice.predicted for choice in group], device=images.device)
        layer = last_map(net, images[:1])
        maps = grad_cam(net, images, targets, layer)
        alike = randomised(net, images, targets, maps, layer)
        for place, (choice, (pixels, image, name)) in enumerate(zip(group, shown, strict=True)):
            deleted = deletion(net, image, maps[place], choice.predicted, moves=moves)
            found.append(
                Panel(
                    image_id=name,
                    kind=choice.kind,
                    label=choice.label,
                    predicted=choice.predicted,
                    confidence=choice.confidence,
                    image=thumbnail(pixels, PICTURE_PIXELS),
                    map=rectified(maps[place : place + 1])[0].numpy(),
                    deletion=deleted.area,
                    random_mean=float(np.mean(deleted.random)),
                    beaten=deleted.beaten,
                    moves=moves,
                    alike_head=_known(alike["head"][place]),
                    alike_last=_known(alike["last"][place]),
                )
            )
            if on_progress:
                on_progress("explaining photographs", len(found), len(choices))
    return tuple(found)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
