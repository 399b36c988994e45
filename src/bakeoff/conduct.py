"""What `run` and `train` do: carry a study out, show it while it runs, report it, hand over."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bakeoff import elsewhere, machine
from bakeoff import study as studies
from bakeoff.cluster import connected, execute
from bakeoff.data.audit import audit
from bakeoff.data.audit_view import counting
from bakeoff.data.dataset import load
from bakeoff.data.findings import Audit
from bakeoff.decide import MOST_SEEDS, decisions, seconds
from bakeoff.decide import until_decided as decide
from bakeoff.display import Display, counted, showing
from bakeoff.events import Ended, Event, Measured, Started
from bakeoff.evidence.foreseen import undecidable
from bakeoff.evidence.power import noise_floor as floor_of
from bakeoff.evidence.reading import series
from bakeoff.explain.stored import CAMS
from bakeoff.fields import RecipeError
from bakeoff.files import alone, write_json
from bakeoff.handover import best_run, hand_over
from bakeoff.mirror import Mirror, put, put_all
from bakeoff.recipe import parse
from bakeoff.report import rows_of, write
from bakeoff.settings import Settings
from bakeoff.store import read_runs
from bakeoff.study import Row, Run, Study
from bakeoff.terminal import show

PANELS_ON_CPU = 12  # Grad-CAM with its checks: 1.5 s a panel of ResNet-18 at 224 px on 2 cores


@dataclass(frozen=True)
class Job:
    """A study, its folder, how to run it, and where results (`out`) and progress (`err`) go.

    `mirror` is the address that the folder stands for, if it does.
    """

    study: Study
    folder: Path
    settings: Settings
    out: Console
    err: Console
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        """Refuse a tracker that cannot be logged to, before anything is done."""
        self.logged()

    def logged(self) -> tuple[elsewhere.Destination, ...]:
        """Return where records go besides the study's folder."""
        return elsewhere.destinations(self.settings.log, self.folder, offline=self.settings.offline)


def plan(job: Job, runs: Sequence[Run]) -> int:
    """Carry out `runs` and report; return how many failed."""
    for said in undecidable(job.study, runs):
        job.err.print(f"plan: {said}", highlight=False, soft_wrap=True)
    found = _check(job, runs[0].row.recipe.side)
    with elsewhere.opened(job.study, job.folder, job.logged()) as log:
        failed = _follow(
            job,
            log,
            dict(counted(runs)),
            lambda shown: execute(job.study, runs, job.folder, job.settings, shown.progress),
        )
        _report(job, log, {run.row.table for run in runs}, found)
    return failed


def until_decided(job: Job, only: Sequence[str], budget: str) -> int:
    """Add seeds until every chosen change is decided, and report; return how many runs failed."""
    limit = seconds(budget) if budget else None
    rows = studies.rows(job.study, only)
    tables = {row.table for row in rows}
    bases = [row for row in studies.rows(job.study) if row.is_base and row.table in tables]
    found = _check(job, rows[0].recipe.side)
    with elsewhere.opened(job.study, job.folder, job.logged()) as log:
        failed = _follow(
            job,
            log,
            dict.fromkeys([*bases, *(row for row in rows if not row.is_base)]),
            lambda shown: decide(
                job.study,
                only,
                job.folder,
                job.settings,
                budget_seconds=limit,
                on_progress=shown.progress,
            ),
        )
        _report(job, log, tables, found)
    chosen = {(row.table, row.variant) for row in rows}
    for (table, variant), step in decisions(job.study, job.folder).items():
        if (table, variant) in chosen:
            end = "the same command goes on" if step.more else f"{MOST_SEEDS} cannot decide it"
            said = step.decided or f"undecided, {end}"
            job.out.print(f"{table}/{variant}: {said} (after {step.seeds} seeds)", soft_wrap=True)
    return failed


