"""What the commands share: consoles, options, exit codes, and how a refusal is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bakeoff.data.photographs import DataError
from bakeoff.fields import RecipeError, nearest
from bakeoff.launched import place
from bakeoff.settings import STEPS, Cluster, Settings
from bakeoff.stopping import requeued

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STRATEGIES = ("auto", "ddp", "fsdp", "none")
INTERRUPTED, REFUSED, FAILED = 130, 2, 1

Data = Annotated[str, typer.Option(help="photographs: a folder, a CSV, food101 or plates")]
Set = Annotated[list[str] | None, typer.Option("--set", help="field=value, e.g. lr=0.0005")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")]
Offline = Annotated[bool, typer.Option("--offline", help="fetch nothing")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="leave unreadable photographs out")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="the same bits each time, also on a GPU; slower")
]
Step = Annotated[
    str, typer.Option(help=f"way of stepping, the best by default: {', '.join(STEPS)}")
]
Log = Annotated[
    list[str] | None,
    typer.Option("--log", help="also to tensorboard, mlflow or wandb, or e.g. mlflow=URI"),
]
On = Annotated[str, typer.Option(help="where to train: here, or on a ray cluster")]
Address = Annotated[str, typer.Option(help="the cluster's host:port; else one of this machine")]
Cpus = Annotated[int | None, typer.Option(help="CPUs, and threads, of each run on a cluster")]
Gpus = Annotated[float | None, typer.Option(help="GPUs of each run on a cluster, e.g. 0.5")]
Strategy = Annotated[
    str, typer.Option(help="of several processes: auto, ddp, fsdp, or none: each takes other runs")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="how many seeds to have")]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a user can mend into one sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if said := str(stop):  # of a process that the others have lost
            err.quiet = False
            refuse(f"{said}; the same command goes on from the last checkpoint", FAILED)
        again = "this job is in the queue again" if requeued() else "the same command goes on"
        err.print(f"Interrupted; {again} from here.")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        refuse(f"{where}{error.strerror or error}", FAILED)
    except ValueError as error:
        if not isinstance(error, RecipeError | DataError):
            raise
        refuse(str(error), REFUSED)


def placed(here: Settings, on: str, address: str, cpus: int | None, gpus: float | None) -> Settings:
    """Add to the settings what was said of a cluster; RecipeError where it disagrees."""
    asked = {"--address": address or None, "--cpus": cpus, "--gpus": gpus}
    if on == "ray":
        if here.device != "auto":
            raise RecipeError(
                f"--device: {here.device} is not allowed with --on ray; --gpus decides it"
            )
        return replace(here, cluster=Cluster(address, cpus or Cluster.cpus, gpus))
    if on != "here":
        raise RecipeError(f"--on: {on} is not allowed; allowed: here, ray")
    if given := [name for name, value in asked.items() if value is not None]:
        raise RecipeError(f"{given[0]}: allowed only with --on ray")
    return here


def followers_follow(strategy: str, device: str) -> None:
    """Return in the process that leads or is alone; the others take part in silence, and exit.

    They read no study, so that what is wrong with one is said once.
    """
    if strategy not in STRATEGIES:
        hint = nearest(strategy, STRATEGIES)
        raise RecipeError(
            f"--strategy: {strategy} is not allowed{hint}; allowed: {', '.join(STRATEGIES)}"
        )
    if strategy != "none" and place().rank > 0:
        out.quiet = err.quiet = True
        with leading(strategy, device):
            raise typer.Exit


@contextmanager
def leading(strategy: str, device: str) -> Iterator[None]:
    """Join the processes started with this one, where there are any."""
    if strategy == "none" or place().size == 1:
        yield
        return
    from bakeoff.joining import joining

    with joining(strategy, device):
        yield


def end(failed: int) -> None:
    """Exit with 1 when runs failed."""
    if failed:
        refuse(f"{failed} runs failed; the same command tries them again", FAILED)


def refuse(sentence: str, code: int) -> NoReturn:
    """Say why in one sentence and exit."""
    err.print(f"bakeoff: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)
