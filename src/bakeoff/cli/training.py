"""The commands that train: `run` and `train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff import study as studies
from bakeoff.cli.console import (
    Address,
    Cpus,
    Data,
    Deterministic,
    Device,
    Gpus,
    Log,
    Offline,
    On,
    Seeds,
    Set,
    SkipBad,
    Step,
    Strategy,
    end,
    err,
    followers_follow,
    leading,
    out,
    placed,
    refusals,
)
from bakeoff.models.config import beginning
from bakeoff.settings import Settings
from bakeoff.study import Study

if TYPE_CHECKING:
    from bakeoff.conduct import Job


Out = Annotated[str, typer.Option("--out", help="where study folders go; also s3://bucket/x")]
Only = Annotated[str, typer.Option(help="TABLE, VARIANT or TABLE/VARIANT, comma-separated")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show the plan, train nothing")]
NoiseFloor = Annotated[
    int, typer.Option(min=0, help="first run the bases alone with so many seeds")
]
UntilDecided = Annotated[
    bool, typer.Option("--until-decided", help="add seeds until every change is decided")
]


def run(
    study: Annotated[str, typer.Argument(help="a study file, or a shipped study by name")],
    data: Data = "",
    out_folder: Out = "runs",
    only: Only = "",
    seeds: Seeds = None,
    set_: Set = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    noise_floor: NoiseFloor = 0,
    until_decided: UntilDecided = False,
    budget: Annotated[str, typer.Option(help="time for --until-decided: 90s, 45m, 2h")] = "",
    offline: Offline = False,
    skip_bad: SkipBad = False,
    deterministic: Deterministic = False,
    step: Step = "auto",
    log: Log = None,
    on: On = "here",
    address: Address = "",
    cpus: Cpus = None,
    gpus: Gpus = None,
    strategy: Strategy = "auto",
) -> None:
    """Run a study: every variant, every seed; what is finished already is not repeated."""
    with refusals():
        followers_follow(strategy, device)
        asked = studies.read(study, [*(set_ or []), *([f"data.source={data}"] if data else [])])
        chosen = [name.strip() for name in only.split(",") if name.strip()]
        runs = studies.runs(asked, chosen, seeds)
        here = Settings(device, offline, skip_bad, deterministic, step, tuple(log or ()))
        where = placed(here, on, address, cpus, gpus)
        if dry_run:
            _show_plan(asked, runs, adds_seeds=until_decided)
            return
        from bakeoff import conduct

        with leading(strategy, device):
            job = _job(asked, out_folder, where)
            if noise_floor:
                conduct.noise_floor(job, chosen, noise_floor)
            if until_decided:
                end(conduct.until_decided(job, chosen, budget))
            else:
                end(conduct.plan(job, runs))


def _show_plan(study: Study, runs: Sequence[studies.Run], *, adds_seeds: bool) -> None:
    from bakeoff.display import plan
    from bakeoff.evidence.foreseen import undecidable

    out.print(f"{study.name}: {study.question}", soft_wrap=True)
    out.print(plan(runs))
    for said in () if adds_seeds else undecidable(study, runs):
        out.print(said, highlight=False, soft_wrap=True)


def _job(asked: Study, place: str, where: Settings) -> Job:
    """Give the study its folder below `place`: there, or in the cache where that is an address."""
    from bakeoff.conduct import Job
    from bakeoff.data.addresses import is_address

    if not is_address(place):
        return Job(asked, Path(place) / asked.name, where, out, err)
    from bakeoff.mirror import mirrored

    mirror = mirrored(place, asked.name, offline=where.offline)
    return Job(asked, mirror.folder, where, out, err, mirror)


def train(
    photographs: Annotated[str, typer.Argument(help="a folder or CSV of photographs, or plates")],
    out_folder: Annotated[Path, typer.Option("--out", help="where the model goes")] = Path("model"),
    weights: Annotated[
        str | None, typer.Option(help="imagenet (the default), none, or a file to start from")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="an earlier model, run or study folder to start from")
    ] = None,
    teacher: Annotated[
        str, typer.Option(help="an earlier model, run or study folder to learn from, as labels")
    ] = "",
    budget: Annotated[str, typer.Option(help="how long it may take: 90s, 45m, 2h")] = "10m",
    set_: Set = None,
    device: Device = "auto",
    offline: Offline = False,
    skip_bad: SkipBad = False,
    deterministic: Deterministic = False,
    step: Step = "auto",
    log: Log = None,
    strategy: Strategy = "auto",
) -> None:
    """Make one good model from a folder of photographs; what is not set is chosen, and said."""
    with refusals():
        followers_follow(strategy, device)
        begun = beginning(weights, start) | ({"distill.teacher": teacher} if teacher else {})
        fields = [f"{name}={json.dumps(value)}" for name, value in begun.items()]
        overrides = [f"data.source={photographs}", *fields, *(set_ or [])]
        studies.read("train", overrides)  # what is wrong with it is said at once
        with leading(strategy, device):
            from bakeoff import chosen, conduct

            settings = Settings(device, offline, skip_bad, deterministic, step, tuple(log or ()))
            asked, because = chosen.study(overrides, out_folder, settings, budget)
            for reason in because:
                err.print(f"chosen: {reason}", highlight=False, soft_wrap=True)
            job = conduct.Job(asked, out_folder, settings, out, err)
            end(conduct.plan(job, studies.runs(asked)))
