"""fastai's `vision_learner(...).fine_tune(n)` with its defaults.

Resize to 224 and `aug_transforms`, a fifth held out, one epoch of the head, then `n` of the whole
net by one cycle. Its pretrained ResNet-18 is torchvision's, from torch's hub: the file given is put
where the hub would have downloaded it. The epoch of the head is a phase of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    Resize,
    aug_transforms,
    error_rate,
    load_learner,
    resnet18,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from torchvision.models import ResNet18_Weights

from benchmarks.contenders.clock import Clock
from benchmarks.defaults import Task

PACKAGES = ("fastai",)
BATCH, VALIDATION, SIZE = 64, 0.2, 224


class Fits(Callback):
    """Tells the clock when the head's epoch, and when the whole net's, begin."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.phases = clock, iter(("head", "train"))

    def before_fit(self) -> None:
        """Begin the next phase."""
        self.clock.begins(next(self.phases))


def train(task: Task, folder: Path, clock: Clock) -> dict[str, Any]:
    clock.begins("data")
    _serve_to_hub(task.weights, folder)
    set_seed(task.seed)
    photographs = Path(task.photographs)
    learning = int((1 - VALIDATION) * len(list(photographs.glob("*/*"))))
    data = ImageDataLoaders.from_folder(
        photographs,
        valid_pct=VALIDATION,
        seed=task.seed,
        bs=min(BATCH, learning),  # its training loader drops what is less than a batch
        item_tfms=Resize(SIZE),
        batch_tfms=aug_transforms(),
    )
    learner = vision_learner(data, resnet18, metrics=error_rate)
    learner.fine_tune(task.epochs, cbs=Fits(clock))
    clock.begins("evaluate")
    learner.export(folder.absolute() / "learner.pkl")
    return {
        "fine_tune": task.epochs,
        "batch": data.bs,
        "validation": 1 - float(learner.recorder.values[-1][-1]),
    }


def answers(task: Task, folder: Path, photographs: Sequence[str]) -> list[str]:  # noqa: ARG001
    learner = load_learner(folder / "learner.pkl")
    shares, _ = learner.get_preds(dl=learner.dls.test_dl(list(photographs)))
    return [str(learner.dls.vocab[place]) for place in shares.argmax(1).tolist()]


def _serve_to_hub(weights: str, folder: Path) -> None:
    hub = folder / "hub"
    torch.hub.set_dir(hub)
    (hub / "checkpoints").mkdir(parents=True)
    name = Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    torch.save(load_file(weights), hub / "checkpoints" / name)
