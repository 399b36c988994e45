"""What several processes cost and bring: throughput, a step, an all-reduce, and equal records.

    python -m benchmarks.ranks

The same training, of the same total batch, by 1, 2 and 4 processes on gloo, one thread each, of a
small net and a larger one. `allreduce_seconds` is the sum of as many bytes as the net has
parameters, alone. On a machine with fewer cores than processes the times show what sharing costs,
not what more machines would bring.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import harness, studies

REPEATS = 20
CLASSES = 10  # of plates
KEPT = ("train_loss", "clean_loss", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Case:
    """A recipe, and how many photographs of each class of `plates` it is trained on."""

    recipe: Mapping[str, Any]
    per_class: int


CASES = {
    "small": Case(
        {
            "model": "baseline", "size": 64, "net": {"width": 16, "padding": 1, "dropout": 0.0},
            "batch": 64, "epochs": 4, "precision": "fp32", "augment": {"policy": "standard"},
        },
        80,
    ),
    "larger": Case(
        {
            "model": "resnet18", "size": 96, "batch": 64, "epochs": 3, "precision": "fp32",
            "lr": 3e-4,
        },
        40,
    ),
}  # fmt: skip
QUICK = {"size": 32, "batch": 16, "epochs": 2}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.inside:
        inside(options)
        return
    results = {}
    for name in options.cases:
        launches = {
            str(processes): partial(launched, name, processes, options.quick)
            for processes in options.processes
        }
        results[name] = summed_up(harness.rounds(launches, options.rounds))
    columns = ("", "processes", "images/s", "step, ms", "all-reduce, ms", "of MB", "off by")
    rows = [
        (
            name, each["processes"], each["images_per_second"], 1e3 * each["step_seconds"],
            1e3 * each["allreduce_seconds"], each["parameter_bytes"] / 2**20,
            each["largest_difference"],
        )
        for name, found in results.items()
        for each in found
    ]  # fmt: skip
    harness.show("one run on several processes", columns, rows)
    print(harness.write("ranks", {"rounds": options.rounds}, results, options.out))


def launched(name: str, processes: int, quick: bool) -> dict[str, Any]:
    """Train once, and sum once, with so many processes; return what the first one measured."""
    measured: dict[str, Any] = {"processes": processes}
    with tempfile.TemporaryDirectory() as folder:
        for part in ("training", "allreduce"):
            told = Path(folder) / f"{part}.json"
            command = [sys.executable, "-m"]
            if processes > 1:
                many = f"--nproc-per-node={processes}"
                command += ["torch.distributed.run", "--standalone", many, "-m"]
            command += ["benchmarks.ranks", "--inside", part, "--case", name, "--told", str(told)]
            command += ["--quick"] if quick else []
            environment = harness.environment(
                OMP_NUM_THREADS="1", BAKEOFF_CACHE=str(Path(folder) / "cache")
            )
            subprocess.run(command, check=True, env=environment)
            measured |= json.loads(told.read_text(encoding="utf-8"))
    return measured


def inside(options: argparse.Namespace) -> None:
    """Do one part in this process, one of several or alone; the first one tells."""
    case = sized(CASES[options.case], options.quick)
    told = training(case) if options.inside == "training" else allreduce(case)
    if told:
        options.told.write_text(json.dumps(told), encoding="utf-8")


def sized(case: Case, quick: bool) -> Case:
    """Return the case, or one that shows that everything works, and nothing else."""
    return replace(case, recipe={**case.recipe, **QUICK}, per_class=8) if quick else case


def training(case: Case) -> dict[str, Any]:
    """Carry the study out as the command does; nothing for the processes that follow."""
    from bakeoff.joining import joining
    from bakeoff.launched import place
    from bakeoff.study import rows

    study = studies.study(case.recipe, {"source": "plates", "per_class": case.per_class})
    with joining("ddp", "cpu") if place().size > 1 else nullcontext(True) as leads:
        if not leads:
            return {}
        outcome = studies.carried_out(study, studies.without_maps(study), "cpu")
    speed = median(record.images_per_second for record in outcome.records[1:])
    return {
        "images_per_second": speed,
        "step_seconds": rows(study)[0].recipe.batch / speed,
        "records": [{name: getattr(r, name) for name in KEPT} for r in outcome.records],
    }


def allreduce(case: Case) -> dict[str, Any]:
    """Time the sum of as many float32 as the net has parameters; zero where there is one."""
    import torch
    import torch.distributed as dist

    from bakeoff.launched import place
    from bakeoff.models import zoo
    from bakeoff.recipe import parse

    module = zoo.build(parse(dict(case.recipe)), CLASSES).module
    tensor = torch.zeros(sum(p.numel() for p in module.parameters()))
    seconds = []
    if place().size > 1:
        dist.init_process_group("gloo")
        for _ in range(REPEATS):
            dist.barrier()
            began = perf_counter()
            dist.all_reduce(tensor)
            seconds.append(perf_counter() - began)
        dist.destroy_process_group()
    if place().rank:
        return {}
    return {
        "allreduce_seconds": median(seconds) if seconds else 0.0,
        "parameter_bytes": tensor.nbytes,
    }


def summed_up(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return for each number of processes the medians, and how far its records are off the first's.

    Every round is kept. Records do not differ between rounds.
    """
    times = ("images_per_second", "step_seconds", "allreduce_seconds")
    first = next(iter(measured.values()))[0]["records"]
    found = []
    for rounds in measured.values():
        records = rounds[0]["records"]
        found.append(
            {
                "processes": rounds[0]["processes"],
                **{name: median(each[name] for each in rounds) for name in times},
                "parameter_bytes": rounds[0]["parameter_bytes"],
                "records": records,
                "largest_difference": max(
                    abs(one[name] - other[name])
                    for one, other in zip(first, records, strict=True)
                    for name in KEPT
                ),
                "rounds": [{name: each[name] for name in times} for each in rounds],
            }
        )
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.ranks", description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    parser.add_argument("--inside", choices=("training", "allreduce"), help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.rounds = 1 if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
