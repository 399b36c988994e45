"""The decoded photographs of a list: one memory-mapped array, made once, shared by all runs.

    <cache>/pixels/<key>/pixels.npy   (K, S, S, 3) uint8, the K good ones in the list's order
                         looks.npy    (K, 64, 64) uint8, each whole, squeezed and grey, for `alike`
                         index.json   digest, size and rules of each, and the bad ones with reasons

The key covers each file's path, size, time of change and mode, and S: opening a store that is
there costs one stat a photograph. A store is written aside and renamed when whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data import plates
from bakeoff.data.addresses import is_address
from bakeoff.data.cache import cache_dir, discard, publish, written_aside
from bakeoff.data.growing import HEADER, growing
from bakeoff.data.photographs import DRAWN, DataError, Photographs, Progress
from bakeoff.data.shards import Content, build, mixed, place_of
from bakeoff.data.squares import CHUNK, LOOK, Entry, Pixels, made, packed, threads, unpacked
from bakeoff.data.window import Shards
from bakeoff.files import alone, aside, write_text

VERSION = 2  # raise it when a rule of decoding or resizing changes: older stores are then not used


class BadPhotographs(DataError):  # noqa: N818 (named for what the user has)
    """Some photographs cannot be decoded; `bad` is path -> reason."""

    def __init__(self, bad: dict[str, str], total: int) -> None:
        """Name the first five of the bad ones among `total`."""
        self.bad = bad
        first = "; ".join(f"{path} ({reason})" for path, reason in list(bad.items())[:5])
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        super().__init__(
            f"{len(bad)} of {total} photographs cannot be decoded: {first}{more}. "
            "Repair or remove them, or leave them out with --skip-bad"
        )


@dataclass(frozen=True, eq=False)
class Store:
    """Pixels (K, S, S, 3) with K entries; `rows` says which of the list each one is."""

    folder: Path
    pixels: Pixels | Shards
    looks: Pixels  # (K, LOOK, LOOK), the same at every S
    entries: tuple[Entry, ...]
    rows: NDArray[np.int64]  # (K,), ascending but for a store in shards
    bad: dict[str, str]  # path -> reason


def open_store(
    photographs: Photographs,
    side: int,
    *,
    window: int | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    within: Path | None = None,
) -> Store:
    """Open the store of these photographs at S = side, decoding them where that was not done yet.

    Bad photographs are in `bad` and not in `pixels`. Any number of processes may ask: one decodes.
    With a `window`, in photographs, the store is one of shards, whose rows are in another order.
    """
    cache = within or cache_dir()
    if window:
        return _open_shards(photographs, side, window, cache, offline, progress)
    folder = cache / "pixels" / _key(photographs, side)
    if store := _opened(folder, photographs, side):
        return store
    with alone(cache / "locks" / f"{folder.name}.lock", wait=True):
        store = _opened(folder, photographs, side)  # another process may have made it meanwhile
        if store is None:
            discard(folder)
            for left in folder.parent.glob(f".{folder.name}.*.partial"):
                shutil.rmtree(left, ignore_errors=True)  # its writer was killed
            with written_aside(folder) as partial:
                _demand_room(partial, len(photographs) * (side * side * 3 + LOOK * LOOK))
                _build(partial, photographs, side, progress)
                publish(partial, folder)
            store = _opened(folder, photographs, side)
    if store is None:
        raise DataError(f"the decoded photographs cannot be kept in {folder}; see BAKEOFF_CACHE")
    return store


def _open_shards(
    photographs: Photographs,
    side: int,
    window: int,
    cache: Path,
    offline: bool,
    progress: Progress | None,
) -> Store:
    order = mixed(photographs)
    listed = photographs.take(order)
    folder = cache / "pixels" / f"{_key(listed, side)}-shards"
    place = place_of(folder)
    with alone(cache / "locks" / f"{folder.name}.lock", wait=True):
        if not _is_whole(folder, place, side):
            folder.mkdir(parents=True, exist_ok=True)
            near = 0 if is_address(place) else side * side * 3
            _demand_room(folder, len(photographs) * (near + LOOK * LOOK))
            _put_together(folder, build(listed, side, place, offline, progress))
    index = json.loads((folder / "index.json").read_bytes())
    entries = unpacked(index["entries"])
    good = [path not in index["bad"] for path in listed.paths]
    pixels = Shards(place, folder, index["counts"], side, window)
    looks = np.load(folder / "looks.npy", mmap_mode="r" if entries else None)
    return Store(folder, pixels, looks, entries, order[good], index["bad"])


def _put_together(folder: Path, shards: Iterable[tuple[Content, Pixels]]) -> None:
    """Keep on this machine what is asked of a store without reading its pixels."""
    counts: list[int] = []
    entries: list[list[object]] = []
    bad: dict[str, str] = {}
    with aside(folder / "looks.npy") as file, growing(file, (LOOK, LOOK)) as add_look:
        for content, looks in shards:
            counts.append(len(content.entries))
            entries += packed(content.entries)
            bad |= content.bad
            for one in looks:
                add_look(one)
    write_text(
        folder / "index.json", json.dumps({"counts": counts, "entries": entries, "bad": bad})
    )


def _is_whole(folder: Path, place: str, side: int) -> bool:
    """Tell whether a store of shards is all there; of those at an address only the list is."""
    try:
        counts = json.loads((folder / "index.json").read_bytes())["counts"]
        sizes = {folder / "looks.npy": sum(counts) * LOOK * LOOK}
        if not is_address(place):
            for number, count in enumerate(counts):
                sizes[Path(place, f"pixels-{number:05d}.npy")] = count * side * side * 3
        return all(file.stat().st_size == HEADER + size for file, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _key(photographs: Photographs, side: int) -> str:
    digest = hashlib.sha256(f"{VERSION} {side} {plates.VERSION} {photographs.root}".encode())
    for index, path in enumerate(photographs.paths):
        digest.update(f"\n{path}".encode(errors="surrogateescape"))
        if not path.startswith(DRAWN):
            digest.update(f"\0{_stamp(photographs, index)}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _stamp(photographs: Photographs, index: int) -> str:
    """Say what changes when a photograph does."""
    if piece := photographs.piece(index):
        return " ".join(map(str, piece))
    try:
        status = os.stat(photographs.file(index))  # noqa: PTH116 (half the time of Path's)
    except OSError:
        return "absent"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_mode}"


def _opened(folder: Path, photographs: Photographs, side: int) -> Store | None:
    """Open a whole store, or say None where there is none or it is torn."""
    try:
        index = json.loads((folder / "index.json").read_bytes())
        entries = unpacked(index["entries"])
        sizes = [(folder / name).stat().st_size for name in ("pixels.npy", "looks.npy")]
        if sizes != index["bytes"]:
            return None
        pixels = np.load(folder / "pixels.npy", mmap_mode="r" if entries else None)
        looks = np.load(folder / "looks.npy", mmap_mode="r" if entries else None)
        bad: dict[str, str] = index["bad"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    rows = np.flatnonzero([path not in bad for path in photographs.paths]).astype(np.int64)
    if pixels.shape != (len(rows), side, side, 3) or len(entries) != len(rows):
        return None
    return Store(folder, pixels, looks, entries, rows, bad)


def _build(aside: Path, photographs: Photographs, side: int, progress: Progress | None) -> None:
    entries: list[Entry] = []
    bad: dict[str, str] = {}
    drawn = all(path.startswith(DRAWN) for path in photographs.paths)
    workers = 1 if drawn else threads()  # decoding leaves Python to other threads, drawing hardly
    with (
        growing(aside / "pixels.npy", (side, side, 3)) as add_pixels,
        growing(aside / "looks.npy", (LOOK, LOOK)) as add_look,
    ):
        for row, one in enumerate(made(photographs, side, workers)):
            if isinstance(one, str):
                bad[photographs.paths[row]] = one
            else:
                add_pixels(one[0])
                add_look(one[1])
                entries.append(one[2])
            if progress and ((row + 1) % CHUNK == 0 or row + 1 == len(photographs)):
                progress("drawing" if drawn else "decoding", row + 1, len(photographs))
    index = {
        "bytes": [(aside / name).stat().st_size for name in ("pixels.npy", "looks.npy")],
        "entries": packed(entries),
        "bad": bad,
    }
    (aside / "index.json").write_text(json.dumps(index), encoding="ascii")


def _demand_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"the decoded photographs need {needed / 1e9:.1f} GB below {folder.parent}, where "
            f"{free / 1e9:.1f} GB are free; make room, set BAKEOFF_CACHE to another disk, or keep "
            "them elsewhere with data.window and BAKEOFF_STORES"
        )
