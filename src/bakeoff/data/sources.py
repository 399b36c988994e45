"""From the `data:` block of a study to a list of photographs. Nothing is decoded here.

Each kind of source has a reader of its own; this module tells them apart and demands of all what a
training needs: one class map, and every class in every split that is given.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np

from bakeoff.data import food101, plates
from bakeoff.data.addresses import files_below, is_address, opened, reaching, shown
from bakeoff.data.folders import arranged, images_below, listed, read_folders
from bakeoff.data.manifest import read_manifest
from bakeoff.data.photographs import DataError, Photographs, Piece, Progress, gather, nearest
from bakeoff.data.spec import DataSpec
from bakeoff.data.tars import read_tars, shards

__all__ = ["DataError", "Photographs", "Progress", "find"]

ALLOWED = (
    "a folder with one folder a class, a folder with train/ and val/ or test/, a CSV file "
    "path,label[,split,group], tar files (`photos-{000..012}.tar`, or a folder of them), an "
    "address of any of these (`s3://bucket/photos`), a copy of Food-101, `food101` or `plates`"
)


def find(spec: DataSpec, *, offline: bool = False, progress: Progress | None = None) -> Photographs:
    """List the photographs a study asks for.

    The words `food101` (in the cache, else downloaded) and `plates` (drawn) come before any folder
    of that name, which can be given as `./plates`. Raises DataError.
    """
    photographs = _read(spec, offline, progress)
    _demand_plain_names(photographs)
    _demand_every_class(photographs)
    return photographs


def _read(spec: DataSpec, offline: bool, progress: Progress | None) -> Photographs:
    if spec.source == "plates":
        return plates.listed(spec)
    if spec.source == "food101":
        return food101.read_official(food101.fetch(offline=offline, progress=progress), spec)
    if not spec.source:
        raise DataError(f"data.source is empty; allowed: {ALLOWED}")
    if is_address(spec.source):
        return _read_address(spec, offline, progress)
    path = Path(spec.source).expanduser().absolute()
    try:
        if tars := _tars(path):
            return read_tars(path.stem, tars, spec, progress)
        if path.is_file():
            return _read_file(path, spec, offline)
        if not path.is_dir():
            raise DataError(
                f"data.source: {spec.source} does not exist"
                f"{nearest(spec.source, ('food101', 'plates')) or '; allowed: ' + ALLOWED}"
            )
        official = food101.official_root(path)
    except PermissionError:
        raise DataError(f"data.source: no permission to read {path}") from None
    except OSError as error:
        raise DataError(f"data.source: {spec.source[:200]}: {error.strerror}") from None
    return food101.read_official(official, spec) if official else read_folders(path, spec)


def _read_file(path: Path, spec: DataSpec, offline: bool) -> Photographs:
    if path.suffix.lower() != ".csv":
        raise DataError(
            f"data.source: {spec.source} is a file, but no .csv and no .tar; allowed: {ALLOWED}"
        )
    return read_manifest(path, spec, offline=offline)


def _tars(path: Path) -> list[str]:
    """List the tars that a path on this disk names, or that a folder without images holds."""
    if path.suffix.lower() == ".tar":
        folder = path.parent
        return shards(path.as_posix(), lambda _: [p.as_posix() for p in folder.glob(path.name)])
    if not path.is_dir():
        return []
    found = [
        p.relative_to(path).as_posix() for level in ("*.tar", "*/*.tar") for p in path.glob(level)
    ]
    alone = bool(found) and not images_below(path)
    return [(path / tar).as_posix() for tar in found] if alone else []


def _read_address(spec: DataSpec, offline: bool, progress: Progress | None) -> Photographs:
    """Read what lies below an address: tars, a CSV file, class folders or split folders."""
    address = spec.source.rstrip("/")
    system, root = opened(address, offline=offline)
    if "file" in system.protocol and "::" not in address:
        return _read(spec.model_copy(update={"source": root}), offline, progress)
    name = root.rstrip("/").rpartition("/")[2].partition(".")[0] or root
    if address.endswith(".tar"):

        def glob(_: str) -> list[str]:
            with reaching(address):
                return [str(system.unstrip_protocol(path)) for path in system.glob(root)]

        return read_tars(name, shards(address, glob), spec, progress)
    if address.lower().endswith(".csv"):
        return read_manifest(address, spec, offline=offline)
    files = files_below(system, root)
    if not files:
        raise DataError(f"data.source: {shown(address)} does not exist, or holds no files")
    whole = str(system.unstrip_protocol(root)).rstrip("/")
    tree = listed(shown(address), files)
    tars = [f"{whole}/{path}" for path in files if path.endswith(".tar")]
    if tars and not tree.images(""):
        return read_tars(name, tars, spec, progress)
    if "meta/train.txt" in files:
        raise DataError(
            f"data.source: {shown(address)} is Food-101 in its authors' layout, which is read from "
            f"a disk only; give {shown(address)}/images for its class folders alone"
        )
    classes, rows = arranged(tree, spec)
    pieces = {path: Piece(f"{whole}/{path}", 0, *files[path]) for path, *_ in rows}
    return gather(name, None, classes, rows, pieces)


def _demand_plain_names(photographs: Photographs) -> None:
    """Refuse class names that would break tables, terminals and files that are UTF-8."""
    for label in photographs.classes:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in label):
            raise DataError(
                f"data.source: {photographs.name}: the class name {label!r} holds control "
                "characters or is no UTF-8; rename it"
            )


def _demand_every_class(photographs: Photographs) -> None:
    """Refuse a class that is missing from a split the source gives, or from what trains."""
    given = {
        "train": np.isin(photographs.splits, ("train", "")),
        "validation": photographs.splits == "validation",
        "test": photographs.splits == "test",
    }
    for split, mask in given.items():
        counts = np.bincount(photographs.labels[mask], minlength=len(photographs.classes))
        if (split == "train" or mask.any()) and not counts.all():
            label = photographs.classes[int(counts.argmin())]
            raise DataError(
                f"data.source: {photographs.name}: the class {label!r} has no photographs in the "
                f"{split} split; every class must be in every split"
            )
