"""Files below an address that fsspec knows (`s3://bucket/photos`): listed, and read in parts.

What goes wrong on the way is said in one sentence; which photographs there are is the work of
`sources`, `folders` and `tars`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bakeoff.data.decode import DecodeError, contents
from bakeoff.data.photographs import DataError, Photographs, Piece, nearest

NEAR = ("file", "local", "memory", "zip", "tar", "dir")  # protocols that need no network
STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created", "md5Hash")
GAP = 64 * 1024  # two pieces this near are read as one
BLOCK = 8 * 2**20  # and at most so many bytes at once
NO_KEY = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError")


class File(NamedTuple):
    """A file below an address: its size in bytes, and what changes when it does."""

    size: int
    stamp: str


def is_address(text: str) -> bool:
    """Tell `s3://bucket/x` and `tar://x.jpg::photos.tar` from a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def opened(address: str, *, offline: bool = False, says: str = "data.source") -> tuple[Any, str]:
    """Return the file system of an address, and the path there.

    Raises DataError, which begins with what `says` so.
    """
    from fsspec import available_protocols
    from fsspec.core import url_to_fs

    protocols = [part.partition("://")[0] for part in address.split("::") if "://" in part]
    for protocol in protocols:
        if protocol not in available_protocols():
            raise DataError(
                f"{says}: {shown(address)} begins with {protocol}://, which is not known"
                f"{nearest(protocol, available_protocols()) or '; allowed: a path, s3://, gs:// …'}"
            )
        if offline and protocol not in NEAR:
            raise DataError(
                f"{says}: {shown(address)} may not be read offline; go online, or give a copy "
                "on this machine"
            )
    with reaching(address, says):
        system, path = url_to_fs(address)
        return system, str(path)


def shown(address: str) -> str:
    """Return an address as it may be printed: without a password, and not too long."""
    plain = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", address)
    return plain if len(plain) <= 200 else f"{plain[:200]}..."


@contextmanager
def reaching(address: str, says: str = "data.source") -> Iterator[None]:
    """Turn what a file system raises into one sentence about `address`."""
    try:
        yield
    except (DataError, AssertionError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{says}: {shown(address)} does not exist") from None
    except PermissionError:
        raise DataError(f"{says}: no permission to read {shown(address)}") from None
    except ImportError as error:
        raise DataError(
            f"{says}: {shown(address)} needs a package that is not installed ({error}); for "
            "s3:// it is pip install 'bakeoff[remote]'"
        ) from None
    except Exception as error:  # every file system raises kinds of its own
        said = (str(error).strip() or type(error).__name__).split("\n", maxsplit=1)[0]
        if type(error).__name__ in NO_KEY:
            said += "; set the keys of its account, such as AWS_ACCESS_KEY_ID and its secret"
        raise DataError(f"{says}: {shown(address)} cannot be read: {said[:300]}") from None


def files_below(system: Any, root: str, *, depth: int | None = None) -> dict[str, File]:
    """List the files below a folder of a file system: path relative to it -> size and stamp."""
    root = root.rstrip("/")
    with reaching(system.unstrip_protocol(root)):
        system.invalidate_cache()
        found = system.find(root, maxdepth=depth, detail=True)
    return {
        str(path)[len(root) :].lstrip("/"): described(info)
        for path, info in found.items()
        if str(path) != root
    }


def described(info: Mapping[str, Any]) -> File:
    """Take size and stamp from what a file system says of a file."""
    said = " ".join(str(info[name]) for name in STAMPS if info.get(name) is not None)
    return File(int(info.get("size") or 0), said)


def read(address: str, *, offline: bool = False) -> bytes:
    """Read a whole small file."""
    system, path = opened(address, offline=offline)
    with reaching(address):
        content: bytes = system.cat_file(path)
        return content


def content_of(photographs: Photographs, row: int) -> bytes:
    """Read one photograph, wherever it lies; DecodeError says why that cannot be done."""
    piece = photographs.piece(row)
    if piece is None:
        return contents(photographs.file(row))
    (content,) = contents_of([piece])
    if isinstance(content, DecodeError):
        raise content
    return content


def contents_of(pieces: Sequence[Piece]) -> list[bytes | DecodeError]:
    """Read many pieces, near ones together and all at once where the file system can.

    A piece that is no longer there is a DecodeError in its place; a file system that fails is a
    DataError, since it says nothing about the photographs.
    """
    result: list[bytes | DecodeError] = [DecodeError("not there")] * len(pieces)
    places: dict[int, tuple[Any, list[tuple[int, str]]]] = {}
    for place, piece in enumerate(pieces):
        system, path = opened(piece.address)  # the same object for all of one kind and account
        places.setdefault(id(system), (system, []))[1].append((place, path))
    for system, those in places.values():
        wanted = [pieces[place] for place, _ in those]
        for (place, _), content in zip(those, _read(system, wanted, those), strict=True):
            result[place] = content
    return result


def _read(
    system: Any, pieces: Sequence[Piece], those: Sequence[tuple[int, str]]
) -> Iterator[bytes | DecodeError]:
    from fsspec.utils import merge_offset_ranges

    paths = [path for _, path in those]
    starts = [piece.start for piece in pieces]
    ends = [piece.start + piece.size for piece in pieces]
    blocks = merge_offset_ranges(paths, starts, ends, max_gap=GAP, max_block=BLOCK)
    with reaching(pieces[0].address):
        got = system.cat_ranges(*blocks, on_error="return")
    held: dict[str, list[tuple[int, int, Any]]] = {}
    for path, start, end, content in zip(*blocks, got, strict=True):
        held.setdefault(path, []).append((start, end, content))
    for piece, path in zip(pieces, paths, strict=True):
        yield _cut(piece, held[path])


def _cut(piece: Piece, blocks: list[tuple[int, int, Any]]) -> bytes | DecodeError:
    """Take a piece from the block that holds it."""
    first, last = piece.start, piece.start + piece.size
    start, content = next((s, c) for s, e, c in blocks if s <= first and last <= e)
    if isinstance(content, FileNotFoundError):
        return DecodeError("not there")
    if isinstance(content, PermissionError):
        return DecodeError("no permission to read it")
    if isinstance(content, Exception):
        with reaching(piece.address):
            raise content
    part: bytes = content[first - start : last - start]
    return part if len(part) == piece.size else DecodeError("truncated since it was listed")
