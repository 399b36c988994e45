"""Check all photographs of a source: every file decoded, copies found, splits and classes counted.

Nothing is changed. What was decoded and compared is cached by size and time of the files, so that
a second check costs little more than a stat a photograph. Damage inside a JPEG that its decoder
passes over in silence is not seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bakeoff.data import symptoms
from bakeoff.data.duplicates import ALONE, Rows, find_copies, tie
from bakeoff.data.findings import (
    CONVERTED,
    KINDS,
    UNEVEN,
    Audit,
    Example,
    Finding,
)
from bakeoff.data.photographs import DRAWN, SPLITS, DataError, Photographs, Progress
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.splits import describe, split
from bakeoff.data.symptoms import LEAKS, Seen

SIDE = 96  # of the stored pictures; the whole file is decoded whatever it is
EXAMPLES = 24
MOST_IN_EXAMPLE = 6


def audit(
    spec: DataSpec,
    *,
    side: int = SIDE,
    offline: bool = False,
    progress: Progress | None = None,
    examples: int = EXAMPLES,
) -> Audit:
    """Check all photographs of a source; `per_class` limits only what a training takes of them.

    `side` chooses the store: with that of a training nothing is decoded again. Raises DataError
    where the source cannot be read at all.
    """
    photographs = find(spec, offline=offline, progress=progress)
    store = open_store(photographs, side, window=spec.window, offline=offline, progress=progress)
    copies = find_copies(store, photographs, progress=progress)
    numbers = np.full(len(photographs), ALONE, dtype=np.int64)
    numbers[store.rows] = copies.numbers
    sides, how, refused = _split(photographs, spec, numbers)
    seen = Seen(photographs, store, copies, numbers, sides, refused, examples)
    kept, labels = sides[store.rows], seen.labels
    sizes = np.bincount(labels, minlength=len(photographs.classes))
    by_split = {
        name: np.bincount(labels[kept == name], minlength=len(photographs.classes))
        for name in SPLITS
    }
    return Audit(
        name=photographs.name,
        source=spec.source,
        photographs=len(photographs),
        good=len(store.rows),
        megabytes=_megabytes(photographs),
        classes=dict(zip(photographs.classes, sizes.tolist(), strict=True)),
        splits={name: int(counts.sum()) for name, counts in by_split.items()},
        smallest_class={name: int(counts.min()) for name, counts in by_split.items()},
        split=how,
        largest_over_smallest=round(float(sizes.max() / sizes.min()), 3) if sizes.all() else None,
        findings=_findings(seen, sizes),
    )


def _split(
    photographs: Photographs, spec: DataSpec, numbers: Rows
) -> tuple[NDArray[np.str_], str, str]:
    """Return the split that a training would have, how it is made, and why there is none."""
    whole = spec.model_copy(update={"per_class": None})
    try:
        if spec.duplicates == "keep_together":
            photographs = tie(photographs, numbers)
        sides = split(photographs, whole, spec.split_seed)
    except DataError as error:
        return photographs.splits, "as the source gives it, where it does", str(error)
    return sides, describe(photographs, whole, spec.split_seed), ""


def _findings(seen: Seen, sizes: NDArray[np.int64]) -> tuple[Finding, ...]:
    found = {
        **symptoms.damaged(seen),
        **symptoms.copied(seen),
        **symptoms.leaking(seen),
        **symptoms.poor(seen),
        **symptoms.converted(seen),
    }
    every = {**KINDS, **CONVERTED}
    result = [_of_photographs(seen, kind, found[kind]) for kind in every if found.get(kind)]
    if seen.refused:
        result.append(_of_classes("unsplittable", [Example((), seen.refused)], 0, len(sizes)))
    small = np.flatnonzero(sizes * UNEVEN < sizes.max())
    if len(small):
        said = [
            Example((), f"{seen.photographs.classes[label]}: {sizes[label]} of {sizes.max()}")
            for label in small[np.argsort(sizes[small], kind="stable")]
        ]
        result.append(_of_classes("uneven", said[: seen.most], len(small), len(sizes)))
    order = list(every)
    weights = ["harm", "care", "note"]
    return tuple(sorted(result, key=lambda f: (weights.index(f.weight), order.index(f.kind))))


def _of_photographs(seen: Seen, kind: str, examples: list[Example]) -> Finding:
    told = {**KINDS, **CONVERTED}[kind]
    count = sum(len(example.paths) for example in examples)
    side = LEAKS.get(kind)
    among = len(seen.photographs) if side is None else int((seen.sides == side).sum())
    few = tuple(_shortened(examples[: seen.most]))
    return Finding(
        kind, told.weight, told.title, count, "photographs", count / among, few, told.advice
    )


def _of_classes(kind: str, examples: list[Example], count: int, total: int) -> Finding:
    told = KINDS[kind]
    share = count / total
    return Finding(
        kind, told.weight, told.title, count, "classes", share, tuple(examples), told.advice
    )


def _shortened(examples: Iterable[Example]) -> Iterable[Example]:
    for example in examples:
        more = len(example.paths) - MOST_IN_EXAMPLE
        said = f"{example.detail}, and {more} more" if more > 0 else example.detail
        yield Example(example.paths[:MOST_IN_EXAMPLE], said, example.beside)


def _megabytes(photographs: Photographs) -> float:
    total = 0
    for row, path in enumerate(photographs.paths):
        if piece := photographs.piece(row):
            total += piece.size
        elif not path.startswith(DRAWN):
            try:
                total += os.stat(photographs.file(row)).st_size  # noqa: PTH116 (half the time)
            except OSError:
                continue
    return round(total / 1e6, 1)
