"""The commands that train: `run` and `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bakeoff import study as studies
from bakeoff.cli.console import (
    Data,
    Deterministic,
    Device,
    Log,
    Offline,
    Seeds,
    Set,
    SkipBad,
    Step,
    end,
    err,
    out,
    refusals,
)
from bakeoff.settings import Settings


def run(
    study: Annotated[str, typer.Argument(help="a study file, or a shipped study by name")],
    data: Data = "",
    out_folder: Annotated[Path, typer.Option("--out", help="where study folders go")] = Path(
        "runs"
    ),
    only: Annotated[
        str, typer.Option(help="TABLE, VARIANT or TABLE/VARIANT, comma-separated")
    ] = "",
    seeds: Seeds = None,
    set_: Set = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show the plan, train nothing")
    ] = False,
    noise_floor: Annotated[
        int, typer.Option(min=0, help="first run the bases alone with so many seeds")
    ] = 0,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="add seeds until every change is decided")
    ] = False,
    budget: Annotated[str, typer.Option(help="time for --until-decided: 90s, 45m, 2h")] = "",
    offline: Offline = False,
    skip_bad: SkipBad = False,
    deterministic: Deterministic = False,
    step: Step = "auto",
    log: Log = None,
) -> None:
    """Run a study: every variant, every seed; what is finished already is not repeated."""
    with refusals():
        overrides = [*(set_ or []), *([f"data.source={data}"] if data else [])]
        asked = studies.read(study, overrides)
        chosen = [name.strip() for name in only.split(",") if name.strip()]
        runs = studies.runs(asked, chosen, seeds)
        if dry_run:
            from bakeoff.display import plan

            out.print(f"{asked.name}: {asked.question}", soft_wrap=True)
            out.print(plan(runs))
            return
        from bakeoff import conduct

        settings = Settings(device, offline, skip_bad, deterministic, step, tuple(log or ()))
        job = conduct.Job(asked, out_folder / asked.name, settings, out, err)
        if noise_floor:
            conduct.noise_floor(job, chosen, noise_floor)
        if until_decided:
            end(conduct.until_decided(job, chosen, budget))
        else:
            end(conduct.plan(job, runs))


def train(
    photographs: Annotated[str, typer.Argument(help="a folder or CSV of photographs, or plates")],
    out_folder: Annotated[Path, typer.Option("--out", help="where the model goes")] = Path("model"),
    weights: Annotated[
        str, typer.Option(help="imagenet, none, or a file to start from")
    ] = "imagenet",
    set_: Set = None,
    device: Device = "auto",
    offline: Offline = False,
    skip_bad: SkipBad = False,
    deterministic: Deterministic = False,
    step: Step = "auto",
    log: Log = None,
) -> None:
    """Make one good model from a folder of photographs."""
    with refusals():
        overrides = [f"data.source={photographs}", f"weights={weights}", *(set_ or [])]
        asked = studies.read("train", overrides)
        from bakeoff import conduct

        settings = Settings(device, offline, skip_bad, deterministic, step, tuple(log or ()))
        job = conduct.Job(asked, out_folder, settings, out, err)
        end(conduct.plan(job, studies.runs(asked)))
