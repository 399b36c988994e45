"""The three trackers, each spoken to through Lightning's logger for it.

What is called is said by `Log`. Nothing here decides what is logged, and nothing is imported before
something is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from bakeoff.elsewhere.places import Destination
from bakeoff.recipe import digest

Metrics = Mapping[str, float]
QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""A server that is down holds a training up for seconds, not minutes; nobody else is told."""


_ENDS = {"finished": "FINISHED", "failed": "FAILED"}


@dataclass(frozen=True)
class Named:
    """What is logged: its experiment, its own name, the group it belongs to, and its tags.

    `id` is the tracker's own name of what it has already, or an empty text.
    """

    experiment: str
    name: str
    group: str
    tags: Mapping[str, str]
    id: str = ""


class Log(Protocol):
    """One run or report in one tracker, open for writing; `id` is the tracker's name for it."""

    id: str

    def describe(self, recipe: Mapping[str, Any]) -> None:
        """Say once what it is."""

    def measure(self, metrics: Metrics, step: int) -> None:
        """Log an epoch."""

    def conclude(self, recipe: Mapping[str, Any], metrics: Metrics, step: int) -> None:
        """Log what is known at the end."""

    def attach(self, path: Path, step: int) -> None:
        """Show a picture (PNG), a page (HTML) or a table (Markdown)."""

    def close(self, state: str) -> None:
        """Let go, saying how it ended."""


class _TensorBoard:
    """A folder of event files, `place`/experiment/name."""

    def __init__(self, destination: Destination, named: Named) -> None:
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        place, name = destination.place, named.experiment
        self.logger = TensorBoardLogger(place, name, named.name, default_hp_metric=False)
        self.id = ""
        self.tags = named.tags

    def describe(self, recipe: Mapping[str, Any]) -> None:
        for title, fields in (("tags", self.tags), ("recipe", recipe)):
            lines = (f"| {name} | {value} |\n" for name, value in fields.items())
            if fields:
                text = f"| field | value |\n|---|---|\n{''.join(lines)}"
                self.logger.experiment.add_text(title, text, 0)
        self.logger.save()

    def measure(self, metrics: Metrics, step: int) -> None:
        self.logger.log_metrics(metrics, step)
        self.logger.save()

    def conclude(self, recipe: Mapping[str, Any], metrics: Metrics, step: int) -> None:
        self.logger.log_hyperparams(dict(recipe), dict(metrics), step)

    def attach(self, path: Path, step: int) -> None:
        if path.suffix == ".png":
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self.logger.experiment.add_image(path.stem, pixels, step, dataformats="HWC")
        elif path.suffix == ".md":
            self.logger.experiment.add_text(path.stem, path.read_text(encoding="utf-8"), step)

    def close(self, state: str) -> None:
        self.logger.finalize(state)


class _MLflow:
    """A run of an experiment of the same name; what is attached becomes its artifacts."""

    def __init__(self, destination: Destination, named: Named) -> None:
        for name, value in QUICK.items():
            os.environ.setdefault(name, value)
        import mlflow  # configures its logging when it is imported
        from pytorch_lightning.loggers import MLFlowLogger

        logging.getLogger(mlflow.__name__).setLevel(logging.WARNING)
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        file = Path(destination.place.removeprefix("sqlite:///"))
        inside = destination.key == "mlflow"
        if inside:
            file.parent.mkdir(parents=True, exist_ok=True)
        self.logger = MLFlowLogger(
            named.experiment,
            run_name=named.name,
            tracking_uri=destination.place,
            tags=dict(named.tags),
            artifact_location=(file.parent / "artifacts").as_uri() if inside else None,
            run_id=named.id or None,
        )
        with _environment_kept("MLFLOW_TRACKING_URI"):  # which would decide for the next study
            self.id = self.logger.run_id or ""
        if named.id:
            self.logger.experiment.update_run(self.id, status="RUNNING")

    def describe(self, recipe: Mapping[str, Any]) -> None:
        self.logger.log_hyperparams(dict(recipe))

    def measure(self, metrics: Metrics, step: int) -> None:
        self.logger.log_metrics(metrics, step)

    def conclude(self, recipe: Mapping[str, Any], metrics: Metrics, step: int) -> None:
        del recipe  # is there since the beginning
        self.logger.log_metrics(metrics, step)

    def attach(self, path: Path, step: int) -> None:
        del step  # an artifact replaces the one before
        place = "figures" if path.suffix == ".png" else None
        self.logger.experiment.log_artifact(self.id, str(path), place)

    def close(self, state: str) -> None:
        self.logger.finalize(_ENDS.get(state, "KILLED"))


class _WeightsAndBiases:
    """A run of a project of the same name, grouped by variant; offline, a folder to be synced."""

    def __init__(self, destination: Destination, named: Named) -> None:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        self.id = named.id or digest(named.experiment, named.name, dict(named.tags))
        Path(destination.place).mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=named.experiment,
            name=named.name,
            group=named.group,
            id=self.id,
            resume="allow",
            config=dict(named.tags),
            dir=destination.place,
            mode="offline" if destination.offline else None,
            reinit="create_new",  # several runs may be open at once
            settings=wandb.Settings(console="off", silent=True, init_timeout=20),
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        self.logger = WandbLogger(experiment=run)

    def describe(self, recipe: Mapping[str, Any]) -> None:
        self.logger.log_hyperparams(dict(recipe))

    def measure(self, metrics: Metrics, step: int) -> None:
        self._log(metrics, step)

    def conclude(self, recipe: Mapping[str, Any], metrics: Metrics, step: int) -> None:
        del recipe  # is there since the beginning
        self._log(metrics, step, after=True)

    def attach(self, path: Path, step: int) -> None:
        import wandb

        if path.suffix == ".png":
            self._log({path.stem: [wandb.Image(str(path))]}, step, after=True)
        elif path.suffix == ".html":
            self._log({path.stem: wandb.Html(str(path), inject=False)}, step, after=True)

    def _log(self, content: Mapping[str, Any], step: int, *, after: bool = False) -> None:
        """Log at our own step, not W&B's count: offline that begins anew in a resumed run."""
        row = {**content, "trainer/global_step": step}
        self.logger.experiment.log(row, step=step + after, commit=not after)

    def close(self, state: str) -> None:
        self.logger.finalize(state)
        self.logger.experiment.finish(exit_code=0 if state == "finished" else 1)


@contextmanager
def _environment_kept(name: str) -> Iterator[None]:
    """Put an environment variable back, whatever was done to it."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def open_log(destination: Destination, named: Named) -> Log:
    """Open what is to be logged in its tracker."""
    return _TRACKERS[destination.tracker](destination, named)


_TRACKERS: dict[str, Callable[[Destination, Named], Log]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WeightsAndBiases,
}
