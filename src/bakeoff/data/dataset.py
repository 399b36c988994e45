"""A data set ready to train on: found, split, decoded and described."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.decode import RULES
from bakeoff.data.duplicates import ALONE, Rows, find_copies, leaked, tie
from bakeoff.data.manifest import write_manifest
from bakeoff.data.photographs import SPLITS, DataError, Photographs, Progress, nearest
from bakeoff.data.pixels import BadPhotographs, Store, open_store
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.splits import demand_every_class, describe, split
from bakeoff.data.squares import Pixels
from bakeoff.data.window import Shards

SMALLEST_SIDE = 8


class Notes(TypedDict):
    """What to say of a data set; plain values that JSON can hold."""

    split: str  # how it was made, in a sentence
    counts: dict[str, int]  # photographs a split
    smallest_class: dict[str, int]  # photographs of the smallest class a split
    rules: dict[str, int]  # sentence of the rule -> photographs it was applied to
    left_out: dict[str, str]  # bad photographs: path -> reason
    smallest_side: int  # of the original photographs, pixels
    copies: int | None  # photographs that have a copy among the others; None where not looked for
    leaked: list[str]  # test photographs that have a copy in train or validation: paths


@dataclass(frozen=True, eq=False)
class Dataset:
    """N photographs, all of them good; row i is the same one in every field."""

    photographs: Photographs
    split: NDArray[np.str_]  # (N,), one of SPLITS
    pixels: Pixels | Shards  # (N, S, S, 3), RGB, memory-mapped, read-only
    digests: tuple[str, ...]  # (N,), sha256 of the files
    fingerprint: str
    notes: Notes

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers (N,)."""
        return self.photographs.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the numbers."""
        return self.photographs.classes

    @property
    def side(self) -> int:
        """S, the stored side in pixels."""
        return int(self.pixels.shape[1])

    @property
    def leaked(self) -> NDArray[np.bool_]:
        """Which rows are test photographs with a copy in train or validation (N,)."""
        known = set(self.notes["leaked"])
        return np.array([path in known for path in self.photographs.paths], dtype=np.bool_)

    def __len__(self) -> int:
        """Count the photographs."""
        return len(self.photographs)

    def indices(self, name: str) -> NDArray[np.int64]:
        """Rows of one split, ascending."""
        if name not in SPLITS:
            raise ValueError(f"split {name!r} is not one of {SPLITS}{nearest(name, SPLITS)}")
        return np.flatnonzero(self.split == name).astype(np.int64)

    def write_manifest(self, file: Path) -> None:
        """Write `path,label,split,group` as CSV, which is a data source itself."""
        write_manifest(file, self.photographs, self.split.tolist())


@dataclass(frozen=True)
class Opening:
    """How a store is opened; `window` as in DataSpec."""

    skip_bad: bool
    offline: bool
    window: int | None
    progress: Progress | None


def load(
    spec: DataSpec,
    side: int,
    *,
    seed: int | None = None,
    skip_bad: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Find, split and decode; `seed` makes the split (default: `spec.split_seed`).

    The first call for a list of photographs decodes them into the cache, later ones only look
    whether they changed. Raises DataError, and BadPhotographs unless `skip_bad`.
    """
    seed = spec.split_seed if seed is None else seed
    opening = Opening(skip_bad, offline, spec.window, progress)
    photographs = find(spec, offline=offline, progress=progress)
    sides = split(photographs, spec, seed)
    numbers = None
    if spec.duplicates == "keep_together":
        used = np.flatnonzero(sides != "")
        store = _decoded(photographs.take(used), side, opening)
        copies = find_copies(store, photographs.take(used), progress=progress)
        numbers = np.full(len(photographs), ALONE, dtype=np.int64)
        numbers[used[store.rows]] = copies.numbers
        photographs = tie(photographs, numbers)
        sides = split(photographs, spec, seed, among=sides != "")
    how = describe(photographs, spec, seed)
    return _assemble(photographs, sides, side, how, numbers, opening)


def _assemble(
    photographs: Photographs,
    sides: NDArray[np.str_],
    side: int,
    how: str,
    numbers: Rows | None,
    opening: Opening,
) -> Dataset:
    """Decode what has a split; `sides` (N,) as `splits.split` gives it, `how` it was made.

    `numbers` (N,) say what are copies of each other, as in `duplicates.Copies`.
    """
    used = np.flatnonzero(sides != "")
    photographs, sides = photographs.take(used), sides[used]
    store = _decoded(photographs, side, opening)
    kept, sides = photographs.take(store.rows), sides[store.rows]
    try:
        demand_every_class(kept, sides)
    except DataError as error:
        first, reason = next(iter(store.bad.items()))
        raise DataError(
            f"{error}; {len(store.bad)} of {len(photographs)} photographs cannot be decoded and "
            f"were left out, first {first} ({reason})"
        ) from error
    seen = None if numbers is None else numbers[used][store.rows]
    digests = tuple(entry.digest for entry in store.entries)
    notes = _notes(store, kept, sides, seen, how)
    name = fingerprint(kept, digests, sides)
    if opening.window:  # it decides the order in which photographs are shown
        name = hashlib.sha256(f"{name} window {opening.window}".encode()).hexdigest()
    return Dataset(kept, sides, store.pixels, digests, name, notes)


def _decoded(photographs: Photographs, side: int, opening: Opening) -> Store:
    if side < SMALLEST_SIDE:
        raise ValueError(f"side is {side} pixels; at least {SMALLEST_SIDE} is needed")
    store = open_store(
        photographs,
        side,
        window=opening.window,
        offline=opening.offline,
        progress=opening.progress,
    )
    if store.bad and not opening.skip_bad:
        raise BadPhotographs(store.bad, len(photographs))
    return store


def _notes(
    store: Store, kept: Photographs, sides: NDArray[np.str_], numbers: Rows | None, how: str
) -> Notes:
    applied = Counter(rule for entry in store.entries for rule in entry.rules)
    leaks = np.flatnonzero(leaked(numbers, sides)) if numbers is not None else ()
    sizes = np.bincount(numbers[numbers != ALONE]) if numbers is not None else None
    return {
        "split": how,
        "counts": {name: int((sides == name).sum()) for name in SPLITS},
        "smallest_class": {
            name: int(np.bincount(kept.labels[sides == name]).min()) for name in SPLITS
        },
        "rules": {RULES[name]: applied[name] for name in RULES if applied[name]},
        "left_out": store.bad,
        "smallest_side": min(min(entry.width, entry.height) for entry in store.entries),
        "copies": None if sizes is None else int(sizes[sizes > 1].sum()),
        "leaked": [kept.paths[row] for row in leaks],
    }


def fingerprint(photographs: Photographs, digests: Sequence[str], sides: NDArray[np.str_]) -> str:
    """Hash what decides a training: each path, class name, content and split, in any order."""
    lines = sorted(
        "\0".join((path, photographs.classes[label], content, side))
        for path, label, content, side in zip(
            photographs.paths, photographs.labels, digests, sides.tolist(), strict=True
        )
    )
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
