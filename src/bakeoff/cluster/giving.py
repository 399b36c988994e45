"""Tasks given out to a Ray cluster: what they say, in whatever order, and how they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from bakeoff.cluster import worker
from bakeoff.execute import said
from bakeoff.study import Run

LONGEST_WAIT = 30.0  # seconds for the checkpoints of runs that are told to stop
SECONDS_BETWEEN_LOOKS = 1.0
DEATHS = {
    NodeDiedError: "its node was lost",
    OutOfMemoryError: "its node ran out of memory",
    WorkerCrashedError: "its worker died",
}


@dataclass(frozen=True)
class Task:
    """What a worker is given: `members` trained together for the sake of `own`, or one run.

    `deaths` is how many workers it has cost.
    """

    members: tuple[Run, ...]
    own: tuple[Run, ...]
    deaths: int = 0


@dataclass(frozen=True)
class Over:
    """A task is over: done, broken by something in it, or its worker or node died."""

    death: str = ""
    error: str = ""


@dataclass
class Giving:
    """Tasks that workers have or wait for; opened and closed by `giving`."""

    place: worker.Place
    identities: dict[str, str]
    cpus: int
    gpus: float
    running: dict[Any, Task] = field(default_factory=dict)

    def give(self, task: Task) -> None:
        """Let the next worker that is free have `task`."""
        remote: Any = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0, num_returns="streaming"
        )(worker.carry_out)
        names = {run.name: self.identities[run.name] for run in task.members}
        stream = remote.remote(self.place, task.members, task.own, names, self.cpus)
        self.running[stream] = task

    def heard(self) -> Iterator[tuple[Task, worker.Message | Over]]:
        """Yield what tasks have said since, and their ends; after a second also nothing at all."""
        ready, _ = ray.wait(list(self.running), timeout=SECONDS_BETWEEN_LOOKS, fetch_local=False)
        for stream in ready:
            task, message = self.running[stream], _next(stream)
            if isinstance(message, Over):
                del self.running[stream]
            yield task, message


@contextmanager
def giving(
    place: worker.Place, identities: dict[str, str], cpus: int, gpus: float
) -> Iterator[Giving]:
    """Give tasks out; those that are not over in the end are told to stop, and waited for."""
    given = Giving(place, identities, cpus, gpus)
    try:
        yield given
    finally:
        with suppress(RayError, ConnectionError):
            _stop(given)


def _stop(given: Giving) -> None:
    for stream in given.running:
        ray.cancel(stream)
    until = monotonic() + LONGEST_WAIT
    while given.running and monotonic() < until:
        for _ in given.heard():
            pass


def seen(place: worker.Place, nodes: Sequence[str], gpus: float) -> dict[str, worker.Seen | str]:
    """Let every one of `nodes` look at itself; a text says why one could not."""
    looking = {}
    for node in nodes:
        there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        remote: Any = ray.remote(num_cpus=0, num_gpus=gpus, scheduling_strategy=there)(worker.look)
        looking[node] = remote.remote(place)
    found: dict[str, worker.Seen | str] = {}
    for node, reference in looking.items():
        try:
            found[node] = ray.get(reference)
        except RayError as failure:
            found[node] = _why(failure)
    return found


def _next(stream: Any) -> worker.Message | Over:
    """Return what a task says next. Raises ConnectionError where Ray died on this machine."""
    try:
        message: worker.Message = ray.get(next(stream))
    except StopIteration:
        return Over()
    except RayTaskError as failure:
        return Over(error=_why(failure))
    except LocalRayletDiedError:
        raise ConnectionError(
            "Ray died on this machine; begin it again, and the same command goes on"
        ) from None
    except RayError as death:
        return Over(death=_why(death))
    return message


def _why(failure: RayError) -> str:
    """Say in a sentence what Ray says in a page."""
    for kind, sentence in DEATHS.items():
        if isinstance(failure, kind):
            return sentence
    cause = getattr(failure, "cause", None)
    return str(cause) if isinstance(cause, ValueError) else said(cause or failure)
