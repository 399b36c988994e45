"""A plan of runs, carried out here: everything is checked first, then one run after another.

It yields what happens (`bakeoff.events`) and shows nothing; `bakeoff.display` does that.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from bakeoff import checkpoint, integrity, machine, store
from bakeoff.events import Ended, Event, Measured, Started
from bakeoff.explain.stored import MAPS
from bakeoff.joining import joined
from bakeoff.loop import TrainingError
from bakeoff.plan import Plan, Progress, begin, opened
from bakeoff.run import run
from bakeoff.settings import Settings
from bakeoff.study import Run, Study
from bakeoff.together import begun_with, groups, run_together

_log = logging.getLogger(__name__)


def execute(
    study: Study,
    runs: Sequence[Run],
    folder: Path,
    settings: Settings,
    on_progress: Progress | None = None,
) -> Iterator[Event]:
    """Carry out `runs` of `study` in `folder`; finished ones are not repeated, damaged ones are.

    Whatever can be wrong is refused before the first batch (RecipeError or DataError). A run that
    fails, for whatever reason, does not stop the others. Any number of processes may do this in
    one folder: each run is one's alone, and all wait for the last. Maps show each first seed.
    """
    plan = opened(study, runs, folder, settings, on_progress)
    sizes = begin(plan, runs)
    joined().call("open", study.data, settings)
    ended: set[str] = set()
    with plan.steps:
        for group in groups(runs, sizes, plan.num_classes, plan.datasets):
            for event in _at_once(group, plan):
                ended |= {event.run.name} if isinstance(event, Ended) else set()
                yield event
        yield from one_by_one([run_ for run_ in runs if run_.name not in ended], plan)


def one_by_one(runs: Sequence[Run], plan: Plan) -> Iterator[Event]:
    """Carry out each run, at last those that another process had."""
    others = []
    for run_ in runs:
        with plan.alone(run_, wait=False) as free:
            if free:
                yield from _carried_out(run_, plan)
            else:
                others.append(run_)
    for run_ in others:
        if plan.on_progress:
            plan.on_progress(f"waiting for another process, which has {run_.name}", 0, 0)
        with plan.alone(run_, wait=True):
            yield from _carried_out(run_, plan)


def _at_once(group: Sequence[Run], plan: Plan) -> Iterator[Event]:
    """Train those heads of `group` together that nobody has trained or is training.

    What does not end here is left to be run by itself, and to say there what is wrong.
    """
    with ExitStack() as locks:
        free = [run_ for run_ in group if locks.enter_context(plan.alone(run_, wait=False))]
        for members, own in companies(free, plan):
            yield from in_company(members, own, plan)


def companies(runs: Sequence[Run], plan: Plan) -> list[tuple[list[Run], list[Run]]]:
    """Return which of `runs` are to be trained together, and for the sake of which.

    Those that were begun together go on together, with what of them is finished as company: how
    many heads one product has decides the last bits of each.
    """
    begun: dict[tuple[str, ...], list[Run]] = {}
    for run_ in runs:
        if begins(plan.folder / run_.name, plan.state(run_)):
            begun.setdefault(begun_with(plan.folder / run_.name), []).append(run_)
    found = [
        ([run_ for run_ in runs if run_.name in names] if names else own, own)
        for names, own in begun.items()
    ]
    return [(members, own) for members, own in found if len(members) > 1]


def in_company(members: Sequence[Run], own: Sequence[Run], plan: Plan) -> Iterator[Event]:
    """Train the heads of all `members` together, for the sake of `own`; the others are finished."""
    jobs = [plan.job(run_) for run_ in members]
    yield from (Started(run_) for run_ in own)
    try:
        for run_, record in run_together(jobs, {run_.name for run_ in members if run_ not in own}):
            if record:
                yield Measured(run_, record)
            else:
                keep_maps(run_, plan)
                yield Ended(run_)
    except Exception as failure:
        _log.warning("heads could not be trained together: %s", said(failure))


def begins(place: Path, state: integrity.State) -> bool:
    """Tell whether a run has to begin: it never did, or was stopped or killed before a checkpoint.

    `running` is a run that was killed, since nobody else has its lock.
    """
    stopped = state in ("interrupted", "running") and not (place / checkpoint.NAME).exists()
    return stopped or not place.exists()


def _carried_out(run_: Run, plan: Plan) -> Iterator[Event]:
    """Carry out one run, unless it is finished and whole; yield what happens."""
    place = plan.folder / run_.name
    plan.set_aside(run_)
    finished = plan.is_whole(run_)
    if not finished:
        yield Started(run_)
    error = ""
    try:
        if not finished:
            what = place, run_, plan.dataset(run_), plan.where
            offline, shown, how = plan.settings.offline, plan.on_progress, (plan.steps, joined())
            for record in run(*what, *how, offline=offline, on_progress=shown):
                yield Measured(run_, record)
    except TrainingError as failure:
        error = str(failure)
    except Exception as failure:  # whatever broke this run must not stop the others
        error = said(failure)
        with suppress(OSError):
            more = {"error": error, "traceback": traceback.format_exc()}
            store.write_state(place, run_, plan.identity(run_), "failed", **more)
    if not error:
        keep_maps(run_, plan)
    yield Ended(run_, reused=finished, error=error)


def keep_maps(run_: Run, plan: Plan) -> None:
    """Keep maps of a finished run with the study's first seed; it is as good without them."""
    place, dataset = plan.folder / run_.name, plan.dataset(run_)
    if run_.seed != plan.study.seeds[0] or (place / MAPS).is_file():
        return
    machine.trim_memory()
    try:
        from bakeoff.explain.keep import keep_run_maps  # with Captum: 2 s that other runs spare

        init, offline = run_.seeds["init"], plan.settings.offline
        keep_run_maps(place, dataset, init, plan.where, offline=offline)
    except Exception as failure:  # pictures must not cost a study
        _log.warning("%s: no maps could be kept: %s", place, said(failure))


def said(failure: Exception) -> str:
    """Say an exception in one line; an error of the system in the system's words."""
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror} ({failure.filename})" if failure.filename else failure.strerror
    first = str(failure).strip().split("\n", maxsplit=1)[0]
    return f"{type(failure).__name__}: {first}" if first else type(failure).__name__
