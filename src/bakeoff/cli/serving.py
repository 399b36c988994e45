"""The command that answers in a browser: `serve`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.console import Device, err, out, refusals
from bakeoff.fields import RecipeError


def serve(
    models: Annotated[
        list[Path], typer.Argument(help="a model folder, e.g. runs/demo/best; or two to compare")
    ],
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any")] = 7860,
    device: Device = "auto",
) -> None:
    """Show what models see in photographs, on a page in the browser and by HTTP."""
    with refusals():
        if find_spec("gradio") is None:
            raise RecipeError("serve needs gradio; install it with pip install 'bakeoff[serve]'")
        from bakeoff.data.audit_view import counting
        from bakeoff.machine import keep_memory
        from bakeoff.serving.server import serve as served

        keep_memory()
        with counting(err) as progress:
            served(
                models,
                host,
                port,
                device,
                _say,
                progress,
            )


def _say(sentence: str) -> None:
    """Say at once, also into a file."""
    out.print(sentence, markup=False, soft_wrap=True)
    out.file.flush()
