"""Memory of a whole `bakeoff run` beyond page cache, for 20,000 photographs at 224 px.

    python -m benchmarks.memory --data PHOTOS

The pixels lie in a memory map: what of it is resident is page cache, which the system takes back
when it needs it. So what counts is anonymous and shared memory, of the command and its children,
read from /proc while it decodes, trains ResNet-18 on a share of the photographs, evaluates on all
that are not for training, and reports. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import harness, studies

SECONDS_BETWEEN_SAMPLES = 0.2
FIELDS = {"anonymous": "RssAnon", "shared": "RssShmem", "page_cache": "RssFile"}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if not Path("/proc/self/status").is_file():
        print("Memory is read from /proc, which this system does not have; nothing was measured.")
        return
    data = {"source": options.data}
    if options.data == "plates":
        data = studies.drawn(options.photographs)
    recipe = {"model": "resnet18", "size": options.size, "epochs": 1, "batch": 32}
    results = peaks({**recipe, "train_share": options.train_share}, data)
    columns = ("", "peak, megabytes")
    harness.show(f"{results['photographs']} photographs", columns, list(results["peak"].items()))
    settings = {"size": options.size, "train_share": options.train_share}
    print(harness.write("memory", settings, results, options.out))


def peaks(recipe: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Run a study of `recipe` as a command; return its peaks in megabytes and what it read."""
    study = studies.study(recipe, data)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "measured.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "bakeoff", "run", "measured.yaml", "--offline"],
                cwd=folder,
                env=harness.environment(BAKEOFF_CACHE=str(folder / "cache")),
                stdout=log,
                stderr=log,
            )
            highest = _watched(child)
        if child.returncode:
            raise SystemExit((folder / "log").read_text(encoding="utf-8")[-2000:])
        run = json.loads((folder / "runs/measured/table/base/seed-0/run.json").read_text())
    counts = run["data"]["counts"]
    return {"photographs": sum(counts.values()), "counts": counts, "peak": highest}


def sampled(pid: int) -> dict[str, float]:
    """Return the megabytes of a process and its children now, by kind; zero for what has ended.

    `beyond_page_cache` is anonymous plus shared; `smaps_anonymous` is the kernel's other count.
    """
    total = dict.fromkeys((*FIELDS, "smaps_anonymous"), 0.0)
    for each in _family(pid):
        status = _fields(Path(f"/proc/{each}/status"))
        for name, field in FIELDS.items():
            total[name] += status.get(field, 0.0)
        total["smaps_anonymous"] += _fields(Path(f"/proc/{each}/smaps_rollup")).get("Anonymous", 0)
    return {"beyond_page_cache": total["anonymous"] + total["shared"], **total}


def _watched(child: subprocess.Popen[bytes]) -> dict[str, float]:
    """Sample until the child ends; return the highest of each kind."""
    highest: dict[str, float] = {}
    while child.poll() is None:
        now = sampled(child.pid)
        highest = {name: max(value, highest.get(name, 0.0)) for name, value in now.items()}
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    return highest


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _fields(path: Path) -> dict[str, float]:
    """Read `Name:  1234 kB` lines as megabytes; nothing of a process that has ended."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    parts = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) / 1024 for words in parts if len(words) == 3}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="plates", help="photographs; drawn ones by default")
    parser.add_argument("--photographs", type=int, default=20_000, help="how many to draw")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--train-share", type=float, default=0.1)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.photographs, options.size, options.train_share = 700, 32, 1.0
    return options


if __name__ == "__main__":
    main()
