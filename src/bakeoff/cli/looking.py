"""The commands that look: at results, photographs, nets and shipped studies."""

from __future__ import annotations

import json as json_
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bakeoff import study as studies_
from bakeoff.cli.console import FAILED, Log, Offline, err, out, refusals


def report(
    folder: Annotated[Path, typer.Argument(help="a study folder, e.g. runs/demo")],
    json: Annotated[bool, typer.Option("--json", help="one JSON object a row")] = False,
    markdown: Annotated[bool, typer.Option("--markdown")] = False,
    csv: Annotated[bool, typer.Option("--csv")] = False,
    latex: Annotated[bool, typer.Option("--latex")] = False,
    figures: Annotated[Path | None, typer.Option(help="also write PDF, SVG and PNG here")] = None,
    log: Log = None,
    offline: Offline = False,
) -> None:
    """Make tables, curves and the page from what is there; also half-way."""
    with refusals():
        from bakeoff import render
        from bakeoff.elsewhere import destinations, log_study
        from bakeoff.report import rows_of, write

        where = destinations(log or (), folder, offline=offline)
        rows = rows_of(folder)
        formats = ((json, render.json_lines), (csv, render.csv_text))
        texts = ((markdown, render.markdown), (latex, render.latex))
        wanted = [make(rows) for flag, make in (*formats, *texts) if flag]
        if wanted:
            sys.stdout.write("\n".join(wanted))
            if figures is None and not where:
                return
        else:
            from bakeoff.terminal import show

            show(rows, out)
        paths = write(folder, figures=figures)
        if not wanted:
            out.print(f"Report: {paths.page}")
        if where and log_study(folder, where):
            raise typer.Exit(FAILED)


def studies() -> None:
    """List the studies that come with the package."""
    for name, path in studies_.shipped().items():
        question = studies_.read(path).question
        out.print(f"{name:<14} {question}", soft_wrap=True)


def claims(
    folder: Annotated[Path, typer.Argument(help="a study folder, e.g. runs/food101-20")],
    claims_: Annotated[
        str, typer.Option("--claims", help="a YAML file or a shipped set; by default the study's")
    ] = "",
) -> None:
    """Say for each claim whether the runs support it, contradict it, or cannot tell."""
    with refusals():
        from bakeoff.evidence import judge, read_claims
        from bakeoff.store import read_runs, read_study

        named = claims_ or read_study(folder).name
        table = Table(box=None, padding=(0, 2, 0, 0))
        for head in ("the runs", "claim", "why"):
            table.add_column(head, overflow="fold")
        for judgement in judge(read_claims(named), read_runs(folder)):
            told = (judgement.finding, judgement.claim.says, judgement.why)
            table.add_row(*(Text(text) for text in told))
        out.print(table)


def check(
    data: Annotated[str, typer.Argument(help="a folder or CSV of photographs, food101 or plates")],
    classes: Annotated[str, typer.Option(help="only these classes, comma-separated")] = "",
    json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    offline: Offline = False,
) -> None:
    """Look photographs over before training: broken files, copies, leaks, odd sizes, classes."""
    with refusals():
        from bakeoff.data.audit import audit
        from bakeoff.data.audit_view import counting, terminal
        from bakeoff.data.spec import DataSpec

        names = tuple(name.strip() for name in classes.split(",") if name.strip())
        spec = DataSpec(source=data, classes=names or "all")
        with counting(err) as progress:
            found = audit(spec, offline=offline, progress=progress)
        if json:
            sys.stdout.write(json_.dumps(found.as_json(), indent=2) + "\n")
        else:
            out.print(terminal(found))
    raise typer.Exit(found.exit_code)


def explain(
    model: Annotated[str, typer.Argument(help="a run or model folder, or a net's name")],
    image: Annotated[Path, typer.Argument(help="a photograph")],
    layer: Annotated[str | None, typer.Option(help="a layer by name")] = None,
    out_folder: Annotated[Path, typer.Option("--out")] = Path("explained"),
    weights: Annotated[
        str | None, typer.Option(help="of a bare name: imagenet, none or a file")
    ] = None,
    offline: Offline = False,
) -> None:
    """Draw what a net sees in a photograph, and list its layers."""
    with refusals():
        from bakeoff.explain.command import explain as explained

        found = explained(model, image, out_folder, layer=layer, weights=weights, offline=offline)
        for name, share in found.classes:
            out.print(f"{100 * share:5.1f} %  {name}", markup=False)
        for each in found.layers:
            shape = " x ".join(map(str, each.shape))
            out.print(f"{each.name:<40} {each.kind:<16} {shape}", markup=False)
        for path in found.paths:
            out.print(str(path), markup=False, soft_wrap=True)
        for note in found.notes:
            err.print(note, markup=False)


def replication(
    folders: Annotated[
        list[Path], typer.Argument(help="study folders of food101-20 and report-doubts")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="where the document goes")] = Path(
        "docs/replication.md"
    ),
) -> None:
    """Write the report's printed figures beside those of run folders."""
    with refusals():
        from bakeoff.replication import write_replication

        out.print(f"Replication: {write_replication(folders, out_file)}", soft_wrap=True)
