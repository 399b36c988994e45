"""One run: a recipe and a seed become a finished run folder, or go on from where they stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np
import torch
from lightning_fabric import Fabric

from bakeoff import checkpoint, features, machine, seeds, step, store, train
from bakeoff.data.cache import cache_dir
from bakeoff.data.dataset import Dataset
from bakeoff.data.photographs import SPLITS
from bakeoff.inputs import NO_AUGMENT, Inputs, from_pixels, share_of
from bakeoff.models import folder as model_folder
from bakeoff.models import weights, zoo
from bakeoff.models.parts import Net, freeze, frozen_prefix, tail
from bakeoff.recipe import Recipe
from bakeoff.stopping import undivided
from bakeoff.store import Predictions, Record
from bakeoff.study import Run

SECONDS_BETWEEN_CHECKPOINTS = 20.0
SHARE_FOR_CHECKPOINTS = 0.05  # of the time, at most

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Job:
    """A run, where its folder is, and how it is carried out."""

    folder: Path
    run: Run
    identity: str
    dataset: Dataset
    where: torch.device
    precision: str
    fp32_because: str
    offline: bool
    on_progress: Progress | None


@dataclass(frozen=True)
class Prepared:
    """A net with its start weights, what of it is frozen, and what enters the rest of it."""

    fabric: Fabric
    net: Net
    frozen: frozenset[str]
    inputs: Inputs
    training: train.Training


def run(
    folder: Path,
    run_: Run,
    dataset: Dataset,
    where: torch.device,
    *,
    offline: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[Record]:
    """Train `run_` on `dataset` and fill `folder`; yield each new record.

    Interrupted (KeyboardInterrupt) or killed, the same call goes on where it was, with the same
    numbers as if nothing had happened. A loss that is no number in bf16 is answered once, by a
    second training in fp32. Raises TrainingError for a run that failed.
    """
    identity = store.identity(run_, dataset.fingerprint, weights.digest(run_.row.recipe.weights))
    machine.reset_peak(where)
    because = store.begin(folder, run_, identity)
    precision = "fp32" if because else machine.precision(run_.row.recipe.precision, where)
    job = _Job(folder, run_, identity, dataset, where, precision, because, offline, on_progress)
    try:
        try:
            yield from _attempt(job)
        except train.NotFiniteError as error:
            job = replace(job, precision="fp32", fp32_because=f"{error} in {precision}")
            store.write_state(folder, run_, identity, "running", fp32_because=job.fp32_because)
            yield from _attempt(job)
    except (KeyboardInterrupt, GeneratorExit):
        store.write_state(folder, run_, identity, "interrupted", fp32_because=job.fp32_because)
        raise
    except (train.TrainingError, torch.OutOfMemoryError) as error:
        memory = "the device's memory is full: try a smaller batch or size"
        said = str(error) if isinstance(error, train.TrainingError) else memory
        more = {"fp32_because": job.fp32_because, "error": said}
        store.write_state(folder, run_, identity, "failed", **more)
        raise train.TrainingError(said) from error


def _attempt(job: _Job) -> Iterator[Record]:
    """Train in one precision to the end, keeping a checkpoint on the way and when interrupted."""
    began = perf_counter()
    prepared = _prepare(job)
    training, recipe = prepared.training, job.run.row.recipe
    before = _proof(prepared.net, prepared.frozen)
    key = {"identity": job.identity, "precision": job.precision}
    clock = checkpoint.restore(job.folder, training, job.where, **key) - began
    store.write_records(job.folder, training.records)
    split = _split(job.dataset, recipe, job.run.seeds["order"])
    due = monotonic() + SECONDS_BETWEEN_CHECKPOINTS

    def keep(when: float) -> None:
        nonlocal due
        if (now := monotonic()) >= when:
            with undivided():
                checkpoint.save(job.folder, training, clock + perf_counter(), **key)
            took = monotonic() - now
            due = monotonic() + max(SECONDS_BETWEEN_CHECKPOINTS, took / SHARE_FOR_CHECKPOINTS)

    def on_step(done: int, total: int) -> None:
        keep(due)
        if job.on_progress:
            job.on_progress(f"epoch {training.epoch + 1}/{recipe.epochs}", done, total)

    try:
        for record in train.epochs(
            prepared.fabric, training, recipe, prepared.inputs, split, job.run.seeds, on_step
        ):
            store.write_records(job.folder, training.records)
            keep(due)
            yield record
        _finish(job, prepared, split, before, clock)
    except (KeyboardInterrupt, GeneratorExit):
        if training.whole:
            keep(0)
        raise
    except train.NotFiniteError as error:
        if job.precision != "fp32":
            raise
        raise train.TrainingError(f"{error}: try a smaller lr{_kept(job, prepared)}") from error


def _kept(job: _Job, prepared: Prepared) -> str:
    """Keep the model of the best epoch so far, and say so; an empty text where there is none."""
    training = prepared.training
    if not training.best_epoch:
        return ""
    train.restore_best(training)
    recipe, classes = job.run.row.recipe, job.dataset.classes
    model_folder.write(job.folder / "model", prepared.net, recipe, classes)
    return f"; epoch {training.best_epoch}, the best before, is kept in model/"


def _split(dataset: Dataset, recipe: Recipe, seed: int) -> dict[str, torch.Tensor]:
    """Return the rows of each split; of train only the recipe's share."""
    split = {name: torch.from_numpy(dataset.indices(name)) for name in SPLITS}
    if recipe.train_share < 1:
        labels = torch.from_numpy(dataset.labels)[split["train"]]
        drawing = seeds.generator("subset", seed)
        split["train"] = share_of(split["train"], labels, recipe.train_share, drawing)
    return split


