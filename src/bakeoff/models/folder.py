"""The model folder: model.safetensors and config.json, laid out as timm and the Hub read them.

`architecture`, `num_classes`, `label_names` and `pretrained_cfg` are timm's words; everything that
only bakeoff needs stands under `bakeoff`. Nothing in the folder can be executed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bakeoff import __version__
from bakeoff.files import aside, write_json
from bakeoff.models import weights, zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import Recipe, RecipeError, parse


def write(folder: Path, net: Net, recipe: Recipe, classes: Sequence[str]) -> None:
    """Write `net` as model.safetensors and config.json into `folder`."""
    state = {name: t.detach().cpu().contiguous() for name, t in net.module.state_dict().items()}
    with aside(folder / "model.safetensors") as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", _config(net, recipe, classes))


def read(folder: Path) -> tuple[Net, Recipe, tuple[str, ...]]:
    """Return net (eval mode), recipe and class names; RecipeError where `folder` is no model."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        recipe, classes = parse(config["bakeoff"]["recipe"]), tuple(config["label_names"])
    except FileNotFoundError:
        raise RecipeError(f"{folder}: no config.json here; give a model folder") from None
    except (KeyError, TypeError, json.JSONDecodeError):
        raise RecipeError(f"{path}: not a model that bakeoff wrote") from None
    net = zoo.build(recipe.model_copy(update={"weights": "none"}), len(classes))
    weights.load(net, folder / "model.safetensors", head=True)
    net.module.eval()
    return net, recipe, classes


def _config(net: Net, recipe: Recipe, classes: Sequence[str]) -> dict[str, Any]:
    facts = {
        "input_size": [3, recipe.size, recipe.size],
        "interpolation": "bilinear",
        "crop_pct": recipe.size / recipe.side,
        "crop_mode": "center",
        "mean": list(net.mean),
        "std": list(net.std),
        "num_classes": len(classes),
        "first_conv": net.first_conv,
        "classifier": net.head,
    }
    return {
        "architecture": net.name.removeprefix("timm/"),
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
