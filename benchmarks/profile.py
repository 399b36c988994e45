"""Where the time of an epoch goes, for each net: shares of its stages, and the dearest operators.

    python -m benchmarks.profile [--nets baseline,custom,resnet18,vgg16_bn]

The real loop trains an epoch of a few plain steps and evaluates after it, under torch.profiler, on
drawn pixels with the `standard` augmentation. On a GPU every stage is waited for, so that its time
is its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks import harness
from benchmarks.gpu import NETS, NUM_CLASSES

if TYPE_CHECKING:
    import torch

STAGES = ("data", "augmentation", "forward", "backward", "optimiser", "evaluation")
OPERATORS = 4


def main(arguments: Sequence[str] | None = None) -> None:
    from bakeoff import machine

    options = _options(arguments)
    machine.keep_memory()
    where = machine.device(options.device)
    results = {
        net: profiled(net, options.steps, options.batch, options.size, where)
        for net in options.nets.split(",")
    }
    columns = ("net", *STAGES, "rest", "photographs/s")
    rows = [
        (net, *(100 * found["share"][stage] for stage in (*STAGES, "rest")), found["rate"])
        for net, found in results.items()
    ]
    harness.show("% of an epoch", columns, rows)
    settings = {"steps": options.steps, "batch": options.batch, "size": options.size}
    print(harness.write("profile", settings, results, options.out))


def profiled(
    net: str, num_steps: int, batch: int, size: int, where: torch.device
) -> dict[str, Any]:
    """Return the share of each stage in an epoch and of the dearest operators, and its rate.

    As many photographs as a quarter of those trained on are for validation, as in a run.
    """
    from torch.profiler import ProfilerActivity, profile

    kind, begin = _training(net, num_steps, batch, size, where)
    next(begin)  # warm up
    activities = [ProfilerActivity.CPU]
    if where.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler, _stages(where, kind):
        began = perf_counter()
        next(begin)
        seconds = perf_counter() - began
    events = profiler.key_averages()
    spent = {event.key: event.cpu_time_total / 1e6 for event in events if event.key in STAGES}
    share = {stage: spent.get(stage, 0.0) / seconds for stage in STAGES}
    own = {
        event.key: event.self_device_time_total
        if where.type == "cuda"
        else event.self_cpu_time_total
        for event in events
        if event.key.startswith("aten::")
    }
    total = sum(own.values()) or 1.0
    dearest = sorted(own, key=lambda name: -own[name])[:OPERATORS]
    return {
        "share": {**share, "rest": 1 - sum(share.values())},
        "operators": {name: own[name] / total for name in dearest},
        "rate": num_steps * batch / seconds,
    }


def _training(
    net: str, num_steps: int, batch: int, size: int, where: torch.device
) -> tuple[type, Iterator[Any]]:
    """Return the class of a net, and the epochs of a plain training of it on drawn pixels."""
    import numpy as np
    import torch

    from bakeoff import loop, machine, optimizers, recipe
    from bakeoff.inputs import from_pixels
    from bakeoff.models import zoo

    asked = {**NETS[net], "size": size, "batch": batch, "epochs": 2, "augment.policy": "standard"}
    wanted = recipe.parse(asked)
    built = zoo.build(wanted, NUM_CLASSES)
    built.module.to(where).to(memory_format=torch.channels_last)
    fabric = machine.fabric(where, machine.precision(wanted.precision, where))
    made = optimizers.make(wanted, built.module.named_parameters())
    model, optimizer = fabric.setup(built.module, made)
    shown, held = num_steps * batch, max(1, num_steps * batch // 4)
    drawn = np.random.default_rng(0)
    pixels = drawn.integers(0, 256, (shown + held, size, size, 3), dtype=np.uint8)
    labels = drawn.integers(0, NUM_CLASSES, shown + held)
    inputs = from_pixels(pixels, labels, built, NUM_CLASSES, size, wanted.augment, where)
    rows = torch.arange(shown + held)
    split = {"train": rows[:shown], "validation": rows[shown:]}
    training = loop.Training(model, optimizer)
    seed = {"order": 0, "augmentation": 0}
    return type(built.module), loop.epochs(fabric, training, wanted, inputs, split, seed)


@contextmanager
def _stages(where: torch.device, net: type) -> Iterator[None]:
    """Name the stages of the loop for the profiler; what a stage does is all its own."""
    import torch

    from bakeoff import loop
    from bakeoff.inputs import Inputs

    inside = False

    def named(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*arguments, **keywords)
            inside = True
            try:
                with torch.profiler.record_function(stage):
                    result = function(*arguments, **keywords)
                    if where.type == "cuda":
                        torch.cuda.synchronize(where)
                    return result
            finally:
                inside = False

        return called

    places = {
        "data": (Inputs, "batch"),
        "augmentation": (Inputs, "drawn"),
        "forward": (net, "forward"),
        "backward": (torch.Tensor, "backward"),
        "optimiser": (torch.optim.Adam, "step"),
        "evaluation": (loop, "measured"),
    }
    with ExitStack() as patches:
        for stage, (owner, name) in places.items():
            patches.enter_context(patch.object(owner, name, named(stage, getattr(owner, name))))
        yield


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.nets, options.steps, options.batch, options.size = "resnet18", 2, 4, 32
    return options


if __name__ == "__main__":
    main()
