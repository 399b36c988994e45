"""What a GPU gives: steps and epochs as shares of the fused roofline, peers, and the whole study.

    python -m benchmarks.gpu --data PHOTOS [--parts steps,epochs,peers,study]

`steps` times every way of stepping (see bakeoff.stepping), on resident random pixels; `epochs` what
a run does with each net and batch, photographs gathered and counted; `peers` is
benchmarks.peers with 16 loader workers; `study` the command `bakeoff run food101-20`. Without CUDA
it says so.
"""

from __future__ import annotations

import argparse
import gc
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

    from bakeoff.recipe import Recipe
    from bakeoff.step import Work

NUM_CLASSES = 20
WAYS = ("eager", "compiled", "captured_eager", "captured")
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


def swept(measure: Callable[[str, int], Mapping[str, float | None]]) -> dict[str, dict[str, Any]]:
    """Measure every net at every batch: images/s and share of the fused roofline, by way."""
    found = {}
    for net in NETS:
        for batch in BATCHES:
            rates = measure(net, batch)
            shares = {way: rate and rate / FUSED_ROOFLINE[net] for way, rate in rates.items()}
            found[f"{net} x {batch}"] = {"images_per_second": rates, "share_of_roofline": shares}
    ways = list(dict.fromkeys(way for each in found.values() for way in each["images_per_second"]))
    rows = [[name, *map(each["share_of_roofline"].get, ways)] for name, each in found.items()]
    harness.show("share of the fused roofline", ("net x batch", *ways), rows)
    return found


def steps(
    net: str, batch: int, where: torch.device, num_steps: int = STEPS, size: int = 224
) -> dict[str, float | None]:
    """Return images/s of the bare step and of each of our ways, on resident random pixels.

    None stands for a way that could not be had.
    """
    from bakeoff import recipe as recipes
    from benchmarks import bare

    recipe = recipes.parse({**NETS[net], "batch": batch, "size": size})
    bare_step = bare.step(recipe, NUM_CLASSES, where)
    found: dict[str, float | None] = {"bare": batch / bare.seconds(bare_step, num_steps, where)}
    del bare_step
    for way in WAYS if where.type == "cuda" else ("eager",):
        found[way] = _rate(way, recipe, where, num_steps)
    return found


def epochs(net: str, batch: int, source: str) -> dict[str, float | None]:
    """Return images/s of a run's last epoch, evaluation apart, plainly and as it is by default."""
    recipe = {**NETS[net], "batch": batch, "epochs": 3, "size": 224}
    study = studies.study(recipe, {"source": source})
    chosen = studies.without_maps(study)
    return {
        way: studies.carried_out(study, chosen, "cuda", way).records[-1].images_per_second
        for way in ("eager", "auto")
    }


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


def _rate(way: str, recipe: Recipe, where: torch.device, num_steps: int) -> float | None:
    """Return images/s of one way of stepping; what it kept is freed afterwards."""
    import torch

    from bakeoff import stepping
    from benchmarks import bare

    work = _work(recipe, where)
    drawing = torch.Generator(where).manual_seed(0)
    batch = work.inputs.batch(torch.arange(recipe.batch))
    try:
        with stepping.Steps(way) as kept:
            one = kept.make(work)
            return recipe.batch / bare.seconds(lambda: one(batch, drawing), num_steps, where)
    except (RuntimeError, ValueError) as error:
        print(f"{recipe.model} x {recipe.batch}, {way}: {error}", file=sys.stderr)
        return None
    finally:
        gc.collect()
        if where.type == "cuda":
            torch.cuda.empty_cache()


def _work(recipe: Recipe, where: torch.device) -> Work:
    """Return a fresh net to be stepped, on random pixels of one batch."""
    import numpy as np
    import torch

    from bakeoff import machine, optimizers, step
    from bakeoff.inputs import from_pixels
    from bakeoff.models import zoo
    from bakeoff.models.parts import train_mode

    net = zoo.build(recipe, NUM_CLASSES)
    net.module.to(where).to(memory_format=torch.channels_last)
    fabric = machine.fabric(where, machine.precision(recipe.precision, where))
    made = optimizers.make(recipe, net.module.named_parameters())
    model, wrapped = fabric.setup(net.module, made)
    train_mode(model)
    drawn = np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (recipe.batch, recipe.size, recipe.size, 3), dtype=np.uint8)
    labels = drawn.integers(0, NUM_CLASSES, recipe.batch)
    what = NUM_CLASSES, recipe.size, recipe.augment, where
    inputs = from_pixels(pixels, labels, net, *what)
    return step.Work(fabric, model, wrapped, inputs, recipe, None, (recipe.batch,), recipe.batch)


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
