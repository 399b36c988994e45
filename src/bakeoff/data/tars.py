"""Photographs inside tar shards, read where they lie: nothing is ever unpacked.

A tar either follows WebDataset (`key.jpg` beside `key.cls` or `key.json`, which hold the class) or
holds class folders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bakeoff.data.addresses import files_below, is_address, opened
from bakeoff.data.classes import choose
from bakeoff.data.folders import SPLIT_NAMES, arranged, listed
from bakeoff.data.members import FIELDS, Members, key_of, members_of
from bakeoff.data.photographs import (
    DataError,
    Photographs,
    Piece,
    Progress,
    gather,
    listing,
    natural,
)
from bakeoff.data.spec import DataSpec

AT_ONCE = 8  # tars whose members are listed at the same time
MOST = 1_000_000  # tars that a range in braces may name

Row = tuple[str, str, str, str]


def read_tars(
    name: str, addresses: Sequence[str], spec: DataSpec, progress: Progress | None = None
) -> Photographs:
    """List the photographs inside tars, in the order in which they lie there.

    A photograph's path is the tar's, seen from the folder of all, and its name within. A tar whose
    path names a split (`train-000.tar`, `val/0.tar`) holds photographs of that split.
    """
    addresses = sorted(addresses, key=natural)
    folder = addresses[0]
    while not all(address.startswith(folder) for address in addresses) or folder[-1] != "/":
        folder = folder.rstrip("/").rpartition("/")[0] + "/"
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tars = {}
        for address, found in zip(addresses, pool.map(members_of, addresses), strict=True):
            tars[address[len(folder) :]] = (address, *found)
            if progress:
                progress("listing tars", len(tars), len(addresses))
    every = {tar: members for tar, (_, _, members) in tars.items()}
    if not any(members.images for members in every.values()):
        raise DataError(f"data.source: the tar files of {name} hold no images")
    labelled = any(members.labels for members in every.values())
    classes, rows = (_samples if labelled else _folders)(name, every, spec)
    chosen = {path for path, *_ in rows}
    pieces = {
        path: Piece(address, start, size, file.stamp)
        for tar, (address, file, members) in tars.items()
        for inside, start, size in members.images
        if (path := f"{tar}/{inside}") in chosen
    }
    order = {path: place for place, path in enumerate(pieces)}
    return gather(name, None, classes, sorted(rows, key=lambda row: order[row[0]]), pieces)


def _samples(
    name: str, tars: dict[str, Members], spec: DataSpec
) -> tuple[tuple[str, ...], list[Row]]:
    """Read WebDataset's samples: one image a key, and its class beside it."""
    rows, bare = [], []
    for tar, members in tars.items():
        split, keys = _split_of(tar), set()
        for inside, _, _ in members.images:
            key = key_of(inside)
            if key in keys:
                raise DataError(
                    f"data.source: {tar} of {name} holds two images named {key!r}; one a sample "
                    "is allowed"
                )
            keys.add(key)
            if label := members.labels.get(key):
                rows.append((f"{tar}/{inside}", label, split, ""))
            else:
                bare.append(f"{tar}/{inside}")
    if bare:
        raise DataError(
            f"data.source: {name} has {len(bare)} images without a class beside them, as .cls or "
            f"as {' or '.join(FIELDS[:3])} of a .json: {listing(bare)}"
        )
    classes = choose(spec, sorted({label for _, label, _, _ in rows}, key=natural))
    return classes, [row for row in rows if row[1] in set(classes)]


def _folders(
    name: str, tars: dict[str, Members], spec: DataSpec
) -> tuple[tuple[str, ...], list[Row]]:
    """Read class folders inside tars; one folder around all of them is passed over."""
    where: dict[str, list[str]] = {}
    for tar, members in tars.items():
        for inside, _, _ in members.images:
            where.setdefault(inside, []).append(tar)
    around = {inside.partition("/")[0] for inside in where}
    deep = all(inside.count("/") >= 2 for inside in where)
    top = f"{around.pop()}/" if len(around) == 1 and deep else ""
    classes, rows = arranged(listed(name, [inside[len(top) :] for inside in where]), spec)
    return classes, [
        (f"{tar}/{top}{inside}", label, split or _split_of(tar), "")
        for inside, label, split, _ in rows
        for tar in where[top + inside]
    ]


def _split_of(tar: str) -> str:
    """Tell the split from a tar's path: `train-000.tar`, `val/7.tar`; "" where it names none."""
    words = re.split(r"[^a-z]+", tar.lower())
    found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    if len(found) > 1:
        raise DataError(f"data.source: {tar} names two splits, {' and '.join(sorted(found))}")
    return found.pop() if found else ""


def located(paths: Sequence[str], base: str, *, offline: bool) -> dict[str, Piece]:
    """Find single photographs by address, or in a tar by `tar://a.jpg::photos.tar`: path -> piece.

    What is no address is meant from `base`; what is not there is left out.
    """
    within: dict[tuple[bool, str], list[tuple[str, str]]] = {}  # of a tar or a folder
    for path in paths:
        inside, _, outer = path.removeprefix("tar://").rpartition("::")
        folder, _, name = path.rpartition("/")
        where, name = (outer, inside) if inside else (folder, name)
        where = where if is_address(where) or where.startswith("/") else base + where
        within.setdefault((bool(inside), where), []).append((name, path))
    found = {}
    for (is_tar, where), names in within.items():
        system, root = opened(where, offline=offline)
        if is_tar:
            file, members = members_of(where)
            here = {
                name: Piece(where, start, size, file.stamp) for name, start, size in members.images
            }
        else:
            files = files_below(system, root, depth=1)
            here = {name: Piece(f"{where}/{name}", 0, *file) for name, file in files.items()}
        found.update({path: here[name] for name, path in names if name in here})
    return found


def shards(address: str, glob: Callable[[str], list[str]]) -> list[str]:
    """Name the tars of `photos-{000..012}.tar`, of `photos-*.tar`, or of one tar alone."""
    every = list(_spread(address))
    if len(every) > 1 or "*" not in address:
        return every
    return glob(address)


def _spread(text: str) -> Iterator[str]:
    found = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if not found:
        yield text
        return
    first, last = found.groups()
    if int(last) - int(first) >= MOST:
        raise DataError(f"data.source: {found[0]} names more than {MOST} tars")
    for number in range(int(first), int(last) + 1):
        rest = text[found.end() :]
        yield from _spread(f"{text[: found.start()]}{number:0{len(first)}d}{rest}")
