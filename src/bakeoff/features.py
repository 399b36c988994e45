"""Outputs of a frozen prefix, computed once and kept, instead of anew in every epoch.

Allowed where the prefix gives the same output in every epoch (see `models.parts.frozen_prefix`) and
nothing random changes the photographs. Kept on disk under a key of everything that decides them, so
that other variants, seeds and studies find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.lib.format import open_memmap
from torch import Tensor

from bakeoff.files import aside
from bakeoff.inputs import NO_AUGMENT, Inputs
from bakeoff.models.parts import Net, through
from bakeoff.models.views import COUNTS
from bakeoff.recipe import digest

BATCH = 128
MOST_BYTES = 200 * 1024  # of a photograph's features: those of ResNet-18's layer3 at 224 px


def worth_keeping(
    fabric: Fabric, net: Net, prefix: int, inputs: Inputs, views: str = "one"
) -> bool:
    """Whether the prefix's outputs are small enough to be kept instead of computed anew.

    Those of a first convolution are ten times the photograph: keeping them would fill memory and
    disk, and save little.
    """
    net.module.eval()
    outputs = _outputs(fabric, net, prefix, inputs, torch.arange(1), views)
    return outputs.numel() * outputs.element_size() <= MOST_BYTES


def cached(
    fabric: Fabric,
    net: Net,
    prefix: int,
    inputs: Inputs,
    *,
    key: tuple[object, ...],
    views: str = "one",
    folder: Path,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Inputs:
    """Return `inputs` with the outputs of the first `prefix` parts as rows, (N, …) float32.

    Of several `views` they are (N, V, …), and training sees one of them at random at each showing.
    `key` names start weights, photographs, geometry and precision; the prefix is added to it. On
    the CPU the rows are mapped from the file, so they take page cache and no memory.
    """
    assert inputs.augment == NO_AUGMENT
    several = () if views == "one" else (views,)
    name = digest([part.name for part in net.parts[:prefix]], net.name, inputs.size, *several, *key)
    path = folder / f"{name}.npy"
    rows = _kept(path, len(inputs.labels))
    if rows is None:
        with aside(path) as temporary:
            _compute(temporary, fabric, net, prefix, inputs, views, on_progress)
        rows = _kept(path, len(inputs.labels))
        assert rows is not None, path
    os.utime(path)
    return replace(inputs.of(rows), num_views=COUNTS[views])


def _kept(path: Path, count: int) -> Tensor | None:
    """Map the features of `count` photographs; None where there are none or the file is torn."""
    try:
        rows = np.load(path, allow_pickle=False, mmap_mode="c")
    except (OSError, EOFError, ValueError):
        return None
    return torch.from_numpy(rows) if len(rows) == count and rows.dtype == np.float32 else None


def _compute(
    path: Path,
    fabric: Fabric,
    net: Net,
    prefix: int,
    inputs: Inputs,
    views: str,
    on_progress: Callable[[str, int, int], None] | None,
) -> None:
    """Write every photograph's features to `path`, batch after batch."""
    net.module.eval()
    total = len(inputs.labels)
    rows: np.memmap | None = None
    for indices in torch.split(torch.arange(total), min(BATCH, inputs.largest_batch)):
        outputs = _outputs(fabric, net, prefix, inputs, indices, views).numpy()
        if rows is None:
            shape = (total, *outputs.shape[1:])
            rows = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        rows[indices.numpy()] = outputs
        if on_progress:
            on_progress("features of the frozen part", int(indices[-1]) + 1, total)
    if rows is not None:
        rows.flush()


def _outputs(
    fabric: Fabric, net: Net, prefix: int, inputs: Inputs, indices: Tensor, views: str
) -> Tensor:
    batch, parts = inputs.batch(indices), net.parts[:prefix]
    with fabric.autocast(), torch.no_grad():
        found = [through(parts, view).float().cpu() for view in inputs.views(batch, views)]
    return found[0] if views == "one" else torch.stack(found, dim=1)
