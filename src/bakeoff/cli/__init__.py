"""The commands: they parse, call and print. Nothing here imports torch before something trains."""

from __future__ import annotations

from typing import Annotated

import typer

from bakeoff import __version__
from bakeoff.cli import looking, serving, training, using
from bakeoff.cli.console import out
from bakeoff.stopping import listen

app = typer.Typer(
    help="Trains, compares and explains image classifiers: which change helped, and by how much.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    training.run,
    training.train,
    using.predict,
    using.export,
    using.push,
    serving.serve,
    looking.report,
    looking.claims,
    looking.check,
    looking.explain,
    looking.replication,
    looking.studies,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="say the version", is_eager=True)
    ] = False,
) -> None:
    if version:
        out.print(f"bakeoff {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; the entry point of `bakeoff` and `python -m bakeoff`."""
    listen()
    app()
