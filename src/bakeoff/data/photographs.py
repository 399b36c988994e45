"""What every source hands over: a list of photographs with labels, given splits and groups.

Only data and its one error; finding it is the work of `sources`, splitting it of `splits`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total); total is 0 where it is not known."""

SPLITS = ("train", "validation", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
DRAWN = "plates:"
"""Begins the path of a photograph that is drawn instead of read."""


class DataError(ValueError):
    """What the user gave cannot be used; the message is one sentence that says what can."""


class Piece(NamedTuple):
    """Where the bytes of a photograph lie that is no file of this machine, or inside another file.

    `stamp` changes when the file does; `size` is in bytes.
    """

    address: str
    start: int
    size: int
    stamp: str


@dataclass(frozen=True, eq=False)
class Photographs:
    """N photographs in a fixed order; nothing is opened before they are decoded."""

    name: str
    root: Path | None
    paths: tuple[str, ...]  # relative to root with /, or absolute, or beginning with DRAWN
    labels: NDArray[np.int64]  # (N,), index into classes
    splits: NDArray[np.str_]  # (N,), one of SPLITS, or "" where the source gives none
    groups: tuple[str, ...]  # (N,), photographs that must stay in one split; "" for none
    classes: tuple[str, ...]
    pieces: Mapping[str, Piece] = field(default_factory=dict)  # of the paths that are no files

    def __post_init__(self) -> None:
        """Hold the lengths together."""
        lengths = {len(self.paths), len(self.labels), len(self.splits), len(self.groups)}
        assert lengths == {len(self.paths)}

    def __len__(self) -> int:
        """Count the photographs."""
        return len(self.paths)

    def take(self, indices: ArrayLike) -> Photographs:
        """Keep these photographs, in this order; the class map stays as it is."""
        rows = np.asarray(indices, dtype=np.int64)
        paths = tuple(self.paths[row] for row in rows)
        return replace(
            self,
            paths=paths,
            pieces={path: self.pieces[path] for path in paths if path in self.pieces},
            labels=self.labels[rows],
            splits=self.splits[rows],
            groups=tuple(self.groups[row] for row in rows),
        )

    def piece(self, index: int) -> Piece | None:
        """Where its bytes lie; None where it is a file of its own here, or drawn."""
        return self.pieces.get(self.paths[index])

    def file(self, index: int) -> Path:
        """Where the photograph lies (meaningless for a drawn one, or one that has a piece)."""
        path = Path(self.paths[index])
        return path if self.root is None else self.root / path


def gather(
    name: str,
    root: Path | None,
    classes: Sequence[str],
    rows: Iterable[tuple[str, str, str, str]],
    pieces: Mapping[str, Piece] | None = None,
) -> Photographs:
    """Build Photographs from rows (path, class name, split, group)."""
    number = {label: index for index, label in enumerate(classes)}
    table = list(rows)
    return Photographs(
        name=name,
        root=root,
        paths=tuple(path for path, _, _, _ in table),
        labels=np.array([number[label] for _, label, _, _ in table], dtype=np.int64),
        splits=np.array([split for _, _, split, _ in table], dtype="<U10"),
        groups=tuple(group for _, _, _, group in table),
        classes=tuple(classes),
        pieces=pieces or {},
    )


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key: `img2` before `img10`, case only to break a tie."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if odd % 2 else part for odd, part in enumerate(parts)], name


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no allowed name is near."""
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def listing(names: Iterable[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    every = [name if len(name) < 200 else f"{name[:200]}..." for name in names]
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more
