"""Runs given out to a Ray cluster, followed, and given out again when a worker or a node dies.

Only what no node can do is done here: everything is checked first, and the files of a run that was
carried out where the study's folder is not are written here. Ray's own retries are not used: they
count what a task says from its first word, and a run may go on from its middle.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from bakeoff import checkpoint, files, store
from bakeoff.cluster import session, worker
from bakeoff.cluster.giving import Giving, Over, Task, giving, seen
from bakeoff.events import Ended, Event
from bakeoff.execute import companies, keep_maps
from bakeoff.fields import RecipeError
from bakeoff.plan import Plan, Progress, begin, opened
from bakeoff.recipe import Recipe
from bakeoff.settings import Settings
from bakeoff.study import Run, Study
from bakeoff.together import groups

MOST_DEATHS = 3  # workers that a task may cost; a run that is too large for its node costs each

_log = logging.getLogger(__name__)


def execute(
    study: Study,
    runs: Sequence[Run],
    folder: Path,
    settings: Settings,
    on_progress: Progress | None = None,
) -> Iterator[Event]:
    """Carry out `runs` of `study` on the cluster, as `bakeoff.execute` does here."""
    assert settings.cluster
    with session.connected(settings.cluster):
        cpus, gpus = session.resources(settings.cluster)
        here = replace(settings, device="cpu", step="auto")
        plan = opened(study, runs, folder, here, on_progress)
        there = replace(settings, device="cuda" if gpus else "cpu", cluster=None)
        place = worker.Place(study, folder.resolve(), uuid4().hex, Path.cwd(), there)
        _demand_alike(place, runs, session.nodes(cpus, gpus), gpus)
        sizes = begin(plan, runs)
        finished = {run.name for run in runs if plan.is_whole(run)}
        for run in runs:
            if run.name in finished:
                keep_maps(run, plan)
                yield Ended(run, reused=True)
        identities = {run.name: plan.identity(run) for run in runs}
        with _marked(place), giving(place, identities, cpus, gpus) as given:
            for task in _tasks(plan, runs, sizes, finished):
                given.give(task)
            yield from _followed(given, plan, len(runs) - len(finished))


@contextmanager
def _marked(place: worker.Place) -> Iterator[None]:
    """Let workers tell the study's folder from another one of that name on their own machine."""
    files.write_text(place.folder / worker.MARK, place.mark)
    try:
        yield
    finally:
        (place.folder / worker.MARK).unlink(missing_ok=True)


def _tasks(
    plan: Plan, runs: Sequence[Run], sizes: dict[Recipe, int | None], finished: set[str]
) -> Iterator[Task]:
    """Yield a task a company of heads, as they would be trained here, and one a run of the rest."""
    together: set[str] = set()
    for group in groups(runs, sizes, plan.num_classes, plan.datasets):
        for members, own in companies(group, plan):
            together |= {run.name for run in own}
            yield Task(tuple(members), tuple(own))
    for run in runs:
        if run.name not in finished | together:
            yield Task((run,), (run,))


def _followed(given: Giving, plan: Plan, total: int) -> Iterator[Event]:
    """Yield what happens on the cluster, until every task is over."""
    ended: set[str] = set()
    while given.running:
        if plan.on_progress:
            plan.on_progress(_doing(given), len(ended), total)
        for task, message in given.heard():
            match message:
                case worker.Warned():
                    _log.warning("%s", message.text)
                case worker.Arrived():
                    _written(message, plan)
                case Over():
                    left = tuple(run for run in task.own if run.name not in ended)
                    for event in _over(given, plan, replace(task, own=left), message):
                        ended.add(event.run.name)
                        yield event
                case _:
                    ended |= {message.run.name} if isinstance(message, Ended) else set()
                    yield message


def _over(given: Giving, plan: Plan, task: Task, over: Over) -> Iterator[Ended]:
    """Give out again what of a task did not end, or say that it failed."""
    names = ", ".join(run.name for run in task.own)
    if over.death and task.own and task.deaths + 1 < MOST_DEATHS:
        _log.warning("%s: %s; given out again", names, over.death)
        given.give(replace(task, deaths=task.deaths + 1))
    elif over.death or over.error:
        error = over.error or f"{MOST_DEATHS} workers died of it, the last: {over.death}"
        for run in task.own:
            with plan.alone(run, wait=False) as free, suppress(OSError):
                if free and not (plan.folder / run.name / checkpoint.NAME).exists():
                    store.write_state(
                        plan.folder / run.name, run, plan.identity(run), "failed", error=error
                    )
            yield Ended(run, error=error)
    else:  # heads that could not be trained together
        for run in task.own:
            given.give(Task((run,), (run,)))


def _written(arrived: worker.Arrived, plan: Plan) -> None:
    """Write a run that was carried out elsewhere into its folder, run.json last.

    Where another process has finished the run meanwhile, its files stay.
    """
    run, place = arrived.run, plan.folder / arrived.run.name
    with plan.alone(run, wait=True):
        plan.set_aside(run)
        if plan.is_whole(run):
            return
        for name in sorted(arrived.files, key=lambda name: name == "run.json"):
            with files.aside(place / name) as temporary:
                temporary.write_bytes(arrived.files[name])
        (place / checkpoint.NAME).unlink(missing_ok=True)


def _doing(given: Giving) -> str:
    if not session.nodes(given.cpus, given.gpus):
        return "waiting for a node that is large enough"
    return "runs on the cluster"


def _demand_alike(
    place: worker.Place, runs: Sequence[Run], nodes: dict[str, str], gpus: float
) -> None:
    """Refuse nodes whose runs could not be held against each other, or that lack photographs."""
    here = worker.versions()
    precisions: dict[str, str] = {}
    for node, found in seen(place, tuple(nodes), gpus).items():
        name = f"--on ray: node {nodes[node]}"
        if isinstance(found, str):
            raise RecipeError(f"{name}: {found}")
        for package, version in here.items():
            if found.versions[package] != version:
                there = found.versions[package]
                raise RecipeError(f"{name} has {package} {there}, this machine has {version}")
        if found.trouble:
            raise RecipeError(f"{name}: {found.trouble}")
        precisions[found.precision] = nodes[node]
    if len(precisions) > 1 and any(run.row.recipe.precision == "auto" for run in runs):
        said = " and ".join(f"{name} on {node}" for name, node in sorted(precisions.items()))
        raise RecipeError(f"precision: auto is {said}; set it, so that all runs are alike")
