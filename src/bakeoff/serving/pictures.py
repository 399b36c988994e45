"""What a net did with one photograph, as pictures: where it looked, what its layers answered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bakeoff.data.squares import Pixels
from bakeoff.explain import activations, maps, tiles, words
from bakeoff.explain.cam import grad_cam, rectified
from bakeoff.explain.stored import Activation
from bakeoff.explain.target import as_seen
from bakeoff.fields import RecipeError
from bakeoff.serving.asked import Asked

LEAST_SIDE = 224  # of a picture; photographs of small nets are enlarged


@dataclass(frozen=True)
class Looked:
    """What a net was shown (JPEG) and the same lit where it speaks for the class (PNG).

    `silent`: nothing in the map speaks for the class.
    """

    label: str
    shown: bytes
    lit: bytes
    silent: bool


@dataclass(frozen=True)
class Answered:
    """The tiles of a layer in one picture (PNG), with what they are in words."""

    layer: str
    picture: bytes
    words: str


def looked(asked: Asked, pixels: Pixels, label: str | None = None) -> Looked:
    """Draw Grad-CAM of stored pixels (S, S, 3) for a class, by default the likeliest.

    Raises RecipeError for a net without a map, and for a class that it does not know.
    """
    classifier = asked.classifier
    if label is not None and label not in classifier.classes:
        raise RecipeError(f"{asked.name} does not know the class {label}")
    with asked.alone:
        shown, image = as_seen(pixels, classifier.net, classifier.recipe.size, classifier.device)
        number = _likeliest(asked, image) if label is None else classifier.classes.index(label)
        target = torch.tensor([number], device=classifier.device)
        map_ = rectified(grad_cam(classifier.net, image, target))[0].numpy()
    large = _enlarged(shown)
    return Looked(
        classifier.classes[number],
        tiles.jpeg(large),
        tiles.png(tiles.overlay(large, map_)),
        silent=not map_.any(),
    )


def answered(asked: Asked, pixels: Pixels, layer: str) -> Answered:
    """Draw what `layer` answers to stored pixels (S, S, 3), at most 64 tiles; or RecipeError."""
    classifier = asked.classifier
    with asked.alone:
        _, image = as_seen(pixels, classifier.net, classifier.recipe.size, classifier.device)
        output = activations.outputs(classifier.net, image, [layer])[layer]
    found = Activation(layer, tuple(output.shape), maps.tiles(output))
    shown = tiles.enlarged(tiles.coloured(found.tiles), least=32)
    columns = tiles.columns_for(len(shown), wide=1.6)
    picture = tiles.png(tiles.grid(shown, columns, max(1, shown.shape[1] // 16)))
    return Answered(layer, picture, words.of_activation(found))


def layers_of(asked: Asked) -> tuple[list[str], str | None]:
    """List the layers whose output is a map of more than one pixel, and one to begin with."""
    classifier = asked.classifier
    side = classifier.recipe.side
    blank = np.zeros((side, side, 3), np.uint8)
    with asked.alone:
        _, image = as_seen(blank, classifier.net, classifier.recipe.size, classifier.device)
        names = [each.name for each in activations.layers(classifier.net, image) if each.side > 1]
        try:
            first_middle_last = activations.default_layers(classifier.net, image)
            chosen = first_middle_last[len(first_middle_last) // 2]
        except RecipeError:
            chosen = ""
    return names, chosen if chosen in names else next(iter(names), None)


def _likeliest(asked: Asked, image: Tensor) -> int:
    with torch.no_grad():
        return int(asked.classifier.net.module(image)[0].argmax())


def _enlarged(shown: Pixels) -> Pixels:
    side = shown.shape[0]
    if side >= LEAST_SIDE:
        return shown
    large = Image.fromarray(shown).resize((LEAST_SIDE, LEAST_SIDE), Image.Resampling.NEAREST)
    return np.asarray(large)
