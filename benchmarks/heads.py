"""Many heads on cached features: ten variants times ten seeds against one such run.

    python -m benchmarks.heads --data PHOTOS

The features are computed and kept first; then one run and all hundred are carried out by turns,
each in a folder of its own, through bakeoff.execute, whatever way it has of training them. The
price includes evaluation and everything that is written, apart from maps (benchmarks.startup shows
what they cost); it is counted in runs. Aim: 100 for the price of 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness, studies

RECIPE = {"model": "resnet18", "freeze": "backbone", "lr": 1e-3, "batch": 32}
BASE = (1e-3, 0.0)
RATES, DECAYS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), (0.0, 1e-3)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    data = {"source": options.data}
    if options.data == "plates":
        data = studies.drawn(options.photographs)
    recipe = RECIPE | {"size": options.size, "epochs": options.epochs}
    with studies.fresh_cache() as cache:
        recipe["weights"] = _weights(options.weights, cache)
        results = compared(recipe, data, options.seeds, options.rounds)
    columns = ("", "seconds", "price in runs")
    rows = [
        ("one run", results["one"], 1),
        (f"{results['runs']}", results["all"], results["price"]),
    ]
    harness.show("heads on cached features", columns, rows)
    kept = {name: recipe[name] for name in ("size", "epochs", "batch")}
    print(harness.write("heads", {"rounds": options.rounds, **kept}, results, options.out))


def variants() -> dict[str, dict[str, float]]:
    """Return the nine variants that differ from the base in rate and decay."""
    return {
        f"lr{lr:g}_decay{decay:g}": {"lr": lr, "weight_decay": decay}
        for lr, decay in product(RATES, DECAYS)
        if (lr, decay) != BASE
    }


def compared(
    recipe: dict[str, Any], data: dict[str, Any], num_seeds: int, num_rounds: int
) -> dict[str, Any]:
    """Return the seconds of one run and of all, and how many times the one all of them cost."""
    study = studies.study(recipe, data, variants())
    every = studies.without_maps(study, num_seeds)
    one = every[:1]
    studies.carried_out(study, one)  # photographs decoded, features computed and kept
    measured = harness.rounds(
        {
            "one": lambda: studies.carried_out(study, one).seconds,
            "all": lambda: studies.carried_out(study, every).seconds,
        },
        num_rounds,
    )
    medians = {name: median(values) for name, values in measured.items()}
    price = harness.ratio(measured["all"], measured["one"])
    return {"runs": len(every), **medians, "price": price, "rounds": measured}


def _weights(asked: str, folder: Path) -> str:
    """Return the weights to start from; for `none` a file of random ones, the same for all seeds.

    Otherwise every seed would have a backbone, and features, of its own.
    """
    if asked != "none":
        return asked
    from benchmarks.jobs import Job, write_start

    drawn = folder / "random.safetensors"
    write_start(Job("heads", "resnet18", 224, 1, 1, 1e-3, num_classes=2), "none", drawn)
    return str(drawn)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.heads", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="plates", help="photographs; drawn ones by default")
    parser.add_argument("--photographs", type=int, default=12_500, help="how many to draw")
    parser.add_argument("--weights", default="imagenet", help="imagenet, a file or none")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.photographs, options.size, options.epochs = 600, 32, 2
        options.seeds, options.rounds = 2, 1
    return options


if __name__ == "__main__":
    main()
