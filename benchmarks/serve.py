"""How long `bakeoff serve` takes to answer, and what its batching spares.

    python -m benchmarks.serve [--model resnet18] [--requests 200] [--connections 8]

A server of its own is started on loopback, with a net of drawn weights: what it says does not
matter. JPEGs of noise are sent one a request, over so many connections at once, each kept open; the
same requests over one connection, one after another, stand beside them. An error ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import harness

PATIENCE = 600  # seconds
CLASSES = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--side", type=int, default=512, help="of the photographs sent, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small net, one round")
    parser.add_argument("--results", type=Path, default=harness.RESULTS)
    given = parser.parse_args(arguments)
    if given.quick:
        given.model, given.rounds, given.side = "baseline", 1, 64
    with tempfile.TemporaryDirectory() as folder:
        model = drawn_model(Path(folder) / "model", given.model)
        with served(model, Path(folder)) as url:
            photographs = [jpeg(given.side, seed) for seed in range(16)]
            asyncio.run(flood(url, photographs, 16, 2))  # the first passes are slower
            ways = {"at once": given.connections, "one by one": 1}
            contenders = {
                name: (lambda many=many: asyncio.run(flood(url, photographs, given.requests, many)))
                for name, many in ways.items()
            }
            measured = harness.rounds(contenders, given.rounds)
    told = {name: summary(rounds) for name, rounds in measured.items()}
    speedup = harness.ratio(
        [one["seconds"] for one in measured["one by one"]],
        [one["seconds"] for one in measured["at once"]],
    )
    settings = {name: getattr(given, name) for name in ("model", "requests", "connections", "side")}
    results = {**told, "times_the_requests_a_second": speedup, "rounds": measured, "errors": 0}
    columns = ("", "p50 ms", "p95 ms", "p99 ms", "requests/s", "photographs/pass")
    rows = [(name, *(one[column] for column in FIGURES)) for name, one in told.items()]
    harness.show(f"{given.requests} requests, {given.connections} connections", columns, rows)
    print(f"at once: {speedup:.2f} times the requests a second of one by one; no error")
    print(harness.write("serve", settings, results, given.results))


FIGURES = (
    "p50_milliseconds", "p95_milliseconds", "p99_milliseconds", "requests_per_second",
    "photographs_per_pass",
)  # fmt: skip


def drawn_model(folder: Path, name: str) -> Path:
    """Write a model folder with drawn weights."""
    from bakeoff.models import folder as models
    from bakeoff.models import zoo
    from bakeoff.recipe import parse

    small = {"size": 32, "net": {"width": 4, "padding": 1}} if name == "baseline" else {}
    recipe = parse({"model": name, "weights": "none", **small})
    classes = [f"class {number}" for number in range(CLASSES)]
    models.write(folder, zoo.build(recipe, CLASSES), recipe, classes)
    return folder


@contextmanager
def served(model: Path, folder: Path) -> Iterator[str]:
    """Start a server, give its address, and end it."""
    call = [sys.executable, "-m", "bakeoff", "serve", str(model), "--port", "0"]
    environment = harness.environment(BAKEOFF_CACHE=str(folder / "cache"))
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield next(line for line in process.stdout if line.startswith("http")).split()[0]
        finally:
            process.send_signal(signal.SIGINT)


def jpeg(side: int, seed: int) -> bytes:
    """Draw a photograph of smooth noise."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


async def flood(
    url: str, photographs: Sequence[bytes], requests: int, connections: int
) -> dict[str, Any]:
    """Send `requests` over `connections`; return seconds, each latency, and forward passes."""
    import httpx

    waiting = iter(range(requests))
    latencies: list[float] = []

    async def one_after_another() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
            for number in waiting:
                photograph = photographs[number % len(photographs)]
                began = perf_counter()
                answer = await client.post(
                    "/api/predict", files={"photographs": ("x.jpg", photograph)}
                )
                latencies.append(perf_counter() - began)
                answer.raise_for_status()

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        before = (await client.get("/api/models")).json()[0]
        began = perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(connections)))
        seconds = perf_counter() - began
        after = (await client.get("/api/models")).json()[0]
    assert len(latencies) == after["photographs"] - before["photographs"] == requests
    passes = after["passes"] - before["passes"]
    return {"seconds": seconds, "latencies": latencies, "passes": passes}


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return percentiles of all latencies, requests a second, and photographs a forward pass."""
    import numpy as np

    every = np.concatenate([one["latencies"] for one in rounds])
    middle, late, last = 1000 * np.percentile(every, (50, 95, 99))
    seconds = sum(one["seconds"] for one in rounds)
    values = (
        middle,
        late,
        last,
        len(every) / seconds,
        len(every) / sum(r["passes"] for r in rounds),
    )
    return {name: float(value) for name, value in zip(FIGURES, values, strict=True)}


if __name__ == "__main__":
    main()
