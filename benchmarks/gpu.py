"""What a GPU gives: steps and epochs as shares of the fused roofline, peers, and the whole study.

    python -m benchmarks.gpu --data PHOTOS [--parts steps,epochs,peers,study]

`steps` times every way of stepping that bakeoff.step offers, on resident random tensors; `epochs`
what a run does with each net and batch, photographs gathered and counted; `peers` is
benchmarks.peers with 16 loader workers; `study` the command `bakeoff run food101-20`. Without CUDA
it says so.
"""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import harness, studies

if TYPE_CHECKING:
    import torch

NUM_CLASSES = 20
BATCHES = (32, 64, 128, 256)
STEPS = 50
# Training images/s at 224 px on one H200: kernel by kernel the longer of operations and memory,
# batch norm, ReLU and pooling in one pass (docs/performance.md). Of other GPUs only the ratios
# between ways of stepping mean something.
FUSED_ROOFLINE = {"baseline": 5731.0, "custom": 5083.0, "resnet18": 37818.0, "vgg16_bn": 5611.0}
NETS: dict[str, dict[str, Any]] = {
    "baseline": {"model": "baseline"},
    "custom": {"model": "custom", "net": {"pool_stride": 1}},  # what its roofline is computed for
    "resnet18": {"model": "resnet18"},
    "vgg16_bn": {"model": "vgg16_bn"},
}
PARTS = ("steps", "epochs", "peers", "study")


def main(arguments: Sequence[str] | None = None) -> None:
    import torch

    options = _options(arguments)
    if not torch.cuda.is_available():
        print("No CUDA device is here, so nothing was measured; its figures stay open.")
        return
    parts = options.parts.split(",")
    if unknown := [name for name in parts if name not in PARTS]:
        raise SystemExit(f"--parts: there is no {unknown[0]}; there are: {', '.join(PARTS)}")
    if "steps" in parts:
        found = swept(lambda net, batch: steps(net, batch, torch.device("cuda")))
        print(harness.write("gpu-steps", {"size": 224, "steps": STEPS}, found, options.out))
    if "epochs" in parts:
        with studies.fresh_cache():
            found = swept(lambda net, batch: epochs(net, batch, options.data))
        print(harness.write("gpu-epochs", {"size": 224}, found, options.out))
    if "peers" in parts:
        _peers(options)
    if "study" in parts:
        found = whole_study(options)
        print(f"food101-20: {found['seconds'] / 60:.1f} minutes")
        print(harness.write("gpu-study", {"set": options.set}, found, options.out))


def swept(measure: Callable[[str, int], Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Measure every net at every batch: images/s and share of the fused roofline, by way."""
    found = {}
    for net in NETS:
        for batch in BATCHES:
            rates = measure(net, batch)
            shares = {way: rate / FUSED_ROOFLINE[net] for way, rate in rates.items()}
            found[f"{net} x {batch}"] = {"images_per_second": rates, "share_of_roofline": shares}
    ways = list(dict.fromkeys(way for each in found.values() for way in each["images_per_second"]))
    rows = [[name, *map(each["share_of_roofline"].get, ways)] for name, each in found.items()]
    harness.show("share of the fused roofline", ("net x batch", *ways), rows)
    return found


def ways() -> dict[str, Callable[..., Any]]:
    """Return the ways of stepping that bakeoff.step offers: what takes the same as `eager`."""
    from bakeoff import step

    taken = list(inspect.signature(step.eager).parameters)
    return {
        name: function
        for name, function in inspect.getmembers(step, inspect.isfunction)
        if function.__module__ == step.__name__
        and list(inspect.signature(function).parameters)[: len(taken)] == taken
    }


def steps(
    net: str, batch: int, where: torch.device, num_steps: int = STEPS, size: int = 224
) -> dict[str, float]:
    """Return images/s of the bare step and of each of our ways, on resident random tensors."""
    from bakeoff import recipe as recipes
    from benchmarks import bare

    fields = {**NETS[net], "batch": batch, "size": size}
    recipe = recipes.parse(fields)
    calls = {"bare": bare.step(recipe, NUM_CLASSES, where)}
    calls |= {name: _one(make, recipe, where) for name, make in ways().items()}
    return {name: batch / bare.seconds(one, num_steps, where) for name, one in calls.items()}


def epochs(net: str, batch: int, source: str) -> dict[str, float]:
    """Return images/s of a run's last epoch, evaluation apart."""
    recipe = {**NETS[net], "batch": batch, "epochs": 3, "size": 224}
    study = studies.study(recipe, {"source": source})
    outcome = studies.carried_out(study, studies.without_maps(study), "cuda")
    return {"as run": outcome.records[-1].images_per_second}


def whole_study(options: argparse.Namespace) -> dict[str, Any]:
    """Run the shipped study as a command, decoding, evaluation and report included."""
    with studies.fresh_cache(), tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "bakeoff", "run", "food101-20", "--data", options.data]
        changes = [word for change in options.set for word in ("--set", change)]
        began = perf_counter()
        done = subprocess.run(
            [*call, *changes, "--out", folder], env=harness.environment(), check=False
        )
    return {"seconds": perf_counter() - began, "failed": bool(done.returncode)}


def _one(make: Callable[..., Any], recipe: Any, where: torch.device) -> Callable[[], object]:
    """Return one step of ours as a call without arguments."""
    import torch

    from bakeoff import machine, step
    from bakeoff.models import zoo

    net = zoo.build(recipe, NUM_CLASSES)
    net.module.to(where).to(memory_format=torch.channels_last).train()
    fabric = machine.fabric(where, machine.precision(recipe.precision, where))
    optimizer = step.optimizer(recipe, net.module.parameters())
    model, wrapped = fabric.setup(net.module, optimizer)
    images = torch.randn(recipe.batch, 3, recipe.size, recipe.size, device=where)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(NUM_CLASSES, (recipe.batch,), device=where)
    one = make(fabric, model, wrapped, step.loss_of(recipe, labels, NUM_CLASSES))
    return lambda: one(images, labels)


def _peers(options: argparse.Namespace) -> None:
    from benchmarks import peers

    given = {
        "--data": options.data,
        "--weights": options.weights,
        "--only": "finetune",
        "--photographs": "12000",
        "--workers": "16",
        "--peers-python": options.peers_python,
        "--out": str(options.out),
    }
    peers.main([word for pair in given.items() for word in pair])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="plates", help="photographs; drawn ones by default")
    parser.add_argument("--weights", default="imagenet", help="of ResNet-18, for the peers")
    parser.add_argument("--set", action="append", default=[], help="as of bakeoff run, for `study`")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--peers-python", default=".venv-peers/bin/python")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
