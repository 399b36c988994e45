"""Who carries a plan of runs out: this machine, one run after another, or a Ray cluster.

session   a connection to Ray, and whether the cluster can do what is asked
worker    what happens on a node: one run, or the heads of one company
driver    what happens here: runs are given out, followed, given out again when a worker dies
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bakeoff import execute as here
from bakeoff.events import Event
from bakeoff.plan import Progress
from bakeoff.settings import Settings
from bakeoff.study import Run, Study


def execute(
    study: Study,
    runs: Sequence[Run],
    folder: Path,
    settings: Settings,
    on_progress: Progress | None = None,
) -> Iterator[Event]:
    """Carry out `runs` of `study` where `settings` say; otherwise as `bakeoff.execute` does."""
    if settings.cluster is None:
        return here.execute(study, runs, folder, settings, on_progress)
    from bakeoff.cluster import driver

    return driver.execute(study, runs, folder, settings, on_progress)


def connected(settings: Settings) -> AbstractContextManager[None]:
    """Stay connected to the cluster, where there is one, for all that is executed within."""
    if settings.cluster is None:
        return nullcontext()
    from bakeoff.cluster import session

    return session.connected(settings.cluster)
