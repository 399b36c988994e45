"""What is wrong or unusual among photographs that were decoded and compared, kind by kind.

Each function returns examples by the kinds of `findings`: all there are, in the order of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data import alike
from bakeoff.data.addresses import content_of
from bakeoff.data.decode import FORMATS, DecodeError
from bakeoff.data.duplicates import Copies, Rows, leaked, members
from bakeoff.data.findings import EXTREME, TINY, Example
from bakeoff.data.photographs import DRAWN, DataError, Photographs
from bakeoff.data.pixels import Store

Found = dict[str, list[Example]]
LEAKS = {"leak": "test", "validation_leak": "validation"}  # kind -> split that it is counted in
WORDS = {"no permission": "unreadable", "not there": "unreadable", "truncated": "truncated"}


@dataclass(frozen=True, eq=False)
class Seen:
    """All that the findings are read from; rows are of the list, K of them good."""

    photographs: Photographs
    store: Store
    copies: Copies
    numbers: Rows  # (N,), as Copies.numbers, ALONE for bad ones
    sides: NDArray[np.str_]  # (N,)
    refused: str  # why there is no split
    most: int  # examples a finding

    @property
    def labels(self) -> Rows:
        """Class numbers of the good ones (K,)."""
        labels: Rows = self.photographs.labels[self.store.rows]
        return labels

    def path(self, good: int) -> str:
        """Return the path of a row of the store."""
        return self.photographs.paths[int(self.store.rows[good])]


def damaged(seen: Seen) -> Found:
    """Sort what could not be decoded by its reason."""
    found: Found = {}
    for path, reason in seen.store.bad.items():
        kind = next((kind for word, kind in WORDS.items() if word in reason.lower()), "corrupt")
        found.setdefault(kind, []).append(Example((path,), reason))
    return found


def copied(seen: Seen) -> Found:
    """Sort groups of copies: the same bytes, the same look, different classes."""
    found: Found = {"exact": [], "near": [], "conflict": []}
    for rows in members(seen.copies.exact):
        found["exact"].append(Example(tuple(map(seen.path, rows))))
    near = seen.copies.near
    said = {}
    for pair in zip(near.first, near.second, near.likeness, near.mirrored, strict=True):
        word = ", mirrored" if pair[3] else ""
        said[int(pair[0])] = said[int(pair[1])] = f"likeness {pair[2]:.2f}{word}"
    for rows in members(seen.copies.numbers):
        detail = next((said[row] for row in rows if row in said), "")
        if len({seen.store.entries[row].digest for row in rows}) > 1:
            found["near"].append(Example(tuple(map(seen.path, rows)), detail))
        labels = np.unique(seen.labels[rows])
        if len(labels) > 1:
            names = ", ".join(seen.photographs.classes[label] for label in labels)
            found["conflict"].append(Example(tuple(map(seen.path, rows)), names))
    return found


def leaking(seen: Seen) -> Found:
    """List photographs whose copy lies in a split that it must not be in."""
    found: Found = {}
    groups = members(seen.numbers)
    for kind, side in LEAKS.items():
        into = ("train", "validation") if side == "test" else ("train",)
        leaks = np.flatnonzero(leaked(seen.numbers, seen.sides, side, into))
        for row in leaks.tolist():
            others = [r for r in groups[seen.numbers[row]] if seen.sides[r] in into]
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            example = Example(
                (seen.photographs.paths[row],),
                f"the second is in {seen.sides[others[0]]}{more}",
                (seen.photographs.paths[others[0]],),
            )
            found.setdefault(kind, []).append(example)
    return found


def poor(seen: Seen) -> Found:
    """Find what is too small, too long or blank; drawn pictures have no size of their own."""
    found: Found = {"tiny": [], "extreme": [], "blank": []}
    flat = alike.contrast(seen.store.looks) < alike.FLATTEST
    for row, entry in enumerate(seen.store.entries):
        path, size = (seen.path(row),), f"{entry.width} x {entry.height} pixels"
        if path[0].startswith(DRAWN):
            continue
        short, long = sorted((entry.width, entry.height))
        if short < TINY:
            found["tiny"].append(Example(path, size))
        if long >= EXTREME * short:
            found["extreme"].append(Example(path, size))
        if flat[row]:
            found["blank"].append(Example(path))
    return found


def converted(seen: Seen) -> Found:
    """List what was done to photographs while decoding, by the names of `decode.RULES`."""
    found: Found = {}
    for row, entry in enumerate(seen.store.entries):
        for rule in entry.rules:
            told = found.setdefault(rule, [])
            known = rule == "suffix" and len(told) < seen.most
            detail = _format(seen.photographs, int(seen.store.rows[row])) if known else ""
            told.append(Example((seen.path(row),), detail))
    return found


def _format(photographs: Photographs, row: int) -> str:
    try:
        with Image.open(BytesIO(content_of(photographs, row)), formats=FORMATS) as image:
            return f"is {image.format}"
    except (OSError, DecodeError, DataError):
        return ""
