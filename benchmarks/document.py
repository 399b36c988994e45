"""The tables of the documents, written from the newest JSON of each benchmark in results/.

    python -m benchmarks.document

A table stands between `<!-- table NAME -->` and `<!-- end -->`; what is around them is prose. With
`NAME on intel` it is the newest of processors whose name begins so. Where a benchmark has no
result, its table is the command that makes one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness

DOCUMENTS = tuple(harness.REPOSITORY / "docs" / name for name in ("performance.md", "recipes.md"))
BLOCK = re.compile(r"(<!-- table ([\w-]+(?: on \w+)?) -->\n).*?(<!-- end -->)", re.DOTALL)
COMMANDS = {
    "gpu-steps": "gpu", "gpu-epochs": "gpu", "gpu-study": "gpu",
    "peers-finetune": "peers", "peers-head": "peers", "peers-baseline": "peers",
    "peers-finetune-others": "peers --label others",
    "peers-baseline-whole": "peers --label whole", "peers-head-others": "peers --label others",
    "beyond-heads": "beyond heads", "beyond-resnet18": "beyond resnet18",
    "beyond-vgg16_bn": "beyond vgg16_bn", "beyond-small": "beyond small",
    "beyond-small-each": "beyond small --label each",
    "beyond-small-more": "beyond small --label more",
    "beyond-small-pools": "beyond small --label pools",
    "beyond-resnet18-each": "beyond resnet18 --label each",
    "beyond-resnet18-more": "beyond resnet18 --label more",
    "beyond-resnet18-growing": "beyond resnet18 --label growing",
    "contests-few-10m": "contests", "contests-five-10m": "contests",
    "contests-unbalanced-10m": "contests",
    "contests-unbalanced-10m-set": "contests --set class_weights=balanced",
}  # fmt: skip

Result = Mapping[str, Any]


def main() -> None:
    results = newest(harness.RESULTS)
    for document in DOCUMENTS:
        before = document.read_text(encoding="utf-8")
        document.write_text(written(before, results), encoding="utf-8")
        print(document)


def newest(folder: Path) -> dict[str, Result]:
    """Return the newest result of every benchmark, by name and by `name on maker`."""
    found: dict[str, Result] = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        name = content.get("benchmark", "") if isinstance(content, dict) else ""
        if name not in TABLES:
            continue
        maker = re.split(r"\W", content["hardware"]["processor"].lower())[0]
        for key in (name, f"{name} on {maker}"):
            if content["date"] >= found.get(key, {}).get("date", ""):
                found[key] = content
    return found


def written(text: str, results: Mapping[str, Result]) -> str:
    """Return `text` with every table written anew."""
    return BLOCK.sub(lambda block: block[1] + _block(block[2], results) + block[3], text)


def _block(name: str, results: Mapping[str, Result]) -> str:
    benchmark = name.split(" on ", maxsplit=1)[0]
    if name not in results:
        return f"Not measured yet: `python -m benchmarks.{COMMANDS.get(benchmark, benchmark)}`.\n"
    result = results[name]
    machine = result["hardware"]
    where = (
        ", ".join(machine["accelerators"]) or f"{machine['cores']} cores, {machine['processor']}"
    )
    said = f"{where}, torch {result['versions']['torch']}, {result['date']}: `{result['command']}`"
    return "\n".join([*_lines(*TABLES[benchmark](result["results"])), "", said]) + "\n"


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|---" + "|---:" * (len(columns) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(map(_said, row)) + " |"


def _said(value: object) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else (f"{value:,.0f}" if isinstance(value, float) else str(value))
    )


def _profile(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    stages = tuple(next(iter(results.values()))["share"])
    rows = (
        [
            net,
            *(f"{100 * found['share'][stage]:.1f}" for stage in stages),
            f"{100 * sum(own for name, own in found['operators'].items() if 'convol' in name):.0f}",
            found["rate"],
        ]
        for net, found in results.items()
    )
    return ("% of an epoch", *stages, "convolutions", "photographs/s"), rows


def _gains(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    rungs = tuple(next(iter(results.values())))
    rows = []
    for net, found in results.items():
        cells = [
            f"{found[r]['rate']:.3g} (×{found[r]['gain']:.2f}, expected ×{found[r]['expected']:g})"
            for r in rungs[1:]
        ]
        rows.append([net, found[rungs[0]]["rate"], *cells])
    return ("images/s", *rungs), rows


def _step(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    keys = ("bare", "ours", "beyond", "share")
    columns = ("", "bare µs a step", "ours", "beyond the bare, µs", "share of the bare throughput")
    return columns, ([name, *(found[key] for key in keys)] for name, found in results.items())


def _peers(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    rows = (
        [
            name,
            found["seconds"],
            found["times_ours"],
            f"{100 * found['accuracy']:.1f}",
            found.get("pace"),
        ]
        for name, found in results.items()
    )
    return ("", "seconds", "× bakeoff's", "validation accuracy, %", "pace, ms"), rows


def _heads(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    row = [f"{results['runs']} heads", results["one"], results["all"], results["price"]]
    return ("", "one, seconds", "all, seconds", "all, in times of one"), [row]


def _memory(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    peak = results["peak"]
    row = [f"{results['photographs']:,} photographs", peak["beyond_page_cache"], peak["page_cache"]]
    return ("peak, megabytes", "beyond page cache", "page cache"), [row]


def _startup(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    rows = (
        [name, seconds, f"{100 * results['shares'][name]:.1f}"]
        for name, seconds in results["seconds"].items()
    )
    return ("", "seconds", "% of the study"), rows


def _gpu(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    ways = tuple(dict.fromkeys(w for found in results.values() for w in found["images_per_second"]))
    rows = []
    for name, found in results.items():
        rates, shares = found["images_per_second"], found["share_of_roofline"]
        cells = (
            None if rates.get(way) is None else f"{rates[way]:,.0f} ({shares[way]:.2f})"
            for way in ways
        )
        rows.append([name, *cells])
    return ("images/s (share of the fused roofline)", *ways), rows


def _study(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    return ("", "minutes"), [["food101-20, whole", results["seconds"] / 60]]


def _beyond(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    columns = ("", "n", "test %, ± over seeds", "points, 95 %", "", "train %", "minutes a run")
    rows = []
    for name, found in results.items():
        spread = found["test_accuracy_spread"]
        more = "" if spread is None else f" ± {100 * spread:.1f}"
        rows.append([
            name,
            int(found["n"]),
            f"{100 * found['test_accuracy']:.1f}{more}",
            _interval(found.get("difference"), found.get("low"), found.get("high")),
            found.get("verdict", "base"),
            f"{100 * found['train_accuracy']:.1f}",
            f"{found['seconds'] / 60:.1f}",
        ])  # fmt: skip
    return columns, rows


def _contests(results: Result) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    rows = []
    for name, found in results.items():
        if "error" in found:
            rows.append([name, *[None] * 5])
            continue
        lead = found.get("lead", {})
        rows.append([
            name,
            f"{found['seconds'] / 60:.1f}",
            found["epochs"],
            f"{100 * found['accuracy']:.1f}",
            f"{100 * found['proportional_accuracy']:.1f}",
            _interval(lead.get("accuracy"), *lead.get("interval", (None, None))),
        ])  # fmt: skip
    columns = ("", "minutes", "epochs", "test %", "classes as in the folder, %")
    return (*columns, "bakeoff's lead in points, 95 %"), rows


def _interval(middle: float | None, low: float | None, high: float | None) -> str | None:
    if middle is None:
        return None
    ends = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * middle:+.1f}{ends}"


TABLES: dict[str, Callable[[Result], tuple[Sequence[str], Iterable[Sequence[object]]]]] = {
    "profile": _profile,
    "gains": _gains,
    "step": _step,
    "peers-finetune": _peers,
    "peers-finetune-others": _peers,
    "peers-head": _peers,
    "peers-head-others": _peers,
    "peers-baseline": _peers,
    "peers-baseline-whole": _peers,
    "heads": _heads,
    "memory": _memory,
    "startup": _startup,
    "gpu-steps": _gpu,
    "gpu-epochs": _gpu,
    "gpu-study": _study,
    "beyond-heads": _beyond,
    "beyond-resnet18": _beyond,
    "beyond-resnet18-each": _beyond,
    "beyond-resnet18-more": _beyond,
    "beyond-resnet18-growing": _beyond,
    "beyond-vgg16_bn": _beyond,
    "beyond-small": _beyond,
    "beyond-small-each": _beyond,
    "beyond-small-more": _beyond,
    "beyond-small-pools": _beyond,
    "contests-few-10m": _contests,
    "contests-five-10m": _contests,
    "contests-unbalanced-10m": _contests,
    "contests-unbalanced-10m-set": _contests,
}


if __name__ == "__main__":
    main()
