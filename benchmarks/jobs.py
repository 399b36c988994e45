"""What contenders are given: photographs, a net with its start weights, and how to train it.

All get the same of everything, so that what differs is the time. `prepare` writes it to disk, a
`Job` travels to each contender's process as JSON, and `accuracy` judges what comes back.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.data.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DRAWN_SIDE = 288  # pixels of a drawn photograph
TEST_PER_CLASS = 2  # bakeoff reads a test split once, which no peer has; so it is kept small
SHARE_FOR_VALIDATION = 0.25  # of the number of training photographs


@dataclass(frozen=True)
class Job:
    """One training, the same for every contender.

    photographs    : folder with train/<class>/*.jpg, and validation and test alike
    start          : .safetensors file with every tensor of the net, a fresh head included
    augment        : RandomResizedCrop and horizontal flip; else the centre square
    epochs         : how many belong to the job
    peer_epochs    : how many a peer is measured on; the others are extrapolated
    workers        : of a peer's data loader; None is its own default, at most one a core
    fast           : bf16 and channels-last, where a peer offers them
    """

    name: str
    model: str
    size: int
    epochs: int
    num_images: int
    lr: float
    batch: int = 32
    freeze: bool = False
    augment: bool = False
    peer_epochs: int | None = None
    num_classes: int = 0
    photographs: str = ""
    start: str = ""
    workers: int | None = None
    fast: bool = False


JOBS = {
    job.name: job
    for job in (
        Job("finetune", "resnet18", 224, epochs=3, num_images=1000, lr=1e-4, augment=True),
        Job("head", "resnet18", 224, 25, num_images=12_000, lr=1e-3, freeze=True, peer_epochs=1),
        Job("baseline", "baseline", 64, epochs=3, num_images=2000, lr=1e-3),
    )
}
QUICK = {"num_images": 160, "epochs": 2, "size": 64, "peer_epochs": None}


def prepare(job: Job, source: str, weights: str, work: Path) -> Job:
    """Lay out photographs and start weights in `work`; return the job that names them."""
    folder = work / "photographs"
    num_classes = lay_out(source, job.num_images, folder)
    job = replace(job, num_classes=num_classes, photographs=str(folder))
    start = work / "start.safetensors"
    write_start(job, weights if job.model == "resnet18" else "none", start)
    return replace(job, start=str(start))


def lay_out(source: str, num_images: int, folder: Path) -> int:
    """Copy, or draw, `num_images` for training and a share more for validation; count classes.

    `source` is whatever bakeoff reads: a folder, a CSV file, or `plates`. Every class gets the same
    number, so that a few photographs fewer than asked for may be laid out.
    """
    from bakeoff.data.sources import find

    sizes = {"train": num_images, "validation": round(SHARE_FOR_VALIDATION * num_images)}
    drawn = DataSpec(source=source, per_class=sum(sizes.values()) if source == "plates" else None)
    found = find(drawn)
    classes = len(found.classes)
    per_class = {name: max(1, count // classes) for name, count in sizes.items()}
    per_class["test"] = TEST_PER_CLASS
    # the split's name of the first, second, … photograph of each class
    plan = [name for name, count in per_class.items() for _ in range(count)]
    taken: Counter[int] = Counter()
    for row, label in enumerate(found.labels.tolist()):
        if taken[label] < len(plan):
            target = folder / plan[taken[label]] / found.classes[label] / f"{taken[label]:05}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(found.paths[row], found.root, target)
            taken[label] += 1
    if min(taken.values()) < len(plan):
        raise SystemExit(f"{source}: a class has {min(taken.values())} of {len(plan)} photographs")
    return classes


def write_start(job: Job, weights: str, path: Path) -> None:
    """Write the tensors that bakeoff starts from with seed 0, so that all start from the same."""
    import torch
    from safetensors.torch import save_file

    from bakeoff import seeds
    from bakeoff.models import zoo
    from bakeoff.recipe import Recipe

    torch.manual_seed(seeds.number("init", 0))
    net = zoo.build(Recipe(model=job.model, weights=weights, size=job.size), job.num_classes)
    save_file({name: tensor.contiguous() for name, tensor in net.module.state_dict().items()}, path)


def accuracy(job: Job, state: Mapping[str, Tensor]) -> float:
    """Return the validation accuracy (0..1) of a trained net, by one rule for all: fp32, PIL."""
    import torch

    from benchmarks.contenders import given

    net = given.net(replace(job, fast=False))
    net.load_state_dict(dict(state))
    net.eval()
    where, right, count = given.device(), 0, 0
    _, validation = given.loaders(job, workers=0)
    with torch.inference_mode():
        for images, labels in validation:
            right += int((net(images.to(where)).argmax(1).cpu() == labels).sum())
            count += len(labels)
    return right / count


def _put(path: str, root: Path | None, target: Path) -> None:
    if root is None:
        from PIL import Image

        from bakeoff.data import plates

        Image.fromarray(plates.draw(path, DRAWN_SIDE)).save(target, quality=90)
    else:
        shutil.copyfile(root / path, target)
