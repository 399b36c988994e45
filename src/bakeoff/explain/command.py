"""`bakeoff explain`: the pictures of one photograph seen by one net, and the layers there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff import paper
from bakeoff.explain import activations, draw, filters, maps, v1
from bakeoff.explain.chosen import Choice
from bakeoff.explain.panels import panels
from bakeoff.explain.stored import Activation
from bakeoff.explain.target import Target, load, photograph
from bakeoff.fields import RecipeError

TOP = 5


@dataclass(frozen=True)
class Explained:
    """What was written, the layers there are, the likeliest classes, and what could not be done.

    `classes` are (name, probability), the likeliest first; empty for a net that was never trained.
    """

    paths: tuple[Path, ...]
    layers: tuple[activations.Layer, ...]
    classes: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


def explain(
    target: str,
    image: Path,
    out: Path,
    *,
    layer: str | None = None,
    weights: str | None = None,
    size: int | None = None,
    offline: bool = False,
    formats: Sequence[str] = ("png",),
) -> Explained:
    """Write weight map, V1 likeness, activation maps and Grad-CAM of `image` into `out`.

    `target` is a run folder, a model folder or a net's name; see `target.load`, also for `weights`
    and `size`. With `layer` the activation maps are those of this layer. Raises RecipeError or
    DataError; what this net does not have becomes a note.
    """
    found = load(target, weights=weights, size=size, offline=offline)
    pixels, seen = photograph(image, found)
    there = activations.layers(found.net, seen)
    names = [layer] if layer else activations.default_layers(found.net, seen)
    shown = activations.outputs(found.net, seen, names)
    notes: list[str] = []
    paths = _filters(found, out, formats, notes)
    for name, output in shown.items():
        activation = Activation(name, tuple(output.shape), maps.tiles(output))
        figure = draw.activation_figure(activation, pixels, found.net.name)
        paths += paper.save(figure, out, f"activations-{_stem(name)}", formats)
    likeliest = _likeliest(found, seen)
    if likeliest:
        paths += _cam(found, image.name, pixels, seen, out, formats, notes)
    else:
        notes.append(f"{found.net.name}: no Grad-CAM, its head was never trained")
    return Explained(tuple(paths), there, likeliest, tuple(notes))


def _filters(found: Target, out: Path, formats: Sequence[str], notes: list[str]) -> list[Path]:
    """Draw the first layer, and its V1 likeness where that can be measured."""
    try:
        weights = filters.first_layer(found.net)
    except RecipeError as error:
        notes.append(str(error))
        return []
    likeness = v1.compare(weights)
    kept = weights[: maps.MOST_FILTERS]
    if len(kept) < len(weights):
        notes.append(f"the first {len(kept)} of {len(weights)} filters are drawn")
    pictures = maps.as_bytes(filters.weight_maps(kept))
    figure = draw.filters_figure(pictures, v1.alive(weights)[: len(kept)], found.net.name, likeness)
    paths = paper.save(figure, out, "weights", formats)
    if likeness.own.gabor_share is not None:
        figure = draw.likeness_figure(likeness, f"{found.net.name}: V1 likeness")
        paths += paper.save(figure, out, "v1-likeness", formats)
    return paths


def _likeliest(found: Target, seen: Tensor) -> tuple[tuple[str, float], ...]:
    if not found.classes:
        return ()
    with torch.no_grad():
        shares, places = found.net.module(seen)[0].float().softmax(dim=0).sort(descending=True)
    pairs = zip(places[:TOP].tolist(), shares[:TOP].tolist(), strict=True)
    return tuple((found.classes[place], share) for place, share in pairs)


def _cam(
    found: Target,
    name: str,
    pixels: NDArray[np.uint8],
    seen: Tensor,
    out: Path,
    formats: Sequence[str],
    notes: list[str],
) -> list[Path]:
    """Draw Grad-CAM of the predicted class with its checks."""
    predicted, confidence = _likeliest(found, seen)[0]
    number = found.classes.index(predicted)
    choice = Choice(0, "right", number, number, confidence)
    try:
        (panel,) = panels(found.net, [choice], lambda _: (pixels, seen, name))
    except RecipeError as error:
        notes.append(str(error))
        return []
    given = replace(panel, kind=None, label=None, image=pixels)
    notes += [f"Grad-CAM: {doubt}" for doubt in given.doubts]
    return paper.save(draw.cam_figure([given], found.classes, found.net.name), out, "cam", formats)


def _stem(layer: str) -> str:
    return re.sub(r"[^\w.-]", "-", layer)
