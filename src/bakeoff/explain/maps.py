"""What a finished run keeps of its net, as arrays: weight maps, activation maps, V1, drift.

At most 64 tiles of at most 64 pixels a layer, and 256 filters, are kept, so that a run stores less
than two megabytes; what is left out is counted. `stored` writes and reads them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bakeoff.explain import activations, filters, v1
from bakeoff.explain.drift import drift
from bakeoff.fields import RecipeError
from bakeoff.models.parts import Net

MOST_TILES, MOST_PIXELS = 64, 64
MOST_FILTERS = 256
IMAGE_PIXELS = 224
Bytes = NDArray[np.uint8]


def compute(
    net: Net,
    image: Tensor,
    *,
    pixels: Bytes,
    image_id: str,
    start: Net | None = None,
    sample: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the named arrays that `stored.write_maps` writes; `net` is left as found.

    image   : (1, 3, S, S) as the net sees it; `pixels` (S, S, 3) is the same photograph to look at
    start   : the net before training: V1 likeness then stands beside it, and the drift from it is
              measured on `sample` (N, 3, S, S), if there is one
    names   : layers; the first, the middle and the last convolution by default

    What this net does not have becomes a note instead of an exception.
    """
    notes: list[str] = []
    arrays: dict[str, NDArray[Any]] = {"image": thumbnail(pixels, IMAGE_PIXELS)}
    weights, before = _weights(net, notes), None if start is None else _weights(start, [])
    kept = np.zeros((0, 1, 1, 1), np.float32) if weights is None else weights[:MOST_FILTERS]
    arrays["filters"] = as_bytes(filters.weight_maps(kept))
    arrays["alive"] = v1.alive(kept)
    told: list[tuple[str, tuple[int, ...]]] = []
    for layer, found in _outputs(net, image, names, notes).items():
        arrays[f"activations_{len(told)}"] = tiles(found)
        told.append((layer, tuple(found.shape)))
    moved = drift(net, start, sample) if start is not None and sample is not None else ()
    said = {
        "num_filters": 0 if weights is None else len(weights),
        "layers": told,
        "image_id": image_id,
        "v1": None if weights is None else v1.compare(weights, before).plain(),
        "drift": [asdict(stage) for stage in moved],
        "notes": notes,
    }
    return {**arrays, "told": np.array(json.dumps(said))}


def tiles(maps: Tensor) -> Bytes:
    """Return the first tiles of maps (C, H, W), averaged down to what is kept: (T, h, w).

    Averaging comes first, so that each tile uses all of 0..255; which filters are silent is decided
    with those that are left out.
    """
    small = maps if maps.shape[-1] <= MOST_PIXELS else F.adaptive_avg_pool2d(maps, MOST_PIXELS)
    return as_bytes(activations.scaled(small.numpy())[:MOST_TILES])


def as_bytes(values: NDArray[np.floating]) -> Bytes:
    """Turn values in 0..1 into 0..255."""
    return (values * 255).round().astype(np.uint8)


def thumbnail(pixels: Bytes, side: int) -> Bytes:
    """Return pixels (S, S, 3) with at most `side` pixels a side."""
    if pixels.shape[0] <= side:
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def _weights(net: Net, notes: list[str]) -> NDArray[np.float32] | None:
    try:
        return filters.first_layer(net)
    except RecipeError as error:
        notes.append(str(error))
        return None


def _outputs(
    net: Net, image: Tensor, names: Sequence[str] | None, notes: list[str]
) -> dict[str, Tensor]:
    try:
        wanted = activations.default_layers(net, image) if names is None else names
        return activations.outputs(net, image, wanted)
    except RecipeError as error:
        notes.append(str(error))
        return {}
