"""The pixels of a store in shards, read through a few of them at a time, whatever their number."""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data import shards
from bakeoff.data.addresses import opened, reaching
from bakeoff.data.photographs import DataError
from bakeoff.data.shards import SAYS
from bakeoff.data.squares import Pixels
from bakeoff.files import alone, aside

AHEAD = 8  # shards that are fetched before they are needed
AT_ONCE = 4  # of them at the same time
AGAIN = "the same command makes it again"
SPARE = 4  # shards that stay mapped beyond those of the window

Rows = NDArray[np.int64]


class Shards:
    """K photographs (K, S, S, 3) uint8, indexed like an array; what is given is a copy.

    Photographs are meant to be asked for at random within `window` shards. So many are mapped, and
    a few more; those that lie at an address are fetched into `cache` and make room there for others
    (`BAKEOFF_STORE_GB`). Any number of threads and processes may read.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, place: str, cache: Path, counts: Sequence[int], side: int, window: int
    ) -> None:
        """Open the shards of `place`, which hold `counts` photographs each."""
        self.starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        self.shape = (int(self.starts[-1]), side, side, 3)
        self.window = max(1, window // shards.PHOTOGRAPHS)
        self.opened = 0  # how many times a shard was mapped
        self.fetched = 0  # how many times one came from elsewhere
        self._under_way = 0  # how many are coming now
        self._place, self._cache = place, cache
        self._system, self._root = opened(place, says=SAYS)
        self._is_here = "file" in self._system.protocol
        self._maps: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = threading.Lock()
        self._fetchers: ThreadPoolExecutor | None = None
        self._order: dict[int, int] = {}  # shard -> the one that is needed next
        if not self._is_here:
            self._demand_room()

    def __len__(self) -> int:
        """Count the photographs."""
        return self.shape[0]

    @property
    def blocks(self) -> Rows:
        """The shard that each photograph lies in (K,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def __getitem__(self, rows: int | np.integer | Rows) -> Pixels:
        """Copy one photograph (S, S, 3), or many (…, S, S, 3)."""
        wanted = np.asarray(rows, dtype=np.int64)
        result = np.empty((wanted.size, *self.shape[1:]), dtype=np.uint8)
        self.read(wanted.reshape(-1), result)
        return result.reshape(*wanted.shape, *self.shape[1:])

    def read(self, flat: Rows, out: Pixels) -> None:
        """Copy the photographs of rows (B,) into `out` (B, S, S, 3)."""
        if len(flat) and not 0 <= flat.min() <= flat.max() < len(self):
            raise IndexError(f"photograph {flat.min()} or {flat.max()} of {len(self)}")
        numbers = np.searchsorted(self.starts, flat, side="right") - 1
        ascending = bool((np.diff(flat) >= 0).all())
        held = {
            number: self._mapped(number, ascending) for number in dict.fromkeys(numbers.tolist())
        }
        inside = flat - self.starts[numbers]
        for place, (number, row) in enumerate(zip(numbers.tolist(), inside.tolist(), strict=True)):
            out[place] = held[number][row]  # one by one, each is copied once

    def expect(self, rows: Rows) -> None:
        """Say in which order photographs will be asked for, so that shards are there in time."""
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        order = list(dict.fromkeys(numbers.tolist()))
        self._order = dict(pairwise(order))

    def _mapped(self, number: int, ascending: bool) -> Pixels:
        with self._lock:
            if number in self._maps:
                self._maps.move_to_end(number)
                return self._maps[number]
        pixels = self._load(number)
        with self._lock:
            self._maps[number] = pixels
            self.opened += 1
            while len(self._maps) > self.window + SPARE:
                self._maps.popitem(last=False)
        self._fetch_ahead(number, ascending)
        return pixels

    def _load(self, number: int) -> Pixels:
        for _ in range(3):  # another process may make room between the two lines
            with suppress(FileNotFoundError):
                pixels: Pixels = np.load(self._file(number), mmap_mode="r")
                count = int(self.starts[number + 1] - self.starts[number])
                if pixels.shape != (count, *self.shape[1:]):
                    break
                return pixels
        raise DataError(f"shard {number} of {self._place} is gone or damaged; {AGAIN}")

    def _file(self, number: int) -> Path:
        """Name the file of a shard on this machine, fetching it where it is not there."""
        name = f"pixels-{number:05d}.npy"
        if self._is_here:
            return Path(self._root, name)
        file = self._cache / name
        with suppress(FileNotFoundError):
            os.utime(file)  # the longest unused goes first
            return file
        with alone(self._cache / f".{name}.lock", wait=True):
            if not file.is_file():
                with self._room(), reaching(self._place, SAYS), aside(file) as temporary:
                    self._get(f"{self._root}/{name}", temporary)
                self.fetched += 1
        return file

    def _get(self, source: str, file: Path) -> None:
        try:
            self._system.get_file(source, str(file))
        except FileNotFoundError:
            (self._cache / "index.json").unlink(missing_ok=True)  # or nobody would make it again
            raise DataError(f"{source} is gone; {AGAIN}") from None

    def _fetch_ahead(self, number: int, ascending: bool) -> None:
        """Begin to fetch what an epoch, or a pass from first to last, comes to next."""
        if self._is_here:
            return
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(AT_ONCE)
        for _ in range(AHEAD):
            number = number + 1 if ascending else self._order.get(number, number + 1)
            if number >= len(self.starts) - 1:
                return
            if not (self._cache / f"pixels-{number:05d}.npy").is_file():
                self._fetchers.submit(self._file, number)

    def _held(self) -> Iterator[tuple[int, int, Path]]:
        """Give the time of last use, the bytes and the file of each shard in the cache."""
        for file in self._cache.glob("pixels-*.npy"):
            with suppress(FileNotFoundError):  # another process may make room meanwhile
                status = file.stat()
                yield status.st_mtime_ns, status.st_size, file

    def _most_bytes(self) -> float:
        if chosen := os.environ.get("BAKEOFF_STORE_GB"):
            try:
                return float(chosen) * 1e9
            except ValueError:
                raise DataError(f"BAKEOFF_STORE_GB: {chosen!r} is not a number") from None
        held = sum(size for _, size, _ in self._held())
        return (held + shutil.disk_usage(self._cache).free) / 2

    def _demand_room(self) -> None:
        """Refuse a limit under which shards would be thrown away while they are needed."""
        self._cache.mkdir(parents=True, exist_ok=True)
        needed = (self.window + SPARE + AHEAD + AT_ONCE) * self._shard_bytes()
        if (most := self._most_bytes()) < min(needed, self.shape[0] * self._row_bytes()):
            raise DataError(
                f"a window of {self.window} shards needs {needed / 1e9:.1f} GB in {self._cache}, "
                f"and {most / 1e9:.1f} GB are allowed; lower data.window or raise BAKEOFF_STORE_GB"
            )

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Make room for one shard, beside those that other threads are fetching."""
        with self._lock:
            self._under_way += 1
            self._make_room(self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def _make_room(self, count: int) -> None:
        """Remove the shards that were not needed for longest, until `count` more fit."""
        most, files = self._most_bytes() - count * self._shard_bytes(), sorted(self._held())
        held = sum(size for _, size, _ in files)
        for _, size, file in files:
            if held <= most:
                return
            with suppress(OSError):  # Windows keeps a file that is mapped
                file.unlink(missing_ok=True)
                held -= size

    def _row_bytes(self) -> int:
        return int(np.prod(self.shape[1:]))

    def _shard_bytes(self) -> int:
        return shards.PHOTOGRAPHS * self._row_bytes()
