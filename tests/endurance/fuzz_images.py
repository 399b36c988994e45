"""Decode damaged photographs of six formats: each gives pixels or one sentence, in bounded memory.

    python tests/endurance/fuzz_images.py --files 10000 [--out log.json]

File number n is always the same, whatever was decoded before it; `--only n` decodes that one. They
are decoded in a process of its own, so that one which kills it is found, named and survived.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import struct
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.data.decode import DecodeError, decode

LONGEST_SENTENCE = 300
MOST_SECONDS = 10.0
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 40_000, 16_384)


def originals() -> list[tuple[str, bytes]]:
    """Make small photographs of every format and many modes: (name, content)."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    smooth = noise.resize((8, 6)).resize((64, 48), Image.Resampling.BICUBIC)
    grey16 = Image.fromarray(rng.integers(0, 65535, (48, 64), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [smooth.rotate(angle) for angle in (90, 180)]
    several = {"save_all": True, "append_images": frames}
    made: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("JPEG", smooth, {}),
        ("JPEG", smooth, {"progressive": True, "exif": exif}),
        ("JPEG", smooth.convert("CMYK"), {}),
        ("JPEG", smooth.convert("L"), {"quality": 30}),
        ("PNG", smooth, {"exif": exif}),
        ("PNG", smooth.convert("P"), {"transparency": 3}),
        ("PNG", smooth.convert("RGBA"), {}),
        ("PNG", grey16, {}),
        ("PNG", smooth, several),
        ("WEBP", smooth, {}),
        ("WEBP", smooth.convert("RGBA"), {"lossless": True, "exif": exif}),
        ("WEBP", smooth, several),
        ("GIF", smooth, {}),
        ("GIF", smooth, several),
        ("BMP", smooth, {}),
        ("BMP", smooth.convert("P"), {}),
        ("BMP", smooth.convert("1"), {}),
        ("TIFF", smooth, {"exif": exif}),
        ("TIFF", smooth, {"compression": "tiff_lzw"}),
        ("TIFF", smooth, {"compression": "tiff_adobe_deflate", **several}),
        ("TIFF", smooth, {"compression": "jpeg"}),
        ("TIFF", smooth.convert("1"), {"compression": "group4"}),
        ("TIFF", smooth.convert("LAB"), {}),
        ("TIFF", grey16, {}),
    ]
    files = []
    for kind, image, options in made:
        buffer = BytesIO()
        image.save(buffer, kind, **options)
        files.append((f"{kind} {image.mode} {' '.join(options)}".strip(), buffer.getvalue()))
    return files


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _noise(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    size = min(rng.choice((1, 4, 32, 500)), len(data) - start)
    data[start : start + size] = rng.randbytes(size)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 16, 200))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.choice((1, 16, 300))] * rng.choice((1, 2, 40))


def _number(data: bytearray, rng: random.Random) -> None:
    """Write an extreme number, most often into the header, where sizes and offsets are."""
    start = rng.randrange(min(len(data), rng.choice((40, 40, 200, len(data)))))
    shape = rng.choice(("<I", ">I", "<H", ">H", "B"))
    value = rng.choice(EXTREMES) & (2 ** (8 * struct.calcsize(shape)) - 1)
    data[start : start + struct.calcsize(shape)] = struct.pack(shape, value)


def _zeros(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:] = bytes(len(data) - start)


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _noise, _cut, _remove, _repeat, _number, _number, _number, _zeros,
)  # fmt: skip


def damaged(number: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return file `number`: one of `files` after one to three damages; always the same."""
    rng = random.Random(number)
    name, content = files[number % len(files)]
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(DAMAGES)(data, rng)
    if rng.random() < 0.05:  # the beginning of one and the end of another
        other = rng.choice(files)[1]
        data = data[: len(data) // 2] + other[len(other) // 2 :]
    return name, bytes(data)


def outcome(data: bytes) -> str:
    """Decode as a user's photograph is; return `pixels`, `refused`, or what should not be."""
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            decoded = decode(data, suffix=".jpg")
        except DecodeError as error:
            said = str(error)
            if not said.strip() or len(said) > LONGEST_SENTENCE or "\n" in said:
                return f"not one sentence: {said[:400]!r}"
            found = "refused"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        else:
            np.asarray(decoded.image)
            found = "pixels" if decoded.image.mode == "RGB" else f"mode {decoded.image.mode}"
    seconds = time.monotonic() - began
    return found if seconds < MOST_SECONDS else f"took {seconds:.0f} s"


def _worker(pipe: Connection, first: int, last: int) -> None:
    files = originals()
    for number in range(first, last):
        pipe.send((number, None, 0))
        found = outcome(damaged(number, files)[1])
        pipe.send((number, found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


def outcomes(first: int, last: int) -> Iterator[tuple[int, str, int]]:
    """Yield (number, outcome, peak megabytes so far); a file that kills its process is survived."""
    while first < last:
        here, there = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("spawn").Process(
            target=_worker, args=(there, first, last)
        )
        worker.start()
        there.close()
        number = first
        try:
            while first < last:
                number, found, megabytes = here.recv()
                if found is not None:
                    yield number, found, megabytes
                    first = number + 1
        except EOFError:
            worker.join()
            yield number, f"killed the process ({worker.exitcode})", 0
            first = number + 1
        finally:
            worker.kill()
            worker.join()


def main() -> None:
    """Parse, decode, count; exit with 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--only", type=int)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    files = originals()
    if asked.only is not None:
        print(damaged(asked.only, files)[0], outcome(damaged(asked.only, files)[1]))
        return
    began, counts, finds, peak = time.monotonic(), Counter[str](), [], 0
    for number, found, megabytes in outcomes(0, asked.files):
        peak = max(peak, megabytes)
        good = found in ("pixels", "refused")
        counts[f"{files[number % len(files)][0].split()[0]} {found if good else 'FOUND'}"] += 1
        if not good:
            finds.append({"number": number, "file": files[number % len(files)][0], "found": found})
            print(finds[-1], flush=True)
    result = {
        "what": "damaged photographs, each decoded to pixels or refused in one sentence",
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python tests/endurance/fuzz_images.py --files {asked.files}",
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": {name: version(name) for name in ("bakeoff", "pillow", "numpy")},
        "files": asked.files,
        "counts": dict(sorted(counts.items())),
        "finds": finds,
        "peak_megabytes": peak,
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(result, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")
    raise SystemExit(bool(finds))


if __name__ == "__main__":
    main()
