"""From a folder of photographs to a trained model: bakeoff against the peers, end to end.

    python -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/requirements-peers.txt
    python -m benchmarks.peers --data PHOTOS

Every training is a process of its own, from its start to the model on disk. All get the same files,
net, start weights, epochs, batch and optimiser (benchmarks/jobs.py); a peer runs its documented
script (benchmarks/contenders/), and again with bf16, channels-last and loader workers where it
offers them: `fast`. The accuracies, measured by one rule for all, say whether the work was equal.
`pace` is the milliseconds of a fixed step right before and after: where it differs, so did the
machine, and the seconds do not compare.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.contenders import CONTENDERS
from benchmarks.jobs import JOBS, QUICK, Job, accuracy, prepare

OURS = "bakeoff"
CACHES = {"BAKEOFF_CACHE": "bakeoff", "HF_HOME": "huggingface"}
EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")


@dataclass(frozen=True)
class Contender:
    """A project by name, with its fast switches on or as its script has them."""

    name: str
    fast: bool = False

    def __str__(self) -> str:
        """Say it as `--only` takes it."""
        return f"{self.name} fast" if self.fast else self.name


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    jobs, contenders = chosen([name for name in options.only.split(",") if name])
    kept = {name: value for name, value in vars(options).items() if name in ("rounds", "quick")}
    for job in jobs:
        with tempfile.TemporaryDirectory() as work:
            sized = _sized(job, options)
            prepared = prepare(sized, options.data, options.weights, Path(work))
            measured = _measured(prepared, contenders, options, Path(work))
        results = summary(measured)
        _show(job.name, results)
        settings = {**kept, "job": _facts(sized)}
        title = "-".join(filter(None, ("peers", job.name, options.label)))
        print(harness.write(title, settings, results, options.out))


def chosen(only: Sequence[str]) -> tuple[list[Job], list[Contender]]:
    """Return the jobs and contenders that `only` names (all of a kind it names none of)."""
    contenders = [Contender(OURS)]
    contenders += [Contender(n, fast) for n in CONTENDERS if n != OURS for fast in (False, True)]
    known = {*JOBS, *CONTENDERS, *map(str, contenders)}
    if unknown := [name for name in only if name not in known]:
        raise SystemExit(f"--only: there is no {unknown[0]}; there are: {', '.join(sorted(known))}")
    jobs = [job for name, job in JOBS.items() if name in only] or list(JOBS.values())
    some = [each for each in contenders if each.name in only or str(each) in only]
    return jobs, some or contenders


def trained(contender: Contender, job: Job, work: Path, python: str) -> dict[str, Any]:
    """Train `job` in a fresh process with caches of its own; return its seconds and accuracy."""
    from safetensors.torch import load_file

    peer = contender.name != OURS
    epochs = (job.peer_epochs or job.epochs) if peer else job.epochs
    given = replace(job, fast=contender.fast, epochs=epochs)
    with tempfile.TemporaryDirectory(dir=work) as place:
        folder = Path(place)
        (folder / "job.json").write_text(json.dumps(asdict(given)), encoding="utf-8")
        call = [python if peer else sys.executable, "-m", "benchmarks.contenders", contender.name]
        done = alone([*call, str(folder / "job.json"), place, str(time.time())], folder)
        if done.returncode:
            return {"error": reason(done.stderr)}
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        reached = accuracy(job, load_file(folder / "model.safetensors"))
    return {**scaled(result["seconds"], epochs, job.epochs), "accuracy": reached, **result}


def alone(call: Sequence[str], folder: Path, lines: str = "") -> subprocess.CompletedProcess[str]:
    """Run `call` in `folder`, with caches of its own there and `lines` to read; it may fail.

    What is temporary lies at a short path: loader workers open sockets there, whose names hold
    about 100 letters, and wait for ever where one is longer.
    """
    caches = {name: str(folder / below) for name, below in CACHES.items()}
    with tempfile.TemporaryDirectory() as temporary:
        return subprocess.run(
            call,
            cwd=folder,
            env=harness.environment(**caches, TMPDIR=temporary, HF_HUB_OFFLINE="1"),
            input=lines,
            capture_output=True,
            text=True,
            check=False,
        )


def reason(stderr: str) -> str:
    """Return the line that says why a process failed: the exception's, or else the last."""
    lines = stderr.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if EXCEPTION.match(line)), lines[-1])


