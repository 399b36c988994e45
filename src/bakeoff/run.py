"""One run: a recipe and a seed become a finished run folder, or go on from where they stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from bakeoff import features, files, machine, seeds, step, store, train
from bakeoff.data.cache import cache_dir
from bakeoff.data.dataset import Dataset
from bakeoff.data.photographs import SPLITS
from bakeoff.inputs import NO_AUGMENT, Inputs, from_pixels, share_of
from bakeoff.models import folder as model_folder
from bakeoff.models import weights, zoo
from bakeoff.models.parts import Net, freeze, frozen_prefix, tail
from bakeoff.recipe import Recipe
from bakeoff.store import Predictions, Record
from bakeoff.study import Run

SECONDS_BETWEEN_CHECKPOINTS = 20.0

Progress = Callable[[str, int, int], None]


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

    Interrupted (KeyboardInterrupt) or killed, the same call goes on at the last checkpoint, with
    the same numbers as if nothing had happened. Raises TrainingError for a run that failed.
    """
    identity = store.identity(run_, dataset.fingerprint, weights.digest(run_.row.recipe.weights))
    began = perf_counter()
    machine.reset_peak(where)
    store.begin(folder, run_, identity)
    recipe = run_.row.recipe
    prepared = _prepare(run_, dataset, where, offline, on_progress)
    before = _proof(prepared.net, prepared.frozen)
    spent = _resume(folder, prepared.training, identity)
    split = _split(dataset, recipe, run_.seeds["order"])
    saved = monotonic()
    try:
        for record in train.epochs(
            prepared.fabric,
            prepared.training,
            recipe,
            prepared.inputs,
            split,
            run_.seeds,
            on_step=_named(on_progress, prepared.training, recipe),
        ):
            store.write_records(folder, prepared.training.records)
            if monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                _checkpoint(folder, prepared.training, identity, spent + perf_counter() - began)
                saved = monotonic()
            yield record
    except (KeyboardInterrupt, GeneratorExit):
        store.write_state(folder, run_, identity, "interrupted")
        raise
    except (train.TrainingError, torch.OutOfMemoryError) as error:
        memory = "the device's memory is full: try a smaller batch or size"
        said = str(error) if isinstance(error, train.TrainingError) else memory
        store.write_state(folder, run_, identity, "failed", error=said)
        raise train.TrainingError(said) from error
    _finish(folder, run_, identity, prepared, dataset, split, before, spent - began)


def _split(dataset: Dataset, recipe: Recipe, seed: int) -> dict[str, torch.Tensor]:
    """Return the rows of each split; of train only the recipe's share."""
    split = {name: torch.from_numpy(dataset.indices(name)) for name in SPLITS}
    if recipe.train_share < 1:
        labels = torch.from_numpy(dataset.labels)[split["train"]]
        drawing = seeds.generator("subset", seed)
        split["train"] = share_of(split["train"], labels, recipe.train_share, drawing)
    return split


def _prepare(
    run_: Run, dataset: Dataset, where: torch.device, offline: bool, on_progress: Progress | None
) -> Prepared:
    """Build the net and put before its learning part what has to enter it."""
    recipe, classes = run_.row.recipe, len(dataset.classes)
    torch.manual_seed(seeds.number("init", run_.seeds["init"]))
    net = zoo.build(recipe, classes, offline=offline)
    frozen = freeze(net, recipe.freeze)
    chosen = machine.precision(recipe.precision, where)
    fabric = machine.fabric(where, chosen)
    net.module.to(where).to(memory_format=torch.channels_last)
    inputs = from_pixels(
        dataset.pixels, dataset.labels, net, classes, recipe.size, recipe.augment, where
    )
    prefix = frozen_prefix(net, frozen) if recipe.augment == NO_AUGMENT else 0
    if prefix:
        start = weights.digest(recipe.weights)
        drawn = run_.seeds["init"] if start == "none" else None
        inputs = features.cached(
            fabric,
            net,
            prefix,
            inputs,
            key=(start, drawn, dataset.digests, recipe.side, chosen),
            folder=cache_dir() / "features",
            on_progress=on_progress,
        )
        fabric = machine.fabric(where, "fp32")
    optimizer = step.optimizer(recipe, net.module.parameters())
    model, wrapped = fabric.setup(tail(net, prefix), optimizer)
    return Prepared(fabric, net, frozen, inputs, train.Training(model, wrapped))


def _finish(
    folder: Path,
    run_: Run,
    identity: str,
    prepared: Prepared,
    dataset: Dataset,
    split: Mapping[str, torch.Tensor],
    before: str,
    clock: float,
) -> None:
    """Put the best epoch back and write what it predicts, the model, and run.json last.

    `clock` is what has to be added to the present to get the seconds spent.
    """
    training, net, recipe = prepared.training, prepared.net, run_.row.recipe
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
    where = prepared.inputs.device
    finished = store.Finished(
        classes=dataset.classes,
        best_epoch=training.best_epoch,
        train_accuracy=accuracy,
        train_loss=loss,
        train_images=len(split["train"]),
        seconds=clock + perf_counter(),
        images_per_second=float(np.median([r.images_per_second for r in training.records])),
        peak_megabytes=machine.peak_megabytes(where),
        parameters=sum(p.numel() for p in net.module.parameters()),
        trainable_parameters=sum(p.numel() for p in net.module.parameters() if p.requires_grad),
        frozen_unchanged=unchanged if prepared.frozen else None,
        test_reads=1,
        data={"fingerprint": dataset.fingerprint, **dataset.notes},
        environment=machine.environment(where, machine.precision(recipe.precision, where)),
    )
    store.finish(folder, run_, identity, finished)


def _named(
    on_progress: Progress | None, training: train.Training, recipe: Recipe
) -> train.OnStep | None:
    """Turn the caller's progress into the loop's: the epoch is what is being done."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(
        f"epoch {training.epoch + 1}/{recipe.epochs}", done, total
    )


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


def _checkpoint(folder: Path, training: train.Training, identity: str, seconds: float) -> None:
    content: dict[str, Any] = {
        "identity": identity,
        "seconds": seconds,
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "records": [asdict(record) for record in training.records],
        "best": training.best,
        "best_epoch": training.best_epoch,
    }
    with files.aside(folder / "resume.pt") as temporary:
        torch.save(content, temporary)


def _resume(folder: Path, training: train.Training, identity: str) -> float:
    """Put a checkpoint back, if there is one of this very run; return the seconds already spent."""
    path = folder / "resume.pt"
    if not path.is_file():
        return 0.0
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["identity"] != identity:
        return 0.0
    training.model.load_state_dict(content["model"])
    training.optimizer.load_state_dict(content["optimizer"])
    training.records = [Record(**record) for record in content["records"]]
    training.best, training.best_epoch = content["best"], content["best_epoch"]
    return float(content["seconds"])
