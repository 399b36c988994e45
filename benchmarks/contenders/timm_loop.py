"""timm's training API as its `train.py` uses it: dataset, prefetching loader, optimiser, loss.

Its default is 4 workers. Fast is its `--amp --amp-dtype bfloat16 --channels-last`.
"""

from __future__ import annotations

from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.contenders.torchvision_loop import evaluate, train_one_epoch
from benchmarks.jobs import MEAN, STD, Job

PACKAGES = ("timm", "torchvision")


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    training, validation = (loader(job, split) for split in ("train", "validation"))
    clock.begins("train")
    net, criterion = given.net(job), nn.CrossEntropyLoss()
    optimizer = create_optimizer_v2(net, opt="adam", lr=job.lr)
    for _ in range(job.epochs):
        train_one_epoch(net, criterion, optimizer, training, amp=job.fast)
        evaluate(net, criterion, validation, amp=job.fast)
    clock.begins("evaluate")
    return net.state_dict()


def loader(job: Job, split: str):
    training = split == "train"
    return create_loader(
        create_dataset("", root=f"{job.photographs}/{split}"),
        input_size=(3, job.size, job.size),
        batch_size=job.batch,
        is_training=training,
        no_aug=not job.augment,
        color_jitter=0.0,
        crop_pct=1.0,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=given.workers(job, 4),
        device=given.device(),
    )
