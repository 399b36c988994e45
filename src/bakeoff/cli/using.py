"""The commands that use a finished model: `predict`, `export`, `push`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bakeoff import predict as predict_
from bakeoff.cli.console import FAILED, Device, err, out, refusals, refuse
from bakeoff.predict import Row

UNREAD = 3

Model = Annotated[Path, typer.Argument(help="a model folder, e.g. runs/demo/best")]


def predict(
    model: Model,
    paths: Annotated[
        list[str], typer.Argument(help="files, folders, globs, or - for a list on stdin")
    ],
    csv: Annotated[bool, typer.Option("--csv")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a row")] = False,
    top: Annotated[int, typer.Option(min=1, help="how many classes to name")] = 5,
    accept_error: Annotated[
        float | None, typer.Option(help="hold answers back, so that at most this share is wrong")
    ] = None,
    device: Device = "auto",
) -> None:
    """Say what photographs show, with calibrated probabilities; exit 3 if any cannot be read."""
    unread = 0
    with refusals():
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        found, total = predict_.expand(paths, sys.stdin)
        from bakeoff.classifier import load
        from bakeoff.data.audit_view import counting
        from bakeoff.machine import keep_memory

        keep_memory()
        classifier = load(model, device=device)
        threshold = classifier.threshold(accept_error)
        if classifier.trust is None:
            err.print("not calibrated: only the best model of a study is", soft_wrap=True)
        top = min(top, len(classifier.classes))
        write = predict_.as_csv if csv else predict_.as_json if json else predict_.as_text
        rows = predict_.rows(found, classifier.stream, classifier.classes, top, threshold)
        with counting(err) as progress:

            def counted() -> Iterator[Row]:
                nonlocal unread
                for number, row in enumerate(rows, 1):
                    unread += bool(row.error)
                    yield row
                    progress("predicting", number, total)

            for line in write(counted(), top):
                sys.stdout.write(line)
    if unread:
        refuse(f"{unread} of the photographs could not be read", UNREAD)


def export(
    model: Model,
    to: Annotated[str, typer.Option(help="onnx or torch")],
    photographs: Annotated[
        Path | None, typer.Option(help="a folder; the export is compared on up to 1,000 of them")
    ] = None,
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="take photographs, give probabilities")
    ] = False,
) -> None:
    """Write a model for another runtime, and prove on photographs that it answers alike."""
    with refusals():
        from bakeoff.data.audit_view import counting
        from bakeoff.export import DriftError
        from bakeoff.export import export as exported
        from bakeoff.machine import keep_memory

        keep_memory()
        try:
            with counting(err) as progress:
                made = exported(
                    model,
                    to,
                    progress,
                    photographs=photographs,
                    with_preprocessing=with_preprocessing,
                )
        except DriftError as error:
            refuse(str(error), FAILED)
        out.print(
            f"{made.path}: {100 * made.parity.agreement:g} % agreement on {made.parity.images} "
            f"{made.source}, largest difference {made.parity.largest_difference:.1e}",
            soft_wrap=True,
        )
        for time in made.latency:
            out.print(
                f"batch {time['batch']}: {time['export_milliseconds']:.1f} ms, "
                f"PyTorch {time['torch_milliseconds']:.1f} ms"
            )


def push(
    model: Model,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be uploaded, upload nothing")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="if the repository is new")] = False,
) -> None:
    """Upload a model folder to the Hugging Face Hub."""
    with refusals():
        from bakeoff.handover import push as pushing
        from bakeoff.models.config import locate

        folder = locate(model)
        pushing.check_name(repository)
        paths = pushing.contents(folder)
        for path in paths:
            out.print(f"{path.stat().st_size:>13,}  {path.relative_to(folder)}", markup=False)
        size = sum(path.stat().st_size for path in paths)
        said = f"{len(paths)} files, {size:,} bytes"
        if dry_run:
            out.print(f"{said} would go to {repository}; nothing was uploaded", soft_wrap=True)
            return
        url = pushing.push(folder, paths, repository, private=private)
        out.print(f"{said} uploaded: {url}", soft_wrap=True)
