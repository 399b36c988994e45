"""An array written row by row to a .npy file, so that its length need not be known beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = 128  # bytes before the first row


@contextmanager
def growing(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Write an array row by row, not through a map: a full disk must not kill the process."""
    with path.open("wb") as file:
        count = 0

        def add(row: NDArray[np.uint8]) -> None:
            nonlocal count
            file.write(row.tobytes())
            count += 1

        file.write(_header((0, *shape)))
        yield add
        file.seek(0)
        file.write(_header((count, *shape)))
        file.flush()
        os.fsync(file.fileno())


def _header(shape: tuple[int, ...]) -> bytes:
    """Return a .npy header of 128 bytes; its length does not depend on the shape."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape})
    length = (118).to_bytes(2, "little")
    return np.lib.format.magic(1, 0) + length + text.ljust(117).encode("ascii") + b"\n"
