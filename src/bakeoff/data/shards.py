"""A pixel store in shards, for more photographs than memory, or this machine's disk, can hold.

    <place>/pixels-00000.npy   (n, S, S, 3) uint8, the good ones among PHOTOGRAPHS of the list
            looks-00000.npy    (n, LOOK, LOOK) uint8
            shard-00000.json   what the two hold; written last, so that it says they are whole

They are made by several processes, on any number of machines that see the same place. What is whole
is kept when the others are killed. Reading them is the work of `window`.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.addresses import is_address, opened, reaching
from bakeoff.data.growing import growing
from bakeoff.data.photographs import DataError, Photographs, Progress
from bakeoff.data.squares import LOOK, Entry, Pixels, made, packed, threads, unpacked
from bakeoff.files import write_text

PHOTOGRAPHS = 512  # of the list a shard: 77 MB at 224 px
SAYS = "BAKEOFF_STORES"


@dataclass(frozen=True)
class Content:
    """What a shard holds: its good photographs, and the bad ones with reasons."""

    entries: tuple[Entry, ...]
    bad: dict[str, str]


def place_of(folder: Path) -> str:
    """Say where the shards of a store lie: below $BAKEOFF_STORES, or in its folder of the cache."""
    chosen = os.environ.get("BAKEOFF_STORES")
    if not chosen:
        return str(folder)
    return f"{chosen.rstrip('/') if is_address(chosen) else Path(chosen).absolute()}/{folder.name}"


def mixed(photographs: Photographs) -> NDArray[np.int64]:
    """Return an order (N,) in which neighbours are of any class: a window holds but a few shards.

    Tar shards that were mixed already stay as they are, to be read from first to last.
    """
    labels = photographs.labels
    shares = np.bincount(labels) / max(1, len(labels))
    if len(labels) > 1 and (labels[1:] != labels[:-1]).mean() > (1 - (shares**2).sum()) / 2:
        return np.arange(len(labels))
    return np.random.default_rng(0).permutation(len(labels))


def build(
    photographs: Photographs, side: int, place: str, offline: bool, progress: Progress | None
) -> Iterator[tuple[Content, Pixels]]:
    """Make the shards that are not whole yet, then give each one's content and looks, in order."""
    starts = range(0, len(photographs), PHOTOGRAPHS)
    numbers = list(range(len(starts)))
    random.shuffle(numbers)  # other machines begin elsewhere
    parts = (
        (photographs.take(range(starts[n], min(starts[n] + PHOTOGRAPHS, len(photographs)))), n)
        for n in numbers
    )
    done = 0
    for count in _all_made(parts, len(numbers), side, place, offline):
        done += count
        if progress:
            progress("decoding", done, len(photographs))
    system, root = opened(place, offline=offline, says=SAYS)
    for number in sorted(numbers):
        content = whole(system, root, number)
        if content is None:
            raise DataError(f"{SAYS}: {place} has lost shard {number}; run it again")
        with reaching(place, SAYS), system.open(f"{root}/looks-{number:05d}.npy", "rb") as file:
            yield content, np.load(file)


def whole(system: Any, root: str, number: int) -> Content | None:
    """Return what a shard holds, or None where it is not there or torn."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(system.cat_file(f"{root}/shard-{number:05d}.json"))
        names = (f"{root}/{name}-{number:05d}.npy" for name in ("pixels", "looks"))
        if [system.info(name)["size"] for name in names] == said["bytes"]:
            return Content(unpacked(said["entries"]), said["bad"])
    return None


def _all_made(
    parts: Iterable[tuple[Photographs, int]], total: int, side: int, place: str, offline: bool
) -> Iterator[int]:
    """Make each part in one of as many processes as there are cores; yield how many it had."""
    from joblib import Parallel, delayed

    workers = min(threads(), total)
    if workers < 2:
        for part, number in parts:
            yield _make(part, number, side, place, offline, threads())
        return
    with Parallel(n_jobs=workers, return_as="generator_unordered", max_nbytes=None) as pool:
        yield from pool(
            delayed(_make)(part, number, side, place, offline, 1) for part, number in parts
        )


def _make(
    photographs: Photographs, number: int, side: int, place: str, offline: bool, workers: int
) -> int:
    """Make one shard, unless it is there."""
    system, root = opened(place, offline=offline, says=SAYS)
    with reaching(place, SAYS):
        if whole(system, root, number) is not None:
            return len(photographs)
    if local := "file" in system.protocol:  # object stores have no folders, and make buckets
        system.makedirs(root, exist_ok=True)
    names = [f"{name}-{number:05d}.npy" for name in ("pixels", "looks")]
    with tempfile.TemporaryDirectory(dir=root if local else None, prefix=".shard-") as folder:
        files = [Path(folder, name) for name in names]
        content = _written(photographs, side, *files, workers=workers)
        sizes = [file.stat().st_size for file in files]
        about = {"bytes": sizes, "entries": packed(content.entries), "bad": content.bad}
        files.append(Path(folder, f"shard-{number:05d}.json"))
        write_text(files[-1], json.dumps(about))
        for file in files:
            with reaching(place, SAYS):
                if local:
                    file.replace(Path(root, file.name))
                else:
                    system.put_file(str(file), f"{root}/{file.name}")
    return len(photographs)


def _written(
    photographs: Photographs, side: int, pixels: Path, looks: Path, *, workers: int
) -> Content:
    entries: list[Entry] = []
    bad: dict[str, str] = {}
    with (
        growing(pixels, (side, side, 3)) as add_pixels,
        growing(looks, (LOOK, LOOK)) as add_look,
    ):
        for path, one in zip(photographs.paths, made(photographs, side, workers), strict=True):
            if isinstance(one, str):
                bad[path] = one
            else:
                add_pixels(one[0])
                add_look(one[1])
                entries.append(one[2])
    return Content(tuple(entries), bad)
