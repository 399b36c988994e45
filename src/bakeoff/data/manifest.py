"""A list of photographs as a CSV file: `path,label[,split,group]`, read and written."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bakeoff.data.addresses import is_address, read
from bakeoff.data.classes import choose
from bakeoff.data.folders import SPLIT_NAMES
from bakeoff.data.photographs import (
    DRAWN,
    DataError,
    Photographs,
    gather,
    listing,
    natural,
    nearest,
)
from bakeoff.data.spec import DataSpec
from bakeoff.data.tars import located
from bakeoff.files import aside

COLUMNS = ("path", "label", "split", "group")
Row = tuple[str, str, str, str]


def read_manifest(file: Path | str, spec: DataSpec, *, offline: bool = False) -> Photographs:
    """Read a CSV file, here or at an address; a relative path is meant from the file's own folder.

    A path may be an address (`s3://bucket/a.jpg`), or lie in a tar (`tar://a.jpg::photos.tar`).
    """
    content = file.read_bytes() if isinstance(file, Path) else read(file, offline=offline)
    rows = list(_rows(str(file), _text(str(file), content)))
    if not rows:
        raise DataError(f"data.source: {file} names no photographs below its header")
    classes = choose(spec, sorted({label for _, label, _, _ in rows}, key=natural))
    chosen = set(classes)
    rows = [row for row in rows if row[1] in chosen]
    root = file.parent if isinstance(file, Path) else None
    base = "" if isinstance(file, Path) else f"{file.rpartition('/')[0]}/"
    elsewhere = [path for path, *_ in rows if _is_elsewhere(path, base)]
    pieces = located(elsewhere, root.as_posix() + "/" if root else base, offline=offline)
    absent = [
        path
        for path, _, _, _ in rows
        if not path.startswith(DRAWN)
        and path not in pieces
        and (root is None or _is_elsewhere(path, base) or not os.path.isfile(root / path))  # noqa: PTH113 (is_file raises at a name too long)
    ]
    if absent:
        raise DataError(f"data.source: {file} names files that are not there: {listing(absent)}")
    name = Path(str(file)).stem
    return gather(name, root, classes, rows, pieces)


def _is_elsewhere(path: str, base: str) -> bool:
    """Tell a row that is no file of this disk, and not drawn."""
    return not path.startswith(DRAWN) and (bool(base) or is_address(path))


def write_manifest(file: Path, photographs: Photographs, split: Sequence[str]) -> None:
    """Write a CSV file that `read_manifest` gives back, whole or not at all.

    Paths are relative where the photographs lie below the file's folder, else absolute.
    """
    base = file.absolute().parent
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, path in enumerate(photographs.paths):
        shown = path if path.startswith(DRAWN) else _seen_from(base, photographs, index)
        label = photographs.classes[photographs.labels[index]]
        writer.writerow([shown, label, split[index], photographs.groups[index]])
    with aside(file) as temporary:
        content = text.getvalue().encode("utf-8", errors="surrogateescape")
        temporary.write_bytes(content)


def _seen_from(base: Path, photographs: Photographs, index: int) -> str:
    piece = photographs.piece(index)
    if piece is None:
        file = photographs.file(index).absolute()
        return (file.relative_to(base) if file.is_relative_to(base) else file).as_posix()
    path = photographs.paths[index]
    if is_address(path) or not piece.address.endswith(".tar"):
        return path if path.startswith("tar://") else piece.address
    return f"tar://{path.partition('.tar/')[2]}::{piece.address}"


def _text(file: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"data.source: {file} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8"
        ) from None


def _rows(file: str, text: str) -> Iterator[Row]:
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    places = _places(file, next(_cells(file, reader), []))
    first_seen: dict[str, int] = {}
    for cells in _cells(file, reader):
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num
        row = _row(f"{file} line {line}", cells, places)
        if row[0] in first_seen:
            raise DataError(
                f"data.source: {file} line {line}: {row[0]} stands in line {first_seen[row[0]]} too"
            )
        first_seen[row[0]] = line
        yield row


def _cells(file: str, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"data.source: {file} cannot be read as CSV: {error}") from None


def _places(file: str, header: list[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    for name in names:
        if name not in COLUMNS and (guess := nearest(name, COLUMNS)):
            raise DataError(f"data.source: {file} has a column {name!r}{guess}")
    for name in COLUMNS:
        if names.count(name) > 1 or (name in COLUMNS[:2] and name not in names):
            raise DataError(
                f"data.source: {file} has {names.count(name)} columns named {name!r} in its first "
                "line; needed is path,label[,split,group]"
            )
    return {name: names.index(name) for name in COLUMNS if name in names}


def _row(where: str, cells: list[str], places: dict[str, int]) -> Row:
    values = {name: cells[place] if place < len(cells) else "" for name, place in places.items()}
    path = values.pop("path")  # spaces may belong to a file's name, but to nothing else here
    values = {"path": path, **{name: value.strip() for name, value in values.items()}}
    for name in COLUMNS[:2]:
        if not values[name].strip():
            raise DataError(f"data.source: {where}: the {name} is empty")
    word = values.get("split", "")
    if word and word.lower() not in SPLIT_NAMES:
        raise DataError(
            f"data.source: {where}: {word!r} is no split; allowed are {', '.join(SPLIT_NAMES)} "
            "or nothing"
        )
    path = path if path.startswith(DRAWN) or is_address(path) else Path(path).as_posix()
    return path, values["label"], SPLIT_NAMES.get(word.lower(), ""), values.get("group", "")
