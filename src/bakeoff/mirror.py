"""A study kept at an address that fsspec knows (`--out s3://bucket/studies`), and in a folder here.

Runs fill the folder, which lies in the cache. What is finished at the address is fetched first, so
that any machine goes on from there; each run is put there as soon as it is finished, all else in
the end. One command at a time may do this: an address has no locks.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bakeoff import files, integrity
from bakeoff.data.addresses import files_below, opened, reaching, shown
from bakeoff.data.cache import cache_dir
from bakeoff.data.photographs import DataError
from bakeoff.fields import RecipeError

RUNS = "*/*/seed-*/run.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mirror:
    """A study's address, the file system and the path there, and its folder here."""

    address: str
    system: Any
    root: str
    folder: Path

    def __str__(self) -> str:
        """Return the address as it may be printed."""
        return shown(self.address)


def mirrored(address: str, name: str, *, offline: bool = False) -> Mirror:
    """Open the study `name` below `address`, and fetch what is finished there and not here.

    Raises RecipeError where the address cannot be used, or holds other runs than the folder here.
    """
    whole = f"{address.rstrip('/')}/{name}"
    folder = cache_dir() / "studies" / hashlib.sha256(whole.encode()).hexdigest()[:16] / name
    with _reaching(whole):
        system, root = opened(whole, offline=offline)
        mirror = Mirror(whole, system, root, folder)
        there = files_below(system, root) if system.exists(root) else {}
        for path in sorted(there):
            if PurePosixPath(path).match(RUNS) and not _is_finished(mirror, path):
                _fetch(mirror, path, [each for each in there if each != path])
    return mirror


def put(mirror: Mirror, run: str) -> None:
    """Put a finished run at the address, run.json last, unless it is there already.

    Where that fails it is said, and `put_all` tries again.
    """
    try:
        _put_run(mirror, run)
    except RecipeError as error:
        _log.warning("%s is not at %s yet: %s", run, mirror, error)


def put_all(mirror: Mirror) -> None:
    """Put whatever is not at the address there: finished runs, and what the study has besides."""
    places = [path.parent for path in sorted(mirror.folder.glob(RUNS))]
    for place in places:
        if (integrity.read_sealed(place / "run.json") or {}).get("state") == "finished":
            _put_run(mirror, place.relative_to(mirror.folder).as_posix())
    with _reaching(mirror.address):
        for path in sorted(mirror.folder.rglob("*")):
            name = path.relative_to(mirror.folder)
            hidden = any(part.startswith((".", "damaged-")) for part in name.parts)
            if path.is_file() and not hidden and not any(place in path.parents for place in places):
                _put_file(mirror, name.as_posix())


def _is_finished(mirror: Mirror, path: str) -> bool:
    """Tell whether a run that is finished at the address is so here; it must be the same run."""
    here = integrity.read_sealed(mirror.folder / path) or {}
    if here.get("state") != "finished":
        return False
    content = mirror.system.cat_file(f"{mirror.root}/{path}")
    if f'"{here["identity"]}"'.encode() not in content:
        raise RecipeError(
            f"--out: {mirror}/{path} is of another run than {mirror.folder / path}: choose another "
            "--out, or remove that folder here"
        )
    return True


def _fetch(mirror: Mirror, path: str, others: list[str]) -> None:
    """Copy a run here, run.json last."""
    run = f"{PurePosixPath(path).parent}/"
    for name in (*(each for each in others if each.startswith(run)), path):
        with files.aside(mirror.folder / name) as temporary:
            mirror.system.get_file(f"{mirror.root}/{name}", str(temporary))
    (mirror.folder / run / "resume.pt").unlink(missing_ok=True)


def _put_run(mirror: Mirror, run: str) -> None:
    place, last = mirror.folder / run, f"{run}/run.json"
    with _reaching(mirror.address):
        there = f"{mirror.root}/{last}"
        same = (mirror.folder / last).read_bytes()
        if mirror.system.exists(there) and mirror.system.cat_file(there) == same:
            return
        for path in sorted(place.rglob("*")):
            name = path.relative_to(mirror.folder).as_posix()
            if path.is_file() and name != last and not path.name.startswith("."):
                _put_file(mirror, name)
        _put_file(mirror, last)


def _put_file(mirror: Mirror, name: str) -> None:
    there = f"{mirror.root}/{name}"
    if "file" in mirror.system.protocol:
        mirror.system.makedirs(there.rpartition("/")[0], exist_ok=True)
    mirror.system.put_file(str(mirror.folder / name), there)


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    """Turn what a file system raises into one sentence about `--out`."""
    try:
        with reaching(address):
            yield
    except DataError as error:
        said = str(error).replace("data.source:", "--out:", 1)
        raise RecipeError(said.replace("cannot be read:", "cannot be reached:", 1)) from None
