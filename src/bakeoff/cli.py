"""The commands: they parse, call and print. Nothing here imports torch before something trains."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bakeoff import __version__
from bakeoff import study as studies_
from bakeoff.data.photographs import DataError
from bakeoff.recipe import RecipeError
from bakeoff.settings import Settings

app = typer.Typer(
    help="Trains, compares and explains image classifiers: which change helped, and by how much.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

INTERRUPTED, REFUSED, FAILED = 130, 2, 1

Data = Annotated[str, typer.Option(help="photographs: a folder, a CSV, food101 or plates")]
Set = Annotated[list[str] | None, typer.Option("--set", help="field=value, e.g. lr=0.0005")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")]
Offline = Annotated[bool, typer.Option("--offline", help="fetch nothing")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="leave unreadable photographs out")]
Seeds = Annotated[int | None, typer.Option(min=1, help="how many seeds to have")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="say the version", is_eager=True)
    ] = False,
) -> None:
    if version:
        out.print(f"bakeoff {__version__}")
        raise typer.Exit


@app.command()
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
) -> None:
    """Run a study: every variant, every seed; what is finished already is not repeated."""
    with _refusals():
        overrides = [*(set_ or []), *([f"data.source={data}"] if data else [])]
        asked = studies_.read(study, overrides)
        chosen = [name.strip() for name in only.split(",") if name.strip()]
        runs = studies_.runs(asked, chosen, seeds)
        if dry_run:
            from bakeoff.display import plan

            out.print(f"{asked.name}: {asked.question}", soft_wrap=True)
            out.print(plan(runs))
            return
        from bakeoff import conduct

        job = conduct.Job(
            asked, out_folder / asked.name, Settings(device, offline, skip_bad), out, err
        )
        if noise_floor:
            conduct.noise_floor(job, chosen, noise_floor)
        if until_decided:
            _end(conduct.until_decided(job, chosen, budget))
        else:
            _end(conduct.plan(job, runs))


@app.command()
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
) -> None:
    """Make one good model from a folder of photographs."""
    with _refusals():
        overrides = [f"data.source={photographs}", f"weights={weights}", *(set_ or [])]
        asked = studies_.read("train", overrides)
        from bakeoff import conduct

        job = conduct.Job(asked, out_folder, Settings(device, offline, skip_bad), out, err)
        _end(conduct.plan(job, studies_.runs(asked)))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="a study folder, e.g. runs/demo")],
    json: Annotated[bool, typer.Option("--json", help="one JSON object a row")] = False,
    markdown: Annotated[bool, typer.Option("--markdown")] = False,
    csv: Annotated[bool, typer.Option("--csv")] = False,
    latex: Annotated[bool, typer.Option("--latex")] = False,
    figures: Annotated[Path | None, typer.Option(help="also write PDF, SVG and PNG here")] = None,
) -> None:
    """Make tables, curves and the page from what is there; also half-way."""
    with _refusals():
        from bakeoff import render
        from bakeoff.report import rows_of, write

        rows = rows_of(folder)
        formats = ((json, render.json_lines), (csv, render.csv_text))
        texts = ((markdown, render.markdown), (latex, render.latex))
        wanted = [make(rows) for flag, make in (*formats, *texts) if flag]
        if wanted:
            sys.stdout.write("\n".join(wanted))
            if figures is None:
                return
        else:
            from bakeoff.terminal import show

            show(rows, out)
        paths = write(folder, figures=figures)
        if not wanted:
            out.print(f"Report: {paths.page}")


@app.command()
def studies() -> None:
    """List the studies that come with the package."""
    for name, path in studies_.shipped().items():
        question = studies_.read(path).question
        out.print(f"{name:<14} {question}", soft_wrap=True)


def main() -> None:
    """Run the command line; the entry point of `bakeoff` and `python -m bakeoff`."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    app()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what a user can mend into one sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("Interrupted; the same command goes on from here.")
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        if not isinstance(error, RecipeError | DataError):
            raise
        _refuse(str(error), REFUSED)


def _end(failed: int) -> None:
    if failed:
        _refuse(f"{failed} runs failed; the same command tries them again", FAILED)


def _refuse(sentence: str, code: int) -> NoReturn:
    err.print(f"bakeoff: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _as_interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
