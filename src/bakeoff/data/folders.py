"""Photographs in folders: one folder a class, or such folders below train, validation and test."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.classes import choose
from bakeoff.data.photographs import (
    SUFFIXES,
    DataError,
    Photographs,
    gather,
    listing,
    natural,
    nearest,
)
from bakeoff.data.spec import DataSpec

SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Tree:
    """Folders that photographs lie in, on a disk or elsewhere; "" is the outermost."""

    name: str
    subfolders: Callable[[str], Sequence[str]]  # names of those directly inside, naturally sorted
    images: Callable[[str], list[str]]  # paths of all in and below one, relative to it, sorted


def read_folders(root: Path, spec: DataSpec) -> Photographs:
    """Read class folders of a disk, below split folders where the first level is named so."""
    tree = Tree(
        str(root),
        lambda inside: tuple(subfolders(root / inside)),
        lambda inside: images_below(root / inside),
    )
    classes, rows = arranged(tree, spec)
    return gather(root.name, root, classes, rows)


def arranged(tree: Tree, spec: DataSpec) -> tuple[tuple[str, ...], list[tuple[str, str, str, str]]]:
    """Return the classes, and the rows (path, class, split, group), of class or split folders."""
    first = tree.subfolders("")
    splits = _split_folders(tree.name, first)
    if splits:
        below = {split: tree.subfolders(folder) for split, folder in splits.items()}
        names = sorted({name for level in below.values() for name in level}, key=natural)
    else:
        splits, below, names = {"": ""}, {"": first}, list(first)
    if not names:
        raise DataError(_nothing_in(tree))
    classes = choose(spec, names)
    rows = [
        (f"{folder}/{path}", label, split, "")
        for split, level in below.items()
        for label in classes
        if label in level
        for folder in (f"{splits[split]}/{label}".lstrip("/"),)
        for path in _some(tree, folder)
    ]
    return classes, rows


def listed(name: str, paths: Iterable[str]) -> Tree:
    """Make a Tree of the paths of files, which may be those of an object store or an archive."""
    every = sorted(path for path in paths if all(_shown(part) for part in path.split("/")))

    def inside(folder: str) -> Iterator[str]:
        prefix = f"{folder}/" if folder else ""
        for path in every[bisect_left(every, prefix) :]:
            if not path.startswith(prefix):
                break
            yield path[len(prefix) :]

    def names(folder: str) -> tuple[str, ...]:
        found = {path.split("/")[0] for path in inside(folder) if "/" in path}
        return tuple(sorted(found, key=natural))

    def images(folder: str) -> list[str]:
        found = [path for path in inside(folder) if path.lower().endswith(SUFFIXES)]
        return sorted(found, key=lambda path: [natural(part) for part in path.split("/")])

    return Tree(name, names, images)


def subfolders(folder: Path) -> dict[str, Path]:
    """Name -> folder of the folders directly inside, naturally sorted, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_folder(entry) and _shown(entry.name)]
    except PermissionError:
        raise DataError(f"data.source: no permission to read the folder {folder}") from None
    return {name: folder / name for name in sorted(names, key=natural)}


def images_below(folder: Path) -> list[str]:
    """Paths of all images in and below a folder, relative to it, naturally sorted.

    Links are followed, but no folder is entered twice. A link that leads nowhere is listed: it is
    a photograph that cannot be read, and is named as one later.
    """
    status = folder.stat()
    return list(_images(folder, "", {(status.st_dev, status.st_ino)}))


def _images(folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: natural(entry.name))
    except PermissionError:
        raise DataError(f"data.source: no permission to read the folder {folder}") from None
    for entry in entries:
        if not _shown(entry.name):
            continue
        if _is_folder(entry):
            status = Path(entry.path).stat()  # a scanned entry has no inode number on Windows
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield from _images(Path(entry.path), f"{prefix}{entry.name}/", seen)
        elif entry.name.lower().endswith(SUFFIXES):
            yield prefix + entry.name


def _some(tree: Tree, folder: str) -> list[str]:
    paths = tree.images(folder)
    if not paths:
        raise DataError(
            f"data.source: the class folder {tree.name}/{folder} holds no images ({_allowed()}); "
            "remove it or leave its class out of data.classes"
        )
    return paths


def _split_folders(root: str, first: Sequence[str]) -> dict[str, str]:
    """Split -> folder, or nothing where the first level holds classes."""
    found: dict[str, str] = {}
    others = [name for name in first if name.lower() not in SPLIT_NAMES]
    named = [name for name in first if name.lower() in SPLIT_NAMES]
    if not named or (others and len(named) < 2):
        return {}  # a lone `train` among class folders is a class: there are pictures of trains
    for name in named:
        split = SPLIT_NAMES[name.lower()]
        if split in found:
            raise DataError(
                f"data.source: {root} has both {found[split]}/ and {name}/, "
                f"which both mean {split}; keep one"
            )
        found[split] = name
    if "train" not in found:
        guess = nearest("train", others)
        raise DataError(f"data.source: {root} has {listing(named)}/ but no train/{guess}")
    if others:
        raise DataError(
            f"data.source: beside its split folders {root} has {listing(others)}, which is no "
            "split; move it away (allowed: train, val or valid or validation, test)"
        )
    return found


def _nothing_in(tree: Tree) -> str:
    loose = len(tree.images(""))
    held = f"holds {loose} images but no class folders" if loose else "holds no images"
    return (
        f"data.source: {tree.name} {held}; needed is one folder a class with images "
        f"({_allowed()}), or a CSV file with the columns path,label"
    )


def _allowed() -> str:
    return ", ".join(suffix[1:] for suffix in SUFFIXES)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
