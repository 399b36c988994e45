"""The measured side: one core's decoding, a disk, a copy, and steps of 1, 2 and 4 processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import RESULTS
from benchmarks.scale.model import ring, step

FIELDS = ("processes", "step_seconds", "allreduce_seconds", "parameter_bytes")


class Point(NamedTuple):
    """Steps of so many processes on one machine, an all-reduce after each computation."""

    processes: int
    step_seconds: float
    allreduce_seconds: float
    parameter_bytes: float
    images_per_second: float


class Checked(NamedTuple):
    """A measured step and the one that was predicted without looking at it."""

    processes: int
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1


def checked(points: list[Point], cores: int) -> list[Checked]:
    """Predict the steps of all points but the first from that one and the all-reduce of the second.

    From one process comes the computation, from two of them the rate of the link.
    """
    first, second, *_ = sorted(points)
    rate = first.parameter_bytes / max(second.allreduce_seconds, 1e-9)
    return [
        Checked(
            point.processes,
            point.step_seconds,
            step(
                cores,
                point.processes,
                first.step_seconds,
                ring(point.processes, point.parameter_bytes, rate, 0.0),
            ),
        )
        for point in sorted(points)[1:]
    ]


def kept(folder: Path = RESULTS) -> tuple[list[Point], dict[str, Any]]:
    """Read the newest points in `folder`, and what else that file measured; none where none are.

    Those of `ranks` are no such points: there the total batch is the same, here each process's.
    """
    for file in sorted(folder.glob("scale-*.json"), key=lambda file: file.stem[-10:], reverse=True):
        content = json.loads(file.read_text(encoding="utf-8"))
        found = {point.processes: point for point in _points(content)}
        if len(found) >= 2 and 1 in found:
            return list(found.values()), content
    return [], {}


def _points(content: Any) -> Iterator[Point]:
    if isinstance(content, dict):
        if all(isinstance(content.get(name), int | float) for name in FIELDS):
            images = float(content.get("images_per_second", 0))
            yield Point(*(content[name] for name in FIELDS), images)
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _points(each)


def measured(processes: int, *, steps: int, batch: int = 16, side: int = 32) -> Point:
    """Time short steps of a small net in so many processes of one thread, joined by gloo.

    The twentieth part that went fastest counts: the others met something else on the machine.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        place, results = f"file://{folder}/meet", context.Queue()
        arguments = [
            (rank, processes, place, batch, side, steps, results) for rank in range(processes)
        ]
        running = [context.Process(target=_rank, args=each) for each in arguments]
        for each in running:
            each.start()
        whole, reduced, size = results.get(timeout=300)
        for each in running:
            each.join()
    return Point(processes, whole, reduced, size, processes * batch / whole)


def _rank(
    rank: int, count: int, place: str, batch: int, side: int, steps: int, results: Any
) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=count)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(64 * (side // 4) ** 2, 256),
    )
    images, labels = torch.randn(batch, 3, side, side), torch.zeros(batch, dtype=torch.int64)
    whole, reduced = [], []
    for _ in range(steps + 2):
        distributed.barrier()
        began = time.perf_counter()
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        flat = torch.cat([p.grad.reshape(-1) for p in net.parameters() if p.grad is not None])
        distributed.barrier()
        between = time.perf_counter()
        if count > 1:
            distributed.all_reduce(flat)
        ended = time.perf_counter()
        whole.append(ended - began)
        reduced.append(ended - between)
    if rank == 0:
        best = sorted(range(2, steps + 2), key=lambda number: whole[number])[: max(1, steps // 20)]
        typical = best[len(best) // 2]
        results.put((whole[typical], reduced[typical] if count > 1 else 0.0, flat.nbytes))
    distributed.destroy_process_group()


def decoded(count: int = 200, *, size: tuple[int, int] = (512, 384), side: int = 224) -> float:
    """Return photographs that a core decodes to square and look in a second of its own time."""
    from PIL import Image

    from bakeoff.data import plates
    from bakeoff.data.decode import decode
    from bakeoff.data.squares import look, square

    picture, buffer = Image.fromarray(plates.draw("plates:pizza/1", size[0])), BytesIO()
    picture.crop((0, 0, *size)).save(buffer, "JPEG", quality=90)
    began = time.process_time()
    for _ in range(count):
        image = decode(buffer.getvalue(), suffix=".jpg").image
        square(image, side)
        look(image)
    return count / (time.process_time() - began)


def gathered(
    folder: Path, *, side: int = 224, shards: int = 4, count: int = 256
) -> dict[str, float]:
    """Return bytes a second: of a shard read from disk, of batches copied out of mapped ones."""
    from bakeoff.data.window import Shards

    for number in range(shards):
        np.save(
            folder / f"pixels-{number:05d}.npy", np.full((count, side, side, 3), number, np.uint8)
        )
    cold = folder / "pixels-00000.npy"
    with cold.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # forget what of it lies in memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        size = sum(len(part) for part in iter(lambda: file.read(2**23), b""))
        disk = size / (time.perf_counter() - began)
    store = Shards(str(folder), folder, [count] * shards, side, 10**6)
    rows = np.random.default_rng(0).permutation(len(store))
    copy = []
    for _ in range(3):
        began = time.thread_time()
        for batch in np.array_split(rows, len(rows) // 32):
            store[batch]
        copy.append(len(rows) * side * side * 3 / (time.thread_time() - began))
    return {"disk": disk, "gather": max(copy)}
