"""A peer's net asked for class names: photographs through its prediction transform, in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.contenders import given

BATCH = 64


def keep_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write the names of the classes in the order of the net's outputs."""
    (folder / "classes.json").write_text(json.dumps(list(classes)), encoding="utf-8")


def classes(folder: Path) -> list[str]:
    """Read what `keep_classes` wrote."""
    return json.loads((folder / "classes.json").read_text(encoding="utf-8"))


@torch.inference_mode()
def answered(
    net: nn.Module, seen: Callable[[Image.Image], Tensor], folder: Path, photographs: Sequence[str]
) -> list[str]:
    """Return the likeliest class of each photograph; `seen` turns it into (3, S, S)."""
    names, where = classes(folder), given.device()
    net.eval().to(where)
    found: list[str] = []
    for start in range(0, len(photographs), BATCH):
        images = [_opened(path) for path in photographs[start : start + BATCH]]
        logits = net(torch.stack([seen(image) for image in images]).to(where))
        found += [names[place] for place in logits.argmax(1).tolist()]
    return found


def _opened(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
