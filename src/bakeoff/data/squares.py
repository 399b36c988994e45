"""What a pixel store keeps of one photograph, and how those of a list are made, many at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data import plates
from bakeoff.data.addresses import contents_of
from bakeoff.data.decode import DecodeError, contents, decode
from bakeoff.data.photographs import DRAWN, Photographs

CHUNK = 256  # photographs in flight; with the next, bounds memory
CHUNK_BYTES = 64 * 2**20  # and of those that are fetched first
LOOK = 64  # side of a look
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """One good photograph: sha256 of its file, its upright size and the rules that were applied."""

    digest: str
    width: int
    height: int
    rules: tuple[str, ...]


Made = tuple[Pixels, Pixels, Entry]


def packed(entries: Iterable[Entry]) -> list[list[object]]:
    """Return entries as JSON can hold them."""
    return [list(asdict(entry).values()) for entry in entries]


def unpacked(rows: Iterable[tuple[str, int, int, list[str]]]) -> tuple[Entry, ...]:
    """Return the entries that `packed` gave."""
    return tuple(Entry(digest, wide, high, tuple(rules)) for digest, wide, high, rules in rows)


def made(photographs: Photographs, side: int, workers: int) -> Iterator[Made | str]:
    """Yield (square, look, entry) of each photograph, or why there is none, in their order.

    `workers` threads decode while what comes next is fetched, where it is no file of this machine.
    """

    def read(row: int, fetched: bytes | DecodeError | None) -> Made | str:
        try:
            return _made(photographs, row, side, fetched)
        except DecodeError as error:
            return str(error)

    chunks = _chunks(photographs)
    with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(1) as fetcher:
        coming = [fetcher.submit(_fetched, photographs, chunk) for chunk in chunks[:1]]
        for number, rows in enumerate(chunks):
            there = coming.pop().result()
            for chunk in chunks[number + 1 : number + 2]:
                coming.append(fetcher.submit(_fetched, photographs, chunk))
            yield from pool.map(read, rows, there)


def square(image: Image.Image, side: int) -> Pixels:
    """Resize the shorter side to S, antialiased, and crop the centre: (S, S, 3); both at once."""
    width, height = image.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def look(image: Image.Image) -> Pixels:
    """Squeeze the whole image into (LOOK, LOOK) grey, which tells copies of it from others."""
    small = image.resize((LOOK, LOOK), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(small.convert("L"))


def _made(
    photographs: Photographs, row: int, side: int, fetched: bytes | DecodeError | None
) -> Made:
    path = photographs.paths[row]
    if path.startswith(DRAWN):
        drawn = plates.draw(path, side)
        whole = look(Image.fromarray(drawn))
        return drawn, whole, Entry(plates.digest(path), side, side, ())
    if isinstance(fetched, DecodeError):
        raise fetched
    data = contents(photographs.file(row)) if fetched is None else fetched
    decoded = decode(data, suffix=PurePosixPath(path).suffix)
    image = decoded.image
    entry = Entry(hashlib.sha256(data).hexdigest(), *image.size, decoded.rules)
    return square(image, side), look(image), entry


def _chunks(photographs: Photographs) -> list[range]:
    """Part the rows into runs that are small in number and in bytes to be fetched."""
    chunks, first, size = [], 0, 0
    for row in range(len(photographs)):
        piece = photographs.piece(row)
        size += piece.size if piece else 0
        if row + 1 - first == CHUNK or size >= CHUNK_BYTES or row + 1 == len(photographs):
            chunks.append(range(first, row + 1))
            first, size = row + 1, 0
    return chunks


def _fetched(photographs: Photographs, rows: range) -> Sequence[bytes | DecodeError | None]:
    """Fetch what is no file of this machine; None for the others, which each thread reads."""
    result: list[bytes | DecodeError | None] = [None] * len(rows)
    places = [place for place, row in enumerate(rows) if photographs.piece(row)]
    pieces = [piece for row in rows if (piece := photographs.piece(row))]
    for place, content in zip(places, contents_of(pieces), strict=True):
        result[place] = content
    return result


def threads() -> int:
    """Return how many threads may decode at once."""
    if hasattr(os, "sched_getaffinity"):  # heeds a container's limits
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
