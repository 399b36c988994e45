"""Weight maps: first-layer filters, each shifted to be positive and divided by its maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.fields import RecipeError

if TYPE_CHECKING:
    from bakeoff.models.parts import Net

Floats = NDArray[np.floating]
COLOURS = (1, 3)


def first_layer(net: Net) -> NDArray[np.float32]:
    """Return a copy of the first layer's weights, (K, C, h, w).

    Raises RecipeError where the first layer is no convolution and so has no filters to look at.
    """
    weight = getattr(net.module.get_submodule(net.first_conv), "weight", None)
    if weight is None or weight.dim() != 4:
        raise RecipeError(
            f"{net.name}: its first layer {net.first_conv} is no two-dimensional convolution, "
            "so it has no filters that could be drawn"
        )
    copied: NDArray[np.float32] = weight.detach().float().cpu().numpy().copy()
    return copied


def weight_maps(weights: Floats) -> NDArray[np.float32]:
    """Turn filters (K, C, h, w) into pictures (K, h, w, 3), or (K, h, w, 1), with values in 0..1.

    Each filter by itself is shifted so that its minimum is 0 and divided by its maximum. Three
    channels are red, green and blue, one is grey; of any other number the mean is shown in grey. A
    filter whose weights are all the same becomes 0.
    """
    kept = weights if weights.shape[1] in COLOURS else weights.mean(axis=1, keepdims=True)
    shifted = kept - kept.min(axis=(1, 2, 3), keepdims=True)
    most = shifted.max(axis=(1, 2, 3), keepdims=True)
    scaled = np.divide(shifted, most, out=np.zeros_like(shifted), where=most > 0)
    pictures: NDArray[np.float32] = scaled.transpose(0, 2, 3, 1).astype(np.float32)
    return pictures
