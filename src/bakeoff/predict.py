"""`bakeoff predict`: which photographs are meant, and the rows that say what was seen. No torch."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bakeoff.data.decode import DecodeError
from bakeoff.data.folders import images_below
from bakeoff.data.photographs import DataError
from bakeoff.evidence.paired import Floats

STDIN = "-"
Ask = Callable[[Iterable[str]], Iterator[Floats | DecodeError]]


@dataclass(frozen=True)
class Row:
    """One photograph: its likeliest classes, the first first; or why it cannot be read.

    `answered` is False where the first is too unsure for the promise that was asked for.
    """

    path: str
    top: tuple[tuple[str, float], ...] = ()
    answered: bool = True
    error: str = ""


def expand(arguments: Sequence[str], lines: Iterable[str]) -> tuple[Iterator[str], int]:
    """Return the paths that files, folders, globs and `-` (`lines`, one path each) stand for.

    With them how many there are, 0 where that is not known. A file is taken as it is, also one
    that is not there; DataError for a folder without images and a glob that matches nothing.
    """
    found = [_expanded(argument, lines) for argument in arguments]
    known = sum(len(paths) for paths in found if isinstance(paths, list))
    total = 0 if STDIN in arguments else known
    return chain.from_iterable(found), total


def _expanded(argument: str, lines: Iterable[str]) -> Iterable[str]:
    if argument == STDIN:
        return (name for line in lines if (name := line.rstrip("\r\n")))
    path = Path(argument)
    if path.is_dir():
        paths = [str(path / name) for name in images_below(path)]
        if not paths:
            raise DataError(f"{argument}: no images in this folder or below")
        return paths
    if glob.has_magic(argument) and not path.exists():
        paths = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (also absolute)
        if not paths:
            raise DataError(f"{argument}: matches nothing")
        return paths
    return [argument]


def rows(
    paths: Iterable[str], ask: Ask, classes: Sequence[str], top: int, threshold: float
) -> Iterator[Row]:
    """Yield a row for each path, in order, with its `top` likeliest of `classes`.

    `ask` is `Classifier.stream`. Paths are taken as they are needed.
    """
    waiting: deque[str] = deque()

    def taken() -> Iterator[str]:
        for path in paths:
            waiting.append(path)
            yield path

    for shares in ask(taken()):
        yield row(waiting.popleft(), shares, classes, top, threshold)


def row(
    path: str, shares: Floats | DecodeError, classes: Sequence[str], top: int, threshold: float
) -> Row:
    """Return the row of one photograph, from its probabilities (C,) or why it cannot be read."""
    if isinstance(shares, DecodeError):
        return Row(path, error=str(shares))
    places = (-shares).argsort(kind="stable")[:top]
    likeliest = tuple((classes[place], float(shares[place])) for place in places)
    return Row(path, likeliest, answered=likeliest[0][1] >= threshold)


def as_text(rows: Iterable[Row], top: int) -> Iterator[str]:
    """Write each row for a reader: path, tab, what it shows."""
    del top
    for row in rows:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in row.top)
        said = f"not read: {row.error}" if row.error else shares
        yield f"{row.path}\t{said if row.answered else f'not sure: {shares}'}\n"


def as_csv(rows: Iterable[Row], top: int) -> Iterator[str]:
    """Write CSV with a header: path, answer, `top` classes with their probabilities, error.

    The answer is empty where there is none.
    """
    pairs = [f"{name}_{place}" for place in range(1, top + 1) for name in ("class", "probability")]
    yield _line(["path", "answer", *pairs, "error"])
    for row in rows:
        answer = row.top[0][0] if row.top and row.answered else ""
        cells = [cell for name, share in row.top for cell in (name, f"{share:.6f}")]
        padding = [""] * (len(pairs) - len(cells))
        yield _line([row.path, answer, *cells, *padding, row.error])


def as_json(rows: Iterable[Row], top: int) -> Iterator[str]:
    """Write one JSON object a line; `answer` is null where there is none."""
    del top
    for row in rows:
        yield json.dumps(plain(row)) + "\n"


def plain(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it; `answer` is None where there is none."""
    return {
        "path": row.path,
        "answer": row.top[0][0] if row.top and row.answered else None,
        "top": [{"class": name, "probability": round(share, 6)} for name, share in row.top],
        "error": row.error or None,
    }


Format = Callable[[Iterable[Row], int], Iterator[str]]


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
