"""What every peer is given: the net with its start weights, and photographs in PyTorch's way."""

from __future__ import annotations

import os

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from bakeoff.models.small import small_net
from bakeoff.options import NetOptions
from benchmarks.jobs import MEAN, STD, Job


def device() -> torch.device:
    """Return the one that the peers' scripts choose: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that always is in eval mode, as bakeoff keeps it where it is frozen.

    Left to itself in a peer's loop it drifts, and the head is judged on other features than it saw.
    """

    def train(self, mode: bool = True) -> FixedBatchNorm2d:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)


def net(job: Job) -> nn.Module:
    """Return the job's net on the device, with its start weights.

    With `freeze` only the head learns, and batch norm is fixed.
    """
    if job.model == "resnet18":
        norm = FixedBatchNorm2d if job.freeze else nn.BatchNorm2d
        module: nn.Module = resnet18(num_classes=job.num_classes, norm_layer=norm)
    else:
        module = small_net(NetOptions(), job.num_classes)
    module.load_state_dict(load_file(job.start))
    if job.freeze:
        *_, head = (child for child in module.modules() if isinstance(child, nn.Linear))
        module.requires_grad_(False)
        head.requires_grad_(True)
    module.train().to(device())
    return module.to(memory_format=torch.channels_last) if job.fast else module


def workers(job: Job, default: int) -> int:
    """Return how many processes load: the script's `default`, at most one a core, or as asked."""
    return min(default, os.cpu_count() or 1) if job.workers is None else job.workers


def transforms(job: Job, *, training: bool) -> v2.Compose:
    """Return what torchvision's reference scripts do to a PIL image: -> (3, size, size) float."""
    if training and job.augment:
        geometry = [v2.RandomResizedCrop(job.size, antialias=True), v2.RandomHorizontalFlip()]
    else:
        geometry = [v2.Resize(job.size, antialias=True), v2.CenterCrop(job.size)]
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([*geometry, *to_tensor])


def loaders(job: Job, workers: int) -> tuple[DataLoader, DataLoader]:
    """Return PyTorch's loaders of the training photographs, shuffled, and the validation ones."""
    sets = (
        ImageFolder(f"{job.photographs}/{split}", transforms(job, training=split == "train"))
        for split in ("train", "validation")
    )
    pin = torch.cuda.is_available()
    train, validation = (
        DataLoader(images, job.batch, shuffle=shuffle, num_workers=workers, pin_memory=pin)
        for images, shuffle in zip(sets, (True, False), strict=True)
    )
    return train, validation