def noise_floor(job: Job, only: Sequence[str], count: int) -> None:
    """Run the bases alone with `count` seeds, and say which differences mean nothing."""
    if count < 2:
        raise RecipeError(f"--noise-floor: {count} is not allowed; at least 2 seeds show a spread")
    tables = {row.table for row in studies.rows(job.study, only)}
    every = studies.runs(job.study, seeds=count)
    runs = [run for run in every if run.row.is_base and run.row.table in tables]
    with elsewhere.opened(job.study, job.folder, job.logged()) as log:
        _follow(
            job,
            log,
            dict(counted(runs)),
            lambda shown: execute(job.study, runs, job.folder, job.settings, shown.progress),
        )
    for base in (row for row in series(read_runs(job.folder), "test") if row.is_base):
        floor = floor_of(base.accuracies)
        if base.table in tables and floor:
            job.out.print(
                f"{base.name}: {100 * floor.mean:.1f} ± {100 * floor.deviation:.1f} % over "
                f"{floor.count} seeds; differences under {100 * floor.single:.1f} points between "
                "two single runs mean nothing here",
                soft_wrap=True,
            )


def _follow(
    job: Job,
    log: elsewhere.Elsewhere,
    planned: Mapping[Row, int | None],
    events: Callable[[Display], Iterator[Event]],
) -> int:
    """Show events as they come; return how many runs failed."""
    reused, failed = 0, 0
    with (
        connected(job.settings),
        showing(job.err, planned) as shown,
        _closing(events(shown)) as happening,
    ):
        for event in happening:
            log.event(event)
            match event:
                case Started():
                    shown.started(event.run)
                case Measured():
                    shown.measured(event.run, event.record)
                case Ended():
                    shown.ended(event.run, event.error)
                    reused, failed = reused + event.reused, failed + bool(event.error)
                    if job.mirror and not event.error:
                        put(job.mirror, event.run.name)
    if reused:
        job.err.print(f"{reused} runs were finished already")
    return failed


@contextmanager
def _closing(happening: Iterator[Event]) -> Iterator[Iterator[Event]]:
    """Let runs that are under way keep a checkpoint, also when what shows them is interrupted."""
    try:
        yield happening
    finally:
        if isinstance(happening, Generator):
            happening.close()


def _check(job: Job, side: int) -> Audit | None:
    """Look the photographs over, as `bakeoff check` does, and say what harms; None for drawn ones.

    The pixel store is that of the training, so that nothing is decoded twice.
    """
    if job.study.data.source == "plates":
        return None
    with counting(job.err) as progress:
        found = audit(job.study.data, side=side, offline=job.settings.offline, progress=progress)
    for finding in found.harmful:
        times = f"{finding.count} x " if finding.count else ""
        job.err.print(f"check: {times}{finding.title}", highlight=False, soft_wrap=True)
    return found


def _report(job: Job, log: elsewhere.Elsewhere, tables: set[str], found: Audit | None) -> None:
    """Write the report, print the rows of `tables`, and say where report and model lie."""
    with alone(job.folder / ".report.lock", wait=True):  # processes that share a study take turns
        if found:
            write_json(job.folder / "check.json", found.as_json())
        _explain(job)
        paths, best = write(job.folder), hand_over(job.folder)
        log.report()
    show([row for row in rows_of(job.folder) if row.table in tables], job.out)
    job.out.print(f"Report: {paths.page}", soft_wrap=True)
    if best:
        job.out.print(f"Model:  {best}", soft_wrap=True)
    if job.mirror:
        put_all(job.mirror)
        job.out.print(f"Kept:   {job.mirror}", soft_wrap=True)


def _explain(job: Job) -> None:
    """Keep Grad-CAM panels of the best run, unless it has some."""
    best = best_run(job.folder)
    if best is None or (best.folder / CAMS).is_file():
        return
    from bakeoff.explain.keep import MOST_PANELS, keep_cams

    settings = job.settings
    where = machine.device(settings.device)
    machine.trim_memory()
    panels = PANELS_ON_CPU if where.type == "cpu" else MOST_PANELS
    with counting(job.err) as progress:
        dataset = load(
            job.study.data,
            parse(best.recipe).side,
            seed=best.run["seeds"]["split"],
            skip_bad=settings.skip_bad,
            offline=settings.offline,
            progress=progress,
        )
        keep_cams(best, dataset, where, most=panels, on_progress=progress)
