"""The loop: yields a record an epoch; prints, saves and draws nothing. Read `epochs` first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from bakeoff import optimizers, seeds, step, streaming
from bakeoff.averaging import Average
from bakeoff.distill import Teacher
from bakeoff.inputs import Inputs
from bakeoff.measuring import Rows, clean_sample, measured
from bakeoff.models.parts import changing, train_mode
from bakeoff.recipe import Recipe
from bakeoff.stopping import undivided
from bakeoff.store import Record

OnStep = Callable[[int, int], None]


class TrainingError(RuntimeError):
    """A training that cannot go on, said in one sentence."""


class NotFiniteError(TrainingError):
    """The loss is no longer a number; lower precision may be why."""


@dataclass
class UnderWay:
    """An epoch between two of its steps: `losses` and photographs `right` (steps,) so far."""

    losses: Tensor
    right: Tensor
    drawing: torch.Generator
    step: int = 0
    lr: float = 0.0
    seconds: float = 0.0


@dataclass
class Training:
    """All that changes while a net learns, and so all that is needed to go on.

    `average` is the mean of its weights, where the recipe wants one. `whole` is False only while a
    step changes it.
    """

    model: nn.Module
    optimizer: Optimizer
    records: list[Record] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)
    under_way: UnderWay | None = None
    whole: bool = True

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.records)


def epochs(
    fabric: Fabric,
    training: Training,
    recipe: Recipe,
    inputs: Inputs,
    split: Mapping[str, Rows],
    seed: Mapping[str, int],
    on_step: OnStep | None = None,
    make: step.Make = step.eager,
    teacher: Teacher | None = None,
) -> Iterator[Record]:
    """Train to the recipe's last epoch, or until `patience` runs out; yield each epoch's record.

    The best epoch is the one of highest validation accuracy (of equals, lowest loss); its tensors
    are kept in `training.best`. `make` decides how it is stepped. Stopped between two steps,
    `training` is all that is needed to go on with the very next one. Of several processes
    (`inputs.ranks`) each learns from its own rows of every batch, and all have the same records.
    Raises NotFiniteError when the loss is no longer a number.
    """
    weight = step.class_weights(recipe, inputs.targets(split["train"]), inputs.num_classes)
    images = len(split["train"])
    counts = step.sizes(images, recipe.batch), images * recipe.epochs
    sample = clean_sample(split, seed["order"])
    one_step, average = None, _average(training, recipe)
    while training.epoch < recipe.epochs and not _out_of_patience(training, recipe):
        if one_step is None or inputs.drawn_size != recipe.size_at(training.epoch):
            inputs = replace(inputs, drawn_size=recipe.size_at(training.epoch))
            work = fabric, training.model, training.optimizer, inputs, recipe, weight
            one_step = make(step.Work(*work, *counts, teacher))
        learn = one_step, average, recipe, inputs, split["train"], seed, on_step
        shown = _one_epoch(training, *learn)
        with average.shown():
            record = _record(training, shown, recipe, inputs, sample, split)
            with undivided():
                _remember(training, record)
        yield record


def _record(
    training: Training,
    shown: UnderWay,
    recipe: Recipe,
    inputs: Inputs,
    sample: Rows,
    split: Mapping[str, Rows],
) -> Record:
    """Measure the net after an epoch, on a `sample` of what it learnt from and on validation."""
    began, images, held = perf_counter(), len(split["train"]), split["validation"]
    clean_loss, clean_accuracy = measured(training.model, inputs, sample, recipe.batch)
    val_loss, val_accuracy = measured(training.model, inputs, held, recipe.batch)
    if not math.isfinite(val_loss):
        raise NotFiniteError(f"the net gives no numbers after epoch {training.epoch + 1}")
    return Record(
        epoch=training.epoch + 1,
        lr=shown.lr,
        train_loss=shown.losses.sum().item() / images,
        train_accuracy=shown.right.sum().item() / images,
        clean_loss=clean_loss,
        clean_accuracy=clean_accuracy,
        clean_images=len(sample),
        validation_loss=val_loss,
        validation_accuracy=val_accuracy,
        seconds=shown.seconds + perf_counter() - began,
        images_per_second=images / shown.seconds,
    )


def _one_epoch(
    training: Training,
    one_step: step.Step,
    average: Average,
    recipe: Recipe,
    inputs: Inputs,
    rows: Rows,
    seed: Mapping[str, int],
    on_step: OnStep | None,
) -> UnderWay:
    """Show every training photograph once, going on where the epoch was left."""
    epoch = training.epoch
    order = inputs.order(rows, seeds.generator("order", seed["order"], epoch))
    batches = rows[order].tensor_split(math.ceil(len(rows) / recipe.batch))
    now = training.under_way or _begun(training, inputs, len(batches), seed["augmentation"])
    began, here = perf_counter() - now.seconds, inputs.device.type == "cpu"
    losses, right = (each.numpy() if here else each for each in (now.losses, now.right))
    train_mode(training.model)
    with streaming.own_in_order(inputs, batches[now.step :]) as stream:
        for number, batch in enumerate(stream, now.step):
            with undivided():
                training.whole = False
                now.lr = optimizers.rate(recipe, epoch + number / len(batches))
                optimizers.set_rate(training.optimizer.param_groups, now.lr)
                told = inputs.ranks.totals(*one_step(batch, now.drawing))
                losses[number], right[number] = told
                average.update(epoch * len(batches) + number + 1)
                now.step, now.seconds = number + 1, perf_counter() - began
                training.whole = True
            if now.step == len(batches) or (here and not math.isfinite(losses[number])):
                demand_finite(training)
            if on_step:
                on_step(now.step, len(batches))
    return now


def _average(training: Training, recipe: Recipe) -> Average:
    """Begin the mean of the weights, or go on with it; of nothing where the recipe wants none."""
    own = changing(training.model) if recipe.ema else {}
    if own and not training.average:
        training.average = {name: tensor.detach().clone() for name, tensor in own.items()}
    return Average(own, training.average, recipe.ema)


def _begun(training: Training, inputs: Inputs, steps: int, seed: int) -> UnderWay:
    """Begin an epoch: at the start of its random streams, with nothing counted."""
    where, epoch = inputs.device, training.epoch
    torch.manual_seed(seeds.number("dropout", seed, epoch) + inputs.ranks.rank)
    drawing = seeds.generator("augmentation", seed, epoch, where)
    losses, right = torch.zeros(2, steps, device=where).unbind()
    training.under_way = UnderWay(losses, right, drawing)
    return training.under_way


def demand_finite(training: Training) -> None:
    """Raise NotFiniteError with the first step of this epoch whose loss is no number.

    It waits for the device, so it is not called at every step of a GPU.
    """
    now = training.under_way
    if now is None:
        return
    wrong = torch.nonzero(~torch.isfinite(now.losses[: now.step]))
    if len(wrong):
        number, loss = int(wrong[0]) + 1, now.losses[wrong[0]].item()
        raise NotFiniteError(
            f"the loss became {loss} at step {number} of epoch {training.epoch + 1}"
        )


def _remember(training: Training, record: Record) -> None:
    training.records.append(record)
    training.under_way = None
    if not training.best_epoch or rank(record) > rank(training.records[training.best_epoch - 1]):
        training.best_epoch = record.epoch
        training.best = {
            name: tensor.detach().clone() for name, tensor in changing(training.model).items()
        }


def rank(record: Record) -> tuple[float, float]:
    """Say how good an epoch was, higher is better: validation accuracy, of equals lower loss."""
    loss = record.validation_loss
    return record.validation_accuracy, -loss if np.isfinite(loss) else -np.inf


def _out_of_patience(training: Training, recipe: Recipe) -> bool:
    waited = training.epoch - training.best_epoch
    return recipe.patience is not None and training.epoch > 0 and waited >= recipe.patience


def restore_best(training: Training) -> None:
    """Put the tensors of the best epoch back into the model."""
    _, unknown = training.model.load_state_dict(training.best, strict=False)
    assert not unknown, unknown
