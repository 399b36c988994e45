"""torchvision's reference script: `references/classification/train.py`, its loop and loaders.

Its default is 16 workers. Fast is its `--amp`, with bf16, and channels-last as PyTorch documents.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.jobs import Job

PACKAGES = ("torchvision",)


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    loaders = given.loaders(job, given.workers(job, 16))
    clock.begins("train")
    net, criterion = given.net(job), nn.CrossEntropyLoss()
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=job.lr)
    for _ in range(job.epochs):
        train_one_epoch(net, criterion, optimizer, loaders[0], amp=job.fast)
        evaluate(net, criterion, loaders[1], amp=job.fast)
    clock.begins("evaluate")
    return net.state_dict()


def train_one_epoch(net, criterion, optimizer, loader, *, amp: bool) -> None:
    where = given.device()
    net.train()
    for batch, labels in loader:
        images, target = moved(batch, where, amp), labels.to(where, non_blocking=True)
        with torch.autocast(where.type, torch.bfloat16, enabled=amp):
            output = net(images)
            loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item(), correct(output, target).item()  # as the script's metric logger does


def evaluate(net, criterion, loader, *, amp: bool) -> float:
    where, right, count = given.device(), 0, 0
    net.eval()
    with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, enabled=amp):
        for batch, labels in loader:
            images, target = moved(batch, where, amp), labels.to(where, non_blocking=True)
            output = net(images)
            criterion(output, target).item()
            right += int(correct(output, target))
            count += len(target)
    return right / count


def moved(batch: Tensor, where: torch.device, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.preserve_format
    return batch.to(where, non_blocking=True, memory_format=layout)


def correct(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).sum()
