"""`bakeoff train` on a folder against the peers' own defaults in the same time: who predicts best?

    python -m benchmarks.contests --data FOOD101 --weights RESNET18.safetensors --minutes 10

Three data sets (benchmarks/sets.py), each a folder of class folders. Every contender gets the
folder, the same start weights and so many minutes, from the start of its process to its end with
the model on disk; a peer (benchmarks/defaults/) trains one epoch first, outside this time, and then
as many as fit. All are judged by the same photographs, which none was given. What is measured is
written after every contender.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import entries, harness, sets
from benchmarks.defaults import DEFAULTS, Task
from benchmarks.peers import OURS

CONTENDERS = (OURS, *DEFAULTS)
TOLERANCE = 1.1  # of the time given; beyond it a contender is marked
MACHINE = ("processor", "cores", "accelerators")

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    for name in options.sets:
        with tempfile.TemporaryDirectory() as place:
            print(contest(name, options, Path(place)))


def contest(name: str, options: argparse.Namespace, place: Path) -> Path:
    """Let the contenders train on one data set in turn; return the file of results."""
    counts = (sets.QUICK if options.quick else sets.SETS)[name]
    per_class = sets.QUICK_TEST if options.quick else None
    drawn = sets.draw(options.data, counts, place / "photographs", options.seed, per_class)
    _read_once(drawn)
    settings = {
        "minutes": options.minutes,
        "seed": options.seed,
        "weights": Path(options.weights).name,
        "photographs": drawn.counts,
        "test": len(drawn.test),
        **({"set": options.set} if options.set else {}),
    }
    title = f"contests-{name}-{options.minutes:g}m" + "-quick" * options.quick
    title += f"-seed{options.seed}" * (options.seed != 0) + "-set" * bool(options.set)
    results = earlier(title, settings, options.out)
    for contender in options.contenders:
        if options.resume and "accuracy" in results.get(contender, {}):
            continue
        folder = place / contender
        folder.mkdir()
        results[contender] = _held(contender, drawn, options, folder)
        said = results[contender].get("error") or f"{100 * results[contender]['accuracy']:.1f} %"
        print(f"{name}: {contender}: {said}", file=sys.stderr, flush=True)
        harness.write(title, settings, compared(results, drawn), options.out)
    path = harness.write(title, settings, compared(results, drawn), options.out)
    _show(f"{name}, {options.minutes:g} minutes, {len(drawn.test)} test", compared(results, drawn))
    return path


def earlier(title: str, settings: Mapping[str, Any], out: Path) -> dict[str, Result]:
    """Return what the newest file of this contest on this machine has, by contender.

    SystemExit where it was held with other settings, rather than that it is written over.
    """
    machine = harness.hardware()
    newest: tuple[str, Path, dict[str, Any]] | None = None
    for path in out.glob(f"{title}-*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        here = all(content["hardware"][key] == machine[key] for key in MACHINE)
        if content["benchmark"] == title and here and (not newest or content["date"] > newest[0]):
            newest = content["date"], path, content
    if newest is None:
        return {}
    _, path, content = newest
    if content["settings"] != settings:
        raise SystemExit(f"{path} was held with other settings: move it, or give another --out")
    return dict(content["results"])


def judged(answers: Sequence[str], test: Sequence[tuple[str, str]]) -> Result:
    """Return top-1 and balanced accuracy (0..1) of the class names answered, and the right ones."""
    from sklearn.metrics import balanced_accuracy_score

    from bakeoff.evidence.calibration import binomial_interval

    truth = [label for _, label in test]
    right = [answer == label for answer, label in zip(answers, truth, strict=True)]
    return {
        "accuracy": sum(right) / len(right),
        "interval": list(asdict(binomial_interval(sum(right), len(right))).values()),
        "balanced_accuracy": float(balanced_accuracy_score(truth, answers)),
        "test": len(right),
        "right": "".join(str(int(each)) for each in right),
    }


def compared(results: Mapping[str, Result], drawn: sets.Drawn) -> dict[str, Result]:
    """Return the results as figures of the test, those of peers with bakeoff's lead over them.

    The test has as many photographs of every class. `proportional_accuracy` weighs them as the
    folder has them: what to expect where rare classes stay rare.
    """
    ours = results.get(OURS, {})
    found = {}
    for contender, result in results.items():
        lead = _lead(result, ours) if contender != OURS else {}
        found[contender] = {**result, **_proportional(result, drawn), **lead}
    return found


def _proportional(result: Result, drawn: sets.Drawn) -> Result:
    if "right" not in result:
        return {}
    right: dict[str, list[bool]] = {}
    for (_, label), each in zip(drawn.test, result["right"], strict=True):
        right.setdefault(label, []).append(each == "1")
    weighed = (drawn.counts[label] * sum(each) / len(each) for label, each in right.items())
    return {"proportional_accuracy": sum(weighed) / sum(drawn.counts.values())}


def _lead(peer: Result, ours: Result) -> Result:
    import numpy as np

    from bakeoff.evidence.images import mcnemar, photograph_interval

    if "right" not in peer or "right" not in ours:
        return {}
    theirs, own = (np.array([each == "1" for each in one["right"]]) for one in (peer, ours))
    test = asdict(mcnemar(theirs, own))
    interval = list(asdict(photograph_interval(theirs[None], own[None])).values())
    return {"lead": {"accuracy": ours["accuracy"] - peer["accuracy"], "interval": interval} | test}


def _held(contender: str, drawn: sets.Drawn, options: argparse.Namespace, folder: Path) -> Result:
    """Train and judge one contender; what went wrong is its `error`."""
    task = Task(str(drawn.folder), options.weights, epochs=1, seed=options.seed)
    seconds, photographs = 60 * options.minutes, [path for path, _ in drawn.test]
    try:
        if contender == OURS:
            result, answers = entries.ours(task, seconds, folder, photographs, options.set)
        else:
            python = options.peers_python
            result, answers = entries.peer(contender, task, seconds, folder, photographs, python)
        reached = judged(answers, drawn.test)
    except (RuntimeError, OSError, ValueError) as error:
        return {"error": str(error), "date": date.today().isoformat()}
    within = result["seconds"] <= TOLERANCE * seconds
    return {"date": date.today().isoformat(), **result, "within": within, **reached}


def _read_once(drawn: sets.Drawn) -> None:
    """Read every file, so that the first contender does not wait for the disk alone."""
    for path in [*drawn.folder.glob("*/*"), *(Path(path) for path, _ in drawn.test)]:
        path.read_bytes()


def _show(title: str, results: Mapping[str, Result]) -> None:
    columns = (
        "contender",
        "minutes",
        "epochs",
        "top-1 %",
        "95 %",
        "as in the folder %",
        "bakeoff − it",
        "",
    )
    harness.show(title, columns, (list(_row(*each)) for each in results.items()))


def _row(name: str, result: Result) -> Iterator[object]:
    yield name
    if "error" in result:
        yield from (None,) * 6
        yield result["error"][:60]
        return
    low, high = result["interval"]
    yield f"{result['seconds'] / 60:.1f}"
    yield result["epochs"]
    yield f"{100 * result['accuracy']:.1f}"
    yield f"{100 * low:.1f} to {100 * high:.1f}"
    yield f"{100 * result['proportional_accuracy']:.1f}"
    lead = result.get("lead")
    yield (
        "{:+.1f} ({:+.1f} to {:+.1f})".format(
            *(100 * value for value in (lead["accuracy"], *lead["interval"]))
        )
        if lead
        else None
    )
    yield "" if result["within"] else "took too long"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.contests", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="in Food-101's layout")
    parser.add_argument("--weights", required=True, help="of ResNet-18 on ImageNet, .safetensors")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each training")
    parser.add_argument("--only", default="", help="sets and contenders, comma-separated")
    parser.add_argument("--set", action="append", default=[], help="field=value, for bakeoff")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of photographs, and all")
    parser.add_argument("--resume", action="store_true", help="leave out what is measured already")
    parser.add_argument("--quick", action="store_true", help="tiny: whether everything works")
    parser.add_argument("--peers-python", default=".venv-peers/bin/python")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    only = [name for name in options.only.split(",") if name]
    if unknown := [name for name in only if name not in (*sets.SETS, *CONTENDERS)]:
        known = ", ".join((*sets.SETS, *CONTENDERS))
        raise SystemExit(f"--only: there is no {unknown[0]}; there are: {known}")
    if not Path(options.weights).is_file():
        raise SystemExit(f"--weights: {options.weights} is not a file")
    options.sets = [name for name in sets.SETS if name in only] or list(sets.SETS)
    options.contenders = [name for name in CONTENDERS if name in only] or list(CONTENDERS)
    options.weights = str(Path(options.weights).absolute())
    options.peers_python = str(Path(options.peers_python).absolute())
    return options


if __name__ == "__main__":
    main()