def scaled(seconds: Mapping[str, float], measured_epochs: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of the whole job where only `measured_epochs` of it were trained.

    A peer's epochs cost the same each, so that only its `train` phase grows.
    """
    more = seconds["train"] * (epochs / measured_epochs - 1)
    return {
        "total": sum(seconds.values()) + more,
        "extrapolated": measured_epochs != epochs,
        "measured_epochs": measured_epochs,
    }


def summary(measured: Mapping[Contender, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return medians and ratios to bakeoff, with every round behind them."""
    ours = measured.get(Contender(OURS), ())
    return {
        str(contender): dict(_medians(results, ours), rounds=list(results))
        for contender, results in measured.items()
    }


def _medians(
    results: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    if errors := [result["error"] for result in results if "error" in result]:
        yield "error", errors[0]
        return
    yield "seconds", median(result["total"] for result in results)
    phases = results[0]["seconds"]
    yield "phases", {name: median(result["seconds"][name] for result in results) for name in phases}
    yield "accuracy", median(result["accuracy"] for result in results)
    yield "pace", median(each for result in results for each in result["pace"])
    yield "extrapolated", any(result["extrapolated"] for result in results)
    if ours and not any("error" in result for result in ours):
        totals = [[result["total"] for result in each] for each in (results, ours)]
        yield "times_ours", harness.ratio(*totals)


def _measured(
    job: Job, contenders: Sequence[Contender], options: argparse.Namespace, work: Path
) -> dict[Contender, list[dict[str, Any]]]:
    from bakeoff import machine
    from benchmarks import bare

    machine.keep_memory()

    def measure(contender: Contender) -> dict[str, Any]:
        before = bare.pace()
        result = trained(contender, job, work, options.peers_python)
        pace = before, bare.pace()
        said = result.get("error") or "{:.1f} s, pace {:.0f} and {:.0f} ms".format(
            result["total"], *pace
        )
        print(f"{job.name}: {contender}: {said}", file=sys.stderr, flush=True)
        return {**result, "pace": pace}

    calls = {contender: partial(measure, contender) for contender in contenders}
    return harness.rounds(calls, options.rounds)


def _sized(job: Job, options: argparse.Namespace) -> Job:
    changes: dict[str, Any] = dict(QUICK) if options.quick else {}
    asked = {
        "num_images": options.photographs,
        "epochs": options.epochs,
        "peer_epochs": options.peer_epochs,
        "workers": options.workers,
    }
    return replace(job, **changes | {name: n for name, n in asked.items() if n is not None})


def _facts(job: Job) -> dict[str, Any]:
    unsaid = ("photographs", "start", "num_classes", "fast")
    return {name: value for name, value in asdict(job).items() if name not in unsaid}


def _show(title: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    columns = ("contender", "seconds", "× bakeoff", "validation %", "pace, ms", "")
    rows = [
        (
            name,
            result.get("seconds"),
            result.get("times_ours"),
            100 * result["accuracy"] if "accuracy" in result else None,
            result.get("pace"),
            result["error"][:60] if "error" in result else "extrapolated" * result["extrapolated"],
        )
        for name, result in results.items()
    ]
    harness.show(title, columns, rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="plates", help="photographs; drawn ones by default")
    parser.add_argument("--weights", default="imagenet", help="of ResNet-18: imagenet or a file")
    parser.add_argument("--only", default="", help="jobs and contenders, comma-separated")
    parser.add_argument("--photographs", type=int, help="to train on, instead of the job's number")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--peer-epochs", type=int, help="measured of a peer, then extrapolated")
    parser.add_argument("--workers", type=int, help="of the peers' loaders, not their defaults")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--label", default="", help="part of the result's name, beside others")
    parser.add_argument("--peers-python", default=".venv-peers/bin/python")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    options.peers_python = str(Path(options.peers_python).absolute())
    options.rounds = 1 if options.quick else options.rounds
    if Path(options.weights).is_file():
        options.weights = str(Path(options.weights).absolute())
    return options


if __name__ == "__main__":
    main()
