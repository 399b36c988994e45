"""Lightning's Trainer with its defaults: logger, checkpoints and progress bar on.

Its documentation leaves the loader to the user; PyTorch's default is no worker. Fast is
`precision="bf16-mixed"`, channels-last, and a worker a core as its warning asks for.
"""

from __future__ import annotations

import tempfile

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.jobs import Job

PACKAGES = ("lightning", "torchvision")


class Classifier(lightning.LightningModule):
    """A net, its loss and its optimiser, as the documentation writes them."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.net = job, given.net(job)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch, and log it."""
        images, labels = batch
        loss = F.cross_entropy(self.net(self.laid_out(images)), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Log loss and accuracy of a batch."""
        images, labels = batch
        logits = self.net(self.laid_out(images))
        self.log("val_loss", F.cross_entropy(logits, labels))
        self.log("val_accuracy", (logits.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam over what learns."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=self.job.lr)

    def laid_out(self, images: Tensor) -> Tensor:
        """Return the images channels-last where the job is to be fast."""
        return images.to(memory_format=torch.channels_last) if self.job.fast else images


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    loaders = given.loaders(job, given.workers(job, 16 if job.fast else 0))
    clock.begins("train")
    model = Classifier(job)
    trainer = lightning.Trainer(
        max_epochs=job.epochs,
        precision="bf16-mixed" if job.fast else "32-true",
        default_root_dir=tempfile.mkdtemp(),
    )
    trainer.fit(model, *loaders)
    clock.begins("evaluate")
    return model.net.state_dict()