def _prepare(job: _Job) -> Prepared:
    """Build the net and put before its learning part what has to enter it."""
    dataset, where = job.dataset, job.where
    recipe, classes = job.run.row.recipe, len(dataset.classes)
    torch.manual_seed(seeds.number("init", job.run.seeds["init"]))
    net = zoo.build(recipe, classes, offline=job.offline)
    frozen = freeze(net, recipe.freeze)
    fabric = machine.fabric(where, job.precision)
    net.module.to(where).to(memory_format=torch.channels_last)
    inputs = from_pixels(
        dataset.pixels, dataset.labels, net, classes, recipe.size, recipe.augment, where
    )
    prefix = frozen_prefix(net, frozen) if recipe.augment == NO_AUGMENT else 0
    if prefix:
        start = weights.digest(recipe.weights)
        drawn = job.run.seeds["init"] if start == "none" else None
        inputs = features.cached(
            fabric,
            net,
            prefix,
            inputs,
            key=(start, drawn, dataset.digests, recipe.side, job.precision),
            folder=cache_dir() / "features",
            on_progress=job.on_progress,
        )
        fabric = machine.fabric(where, "fp32")
    optimizer = step.optimizer(recipe, net.module.parameters())
    model, wrapped = fabric.setup(tail(net, prefix), optimizer)
    return Prepared(fabric, net, frozen, inputs, train.Training(model, wrapped))


def _finish(
    job: _Job, prepared: Prepared, split: Mapping[str, torch.Tensor], before: str, clock: float
) -> None:
    """Put the best epoch back and write what it predicts, the model, and run.json last.

    `clock` is what has to be added to the present to get the seconds spent.
    """
    training, net, recipe = prepared.training, prepared.net, job.run.row.recipe
    folder, dataset = job.folder, job.dataset
    train.restore_best(training)
    unchanged = _proof(net, prepared.frozen) == before
    if not unchanged:
        raise train.TrainingError("frozen tensors changed during training: this is a defect")
    loss, accuracy = train.measured(training.model, prepared.inputs, split["train"], recipe.batch)
    ids = np.array(dataset.photographs.paths)
    predictions: dict[store.Split, Predictions] = {}
    for name in ("validation", "test"):
        logits = train.predicted(training.model, prepared.inputs, split[name], recipe.batch)
        rows = split[name].numpy()
        predictions[name] = Predictions(ids[rows], dataset.labels[rows], logits.numpy())
    store.write_predictions(folder, predictions)
    model_folder.write(folder / "model", net, recipe, dataset.classes)
    finished = store.Finished(
        classes=dataset.classes,
        best_epoch=training.best_epoch,
        train_accuracy=accuracy,
        train_loss=loss,
        train_images=len(split["train"]),
        seconds=clock + perf_counter(),
        images_per_second=float(np.median([r.images_per_second for r in training.records])),
        peak_megabytes=machine.peak_megabytes(job.where),
        parameters=sum(p.numel() for p in net.module.parameters()),
        trainable_parameters=sum(p.numel() for p in net.module.parameters() if p.requires_grad),
        frozen_unchanged=unchanged if prepared.frozen else None,
        test_reads=1,
        data={"fingerprint": dataset.fingerprint, **dataset.notes},
        environment=machine.environment(job.where, job.precision),
        fp32_because=job.fp32_because,
    )
    store.finish(folder, job.run, job.identity, finished)


def _proof(net: Net, frozen: frozenset[str]) -> str:
    """Hash every frozen tensor and the buffers of modules that are wholly frozen."""
    state = net.module.state_dict()
    names = set(frozen)
    for module_name, module in net.module.named_modules():
        own = [f"{module_name}.{name}" for name, _ in module.named_parameters(recurse=False)]
        if own and set(own) <= frozen:
            names |= {f"{module_name}.{name}" for name, _ in module.named_buffers(recurse=False)}
    content = hashlib.sha256()
    for name in sorted(names & set(state)):
        content.update(name.encode())
        content.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()
