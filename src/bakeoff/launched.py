"""Who started this process: nobody else, or `torchrun` or `srun` as one of several. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bakeoff.fields import RecipeError

Launcher = Literal["", "torchrun", "srun"]


@dataclass(frozen=True)
class Place:
    """This process is number `rank` of `size`, and `local_rank` of `local_size` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    by: Launcher = ""


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Read from the environment where this process stands among those started with it.

    Raises RecipeError where SLURM does not say how many tasks a machine has.
    """
    found = Place()
    if "TORCHELASTIC_RUN_ID" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        found = _read(environment, names, "torchrun")
    elif int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        if "SLURM_NTASKS_PER_NODE" not in environment:
            raise RecipeError(
                "srun: processes that train one net together need --ntasks-per-node; "
                "with --strategy none each takes runs of its own"
            )
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
        found = _read(environment, names, "srun")
    return found if found.size > 1 else Place()


def _read(environment: Mapping[str, str], names: Sequence[str], by: Launcher) -> Place:
    rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    return Place(rank, size, local_rank, local_size, by)
