"""What a finished run, and a finished study's best run, keep of their nets for the report.

Photographs come from the data set the run was trained on. Which ones is a rule: activation maps
are of the first test photograph, drift is measured on validation photographs taken evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff import seeds
from bakeoff.data.dataset import Dataset
from bakeoff.explain import chosen, maps, panels, stored
from bakeoff.explain.checks import MOVES
from bakeoff.explain.target import as_seen
from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import Recipe
from bakeoff.store import RunFiles

SAMPLE = 64
MOST_PANELS = 60


def keep_maps(
    folder: Path, net: Net, recipe: Recipe, dataset: Dataset, start: Net | None = None
) -> Path:
    """Write maps.npz of `net` into the run folder; `start` is the same net before training.

    Both nets stay on their device and are left as found. Some seconds; the fits of start weights
    and controls are kept for the next run in the same process.
    """
    where = next(net.module.parameters()).device
    first = int(dataset.indices("test")[0])
    pixels, image = as_seen(dataset.pixels[first], net, recipe.size, where)
    sample = None
    if start is not None:
        start.module.to(where)
        sample = _sample(net, recipe, dataset, where)
    arrays = maps.compute(
        net,
        image,
        pixels=pixels,
        image_id=str(dataset.photographs.paths[first]),
        start=start,
        sample=sample,
    )
    return stored.write_maps(folder, arrays)


def keep_run_maps(
    folder: Path, dataset: Dataset, seed: int, where: torch.device, *, offline: bool = False
) -> Path:
    """Write maps.npz of a finished run; `seed` is the one its net was initialised with."""
    net, recipe, classes = model_folder.read(folder / "model")
    net.module.to(where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.number("init", seed))
        start = zoo.build(recipe, len(classes), offline=offline)
    return keep_maps(folder, net, recipe, dataset, start)


def keep_cams(
    run: RunFiles,
    dataset: Dataset,
    where: torch.device,
    *,
    most: int = MOST_PANELS,
    moves: int = MOVES,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Path | None:
    """Write cams.npz of a finished run: its chosen test photographs, explained and checked.

    About 150 forward passes a panel, at most `most` panels, taken evenly from all classes. Returns
    None for a net that Grad-CAM cannot read.
    """
    net, recipe, _ = model_folder.read(run.folder / "model")
    net.module.to(where)
    predictions = run.predictions("test")
    row_of = {str(path): row for row, path in enumerate(dataset.photographs.paths)}
    choices = chosen.choose(predictions.logits, predictions.labels)
    if len(choices) > most:
        places = np.linspace(0, len(choices) - 1, most).round().astype(int)
        choices = tuple(choices[place] for place in places)

    def show(row: int) -> tuple[NDArray[np.uint8], Tensor, str]:
        name = str(predictions.ids[row])
        return *as_seen(dataset.pixels[row_of[name]], net, recipe.size, where), name

    try:
        found = panels.panels(net, choices, show, moves=moves, on_progress=on_progress)
    except RecipeError:
        return None
    return stored.write_cams(run.folder, found)


def _sample(net: Net, recipe: Recipe, dataset: Dataset, where: torch.device) -> Tensor | None:
    """Return at most SAMPLE validation photographs, evenly; None where there are too few."""
    rows = dataset.indices("validation")
    places = np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int)
    if len(places) < 4:
        return None
    shown = [as_seen(dataset.pixels[row], net, recipe.size, where)[1] for row in rows[places]]
    return torch.cat(shown)
