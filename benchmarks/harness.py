"""What every benchmark does: rounds that interleave, medians, ratios, facts, and a JSON file.

Machines are shared and drift. So whatever is compared is measured in turn, round after round, the
order reversed in every other one, and a ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

Measured = TypeVar("Measured")

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("bakeoff", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")


def rounds(
    contenders: Mapping[str, Callable[[], Measured]], count: int
) -> dict[str, list[Measured]]:
    """Measure every contender `count` times in turn; return name -> what was measured, by round."""
    measured: dict[str, list[Measured]] = {name: [] for name in contenders}
    for number in range(count):
        for name in in_turn(tuple(contenders), number):
            measured[name].append(contenders[name]())
    return measured


def in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    """Return `names` in the order of round `number`: forwards, then backwards."""
    return names[::-1] if number % 2 else names


def ratio(numerators: Iterable[float], denominators: Iterable[float]) -> float:
    """Return the median of the ratios within each round."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def hardware() -> dict[str, Any]:
    """Describe the machine without naming it: processor, cores, memory and accelerator."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "gigabytes": round(pages / 2**30),
        "accelerators": gpus,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the installed versions of those `packages` that are there, and Python's."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def command(arguments: Sequence[str] | None = None) -> str:
    """Return the command under way as others can repeat it: of paths only the last part."""
    path = Path(sys.argv[0])
    module = path.parent.name if path.stem == "__main__" else path.stem
    given = sys.argv[1:] if arguments is None else arguments
    return f"python -m benchmarks.{module} {shlex.join(map(_shown, given))}".rstrip()


def _shown(text: str) -> str:
    """Shorten a path to its last part, also as the value of a field: `table/weights=FILE`."""
    named = "=" in text and not Path(text).is_absolute()
    field, mark, value = text.partition("=") if named else ("", "", text)
    return field + mark + (Path(value).name if os.sep in value else value)


def write(name: str, settings: Mapping[str, Any], results: Mapping[str, Any], to: Path) -> Path:
    """Write `<name>-<hardware>-<date>.json` into the folder `to`, with all that a reader needs."""
    machine, today = hardware(), date.today().isoformat()
    content = {
        "benchmark": name,
        "command": command(),
        "date": today,
        "hardware": machine,
        "versions": versions(),
        "settings": settings,
        "results": results,
    }
    chip = machine["accelerators"][0] if machine["accelerators"] else machine["processor"]
    kind = re.sub(r"[^a-z0-9]+", "-", f"{machine['cores']} cores {chip}".lower()).strip("-")
    path = to / f"{name}-{kind}-{today}.json"
    to.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: text to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_said(value) for value in row))
    Console(width=max(100, Console().width)).print(table)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: this one, with the repository's modules importable."""
    places = [str(REPOSITORY), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(place for place in places if place)
    return {**os.environ, "PYTHONPATH": path, **more}


def _said(value: object) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else (f"{value:,.0f}" if isinstance(value, float) else str(value))
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
