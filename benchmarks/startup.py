"""Where a study's time goes besides training: start, decode, evaluation, maps, report.

    python -m benchmarks.startup [--study food101-20 --only resnet18/resnet2 --data PHOTOS]

Imports and answers of the command are measured in processes of their own. Then the study is
carried out as `bakeoff run` does, with a stopwatch on the functions of STAGES; each counts its own
time, not that of another stage within it. Aim: no stage but training above 5 % of a full study.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

from benchmarks import harness, studies

ANSWERS = {
    "import bakeoff": ["-c", "import bakeoff"],
    "--help": ["-m", "bakeoff", "--help"],
    "dry run": ["-m", "bakeoff", "run", "food101-20", "--dry-run"],
    "import what trains": ["-c", "import bakeoff.conduct"],
}
STAGES = {
    "check the photographs": "bakeoff.conduct.audit",
    "decode, or find decoded": "bakeoff.plan.load",
    "features of frozen parts": "bakeoff.features.cached",
    "evaluate": "bakeoff.run.predicted",
    "maps": "bakeoff.explain.keep.keep_run_maps",
    "Grad-CAM": "bakeoff.explain.keep.keep_cams",
    "report": "bakeoff.conduct.write",
    "hand over": "bakeoff.conduct.hand_over",
}


class Stopwatch:
    """Own seconds by stage: while one stage runs within another, only the inner one counts."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        """Begin with nothing measured; `clock` gives seconds."""
        self.seconds: dict[str, float] = {}
        self._clock, self._open, self._since = clock, [], 0.0

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        """Count the time inside for `stage`."""
        self._pass()
        self._open.append(stage)
        try:
            yield
        finally:
            self._pass()
            self._open.pop()

    def on(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its calls counted for `stage`."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.measuring(stage):
                return function(*args, **kwargs)

        return timed

    def _pass(self) -> None:
        now = self._clock()
        if self._open:
            stage = self._open[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    answers = {name: median(each) for name, each in answered(options.rounds).items()}
    with studies.fresh_cache():
        decoding = decoded(options.data, options.side)
    with studies.fresh_cache():
        stages = staged(options)
    total = sum(stages.values()) + answers["import what trains"]
    stages = {"import what trains": answers["import what trains"], **stages}
    shares = {name: seconds / total for name, seconds in stages.items()}
    harness.show("answers", ("", "seconds"), list(answers.items()))
    rows = [(name, stages[name], 100 * share) for name, share in shares.items()]
    harness.show(f"{options.study}: {total:.1f} s", ("", "seconds", "% of the study"), rows)
    print(f"decoded {decoding:,.0f} photographs a second at {options.side} px")
    results = {
        "answers": answers,
        "decoded_per_second": decoding,
        "seconds": stages,
        "shares": shares,
    }
    settings = {"study": options.study, "only": options.only, "set": options.set}
    print(harness.write("startup", settings, results, options.out))


def answered(num_rounds: int) -> dict[str, list[float]]:
    """Return the wall seconds of each of ANSWERS, by round."""

    def call(arguments: list[str]) -> float:
        began = perf_counter()
        command = [sys.executable, *arguments]
        subprocess.run(command, env=harness.environment(), check=True, stdout=subprocess.DEVNULL)
        return perf_counter() - began

    calls = {name: (lambda given=given: call(given)) for name, given in ANSWERS.items()}
    return harness.rounds(calls, num_rounds)


def decoded(source: str, side: int) -> float:
    """Return how many photographs a second are decoded into a fresh store."""
    from bakeoff.data.pixels import open_store
    from bakeoff.data.sources import find
    from bakeoff.data.spec import DataSpec

    photographs = find(DataSpec(source=source))
    began = perf_counter()
    open_store(photographs, side)
    return len(photographs) / (perf_counter() - began)


def staged(options: argparse.Namespace) -> dict[str, float]:
    """Carry out the study and report it; return the own seconds of each stage."""
    from rich.console import Console

    from bakeoff import conduct
    from bakeoff import study as asked
    from bakeoff.settings import Settings

    study = asked.read(options.study, [f"data.source={options.data}", *options.set])
    chosen = asked.runs(study, [name for name in options.only.split(",") if name], options.seeds)
    watch, quiet = Stopwatch(), Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for stage, place in STAGES.items():
            module, _, name = place.rpartition(".")
            function = getattr(importlib.import_module(module), name)
            stack.enter_context(mock.patch(place, watch.on(stage, function)))
        job = conduct.Job(study, Path(folder) / study.name, Settings(), quiet, quiet)
        with watch.measuring("train, and the rest"):
            if conduct.plan(job, chosen):
                raise SystemExit(f"a run of {study.name} failed")
    return watch.seconds


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="demo", help="a study file or a shipped study")
    parser.add_argument("--data", default="plates", help="photographs; drawn ones by default")
    parser.add_argument("--only", default="", help="as of bakeoff run")
    parser.add_argument("--set", action="append", default=[], help="as of bakeoff run")
    parser.add_argument("--seeds", type=int, help="as of bakeoff run")
    parser.add_argument("--side", type=int, default=224, help="pixels to decode to")
    parser.add_argument("--rounds", type=int, default=5, help="of imports and answers")
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.set, options.seeds = ["epochs=1", "data.per_class=20", *options.set], 1
        options.only, options.rounds, options.side = options.only or "silu", 1, 32
    return options


if __name__ == "__main__":
    main()
