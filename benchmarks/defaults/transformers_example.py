"""Hugging Face's `run_image_classification.py` with its defaults, for a folder of one's own.

`Trainer` with its own AdamW at 5e-5, falling linearly, batch 8, in evaluation only at the end, and
a checkpoint every 500 steps; RandomResizedCrop and flip; 15 % held out, as `train_val_split` has
it. The net is torchvision's, in a module that gives its loss as Trainer asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import load_dataset
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.contenders.transformers_trainer import Classifier, collated
from benchmarks.defaults import Task
from benchmarks.defaults.answering import answered, classes, keep_classes
from benchmarks.jobs import Job

PACKAGES = ("transformers", "datasets", "accelerate")
VALIDATION = 0.15
SEEN = Job("contest", "resnet18", 224, epochs=1, num_images=0, lr=0.0, augment=True)


class Epochs(TrainerCallback):
    """Tells the clock when the epochs begin and end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """End the preparation."""
        self.clock.begins("train")

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Begin whatever comes after."""
        self.clock.begins("evaluate")


def train(task: Task, folder: Path, clock: Clock) -> dict[str, Any]:
    clock.begins("data")
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=task.epochs,
        seed=42 + task.seed,
        remove_unused_columns=False,
    )
    set_seed(arguments.seed)
    images = load_dataset("imagefolder", data_files={"train": f"{task.photographs}/**"})["train"]
    keep_classes(folder, images.features["label"].names)
    parts = images.train_test_split(VALIDATION)
    trainer = Trainer(
        model=Classifier(_net(task, len(classes(folder)))),
        args=arguments,
        train_dataset=parts["train"].with_transform(_transformed(training=True)),
        eval_dataset=parts["test"].with_transform(_transformed(training=False)),
        data_collator=collated,
        compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(1) == p.label_ids).mean()},
        callbacks=[Epochs(clock)],
    )
    trainer.train()
    trainer.save_model(str(folder))
    reached = trainer.evaluate()["eval_accuracy"]
    return {
        "optimizer": str(arguments.optim.value),
        "lr": arguments.learning_rate,
        "batch": arguments.train_batch_size,
        "schedule": str(arguments.lr_scheduler_type.value),
        "weight_decay": arguments.weight_decay,
        "validation": float(reached),
    }


def answers(task: Task, folder: Path, photographs: Sequence[str]) -> list[str]:
    model = Classifier(_net(task, len(classes(folder))))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    seen = given.transforms(SEEN, training=False)
    return answered(model.net, seen, folder, photographs)


def _net(task: Task, num_classes: int) -> nn.Module:
    """Return ImageNet's ResNet-18 with a fresh head for the classes."""
    net = resnet18()
    net.load_state_dict(load_file(task.weights))
    net.fc = nn.Linear(net.fc.in_features, num_classes)
    return net.to(given.device())


def _transformed(*, training: bool):
    change = given.transforms(SEEN, training=training)

    def transformed(rows):
        rows["pixel_values"] = [change(image.convert("RGB")) for image in rows["image"]]
        return rows

    return transformed
