"""fastai's Learner over ImageDataLoaders, as its vision tutorial has it.

Learner instead of vision_learner, which would put another head on the net. Its default is a worker
a core. Fast is `to_channelslast` with bf16, which it offers on CUDA only: on a CPU its mixed
precision changes nothing, and only the layout is left.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from fastai.callback.channelslast import ChannelsLast  # noqa: F401 (adds to_channelslast)
from fastai.vision.all import (
    CrossEntropyLossFlat,
    Flip,
    ImageDataLoaders,
    Learner,
    Normalize,
    OptimWrapper,
    RandomResizedCrop,
    Resize,
    accuracy,
    params,
)
from torch import Tensor

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.jobs import MEAN, STD, Job

PACKAGES = ("fastai", "torchvision")


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    data = ImageDataLoaders.from_folder(
        Path(job.photographs),
        train="train",
        valid="validation",
        bs=job.batch,
        num_workers=given.workers(job, 16),
        item_tfms=RandomResizedCrop(job.size) if job.augment else Resize(job.size),
        batch_tfms=[*([Flip()] if job.augment else []), Normalize.from_stats(MEAN, STD)],
    )
    clock.begins("train")
    learner = Learner(
        data,
        given.net(job),
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=torch.optim.Adam),
        splitter=lambda net: [[p for p in params(net) if p.requires_grad]],
        metrics=accuracy,
        train_bn=not job.freeze,
    )
    if job.fast:
        learner.to_channelslast(use_amp=torch.cuda.is_available(), amp_mode="bf16")
    learner.fit(job.epochs, lr=job.lr)
    clock.begins("evaluate")
    return learner.model.state_dict()
