"""What happens on a node of a cluster: one run is carried out, or the heads of one company.

Where the study's folder is the driver's own (on one machine, or on a file system they share) it is
filled there. Elsewhere it is filled in the node's cache, and its files are sent to the driver.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue

import torch

from bakeoff import checkpoint, machine, plan
from bakeoff.data.cache import cache_dir, written_aside
from bakeoff.data.sources import find
from bakeoff.events import Ended, Event
from bakeoff.execute import begins, in_company, one_by_one
from bakeoff.fields import RecipeError
from bakeoff.settings import Settings
from bakeoff.stopping import interruptible
from bakeoff.study import Run, Study

MARK = ".cluster"
MUST_AGREE = ("bakeoff", "torch", "torchvision", "timm", "numpy")


@dataclass(frozen=True)
class Place:
    """Where the driver has its study and works; `mark` is what stands in a file of its folder."""

    study: Study
    folder: Path
    mark: str
    work: Path
    settings: Settings


@dataclass(frozen=True)
class Seen:
    """What a node has: versions, the precision `auto` means, and what is wrong with its data."""

    versions: dict[str, str]
    precision: str
    trouble: str


@dataclass(frozen=True)
class Arrived:
    """The files of a run that was carried out where the driver's folder is not: name -> bytes."""

    run: Run
    files: dict[str, bytes]


@dataclass(frozen=True)
class Warned:
    """What the driver has to say in the node's stead."""

    text: str


Message = Event | Arrived | Warned


def look(place: Place) -> Seen:
    """Tell the driver what it has to know of this machine before anything is begun."""
    trouble = ""
    _go_to(place.work)
    try:
        find(place.study.data, offline=place.settings.offline)
    except ValueError as error:  # RecipeError or DataError
        trouble = str(error)
    device = machine.device(place.settings.device)
    return Seen(versions(), machine.precision("auto", device), trouble)


def versions() -> dict[str, str]:
    """Return the versions that decide results."""
    return {"Python": platform.python_version(), **{name: version(name) for name in MUST_AGREE}}


def carry_out(
    place: Place,
    members: Sequence[Run],
    own: Sequence[Run],
    identities: Mapping[str, str],
    threads: int,
) -> Iterator[Message]:
    """Carry out one run, or train the heads of all `members` together for the sake of `own`.

    `threads` decide the last bits of a sum on a CPU, so they are those that were asked for. Raises
    RecipeError where the runs would not have the `identities` that the driver gave them.
    """
    torch.set_num_threads(threads)
    _go_to(place.work)
    with interruptible(), _warnings() as warnings, ExitStack() as closing:
        here = _is_here(place)
        aside = written_aside(cache_dir() / "scratch" / place.study.name)
        folder = place.folder if here else closing.enter_context(aside)
        now = _opened(place, folder, members, identities)
        closing.enter_context(now.steps)
        for event in _events(now, members, own):
            yield from _drained(warnings)
            if isinstance(event, Ended) and not here:
                yield Arrived(event.run, _files(folder / event.run.name))
            yield event
        yield from _drained(warnings)


def _is_here(place: Place) -> bool:
    """Tell whether this machine sees the driver's own folder."""
    try:
        return (place.folder / MARK).read_text(encoding="utf-8") == place.mark
    except (OSError, ValueError):
        return False


def _opened(
    place: Place, folder: Path, members: Sequence[Run], identities: Mapping[str, str]
) -> plan.Plan:
    try:
        now = plan.opened(place.study, members, folder, place.settings, None)
    except ValueError as error:  # RecipeError or DataError; not all of them can be sent
        raise RecipeError(f"{platform.node()}: {error}") from None
    for run in members:
        if now.identity(run) != identities[run.name]:
            raise RecipeError(
                f"{platform.node()}: the photographs, start weights or teacher there are not "
                "those here"
            )
    return now


def _events(now: plan.Plan, members: Sequence[Run], own: Sequence[Run]) -> Iterator[Event]:
    if len(members) == 1:
        yield from one_by_one(members, now)
        return
    with ExitStack() as locks:
        for run in own:
            locks.enter_context(now.alone(run, wait=True))
        left = [run for run in own if begins(now.folder / run.name, now.state(run))]
        if left:
            yield from in_company(members, left, now)


def _files(run: Path) -> dict[str, bytes]:
    """Return what a run left, but not what it would go on from."""
    kept = [path for path in run.rglob("*") if path.is_file() and path.name != checkpoint.NAME]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in kept}


def _go_to(work: Path) -> None:
    """Let paths that the driver has from where it works mean the same here, if they can."""
    with suppress(OSError):
        os.chdir(work)


@contextmanager
def _warnings() -> Iterator[SimpleQueue[logging.LogRecord]]:
    """Collect what is warned of in here."""
    said: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(said)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("bakeoff")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _drained(said: SimpleQueue[logging.LogRecord]) -> Iterator[Warned]:
    while not said.empty():
        yield Warned(said.get().getMessage())
