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
from torch import Tensor

from bakeoff.files import aside
from bakeoff.inputs import NO_AUGMENT, Inputs
from bakeoff.models.parts import Net, through
from bakeoff.recipe import digest

BATCH = 128


def cached(
    fabric: Fabric,
    net: Net,
    prefix: int,
    inputs: Inputs,
    *,
    key: tuple[object, ...],
    folder: Path,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Inputs:
    """Return `inputs` with the outputs of the first `prefix` parts as rows, (N, …) float32.

    `key` names start weights, photographs, geometry and precision; the prefix is added to it.
    """
    assert inputs.augment == NO_AUGMENT
    name = digest([part.name for part in net.parts[:prefix]], net.name, inputs.size, *key)
    path = folder / f"{name}.npy"
    rows = _kept(path, len(inputs.labels))
    if rows is None:
        rows = _compute(fabric, net, prefix, inputs, on_progress)
        with aside(path) as temporary, temporary.open("wb") as file:
            np.save(file, rows.numpy(), allow_pickle=False)
    os.utime(path)
    return replace(inputs, rows=rows.to(inputs.device))


def _kept(path: Path, count: int) -> Tensor | None:
    """Read the features of `count` photographs; None where there are none or the file is torn."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    return torch.from_numpy(rows) if len(rows) == count and rows.dtype == np.float32 else None


def _compute(
    fabric: Fabric,
    net: Net,
    prefix: int,
    inputs: Inputs,
    on_progress: Callable[[str, int, int], None] | None,
) -> Tensor:
    total = len(inputs.labels)
    net.module.eval()
    outputs: list[Tensor] = []
    for indices in torch.split(torch.arange(total), BATCH):
        with fabric.autocast(), torch.no_grad():
            outputs.append(through(net.parts[:prefix], inputs.plain(indices)).float().cpu())
        if on_progress:
            on_progress("features of the frozen part", int(indices[-1]) + 1, total)
    return torch.cat(outputs)
