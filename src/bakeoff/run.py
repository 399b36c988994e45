"""One run: a recipe and a seed become a finished run folder, or go on from where they stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np
import torch

from bakeoff import checkpoint, head_first, loop, machine, rates, store
from bakeoff.data.dataset import Dataset
from bakeoff.measuring import predicted
from bakeoff.models import folder as model_folder
from bakeoff.models import weights
from bakeoff.models.parts import Net
from bakeoff.prepare import Job, Prepared, Progress, prepare, proof, split_of
from bakeoff.ranks import ALONE, Ranks
from bakeoff.sharded import whole
from bakeoff.stepping import Steps
from bakeoff.stopping import noted, undivided
from bakeoff.store import Predictions, Record
from bakeoff.study import Run

SECONDS_BETWEEN_CHECKPOINTS = 20.0
SHARE_FOR_CHECKPOINTS = 0.05  # of the time, at most


def run(
    folder: Path,
    run_: Run,
    dataset: Dataset,
    where: torch.device,
    steps: Steps | None = None,
    ranks: Ranks = ALONE,
    *,
    offline: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[Record]:
    """Train `run_` on `dataset` and fill `folder`; yield each new record.

    Interrupted (KeyboardInterrupt) or killed, the same call goes on where it was, with the same
    numbers as if nothing had happened. A loss that is no number in bf16 is answered once, by a
    second training in fp32. Other processes (`ranks`) are called to help. Raises TrainingError for
    a run that failed.
    """
    identity = store.identity(run_, dataset.fingerprint, *weights.digests(run_.row.recipe))
    machine.reset_peak(where)
    with noted(ranks.size > 1):
        because = store.begin(folder, run_, identity)
        precision = "fp32" if because else machine.precision(run_.row.recipe.precision, where)
        how = offline, on_progress, steps or Steps(), ranks
        yield from _run(Job(folder, run_, identity, dataset, where, precision, because, *how))


def _run(job: Job) -> Iterator[Record]:
    folder, run_, identity = job.folder, job.run, job.identity
    try:
        try:
            yield from _called(job)
        except loop.NotFiniteError as error:
            job = replace(job, precision="fp32", fp32_because=f"{error} in {job.precision}")
            store.write_state(folder, run_, identity, "running", fp32_because=job.fp32_because)
            yield from _called(job)
    except (KeyboardInterrupt, GeneratorExit):
        store.write_state(folder, run_, identity, "interrupted", fp32_because=job.fp32_because)
        raise
    except (loop.TrainingError, torch.OutOfMemoryError) as error:
        memory = "the device's memory is full: try a smaller batch or size"
        said = str(error) if isinstance(error, loop.TrainingError) else memory
        more = {"fp32_because": job.fp32_because, "error": said}
        store.write_state(folder, run_, identity, "failed", **more)
        raise loop.TrainingError(said) from error


def _called(job: Job) -> Iterator[Record]:
    """Train with all processes; `joining.follow` does there what follows here."""
    job.ranks.call("train", job.run, job.identity, job.precision)
    with job.ranks.alike():
        pass  # the others read the photographs
    yield from trained(job)


def trained(job: Job) -> Iterator[Record]:
    """Train in one precision to the end, keeping a checkpoint on the way and when interrupted.

    Every process does this; the first one alone writes.
    """
    with job.ranks.guarded(loop.TrainingError):
        yield from _attempt(job)


def _attempt(job: Job) -> Iterator[Record]:
    began = perf_counter()
    job = rates.resolved(job)
    prepared = prepare(job)
    training, recipe, ranks = prepared.training, job.run.row.recipe, job.ranks
    before = proof(prepared.net, prepared.frozen)
    key = {"identity": job.identity, "precision": job.precision}
    clock = checkpoint.restore(job.folder, training, job.where, ranks, **key) - began
    if recipe.head_epochs and not training.records and not training.under_way:
        head_first.train(job, prepared)
    ranks.first(store.write_records, job.folder, training.records)
    split = split_of(job.dataset, recipe, job.run.seeds["order"])
    _demand_enough(split["train"], recipe.batch, ranks)
    due = monotonic() + SECONDS_BETWEEN_CHECKPOINTS

    def keep() -> None:
        nonlocal due
        now = monotonic()
        with undivided():
            checkpoint.save(job.folder, training, clock + perf_counter(), ranks, **key)
        took = monotonic() - now
        due = monotonic() + max(SECONDS_BETWEEN_CHECKPOINTS, took / SHARE_FOR_CHECKPOINTS)

    def on_step(done: int, total: int) -> None:
        if ranks.agreed(monotonic() >= due):
            keep()
        if job.on_progress:
            job.on_progress(f"epoch {training.epoch + 1}/{recipe.epochs}", done, total)

    try:
        what = prepared.fabric, training, recipe, prepared.inputs, split, job.run.seeds
        for record in loop.epochs(*what, on_step, job.steps.make, prepared.teacher):
            ranks.first(store.write_records, job.folder, training.records)
            if ranks.agreed(monotonic() >= due):
                keep()
            shown = perf_counter()
            with ranks.alike():
                yield record
            clock -= perf_counter() - shown  # what is done with a record is no cost of the run
        loop.restore_best(training)
        unchanged = proof(prepared.net, prepared.frozen) == before
        finish(job, prepared, split, unchanged, clock)
    except (KeyboardInterrupt, GeneratorExit):
        if training.whole:
            keep()
        raise
    except loop.NotFiniteError as error:
        if job.precision != "fp32":
            raise
        raise loop.TrainingError(f"{error}: try a smaller lr{_kept(job, prepared)}") from error


def _demand_enough(rows: torch.Tensor, batch: int, ranks: Ranks) -> None:
    smallest = len(rows) // math.ceil(len(rows) / batch)
    if smallest < ranks.size:
        raise loop.TrainingError(
            f"batch: {smallest} photographs cannot be shared by {ranks.size} processes"
        )


def _kept(job: Job, prepared: Prepared) -> str:
    """Keep the model of the best epoch so far, and say so; an empty text where there is none."""
    training = prepared.training
    if not training.best_epoch:
        return ""
    loop.restore_best(training)
    recipe, classes = job.run.row.recipe, job.dataset.classes
    tensors = whole(prepared.net.module.state_dict())
    job.ranks.first(
        model_folder.write, job.folder / "model", prepared.net, recipe, classes, tensors
    )
    return f"; epoch {training.best_epoch}, the best before, is kept in model/"


def finish(
    job: Job,
    prepared: Prepared,
    split: Mapping[str, torch.Tensor],
    unchanged: bool,
    clock: float,
    *,
    at_once: int = 1,
) -> None:
    """Write what the net, as its best epoch left it, predicts, the model, and run.json last.

    `unchanged` tells whether what was frozen is as it was; `clock` is what has to be added to the
    present to get the seconds spent; `at_once` runs were trained together.
    """
    training, net, recipe = prepared.training, prepared.net, job.run.row.recipe
    dataset = job.dataset
    if not unchanged:
        raise loop.TrainingError("frozen tensors changed during training: this is a defect")
    best = training.records[training.best_epoch - 1]
    ids = np.array(dataset.photographs.paths)
    predictions: dict[store.Split, Predictions] = {}
    for name in ("validation", "test"):
        what = training.model, prepared.inputs, split[name], recipe.batch
        logits = predicted(*what, recipe.views)
        rows = split[name].numpy()
        predictions[name] = Predictions(ids[rows], dataset.labels[rows], logits.numpy())
    tensors = whole(net.module.state_dict())
    finished = store.Finished(
        classes=dataset.classes,
        best_epoch=training.best_epoch,
        train_accuracy=best.clean_accuracy,
        train_loss=best.clean_loss,
        train_images=len(split["train"]),
        seconds=clock + perf_counter(),
        images_per_second=float(np.median([r.images_per_second for r in training.records])),
        peak_megabytes=machine.peak_megabytes(job.where),
        parameters=sum(p.numel() for p in net.module.parameters()),
        trainable_parameters=sum(p.numel() for p in net.module.parameters() if p.requires_grad),
        frozen_unchanged=unchanged if prepared.frozen else None,
        test_reads=1,
        data={"fingerprint": dataset.fingerprint, **dataset.notes},
        environment=machine.environment(
            job.where, job.precision, step=job.steps.used, **job.ranks.described()
        ),
        fp32_because=job.fp32_because,
        at_once=at_once,
    )
    job.ranks.first(_write, job, net, tensors, predictions, finished)


def _write(
    job: Job,
    net: Net,
    tensors: Mapping[str, torch.Tensor],
    predictions: Mapping[store.Split, Predictions],
    finished: store.Finished,
) -> None:
    """Fill the folder of a run that is finished."""
    store.write_predictions(job.folder, predictions)
    model_folder.write(job.folder / "model", net, job.run.row.recipe, job.dataset.classes, tensors)
    store.finish(job.folder, job.run, job.identity, finished)
