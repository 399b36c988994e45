"""What is explained: the net of a run folder or a model folder, or a net by its bare name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import models as torchvision_models

from bakeoff.data.decode import DecodeError
from bakeoff.data.opened import as_stored
from bakeoff.data.photographs import DataError
from bakeoff.fields import RecipeError
from bakeoff.inputs import seen
from bakeoff.models import folder as model_folder
from bakeoff.models import weights as weight_files
from bakeoff.models import zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import SMALL_NETS, Recipe, parse

IMAGENET_CLASSES = 1000
WITH_SLASH = ("timm/", "hf-hub:", "local-dir:")


@dataclass(frozen=True)
class Target:
    """A net in eval mode; `classes` is empty where its head was never trained."""

    net: Net
    recipe: Recipe
    classes: tuple[str, ...]


def load(
    target: str, *, weights: str | None = None, size: int | None = None, offline: bool = False
) -> Target:
    """Find the net that `target` names; a folder goes before a net of the same name.

    `weights` and `size` are for bare names: `imagenet` by default (`none` for the small nets) or a
    file, whose head is used as well; 224 pixels. Raises RecipeError.
    """
    place = Path(target)
    for folder in (place / "model", place):
        if (folder / "config.json").is_file():
            if weights is not None or size is not None:
                raise RecipeError(f"{target}: weights and size are for bare names; it has its own")
            net, recipe, classes = model_folder.read(folder)
            return Target(net, recipe, classes)
    if place.exists() or ("/" in target and not target.startswith(WITH_SLASH)):
        raise RecipeError(
            f"{target}: no model here; allowed: a run folder, a model folder, or a net's name"
        )
    start = weights or ("none" if target in SMALL_NETS else "imagenet")
    recipe = parse({"model": target, "weights": start, **({"size": size} if size else {})})
    return _bare(recipe, offline)


def photograph(
    path: Path, target: Target, device: torch.device | None = None
) -> tuple[NDArray[np.uint8], Tensor]:
    """Read a photograph as training did: pixels (S, S, 3), and what the net sees (1, 3, S, S).

    Raises DataError where it cannot be read.
    """
    try:
        pixels = as_stored(path, target.recipe.side)
    except DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return as_seen(pixels, target.net, target.recipe.size, device)


def as_seen(
    pixels: NDArray[np.uint8], net: Net, size: int, device: torch.device | None = None
) -> tuple[NDArray[np.uint8], Tensor]:
    """Return the centre of stored pixels (S, S, 3) that `net` sees, and as it sees it."""
    start = (pixels.shape[0] - size) // 2
    shown = pixels[start : start + size, start : start + size]
    return shown, seen(pixels[None], net, size, device)


def _bare(recipe: Recipe, offline: bool) -> Target:
    """Build a net by name; new tensors are always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = zoo.build(recipe, _classes_in(recipe), offline=offline)
    classes: Sequence[str] = ()
    if recipe.weights == "imagenet":
        classes = _imagenet_head(net, recipe)
    elif recipe.weights != "none" and _has_head(net, recipe):
        weight_files.load(net, Path(recipe.weights), head=True)
        count = net.module.get_submodule(net.head).out_features
        classes = _names(int(count))  # type: ignore[arg-type]
    net.module.eval()
    return Target(net, recipe, tuple(classes))


def _classes_in(recipe: Recipe) -> int:
    """Return how many classes the head of a weights file has."""
    if recipe.weights in ("none", "imagenet"):
        return IMAGENET_CLASSES
    state = weight_files.read(Path(recipe.weights))
    plain = recipe.model_copy(update={"weights": "none"})
    head = state.get(f"{zoo.build(plain, 2).head}.weight")
    return IMAGENET_CLASSES if head is None else len(head)


def _has_head(net: Net, recipe: Recipe) -> bool:
    return f"{net.head}.weight" in weight_files.read(Path(recipe.weights))


def _imagenet_head(net: Net, recipe: Recipe) -> Sequence[str]:
    """Put the pretrained head back, which `zoo.build` leaves out; return the class names."""
    if recipe.model in torchvision_models.list_models(module=torchvision_models):
        chosen = torchvision_models.get_model_weights(recipe.model).DEFAULT
        net.module.load_state_dict(chosen.get_state_dict())
        return tuple(chosen.meta["categories"])
    facts = getattr(net.module, "pretrained_cfg", {})
    return _names(IMAGENET_CLASSES) if facts.get("num_classes") == IMAGENET_CLASSES else ()


def _names(count: int) -> Sequence[str]:
    """Name classes whose names are not in the file; a thousand are taken to be ImageNet's."""
    if count == IMAGENET_CLASSES:
        return tuple(torchvision_models.ResNet18_Weights.DEFAULT.meta["categories"])
    return tuple(f"class {number}" for number in range(count))
