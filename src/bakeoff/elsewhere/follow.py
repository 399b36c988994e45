"""What is new in a run folder or a report since it was last logged, and what a failure costs.

A tracker that fails costs one warning and no training: `log_study` catches up later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bakeoff.elsewhere.places import Destination, Logged, forget, recall, remember
from bakeoff.elsewhere.trackers import Log, Named, open_log
from bakeoff.events import Event, Started
from bakeoff.files import alone, checksum, lock_of
from bakeoff.recipe import digest, flat, in_words, parse
from bakeoff.scores import name_of, score
from bakeoff.store import RunFiles, read_run, read_runs, read_study
from bakeoff.study import Study

REPORT = "report"
KEPT = ("best_epoch", "peak_megabytes", "parameters", "trainable_parameters")

_log = logging.getLogger(__name__)


class Elsewhere:
    """Logs a study's runs and its report in every destination; opened and closed by `opened`."""

    def __init__(self, study: Study, folder: Path, where: Sequence[Destination]) -> None:
        self.study, self.folder, self.where = study, folder, list(where)
        self.open: dict[tuple[str, Path], Log] = {}
        self.failed: list[Destination] = []

    def event(self, event: Event) -> None:
        """Log what an event left in its run's folder."""
        if self.where and not isinstance(event, Started):
            run = event.run
            self.run(read_run(self.folder / run.name, run.row, run.seed))

    def run(self, run: RunFiles, *, over: bool = False) -> None:
        """Log what is new of a run; `over` where nobody is at it, whatever its run.json says."""
        if "identity" not in run.run:
            return
        for destination in tuple(self.where):
            with self._forgiving(destination):
                self._run(destination, run, over=over or run.state != "running")

    def report(self) -> None:
        """Attach the report's page, table and figures, unless they are there as they are now."""
        place = self.folder / REPORT
        paths = [*sorted((place / "figures").glob("*.png")), place / "table.md"]
        paths = [path for path in paths if path.is_file()]
        about = digest([checksum(path) for path in paths])
        for destination in tuple(self.where):
            with self._forgiving(destination):
                before = recall(place, destination)
                if not paths or (before and before.about == about):
                    continue
                tags = {"study": self.study.name, "question": self.study.question}
                named = Named(self.study.name, REPORT, REPORT, tags, before.id if before else "")
                log, step = open_log(destination, named), before.step + 1 if before else 1
                if not before:
                    log.describe({})
                for path in (*paths, self.folder / "report.html"):
                    log.attach(path, step)
                log.close("finished")
                remember(place, destination, Logged(about=about, id=log.id, step=step))

    def _run(self, destination: Destination, run: RunFiles, *, over: bool) -> None:
        again = "-fp32" if run.run.get("fp32_because") else ""
        about, place = run.run["identity"] + again, (destination.key, run.folder)
        before = recall(run.folder, destination)
        before = before if before and before.about == about else None
        known = before or Logged(about=about)
        new, finished = run.records[known.step :], run.state == "finished" and not known.finished
        if before and not new and not finished and place not in self.open:
            return
        name = name_of(run)
        tags = {**_tags(run), "study": self.study.name, "identity": run.run["identity"]}
        named = Named(self.study.name, name + again, name.rpartition("/")[0], tags, known.id)
        log = self.open[place] = self.open.get(place) or open_log(destination, named)
        recipe = {name: _plain(value) for name, value in flat(parse(run.recipe)).items()}
        if not before:
            log.describe(recipe)
        for record in new:
            fields = asdict(record)
            step = fields.pop("epoch")
            log.measure(fields, step)
        step = max(known.step, len(run.records))
        if finished:
            log.conclude(recipe, outcome(run), step)
            _attach_figures(log, run, step)
        done = known.finished or finished
        remember(run.folder, destination, Logged(about=about, id=log.id, step=step, finished=done))
        if over:
            self.open.pop(place).close(run.state)

    @contextmanager
    def _forgiving(self, destination: Destination) -> Iterator[None]:
        """Leave a destination out as soon as it fails, and say so once."""
        from bakeoff.machine import quiet

        try:
            with quiet():
                yield
        except Exception as failure:  # whatever a tracker does must not cost a training
            said = str(failure).strip().split("\n", maxsplit=1)[0] or type(failure).__name__
            later = f"`bakeoff report {self.folder} --log {destination.key.replace(' ', '=')}`"
            _log.warning("%s: %s; %s logs what is missing", destination.key, said[:300], later)
            self.where.remove(destination)
            self.failed.append(destination)
            self._let_go(destination.key)

    def _let_go(self, key: str) -> None:
        for place in [place for place in self.open if place[0] == key]:
            with suppress(Exception):
                self.open.pop(place).close("interrupted")

    def close(self) -> None:
        """Let go of what is open: runs that were interrupted."""
        for key, _ in tuple(self.open):
            self._let_go(key)


@contextmanager
def opened(study: Study, folder: Path, where: Sequence[Destination]) -> Iterator[Elsewhere]:
    """Open destinations for a study; whatever happens, they are let go of."""
    forget(folder, where)
    elsewhere = Elsewhere(study, folder, where)
    try:
        yield elsewhere
    finally:
        elsewhere.close()


def log_study(folder: Path, where: Sequence[Destination]) -> int:
    """Log what the destinations lack of the study in `folder`; return how many of them failed.

    Runs that another process is at are left to it.
    """
    with opened(read_study(folder), folder, where) as elsewhere:
        for run in read_runs(folder):
            if "identity" in run.run:
                with alone(lock_of(run.folder), wait=False) as free:
                    if free:
                        elsewhere.run(run, over=True)
        elsewhere.report()
        return len(elsewhere.failed)


def outcome(run: RunFiles) -> dict[str, float]:
    """Return what a finished run came to: its test figures, and the others at its best epoch."""
    measured = score(run)
    found: dict[str, Any] = {
        name: getattr(measured, name) for name in ("test_accuracy", "test_loss")
    }
    for name in ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss"):
        found[f"best_{name}"] = getattr(measured, name)
    found |= {"run_seconds": measured.seconds, **{name: run.run.get(name) for name in KEPT}}
    return {name: value for name, value in found.items() if value is not None}


def _tags(run: RunFiles) -> dict[str, str]:
    change = {name: (old, new) for name, (old, new) in run.change.items()}
    own = {"table": run.table, "variant": run.variant, "seed": str(run.seed)}
    return {**own, "change": in_words(change) if change else "base"}


def _plain(value: Any) -> str | float | bool:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _attach_figures(log: Log, run: RunFiles, step: int) -> None:
    """Attach the run's curves and its confusion matrix."""
    from bakeoff import paper
    from bakeoff.colours import looks
    from bakeoff.confusion import pooled
    from bakeoff.figures.curves import curve_figure
    from bakeoff.figures.results import confusion_figure
    from bakeoff.tables import summarise

    (row,) = summarise([run])
    (look,) = looks([(row.table, row.variant, True)]).values()
    drawn = {"curves": curve_figure(row, look)}
    if found := pooled(row):
        title = name_of(run)
        drawn["confusion"] = confusion_figure(found.counts, found.classes, title)
    with TemporaryDirectory() as folder:
        for stem, figure in drawn.items():
            for path in paper.save(figure, Path(folder), stem, ("png",)):
                log.attach(path, step)
