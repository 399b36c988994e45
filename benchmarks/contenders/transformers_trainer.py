"""Hugging Face's Trainer as `examples/pytorch/image-classification` uses it.

Data through `datasets` and its imagefolder, transforms on access, evaluation and a checkpoint every
epoch; its default is no worker. Fast is `bf16=True`, channels-last, and a worker a core.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

import torch
from datasets import load_dataset
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.jobs import Job

PACKAGES = ("transformers", "datasets", "accelerate", "torchvision")


class Classifier(nn.Module):
    """A net that gives its loss with its logits, which Trainer asks of a model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return loss and logits of (B, 3, S, S) images."""
        logits = self.net(pixel_values)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    training, validation = (split_of(job, split) for split in ("train", "validation"))
    clock.begins("train")
    # its checkpoints refuse channels-last weights: the layout then comes with the images alone
    model = Classifier(given.net(replace(job, fast=False)))
    trainer = Trainer(
        model=model,
        args=arguments(job),
        train_dataset=training,
        eval_dataset=validation,
        data_collator=collated_channels_last if job.fast else collated,
        compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(1) == p.label_ids).mean()},
    )
    trainer.train()
    clock.begins("evaluate")
    trainer.save_model()
    return model.net.state_dict()


def arguments(job: Job) -> TrainingArguments:
    return TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=job.epochs,
        learning_rate=job.lr,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        per_device_train_batch_size=job.batch,
        per_device_eval_batch_size=job.batch,
        eval_strategy="epoch",
        save_strategy="epoch",
        remove_unused_columns=False,
        report_to="none",
        dataloader_num_workers=given.workers(job, 16 if job.fast else 0),
        bf16=job.fast,
        use_cpu=not torch.cuda.is_available(),  # bf16 refuses a CPU that was not asked for
    )


def split_of(job: Job, split: str):
    images = load_dataset(
        "imagefolder", data_files={split: f"{job.photographs}/{split}/**"}, split=split
    )
    change = given.transforms(job, training=split == "train")

    def transformed(rows):
        rows["pixel_values"] = [change(image.convert("RGB")) for image in rows["image"]]
        return rows

    images.set_transform(transformed)
    return images


def collated(rows) -> dict[str, Tensor]:
    images = torch.stack([row["pixel_values"] for row in rows])
    return {"pixel_values": images, "labels": torch.tensor([row["label"] for row in rows])}


def collated_channels_last(rows) -> dict[str, Tensor]:
    batch = collated(rows)
    images = batch["pixel_values"].contiguous(memory_format=torch.channels_last)
    return {**batch, "pixel_values": images}
