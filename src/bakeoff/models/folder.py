"""The model folder: model.safetensors and config.json, laid out as timm and the Hub read them.

Nothing in it can be executed. What somebody else made is compared with the net that its config
names before any weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from bakeoff import __version__
from bakeoff.fields import RecipeError
from bakeoff.files import aside, write_json
from bakeoff.models import config as configs
from bakeoff.models import weights, zoo
from bakeoff.models.config import REMOTE
from bakeoff.models.parts import Net
from bakeoff.recipe import Recipe


def write(
    folder: Path,
    net: Net,
    recipe: Recipe,
    classes: Sequence[str],
    tensors: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write `net` as model.safetensors and config.json into `folder`; `tensors` by default its."""
    given = net.module.state_dict() if tensors is None else tensors
    state = {name: t.detach().cpu().contiguous() for name, t in given.items()}
    with aside(folder / "model.safetensors") as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # the library makes files that nobody else can read
        save_file(state, temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
    write_json(folder / "config.json", _config(net, recipe, classes))


def read(folder: Path) -> tuple[Net, Recipe, tuple[str, ...]]:
    """Return net (eval mode), recipe and class names.

    Raises RecipeError where `folder` holds no model, or one that contradicts itself: tensors that
    are missing, unknown, of another shape or kind, or not finite.
    """
    config, path = configs.read(folder), folder / "model.safetensors"
    given, count = weights.header(path), len(config.label_names)
    zoo.check_size(config.recipe, count)
    with torch.device("meta"):  # costs no memory, whatever net is named
        weights.demand_fit(given, zoo.build(config.recipe, count), path.name, head=True)
    net = zoo.build(config.recipe, count)
    weights.load(net, path, head=True)
    if not all(map(weights.finite, net.module.state_dict().values())):
        raise RecipeError(f"weights: {path.name} holds numbers that are not finite")
    net.module.eval()
    facts = config.pretrained_cfg
    return replace(net, mean=facts.mean, std=facts.std), config.bakeoff.recipe, config.label_names


def read_by_timm(folder: Path) -> bool:
    """Try whether timm itself can build the net of `folder` and load its weights."""
    try:
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    except (RuntimeError, ValueError, KeyError):  # a net it does not know, or lays out otherwise
        return False
    return True


def _config(net: Net, recipe: Recipe, classes: Sequence[str]) -> dict[str, Any]:
    facts = {
        "input_size": [3, recipe.size, recipe.size],
        "interpolation": "bicubic",
        "crop_pct": recipe.size / recipe.side,
        "crop_mode": "center",
        "mean": list(net.mean),
        "std": list(net.std),
        "num_classes": len(classes),
        "first_conv": net.first_conv,
        "classifier": net.head,
    }
    return {
        "architecture": _architecture(net),
        "num_classes": len(classes),
        "label_names": list(classes),
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "pretrained_cfg": facts,
        "bakeoff": {
            "version": __version__,
            "torch": torch.__version__,
            "recipe": recipe.model_dump(mode="json"),
        },
    }


def _architecture(net: Net) -> str:
    """Return the name under which the net can be built; a place where it once lay is none."""
    name = net.name.removeprefix("timm/")
    return str(net.module.pretrained_cfg["architecture"]) if name.startswith(REMOTE) else name  # type: ignore[index]
