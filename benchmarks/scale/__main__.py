"""`python -m benchmarks.scale`: measure this machine, check the model against it, print its tables.

`--measure` takes about a minute on two idle cores and writes `results/scale-….json`; without it the
newest such file is read.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, rounds, show, write
from benchmarks.scale import points
from benchmarks.scale.model import Cluster, Work, decoding, epoch

# published: NVLink 900 GB/s both ways (H100, H200); InfiniBand NDR 400 Gb/s; 141 GB on an H200.
# computed: 30,000 images/s is the roofline of ResNet-18 at 224 px on it with eager kernels.
# assumed: 96 cores, 2 TB of memory, 28 TB of disks reading 20 GB/s together, 5 GB/s from an object
# store, 75 % of a link used, 10 us a hop, 5 GB/s copied by a process. measured: a core's decoding.
NODE = Cluster(
    nodes=1, gpus=8, images=30_000, cores=96, decoded=700, gather=5e9, memory=2e12, disk=28e12,
    disk_rate=20e9, network=5e9, rank_link=0.75 * 450e9, node_link=0.75 * 50e9, latency=10e-6,
    gpu_memory=141e9,
)  # fmt: skip
RESNET18 = 46.8e6  # bytes of its parameters in fp32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few and small steps")
    parser.add_argument("--to", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.measure:
        print(f"written: {write('scale', {'quick': given.quick}, measure(given.quick), given.to)}")
    found, content = points.kept(given.to)
    if found:
        cores = content["hardware"]["cores"]
        rows = [
            (c.processes, 1000 * c.measured, 1000 * c.predicted, 100 * c.error)
            for c in points.checked(found, cores)
        ]
        columns = ("processes", "measured ms a step", "predicted", "error %")
        show(f"Steps on {cores} cores, predicted from those of one process", columns, rows)
    node = measured_in(NODE, content.get("results", {}))
    show(
        "Making the store, hours", ("photographs", "GPUs", *decoding(node, work(1e6))), making(node)
    )
    columns = (
        "photographs",
        "GPUs",
        "compute",
        "read",
        "all-reduce",
        "evaluation",
        "whole",
        "limit",
    )
    show("An epoch, seconds", columns, epochs(node))
    show(
        "The same where each node has shards of its own",
        columns,
        epochs(replace(node, own_shards=True)),
    )


def measure(quick: bool) -> dict[str, Any]:
    """Measure what one core, one disk and a few processes do here."""
    steps = 40 if quick else 400
    with tempfile.TemporaryDirectory() as folder:
        rates = points.gathered(Path(folder), side=64 if quick else 224)
    processes = {count: partial(points.measured, count, steps=steps) for count in (1, 2, 4)}
    measured = rounds({str(count): each for count, each in processes.items()}, 1 if quick else 3)
    best = [min(each, key=lambda point: point.step_seconds)._asdict() for each in measured.values()]
    return {"decoded": points.decoded(20 if quick else 200), **rates, "points": best}


def measured_in(node: Cluster, results: dict[str, Any]) -> Cluster:
    """Put what one core decoded here in the place of what is assumed."""
    return replace(node, decoded=results.get("decoded", node.decoded))


def work(photographs: float) -> Work:
    """ResNet-18 at 224 px on files of 110 kB; evaluated are a fifth, at most two millions."""
    evaluated = min(0.2 * photographs, 2e6)
    return Work(photographs, 224, 110e3, RESNET18, 256, evaluated)


def making(node: Cluster) -> list[tuple[object, ...]]:
    """Rows of the table of decoding."""
    return [
        (
            f"{count:.0e}",
            8 * nodes,
            *(s / 3600 for s in decoding(replace(node, nodes=nodes), work(count)).values()),
        )
        for count in (1e6, 1e9)
        for nodes in (1, 8, 64)
    ]


def epochs(node: Cluster) -> list[tuple[object, ...]]:
    """Rows of the table of epochs."""
    rows: list[tuple[object, ...]] = []
    for count in (1e6, 1e9):
        for nodes in (1, 8, 64):
            one = epoch(replace(node, nodes=nodes), work(count))
            parts = one.compute, one.read, one.all_reduce, one.evaluation, one.seconds
            rows.append((f"{count:.0e}", 8 * nodes, *parts, one.limit))
    return rows


if __name__ == "__main__":
    main()
