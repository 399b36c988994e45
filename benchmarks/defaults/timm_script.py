"""timm's `train.py --pretrained` with its defaults, written out with timm's API.

SGD at 0.1 x batch / 256 with momentum, cosine after a warm-up, label smoothing, the augmentation of
`create_transform`, and the epoch that is best on validation. Two things are not
its own: a tenth, drawn at random, validates, which it leaves to the user; and its warm-up of 5
epochs is at most a quarter of all, since of few epochs none would reach its rate.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data import create_dataset, create_loader, create_transform, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.contenders.torchvision_loop import evaluate, train_one_epoch
from benchmarks.defaults import Task
from benchmarks.defaults.answering import answered, keep_classes

PACKAGES = ("timm",)
BATCH, SMOOTHING, DECAY, VALIDATION = 128, 0.1, 2e-5, 0.1
WORKERS = 4


def train(task: Task, folder: Path, clock: Clock) -> dict[str, Any]:
    clock.begins("data")
    torch.manual_seed(task.seed)
    net = _net(task)
    batch = min(BATCH, _parted(task, folder))  # the loader drops what is less than a batch
    training, validation = _loaders(folder, net, batch)
    order = training.dataset.reader.class_to_idx
    keep_classes(folder, sorted(order, key=order.__getitem__))
    rate, warmup = 0.1 * batch / 256, min(5, task.epochs // 4)
    optimizer = create_optimizer_v2(net, opt="sgd", lr=rate, momentum=0.9, weight_decay=DECAY)
    scheduler, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=task.epochs, warmup_epochs=warmup
    )
    best, losses = -1.0, (LabelSmoothingCrossEntropy(SMOOTHING), nn.CrossEntropyLoss())
    scheduler.step(0)
    clock.begins("train")
    for epoch in range(task.epochs):
        train_one_epoch(net, losses[0], optimizer, training, amp=False)
        reached = evaluate(net, losses[1], validation, amp=False)
        if reached > best:
            best = reached
            save_file(net.state_dict(), folder / "model.safetensors")
        scheduler.step(epoch + 1)
    clock.begins("evaluate")
    return {
        "optimizer": "sgd",
        "lr": rate,
        "batch": batch,
        "schedule": "cosine",
        "warmup_epochs": warmup,
        "weight_decay": DECAY,
        "label_smoothing": SMOOTHING,
        "validation": best,
    }


def answers(task: Task, folder: Path, photographs: Sequence[str]) -> list[str]:
    net = _net(task)
    net.load_state_dict(load_file(folder / "model.safetensors"))
    seen = create_transform(**resolve_data_config({}, model=net))
    return answered(net, seen, folder, photographs)


def _net(task: Task) -> nn.Module:
    """Return ImageNet's ResNet-18 with a fresh head for the classes."""
    net = timm.create_model(
        "resnet18",
        pretrained=True,
        num_classes=len(list(Path(task.photographs).iterdir())),
        pretrained_cfg_overlay={"file": task.weights},
    )
    return net.to(given.device())


def _parted(task: Task, folder: Path) -> int:
    """Link the photographs into train/ and validation/, which the script wants; count train's."""
    files = sorted(Path(task.photographs).glob("*/*"))
    random.Random(task.seed).shuffle(files)
    for split, label in product(("train", "validation"), {file.parent.name for file in files}):
        (folder / split / label).mkdir(parents=True)
    held = max(1, round(VALIDATION * len(files)))
    for place, file in enumerate(files):
        split = "validation" if place < held else "train"
        (folder / split / file.parent.name / file.name).symlink_to(file.resolve())
    return len(files) - held


def _loaders(folder: Path, net: nn.Module, batch: int) -> Iterator[Any]:
    """Yield the loaders of train/ and validation/, as the script makes them."""
    seen = resolve_data_config({}, model=net)
    for split, changes in (("train", {"interpolation": "random"}), ("validation", {})):
        yield create_loader(
            create_dataset("", root=folder / split),
            batch_size=batch,
            is_training=split == "train",
            num_workers=WORKERS,
            device=given.device(),
            **(seen | changes),
        )
