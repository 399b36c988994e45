"""Copies among decoded photographs: of one file, and near ones by their looks.

What is a copy is found once for a store and kept beside its pixels. From it come the groups that
our own splits keep together, and the photographs of a given split that leaked into another.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bakeoff.data import alike
from bakeoff.data.alike import Pairs
from bakeoff.data.photographs import DRAWN, SPLITS, Photographs, Progress, natural
from bakeoff.data.pixels import Store
from bakeoff.data.splits import COPIES, settled
from bakeoff.files import write_text

ALONE = -1  # the number of a photograph that has no copy
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Copies:
    """Of the K photographs of a store: group numbers from 0 on, in the order of the list."""

    numbers: Rows  # (K,), ALONE or the group of all that are copies of each other, exact or near
    exact: Rows  # (K,), ALONE or the group of those with the same bytes
    near: Pairs  # rows of the store, one of each exact group standing for all


def find_copies(
    store: Store, photographs: Photographs, *, progress: Progress | None = None
) -> Copies:
    """Find the copies in the store of these photographs; a second time they are only read.

    Drawn photographs are compared by their bytes alone.
    """
    digests = np.array([entry.digest for entry in store.entries], dtype=np.str_)
    _, first, same = np.unique(digests, return_index=True, return_inverse=True)
    near = _read(store.folder)
    if near is None:
        if progress:
            progress("comparing", 0, len(digests))
        drawn = np.array([photographs.paths[row].startswith(DRAWN) for row in store.rows], bool)
        chosen = np.sort(first)
        chosen = chosen[~drawn[chosen]]
        found = alike.pairs(store.looks[chosen])
        near = replace(found, first=chosen[found.first], second=chosen[found.second])
        _write(store.folder, near)
        if progress:
            progress("comparing", len(digests), len(digests))
    rows = np.arange(len(digests))
    return Copies(
        numbers=joined(len(rows), ((rows, first[same]), (near.first, near.second))),
        exact=joined(len(rows), ((rows, first[same]),)),
        near=near,
    )


def joined(count: int, edges: Iterable[tuple[Rows, Rows]]) -> Rows:
    """Number what hangs together by `edges`: (count,), ALONE where a row hangs with no other."""
    pairs = list(edges)
    one = np.concatenate([pair[0] for pair in pairs])
    other = np.concatenate([pair[1] for pair in pairs])
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, begins, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(np.where(sizes > 1, begins, count), kind="stable")
    number = np.full(len(sizes), ALONE, dtype=np.int64)
    number[order[: int((sizes > 1).sum())]] = np.arange(int((sizes > 1).sum()))
    result: Rows = number[inverse]
    return result


def members(numbers: Rows) -> list[list[int]]:
    """List the rows of each group, in the order of their numbers."""
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] != ALONE]
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return [part.tolist() for part in np.split(order, cuts)] if len(order) else []


def tie(photographs: Photographs, numbers: Rows) -> Photographs:
    """Put copies into one group, together with the groups that they have already.

    Where a source gives copies to different splits they stay there: only what lies in the same
    split, or in none, is tied. `numbers` (N,) as in Copies. Raises DataError as `splits.split`.
    """
    given = settled(photographs)
    named: dict[str, int] = {}
    homes = [named.setdefault(group, row) for row, group in enumerate(photographs.groups) if group]
    grouped = np.flatnonzero([bool(group) for group in photographs.groups])
    heads = {group[0]: group for group in members(numbers)}
    tied = [(head, row) for head, group in heads.items() for row in group]
    if not tied:
        return photographs
    ones, others = np.array(tied, dtype=np.int64).T
    every = joined(len(photographs), ((ones, others), (grouped, np.array(homes, dtype=np.int64))))
    groups = list(photographs.groups)
    for rows in members(every):
        if all(numbers[row] == ALONE for row in rows):
            continue
        for part in _parts(rows, given):
            name = _name(photographs, part)
            for row in part:
                groups[row] = name
    return replace(photographs, groups=tuple(groups))


def leaked(
    numbers: Rows,
    sides: NDArray[np.str_],
    side: str = "test",
    into: Sequence[str] = ("train", "validation"),
) -> NDArray[np.bool_]:
    """Say which photographs of `side` have a copy in one of `into`: (N,)."""
    there = np.unique(numbers[np.isin(sides, into) & (numbers != ALONE)])
    result: NDArray[np.bool_] = (sides == side) & np.isin(numbers, there)
    return result


def _parts(rows: list[int], given: NDArray[np.str_]) -> list[list[int]]:
    """Part a group by the splits its photographs are given to; the others join the first."""
    homes = [name for name in SPLITS if any(given[row] == name for row in rows)]
    if len(homes) < 2:
        return [rows]
    return [
        [row for row in rows if given[row] == home or (not given[row] and home == homes[0])]
        for home in homes
    ]


def _name(photographs: Photographs, rows: list[int]) -> str:
    """Name a group: as it was named already, or by the first path."""
    names = {photographs.groups[row] for row in rows} - {""}
    if names:
        return min(names, key=natural)
    return COPIES + min(photographs.paths[row] for row in rows) if len(rows) > 1 else ""


def _file(folder: Path) -> Path:
    return folder / f"copies-{alike.VERSION}.json"


def _read(folder: Path) -> Pairs | None:
    try:
        found = json.loads(_file(folder).read_bytes())
        first, second, likeness, mirrored = zip(*found, strict=True) if found else ((),) * 4
        return Pairs(
            np.array(first, dtype=np.int64),
            np.array(second, dtype=np.int64),
            np.array(likeness, dtype=np.float32),
            np.array(mirrored, dtype=bool),
        )
    except (OSError, ValueError, TypeError):
        return None


def _write(folder: Path, near: Pairs) -> None:
    rows = zip(
        near.first.tolist(),
        near.second.tolist(),
        [round(value, 4) for value in near.likeness.tolist()],
        near.mirrored.tolist(),
        strict=True,
    )
    with contextlib.suppress(OSError):  # a cache that cannot be written to is none
        write_text(_file(folder), json.dumps(list(rows)))
