"""Where bakeoff keeps what can be made again: downloads and decoded pixels."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

ABANDONED_SECONDS = 7 * 24 * 3600


def cache_dir() -> Path:
    """Name the cache folder: $BAKEOFF_CACHE, or the user's cache folder of this system."""
    chosen = os.environ.get("BAKEOFF_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("bakeoff"))


@contextmanager
def written_aside(final: Path) -> Iterator[Path]:
    """Give an empty folder beside `final`; it is removed in the end unless `publish` took it.

    What a killed process left there long ago is cleared away.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    aside = final.parent / f".{final.name}.{uuid.uuid4().hex}.partial"
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def publish(aside: Path, final: Path) -> bool:
    """Rename a finished folder into place; False where another process was first."""
    try:
        aside.rename(final)
    except OSError:
        if final.is_dir():
            return False
        raise
    return True


def discard(folder: Path) -> None:
    """Take a folder out of its place in one step, then remove it."""
    aside = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(parent: Path) -> None:
    oldest = time.time() - ABANDONED_SECONDS
    for partial in parent.glob(".*.partial"):
        try:
            old = partial.stat().st_mtime < oldest
        except OSError:
            continue
        if old:
            shutil.rmtree(partial, ignore_errors=True)
