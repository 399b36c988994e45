"""The training photographs that look most alike to the net: nearest by its penultimate features.

The features of the training photographs are computed once, beside the answering, and kept in the
cache under a key of net and photographs. Until that is done the nearest are those of the part that
is; a model folder that lies far from its study has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bakeoff.data import plates
from bakeoff.data.cache import cache_dir
from bakeoff.data.photographs import Photographs, Progress
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.squares import Pixels, made, threads
from bakeoff.data.thumbnails import thumbnails
from bakeoff.fields import RecipeError
from bakeoff.files import aside, checksum
from bakeoff.inputs import seen
from bakeoff.integrity import read_sealed
from bakeoff.recipe import digest
from bakeoff.serving.asked import Asked

VERSION = 1
MOST = 20_000  # training photographs looked at; a sample where there are more
BATCH = 16  # small, so that nobody waits long for the net
SHOWN = 8
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A training photograph: its class, its file's name, a JPEG of it, and how alike it is (-1..1).

    `likeness` is the cosine between the features.
    """

    label: str
    name: str
    picture: bytes | None
    likeness: float


class Neighbours:
    """The training photographs of `asked`; `fill` looks at them in a thread until `close`.

    Raises RecipeError or DataError where they cannot be reached.
    """

    def __init__(self, asked: Asked) -> None:
        source = split_file(asked.classifier.folder)
        self.photographs = _trained_on(source)
        self.done = 0
        self._asked = asked
        self._picture = thumbnails(DataSpec(source=str(source)))
        self._path = cache_dir() / "features" / f"nearest-{_key(asked, self.photographs)}.npy"
        self._features = self._kept()
        self._stop = Event()
        self._thread: Thread | None = None

    def __len__(self) -> int:
        """Count the training photographs that are looked at."""
        return len(self.photographs)

    def fill(self, progress: Progress) -> None:
        """Begin to compute the features, if they are not in the cache."""
        if self.done < len(self):
            self._thread = Thread(target=self._fill, args=(progress,), daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until all are there."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Stop computing."""
        self._stop.set()
        self.wait()

    def nearest(self, pixels: Pixels) -> list[Neighbour]:
        """Return the nearest of those looked at so far to pixels (S, S, 3), the nearest first."""
        if self._features is None:
            return []
        own = features(self._asked, pixels[None])[0]
        likeness = self._features[: self.done] @ own
        rows = np.argsort(-likeness, kind="stable")[:SHOWN]
        found, names = self.photographs, self.photographs.classes
        return [
            Neighbour(
                label=names[found.labels[row]],
                name=Path(found.paths[row]).name,
                picture=self._picture(found.paths[row]),
                likeness=float(likeness[row]),
            )
            for row in rows
        ]

    def _kept(self) -> Features | None:
        with suppress(OSError, ValueError, EOFError):
            rows: Features = np.load(self._path, allow_pickle=False, mmap_mode="r")
            if rows.ndim == 2 and len(rows) == len(self) and rows.dtype == np.float32:
                self.done = len(self)
                return rows
        return None

    def _fill(self, progress: Progress) -> None:
        for rows in self._batches():
            if self._stop.is_set():
                return
            if self._features is None:
                self._features = np.zeros((len(self), rows.shape[1]), np.float32)
            self._features[self.done : self.done + len(rows)] = rows
            self.done += len(rows)
            progress("looking at the training photographs", self.done, len(self))
        assert self._features is not None
        with aside(self._path) as temporary, temporary.open("wb") as file:
            np.save(file, self._features)

    def _batches(self) -> Iterator[Features]:
        """Yield the features of all training photographs in order; zeros for one that is broken."""
        side = self._asked.classifier.recipe.side
        squares = made(self.photographs, side, threads())
        blank = np.zeros((side, side, 3), np.uint8)
        while batch := list(islice(squares, BATCH)):
            broken = [isinstance(each, str) for each in batch]
            rows = features(
                self._asked,
                np.stack([blank if isinstance(each, str) else each[0] for each in batch]),
            )
            rows[broken] = 0
            yield rows


def split_file(model: Path) -> Path:
    """Return the split that the net of a model folder learned from: a CSV in its study's folder.

    RecipeError where the folder is not within its study.
    """
    place = model.resolve()
    run = place.parent
    if (place / "origin.json").is_file():
        with suppress(ValueError, KeyError, TypeError):
            origin = json.loads((place / "origin.json").read_text(encoding="utf-8"))
            run = place.parent / origin["table"] / origin["variant"] / f"seed-{origin['seed']}"
    said = read_sealed(run / "run.json") or {}
    seed = said.get("seeds", {}).get("split")
    split = run.parent.parent.parent / f"split-{seed}.csv"
    if seed is None or not split.is_file():
        raise RecipeError(f"{model}: it does not lie in the folder of its study")
    return split


def features(asked: Asked, pixels: Pixels) -> Features:
    """Return what enters the head for pixels (B, S, S, 3): (B, F), each of length 1."""
    classifier = asked.classifier
    net, kept = classifier.net, []

    def keep(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        kept.append(given[0])

    with asked.alone, torch.inference_mode():
        handle = net.module.get_submodule(net.head).register_forward_pre_hook(keep)
        try:
            net.module(seen(pixels, net, classifier.recipe.size, classifier.device))
        finally:
            handle.remove()
        found = kept[-1].float()
        if found.dim() == 4:  # a head that is a convolution
            found = found.mean(dim=(2, 3))
        rows: Features = nn.functional.normalize(found.flatten(1)).cpu().numpy()
    return rows


def _trained_on(source: Path) -> Photographs:
    """List the training photographs of a split, a sample of them where there are many.

    Their order is a drawn one, always the same: the first of them are of all classes.
    """
    found = find(DataSpec(source=str(source)), offline=True)
    rows = np.flatnonzero(found.splits == "train")
    rows = np.random.default_rng(0).permutation(rows)[:MOST]
    return found.take(rows)


def _key(asked: Asked, photographs: Photographs) -> str:
    """Hash what decides the features: the net, its geometry, and each photograph's path and age."""
    ages = [(path, _age(photographs, row)) for row, path in enumerate(photographs.paths)]
    recipe = asked.classifier.recipe
    net = checksum(asked.classifier.folder / "model.safetensors")
    seen_at = hashlib.sha256(repr(ages).encode()).hexdigest()
    return digest(VERSION, plates.VERSION, net, recipe.size, recipe.side, seen_at)


def _age(photographs: Photographs, row: int) -> object:
    """Return what changes when the photograph does; None for one that is drawn, or gone."""
    if piece := photographs.piece(row):
        return tuple(piece)
    with suppress(OSError):
        status = photographs.file(row).stat()
        return status.st_size, status.st_mtime_ns
    return None
