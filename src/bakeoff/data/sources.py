"""From the `data:` block of a study to a list of photographs. Nothing is decoded here.

Each kind of source has a reader of its own; this module tells them apart and demands of all what a
training needs: one class map, and every class in every split that is given.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np

from bakeoff.data import food101, plates
from bakeoff.data.folders import read_folders
from bakeoff.data.manifest import read_manifest
from bakeoff.data.photographs import DataError, Photographs, Progress, nearest
from bakeoff.data.spec import DataSpec

__all__ = ["DataError", "Photographs", "Progress", "find"]

ALLOWED = (
    "a folder with one folder a class, a folder with train/ and val/ or test/, a CSV file "
    "path,label[,split,group], a copy of Food-101, `food101` or `plates`"
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
    path = Path(spec.source).expanduser().absolute()
    try:
        if path.is_file():
            return _read_file(path, spec)
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


def _read_file(path: Path, spec: DataSpec) -> Photographs:
    if path.suffix.lower() != ".csv":
        raise DataError(f"data.source: {spec.source} is a file, but no .csv; allowed: {ALLOWED}")
    return read_manifest(path, spec)


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
