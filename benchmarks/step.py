"""What the loop costs beyond the bare PyTorch step: share of its throughput, and host time.

    python -m benchmarks.step

The bare step has its inputs ready on the device; an epoch of ours gathers, prepares and counts
every photograph besides. `throughput` compares them where computing dominates, `pixels` and
`features` where next to nothing is computed, so that what is left is host time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness, studies

CLASSES = ("pizza", "ramen")
TINY_NET = {
    "model": "baseline",
    "size": 16,
    "net": {"width": 4, "padding": 1},
    "batch": 8,
    "precision": "fp32",
}
HEAD = {"model": "resnet18", "freeze": "backbone", "size": 32, "batch": 32}


@dataclass(frozen=True)
class Case:
    """One comparison: a recipe and how many steps an epoch of it has."""

    recipe: Mapping[str, Any]
    steps: int
    epochs: int = 3


CASES = {
    "throughput": Case({"model": "resnet18", "size": 224, "batch": 32, "lr": 1e-4}, 16),
    "throughput, augmented": Case(
        {"model": "resnet18", "size": 224, "batch": 32, "lr": 1e-4, "augment.policy": "standard"},
        16,
    ),
    "pixels": Case(TINY_NET, 200),
    "features": Case(HEAD, 200),
}
QUICK = {"steps": 4, "epochs": 2}
QUICK_SIZE = 32


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    results = {}
    with studies.fresh_cache():
        for name, case in CASES.items():
            sized = quick(case) if options.quick else case
            results[name] = compared(sized, options.rounds, options.device)
    columns = ("", "bare µs a step", "ours", "beyond the bare, µs", "share of the bare throughput")
    rows = [
        (name, *(r[key] for key in ("bare", "ours", "beyond", "share")))
        for name, r in results.items()
    ]
    harness.show("a step", columns, rows)
    print(harness.write("step", {"rounds": options.rounds}, results, options.out))


def quick(case: Case) -> Case:
    """Return a case that shows that everything works, and nothing else."""
    size = min(case.recipe["size"], QUICK_SIZE)
    return replace(case, recipe={**case.recipe, "size": size}, **QUICK)


def compared(case: Case, num_rounds: int, device: str = "auto") -> dict[str, Any]:
    """Return microseconds a step, bare and ours, by turns: medians, difference and share."""
    from bakeoff import machine
    from bakeoff.study import rows
    from benchmarks import bare

    machine.keep_memory()  # as bakeoff does: both sides get the same allocator
    batch = case.recipe["batch"]
    # a fifth of the training photographs is for validation
    per_class = round(batch * case.steps / 0.8 / len(CLASSES))
    data = {"source": "plates", "classes": CLASSES, "per_class": per_class}
    study = studies.study({**case.recipe, "epochs": case.epochs}, data)
    chosen = studies.without_maps(study)
    where = machine.device(device)
    recipe = rows(study)[0].recipe

    def ours() -> float:
        outcome = studies.carried_out(study, chosen, device)
        return median(batch / record.images_per_second for record in outcome.records[1:]) * 1e6

    def plain() -> float:
        one = bare.step(recipe, len(CLASSES), where)
        return bare.seconds(one, case.steps * (case.epochs - 1), where) * 1e6

    studies.carried_out(study, chosen, device)  # photographs drawn, features kept, machine warm
    measured = harness.rounds({"bare": plain, "ours": ours}, num_rounds)
    medians = {name: median(values) for name, values in measured.items()}
    return {
        **medians,
        "beyond": median(b - a for a, b in zip(measured["bare"], measured["ours"], strict=True)),
        "share": harness.ratio(measured["bare"], measured["ours"]),
        "rounds": measured,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.step", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    options.rounds = 1 if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
