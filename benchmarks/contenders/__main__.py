"""One training by one contender, in this process: `contenders NAME JOB.json FOLDER STARTED`.

Leaves model.safetensors (the trained net) and result.json in FOLDER, its current folder.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.clock import Clock


def main(name: str, job_file: str, folder: str, started: str) -> None:
    from benchmarks.jobs import Job

    clock = Clock(float(started))
    job = Job(**json.loads(Path(job_file).read_text(encoding="utf-8")))
    contender = import_module(f"benchmarks.contenders.{CONTENDERS[name]}")
    state = contender.train(job, clock)
    from safetensors.torch import save_file

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    save_file(tensors, Path(folder) / "model.safetensors")
    seconds = clock.stop()
    from benchmarks.harness import versions

    result = {"seconds": seconds, "versions": versions(("torch", *contender.PACKAGES))}
    (Path(folder) / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
