"""The loop: yields a record an epoch; prints, saves and draws nothing. Read `epochs` first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from bakeoff import seeds, step
from bakeoff.inputs import Inputs
from bakeoff.models.parts import train_mode
from bakeoff.recipe import Recipe
from bakeoff.store import Record

Rows = Tensor
"""Which photographs: (n,) int64 indices into the inputs."""

OnStep = Callable[[int, int], None]


class TrainingError(RuntimeError):
    """A training that cannot go on, said in one sentence."""


@dataclass
class Training:
    """All that changes while a net learns, and so all that is needed to go on."""

    model: nn.Module
    optimizer: Optimizer
    records: list[Record] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0

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
) -> Iterator[Record]:
    """Train to the recipe's last epoch, or until `patience` runs out; yield each epoch's record.

    The best epoch is the one of highest validation accuracy (of equals, lowest loss); its tensors
    are kept in `training.best`. Raises TrainingError when the loss is no longer a number.
    """
    loss = step.loss_of(recipe, inputs.targets(split["train"]), inputs.num_classes)
    one_step = step.eager(fabric, training.model, training.optimizer, loss)
    sample = clean_sample(split, seed["order"])
    while training.epoch < recipe.epochs and not _out_of_patience(training, recipe):
        began = perf_counter()
        lr, train_loss, train_accuracy = _one_epoch(
            training, one_step, recipe, inputs, split["train"], seed, on_step
        )
        trained = perf_counter() - began
        clean_loss, clean_accuracy = measured(training.model, inputs, sample, recipe.batch)
        val_loss, val_accuracy = measured(training.model, inputs, split["validation"], recipe.batch)
        record = Record(
            epoch=training.epoch + 1,
            lr=lr,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            clean_loss=clean_loss,
            clean_accuracy=clean_accuracy,
            clean_images=len(sample),
            validation_loss=val_loss,
            validation_accuracy=val_accuracy,
            seconds=perf_counter() - began,
            images_per_second=len(split["train"]) / trained,
        )
        _remember(training, record)
        yield record


def _one_epoch(
    training: Training,
    one_step: step.Step,
    recipe: Recipe,
    inputs: Inputs,
    rows: Rows,
    seed: Mapping[str, int],
    on_step: OnStep | None,
) -> tuple[float, float, float]:
    """Show every training photograph once; return the last rate, mean loss and accuracy."""
    epoch = training.epoch
    order = torch.randperm(len(rows), generator=seeds.generator("order", seed["order"], epoch))
    batches = rows[order].tensor_split(math.ceil(len(rows) / recipe.batch))
    drawing = seeds.generator("augmentation", seed["augmentation"], epoch, inputs.device)
    torch.manual_seed(seeds.number("dropout", seed["augmentation"], epoch))
    total_loss = torch.zeros((), device=inputs.device)
    total_right = torch.zeros((), device=inputs.device)
    train_mode(training.model)
    lr = recipe.lr
    for number, indices in enumerate(batches):
        lr = step.rate(recipe, epoch + number / len(batches))
        step.set_rate(training.optimizer, lr)
        images, targets = inputs.drawn(indices, drawing)
        loss, logits = one_step(images, targets)
        total_loss += loss * len(indices)
        total_right += (logits.argmax(1) == inputs.targets(indices)).sum()
        if on_step:
            on_step(number + 1, len(batches))
    mean_loss = total_loss.item() / len(rows)
    if not math.isfinite(mean_loss):
        raise TrainingError(f"the loss became {mean_loss} in epoch {epoch + 1}: try a smaller lr")
    return lr, mean_loss, total_right.item() / len(rows)


def predicted(model: nn.Module, inputs: Inputs, rows: Rows, batch: int) -> Tensor:
    """Return the logits (n, C), float32 on the CPU, of `rows` in eval mode, in their order."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(inputs.plain(indices)).float().cpu() for indices in torch.split(rows, 2 * batch)
        ]
    return torch.cat(parts)


def measured(model: nn.Module, inputs: Inputs, rows: Rows, batch: int) -> tuple[float, float]:
    """Return mean cross-entropy (nats) and accuracy (0..1) of `rows` in eval mode."""
    logits, labels = predicted(model, inputs, rows, batch), inputs.targets(rows).cpu()
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).double().mean().item()


def clean_sample(split: Mapping[str, Rows], seed: int) -> Rows:
    """Choose the training photographs that are measured cleanly each epoch: as many as validation.

    A fixed random choice; measuring all of them would cost a third of the training again.
    """
    rows = split["train"]
    count = min(len(rows), len(split["validation"]))
    chosen = torch.randperm(len(rows), generator=seeds.generator("sample", seed))[:count]
    return rows[chosen.sort().values]


def changing(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that training alters, by their names in the state dict.

    They are the parameters that learn, and every buffer. `named_parameters` would not do: what
    Fabric wraps has other names there than the ones that are loaded.
    """
    frozen = {id(p) for p in model.parameters() if not p.requires_grad}
    state = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if id(tensor) not in frozen}


def _remember(training: Training, record: Record) -> None:
    training.records.append(record)
    if not training.best_epoch or _rank(record) > _rank(training.records[training.best_epoch - 1]):
        training.best_epoch = record.epoch
        training.best = {
            name: tensor.detach().clone() for name, tensor in changing(training.model).items()
        }


def _rank(record: Record) -> tuple[float, float]:
    loss = record.validation_loss
    return record.validation_accuracy, -loss if np.isfinite(loss) else -np.inf


def _out_of_patience(training: Training, recipe: Recipe) -> bool:
    waited = training.epoch - training.best_epoch
    return recipe.patience is not None and training.epoch > 0 and waited >= recipe.patience


def restore_best(training: Training) -> None:
    """Put the tensors of the best epoch back into the model."""
    _, unknown = training.model.load_state_dict(training.best, strict=False)
    assert not unknown, unknown
