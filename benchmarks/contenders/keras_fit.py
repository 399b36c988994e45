"""Keras 3 on PyTorch: `compile` and `fit` over PyTorch loaders, the net in TorchModuleWrapper.

As its guide to PyTorch has it; PyTorch's default is no worker. Its mixed precision does not reach
wrapped nets, so that fast is channels-last and a worker a core.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from torch import Tensor

from benchmarks.contenders import given
from benchmarks.contenders.clock import Clock
from benchmarks.jobs import Job

PACKAGES = ("keras", "torchvision")


def train(job: Job, clock: Clock) -> dict[str, Tensor]:
    clock.begins("data")
    training, validation = given.loaders(job, given.workers(job, 16 if job.fast else 0))
    clock.begins("train")
    net = given.net(job)
    wrapped = keras.layers.TorchModuleWrapper(net, output_shape=(None, job.num_classes))
    model = keras.Sequential([keras.Input((3, job.size, job.size)), wrapped])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.Adam(job.lr, epsilon=1e-8),
        metrics=["accuracy"],
    )
    model.fit(training, epochs=job.epochs, validation_data=validation)
    clock.begins("evaluate")
    return net.state_dict()
