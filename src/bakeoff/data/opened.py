"""Single photographs, from wherever they come, as training saw them; any number, as a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data.decode import DecodeError, contents, decode, upright
from bakeoff.data.squares import Pixels, square, threads

Photograph = str | Path | Image.Image | NDArray[np.uint8]
"""A file, an open image, or pixels (H, W, 3), RGB, or (H, W), grey."""

Read = TypeVar("Read")
AHEAD = 8  # photographs in flight for each thread; bounds memory


def rgb(photograph: Photograph) -> Image.Image:
    """Open a photograph upright in RGB, by the rules of `decode`; DecodeError says why not."""
    if isinstance(photograph, str | Path):
        path = Path(photograph)
        return decode(contents(path), suffix=path.suffix).image
    if isinstance(photograph, Image.Image):
        return upright(photograph)
    if photograph.dtype != np.uint8 or photograph.ndim not in (2, 3) or 0 in photograph.shape:
        raise DecodeError(
            f"an array of {photograph.dtype} {photograph.shape}; allowed is uint8 (H, W, 3)"
        )
    try:
        return upright(Image.fromarray(photograph))
    except TypeError:
        raise DecodeError(f"an array {photograph.shape}; allowed is uint8 (H, W, 3)") from None


def as_stored(photograph: Photograph, side: int) -> Pixels:
    """Return what the pixel store would hold of it: (S, S, 3) with S = side; or DecodeError."""
    return square(rgb(photograph), side)


def stream(
    photographs: Iterable[Photograph], read: Callable[[Photograph], Read]
) -> Iterator[Read | DecodeError]:
    """Yield what `read` makes of each photograph, or why it cannot, in order; read in parallel.

    However many there are, only a few lie in memory.
    """

    def attempt(photograph: Photograph) -> Read | DecodeError:
        try:
            return read(photograph)
        except DecodeError as error:
            return error

    workers = threads()
    waiting: deque[Future[Read | DecodeError]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for photograph in photographs:
                waiting.append(pool.submit(attempt, photograph))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
