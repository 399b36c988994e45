"""What each choice for CPUs brought, and what was tried in vain, beside what was expected.

    python -m benchmarks.gains [--nets baseline,custom,resnet18,vgg16_bn]

Training steps on random tensors at 224 px, batch 32. Every rung of the ladder keeps what the one
before has, and each is measured in a process of its own, because an allocator cannot be changed
back. What ways of stepping bring on a GPU is in benchmarks.gpu.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.gpu import NETS, NUM_CLASSES


@dataclass(frozen=True)
class Rung:
    """One choice; `fast` is bf16 (where the CPU has it) and channels-last together."""

    fast: bool = False
    keeps_memory: bool = False
    compiled: bool = False


RUNGS = {
    "as PyTorch has it": Rung(),
    "bf16, channels-last": Rung(fast=True),
    "memory kept": Rung(fast=True, keeps_memory=True),
    "compiled (not used)": Rung(fast=True, keeps_memory=True, compiled=True),
}
# Times as fast as the rung before, reckoned before it was built, for two cores with avx512_bf16.
EXPECTED = {
    "baseline": (1.0, 3.1, 1.6, 0.7),
    "custom": (1.0, 4.2, 1.5, 0.7),
    "resnet18": (1.0, 2.8, 1.0, 0.7),
    "vgg16_bn": (1.0, 2.5, 1.6, 0.7),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.child:
        net, rung, batch, size, steps = json.loads(options.child)
        print(rate(net, RUNGS[rung], batch, size, steps))
        return
    results = {net: climbed(net, options) for net in options.nets.split(",")}
    rows = [
        (f"{net}: {rung}", found["rate"], found["gain"], found["expected"])
        for net, rungs in results.items()
        for rung, found in rungs.items()
    ]
    harness.show("training", ("", "images/s", "× the rung before", "expected"), rows)
    settings = {"batch": options.batch, "size": options.size, "rounds": options.rounds}
    print(harness.write("gains", settings, results, options.out))


def climbed(net: str, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return images/s of every rung, and how many times those of the rung before it is."""
    calls = {rung: partial(_in_child, net, rung, options) for rung in RUNGS}
    measured = harness.rounds(calls, options.rounds)
    found, before = {}, next(iter(RUNGS))
    for (rung, rates), expected in zip(measured.items(), EXPECTED[net], strict=True):
        gain = harness.ratio(rates, measured[before])
        found[rung] = {"rate": median(rates), "gain": gain, "expected": expected, "rounds": rates}
        before = rung
    return found


def rate(net: str, rung: Rung, batch: int, size: int, num_steps: int) -> float:
    """Return the training images/s of a rung in this process, from which it is not undone."""
    import torch

    from bakeoff import machine, recipe
    from bakeoff.models import zoo
    from benchmarks import bare

    if rung.keeps_memory:
        machine.keep_memory()
    cpu = torch.device("cpu")
    wanted = recipe.parse({**NETS[net], "size": size, "batch": batch})
    module = zoo.build(wanted, NUM_CLASSES).module.train()
    layout = torch.channels_last if rung.fast else torch.contiguous_format
    module.to(memory_format=layout)
    rows = torch.randn(batch, 3, size, size).contiguous(memory_format=layout)
    if rung.compiled:
        module.compile(dynamic=False)
    labels = torch.randint(NUM_CLASSES, (batch,))
    bf16 = rung.fast and machine.precision("auto", cpu) == "bf16"
    one = bare.plain(module, rows, labels, wanted.lr, bf16=bf16)
    return batch / bare.seconds(one, num_steps, cpu)


def _in_child(net: str, rung: str, options: argparse.Namespace) -> float:
    job = json.dumps([net, rung, options.batch, options.size, options.steps])
    call = [sys.executable, "-m", "benchmarks.gains", "--child", job]
    done = subprocess.run(
        call, env=harness.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    print(f"{net}: {rung}: {float(done.stdout):.1f} images/s", file=sys.stderr, flush=True)
    return float(done.stdout)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gains", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.nets, options.steps, options.batch, options.size = "resnet18", 1, 2, 32
        options.rounds = 1
    return options


if __name__ == "__main__":
    main()
