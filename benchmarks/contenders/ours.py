"""bakeoff as `bakeoff run` carries a study out: decode, look for copies, train, evaluate, keep.

With another seed than a study's first, whose runs alone keep maps: no peer makes any.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.contenders.clock import Clock
    from benchmarks.jobs import Job

PACKAGES = ("bakeoff", "torchvision", "timm")


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    from bakeoff.execute import Ended, Measured, Started, execute
    from bakeoff.settings import Settings
    from bakeoff.study import Study
    from benchmarks import studies

    recipe = {
        "model": job.model,
        "weights": job.start,
        "freeze": ["backbone"] if job.freeze else [],
        "augment.policy": "standard" if job.augment else "none",
        "size": job.size,
        "optimizer": "adam",
        "lr": job.lr,
        "epochs": job.epochs,
        "batch": job.batch,
    }
    table = {"base": "base", "recipe": recipe}
    study = Study(name="job", data={"source": job.photographs}, tables={"job": table})
    out = Path(tempfile.mkdtemp())
    clock.begins("data")
    for event in execute(study, studies.without_maps(study), out, Settings(offline=True)):
        match event:
            case Started():
                clock.begins("train")
            case Measured(record=record) if record.epoch == job.epochs:
                clock.begins("evaluate")
            case Ended(error=error) if error:
                raise SystemExit(error)
    return load_file(out / "job/base/seed-1/model/model.safetensors")
