"""The commands that use a finished model: `predict`, `export` and `push`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bakeoff import predict as predict_
from bakeoff.cli.console import Device, err, refusals, refuse
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
